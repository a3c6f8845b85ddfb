// Only in the script-tag build, where import.meta does not exist: stores the
// script's own URL while the page runs it, since currentScript is set only
// then. A worker has no document, but a location.
export const scriptURL: string | undefined = (globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src || globalThis.location?.href;
