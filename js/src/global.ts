/**
 * Sets the global `authsignal`, as the script-tag build does: for code that
 * reads the global, in a page that imports modules.
 *
 * @packageDocumentation
 */
import * as sdk from "./index.js";

declare global {
  var authsignal: typeof sdk;
}

globalThis.authsignal = sdk;
