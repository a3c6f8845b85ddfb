/**
 * What `errorCode` may be. The first group comes from the API, the second is
 * made in the browser.
 */
export const ErrorCode = {
  /** The token is not one of this API, or lacks the right; track again. */
  unauthorized: "unauthorized",
  /** The API does not take the request as it is; the description says why. */
  invalid_request: "invalid_request",
  /** The tenant lacks a setting. */
  invalid_configuration: "invalid_configuration",
  /** The credential is not the user's. */
  invalid_credential: "invalid_credential",
  /** The token is older than its life, 10 minutes by default; track again. */
  expired_token: "expired_token",
  /** Too many calls; wait before the next. */
  too_many_requests: "too_many_requests",
  /** The API has no such thing; most often the base URL is wrong. */
  not_found: "not_found",
  /** The API failed; its log says why. */
  internal_error: "internal_error",

  /** Call `setToken` first. No request was made. */
  token_not_set: "token_not_set",
  /** No answer arrived; a code may have been accepted all the same. */
  network_error: "network_error",
  /** No answer in time; a code may have been accepted all the same. */
  timeout: "timeout",
  /** The caller's signal aborted the call. */
  aborted: "aborted",
  /** What answered is not the API; most often the base URL is wrong. */
  invalid_response: "invalid_response",
  /** The module was not to be had; the description says why. The next call tries again. */
  wasm_load_failed: "wasm_load_failed",
  /** The Go program ended under the call. The next call starts it afresh. */
  sdk_crashed: "sdk_crashed",
} as const;

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/**
 * A failure of the module itself: it could not be loaded, or it ended under a
 * call. Calls to the API resolve to it as a result; `preload` and `qr.toSVG`
 * reject with it.
 */
export class ModuleError extends Error {
  constructor(
    readonly errorCode: ErrorCode,
    message: string,
    readonly cause?: unknown,
  ) {
    super(message);
    this.name = "ModuleError";
  }
}
