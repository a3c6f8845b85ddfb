// An application's worker, whose `lib` has classes that a page's has, but no
// elements. Nothing here runs.
import { Authsignal, qr } from "authsignal-wasm";

export async function work(canvas: OffscreenCanvas, bytes: Uint8Array<ArrayBuffer>): Promise<Blob> {
  await Authsignal.load({ wasmModule: await WebAssembly.compile(bytes) });
  const authsignal = new Authsignal({ tenantId: "t", wasmUrl: new URL("https://cdn.test/authsignal.wasm") });
  await authsignal.totp.enroll({ signal: new AbortController().signal });
  await qr.toCanvas(canvas, "text");
  // @ts-expect-error: a path is no canvas.
  await qr.toCanvas(new Path2D(), "text");
  return qr.toBlob("text");
}
