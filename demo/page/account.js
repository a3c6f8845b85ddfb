// The protected page: payments, and how the account is protected.

import { confirm, withCode } from "./challenge.js";
import { few, makeCodes, offerCodes } from "./codes.js";
import { addApp } from "./enroll.js";
import { $, authsignal, backend, state, time } from "./page.js";
import { about, nameOf } from "./replace.js";
import { attempt, clear, onArrive, onPress, onSubmit, show, signIn } from "./steps.js";
import { codeOf, verify } from "./verify.js";

onArrive("account", { fill: account, begin: watchNotices });

const make = (name, textContent, more) => Object.assign(document.createElement(name), { textContent, ...more });

/** Fills the page with what the backend knows. */
async function account() {
  const fail = (error) => ($("account-error").textContent = error.message);
  for (const id of ["account-message", "signed-in-at", "signed-in-by", "validated", "protected-by"]) $(id).textContent = "…";
  fail({ message: "" });
  await attempt(async () => {
    const { message, signedInAt, action, by, authenticators, recoveryCodes, browsers, notices } = await backend("GET", "/api/account");
    $("account-message").textContent = message;
    $("signed-in-at").replaceChildren(time(signedInAt));
    $("signed-in-by").textContent = { NONE: "None yet", TRUSTED_BROWSER: "None: this browser is remembered", RECOVERY_CODE: "A recovery code" }[by] ?? "A code of the app";
    $("validated").textContent = action;
    $("protected-by").textContent = ["Nothing yet", "Authenticator app"][authenticators.length] ?? `${authenticators.length} authenticator apps`;
    $("due-form").hidden = by !== "NONE";
    if (by === "NONE") $("due").replaceChildren(time(state.session.deadline));
    listAuthenticators(authenticators);
    showRecovery(recoveryCodes);
    listBrowsers(browsers);
    // Before the first app, there is nothing to change.
    for (const part of ["authenticators", "browsers", ...(authenticators.length ? [] : ["recovery"])]) $(part).hidden = !authenticators.length;
    listNotices(notices);
  }, fail);
}

/** Shows in the summary of a part what is in it. */
const summarize = (part, text) => ($(part).querySelector("summary .state").textContent = text);

/** Fills the account again, after a change in a part of it, and leaves the focus there. */
async function refresh(part, notice) {
  await show(state.session, notice);
  if (state.session.step !== "account") return;
  $(part).open = true;
  $(part).querySelector("summary").focus();
}

onSubmit($("due-form"), () => signIn(state.session.username));

// Payments.

onSubmit($("pay-form"), async (form) => {
  const amount = Number(form.elements.amount.value.replace(",", "."));
  $("paid").textContent = "";
  $("confirm-payment-form").hidden = true;
  const receipt = await backend("POST", "/api/pay", { amount });
  if (receipt.paid) return paid(receipt);
  state.unsure = false;
  authsignal.setToken(receipt.token);
  $("payment-amount").textContent = receipt.amount;
  $("payment-code").value = "";
  clear($("confirm-payment-form"));
  $("confirm-payment-form").hidden = false;
  $("payment-code").focus();
});

onSubmit($("confirm-payment-form"), (form) => {
  const code = codeOf(form);
  return verify(
    () => authsignal.totp.verify({ code }),
    async (token) => paid(await backend("POST", "/api/paid", { token })),
  );
});

function paid({ amount }) {
  state.unsure = false;
  $("confirm-payment-form").hidden = true;
  $("paid").textContent = `Paid: ${amount}.`;
  $("amount").focus();
}

// Authenticator apps.

function listAuthenticators(list) {
  summarize("authenticators", list.length);
  $("authenticator-list").replaceChildren(
    ...list.map((authenticator) => {
      const item = make("li", "");
      const actions = make("div", "", { className: "actions" });
      for (const [label, open] of [
        ["Rename", openRename],
        ["Remove", openRemove],
      ]) {
        const button = make("button", `${label}…`, { type: "button", className: label.toLowerCase() });
        button.setAttribute("aria-label", `${label} ${nameOf(authenticator)}`);
        button.addEventListener("click", () => open(authenticator, list.length === 1));
        actions.append(button);
      }
      item.append(about(authenticator), actions);
      return item;
    }),
  );
}

let chosen; // the authenticator that a dialog is about

function openRename(authenticator) {
  chosen = authenticator;
  clear($("rename-form"));
  $("rename-name").value = authenticator.name ?? "";
  $("rename").showModal();
  $("rename-name").select();
}

