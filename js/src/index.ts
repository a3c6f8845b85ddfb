/**
 * Authenticator-app (TOTP) MFA for web pages: a thin wrapper that loads the Go
 * module, passes calls on to it and detects its end. The logic is the module's; it is
 * not loaded before the first call, and importing this touches no DOM.
 *
 * @packageDocumentation
 */
import { setDefaultSource } from "./load.js";

// Bundlers recognize this exact expression, and emit the file.
setDefaultSource(() => new URL("./authsignal.wasm", import.meta.url));

export * from "./sdk.js";
