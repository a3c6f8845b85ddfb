// The form for a code, which an enrollment, a challenge and a recovery have.

import { $, fail, lang, reportError, show, text } from "./page.js";

/** What to say to a user whose phone's clock is off; negative seconds are behind. */
function clockOff(seconds) {
  const minutes = Math.max(1, Math.round(Math.abs(seconds) / 60));
  const unit = new Intl.NumberFormat(lang, { style: "unit", unit: "minute", unitDisplay: "long" });
  return text(seconds < 0 ? "error.behind" : "error.ahead", { minutes: unit.format(minutes) });
}

/** Reads a code of an app: full-width digits are accepted, and spaces and dashes dropped. */
export function digits(entered) {
  const code = entered.normalize("NFKC").replace(/\D/g, "");
  return code.length >= 6 && code.length <= 8 ? code : undefined;
}

/**
 * Handles the form of a section.
 *
 * @param {string} step the section
 * @param {object} handling
 * @param {(entered: string) => string | undefined} handling.read returns the code, or nothing if it has not the form of one
 * @param {(code: string) => Promise<object>} handling.verify sends the code
 * @param {string} handling.malformed the text for what is not a code
 * @param {string} handling.wrong the text for a code that was refused
 * @param {() => void} [handling.blocked] is called if no code is accepted at the moment
 * @param {(data: object) => Promise<void>} handling.accepted is called with the answer to a right code
 */
export function codeForm(step, { read, verify, malformed, wrong, blocked, accepted }) {
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
    const code = read(field.value);
    if (!code) return showError(text(malformed));
    form.setAttribute("aria-busy", "true");
    const result = await verify(code);
    if (result.data?.isVerified) await accepted(result.data);
    form.setAttribute("aria-busy", "false");
    if (result.data?.isVerified) return;
    if (result.data?.failureReason === "MAX_ATTEMPTS_EXCEEDED" && blocked) return blocked();
    if (result.data?.failureDetail === "SERVER_CLOCK_WAS_AHEAD") return showError(text("error.clock"));
    if (result.data?.failureDetail === "DEVICE_CLOCK_IS_OFF") return showError(clockOff(result.data.clockOffSeconds));
    if (result.data) return showError(text(wrong));
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
