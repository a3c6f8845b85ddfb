import type { ErrorCode } from "./errors.js";

/**
 * The type of the instances of a global class, or Otherwise where the
 * application's `lib` has no such class, as on a server: these declarations
 * compile without the DOM's.
 */
type Global<Name extends string, Otherwise = never> = typeof globalThis extends Record<Name, { prototype: infer Instance }> ? Instance : Otherwise;
/** The same of WebAssembly.Module, which is in a namespace. */
type WasmModule = typeof globalThis extends { WebAssembly: { Module: { prototype: infer Instance } } } ? Instance : never;

/** Options of {@link Authsignal}. */
export type AuthsignalOptions = {
  /** The tenant's ID, from the API keys page or the server's configuration. */
  tenantId: string;
  /** The API's URL with its version, such as `https://api.authsignal.com/v1`, which is the default. */
  baseUrl?: string;
  /** Called with no arguments when the API answers that the token has expired, before the call settles. */
  onTokenExpired?: () => void;
  /** Print the API's errors to the console. Off by default. */
  enableLogging?: boolean;
  /** The domain of the cookie with the anonymous ID; the page's host without `www.` by default. */
  cookieDomain?: string;
  /** The name of the cookie with the anonymous ID; `__as_aid` by default. */
  cookieName?: string;
  /** @deprecated Not used. It is here because the official package takes it. */
  trackingHost?: string;
  /**
   * Where `authsignal.wasm` is served, if neither beside this script nor where
   * `Authsignal.load` has set it. A relative URL is resolved against the page's.
   */
  wasmUrl?: string | Global<"URL">;
};

/** Where the module comes from: one of three. With none, its file lies beside the script. */
export type LoadOptions = {
  /** The address of `authsignal.wasm`; a relative URL is resolved against the page's. */
  wasmUrl?: string | Global<"URL">;
  /** The compiled module, such as one that a worker was sent. */
  wasmModule?: WasmModule;
  /** The bytes of `authsignal.wasm`. */
  wasmBytes?: ArrayBuffer | ArrayBufferView;
  /**
   * Called as the file arrives, with the bytes so far, decoded, and in all.
   * `total` is undefined if the server compresses the file or sends no length,
   * and for a file of another origin, which hides that. Not called if the
   * module is loaded or loading already.
   */
  onProgress?: (progress: { loaded: number; total: number | undefined }) => void;
};

/** The options of every call to the API. */
export type CallOptions = {
  /** Aborts the call: it then resolves to the error `aborted`. */
  signal?: Global<"AbortSignal">;
  /**
   * How long the call may take, in milliseconds, loading the module
   * included. Without it the API may take 10,000, and loading does not count.
   * The call then resolves to the error `timeout`.
   */
  timeout?: number;
};

/**
 * What a call resolves to: `data`, or an error with a code and a sentence.
 * `if (response.data)` and `if ("error" in response)` both distinguish them; a
 * success has no `error` key at all.
 */
export type AuthsignalResponse<T> =
  | { data: T; error?: undefined; errorCode?: undefined; errorDescription?: undefined; retryAfter?: undefined }
  | {
      data?: undefined;
      /** @deprecated Use errorCode and errorDescription. */
      error: string;
      /** For programs. */
      errorCode: ErrorCode;
      /** For developers, in English. */
      errorDescription: string | undefined;
      /** Seconds until the API takes calls again; with `too_many_requests`, if the API sends it. */
      retryAfter?: number;
    };

/** The answer to every enrollment. */
export type EnrollResponse = {
  /** The ID of the authenticator, which is not verified yet. */
  userAuthenticatorId: string;
  userId: string;
};

/** The answer to the enrollment of an authenticator app. */
export type EnrollTotpResponse = EnrollResponse & {
  /** The `otpauth://` URI. It contains the secret: show it, and do not store it. */
  uri: string;
  /** The same secret in base32, to be typed by hand. */
  secret: string;
  /**
   * Present if the same action began an enrollment before, such as in another
   * tab, whose secret no longer works. The hosted service does not send it.
   */
  replaced?: true;
  /**
   * The URI as a QR code: a `data:` URL of an SVG image, for the `src` of an
   * `<img>`. Missing if the URI is too long for one.
   */
  qrCode?: string;
  /** The name of the service, as the app shows it; from the URI, like the fields below. */
  issuer?: string;
  /** The name of the user's account, as the app shows it. */
  account?: string;
  /** The number of digits of a code. */
  digits?: number;
  /** How long a code is valid, in seconds. */
  period?: number;
  /** `SHA1`, `SHA256` or `SHA512`. */
  algorithm?: string;
};

