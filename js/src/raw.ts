// dist/wasm_exec.js: starts the module without the wrapper. Its interface is
// that of the file of that name in Go's distribution.

import { Program } from "./loader.js";

/** The life of one Go program; its only global is `authsignal`. */
class GoProgram {
  private readonly program = new Program(() => {});

  get importObject(): WebAssembly.Imports {
    return this.program.importObject;
  }

  /**
   * Runs the program. It has published `authsignal` when this returns; the
   * promise resolves then, and rejects if the instance is not of this build.
   */
  run(instance: WebAssembly.Instance): Promise<void> {
    return this.program.start(instance, publish).then(() => {});
  }
}

declare global {
  /** Set by `wasm_exec.js`. */
  var Go: new () => {
    readonly importObject: WebAssembly.Imports;
    run(instance: WebAssembly.Instance): Promise<void>;
  };
}

function publish(exports: unknown): void {
  (globalThis as { authsignal?: unknown }).authsignal = exports;
}

globalThis.Go = GoProgram;
