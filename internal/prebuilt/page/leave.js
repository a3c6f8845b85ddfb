// Leaving the page: the user is finished, or cancels.

import { receiver, sendEvent } from "./messages.js";
import { $, call, data, fail, open, show, state, temporaryFailures, text } from "./page.js";

let leaving = false;

/**
 * Returns to the app with a token, whatever the outcome: the backend validates it.
 * Histories and access logs keep addresses, so the token has only the scope to
 * read. If the API no longer accepts the current token, the token of the url is
 * used.
 */
async function goBack() {
  if (leaving) return; // a second click
  leaving = true;
  const result = await call("POST", "token", { scope: "read:authenticators" });
  if (!result.data && !["expired_token", "unauthorized"].includes(result.errorCode)) {
    leaving = false;
    return fail(temporaryFailures[result.errorCode] ?? "internal", goBack);
  }
  const url = new URL(data.return);
  url.searchParams.set("token", result.data?.accessToken ?? startToken);
  location.replace(url);
}

open.finish = () => {
  const key = receiver ? "page.closing" : data.return ? "page.returning" : "page.finished";
  $("done-text").textContent = text(key);
  show("done");
  if (receiver) sendEvent("AUTHSIGNAL_CLOSE_POPUP", { token: state.token });
  else if (data.return) goBack();
  state.complete = false;
};

/** The user cancels. A popup that is dismissed sends no token. */
function quit() {
  if (state.complete) return open.finish();
  if (receiver) sendEvent("AUTHSIGNAL_CLOSE_POPUP");
  else if (data.return) goBack();
}

for (const button of document.querySelectorAll("form .quit")) {
  button.addEventListener("click", () => (state.inSettings ? open.settings() : quit()));
}
$("failure-quit").addEventListener("click", quit);
$("continue").addEventListener("click", () => open.finish());
// A window that the user closes while something is offered returns the token. At
// pagehide it would be too late: Chromium delivers no message of a closed window.
addEventListener("beforeunload", () => state.complete && receiver === opener && sendEvent("AUTHSIGNAL_CLOSE_POPUP", { token: state.token }));
// A page that is restored from the browser's cache is out of date.
addEventListener("pageshow", (event) => event.persisted && location.reload());
