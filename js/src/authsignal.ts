import { readOptions, refuseAbsent, texts } from "guard";
import { anonymousId, hostDomain } from "./cookie.js";
import { ErrorCode, ModuleError } from "./errors.js";
import { launch } from "./launch.js";
import { loadEarly, loadModule, setDefaultSource, sourceOf, type Exports, type Module, type ModuleRecovery } from "./load.js";
import { record, tokens } from "./loader.js";
import { checkArgument, checkCookie, checkLoadOptions } from "./misuse.js";
import type {
  AuthsignalOptions,
  CallOptions,
  LaunchOptions,
  LoadOptions,
  PopupLaunchOptions,
  RecoveryCodes,
  RedirectLaunchOptions,
  TokenPayload,
  Totp,
  WindowLaunchOptions,
} from "./types.js";

/**
 * The enrollments under way, by tenant, API and token. Concurrent calls share
 * one, since the API creates a new secret for each enrollment and voids the one
 * before it. It is aborted when no call waits for it any more.
 */
const enrolling = new Map<string, { response: ReturnType<Totp["enroll"]>; stop: AbortController; ended: AbortSignal; callers: number }>();

/** The same text as the module's. */
const abortedText = "The call was aborted by its signal.";

/** The module's calls take the token that was set when the page made the call. */
type ModuleTotp = { [name in keyof Totp]: (options: Parameters<Totp[name]>[0], token: string) => ReturnType<Totp[name]> };
type ModuleInstance = { totp: ModuleTotp; recoveryCodes: ModuleRecovery };

/** The client of the Authsignal API in a page. */
export class Authsignal {
  /**
   * The ID of this browser, for the `deviceId` of `track`: the value of the
   * cookie. "" where there is no document.
   */
  anonymousId: string;
  /** The domain of that cookie. */
  cookieDomain: string;
  /** The name of that cookie. */
  anonymousIdCookieName: string;
  /** Whether the API's errors are printed; fixed when the instance is made. */
  enableLogging: boolean;
  /** Authenticator apps. */
  readonly totp: Totp;
  /** Codes for the user whose phone is lost; with this project's server only. */
  readonly recoveryCodes: RecoveryCodes;
  /** The key of its token: the tenant and the API. */
  private readonly of: [tenantId: string, url: string];
  private readonly wasmUrl: string | URL | undefined;
  /** Aborted when the instance is disposed of, which also ends its calls under way. */
  private readonly end = new AbortController();

  /** The version of this package, such as "0.1.0". */
  static get version(): string {
    return record.split(/[/ ]/)[1];
  }

  /**
   * Sets where the module comes from for all instances without a `wasmUrl` of
   * their own, and loads it. Without a source it loads the one that is set.
   *
   * @throws ModuleError (as a rejection) `wasm_load_failed`, naming the address
   * and the cause; the next call tries again. TypeError if an option is of the
   * wrong kind.
   */
  static async load(options?: LoadOptions): Promise<void> {
    checkLoadOptions(options ?? {});
    const source = sourceOf(options ?? {});
    if (source) setDefaultSource(() => source);
    (await loadModule(options ?? {})).warm();
  }