/** The answer to the start of a challenge. */
export type ChallengeResponse = { challengeId: string };

/** How a user proves their identity. This package verifies `AUTHENTICATOR_APP`. */
export type VerificationMethod =
  | "SMS"
  | "AUTHENTICATOR_APP"
  | "RECOVERY_CODE"
  | "EMAIL_MAGIC_LINK"
  | "EMAIL_OTP"
  | "PUSH"
  | "SECURITY_KEY"
  | "PASSKEY"
  | "VERIFF"
  | "IPROOV"
  | "PALM_BIOMETRICS_RR"
  | "IDVERSE"
  | "DEVICE";

/** The types of the single methods, which are those of an enum in the official package. */
export declare namespace VerificationMethod {
  type SMS = "SMS";
  type AUTHENTICATOR_APP = "AUTHENTICATOR_APP";
  type RECOVERY_CODE = "RECOVERY_CODE";
  type EMAIL_MAGIC_LINK = "EMAIL_MAGIC_LINK";
  type EMAIL_OTP = "EMAIL_OTP";
  type PUSH = "PUSH";
  type SECURITY_KEY = "SECURITY_KEY";
  type PASSKEY = "PASSKEY";
  type VERIFF = "VERIFF";
  type IPROOV = "IPROOV";
  type PALM_BIOMETRICS_RR = "PALM_BIOMETRICS_RR";
  type IDVERSE = "IDVERSE";
  type DEVICE = "DEVICE";
}

/** An authenticator as the API describes it. The times are ISO 8601 in UTC. */
export type Authenticator = {
  userAuthenticatorId: string;
  verificationMethod: VerificationMethod;
  createdAt: string;
  verifiedAt?: string;
  lastVerifiedAt?: string;
  isDefault?: boolean;
  email?: string;
  phoneNumber?: string;
  username?: string;
  displayName?: string;
  /** What the user calls it. The hosted service does not send it. */
  name?: string;
};

/** The answer to the verification of a code. A refused code is data, not an error. */
export type VerifyResponse = {
  /** For the screen only; see {@link Totp.verify}. */
  isVerified: boolean;
  /** The new token, for the backend to validate; only if verified. */
  token?: string;
  /** Why a code was refused: `CODE_INVALID_OR_EXPIRED` or `MAX_ATTEMPTS_EXCEEDED`. */
  failureReason?: string;
  /**
   * `SERVER_CLOCK_WAS_AHEAD` if the code was right, but cannot be accepted until an operator
   * unlocks the authenticator. `DEVICE_CLOCK_IS_OFF` if this code and the refused one before it
   * are right for a clock that is off by the same time. Otherwise absent.
   */
  failureDetail?: string;
  /** By how many seconds the device's clock is off: negative if it is behind. Absent if that is not known. */
  clockOffSeconds?: number;
  /** Only when the code completed an enrollment. */
  userAuthenticator?: Authenticator;
};

/** New recovery codes. They are in no other answer: show them for the user to keep. */
export type RecoveryCodesResponse = {
  /** Ten codes such as `7KQF-2MXR-9TBA`. */
  recoveryCodes: string[];
  /** When they were made: ISO 8601. */
  createdAt: string;
};

/** How many recovery codes the user has left. */
export type RecoveryCodesStatus = {
  /** How many came into force together, and how many of them were not used; both 0 if there are none. */
  total: number;
  left: number;
  /** When they came into force: ISO 8601. */
  confirmedAt?: string;
  /** Whether there are codes that the user has not confirmed. */
  isPending: boolean;
  /** Whether the tenant allows no recovery codes: offer none, and no field for one. */
  isDisabled?: boolean;
};

/** The answer to a recovery code. A refused code is data, not an error. */
export type VerifyRecoveryCodeResponse = {
  /** For the screen only; see {@link Totp.verify}. */
  isVerified: boolean;
  /** The new token, for the backend to validate; only if verified. */
  token?: string;
  /** Why a code was refused: `CODE_INVALID_OR_EXPIRED` or `MAX_ATTEMPTS_EXCEEDED`. */
  failureReason?: string;
  /** How many codes are left; only if verified. */
  recoveryCodesLeft?: number;
};

