// The challenge: by a code of the authenticator app, or by a recovery code.

import { codeForm, digits } from "./code.js";
import { newCodes } from "./codes.js";
import { $, accept, authsignal, call, complete, data, fail, few, flag, notice, open, reportError, show, state, text } from "./page.js";
import { remember } from "./remember.js";

open.challenge = () => {
  show("challenge");
  $("to-recovery").hidden = !state.mayRecover;
  // Load the module while the user enters the code. If that fails, the first call
  // tries again and reports it.
  authsignal.preload().catch(() => {});
};
const recovery = () => {
  notice("");
  show("recovery");
};

codeForm("challenge", {
  read: digits,
  verify: (code) => authsignal.totp.verify({ code }),
  malformed: "error.form",
  wrong: "error.wrong",
  blocked() {
    fail("attempts", open.challenge);
    // A recovery code is accepted nevertheless.
    $("failure-recovery").hidden = !state.mayRecover;
  },
  async accepted({ token }) {
    accept(token);
    await remember("challenge");
    goOn();
  },
});

function goOn() {
  const { next } = state;
  if (next === "enroll") state.next = "finish";
  open[next]();
}

codeForm("recovery", {
  read(entered) {
    const code = entered.normalize("NFKC").replace(/[^\p{L}\p{N}]/gu, "");
    return code.length === 12 ? code : undefined;
  },
  verify: (code) => authsignal.recoveryCodes.verify({ code }),
  malformed: "error.recoveryForm",
  wrong: "error.recovery",
  async accepted({ token, recoveryCodesLeft }) {
    accept(token);
    complete();
    recovered(recoveryCodesLeft);
  },
});

let codesLeft;

/** Shows what follows a recovery: a new app, new codes, or what the user came for. */
function recovered(left) {
  codesLeft = left;
  show("recovered");
  state.mayRecover = left > 0;
  $("recovered-left").textContent = text(left ? "page.left" : "page.leftNone", { left });
  $("recovered-few").hidden = $("recovered-codes").hidden = left > few || !state.mayMakeCodes;
  $("recovered-lost").hidden = $("recovered-app").hidden = !flag("active");
}

$("recovered-app").addEventListener("click", async () => {
  state.next = "settings";
  state.lost = true;
  const result = await call("GET", "user-authenticators");
  if (result.data?.length < Number(data.most)) {
    state.inSettings = true; // where cancelling leads to
    return open.enroll();
  }
  if (result.data) notice(text("page.removeLost"));
  open.settings();
});
$("recovered-codes").addEventListener("click", async () => {
  const result = await newCodes((total) => recovered(total ?? codesLeft), codesLeft);
  if (!result.data && !reportError(result)) $("recovered-error").textContent = text("error.list");
});
$("recovered-on").addEventListener("click", goOn);
$("to-recovery").addEventListener("click", recovery);
$("failure-recovery").addEventListener("click", recovery);
$("to-challenge").addEventListener("click", () => open.challenge());