  /** @throws Error without a `tenantId`, TypeError if an option is of the wrong kind. */
  constructor(given: AuthsignalOptions) {
    const { wasmUrl, cookieName, cookieDomain } = given ?? {};
    const options = readOptions(given);
    checkCookie({ cookieName, cookieDomain });
    this.wasmUrl = wasmUrl;
    this.enableLogging = options.enableLogging;
    this.cookieDomain = cookieDomain || hostDomain();
    this.anonymousIdCookieName = cookieName ?? "__as_aid";
    this.anonymousId = anonymousId(this.anonymousIdCookieName, this.cookieDomain);
    const of = (this.of = [options.tenantId, options.baseUrl] as [string, string]);
    const { signal: ended } = this.end;

    const call = caller(options, wasmUrl, ended);
    // The arguments are read here, before waiting for the module.
    this.totp = {
      enroll: async (options) => {
        checkArgument(options ?? {}, texts.enroll);
        this.check();
        const { name, signal, timeout } = options ?? {};
        const enroll = (signal: AbortSignal | undefined) => call({ signal, timeout }, ({ totp }, limits, token) => totp.enroll({ name, ...limits }, token));
        // The module reports what is wrong with a signal or a timeout.
        if ((signal && (!isSignal(signal) || signal.aborted)) || !isTimeout(timeout ?? 1)) return enroll(signal);
        const key = [...of, tokens.get(...of)].join("\n");
        const existing = enrolling.get(key);
        let shared = existing;
        if (!shared || shared.ended.aborted) {
          const stop = new AbortController();
          const response = enroll(stop.signal);
          enrolling.set(key, (shared = { response, stop, ended, callers: 0 }));
        }
        shared.callers++;
        try {
          return { ...(await within(shared.response, [signal, ended], shared === existing ? timeout : undefined)) };
        } catch (error) {
          return asResult(error);
        } finally {
          // Also after the answer: the next call starts a new enrollment.
          if (--shared.callers === 0) {
            if (enrolling.get(key) === shared) enrolling.delete(key);
            shared.stop.abort();
          }
        }
      },
      verify: async (options) => {
        checkArgument(options, texts.verify);
        this.check();
        const { code, signal, timeout } = options;
        return call({ signal, timeout }, ({ totp }, limits, token) => totp.verify({ code, ...limits }, token));
      },
    };
    const recovery =
      (name: keyof RecoveryCodes, optional?: object) =>
      async <R>(options: (CallOptions & { code?: string; saved?: boolean }) | undefined): Promise<R> => {
        checkArgument(options ?? optional, texts.recoveryCodes);
        this.check();
        const { code, saved, signal, timeout } = options ?? {};
        return call({ signal, timeout }, ({ recoveryCodes }, limits, token) => recoveryCodes[name]({ code, saved, ...limits }, token));
      };
    this.recoveryCodes = { status: recovery("status", {}), generate: recovery("generate", {}), confirm: recovery("confirm"), verify: recovery("verify") };
  }

  /**
   * Sets the token that the backend got from `track`; every later call uses
   * it, in all instances with the same tenant and API. An empty one unsets it.
   *
   * @throws TypeError if it is not a string.
   */
  setToken(token: string | null | undefined): void {
    this.check();
    if (typeof (token ?? "") !== "string") throw new TypeError(texts.token);
    tokens.set(...this.of, token);
    // A page that sets a token is about to call; one that only launches sets none.
    if (token && globalThis.document) loadEarly({ wasmUrl: this.wasmUrl });
  }

  /**
   * Loads and starts the module, so that the first call need not wait for it:
   * useful while the user still types a password. When the page is idle, it also
   * has the browser compile the functions that the first call uses.
   *
   * @throws ModuleError (as a rejection) `wasm_load_failed`, naming the URL
   * and the cause. The next call tries again.
   */
  async preload(): Promise<void> {
    this.check();
    (await loadModule({ wasmUrl: this.wasmUrl })).warm();
  }

  /**
   * Opens the page at the `url` of `track`, which asks for a second factor.
   * With `redirect`, the default, it replaces this page. With
   * `popup` and `window` the promise resolves to the token for the backend to
   * validate, or to `token: undefined` if the user closed it; it rejects with an
   * Error that names the policy if a Cross-Origin-Opener-Policy cuts the window
   * off, or the page's Content-Security-Policy forbids the popup.
   *
   * @throws Error if a popup is open already, the browser blocks the window, or
   * there is no page; TypeError if the URL is not one of http or https.
   */
  launch(url: string, options?: RedirectLaunchOptions): undefined;
  launch(url: string, options: PopupLaunchOptions | WindowLaunchOptions): Promise<TokenPayload>;
  launch(url: string, options?: LaunchOptions): Promise<TokenPayload> | undefined {
    this.check();
    return launch(url, options, this.end.signal);
  }

