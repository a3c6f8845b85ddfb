import type { ErrorCode } from "./errors.js";

/** Options of {@link Authsignal}. */
export type AuthsignalOptions = {
  /** The tenant's ID, from the API keys page or the server's configuration. */
  tenantId: string;
  /** The API's URL with its version, such as `https://api.authsignal.com/v1`, which is the default. */
  baseUrl?: string;
  /** Called with no arguments when the API says that the token has expired, before the call settles. */
  onTokenExpired?: () => void;
  /** Print the API's errors to the console. Off by default. */
  enableLogging?: boolean;
  /**
   * Where `authsignal.wasm` is served, if not beside this script. A relative
   * URL counts from the page.
   */
  wasmUrl?: string | URL;
};

/** What every call to the API may be given. */
export type CallOptions = {
  /** Aborts the call: it then resolves to the error `aborted`. */
  signal?: AbortSignal;
  /**
   * How long the call may take, in milliseconds, loading the module
   * included. Without it the API may take 10,000, and loading does not count.
   * The call then resolves to the error `timeout`.
   */
  timeout?: number;
};

/**
 * What a call resolves to: `data`, or an error with a code and a sentence.
 * `if (response.data)` and `if ("error" in response)` both tell them apart; a
 * success has no `error` key at all.
 */
export type AuthsignalResponse<T> =
  | { data: T; error?: undefined; errorCode?: undefined; errorDescription?: undefined }
  | {
      data?: undefined;
      /** @deprecated Use errorCode and errorDescription. */
      error: string;
      /** What a program acts on. */
      errorCode: ErrorCode;
      /** What a developer reads. */
      errorDescription: string | undefined;
    };

/** What every enrollment answers. */
export type EnrollResponse = {
  /** Names the authenticator; not yet verified. */
  userAuthenticatorId: string;
  userId: string;
};

/** What enrolling an authenticator app answers. */
export type EnrollTotpResponse = EnrollResponse & {
  /** The `otpauth://` URI. It holds the secret: show it, keep it nowhere. */
  uri: string;
  /** The same secret in base32, to be typed by hand. */
  secret: string;
  /**
   * The URI as a QR code: a `data:` URL of an SVG image, for the `src` of an
   * `<img>`. Missing if the URI is too long for one.
   */
  qrCode?: string;
};

/** An authenticator as the API describes it. The times are ISO 8601 in UTC. */
export type Authenticator = {
  userAuthenticatorId: string;
  /** `AUTHENTICATOR_APP` for the ones that this package verifies. */
  verificationMethod: string;
  createdAt: string;
  verifiedAt?: string;
  lastVerifiedAt?: string;
  isDefault?: boolean;
};

/** What verifying a code answers. A refused code is data, not an error. */
export type VerifyResponse = {
  /** For the screen only; see {@link Totp.verify}. */
  isVerified: boolean;
  /** The new token, for the backend to validate; only if verified. */
  token?: string;
  /** Why a code was refused: `CODE_INVALID_OR_EXPIRED` or `MAX_ATTEMPTS_EXCEEDED`. */
  failureReason?: string;
  /** Only when the code completed an enrollment. */
  userAuthenticator?: Authenticator;
};

/** Authenticator apps: codes that change with time (TOTP, RFC 6238). */
export interface Totp {
  /**
   * Starts the enrollment of an authenticator app: show `data.qrCode` to be
   * scanned or `data.secret` to be typed, then {@link Totp.verify} the code
   * that the app shows. Enrolling again before that replaces the secret.
   *
   * Expected failures resolve to an error.
   */
  enroll(options?: CallOptions): Promise<AuthsignalResponse<EnrollTotpResponse>>;

  /**
   * Verifies a code: of a new enrollment, or to sign in with an existing one.
   * Spaces and dashes in it do no harm. A code is accepted once.
   *
   * `isVerified` is for the screen. Whoever owns the browser can change it, so
   * let nobody in by it: send the new token to your backend, and let only the
   * answer of its `validateChallenge` decide.
   *
   * After a success the new token replaces the one that was set, and the
   * result has a `token` too, which is the same as `data.token`. Expected
   * failures resolve to an error.
   *
   * @throws TypeError (as a rejection) if the argument is not an object.
   */
  verify(
    options: CallOptions & { code: string },
  ): Promise<AuthsignalResponse<VerifyResponse> & { readonly token?: string }>;
}

/** How {@link QR.toSVG} draws. */
export type QROptions = {
  /** The quiet zone in modules, 0 to 100; 4 by default, as ISO/IEC 18004 asks. */
  margin?: number;
  /** The width of the image in CSS pixels, 1 to 100,000; 4 a module by default. */
  width?: number;
  /** How much of the symbol may be lost: 7, 15, 25 or 30 %; "M" by default. */
  errorCorrectionLevel?: "L" | "M" | "Q" | "H";
  /** What a screen reader says. Never put the secret here. */
  title?: string;
  /** As in {@link AuthsignalOptions}. */
  wasmUrl?: string | URL;
};

/** QR codes, made in the browser. */
export interface QR {
  /**
   * Draws text as a QR code: an SVG document, black on opaque white.
   *
   * @throws TypeError (as a rejection) if an argument is of the wrong kind,
   * Error if the text is empty or too long, ModuleError if the module is not
   * to be had.
   */
  toSVG(text: string, options?: QROptions): Promise<string>;
}
