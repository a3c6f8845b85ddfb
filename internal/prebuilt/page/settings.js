// The settings: the user's authenticators.

import { $, authsignal, call, data, date, fail, flag, notice, open, reportError, show, state, temporaryFailures, text } from "./page.js";

open.settings = async () => {
  state.inSettings = true;
  const list = $("list");
  if ($("settings").hidden) {
    list.replaceChildren();
    show("settings");
  }
  list.setAttribute("aria-busy", "true");
  const result = await call("GET", "user-authenticators");
  list.setAttribute("aria-busy", "false");
  if (!result.data) {
    if (!reportError(result)) fail(temporaryFailures[result.errorCode] ?? "internal", open.settings);
    return;
  }
  const items = result.data;
  state.enrolled = items.length > 0;
  $("settings-text").hidden = !state.enrolled;
  $("settings-empty").hidden = state.enrolled;
  const more = items.length < Number(data.most);
  $("add").hidden = !flag("active") || !more || (state.enrolled && !state.mayAdd);
  const app = items.some((item) => item.verificationMethod === "AUTHENTICATOR_APP");
  $("unlock").hidden = !app || !flag("mayVerify") || (state.mayRemove && (state.mayAdd || !more));
  list.replaceChildren(...items.map((item) => row(item, items.length === 1)));
};

function row(item, last) {
  const element = $("item").content.cloneNode(true).firstElementChild;
  const find = (selector) => element.querySelector(selector);
  const name = text("page.method." + item.verificationMethod);
  const shown = item.email ?? item.phoneNumber;
  find(".method").textContent = shown ? `${name} ${shown}` : name;
  const [created, used] = [item.createdAt, item.lastVerifiedAt].map((iso) => iso && date(iso));
  find(".when").textContent = text(used ? "page.whenUsed" : "page.when", { created, used });
  const [remove, confirm] = [find(".remove"), find(".confirm")];
  remove.hidden = !state.mayRemove;
  remove.setAttribute("aria-label", text("page.removeLabel", { name: `${name}, ${find(".when").textContent}` }));
  confirm.querySelector("p").textContent = text(last ? "page.removeLast" : "page.removeOne");
  const ask = (asking) => {
    confirm.hidden = !asking;
    remove.hidden = asking;
  };
  remove.addEventListener("click", () => {
    ask(true);
    find(".keep").focus();
  });
  find(".keep").addEventListener("click", () => {
    ask(false);
    remove.focus();
  });
  find(".danger").addEventListener("click", async () => {
    if (element.getAttribute("aria-busy") === "true") return;
    element.setAttribute("aria-busy", "true");
    $("settings-error").textContent = "";
    const result = await call("DELETE", "user-authenticators/" + encodeURIComponent(item.userAuthenticatorId));
    element.setAttribute("aria-busy", "false");
    // An authenticator that no longer exists counts as removed.
    if (!result.data && result.errorCode !== "not_found") {
      if (!reportError(result)) $("settings-error").textContent = text("error.list");
      return;
    }
    // The removal ended the token that was used for it.
    if (result.data) authsignal.setToken((state.token = result.data.accessToken));
    notice(text("page.removed"));
    $("settings-title").focus();
    await open.settings();
  });
  return element;
}

$("unlock-button").addEventListener("click", () => {
  notice("");
  state.next = "settings";
  open.challenge();
});
$("add").addEventListener("click", () => {
  state.next = "settings";
  open.enroll();
});
$("settings-done").addEventListener("click", () => {
  notice("");
  open.finish();
});