/**
 * Recovery codes, which each replace one code of an authenticator app when the
 * phone is lost. They are an addition of this project's server; the hosted service
 * does not answer these calls. Expected failures resolve to an error.
 */
export interface RecoveryCodes {
  /** Asks how many codes are left. */
  status(options?: CallOptions): Promise<AuthsignalResponse<RecoveryCodesStatus>>;
  /**
   * Makes ten codes, after a completed challenge. They come into force, in place of
   * those before, when the user confirms them.
   */
  generate(options?: CallOptions): Promise<AuthsignalResponse<RecoveryCodesResponse>>;
  /**
   * Puts the new codes in force: by one of them, which is not used up, or by the
   * user's word for having kept them. `saved` confirms the newest codes, which another
   * tab may show; one of the codes that the page shows confirms these.
   *
   * @throws TypeError (as a rejection) if the argument is not an object.
   */
  confirm(options: CallOptions & ({ code: string; saved?: undefined } | { saved: true; code?: undefined })): Promise<AuthsignalResponse<{ isConfirmed: boolean }>>;
  /**
   * Completes a challenge with a code, instead of one of the app. Afterwards lead the
   * user to enrolling a new app. As with {@link Totp.verify}, only the backend's
   * `validateChallenge` decides.
   *
   * @throws TypeError (as a rejection) if the argument is not an object.
   */
  verify(options: CallOptions & { code: string }): Promise<AuthsignalResponse<VerifyRecoveryCodeResponse> & { readonly token?: string }>;
}

/** Authenticator apps: codes that change with time (TOTP, RFC 6238). */
export interface Totp {
  /**
   * Starts the enrollment of an authenticator app: show `data.qrCode` to be
   * scanned or `data.secret` to be typed, then {@link Totp.verify} the code
   * that the app shows. Enrolling again before that, with this or another
   * token of the action, replaces the secret; `data.replaced` is then set. `name` is what
   * the user calls the authenticator, of at most 64 characters.
   *
   * Expected failures resolve to an error.
   */
  enroll(options?: CallOptions & { name?: string }): Promise<AuthsignalResponse<EnrollTotpResponse>>;

  /**
   * Verifies a code: of a new enrollment, or to sign in with an existing one.
   * Spaces and dashes in it are ignored. A code is accepted once.
   *
   * `isVerified` is for the screen. The user of the browser can change it, so
   * grant no access by it: send the new token to your backend, and let only the
   * answer of its `validateChallenge` decide.
   *
   * After a success the new token replaces the one that was set, and the
   * result has a `token` too, which is the same as `data.token`. Expected
   * failures resolve to an error.
   *
   * @throws TypeError (as a rejection) if the argument is not an object.
   */
  verify(options: CallOptions & { code: string }): Promise<AuthsignalResponse<VerifyResponse> & { readonly token?: string }>;
}

/** How a QR code is drawn. The names are those of npm's `qrcode`. */
export type QROptions = {
  /** The quiet zone in modules, 0 to 100; 4 by default, as ISO/IEC 18004 asks. */
  margin?: number;
  /** The width of a module in pixels, 1 to 100; 4 by default. */
  scale?: number;
  /** The width of the image in pixels, 1 to 100,000; by default it follows from `scale`. */
  width?: number;
  /**
   * The colors of the modules and of the ground: `#rgb`, `#rgba`, `#rrggbb` or
   * `#rrggbbaa`; black on white by default. Keep the modules much darker than
   * the ground, and the ground opaque: many readers accept nothing else.
   */
  color?: { dark?: string; light?: string };
  /** How much of the symbol may be lost: 7, 15, 25 or 30 %; "M" by default. */
  errorCorrectionLevel?: "L" | "M" | "Q" | "H";
  /** The name for screen readers. Never put the secret here. */
  title?: string;
  /** As in {@link AuthsignalOptions}. */
  wasmUrl?: string | Global<"URL">;
};

/** A QR code as such, without its quiet zone. */
export type QRMatrix = {
  /** Its width and height in modules, 21 to 177. */
  size: number;
  /** The modules, row by row with no gap between rows, eight a byte from the high bit down: 1 is dark. */
  bits: Uint8Array;
};

