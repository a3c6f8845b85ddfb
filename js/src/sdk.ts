// What every entry of the package exports.
export { Authsignal } from "./authsignal.js";
export { ErrorCode, ModuleError } from "./errors.js";
export { qr } from "./qr.js";
export { AuthsignalWindowMessage } from "./types.js";
export type * from "./types.js";
