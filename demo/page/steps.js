// The steps of the page, of which one is shown at a time, and its forms.

import { $, authsignal, backend, PageError, state } from "./page.js";

const arrivals = {};

/**
 * Sets what is done when the backend's session comes to a step: `fill` before it is
 * shown, so that its layout does not shift, and `begin` afterwards.
 */
export const onArrive = (step, { fill, begin }) => (arrivals[step] = { fill, begin });

/** Shows the step of a session. */
export async function show(next, notice = next.notice ?? "") {
  const { username } = state.session;
  state.session = next;
  next.notice = ""; // it is shown once
  authsignal.setToken(next.token);
  const { fill, begin } = arrivals[next.step] ?? {};
  await fill?.(username);
  if (state.session !== next) return; // it has ended already
  go(next.step);
  $("notice").textContent = notice;
  await begin?.();
}

/**
 * Shows a section, and sets the focus to its first element. With `signedIn`, it is
 * part of a change that a signed-in user makes and can cancel.
 */
export function go(section, { signedIn = false } = {}) {
  state.unsure = false;
  for (const element of document.querySelectorAll("main > section")) element.hidden = element.id !== section;
  for (const element of document.querySelectorAll(".sign-in-only")) element.hidden = signedIn;
  for (const element of document.querySelectorAll(".confirm-only")) element.hidden = !signedIn;
  for (const element of document.querySelectorAll(".username")) element.textContent = state.session.username ?? "";
  for (const form of document.querySelectorAll("form")) clear(form);
  for (const field of document.querySelectorAll(".code, .recovery")) field.value = "";
  for (const dialog of document.querySelectorAll("dialog[id]")) dialog.close();
  if (section !== "account") for (const part of document.querySelectorAll("#account > details")) part.open = false;
  $("remember").checked = false;
  $("confirm-payment-form").hidden = true;
  $("paid").textContent = "";
  $("notice").textContent = "";
  // Remove secrets from the page.
  $("enroll-ready").hidden = true;
  $("qr").removeAttribute("src");
  $("open-app").removeAttribute("href");
  $("secret").replaceChildren();
  $("replaced").textContent = "";
  $("code-list").replaceChildren();
  document.title = `${$(section + "-title").textContent} – Authsignal demo`;
  scrollTo(0, 0);
  const field = ["signIn", "challenge", "recover"].includes(section) && $(section).querySelector("input");
  (field || $(section + "-title")).focus();
  if (field) field.select();
}

/** Signs in, or starts again: the backend tracks a new action. */
export async function signIn(username) {
  const { ui, mode } = $("signIn-form").elements;
  await show(await backend("POST", "/api/sign-in", { username, ui: ui.value === "custom" ? "custom" : mode.value }));
  // A window opens only in response to a click, so the user must click again.
  if (state.session.step === "prebuilt" && state.session.mode !== "window") $("prebuilt-form").requestSubmit();
}

/** Runs an action of the user. If the session has ended, it shows the sign-in. */
export async function attempt(work, fail) {
  try {
    await work();
  } catch (error) {
    if (error.code === "not_signed_in") {
      await show({ step: "signIn" }, error.message);
    } else if (error instanceof PageError) {
      fail(error);
    } else {
      fail(new PageError("Something went wrong in this page. Reload it and try again."));
      reportError(error);
    }
  }
}

/** Runs `work` when a form is submitted, but not concurrently, and shows its error. */
export function onSubmit(form, work) {
  form.run = async (work) => {
    // The button is not disabled, because a disabled button loses the focus.
    if (form.getAttribute("aria-busy") === "true") return;
    clear(form);
    form.setAttribute("aria-busy", "true");
    await attempt(
      () => work(form),
      (error) => fail(form, error),
    );
    form.setAttribute("aria-busy", "false");
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.run(work);
  });
}

/** Runs `work` when a button is pressed, as a part of a form. */
export function onPress(button, form, work) {
  button.addEventListener("click", () => form.run(work));
}

/** Shows an error in a form, where screen readers announce it, and focuses its field. */
export function fail(form, { message, restart }) {
  form.querySelector(".error").textContent = message;
  const again = form.querySelector(".restart");
  if (again) again.hidden = !restart;
  const field = form.querySelector("input");
  if (!field || form.closest("[hidden]")) return;
  field.setAttribute("aria-invalid", "true");
  if (restart && again) {
    again.focus();
  } else {
    field.focus();
    field.select();
  }
}

export function clear(form) {
  form.querySelector(".error").textContent = "";
  for (const button of form.querySelectorAll(".restart, #restart-form button")) button.hidden = true;
  for (const field of form.querySelectorAll("input")) field.removeAttribute("aria-invalid");
}