onSubmit($("rename-form"), (form) => {
  const { id } = chosen;
  const name = form.elements.name.value;
  return withCode("The app then gets its new name.", async () => {
    state.session = await backend("POST", "/api/rename-authenticator", { id, name });
    await refresh("authenticators", "The app was renamed.");
  });
});

function openRemove(authenticator, last) {
  chosen = authenticator;
  clear($("confirm-form"));
  $("confirm-name").textContent = nameOf(authenticator);
  $("confirm-text").textContent = last
    ? "Your account is then no longer protected, and you are signed out. The next sign-in asks you to set up a new app. Delete the old entry in your app as well."
    : "Its codes are then refused. You are signed out of other browsers, and none is remembered any more. Delete the entry in the app as well.";
  $("confirm").showModal();
  $("keep").focus();
}

onSubmit($("confirm-form"), () => {
  const { id } = chosen;
  return withCode("The app is then removed.", async () => {
    const next = await backend("POST", "/api/remove-authenticator", { id });
    if (next.step !== "account") return show(next, "The authenticator was removed. Sign in again to set up a new one.");
    state.session = next;
    await refresh("authenticators", "The app was removed.");
  });
});

for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());

onSubmit($("authenticators-form"), () => confirm("Then you can add another app.", () => addApp(() => offerCodes(() => refresh("authenticators", "The app was added.")))));

/** Opens the settings of the pre-built UI, and then reloads the account. */
onSubmit($("settings-form"), async () => {
  const { url } = await backend("POST", "/api/settings");
  await authsignal.launch(url, { mode: "popup" });
  await account();
});

// Recovery codes.

/** Shows how many recovery codes are left; the API has none if status is null. */
function showRecovery(status) {
  $("recovery").hidden = !status;
  if (!status) return;
  const { left, total } = status;
  summarize("recovery", total ? `${left} of ${total} left` : "none");
  $("recovery-text").textContent = !total
    ? "You have none. If your phone is lost, only the operators of this app can let you in."
    : left <= few
      ? `Only ${left} of ${total} are left. Make new ones: those before then no longer work.`
      : `${left} of ${total} are left. New ones take the place of those before.`;
  for (const element of [$("recovery-text"), $("recovery").querySelector(".state")]) element.classList.toggle("warning", left <= few);
}

onSubmit($("recovery-form"), () => confirm("Then you get new recovery codes.", () => makeCodes(() => refresh("recovery"))));

// Remembered browsers.

function listBrowsers(list) {
  summarize("browsers", list.length || "none");
  $("browsers-text").textContent = list.length ? "In these, signing in needs no code." : "Every sign-in needs a code. Check the box beside the code to change that.";
  $("browser-list").replaceChildren(
    ...list.map(({ id, device, trustedAt, usedAt }) => {
      const item = make("li", "");
      const uses = make("p", "", { className: "quiet" });
      uses.append("Remembered since ", time(trustedAt), ", last used ", time(usedAt));
      const text = make("div", "");
      text.append(make("b", device), uses);
      const forget = make("button", "Forget", { type: "button" });
      forget.setAttribute("aria-label", `Forget ${device}`);
      onPress(forget, $("browsers-form"), async () => {
        state.session = await backend("POST", "/api/forget-browser", { id });
        await refresh("browsers", "The browser is not remembered any more.");
      });
      item.append(text, forget);
      return item;
    }),
  );
}

onSubmit($("browsers-form"), () => {});

// Notices.

let newest;
let timer;

function listNotices(list) {
  const now = JSON.stringify(list);
  if (now === newest) return; // screen readers announce changes
  newest = now;
  summarize("notices", list.length || "none");
  $("notice-list").replaceChildren(
    ...list.map(({ at, text }) => {
      const item = make("li", "");
      const when = make("p", "", { className: "quiet" });
      when.append(time(at));
      const body = make("div", "");
      body.append(make("p", text), when);
      item.append(body);
      return item;
    }),
  );
}

/** Asks for new notices every two seconds while the page is shown: events arrive a moment after their cause. */
function watchNotices() {
  clearInterval(timer);
  timer = setInterval(async () => {
    if ($("account").hidden) return clearInterval(timer);
    if (document.hidden) return;
    const { username } = state.session;
    try {
      const { notices } = await backend("GET", "/api/notices");
      if (state.session.username === username && !$("account").hidden) listNotices(notices);
    } catch {
      // The next one may succeed.
    }
  }, 2000);
}
