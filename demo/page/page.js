// What all parts of the page use: the SDK, the session, and the backend.

import { Authsignal } from "./sdk/index.js";

const { apiUrl, tenantId, wasmUrl } = document.documentElement.dataset;
export const authsignal = new Authsignal({ tenantId, baseUrl: apiUrl, wasmUrl });

export const $ = (id) => document.getElementById(id);

export const state = {
  /** The session as the backend last returned it: {step, username, token}, or with url and mode for the pre-built UI. */
  session: { step: "loading" },
  /** Whether a code may have been accepted although the page got no response. */
  unsure: false,
};

/** An error that the user can read. With restart, the user can start again. */
export class PageError extends Error {
  constructor(text, { code, restart = false } = {}) {
    super(text);
    this.code = code;
    this.restart = restart;
  }
}

/** Calls the backend. All errors are PageErrors, also if there is no response. */
export async function backend(method, path, body) {
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: body && { "Content-Type": "application/json" },
      signal: AbortSignal.timeout?.(15_000), // newer than all other APIs that the page uses
    });
    answer = await response.json();
  } catch {
    throw new PageError("This app could not be reached. Check your connection and try again.", { code: "unreachable" });
  }
  if (response.ok) return answer;
  const { code, text } = answer.error;
  throw new PageError(text, { code });
}

/** Returns the error of a call of the SDK that failed. */
export function explain({ errorCode }) {
  const api = new URL(apiUrl, location.href).origin;
  switch (errorCode) {
    case "expired_token":
      return new PageError("This took too long, and the sign-in has expired. Start again.", { restart: true });
    case "unauthorized":
      return new PageError("This sign-in is no longer valid. Start again.", { restart: true });
    case "network_error":
      return new PageError(`The API at ${api} could not be reached. Check your connection, then try again.`);
    case "timeout":
      return new PageError(`The API at ${api} did not respond in time. Try again.`);
    case "too_many_requests":
      return new PageError("Too many requests. Wait a minute, then try again.");
    case "wasm_load_failed":
      return new PageError("Part of this page could not be loaded. Check your connection, then try again.");
    case "sdk_crashed":
      return new PageError("Part of this page stopped and is restarting. Try again.");
  }
  return new PageError(`The API refused the request (${errorCode}). Try again or start again.`, { restart: true });
}

export function time(iso) {
  const text = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
  return Object.assign(document.createElement("time"), { dateTime: iso, textContent: text });
}

/** Copies text, or selects an element that shows it if the browser does not allow that, and reports it in another. */
export async function copy(text, element, report, success) {
  let message = success;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers refuse without HTTPS or permission.
    getSelection().selectAllChildren(element);
    message = "Selected. Copy it with your keyboard or the menu.";
  }
  report.textContent = "";
  report.textContent = message;
}
