import type { ErrorCode } from "../index.js";
import type { AuthsignalResponse } from "../types.js";

/** The error that a call resolved to. */
export type AuthsignalError = Extract<AuthsignalResponse<never>, { error: string }>;

/** The texts of the components. */
export type Texts = {
  /** The text of the picture of the QR code. */
  qrCode: string;
  /** The link that opens the authenticator app, on a phone. */
  open: string;
  /** Before the secret. */
  secret: string;
  /** The same action began an enrollment before, such as in another tab. */
  replaced: string;
  /** The label of the code's field. */
  code: string;
  /** The button. */
  verify: string;
  /** The button that enrolls again after an error. */
  retry: string;
  /** While the QR code is not there yet. */
  loading: string;
  /** While a code is being verified. */
  verifying: string;
  /** The code is wrong, late or used. */
  wrong: string;
  /** The same in an enrollment: or it is of one that was replaced. */
  wrongEnrollment: string;
  /** Too many wrong codes. */
  tooMany: string;
  /** The code was right, but a server's clock was wrong: an operator must unlock the authenticator. */
  clockWasAhead: string;
  /** Two codes in a row fit a phone's clock that is `{minutes}` minutes behind. */
  clockBehind: string;
  /** Two codes in a row fit a phone's clock that is `{minutes}` minutes ahead. */
  clockAhead: string;
  /** Too many requests. */
  limited: string;
  /** The token is too old. */
  expired: string;
  /** There is no token, or the API does not know it. */
  invalid: string;
  /** The API takes no enrollment or code now; most often, the user may add no further authenticator. */
  refused: string;
  /** The tenant lacks a setting, or the base URL is wrong. */
  notSetUp: string;
  /** No answer, or not in time. */
  unreachable: string;
  /** The call was aborted, or its module ended under it. */
  stopped: string;
  /** The module did not arrive, or the browser cannot run it. */
  notLoaded: string;
  /** Any other error. */
  failed: string;

  /** The box beside the code: the browser is to be trusted for `{days}` days. */
  remember: string;
  /** The same for one day. */
  rememberOneDay: string;
  /** The button that leads from the code's field to that of a recovery code. */
  useRecoveryCode: string;
  /** The button that leads back. */
  useApp: string;
  /** The label of the field of a recovery code. */
  recoveryCode: string;
  /** The recovery code is wrong or used. */
  recoveryWrong: string;
  /** What was entered has not the form of a recovery code. */
  recoveryMalformed: string;
  /** The recovery code is wrong, after too many wrong codes. A right one is accepted nevertheless. */
  recoveryTooMany: string;
  /** The user has no recovery codes, or the action takes none. */
  recoveryRefused: string;
  /** The recovery code was accepted, and `{left}` are left. */
  recoveryLeft: string;
  /** The same if two or fewer are left. */
  recoveryFew: string;
  /** The button after that. */
  continue: string;

  /** Above new recovery codes, on paper and in the file: `{host}` is that of the page, `{date}` the day in ISO 8601. */
  recoveryTitle: string;
  /** What recovery codes are, and where to keep them. */
  recoveryKeep: string;
  /** The buttons that copy and print new recovery codes, and the link to their file. */
  copy: string;
  print: string;
  download: string;
  /** The name of the file. */
  recoveryFile: string;
  /** The codes were copied. */
  copied: string;
  /** The codes could not be copied, and are selected instead. */
  selected: string;
  /** The label of the field in which the user confirms by one of the codes. */
  recoveryTyped: string;
  /** The box by which the user confirms instead, with the risk. */
  recoverySaved: string;
  /** The button that confirms. */
  confirm: string;
  /** While the codes are being confirmed. */
  confirming: string;
  /** The codes are in force. */
  confirmed: string;
  /** Neither a code nor the box. */
  recoveryNeither: string;
  /** What was typed is none of the codes. */
  recoveryNotOne: string;
  /** The codes were replaced by newer ones, such as in another tab. */
  recoveryReplaced: string;
  /** The token expired before the codes were confirmed. */
  recoveryExpired: string;
  /** The button of a user who wants no recovery codes now. */
  notNow: string;
};

