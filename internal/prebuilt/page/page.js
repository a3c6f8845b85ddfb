// What the parts of the page share: the data from the server, texts, the state of
// the visit, sections, failures, and the calls of the client API.

import { Authsignal } from "./sdk/index.js";
import { receiver, sendEvent } from "./messages.js";

export const { dataset: data, lang } = document.documentElement;
const texts = JSON.parse(document.getElementById("texts").textContent);
export const $ = (id) => document.getElementById(id);
export const flag = (name) => data[name] === "true";

export const baseUrl = new URL("v1", location.href).href;
export const authsignal = new Authsignal({ tenantId: data.tenant || "none", baseUrl, wasmUrl: data.module });

/** What is known of the visit. Nothing is decided here: the API decides. */
export const state = {
  /** The current token: that of the url, then that of the last accepted code. */
  token: startToken,
  enrolled: flag("enrolled"),
  mayAdd: flag("mayAdd"),
  mayRemove: flag("mayRemove"),
  mayRename: flag("mayRename"),
  mayMakeCodes: flag("mayMakeCodes"),
  maySeeBrowsers: flag("maySeeBrowsers"),
  /** Whether a recovery code would be accepted in place of a code of the app. */
  mayRecover: flag("mayRecover"),
  /** What follows an accepted code: finish, enroll or settings. */
  next: data.then,
  /** Whether the settings were shown: cancelling then leads back to them. */
  inSettings: false,
  /** Whether a recovery code was used: the settings then tell what to do. */
  lost: false,
  /** Whether the user has done what the app asked for; see complete. */
  complete: false,
};

/** The calls of an enrollment: those of the SDK, unless a recovery link has its own. */
export const enrollment = {
  begin: (options) => authsignal.totp.enroll(options),
  verify: (code) => authsignal.totp.verify({ code }),
};

/** The number of recovery codes left at which the user is warned. */
export const few = Number(data.few);

/**
 * The functions that show sections, by name. Each part adds its own, so that parts
 * which lead to each other need not import each other.
 */
export const open = {};

/** Takes the token of an accepted code, which has all scopes. */
export function accept(token) {
  state.enrolled = state.mayAdd = state.mayRemove = state.mayRename = state.maySeeBrowsers = true;
  state.mayMakeCodes = flag("codes");
  setToken(token);
}

/** Takes a new token in place of one that has ended. */
export function setToken(token) {
  authsignal.setToken((state.token = token));
  if (state.complete) sendEvent("AUTHSIGNAL_TOKEN", { token });
}

/**
 * The user has done what the app asked for, and only offers follow. From now on,
 * leaving the page is no cancellation: every way out returns the token, and a page
 * with a frame has it in case it removes the frame.
 */
export function complete() {
  if (state.next !== "finish" || state.complete) return;
  state.complete = true;
  setToken(state.token);
}

/** Returns the text of a key, with values in place of its {names}. */
export function text(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A date without line breaks. */
export const date = (iso) => new Intl.DateTimeFormat(lang, { dateStyle: "medium" }).format(new Date(iso)).replaceAll(" ", "\u00a0");

export const canQuit = Boolean(receiver || data.return);

/** Shows a section, and gives it the focus. */
export function show(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  for (const error of document.querySelectorAll(".error")) error.textContent = "";
  for (const field of document.querySelectorAll("input")) {
    field.value = "";
    field.removeAttribute("aria-invalid");
  }
  for (const button of document.querySelectorAll("form .quit")) button.hidden = !canQuit && !state.inSettings;
  if (id !== "codes") $("codes-list").replaceChildren();
  const title = $(id + "-title");
  document.title = document.title.replace(/^.*?(?=( – .*)?$)/s, title.textContent);
  $("frame").scrollTo(0, 0);
  // Where nothing is to be read first, the focus is in the field.
  (["challenge", "recovery"].includes(id) ? $(id + "-code") : title).focus();
}

export function notice(message) {
  $("notice").textContent = message;
}

/** The function of the button "Try again". */
let retry;

/** Shows a failure, with a button to try again if a function is given. */
export function fail(reason, again) {
  retry = again;
  notice("");
  $("failure-title").textContent = text(`failure.${reason}.title`);
  $("failure-text").textContent = text(`failure.${reason}.text`);
  $("retry").hidden = !again;
  $("failure-recovery").hidden = true;
  $("failure-quit").hidden = !canQuit;
  show("failure");
}

const statuses = {
  expired_token: 401,
  unauthorized: 401,
  invalid_request: 400,
  invalid_configuration: 400,
  not_found: 404,
  too_many_requests: 429,
  internal_error: 500,
};
const finalFailures = {
  expired_token: "expired",
  unauthorized: "invalid",
  invalid_configuration: "unavailable",
  not_found: "invalid",
  // Those of a recovery link; see link.js.
  link_unknown: "link",
  link_ended: "linkEnded",
  link_pending: "linkPending",
  link_full: "linkFull",
};
export const temporaryFailures = { network_error: "network", timeout: "network", wasm_load_failed: "module", too_many_requests: "limit" };

/** Reports an error of the API. If it is final, shows it and returns true. */
export function reportError({ errorCode }) {
  sendEvent("AUTHSIGNAL_API_ERROR", { errorCode, statusCode: statuses[errorCode] });
  const end = finalFailures[errorCode];
  if (end) fail(end);
  return Boolean(end);
}

/** Calls the client API where the SDKs have no method. */
export async function call(method, path, body, options) {
  let response;
  try {
    response = await fetch(`${baseUrl}/client/${path}`, {
      method,
      headers: { Authorization: `Bearer ${state.token}`, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout?.(10_000),
      ...options,
    });
    const answer = await response.json();
    return "error" in answer ? { errorCode: answer.errorCode } : { data: answer };
  } catch {
    return { errorCode: "network_error" };
  }
}

$("retry").addEventListener("click", () => retry());