  /**
   * Ends the instance: deletes the token of its tenant and API, for all
   * instances, releases everything else, closes what `launch` opened and aborts
   * the calls under way, which resolve to the error `aborted`. Later calls
   * throw. It does not clear what the page was given, such as a secret or a QR
   * code.
   */
  dispose(): void {
    if (this.end.signal.aborted) return;
    tokens.set(...this.of, undefined);
    this.end.abort();
  }

  private check(): void {
    if (this.end.signal.aborted) throw new Error(texts.disposed);
  }
}

refuseAbsent(Authsignal.prototype);

/** Returns a function that makes a call of the module, with the token of its time, until `ended` is aborted. */
function caller(options: ReturnType<typeof readOptions>, wasmUrl: string | URL | undefined, ended: AbortSignal) {
  // The module's own instance; a fresh module needs a fresh one.
  let inner: InstanceType<Exports["Authsignal"]> | undefined;
  let innerOf: Module | undefined;
  ended.addEventListener("abort", () => {
    try {
      inner?.dispose();
    } catch {
      // Its program has ended, and holds nothing any more.
    }
    inner = innerOf = undefined;
  });
  return async <R>({ signal, timeout }: CallOptions, f: (module: ModuleInstance, limits: CallOptions, token: string) => Promise<R>): Promise<R> => {
    const token = tokens.get(options.tenantId, options.baseUrl);
    const start = performance.now();
    try {
      const module = await within(loadModule({ wasmUrl }), [signal, ended], timeout);
      if (typeof fetch !== "function") throw new ModuleError(ErrorCode.network_error, "This environment has no fetch, which calls the API. Set it as a global.");
      // The rest of it; the module refuses 0.
      if (isTimeout(timeout)) timeout = Math.max(timeout - (performance.now() - start), 1);
      if (ended.aborted) throw new ModuleError(ErrorCode.aborted, abortedText);
      return await module.call((exports) => {
        if (!inner || innerOf !== module) {
          inner = new exports.Authsignal(options);
          innerOf = module;
        }
        return f(inner, { signal, timeout }, token);
      });
    } catch (error) {
      return asResult<R>(error);
    }
  };
}

/** Returns the result of a call for which the module itself failed. */
function asResult<R>(error: unknown): R {
  if (!(error instanceof ModuleError)) throw error;
  const { errorCode, message } = error;
  return { error: message, errorCode, errorDescription: message } as R;
}

/** Reports whether it is a signal; one of another frame is not an instance of this frame's AbortSignal. */
const isSignal = (signal: AbortSignal | undefined): signal is AbortSignal => typeof signal?.addEventListener === "function";

/** Reports whether the module accepts the timeout. The upper limit is setTimeout's. */
function isTimeout(timeout: unknown): timeout is number {
  return typeof timeout === "number" && timeout > 0 && timeout < 2 ** 31;
}

/**
 * Waits for the module or a call of it, until a signal is aborted or the timeout
 * is over. It ignores invalid signals and timeouts, which the module reports.
 */
function within<T>(module: Promise<T>, candidates: (AbortSignal | undefined)[], timeout: number | undefined): Promise<T> {
  const signals = candidates.filter(isSignal);
  return new Promise((resolve, reject) => {
    const abort = () => end(ErrorCode.aborted, abortedText);
    const expire = () => end(ErrorCode.timeout, "The call took too long. Try again, or give it a longer timeout.");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cleanUp = () => {
      clearTimeout(timer);
      for (const signal of signals) {
        try {
          signal.removeEventListener("abort", abort);
        } catch {
          // The signal is the caller's own object; the call is unaffected.
        }
      }
    };
    const end = (code: ErrorCode, text: string) => {
      cleanUp();
      reject(new ModuleError(code, text));
    };
    for (const signal of signals) signal.addEventListener("abort", abort);
    if (isTimeout(timeout)) timer = setTimeout(expire, timeout);
    module.then(resolve, reject).then(cleanUp);
    if (signals.some((signal) => signal.aborted)) abort();
  });
}
