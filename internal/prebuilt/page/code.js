// The form for a code of the authenticator app, which an enrollment and a challenge
// have.

import { $, authsignal, enrollment, fail, lang, reportError, show, state, text } from "./page.js";
import { remember } from "./remember.js";

/** What to say to a user whose phone's clock is off; negative seconds are behind. */
function clockOff(seconds) {
  const minutes = Math.max(1, Math.round(Math.abs(seconds) / 60));
  const unit = new Intl.NumberFormat(lang, { style: "unit", unit: "minute", unitDisplay: "long" });
  return text(seconds < 0 ? "error.behind" : "error.ahead", { minutes: unit.format(minutes) });
}

/** Handles the form of a section; accepted is called after a right code. */
export function codeForm(step, accepted) {
  const form = $(step + "-form");
  const field = form.elements.code;
  const showError = (message) => {
    $(step + "-error").textContent = message;
    field.setAttribute("aria-invalid", "true");
    field.focus();
    field.select();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // The button is not disabled, because a disabled button loses the focus.
    if (form.getAttribute("aria-busy") === "true") return;
    $(step + "-error").textContent = "";
    field.removeAttribute("aria-invalid");
    // Accept full-width digits, and drop spaces and dashes.
    const code = field.value.normalize("NFKC").replace(/\D/g, "");
    if (code.length < 6 || code.length > 8) return showError(text("error.form"));
    form.setAttribute("aria-busy", "true");
    const result = await (step === "enroll" ? enrollment.verify(code) : authsignal.totp.verify({ code }));
    if (result.data?.isVerified) {
      // The new token has all scopes.
      state.token = result.data.token;
      state.mayAdd = state.mayRemove = state.enrolled = true;
      await remember(step);
    }
    form.setAttribute("aria-busy", "false");
    if (result.data?.isVerified) return accepted();
    if (result.data?.failureReason === "MAX_ATTEMPTS_EXCEEDED") {
      return fail("attempts", () => show(step));
    }
    if (result.data?.failureDetail === "SERVER_CLOCK_WAS_AHEAD") return showError(text("error.clock"));
    if (result.data?.failureDetail === "DEVICE_CLOCK_IS_OFF") return showError(clockOff(result.data.clockOffSeconds));
    if (result.data) return showError(text(step === "enroll" ? "error.wrongEnrollment" : "error.wrong"));
    if (reportError(result)) return;
    switch (result.errorCode) {
      case "wasm_load_failed":
        return fail("module", () => show(step));
      case "network_error":
      case "timeout":
        return showError(text("error.network"));
      case "too_many_requests":
        return showError(text("error.limit"));
      case "invalid_request":
        return showError(text("error.declined"));
      case "sdk_crashed":
        return showError(text("error.stopped"));
    }
    showError(text("error.internal"));
  });
}
