import { load as loadGo, version, type Go } from "wasm_exec";
import { ErrorCode, ModuleError } from "./errors.js";
import type { AuthsignalOptions, LoadOptions, QRMatrix, QROptions, Totp } from "./types.js";

/** What the Go program publishes as `authsignal`; see wasm/main_js.go. */
export interface Exports {
  Authsignal: new (options: AuthsignalOptions) => { setToken(token: string): void; totp: Totp; dispose(): void };
  qr: {
    toSVG(text: string, options?: QROptions): Promise<string>;
    toDataURL(text: string, options?: QROptions): Promise<string>;
    matrix(text: string, options?: QROptions): Promise<QRMatrix>;
  };
}

type Bytes = NonNullable<LoadOptions["wasmBytes"]>;

/** Where a module comes from: its file's URL, or the module itself. */
export type Source = URL | WebAssembly.Module | Bytes;

/** A module file that has not arrived whole after this many milliseconds never will. */
const loadTimeout = 120_000;

/** The modules that run or are about to, by source: one for a page, however many ask. */
const modules = new Map<unknown, Promise<Module>>();

let standard: () => Source | Promise<Source>;

/** Sets the source of all who name none; each entry of the package has its own. */
export function setStandard(source: typeof standard): void {
  standard = source;
}

/** Gives the source that options name, if they do. */
export function sourceOf({ wasmUrl, wasmModule, wasmBytes }: LoadOptions): Source | undefined {
  const given = [wasmUrl, wasmModule, wasmBytes].filter((source) => source != null);
  if (given.length > 1) throw new TypeError("give one of wasmUrl, wasmModule and wasmBytes");
  if (wasmModule != null && !(wasmModule instanceof WebAssembly.Module)) throw new TypeError("wasmModule must be a WebAssembly.Module");
  if (wasmBytes != null && !(wasmBytes instanceof ArrayBuffer || ArrayBuffer.isView(wasmBytes)))
    throw new TypeError("wasmBytes must be an ArrayBuffer or a view of one");
  if (wasmUrl == null) return wasmModule ?? wasmBytes;
  try {
    return new URL(wasmUrl, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch (cause) {
    throw new ModuleError(ErrorCode.wasm_load_failed, `wasmUrl is not a URL: ${wasmUrl}`, cause);
  }
}

/**
 * Gives the module of a source, and loads it if it is not there. A module that
 * could not be loaded, or that has ended, is loaded anew by the next call.
 *
 * @throws ModuleError (as a rejection) `wasm_load_failed`.
 */
export async function loadModule(options: LoadOptions): Promise<Module> {
  const source = sourceOf(options) ?? (await unlessNone());
  const key = source instanceof URL ? source.href : source;
  let module = modules.get(key);
  if (!module) {
    module = start(source, options.onProgress, () => modules.delete(key));
    modules.set(key, module);
  }
  return module;
}

/** Gives the standard source, which a script without an address has not. */
async function unlessNone(): Promise<Source> {
  try {
    return await standard();
  } catch (cause) {
    if (cause instanceof ModuleError) throw cause;
    throw new ModuleError(ErrorCode.wasm_load_failed, `The module's address is not to be found from here: set wasmUrl (${cause})`, cause);
  }
}

/** A running Go program. */
export class Module {
  private crash?: ModuleError;
  private readonly calls = new Set<(crash: ModuleError) => void>();
  /** Whether it has been called: then what a call needs is compiled. */
  private called = false;
  private warming = false;

  constructor(readonly exports: Exports) {}

  /**
   * Calls the program: gives what `f` gives, or rejects with `sdk_crashed` as
   * soon as the program ends. Promises that a Go program has given out never
   * settle after its end.
   */
  call<T>(f: (exports: Exports) => Promise<T>): Promise<T> {
    this.called = true;
    return new Promise<T>((resolve, reject) => {
      if (this.crash) throw this.crash;
      this.calls.add(reject);
      // If the program has ended in f, what f gives is not a promise.
      (async () => f(this.exports))()
        .then(resolve, reject)
        .then(() => this.calls.delete(reject));
    });
  }

  /**
   * Draws a throw-away QR code as soon as the page is idle, unless a call comes
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

  /** Settles all calls; the program has ended. */
  end(cause: unknown): void {
    const detail = cause === undefined ? "" : ` (${cause})`;
    this.crash = new ModuleError(ErrorCode.sdk_crashed, `The module has crashed${detail}. The next call starts it afresh.`, cause);
    for (const reject of this.calls) reject(this.crash);
    this.calls.clear();
  }
}

/** Loads and starts a module; calls ended once, when it cannot be used or no longer. */
async function start(source: Source, onProgress: LoadOptions["onProgress"], ended: () => void): Promise<Module> {
  let module: Module | undefined;
  let over = false;
  const end = (cause?: unknown) => {
    if (over) return;
    over = true;
    // Go's timers would fire into a program that has ended.
    for (const timer of go._scheduledTimeouts.values()) clearTimeout(timer);
    go._scheduledTimeouts.clear();
    ended();
    module?.end(cause);
  };

  let go: Go;
  try {
    const scope = privateScope();
    go = new (loadGo(scope))();
    // WebKit holds a policy against the start, the others against compiling.
    const instance = await explained(WebAssembly.instantiate(checked(await compile(source, onProgress)), go.importObject));

    // Three ways to end: by itself or by a panic (exit, at once), by a trap
    // while it starts (run rejects), by a trap later (resume throws).
    go.exit = (code) => end(`exit code ${code}`);
    const resume = go._resume;
    go._resume = () => {
      if (over) return;
      try {
        resume.call(go);
      } catch (cause) {
        end(cause);
      }
    };
    const running = go.run(instance);
    running.then(() => end(), end);

    // Go publishes before it first waits, which is before run returns.
    const exports = scope.authsignal as Exports | undefined;
    if (!exports || over) {
      // If it has trapped, run is about to say so.
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve))]);
      throw new Error("it is not the module of this package, or it ended while it started");
    }
    return (module = new Module(exports));
  } catch (cause) {
    ended();
    const text = cause instanceof Error ? cause.message : String(cause);
    const from = source instanceof URL ? source : source instanceof WebAssembly.Module ? "wasmModule" : "bytes in memory";
    throw new ModuleError(ErrorCode.wasm_load_failed, `The module could not be loaded from ${from}: ${text}`, cause);
  }
}

