// Starts the Go program of this package, for the wrapper and, through raw.ts,
// for pages that do not use it.

import { makeGuard, makeTokens, type Tokens } from "guard";
import { record } from "record";
import { load as loadGo, type Go } from "wasm_exec";
import type { Exports } from "./load.js";

export { record };

/** The tokens of this page. They are kept when a program crashes. */
export const tokens: Tokens = makeTokens();

/**
 * Throws if a module, known by the names of its exports, is not of this
 * package's build, which could not work with this loader. The record is the
 * name of an export, which cmd/buildsdk adds.
 */
export function checkRecord(names: string[]): void {
  const own = names.find((name) => name.startsWith("authsignal-wasm/"));
  if (own !== record) throw new Error(`it is of ${own ?? "another package, or of an old version"}, its loader of ${record}; take both from the same package (a cache may hold an old one)`);
}

/** A Go program. */
export class Program {
  private readonly scope = privateScope();
  private readonly go: Go = new (loadGo(this.scope))();
  private over = false;

  /** Calls ended once, with what ended the program. */
  constructor(private readonly ended: (cause?: unknown) => void) {}

  get importObject(): WebAssembly.Imports {
    return this.go.importObject;
  }

  /**
   * Runs the program until it first waits. What it has published by then is
   * passed to publish, before this returns, and is the promise's value.
   *
   * @throws Error (as a rejection) if the instance is not of this build or ends.
   */
  async start(instance: WebAssembly.Instance, publish?: (exports: Exports) => void): Promise<Exports> {
    checkRecord(Object.keys(instance.exports));
    const { go, scope } = this;
    const guard = (scope.authsignal = makeGuard(tokens));
    const end = (cause?: unknown) => {
      if (this.over) return;
      this.over = true;
      this.ended(cause);
      guard.end(cause);
      // Go's timers would fire into a program that has ended.
      for (const timer of (go._scheduledTimeouts ?? new Map()).values()) clearTimeout(timer);
    };

    // Three ways to end: by itself or by a panic (exit, at once), by a trap
    // while it starts (run rejects), by a trap later (resumeGo throws).
    go.exit = (code) => end(new Error(`exit code ${code}`));
    const resumeGo = go._resume;
    let freeValues = () => {};
    let depth = 0;
    go._resume = () => {
      if (this.over) return; // the guard's functions throw
      depth++;
      try {
        resumeGo.call(go);
      } catch (cause) {
        end(cause);
      } finally {
        if (--depth === 0 && !this.over) freeValues();
      }
    };
    const running = go.run(instance);
    const isTinyGo = "_initialize" in instance.exports; // its run returns at once, and it can still be called
    running.then(() => isTinyGo || end(), end);

    if (scope.authsignal === guard || this.over) {
      // If it has trapped, run is about to reject.
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve))]);
      throw new Error("it ended while it started");
    }
    if (isTinyGo) freeValues = valueFreer(go);
    publish?.(scope.authsignal as Exports);
    return scope.authsignal as Exports;
  }
}

/**
 * Returns a function that frees, after each event, the values that the program
 * received in it. TinyGo 0.41 has no finalizers: every object, function and
 * string of JavaScript that it received would stay in the loader's table. This
 * program keeps none from one event to the next, except those of its start (see
 * wasm/internal/bridge).
 */
function valueFreer(go: Go): () => void {
  const mark = go._values.length;
  return () => {
    for (let i = mark; i < go._values.length; i++) go._ids!.delete(go._values[i]);
    go._values.length = go._goRefCounts!.length = mark;
  };
}

/**
 * Returns the Go program's globalThis. What wasm_exec.js and the program publish
 * is stored here, hidden from the page. Everything else is read from the page,
 * at the time of use.
 */
function privateScope(): Record<string, unknown> {
  // Never from the page: there, fs or path may be anything, such as an
  // element with that id, and authsignal another copy of this package.
  const own: Record<string | symbol, unknown> = { __proto__: null, fs: undefined, process: undefined, path: undefined, require: undefined, authsignal: undefined };
  return new Proxy(own, {
    get(own, name) {
      if (name in own) return own[name];
      const value = (globalThis as Record<string | symbol, any>)[name];
      // fetch and others require the page's global as their `this`. Classes,
      // with their static methods, must not be bound.
      return typeof value === "function" && /^[a-z]/.test(name as string) ? value.bind(globalThis) : value;
    },
  });
}
