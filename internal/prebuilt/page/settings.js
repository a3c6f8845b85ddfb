// The settings: the user's authenticators, recovery codes and trusted browsers.

import { newCodes } from "./codes.js";
import { place } from "./devices.js";
import { $, call, data, date, fail, few, flag, notice, open, reportError, setToken, show, state, temporaryFailures, text } from "./page.js";

open.settings = async () => {
  state.inSettings = true;
  const list = $("list");
  if ($("settings").hidden) {
    list.replaceChildren();
    $("settings-codes").hidden = $("settings-browsers").hidden = true;
    show("settings");
  }
  list.setAttribute("aria-busy", "true");
  const results = await Promise.all([call("GET", "user-authenticators"), call("GET", "recovery-codes"), state.maySeeBrowsers ? call("GET", "trusted-browsers") : { data: [] }]);
  list.setAttribute("aria-busy", "false");
  const failed = results.find((result) => !result.data);
  if (failed) {
    if (!reportError(failed)) fail(temporaryFailures[failed.errorCode] ?? "internal", open.settings);
    return;
  }
  const [items, codes, browsers] = results.map((result) => result.data);
  state.enrolled = items.length > 0;
  $("settings-text").hidden = !state.enrolled;
  $("settings-empty").hidden = state.enrolled;
  const more = items.length < Number(data.most);
  $("add").hidden = !flag("active") || !more || (state.enrolled && !state.mayAdd);
  const app = items.some((item) => item.verificationMethod === "AUTHENTICATOR_APP");
  const mayChange = state.mayRemove && state.mayRename && (state.mayAdd || !more);
  $("unlock").hidden = !app || !flag("mayVerify") || (mayChange && (state.mayMakeCodes || !flag("codes")));
  $("locked").textContent = text(mayChange ? "page.lockedCodes" : "page.locked");
  list.replaceChildren(...items.map((item) => row(item, items.length === 1)));
  showCodes(app, codes);
  showBrowsers(browsers);
};

/** Shows the list again after a change, with what to say of it. */
async function changed(message) {
  notice(text(message));
  $("settings-title").focus();
  await open.settings();
}

/**
 * Does a change of an item, whose error goes to the element; an item that no longer
 * exists is changed as well. Reports whether the list is to be shown again.
 */
async function change(item, error, method, path, body) {
  if (item.getAttribute("aria-busy") === "true") return false;
  item.setAttribute("aria-busy", "true");
  error.textContent = "";
  const result = await call(method, path, body);
  item.setAttribute("aria-busy", "false");
  // A removal of an authenticator ended the token that was used for it.
  if (result.data?.accessToken) setToken(result.data.accessToken);
  if (result.data || result.errorCode === "not_found") return true;
  if (result.errorCode === "invalid_request" && body) error.textContent = text("error.name");
  else if (!reportError(result)) error.textContent = text("error.list");
  return false;
}

/** Opens a part of an item by a button, and closes it by another. */
function unfold(part, { opener, closer, focus = closer, buttons }) {
  const toggle = (opened) => {
    part.hidden = !opened;
    buttons.hidden = opened;
    (opened ? focus : opener).focus();
  };
  opener.addEventListener("click", () => toggle(true));
  closer.addEventListener("click", () => toggle(false));
}

function row(item, last) {
  const element = $("item").content.cloneNode(true).firstElementChild;
  const find = (selector) => element.querySelector(selector);
  const path = "user-authenticators/" + encodeURIComponent(item.userAuthenticatorId);
  const method = [text("page.method." + item.verificationMethod), item.email ?? item.phoneNumber].filter(Boolean).join(" ");
  find(".name").textContent = item.name ?? method;
  find(".method").textContent = item.name ? method : "";
  const [created, used] = [item.createdAt, item.lastVerifiedAt].map((iso) => iso && date(iso));
  find(".when").textContent = text(used ? "page.whenUsed" : "page.when", { created, used });
  find(".where").textContent = place(item.lastUsedUserAgent, item.lastUsedIpAddress);
  const label = `${item.name ?? method}, ${find(".when").textContent}`;
  const buttons = find(".buttons");

  const [remove, removing] = [find(".remove"), find(".confirm")];
  remove.hidden = !state.mayRemove;
  remove.setAttribute("aria-label", text("page.removeLabel", { name: label }));
  removing.querySelector("p").textContent = text(last ? "page.removeLast" : "page.removeOne");
  unfold(removing, { opener: remove, closer: find(".keep"), buttons });
  find(".danger").addEventListener("click", async () => {
    if (await change(element, $("settings-error"), "DELETE", path)) await changed("page.removed");
  });

  const [rename, renaming] = [find(".rename"), find(".renaming")];
  const field = renaming.elements.name;
  rename.hidden = !state.mayRename;
  rename.setAttribute("aria-label", text("page.renameLabel", { name: label }));
  unfold(renaming, { opener: rename, closer: find(".keep-name"), focus: field, buttons });
  rename.addEventListener("click", () => {
    field.value = item.name ?? "";
    field.select();
  });
  renaming.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await change(renaming, renaming.querySelector(".error"), "PATCH", path, { name: field.value })) await changed("page.renamed");
    else field.focus();
  });
  return element;
}

let codesLeft;

function showCodes(app, { total, left, confirmedAt }) {
  codesLeft = left;
  $("settings-codes").hidden = !app || !flag("codes");
  $("codes-status").textContent = total ? text("page.codesLeft", { left, total, date: date(confirmedAt) }) : text("page.codesNone");
  $("codes-status").className = left <= few ? "warning" : "quiet";
  $("new-codes").hidden = !state.mayMakeCodes;
  $("new-codes").textContent = text(total ? "page.codesAgain" : "page.codesMake");
}

$("new-codes").addEventListener("click", async () => {
  const block = $("settings-codes");
  if (block.getAttribute("aria-busy") === "true") return;
  block.setAttribute("aria-busy", "true");
  $("new-codes-error").textContent = "";
  notice("");
  const result = await newCodes((total) => {
    if (total) notice(text("page.codesInForce"));
    open.settings();
  }, codesLeft);
  block.setAttribute("aria-busy", "false");
  if (!result.data && !reportError(result)) $("new-codes-error").textContent = text("error.list");
});

function showBrowsers(browsers) {
  $("settings-browsers").hidden = !browsers.length;
  $("forget-all").hidden = browsers.length < 2;
  $("browsers").replaceChildren(
    ...browsers.map(({ browserId, trustedAt, lastUsedAt, ipAddress, userAgent }) => {
      const element = $("browser").content.cloneNode(true).firstElementChild;
      const find = (selector) => element.querySelector(selector);
      const name = place(userAgent) || text("page.browserUnknown");
      find(".name").textContent = name;
      find(".when").textContent = text("page.browserWhen", { trusted: date(trustedAt), used: date(lastUsedAt) });
      find(".where").textContent = ipAddress ?? "";
      find(".forget").setAttribute("aria-label", text("page.forgetLabel", { name: `${name}, ${find(".when").textContent}` }));
      find(".forget").addEventListener("click", () => forget(element, "/" + encodeURIComponent(browserId), "page.forgotten"));
      return element;
    }),
  );
}

async function forget(element, path, message) {
  if (await change(element, $("browsers-error"), "DELETE", "trusted-browsers" + path)) await changed(message);
}

$("forget-all").addEventListener("click", () => forget($("browsers"), "", "page.forgottenAll"));
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
