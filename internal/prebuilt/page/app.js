// The script of the pre-built UI. Attributes from the server say what to show
// first. Everything else goes through the client API of this origin, with the
// token that token.js removed from the address. Nothing is decided here: the
// user can change anything in the browser.

import { reportHeight, sendEvent } from "./messages.js";
import { $, authsignal, canQuit, data, fail, flag, open, show, state, text } from "./page.js";
import { recognized } from "./remember.js";
import "./challenge.js";
import "./enroll.js";
import "./leave.js";
import "./link.js";
import "./settings.js";

authsignal.setToken(state.token);
switch (data.start) {
  case "done":
    $("done-text").textContent = text("page.already");
    $("continue").hidden = !canQuit;
    show("done");
    break;
  case "failure":
    fail(data.reason);
    if (data.code) sendEvent("AUTHSIGNAL_API_ERROR", { errorCode: data.code, statusCode: Number(data.status) });
    break;
  default:
    if (flag("triesBrowser") && (await recognized())) open.finish();
    else open[data.start]();
}
reportHeight($("widget"));
// The height has been sent, and a section is shown.
sendEvent("AUTHSIGNAL_READY");
