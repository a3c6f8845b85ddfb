import { anonymousId, hostDomain } from "./cookie.js";
import { ErrorCode, ModuleError } from "./errors.js";
import { launch } from "./launch.js";
import { loadModule, setStandard, sourceOf, type Exports, type Module } from "./load.js";
import { checkArgument, checkLoadOptions, checkOptions } from "./misuse.js";
import type {
  AuthsignalOptions,
  CallOptions,
  LaunchOptions,
  LoadOptions,
  PopupLaunchOptions,
  RedirectLaunchOptions,
  TokenPayload,
  Totp,
  WindowLaunchOptions,
} from "./types.js";

/**
 * The tokens, by tenant and API, for all instances of a page. They are kept
 * here, not in the module, because they are set before it is there and
 * outlive it when it crashes.
 */
const tokens = new Map<string, string>();

/** As the module says it. */
const abortedText = "The call was aborted by its signal.";

/** The client of the Authsignal API in a page. */
export class Authsignal {
  /**
   * What tells this browser from others, for the `deviceId` of `track`: the
   * value of the cookie. "" where there is no document.
   */
  anonymousId: string;
  /** The domain of that cookie. */
  cookieDomain: string;
  /** The name of that cookie. */
  anonymousIdCookieName: string;
  /** Whether the API's errors are printed; to change it, make another instance. */
  enableLogging: boolean;
  /** Authenticator apps. */
  readonly totp: Totp;
  /** Names the tenant and the API among the tokens. */
  private readonly key: string;
  private readonly wasmUrl: string | URL | undefined;
  /** Its abort is the end of the instance, and of all that it has under way. */
  private readonly end = new AbortController();

  /**
   * Says where the module comes from for all who do not say so themselves, and
   * loads it. Without a source it loads the one that is set.
   *
   * @throws ModuleError (as a rejection) `wasm_load_failed`, naming the address
   * and the cause; the next call tries again. TypeError if an option is of the
   * wrong kind.
   */
  static async load(options?: LoadOptions): Promise<void> {
    checkLoadOptions(options ?? {});
    const source = sourceOf(options ?? {});
    if (source) setStandard(() => source);
    (await loadModule(options ?? {})).warm();
  }

  /** @throws Error without a `tenantId`, TypeError if an option is of the wrong kind. */
  constructor(given: AuthsignalOptions) {
    const { wasmUrl, cookieName, cookieDomain, trackingHost, ...options } = given ?? {};
    checkOptions({ ...options, cookieName, cookieDomain });
    this.wasmUrl = wasmUrl;
    this.enableLogging = Boolean(options.enableLogging);
    this.cookieDomain = cookieDomain || hostDomain();
    this.anonymousIdCookieName = cookieName ?? "__as_aid";
    this.anonymousId = anonymousId(this.anonymousIdCookieName, this.cookieDomain);
    const key = (this.key = options.tenantId + "\n" + normalise(options.baseUrl));
    const { signal: ended } = this.end;

    // The module's own instance; a fresh module needs a fresh one.
    let of: Module | undefined;
    let inner: InstanceType<Exports["Authsignal"]> | undefined;
    ended.addEventListener("abort", () => {
      try {
        inner?.dispose();
      } catch {
        // Its program has ended, and has forgotten all.
      }
      inner = of = undefined;
    });
    const call = async <R>({ signal, timeout }: CallOptions, f: (totp: Totp, limits: CallOptions) => Promise<R>): Promise<R> => {
      const token = tokens.get(key) ?? "";
      const start = performance.now();
      try {
        const module = await within(loadModule({ wasmUrl }), [signal, ended], timeout);
        // What is left of it; the module takes no 0.
        if (isTimeout(timeout)) timeout = Math.max(timeout - (performance.now() - start), 1);
        if (ended.aborted) throw new ModuleError(ErrorCode.aborted, abortedText);
        return await module.call((exports) => {
          if (!inner || of !== module) {
            inner = new exports.Authsignal(options);
            of = module;
          }
          // In one tick: no other call comes between.
          inner.setToken(token);
          return f(inner.totp, { signal, timeout });
        });
      } catch (error) {
        if (!(error instanceof ModuleError)) throw error;
        const { errorCode, message } = error;
        return { error: message, errorCode, errorDescription: message } as R;
      }
    };
    // What the caller gives is read here, before the module is waited for.
    this.totp = {
      enroll: async (options) => {
        checkArgument(options ?? {}, "enroll takes an object: enroll({ signal, timeout })");
        this.check();
        const { signal, timeout } = options ?? {};
        return call({ signal, timeout }, (totp, limits) => totp.enroll(limits));
      },
      verify: async (options) => {
        checkArgument(options, "verify takes an object: verify({ code })");
        this.check();
        const { code, signal, timeout } = options;
        const result = await call({ signal, timeout }, (totp, limits) => totp.verify({ code, ...limits }));
        const token = result.data?.token;
        if (typeof token === "string" && token && !ended.aborted) tokens.set(key, token);
        return result;
      },
    };
  }

