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
