import { ErrorCode, ModuleError } from "./errors.js";
import { checkRecord, Program } from "./loader.js";
import type { AuthsignalOptions, LoadOptions, QRMatrix, QROptions, RecoveryCodes, Totp } from "./types.js";

/** The functions behind recoveryCodes, which read their options themselves. */
export type ModuleRecovery = Record<keyof RecoveryCodes, <R>(options: object, token: string) => Promise<R>>;

/** What the Go program publishes as `authsignal`; see wasm/main_js.go. */
export interface Exports {
  Authsignal: new (options: AuthsignalOptions) => { setToken(token: string): void; totp: Totp; recoveryCodes: ModuleRecovery; dispose(): void };
  qr: {
    toSVG(text: string, options?: QROptions): Promise<string>;
    toDataURL(text: string, options?: QROptions): Promise<string>;
    matrix(text: string, options?: QROptions): Promise<QRMatrix>;
  };
}

type Bytes = NonNullable<LoadOptions["wasmBytes"]>;

/** Where a module comes from: its file's URL, or the module itself. */
export type Source = URL | WebAssembly.Module | Bytes;

/** The time that fetching and compiling a module file may take, in milliseconds. */
const loadTimeout = 120_000;

/** The compiled modules and the running or starting ones, by source. All callers share one. */
const compiled = new Map<unknown, Promise<WebAssembly.Module>>();
const modules = new Map<unknown, Promise<Module>>();

let defaultSource: () => Source | Promise<Source>;

/** Sets the source of calls that name none; each entry of the package has its own. */
export function setDefaultSource(source: typeof defaultSource): void {
  defaultSource = source;
}

