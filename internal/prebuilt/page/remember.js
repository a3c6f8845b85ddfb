// The browser that the user trusts. Its cookie is HttpOnly: the script of the page
// never sees it.

import { $, authsignal, call, notice, state, text } from "./page.js";

/**
 * Runs one task at a time in all tabs of this origin. A cookie counts once: of two
 * tabs that send the same one, the second would be taken for the holder of a copy.
 * Without locks, or after 5 seconds, the task runs nevertheless.
 */
function alone(task) {
  const signal = AbortSignal.timeout?.(5_000);
  return navigator.locks ? navigator.locks.request("authsignal-browser", { signal }, task).catch(task) : task();
}

/**
 * Sends a request, and once more if there is no answer. The server takes the
 * repetition of a use for the same use, and the browser gets the cookie that was lost.
 * If the user leaves the page, the browser waits for the answer all the same.
 */
async function send(path) {
  const post = () => call("POST", path, undefined, { keepalive: true });
  const result = await post();
  return result.errorCode === "network_error" ? post() : result;
}

/**
 * Completes the challenge if the user trusts the browser; returns whether it did. Only
 * the token that the browser gets then is valid.
 */
export async function recognized() {
  const late = setTimeout(() => notice(text("page.recognizing")), 500);
  const result = await alone(() => send("verify/trusted-browser"));
  clearTimeout(late);
  notice("");
  if (result.data?.accessToken) authsignal.setToken((state.token = result.data.accessToken));
  return result.data?.isVerified === true;
}

/** Trusts the browser if the box of a section is ticked. If that fails, the user is asked again next time. */
export async function remember(section) {
  if ($(`${section}-remember`)?.checked) await alone(() => send("trusted-browsers"));
}
