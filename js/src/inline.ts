/**
 * The same as the main entry, with the module inside: for pages that cannot
 * serve a second file. It is a third larger, and compiled only when all of it
 * has arrived.
 *
 * @packageDocumentation
 */
import { gzip } from "inlined_module";
import { ErrorCode, ModuleError } from "./errors.js";
import { setDefaultSource } from "./load.js";

let bytes: Promise<ArrayBuffer> | undefined;

// Unpacked once: the module is cached by the identity of its bytes.
setDefaultSource(() => (bytes ??= unpack()));

async function unpack(): Promise<ArrayBuffer> {
  if (!globalThis.DecompressionStream)
    throw new ModuleError(ErrorCode.wasm_load_failed, "The module could not be loaded: this browser is too old for authsignal-wasm/inline (it has no DecompressionStream)");
  // Not fetch of a data: URL, which connect-src may forbid.
  const packed = Uint8Array.from(atob(gzip), (character) => character.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export * from "./sdk.js";
