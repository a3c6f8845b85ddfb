/**
 * Authenticator-app (TOTP) MFA for web pages: a thin wrapper that loads the Go
 * module, hands calls on to it and watches it. The module decides; nothing of
 * it is loaded before the first call, and importing this touches no DOM.
 *
 * @packageDocumentation
 */
import { ErrorCode, ModuleError } from "./errors.js";
import { loadModule, type Exports, type Module } from "./load.js";
import { checkArgument, checkOptions } from "./misuse.js";
import type { AuthsignalOptions, CallOptions, QR, Totp } from "./types.js";

export { ErrorCode, ModuleError };
export type * from "./types.js";

/**
 * The tokens, by tenant and API, for all instances of a page. They are kept
 * here, not in the module, because they are set before it is there and
 * outlive it when it crashes.
 */
const tokens = new Map<string, string>();

/** The client of the Authsignal API in a page. */
export class Authsignal {
  /** Authenticator apps. */
  readonly totp: Totp;
  /** Names the tenant and the API among the tokens. */
  private readonly key: string;
  private readonly wasmUrl: string | URL | undefined;

  /** @throws Error without a `tenantId`, TypeError if an option is of the wrong kind. */
  constructor(given: AuthsignalOptions) {
    const { wasmUrl, ...options } = given ?? {};
    checkOptions(options);
    this.wasmUrl = wasmUrl;
    const key = (this.key = options.tenantId + "\n" + normalise(options.baseUrl));

    // The module's own instance; a fresh module needs a fresh one.
    let of: Module | undefined;
    let inner: InstanceType<Exports["Authsignal"]>;
    const call = async <R>({ signal, timeout }: CallOptions, f: (totp: Totp, limits: CallOptions) => Promise<R>): Promise<R> => {
      const token = tokens.get(key) ?? "";
      const start = performance.now();
      try {
        const module = await within(loadModule(wasmUrl), signal, timeout);
        // What is left of it; the module takes no 0.
        if (isTimeout(timeout)) timeout = Math.max(timeout - (performance.now() - start), 1);
        return await module.call((exports) => {
          if (of !== module) {
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
        const { signal, timeout } = options ?? {};
        return call({ signal, timeout }, (totp, limits) => totp.enroll(limits));
      },
      verify: async (options) => {
        checkArgument(options, "verify takes an object: verify({ code })");
        const { code, signal, timeout } = options;
        const result = await call({ signal, timeout }, (totp, limits) => totp.verify({ code, ...limits }));
        const token = result.data?.token;
        if (typeof token === "string" && token) tokens.set(key, token);
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
    if (typeof (token ?? "") !== "string") throw new TypeError("token must be a string");
    if (token) tokens.set(this.key, token);
    else tokens.delete(this.key);
  }

  /**
   * Loads and starts the module, so that the first call need not wait for it:
   * good while the user still types a password.
   *
   * @throws ModuleError (as a rejection) `wasm_load_failed`, naming the URL
   * and the cause. The next call tries again by itself.
   */
  async preload(): Promise<void> {
    await loadModule(this.wasmUrl);
  }
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
 * Waits for the module, but not longer than the caller does. A signal that is
 * aborted already, or is none, and a wrong timeout are the module's to judge.
 */
function within(module: Promise<Module>, signal: AbortSignal | undefined, timeout: number | undefined): Promise<Module> {
  if (!(signal instanceof AbortSignal) || signal.aborted) signal = undefined;
  return new Promise((resolve, reject) => {
    const abort = () => end(ErrorCode.aborted, "The call was aborted by its signal.");
    const late = () => end(ErrorCode.timeout, "The module did not load in time. Try again, or give the call a longer timeout.");
    const timer = isTimeout(timeout) ? setTimeout(late, timeout) : undefined;
    const settled = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const end = (code: ErrorCode, text: string) => {
      settled();
      reject(new ModuleError(code, text));
    };
    signal?.addEventListener("abort", abort);
    module.then(resolve, reject).then(settled);
  });
}

/** QR codes without an API, such as for an `otpauth://` URI from elsewhere. */
export const qr: QR = {
  async toSVG(text, options) {
    const module = await loadModule(options?.wasmUrl);
    return module.call((exports) => exports.qr.toSVG(text, options));
  },
};
