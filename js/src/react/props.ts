import type { Authsignal } from "../index.js";
import type { VerifyResponse } from "../types.js";
import type { AuthsignalError, Texts } from "./texts.js";

/** An accepted code. */
export type Verified = VerifyResponse & {
  /** The new token, for the backend to validate. */
  token: string;
  /** What kind of code it was. As all of this, it is for the screen only. */
  verificationMethod: "AUTHENTICATOR_APP" | "RECOVERY_CODE";
  /** How many recovery codes are left; only if the code was one. */
  recoveryCodesLeft?: number;
  /**
   * Whether the user wants this browser to be trusted; only with `rememberDays`. If so,
   * have your backend validate the token with `trustBrowser`.
   */
  trustBrowser?: boolean;
};

/** The properties that all components have. */
export type CommonProps = {
  /** The instance, with its token set unless `token` is given. */
  authsignal: Authsignal;
  /** The token of `track`. */
  token?: string;
  /** A call has failed; the user sees a text of `texts`. */
  onError?: (error: AuthsignalError) => void;
  /** Texts in place of the default ones: `germanTexts`, or your own. */
  texts?: Partial<Texts>;
  /** The class of the form. Its parts have `data-authsignal` attributes. */
  className?: string;
};

/** The properties of the components that verify a code. */
export type TotpProps = CommonProps & {
  /**
   * A code was accepted. Send `token` to your backend: only the answer of its
   * `validateChallenge` decides.
   */
  onVerified: (result: Verified) => void;
};
