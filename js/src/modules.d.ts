// Modules that cmd/buildsdk adds to the bundles.

/**
 * The compiler's own wasm_exec.js, unchanged, in a function that hides the
 * page's globals from it.
 */
declare module "wasm_exec" {
  /**
   * Runs the file with `scope` in place of globalThis. Where they are
   * missing, it sets `Go`, `fs`, `process` and `path` on it.
   */
  export function load(scope: object): new () => Go;

  /** The life of one Go program. */
  export interface Go {
    readonly importObject: WebAssembly.Imports;
    /** Called by Go's loader when the program ends by itself or panics, before anything else runs. */
    exit(code: number): void;
    /** Runs until the program first waits. The promise of Go's loader settles when the program has ended, TinyGo's at once. */
    run(instance: WebAssembly.Instance): Promise<void>;

    // Not documented, but always of the compiler that built the module: the
    // function by which JavaScript enters Go again, Go's running timers, and the
    // table of the values that Go holds.
    _resume(): void;
    readonly _scheduledTimeouts?: Map<number, ReturnType<typeof setTimeout>>;
    readonly _values: unknown[];
    readonly _goRefCounts?: number[];
    readonly _ids?: Map<unknown, unknown>;
  }
}

/** wasm/internal/bridge/guard.js. */
declare module "guard" {
  export interface Tokens {
    get(tenantId: string, url: string): string;
    set(tenantId: string, url: string, token: string | null | undefined): void;
  }
  export function makeTokens(): Tokens;
  export function makeGuard(tokens: Tokens): { end(cause: unknown): void };
  export function readOptions(options: unknown): { tenantId: string; baseUrl: string; onTokenExpired?: () => void; enableLogging: boolean };
  export const texts: Record<"disposed" | "enroll" | "recoveryCodes" | "token" | "verify", string>;
  export function refuseAbsent(prototype: object): void;
}

/** Identifies this build: the package's version, the compiler, and the hash of module and loader. */
declare module "record" {
  export const record: string;
}

/** authsignal.wasm, compressed, as text. */
declare module "inlined_module" {
  /** Base64 of gzip. */
  export const gzip: string;
}
