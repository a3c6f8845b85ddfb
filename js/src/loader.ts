// Starts the Go program of this package, for the wrapper and, through raw.ts,
// for whoever does without it.

import { makeGuard, makeTokens, type Tokens } from "guard";
import { record } from "record";
import { load as loadGo, type Go } from "wasm_exec";
import type { Exports } from "./load.js";

export { record };

/** The tokens of this page. They outlive a program that crashes. */
export const tokens: Tokens = makeTokens();

/**
 * Throws if a module, known by the names of its exports, is not of this
 * package's build: the two halves would not understand each other. Its record
 * is the name of an export; cmd/buildsdk adds it.
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
   * Runs the program until it first waits, and gives what it has published by
   * then: to publish, before this returns, and as the promise's value.
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
    // while it starts (run rejects), by a trap later (resume throws).
    go.exit = (code) => end(new Error(`exit code ${code}`));
    const resume = go._resume;
    let forget = () => {};
    let depth = 0;
    go._resume = () => {
      if (this.over) return; // the guard says so
      depth++;
      try {
        resume.call(go);
      } catch (cause) {
        end(cause);
      } finally {
        if (--depth === 0 && !this.over) forget();
      }
    };
    const running = go.run(instance);
    const isTinyGo = "_initialize" in instance.exports; // it returns, and can be called all the same
    running.then(() => isTinyGo || end(), end);

    if (scope.authsignal === guard || this.over) {
      // If it has trapped, run is about to say so.
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve))]);
      throw new Error("it ended while it started");
    }
    if (isTinyGo) forget = forgetter(go);
    publish?.(scope.authsignal as Exports);
    return scope.authsignal as Exports;
  }
}

/**
 * Makes the function that frees, after each event, what the program was handed
 * in it. TinyGo 0.41 has no finalizers: every object, function and string of
 * JavaScript that it was handed would keep its place in the loader's table for
 * ever. But this program keeps none from one event to the next, save those of
 * its start (see wasm/internal/bridge).
 */
function forgetter(go: Go): () => void {
  const mark = go._values.length;
  return () => {
    for (let i = mark; i < go._values.length; i++) go._ids!.delete(go._values[i]);
    go._values.length = go._goRefCounts!.length = mark;
  };
}

/**
 * What the Go program takes for globalThis. What wasm_exec.js and the program
 * publish stays here, where no page sees it. All else is read from the page,
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
      // fetch and its like insist on the page as their `this`. Classes,
      // with their static methods, must stay as they are.
      return typeof value === "function" && /^[a-z]/.test(name as string) ? value.bind(globalThis) : value;
    },
  });
}