/**
 * What the Go program takes for globalThis. What wasm_exec.js and the program
 * publish stays here, where no page sees it. All else is read from the page,
 * at the time of use.
 */
function privateScope(): Record<string, unknown> {
  // Never from the page: there, fs or path may be anything, such as an
  // element with that id, and authsignal another copy of this package.
  const own: Record<string | symbol, unknown> = { fs: undefined, process: undefined, path: undefined, authsignal: undefined };
  return new Proxy(own, {
    get(own, name) {
      if (Object.hasOwnProperty.call(own, name)) return own[name];
      const value = Reflect.get(globalThis, name);
      // fetch and its like insist on the page as their `this`. Classes,
      // with their static methods, must stay as they are.
      return typeof value === "function" && /^[a-z]/.test(String(name)) ? value.bind(globalThis) : value;
    },
  });
}

/** Refuses a module that another toolchain built: its Go program would not understand this package's wasm_exec.js. */
function checked(module: WebAssembly.Module): WebAssembly.Module {
  // https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md
  const [producers] = WebAssembly.Module.customSections(module, "producers");
  const [built] = /go1[\w.+-]*/.exec(producers ? new TextDecoder().decode(producers) : "") ?? [version];
  if (built !== version)
    throw new Error(`it was built by ${built}, but the wasm_exec.js of this package is of ${version}; take both from the same package`);
  return module;
}

/** Fetches, if need be, and compiles, within loadTimeout. */
async function compile(source: Source, onProgress: LoadOptions["onProgress"]): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (!(source instanceof URL)) return explained(WebAssembly.compile(source as BufferSource)); // a shared one it refuses itself
  // AbortSignal.timeout is too young, and so is the reason of abort.
  const controller = new AbortController();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    controller.abort();
  }, loadTimeout);
  try {
    return await fetchAndCompile(source, controller.signal, onProgress);
  } catch (cause) {
    throw late ? new Error(`it has not arrived within ${loadTimeout / 1000} s`) : cause;
  } finally {
    clearTimeout(timer);
  }
}

async function fetchAndCompile(url: URL, signal: AbortSignal, onProgress: LoadOptions["onProgress"]): Promise<WebAssembly.Module> {
  let bytes: ArrayBuffer | Uint8Array<ArrayBuffer>;
  let note = "";
  const fs = url.protocol === "file:" ? nodeFS() : undefined;
  if (fs) {
    bytes = await fs.readFile(url);
  } else {
    let response = await fetch(url.href, { signal }).catch((cause) => {
      throw new Error(`${cause.message} (no answer, or CORS or the connect-src of the page's Content-Security-Policy forbids it)`);
    });
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const type = response.headers.get("Content-Type") ?? "";
    if (onProgress && response.body) response = counted(response, response.body.getReader(), onProgress);
    if (type.trim().toLowerCase() === "application/wasm" && WebAssembly.compileStreaming) {
      return await explained(WebAssembly.compileStreaming(response));
    }
    bytes = await response.arrayBuffer();
    note = ` (Content-Type ${type || "missing"})`;
  }
  const head = new Uint8Array(bytes as ArrayBuffer).subarray(0, 4);
  if (String(head) !== "0,97,115,109") {
    // "<" opens "<!doctype html>" and "<html>".
    throw new Error((head[0] === 0x3c ? "an HTML page came instead of the module" : "what came is not a WebAssembly module") + note);
  }
  return await explained(WebAssembly.compile(bytes));
}

/** Gives an equal response that tells how much of it has arrived. */
function counted(response: Response, reader: ReadableStreamDefaultReader<Uint8Array>, onProgress: NonNullable<LoadOptions["onProgress"]>): Response {
  const { headers, type } = response;
  // What is counted is decoded, and Content-Length is not. Another origin's
  // Content-Encoding is not shown.
  const total = type === "cors" || headers.has("Content-Encoding") ? NaN : Number(headers.get("Content-Length") ?? NaN);
  let loaded = 0;
  const body = new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      loaded += value.length;
      const progress = { loaded, total: loaded <= total ? total : undefined };
      // What it throws is the page's affair, and shows as an unhandled rejection.
      Promise.resolve(progress).then(onProgress);
      controller.enqueue(value);
    },
  });
  return new Response(body, { headers });
}

/** Adds to what failed what to do about it, where a policy is the cause. */
async function explained<T>(attempt: Promise<T>): Promise<T> {
  try {
    return await attempt;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    if (!/unsafe-eval|content.security.policy|blocked by csp/i.test(text)) throw cause;
    throw new Error(`the page's Content-Security-Policy forbids WebAssembly; add 'wasm-unsafe-eval' to its script-src (${text})`);
  }
}

/** Node's file system, if this is Node; asked for in a way that no bundler follows. */
function nodeFS(): { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> } | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): any } };
  return process?.getBuiltinModule?.("node:fs/promises");
}
