/**
 * The values of `errorCode`, each with its cause and the remedy. The first
 * group comes from the API, the second is made in the browser.
 */
export const ErrorCode: {
  /** The token is not one of this API, or lacks the right to add an authenticator. Track the action again; for a second authenticator, with the scope `add:authenticators`. */
  readonly unauthorized: "unauthorized";
  /** The API refuses the request: the action takes no challenge, nothing is enrolled, the webhook refused. The description says which. */
  readonly invalid_request: "invalid_request";
  /** The tenant lacks a setting, most often an active authenticator app. Set it there. */
  readonly invalid_configuration: "invalid_configuration";
  /** The credential is not the user's. Use the one that was enrolled. */
  readonly invalid_credential: "invalid_credential";
  /** The token is older than its life, 10 minutes by default. Track the action again and set the new token; `onTokenExpired` is the place for it. */
  readonly expired_token: "expired_token";
  /** Too many calls. Wait `retryAfter` seconds, or a while if it is missing. */
  readonly too_many_requests: "too_many_requests";
  /** The API has no such path or object. Most often the base URL is wrong: it ends in `/v1`. */
  readonly not_found: "not_found";
  /** The API failed. Its log has the cause; try again later. */
  readonly internal_error: "internal_error";

  /** A call was made before `setToken`, so no request was. Set the token that the backend got from `track`. */
  readonly token_not_set: "token_not_set";
  /** No answer arrived: offline, a wrong base URL, a page that the API does not allow (CORS, or the policy's `connect-src`), a redirect. A code may have been accepted all the same: ask the backend to validate the token of `track`. */
  readonly network_error: "network_error";
  /** No complete answer in time. As for `network_error`; a longer `timeout` may help. */
  readonly timeout: "timeout";
  /** The caller's signal, or `dispose`, ended the call. A code may have been accepted all the same. */
  readonly aborted: "aborted";
  /** What answered is not the API. Most often the base URL is wrong: it ends in `/v1`. */
  readonly invalid_response: "invalid_response";
  /** The module could not be loaded; the description names the address and the cause. The next call tries again. */
  readonly wasm_load_failed: "wasm_load_failed";
  /** The Go program ended under the call. The next call starts it again; report it if it recurs. */
  readonly sdk_crashed: "sdk_crashed";
} = Object.fromEntries(
  (
    "unauthorized invalid_request invalid_configuration invalid_credential expired_token too_many_requests not_found internal_error " +
    "token_not_set network_error timeout aborted invalid_response wasm_load_failed sdk_crashed"
  )
    .split(" ")
    .map((code) => [code, code]),
) as never;

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** The types of the single codes, which are those of an enum in the official package. */
export declare namespace ErrorCode {
  type unauthorized = "unauthorized";
  type invalid_request = "invalid_request";
  type invalid_configuration = "invalid_configuration";
  type invalid_credential = "invalid_credential";
  type expired_token = "expired_token";
  type too_many_requests = "too_many_requests";
  type not_found = "not_found";
  type internal_error = "internal_error";
  type token_not_set = "token_not_set";
  type network_error = "network_error";
  type timeout = "timeout";
  type aborted = "aborted";
  type invalid_response = "invalid_response";
  type wasm_load_failed = "wasm_load_failed";
  type sdk_crashed = "sdk_crashed";
}

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