/** The texts in English. */
export const defaultTexts: Texts = {
  qrCode: "QR code for your authenticator app",
  open: "Open in an authenticator app",
  secret: "Or enter this key in the app:",
  replaced: "An earlier QR code for this account no longer works. If you scanned it, delete its entry in your app and use this one.",
  code: "Code from your authenticator app",
  verify: "Verify",
  retry: "Try again",
  loading: "Loading",
  verifying: "Verifying",
  wrong: "That code is wrong or no longer valid. Enter the one that the app shows now.",
  wrongEnrollment: "That code is wrong or no longer valid. Enter the one that the app shows now. If this page is open twice, only the newest QR code works.",
  tooMany: "Too many wrong codes. Wait a few minutes before you try again.",
  clockWasAhead: "Your code is right, but the server cannot accept it, because its clock was wrong earlier. Ask for help: the authenticator must be unlocked.",
  clockBehind: "That code was not accepted: your phone’s clock is about {minutes} min behind. Let the phone set its time automatically, then enter a new code.",
  clockAhead: "That code was not accepted: your phone’s clock is about {minutes} min ahead. Let the phone set its time automatically, then enter a new code.",
  limited: "Too many requests. Wait a minute, then try again.",
  expired: "This took too long. Start again.",
  invalid: "There is no valid sign-in. Start again.",
  refused: "The server did not accept this. Start again; if you then read this again, ask for help.",
  notSetUp: "This is not set up correctly. Ask the people who run this app for help.",
  unreachable: "No answer came from the server. Check your connection, then try again.",
  stopped: "This was stopped before it was done. Try again.",
  notLoaded: "A part of this page could not be loaded, or does not run in this browser. Reload the page; if that does not help, use a newer browser.",
  failed: "Something went wrong. Try again.",

  remember: "Remember this browser for {days} days. Until then, no code is needed here. Do not tick this on a device that others use.",
  rememberOneDay: "Remember this browser for one day. Until then, no code is needed here. Do not tick this on a device that others use.",
  useRecoveryCode: "Use a recovery code",
  useApp: "Use your authenticator app",
  recoveryCode: "Recovery code",
  recoveryWrong: "That recovery code was not accepted. Each code works only once, and only the newest list is valid.",
  recoveryMalformed: "That is not a recovery code: it has 12 letters and digits, such as 7KQF-2MXR-9TBA.",
  recoveryTooMany: "That recovery code was not accepted. After too many wrong codes, codes of the app do not work for some minutes; an unused recovery code does.",
  recoveryRefused: "No recovery code can be used here, most often because there are none for your account. Use your authenticator app, or ask for help.",
  recoveryLeft: "Recovery code accepted. Codes left: {left}.",
  recoveryFew: "Recovery code accepted. Codes left: {left}. Make new ones now: without your app and without recovery codes, you cannot sign in.",
  continue: "Continue",

  recoveryTitle: "Recovery codes for {host}, {date}",
  recoveryKeep: "If you lose your phone, these codes let you sign in. Each works once. They are shown only now, and work only after you confirm. Earlier recovery codes then stop working.",
  copy: "Copy",
  print: "Print",
  download: "Download",
  recoveryFile: "recovery-codes.txt",
  copied: "Copied. Paste the codes where you keep them.",
  selected: "Selected. Copy the codes with the keyboard or the menu.",
  recoveryTyped: "Type one of the codes that you have saved, or tick the box",
  recoverySaved: "I have saved these codes. Without my phone and without them, I cannot sign in.",
  confirm: "Confirm",
  confirming: "Confirming",
  confirmed: "Your new recovery codes work from now on.",
  recoveryNeither: "Type one of the codes, or tick the box.",
  recoveryNotOne: "That is none of these codes. Compare what you have saved with them.",
  recoveryReplaced: "These codes do not work: newer ones were made, such as in another window. Save those, or start again.",
  recoveryExpired: "This took too long, and these codes do not work: delete them. Your authenticator app works. Sign in again to make new ones.",
  notNow: "Not now",
};

/** The text for each error, by its name in `texts`. */
const textNames: Record<ErrorCode, keyof Texts> = {
  unauthorized: "invalid",
  token_not_set: "invalid",
  expired_token: "expired",
  too_many_requests: "limited",
  invalid_request: "refused",
  invalid_credential: "refused",
  invalid_configuration: "notSetUp",
  not_found: "notSetUp",
  invalid_response: "notSetUp",
  network_error: "unreachable",
  timeout: "unreachable",
  aborted: "stopped",
  sdk_crashed: "stopped",
  wasm_load_failed: "notLoaded",
  internal_error: "failed",
};

/** Reports whether a call resolved to an error. */
export function isError(response: AuthsignalResponse<unknown>): response is AuthsignalError {
  return !response.data;
}

/** Returns the text for a clock that is off by some seconds. */
export function clockOff(seconds: number, texts: Texts): string {
  const minutes = Math.max(1, Math.round(Math.abs(seconds) / 60));
  return (seconds < 0 ? texts.clockBehind : texts.clockAhead).replace("{minutes}", String(minutes));
}

/** Returns the text for an error. An API may have codes of its own. */
export function textOf({ errorCode }: AuthsignalError, texts: Texts): string {
  return texts[textNames[errorCode]] ?? texts.failed;
}
