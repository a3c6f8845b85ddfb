/**
 * Authenticator-app (TOTP) MFA for web pages: a thin wrapper that loads the Go
 * module, hands calls on to it and watches it. The module decides; nothing of
 * it is loaded before the first call, and importing this touches no DOM.
 *
 * @packageDocumentation
 */
import { setStandard } from "./load.js";

// Bundlers know this very expression, and emit the file.
setStandard(() => new URL("./authsignal.wasm", import.meta.url));

export * from "./sdk.js";
