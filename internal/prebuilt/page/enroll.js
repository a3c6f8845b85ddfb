// Enrollment.

import { codeForm } from "./code.js";
import { $, data, date, enrollment, fail, notice, open, reportError, show, state, temporaryFailures, text } from "./page.js";

/** The failure of a user who has as many authenticators as the tenant allows. */
const tooMany = data.most === "1" ? "single" : "full";

if (data.deadline) $("deadline").textContent = text("page.deadline", { date: date(data.deadline) });

open.enroll = async () => {
  notice("");
  $("qr").hidden = true;
  $("qr").removeAttribute("src");
  $("open-app").removeAttribute("href");
  $("secret").replaceChildren();
  $("copied").textContent = $("replaced").textContent = "";
  $("by-hand").open = false;
  const figure = document.querySelector("figure");
  figure.hidden = false;
  figure.setAttribute("aria-busy", "true");
  show("enroll");
  const result = await enrollment.begin();
  figure.setAttribute("aria-busy", "false");
  if (!result.data) {
    if (!reportError(result)) fail(temporaryFailures[result.errorCode] ?? (result.errorCode === "invalid_request" ? tooMany : "internal"), open.enroll);
    return;
  }
  const { uri, secret, qrCode, replaced } = result.data;
  // If the URI is too long for a QR code, only the secret is shown.
  figure.hidden = !qrCode;
  $("by-hand").open = !qrCode;
  if (qrCode) $("qr").src = qrCode;
  $("qr").hidden = !qrCode;
  if (replaced) $("replaced").textContent = text("page.replaced");
  if (/^otpauth:/i.test(uri)) $("open-app").href = uri;
  $("open-app").hidden = !$("open-app").href;
  $("secret").replaceChildren(...secret.match(/.{1,4}/g).flatMap((group) => [Object.assign(document.createElement("span"), { textContent: group }), " "]));
};

$("copy").addEventListener("click", async () => {
  let key = "page.copied";
  try {
    await navigator.clipboard.writeText($("secret").textContent.replaceAll(" ", ""));
  } catch {
    // Browsers refuse without HTTPS or permission.
    getSelection().selectAllChildren($("secret"));
    key = "page.selected";
  }
  $("copied").textContent = "";
  $("copied").textContent = text(key);
});

codeForm("enroll", () => {
  if (state.next === "settings") notice(text("page.added"));
  open[state.next]();
});