/** Returns the source that options name, undefined if they name none. */
export function sourceOf({ wasmUrl, wasmModule, wasmBytes }: LoadOptions): Source | undefined {
  const given = [wasmUrl, wasmModule, wasmBytes].filter((source) => source != null);
  if (given.length > 1) throw new TypeError("give one of wasmUrl, wasmModule and wasmBytes");
  checkEnvironment();
  if (wasmModule != null && !(wasmModule instanceof WebAssembly.Module)) throw new TypeError("wasmModule must be a WebAssembly.Module");
  if (wasmBytes != null && !(wasmBytes instanceof ArrayBuffer || ArrayBuffer.isView(wasmBytes))) throw new TypeError("wasmBytes must be an ArrayBuffer or a view of one");
  if (wasmUrl == null) return wasmModule ?? wasmBytes;
  try {
    return new URL(wasmUrl, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (cause) {
    throw new ModuleError(ErrorCode.wasm_load_failed, `wasmUrl is not a URL: ${wasmUrl}`, cause);
  }
}

/** Throws if this environment lacks a global that the module needs. */
function checkEnvironment(): void {
  const missing = ["WebAssembly", "TextEncoder", "TextDecoder", "AbortController", "AbortSignal", "URL", "performance"].filter((name) => !(globalThis as Record<string, unknown>)[name]);
  if (missing.length === 0) return;
  const remedy = missing[0] === "WebAssembly" ? "Lockdown Mode switches it off: use launch, or another browser" : "set it as a global first (jsdom: see docs/testing.md)";
  throw new ModuleError(ErrorCode.wasm_load_failed, `The module could not be loaded: this environment has no ${missing.join(", ")}; ${remedy}`);
}

/**
 * Returns the module of a source, and loads it if it is not loaded yet. The next
 * call starts a module again that could not be loaded, or that has ended.
 *
 * @throws ModuleError (as a rejection) `wasm_load_failed`.
 */
export async function loadModule(options: LoadOptions): Promise<Module> {
  const source = sourceOf(options) ?? (await resolveDefaultSource());
  const key = keyOf(source);
  let module = modules.get(key);
  if (!module) {
    module = start(source, compile(source, options.onProgress), () => modules.delete(key));
    modules.set(key, module);
  }
  return module;
}

/**
 * Has the browser load and compile the module of a source, before it is
 * needed. Failures are left to the first call to report.
 */
export async function loadEarly(options: LoadOptions): Promise<void> {
  try {
    await compile(sourceOf(options) ?? (await resolveDefaultSource()));
  } catch {
    // The first call tries again.
  }
}

const keyOf = (source: Source) => (source instanceof URL ? source.href : source);

/** Returns the compiled module of a source, which all callers share; a failure is not cached. */
function compile(source: Source, onProgress?: LoadOptions["onProgress"]): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return Promise.resolve(source);
  const key = keyOf(source);
  let module = compiled.get(key);
  if (!module) {
    module = compileOnce(source, onProgress);
    compiled.set(key, module);
    module.catch(() => compiled.delete(key));
  }
  return module;
}

/** Returns the default source, or throws if there is none, as for a script without an address. */
async function resolveDefaultSource(): Promise<Source> {
  try {
    return await defaultSource();
  } catch (cause) {
    if (cause instanceof ModuleError) throw cause;
    throw new ModuleError(ErrorCode.wasm_load_failed, `The module's address is unknown: set wasmUrl (${textOf(cause)})`, cause);
  }
}

/** A running Go program. */
export class Module {
  private crash?: ModuleError;
  private readonly calls = new Set<(crash: ModuleError) => void>();
  /** Whether it has been called, which has the browser compile its functions. */
  private called = false;
  private warming = false;

  constructor(readonly exports: Exports) {}

  /**
   * Calls the program: resolves to the result of `f`, or rejects with
   * `sdk_crashed` as soon as the program ends. The promises of a Go program
   * never settle after its end.
   */
  call<T>(f: (exports: Exports) => Promise<T>): Promise<T> {
    this.called = true;
    return new Promise<T>((resolve, reject) => {
      if (this.crash) throw this.crash;
      this.calls.add(reject);
      // If the program has ended in f, the value of f is not a promise.
      (async () => f(this.exports))()
        .then(resolve, reject)
        .then(() => this.calls.delete(reject));
    });
  }

  /**
   * Draws a QR code for nothing as soon as the page is idle, unless a call comes
   * first. Browsers compile a function of a module when it is first called:
   * those of enroll, most of them verify's too, are compiled before the user waits.
   */
  warm(): void {
    if (this.called || this.warming) return;
    this.warming = true;
    const idle = globalThis.requestIdleCallback ?? ((f: () => void) => setTimeout(f));
    idle(() => {
      if (!this.called) this.call(({ qr }) => qr.toDataURL("otpauth://totp/warm:up?secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&issuer=warm")).catch(() => {});
    });
  }

  /** Rejects all calls, since the program has ended. */
  end(cause: unknown): void {
    const detail = cause === undefined ? "" : ` (${textOf(cause)})`;
    this.crash = new ModuleError(ErrorCode.sdk_crashed, `The module has crashed${detail}. The next call starts it afresh.`, cause);
    for (const reject of this.calls) reject(this.crash);
    this.calls.clear();
  }
}

/** Starts a compiled module; calls ended if it cannot be started, and when it has ended. */
async function start(source: Source, compiling: Promise<WebAssembly.Module>, ended: () => void): Promise<Module> {
  let module: Module | undefined;
  try {
    const program = new Program((cause) => {
      ended();
      module?.end(cause);
    });
    const wasm = await compiling;
    checkRecord(WebAssembly.Module.exports(wasm).map(({ name }) => name));
    // WebKit applies a policy to the start, the other engines to compiling.
    const instance = await withPolicyHint(WebAssembly.instantiate(wasm, program.importObject));
    return (module = new Module(await program.start(instance)));
  } catch (cause) {
    ended();
    compiled.delete(keyOf(source)); // the next fetch may return another file
    throw new ModuleError(ErrorCode.wasm_load_failed, `The module could not be loaded from ${nameOf(source)}: ${messageOf(cause)}`, cause);
  }
}

/** Returns the text of a thrown value, which may be of any type. */
function textOf(cause: unknown): string {
  try {
    return String(cause);
  } catch {
    return "no text";
  }
}

/** Returns an error's message without its name, or the text of another value. */
const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : textOf(cause));
const nameOf = (source: Source) => (source instanceof URL ? source : source instanceof WebAssembly.Module ? "wasmModule" : "bytes in memory");

