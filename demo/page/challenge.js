// A code of the app, or a recovery code: to sign in, or to confirm that it is the user
// before a change.

import { leftText } from "./codes.js";
import { $, authsignal, backend, PageError, state } from "./page.js";
import { recovered } from "./replace.js";
import { go, onArrive, onSubmit, show } from "./steps.js";
import { codeOf, verify } from "./verify.js";

/**
 * What the code is for: `signedIn` if it confirms a change, and `complete`, which is
 * called with the new token and the data of the result.
 */
let purpose;

onArrive("challenge", {
  begin() {
    purpose = { signedIn: false, complete: signInWith };
    $("challenge-why").textContent = "";
  },
});

async function signInWith(token, { recoveryCodesLeft }) {
  const recovery = !$("recover").hidden;
  const next = await backend("POST", "/api/verified", { token, remember: !recovery && $("remember").checked });
  return recovery ? recovered(next, recoveryCodesLeft) : show(next);
}

/** Asks for a code, and then calls `then`. The SDK has the token of the completed challenge. */
export async function confirm(why, then) {
  const { token } = await backend("POST", "/api/confirm");
  authsignal.setToken(token);
  purpose = {
    signedIn: true,
    async complete(token, { recoveryCodesLeft }) {
      state.session = await backend("POST", "/api/confirmed", { token });
      await then();
      if (recoveryCodesLeft !== undefined) $("notice").textContent = leftText(recoveryCodesLeft);
    },
  };
  $("challenge-why").textContent = why;
  go("challenge", purpose);
}

/** Does what may need a code that was entered lately, and asks for one if the backend does. */
export async function withCode(why, work) {
  try {
    await work();
  } catch (error) {
    if (error.code !== "confirm") throw error;
    await confirm(why, work);
  }
}

onSubmit($("challenge-form"), (form) => {
  const code = codeOf(form);
  return verify(
    () => authsignal.totp.verify({ code }),
    (...result) => purpose.complete(...result),
  );
});

onSubmit($("recover-form"), (form) => {
  const code = form.elements.code.value.trim();
  if (!code) throw new PageError("Enter a recovery code.");
  return verify(
    async () => {
      const result = await authsignal.recoveryCodes.verify({ code });
      if (result.errorCode === "invalid_request") throw new PageError("There are no recovery codes for this account. Use the authenticator app, or ask the operators of this app.");
      if (result.data?.failureReason === "CODE_INVALID_OR_EXPIRED" && !state.unsure) {
        throw new PageError("That code was not accepted. Check it, or use another one: each works once.");
      }
      return result;
    },
    (...result) => purpose.complete(...result),
  );
});

$("use-recovery").addEventListener("click", () => go("recover", purpose));
$("use-app").addEventListener("click", () => go("challenge", purpose));
for (const button of document.querySelectorAll(".cancel")) button.addEventListener("click", () => show(state.session));
