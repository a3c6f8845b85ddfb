// Recovery codes: made, kept by the user, and only then in force. They need the token
// of a challenge that was completed just now.

import { $, authsignal, copy, explain, PageError, state } from "./page.js";
import { go, onPress, onSubmit } from "./steps.js";

/** With so many codes left the user should make new ones, as the Go SDK's FewRecoveryCodes. */
export const few = 2;

/** Says how many codes are left after one was used, or nothing if that is not known. */
export function leftText(left) {
  if (left === undefined) return "";
  const text = left === 1 ? "1 recovery code is left." : `${left} recovery codes are left.`;
  return left <= few ? `${text} Make new ones soon.` : text;
}

/** What follows. */
let done;
let file;
/** The codes that are shown. They are kept in the page alone, which every other step removes. */
const codes = () => [...$("code-list").children].map((item) => item.textContent);

/** Offers to make recovery codes to a user who has few or none, and then calls `then`. */
export async function offerCodes(then) {
  const { data } = await authsignal.recoveryCodes.status();
  // Without an answer, as from an API without recovery codes, there is no offer.
  if (!data || data.isDisabled || data.left > few) return then();
  done = then;
  go("codes");
  stage("make-form");
}

/** Makes recovery codes for a user who has asked for them, and then calls `then`. */
export async function makeCodes(then) {
  done = then;
  go("codes");
  stage("make-form");
  await $("make-form").run(make);
}

/** Shows one of the two parts. */
function stage(part) {
  for (const id of ["make-form", "codes-made"]) $(id).hidden = id !== part;
}

async function make() {
  const { data, ...result } = await authsignal.recoveryCodes.generate();
  if (!data) throw explain(result);
  $("code-list").replaceChildren(...data.recoveryCodes.map((code) => Object.assign(document.createElement("li"), { textContent: code })));
  $("codes-copied").textContent = "";
  stage("codes-made");
  $("codes-title").focus();
}

/**
 * Puts the codes in force by one of them. Not by `saved: true`, which confirms the newest
 * codes: another page may have made and shown those.
 */
async function confirm(code) {
  const { data, ...result } = await authsignal.recoveryCodes.confirm({ code });
  if (!data) throw explain(result);
  if (!data.isConfirmed && codes().some((shown) => plain(shown) === plain(code))) {
    throw new PageError("These codes cannot be confirmed: newer ones were made on another page. Delete these.");
  }
  if (!data.isConfirmed) throw new PageError("That is none of these codes. Check what you have saved, and enter one of them.");
  await leave("Your recovery codes are in force.");
}

/** Returns a code in the form in which codes are compared. */
const plain = (code) => code.replace(/[^\p{L}\p{N}]/gu, "").toUpperCase();

/** Forgets the codes and continues. */
async function leave(notice = "") {
  if (file) URL.revokeObjectURL(file);
  file = undefined;
  $("code-list").replaceChildren();
  await done();
  if (notice) $("notice").textContent = notice;
}

onSubmit($("make-form"), make);

$("copy-codes").addEventListener("click", () => copy(codes().join("\n"), $("code-list"), $("codes-copied"), "Copied. Paste them into a safe place."));

$("download-codes").addEventListener("click", () => {
  const lines = [`Recovery codes of ${state.session.username} for the Authsignal demo`, "Each works once.", "", ...codes(), ""];
  if (file) URL.revokeObjectURL(file);
  file = URL.createObjectURL(new Blob([lines.join("\r\n")], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href: file, download: "recovery-codes.txt" }).click();
});

$("print-codes").addEventListener("click", () => print());

onPress($("saved"), $("keep-form"), () => confirm(codes()[0]));
onSubmit($("keep-form"), async (form) => {
  const code = form.elements.code.value.trim();
  if (!code) throw new PageError("Enter one of the codes, or choose “I have saved them”.");
  await confirm(code);
});

for (const button of document.querySelectorAll("#codes .done")) onPress(button, button.form, () => leave());