  /**
   * Sets the token that the backend got from `track`; every later call uses
   * it, in all instances with the same tenant and API. An empty one unsets it.
   *
   * @throws TypeError if it is not a string.
   */
  setToken(token: string | null | undefined): void {
    this.check();
    if (typeof (token ?? "") !== "string") throw new TypeError("token must be a string");
    if (token) tokens.set(this.key, token);
    else tokens.delete(this.key);
  }

  /**
   * Loads and starts the module, so that the first call need not wait for it:
   * good while the user still types a password. When the page is idle, it also
   * has the browser compile what the first call will use.
   *
   * @throws ModuleError (as a rejection) `wasm_load_failed`, naming the URL
   * and the cause. The next call tries again by itself.
   */
  async preload(): Promise<void> {
    this.check();
    (await loadModule({ wasmUrl: this.wasmUrl })).warm();
  }

  /**
   * Opens the page at the `url` of `track`, which asks for a second factor.
   * With `redirect`, the default, the browser leaves this page for it. With
   * `popup` and `window` the promise resolves to the token for the backend to
   * validate, or to `token: undefined` if the user closed it; it rejects with an
   * Error that names the policy if a Cross-Origin-Opener-Policy cuts the window
   * off, or the page's Content-Security-Policy forbids the popup.
   *
   * @throws Error if a popup is open already, the browser blocks the window, or
   * there is no page; TypeError if the URL is none of http or https.
   */
  launch(url: string, options?: RedirectLaunchOptions): undefined;
  launch(url: string, options: PopupLaunchOptions | WindowLaunchOptions): Promise<TokenPayload>;
  launch(url: string, options?: LaunchOptions): Promise<TokenPayload> | undefined {
    this.check();
    return launch(url, options, this.end.signal);
  }

  /**
   * Ends the instance: forgets the token of its tenant and API, for all
   * instances, lets go of all else, closes what `launch` opened and ends the
   * calls under way, which resolve to the error `aborted`. Later calls of it
   * are errors. What was handed out, such as a secret or a QR code, is the
   * page's to forget.
   */
  dispose(): void {
    if (this.end.signal.aborted) return;
    tokens.delete(this.key);
    this.end.abort();
  }

  private check(): void {
    if (this.end.signal.aborted) throw new Error("this Authsignal instance has been disposed of: make a new one");
  }
}

// The same names as in wasm/exports_js.go.
for (const name of ["email", "emailML", "initAdvancedProfiling", "passkey", "push", "qrCode", "securityKey", "sms", "whatsapp"]) {
  Object.defineProperty(Authsignal.prototype, name, {
    get() {
      throw new Error(`${name} is not part of this SDK, which has authenticator apps (totp) only: use @authsignal/browser for it`);
    },
    configurable: true,
  });
}

/** One spelling for each API, so that its instances share a token. */
function normalise(baseUrl: string | undefined): string {
  let url = String(baseUrl ?? "https://api.authsignal.com/v1");
  try {
    url = new URL(url).href;
  } catch {
    // The module says what is wrong with it.
  }
  return url.replace(/\/+$/, "");
}

/** Says whether the module takes it; what it does not, it refuses. The upper limit is setTimeout's. */
function isTimeout(timeout: unknown): timeout is number {
  return typeof timeout === "number" && timeout > 0 && timeout < 2 ** 31;
}

/**
 * Waits for the module, but not longer than the caller does. What is no signal,
 * and a wrong timeout, are the module's to judge.
 */
function within(module: Promise<Module>, given: (AbortSignal | undefined)[], timeout: number | undefined): Promise<Module> {
  const signals = given.filter((signal) => signal instanceof AbortSignal) as AbortSignal[];
  return new Promise((resolve, reject) => {
    const abort = () => end(ErrorCode.aborted, abortedText);
    const late = () => end(ErrorCode.timeout, "The module did not load in time. Try again, or give the call a longer timeout.");
    const timer = isTimeout(timeout) ? setTimeout(late, timeout) : undefined;
    const settled = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", abort);
    };
    const end = (code: ErrorCode, text: string) => {
      settled();
      reject(new ModuleError(code, text));
    };
    for (const signal of signals) signal.addEventListener("abort", abort);
    module.then(resolve, reject).then(settled);
    if (signals.some((signal) => signal.aborted)) abort();
  });
}
