// Recovery codes: shown once, to be kept. They come into force when the user
// confirms. They are in the page only while their section is shown, and in no
// storage.

import { $, authsignal, complete, date, fail, few, reportError, show, state, text } from "./page.js";

/** What follows the section: called with the number of new codes in force, or nothing. */
let then;

/**
 * Offers recovery codes after an enrollment, to a user who has few or none. The
 * enrollment counts whatever happens here: an error only skips the offer.
 */
export async function offerCodes(afterwards) {
  const { data } = state.mayMakeCodes ? await authsignal.recoveryCodes.status() : {};
  if (data?.left <= few) {
    complete();
    const made = await newCodes(afterwards, data.left);
    if (made.data) return;
  }
  afterwards();
}

/** Makes codes in place of those that are left, and shows them; returns the result of the call. */
export async function newCodes(afterwards, left) {
  const result = await authsignal.recoveryCodes.generate();
  if (!result.data) return result;
  then = afterwards;
  show("codes");
  $("codes-earlier").hidden = !left;
  $("codes-said").textContent = "";
  $("codes-print").textContent = text("page.codesPrinted", { date: date(result.data.createdAt) });
  $("codes-list").replaceChildren(...result.data.recoveryCodes.map((code) => Object.assign(document.createElement("li"), { textContent: code })));
  return result;
}

const codes = () => [...$("codes-list").children].map((item) => item.textContent);
const sheet = () => [$("codes-print").textContent, "", ...codes(), "", text("page.codesUse"), ""].join("\n");

function say(key) {
  $("codes-said").textContent = "";
  $("codes-said").textContent = text(key);
}

$("codes-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(codes().join("\n"));
    say("page.codesCopied");
  } catch {
    // Browsers refuse without HTTPS or permission.
    getSelection().selectAllChildren($("codes-list"));
    say("page.selected");
  }
});
$("codes-download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([sheet()], { type: "text/plain;charset=utf-8" }));
  link.download = text("page.codesFile") + ".txt";
  link.click();
  // Not at once: Safari reads the blob later.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say("page.codesDownloaded");
});
$("codes-print-button").addEventListener("click", () => print());

function leave(total) {
  $("codes-list").replaceChildren();
  then(total);
}

$("codes-saved").addEventListener("click", async () => {
  const section = $("codes");
  if (section.getAttribute("aria-busy") === "true") return;
  $("codes-error").textContent = "";
  section.setAttribute("aria-busy", "true");
  // By one of the codes, so that codes that another page has made in the meantime,
  // which the user does not see here, do not come into force.
  const [code, ...others] = codes();
  const result = await authsignal.recoveryCodes.confirm({ code });
  section.setAttribute("aria-busy", "false");
  if (result.data?.isConfirmed) {
    state.mayRecover = true;
    return leave(others.length + 1);
  }
  if (result.data) $("codes-error").textContent = text("error.codesReplaced");
  // The user may have kept codes that are not in force.
  else if (reportError(result)) fail("codes");
  else $("codes-error").textContent = text("error.codes");
});
$("codes-later").addEventListener("click", () => leave());
