// An application whose `lib` has not the DOM's types, such as the code that a
// server and a page share. It compiles with its libraries checked; options of a
// class that does not exist there cannot be set. Nothing here runs.
import { Authsignal, ErrorCode, ModuleError, qr } from "authsignal-wasm";
import type { AuthsignalOptions, CallOptions, EnrollTotpResponse, LoadOptions, QROptions } from "authsignal-wasm";
import * as inline from "authsignal-wasm/inline";
import { defaultTexts, TotpEnroll, useAuthsignal, type TotpProps } from "authsignal-wasm/react";

const options: AuthsignalOptions = { tenantId: "t", wasmUrl: "https://cdn.test/authsignal.wasm" };
export const authsignal = new Authsignal(options);
export const inlined: Authsignal = new inline.Authsignal(options);

export async function enroll(bytes: Uint8Array): Promise<EnrollTotpResponse | undefined> {
  const load: LoadOptions = { wasmBytes: bytes };
  await Authsignal.load(load).catch((error) => error instanceof ModuleError && error.errorCode);
  const limits: CallOptions = { timeout: 5_000 };
  const response = await authsignal.totp.enroll(limits);
  if (response.errorCode === ErrorCode.expired_token) return undefined;
  return response.data;
}

export async function draw(): Promise<string> {
  const how: QROptions = { margin: 4, wasmUrl: "/authsignal.wasm" };
  const blob: unknown = await qr.toBlob("text", how);
  return (await qr.toSVG("text", how)) + blob;
}

export const components: [typeof TotpEnroll, typeof useAuthsignal, string] = [TotpEnroll, useAuthsignal, defaultTexts.code];
export type Props = TotpProps;

export function mistakes() {
  // @ts-expect-error: there is no URL class here, so that no other object can pass for one.
  new Authsignal({ tenantId: "t", wasmUrl: { href: "https://cdn.test/authsignal.wasm" } });
  // @ts-expect-error: nor a signal.
  void authsignal.totp.enroll({ signal: { aborted: false } });
  // @ts-expect-error: nor a canvas.
  void qr.toCanvas({ width: 1 }, "text");
}
