/** authsignal.wasm, compressed, as text. cmd/buildsdk makes this module. */
declare module "inlined_module" {
  /** Base64 of gzip. */
  export const gzip: string;
}
