import type { QR } from "./types.js";

// What the module does not see, or sees too late, is refused here, where the
// mistake is made.

/** Throws for the constructor's options about the cookie. */
export function checkCookie(options: Record<string, unknown>): void {
  for (const name in options) {
    if (typeof (options[name] ?? "") !== "string") throw new TypeError(`${name} must be a string`);
  }
}

/** Throws if the argument of a call is not an object. */
export function checkArgument(options: unknown, text: string): void {
  // Object gives its argument back only if that is an object.
  if (Object(options) !== options) throw new TypeError(text);
}

const loadOptions = ["wasmUrl", "wasmModule", "wasmBytes", "onProgress"];
const qrOptions = ["margin", "scale", "width", "color", "errorCorrectionLevel", "title", "wasmUrl"];

/** Throws for the options of Authsignal.load. */
export function checkLoadOptions(options: unknown): void {
  checkArgument(options, "load takes an object: load({ wasmUrl })");
  checkNames("Authsignal.load", options, loadOptions);
}

/**
 * Returns functions that reject what npm's `qrcode` takes and they do not: a
 * callback, which would wait for ever, and other options, which would be
 * without effect. The values are the module's to judge.
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

/** Throws if an object has another property than those named. What is no object it leaves to others. */
function checkNames(of: string, object: unknown, names: string[]): void {
  for (const name of Object(object) === object ? Object.keys(object as {}) : []) {
    if (!names.includes(name)) throw new TypeError(`${of} has no option ${name}: it has ${names.join(", ")}`);
  }
}
