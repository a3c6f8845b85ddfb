/**
 * Authenticator-app (TOTP) MFA for web pages: a thin wrapper that loads the Go
 * module, hands calls on to it and watches it. The module decides; nothing of
 * it is loaded before the first call, and importing this touches no DOM.
 *
 * @packageDocumentation
 */
import { ErrorCode, ModuleError } from "./errors.js";
import { loadModule, type Exports, type Module } from "./load.js";
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

  /** @throws Error without a `tenantId`. */
  constructor(all: AuthsignalOptions) {
    const { wasmUrl, ...options } = all ?? {};
    check(options);
    this.wasmUrl = wasmUrl;
    const key = (this.key = options.tenantId + "\n" + normalise(options.baseUrl));

    // The module's own instance; a fresh module needs a fresh one.
    let of: Module | undefined;
    let inner: InstanceType<Exports["Authsignal"]>;
    const call = async <R>({ signal, timeout }: CallOptions, f: (totp: Totp, limits: CallOptions) => Promise<R>): Promise<R> => {
      const token = tokens.get(key) ?? "";
      const start = Date.now();
      try {
        const module = await unlessOver(loadModule(wasmUrl), signal, timeout);
        // A time-out that was given covers loading too.
        const limits = { signal, timeout: isTime(timeout) ? Math.max(1, timeout - (Date.now() - start)) : timeout };
        return await module.call((exports) => {
          if (of !== module) {
            inner = new exports.Authsignal(options);
            of = module;
          }
          // In one tick: no other call comes between.
          inner.setToken(token);
          return f(inner.totp, limits);
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
        if (options !== undefined && options !== null && !isObject(options)) throw new TypeError("enroll takes an object: enroll({ signal, timeout })");
        const { signal, timeout } = options ?? {};
        return call({ signal, timeout }, (totp, limits) => totp.enroll(limits));
      },
      verify: async (options) => {
        if (!isObject(options)) throw new TypeError("verify takes an object: verify({ code })");
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

/** Throws for what the module would refuse, which is not there yet. */
function check({ tenantId, baseUrl, onTokenExpired }: Partial<AuthsignalOptions>): void {
  if (tenantId === undefined || tenantId === null || tenantId === "") throw new Error("tenantId is required");
  if (typeof tenantId !== "string") throw new TypeError("tenantId must be a string");
  if (baseUrl !== undefined && baseUrl !== null && (typeof baseUrl !== "string" || !baseUrl.trim())) {
    throw new TypeError("baseUrl must be a URL such as https://api.authsignal.com/v1");
  }
  if (onTokenExpired !== undefined && onTokenExpired !== null && typeof onTokenExpired !== "function") {
    throw new TypeError("onTokenExpired must be a function");
  }
}

function isObject(value: unknown): boolean {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** Whether this is a time-out; one that is none is the module's to refuse. */
function isTime(value: unknown): value is number {
  return typeof value === "number" && value > 0 && value < 2 ** 31;
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

/** Waits for the module, but not longer than the caller does. A signal that is aborted already, or is none, is the module's to judge. */
function unlessOver(module: Promise<Module>, signal: AbortSignal | undefined, timeout: number | undefined): Promise<Module> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new ModuleError(ErrorCode.aborted, "The call was aborted by its signal."));
    const watched = signal instanceof AbortSignal && !signal.aborted ? signal : undefined;
    watched?.addEventListener("abort", abort);
    const late = () => reject(new ModuleError(ErrorCode.timeout, "The module did not arrive in time. Check wasmUrl, or preload it."));
    const timer = isTime(timeout) ? setTimeout(late, timeout) : undefined;
    module.then(resolve, reject).then(() => {
      watched?.removeEventListener("abort", abort);
      clearTimeout(timer);
    });
  });
}

/** QR codes without an API, such as for an `otpauth://` URI from elsewhere. */
export const qr: QR = {
  async toSVG(text, options) {
    const module = await loadModule(options?.wasmUrl);
    return module.call((exports) => exports.qr.toSVG(text, options));
  },
};
