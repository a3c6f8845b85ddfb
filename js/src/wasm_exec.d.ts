/**
 * The toolchain's own lib/wasm/wasm_exec.js, unchanged, in a function that
 * hides the page's globalThis from it. cmd/buildsdk makes this module.
 */
declare module "wasm_exec" {
  /**
   * Runs the file with `scope` in place of globalThis. Where they are
   * missing, it sets `Go`, `fs`, `process` and `path` on it.
   */
  export function load(scope: object): new () => Go;

  /** The toolchain, such as "go1.26.8". */
  export const version: string;

  /** The life of one Go program. */
  export interface Go {
    readonly importObject: WebAssembly.Imports;
    /** Called when the program ends by itself or panics, before anything else runs. */
    exit(code: number): void;
    /** Runs until the program first waits; settles when it has ended. */
    run(instance: WebAssembly.Instance): Promise<void>;

    // Not documented, but stable, and always of the toolchain that built the
    // module: where JavaScript enters Go again, and Go's running timers.
    _resume(): void;
    readonly _scheduledTimeouts: Map<number, ReturnType<typeof setTimeout>>;
  }
}
