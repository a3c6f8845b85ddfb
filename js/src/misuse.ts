import type { QR } from "./types.js";

// Refuses mistakes that the module does not see, or sees too late, in the call
// that makes them.

/** Throws if an option about the cookie is not a string. */
export function checkCookie(options: Record<string, unknown>): void {
  for (const name in options) {
    if (typeof (options[name] ?? "") !== "string") throw new TypeError(`${name} must be a string`);
  }
}

/** Throws if the argument of a call is not an object. */
export function checkArgument(options: unknown, text: string): void {
  // Object returns its argument only if that is an object.
  if (Object(options) !== options) throw new TypeError(text);
}

const loadOptions = ["wasmUrl", "wasmModule", "wasmBytes", "onProgress"];
const qrOptions = ["margin", "scale", "width", "color", "errorCorrectionLevel", "title", "wasmUrl"];

/** Throws if the options of Authsignal.load are not an object, or one has an unknown name. */
export function checkLoadOptions(options: unknown): void {
  checkArgument(options, "load takes an object: load({ wasmUrl })");
  checkNames("Authsignal.load", options, loadOptions);
}

/**
 * Returns functions that reject what npm's `qrcode` accepts and they do not: a
 * callback, which would never be called, and other options, which would have no
 * effect. The module checks the values.
 */
export function strict(qr: QR): QR {
  const functions = Object.entries(qr).map(([name, draw]) => [
    name,
    async (...args: unknown[]) => {
      if (args.some((arg) => typeof arg === "function")) throw new TypeError(`qr.${name} takes no callback: it returns a promise`);
      const options = args[draw.length - 1];
      checkArgument(options ?? {}, "options must be an object");
      checkNames("qr." + name, options, name === "toDataURL" ? [...qrOptions, "type"] : qrOptions);
      checkNames("color", (options as { color?: unknown } | undefined)?.color, ["dark", "light"]);
      return draw(...args);
    },
  ]);
  return Object.fromEntries(functions);
}

/** Throws if an object has a property that is not in names. It ignores other values. */
function checkNames(of: string, object: unknown, names: string[]): void {
  for (const name of Object(object) === object ? Object.keys(object as {}) : []) {
    if (!names.includes(name)) throw new TypeError(`${of} has no option ${name}: it has ${names.join(", ")}`);
  }
}