/** Fetches a module, if it is a URL, and compiles it, within loadTimeout. */
async function compileOnce(source: URL | Bytes, onProgress: LoadOptions["onProgress"]): Promise<WebAssembly.Module> {
  if (!(source instanceof URL)) return withPolicyHint(WebAssembly.compile(source as BufferSource)); // it throws for a SharedArrayBuffer
  // AbortSignal.timeout and the reason of abort are too new for some browsers.
  const controller = new AbortController();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    controller.abort();
  }, loadTimeout);
  try {
    return await fetchAndCompile(source, { signal: controller.signal }, onProgress);
  } catch (cause) {
    throw timedOut ? new Error(`it has not arrived within ${loadTimeout / 1000} s`) : cause;
  } finally {
    clearTimeout(timer);
  }
}

async function fetchAndCompile(url: URL, init: RequestInit, onProgress: LoadOptions["onProgress"]): Promise<WebAssembly.Module> {
  let bytes: ArrayBuffer | Uint8Array<ArrayBuffer>;
  let note = "";
  const fs = url.protocol === "file:" ? nodeFS() : undefined;
  if (fs) {
    bytes = await fs.readFile(url);
  } else {
    let response = await fetch(url.href, init).catch((cause) => {
      const hint =
        url.protocol === "file:" ? "a page opened from a file cannot load it: serve it over http, or use authsignal-wasm/inline" : "no answer, or CORS or the page's connect-src forbids it";
      throw new Error(`${cause.message} (${hint})`);
    });
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const type = response.headers.get("Content-Type") ?? "";
    if (onProgress && response.body) response = withProgress(response, response.body.getReader(), onProgress);
    if (type.trim().toLowerCase() === "application/wasm" && WebAssembly.compileStreaming) {
      try {
        return await withPolicyHint(WebAssembly.compileStreaming(response));
      } catch (cause) {
        if (!/magic|\\0asm/i.test(textOf(cause))) throw cause;
        // It is not a module, and its bytes are consumed: fetch them again to name what it is.
        response = await fetch(url.href, init);
      }
    }
    bytes = await response.arrayBuffer();
    note = ` (Content-Type ${type || "missing"})`;
  }
  const description = describeNonModule(new Uint8Array(bytes as ArrayBuffer));
  if (description) throw new Error(description + note);
  return await withPolicyHint(WebAssembly.compile(bytes));
}

/** Describes the bytes if they are not a WebAssembly module, and returns undefined otherwise. */
function describeNonModule(bytes: Uint8Array): string | undefined {
  if (String(bytes.subarray(0, 4)) === "0,97,115,109") return undefined;
  const text = new TextDecoder().decode(bytes.subarray(0, 64));
  if (/^\s*</.test(text)) return "an HTML page came instead of the module"; // <!doctype html>, <html>
  if (text.startsWith("version https://git-lfs")) return "a Git LFS pointer came instead of the module: run git lfs pull";
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "what came is compressed and lacks the header Content-Encoding: gzip";
  // Brotli has no magic number, so it cannot be told from other data.
  return "what came is not a WebAssembly module, or is compressed and lacks the header Content-Encoding: br";
}

/** Returns an equal response that reports to onProgress how much of it has arrived. */
function withProgress(response: Response, reader: ReadableStreamDefaultReader<Uint8Array>, onProgress: NonNullable<LoadOptions["onProgress"]>): Response {
  const { headers, type } = response;
  // The bytes counted are decoded, but Content-Length is that of the encoded
  // ones. The Content-Encoding of another origin is hidden.
  const total = type === "cors" || headers.has("Content-Encoding") ? NaN : Number(headers.get("Content-Length") ?? NaN);
  let loaded = 0;
  const body = new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      loaded += value.length;
      const progress = { loaded, total: loaded <= total ? total : undefined };
      // An error that it throws becomes an unhandled rejection of the page.
      Promise.resolve(progress).then(onProgress);
      controller.enqueue(value);
    },
  });
  return new Response(body, { headers });
}

/** Adds the remedy to an error that a Content-Security-Policy has caused. */
async function withPolicyHint<T>(attempt: Promise<T>): Promise<T> {
  try {
    return await attempt;
  } catch (cause) {
    const text = messageOf(cause);
    if (!/unsafe-eval|content.security.policy|blocked by csp/i.test(text)) throw cause;
    throw new Error(`the page's Content-Security-Policy forbids WebAssembly; add 'wasm-unsafe-eval' to its script-src (${text})`);
  }
}

/** Returns Node's file system, or undefined elsewhere. It is looked up in a way that no bundler resolves. */
function nodeFS(): { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> } | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): any } };
  return process?.getBuiltinModule?.("node:fs/promises");
}
