// Codes: their verification, and what the page says of those that are refused.

import { backend, explain, PageError, state } from "./page.js";

/** Returns the code of a form. It accepts full-width digits, and drops spaces and dashes. */
export function codeOf(form) {
  const code = form.elements.code.value.normalize("NFKC").replace(/\D/g, "");
  if (code.length < 6 || code.length > 8) throw new PageError("Enter the 6 digits that your authenticator app shows.");
  return code;
}

/**
 * Makes a call of the SDK that verifies a code, and then calls complete with the new
 * token and the data of the result. isVerified is only for the page: the backend
 * decides by validateChallenge.
 */
export async function verify(call, complete) {
  const result = await call();
  if (result.data?.isVerified) {
    state.unsure = true; // until the backend has validated it
    return complete(result.data.token, result.data);
  }
  // The API may have accepted a code although its response was lost. Then the
  // code is used up, but the action has succeeded, and the backend can validate
  // it with the token of the tracked action.
  if (["network_error", "timeout", "invalid_response", "internal_error", "sdk_crashed"].includes(result.errorCode)) {
    state.unsure = true;
  }
  if (state.unsure) {
    try {
      return await complete(undefined, {});
    } catch (error) {
      // The action has not succeeded, or the backend cannot be reached either.
      if (error.code === "not_signed_in") throw error;
    }
  }
  if (result.error) throw explain(result);
  throw await refused(result.data);
}

/** Returns the error of a refused code. */
async function refused({ failureReason, failureDetail, clockOffSeconds }) {
  if (failureReason === "MAX_ATTEMPTS_EXCEEDED") {
    // Both limits, that within a window and that in a row, have the same reason.
    return new PageError(
      "Too many wrong codes. For your security, no code is accepted at the moment. Usually it is enough to wait 5 minutes and enter a new code. " +
        "If this message appears again, your authenticator is locked, and only the operators of this app can help. A recovery code works nevertheless.",
    );
  }
  if (failureDetail === "DEVICE_CLOCK_IS_OFF") {
    const minutes = Math.round(Math.abs(clockOffSeconds) / 30) / 2;
    return new PageError(
      `That code was not accepted: your phone’s clock is ${minutes} ${minutes === 1 ? "minute" : "minutes"} ${clockOffSeconds < 0 ? "behind" : "ahead"}. ` +
        "Set its time to automatic, and enter the code that your app shows then.",
    );
  }
  // If a code was accepted recently, the clocks are right. The backend knows it
  // even if this page was reloaded or another page used the code.
  let last = {};
  try {
    last = await backend("GET", "/api/last-code");
  } catch (error) {
    // The result only improves the error text.
    if (error.code === "not_signed_in") throw error;
  }
  if (last.justAccepted) {
    return new PageError("That code was not accepted. Already used? Each code works only once: wait for the next one, at most 30 seconds. Mistyped? Enter it again.");
  }
  if (state.session.step === "enroll") {
    return new PageError(
      "That code was not accepted. Enter the code that your app shows now. " +
        "If it fails again, check your phone’s clock, and whether this page is open twice: only the newest QR code works.",
    );
  }
  return new PageError("That code was not accepted. Enter the code that your app shows now. If it fails again, check your phone’s clock.");
}
