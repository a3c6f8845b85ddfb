// An application of Node, whose classes are those of @types/node. Nothing here
// runs.
import { Authsignal, qr } from "authsignal-wasm";

export async function work(bytes: Buffer): Promise<string> {
  await Authsignal.load({ wasmBytes: bytes });
  const authsignal = new Authsignal({ tenantId: "t", wasmUrl: new URL("https://cdn.test/authsignal.wasm") });
  const { data } = await authsignal.totp.enroll({ signal: new AbortController().signal });
  // @ts-expect-error: a controller is no signal.
  await authsignal.totp.enroll({ signal: new AbortController() });
  const blob: Blob = await qr.toBlob("text");
  return (data?.uri ?? "") + blob.size;
}
