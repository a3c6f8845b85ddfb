import type { QR } from "./types.js";

// The module refuses misuse, but it is not there before the first call. What it
// would refuse is thrown here, in its words, where the mistake is made.

/** Throws for the constructor's options; see readConfig in wasm/exports_js.go. */
export function checkOptions({ tenantId, baseUrl, onTokenExpired, ...cookie }: Record<string, unknown>): void {
  if ((tenantId ?? "") === "") throw new Error("tenantId is required");
  if (typeof tenantId !== "string") throw new TypeError("tenantId must be a string");
  const url = baseUrl ?? "the default";
  if (typeof url !== "string" || !url.trim()) throw new TypeError("baseUrl must be a URL such as https://api.authsignal.com/v1");
  if (typeof (onTokenExpired ?? checkOptions) !== "function") throw new TypeError("onTokenExpired must be a function");
  for (const name of ["cookieName", "cookieDomain"]) {
    if (typeof (cookie[name] ?? "") !== "string") throw new TypeError(`${name} must be a string`);
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