/**
 * QR codes, made in the browser. All reject with a TypeError if an argument is
 * of the wrong kind, with an Error if the text is empty or too long (2,953 bytes
 * at "L", 2,331 at "M", 1,663 at "Q", 1,273 at "H"; more of digits and capital
 * letters), and with a ModuleError if the module cannot be loaded.
 */
export interface QR {
  /** Draws text as an SVG document. */
  toSVG(text: string, options?: QROptions): Promise<string>;
  /**
   * Draws text as a `data:` URL of an SVG image, or of a PNG one if `type` is
   * "image/png". The SVG is sharp at every size, and the default.
   */
  toDataURL(text: string, options?: QROptions & { type?: "image/svg+xml" | "image/png" }): Promise<string>;
  /**
   * Draws text on a canvas, whose size it sets and, in a page, whose title.
   * A module is a whole number of pixels; the rest of `width` is added to the margin.
   *
   * @throws RangeError (as a rejection) if `width` is less than a pixel a module.
   */
  toCanvas(canvas: Global<"HTMLCanvasElement"> | Global<"OffscreenCanvas">, text: string, options?: QROptions): Promise<void>;
  /** Draws text as a PNG image, by the browser's own encoder; as `toCanvas`. */
  toBlob(text: string, options?: QROptions): Promise<Global<"Blob", unknown>>;
  /** Returns the modules, for drawing them yourself; of the options, it uses `errorCorrectionLevel`. */
  matrix(text: string, options?: QROptions): Promise<QRMatrix>;
}

/** The messages of a launched page to the one that launched it. */
export const AuthsignalWindowMessage = {
  /** The user is done or has given up: the popup or window closes. */
  AUTHSIGNAL_CLOSE_POPUP: "AUTHSIGNAL_CLOSE_POPUP",
  /** The API has answered that page with an error. */
  AUTHSIGNAL_API_ERROR: "AUTHSIGNAL_API_ERROR",
  /** The page is ready to be shown. */
  AUTHSIGNAL_READY: "AUTHSIGNAL_READY",
} as const;

export type AuthsignalWindowMessage = (typeof AuthsignalWindowMessage)[keyof typeof AuthsignalWindowMessage];

/** The types of the single messages, which are those of an enum in the official package. */
export declare namespace AuthsignalWindowMessage {
  type AUTHSIGNAL_CLOSE_POPUP = "AUTHSIGNAL_CLOSE_POPUP";
  type AUTHSIGNAL_API_ERROR = "AUTHSIGNAL_API_ERROR";
  type AUTHSIGNAL_READY = "AUTHSIGNAL_READY";
}

/** A message as it is sent: as JSON text. */
export type AuthsignalWindowMessageData = {
  event: AuthsignalWindowMessage;
  token?: string;
  errorCode?: string;
  statusCode?: number;
};

/** What a launch in a popup or window resolves to. */
export type TokenPayload = {
  /** The token for the backend to validate; undefined if the user closed the popup or window. */
  token?: string;
};

type BaseLaunchOptions = {
  /** How the page opens; `redirect` by default. */
  mode?: "popup" | "redirect" | "window";
};

/** Replaces this page by the other, which returns to the action's `redirectUrl`. */
export type RedirectLaunchOptions = BaseLaunchOptions & { mode: "redirect" };

/** Shows the page in a dialog on this one. */
export type PopupLaunchOptions = BaseLaunchOptions & {
  mode: "popup";
  popupOptions?: {
    /** A CSS width; `385px` by default. */
    width?: string;
    /** A CSS height; by default that of the page's content. */
    height?: string;
    /** Whether Escape and a click beside the dialog close it; true by default. */
    isClosable?: boolean;
  };
  /** Called for every error that the API answers to that page. */
  onError?: (params: { errorCode?: string; statusCode?: number }) => void;
};

/** Shows the page in a window of its own. Call it from a click, or the browser blocks it. */
export type WindowLaunchOptions = BaseLaunchOptions & {
  mode: "window";
  windowOptions?: {
    /** In CSS pixels; 400 by default. */
    width?: number;
    /** In CSS pixels; 500 by default. */
    height?: number;
  };
  /** Called for every error that the API answers to that page. */
  onError?: (params: { errorCode?: string; statusCode?: number }) => void;
};

export type LaunchOptions = RedirectLaunchOptions | PopupLaunchOptions | WindowLaunchOptions;
