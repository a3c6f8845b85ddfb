// After a recovery code: a new app in place of the lost one.

import { few, leftText, offerCodes } from "./codes.js";
import { addApp } from "./enroll.js";
import { $, backend, state, time } from "./page.js";
import { go, onPress, onSubmit, show } from "./steps.js";

/** Leads on from a sign-in with a recovery code, of which so many are left. */
export function recovered(next, left) {
  state.session = next;
  $("codes-left").textContent = leftText(left);
  $("codes-left").classList.toggle("warning", left <= few);
  go("recovered");
}

$("set-up").addEventListener("click", () => addApp((authenticator) => offerCodes(() => replace(authenticator))));

/** Offers to remove the apps that the user had before the new one. */
async function replace(added) {
  const { authenticators } = await backend("GET", "/api/account");
  const others = authenticators.filter(({ id }) => id !== added?.userAuthenticatorId);
  if (!added || others.length === 0) return show(state.session);
  go("replace");
  $("replace-list").replaceChildren(
    ...others.map((authenticator) => {
      const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "Remove", className: "danger" });
      remove.setAttribute("aria-label", `Remove ${nameOf(authenticator)}`);
      onPress(remove, $("replace-form"), async () => {
        const next = await backend("POST", "/api/remove-authenticator", { id: authenticator.id });
        if (others.length > 1) return replace(added);
        await show(next, "The lost app was removed. Its codes no longer work.");
      });
      const item = document.createElement("li");
      item.append(about(authenticator), remove);
      return item;
    }),
  );
}

export const nameOf = ({ name }) => name ?? "Authenticator app";

/** Describes an authenticator app in a list. */
export function about(authenticator) {
  const { createdAt, usedAt, usedWith } = authenticator;
  const uses = Object.assign(document.createElement("p"), { className: "quiet" });
  uses.append("Added ", time(createdAt));
  if (usedAt) uses.append(", last used ", time(usedAt));
  if (usedWith) uses.append(` with ${usedWith}`);
  const text = document.createElement("div");
  text.append(Object.assign(document.createElement("b"), { textContent: nameOf(authenticator) }), uses);
  return text;
}

onSubmit($("replace-form"), () => {});
for (const section of ["recovered", "replace"])
  $(section)
    .querySelector(".done")
    .addEventListener("click", () => show(state.session));
