// Enrollment.

import { codeForm, digits } from "./code.js";
import { offerCodes } from "./codes.js";
import { phoneName } from "./devices.js";
import { $, accept, call, data, date, enrollment, fail, notice, open, reportError, show, state, temporaryFailures, text } from "./page.js";
import { remember } from "./remember.js";

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
  // A name matters to a user who has another app to tell this one from.
  $("enroll-naming").hidden = !state.enrolled || state.next === "linked";
  const name = await phoneName();
  $("enroll-name").value = name;
  const result = await enrollment.begin({ name: name || undefined });
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

codeForm("enroll", {
  read: digits,
  verify: (code) => enrollment.verify(code),
  malformed: "error.form",
  wrong: "error.wrongEnrollment",
  blocked: () => fail("attempts", () => show("enroll")),
  async accepted({ token, userAuthenticator }) {
    // A recovery link gives no token, and so no right to anything else.
    if (!token) return open[state.next]();
    const another = !$("enroll-naming").hidden;
    accept(token);
    await remember("enroll");
    const named = !another || (await rename(userAuthenticator, $("enroll-name").value));
    const added = state.lost ? "page.addedLost" : "page.added";
    if (state.next === "settings") notice(text(named ? added : "page.addedUnnamed"));
    // For another app, the settings show how many codes there are.
    if (another && state.next === "settings") return open.settings();
    await offerCodes(() => open[state.next]());
  },
});

/** Sets the name that the user entered; reports whether the authenticator has it. */
async function rename({ userAuthenticatorId: id, name = "" }, entered) {
  if (entered.trim() === name) return true;
  return Boolean((await call("PATCH", "user-authenticators/" + encodeURIComponent(id), { name: entered })).data);
}
