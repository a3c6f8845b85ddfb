// Only in the script-tag build, where import.meta does not exist: notes the
// script's own URL while the page runs it, which is the only time that
// currentScript tells. A worker has no document, but a location.
export const scriptURL: string | undefined = (globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src || globalThis.location?.href;
