// What applications write must type-check against the declarations of the
// package; mistakes must not. The code for the official package is in
// dropin.ts. Nothing here runs.
import { Authsignal, ErrorCode, ModuleError, qr } from "authsignal-wasm";
import type { AuthsignalResponse, CallOptions, EnrollTotpResponse, LoadOptions, QR, QRMatrix, QROptions, Totp, VerifyResponse } from "authsignal-wasm";
import * as inline from "authsignal-wasm/inline";

const authsignal = new Authsignal({
  tenantId: "YOUR_TENANT_ID",
  baseUrl: "YOUR_API_URL",
});

export async function documentedChallenge() {
  authsignal.setToken("eyJhbGciOiJ...");
  const response = await authsignal.totp.verify({ code: "123456" });
  const token: string | undefined = response.token;
  return token;
}

export async function documentedEnrollment(): Promise<string | undefined> {
  const response = await authsignal.totp.enroll();
  if (response.data) {
    const uri: string = response.data.uri;
    const secret: string = response.data.secret;
    const qrCode: string | undefined = response.data.qrCode;
    // @ts-expect-error: a URI may be too long for a QR code.
    const picture: string = response.data.qrCode;
    return uri + secret + qrCode + picture;
  }
  return undefined;
}

export async function byData(): Promise<string> {
  const response = await authsignal.totp.enroll({ signal: new AbortController().signal, timeout: 5_000 });
  if (response.data) {
    const data: EnrollTotpResponse = response.data;
    return data.replaced === true ? "replaced" : data.userAuthenticatorId;
  }
  const code: ErrorCode = response.errorCode;
  return code === ErrorCode.expired_token ? response.error : (response.errorDescription ?? "");
}

export async function byError(): Promise<boolean> {
  const response = await authsignal.totp.verify({ code: "123456" });
  if ("error" in response) return response.errorCode === "too_many_requests";
  const data: VerifyResponse = response.data;
  return data.isVerified && data.userAuthenticator?.verifiedAt !== undefined;
}

export async function byOptionalChaining(): Promise<boolean> {
  const { data, error, errorCode, errorDescription } = await authsignal.totp.verify({ code: "123456" });
  return !error && !errorCode && !errorDescription && data?.token !== undefined;
}

export const either: AuthsignalResponse<number>[] = [{ data: 1 }, { error: "e", errorCode: "timeout", errorDescription: undefined }];

export async function theRest(): Promise<string> {
  new Authsignal({ tenantId: "t", onTokenExpired: () => {}, enableLogging: true, wasmUrl: new URL("https://cdn.test/a.wasm") });
  authsignal.setToken(null);
  await authsignal.preload().catch((error: ModuleError) => error.errorCode);
  return qr.toSVG("text", { margin: 4, errorCorrectionLevel: "M", title: "A QR code", width: 200 });
}

export async function whatTheUriSays(): Promise<string> {
  const { data } = await authsignal.totp.enroll();
  if (!data) return "";
  const texts: (string | undefined)[] = [data.issuer, data.account, data.algorithm];
  const numbers: (number | undefined)[] = [data.digits, data.period];
  // @ts-expect-error: a URI may lack it.
  const digits: number = data.digits;
  return texts.join() + numbers.join() + digits;
}

export async function later(code: string): Promise<AuthsignalResponse<VerifyResponse>> {
  const limits: CallOptions = { timeout: 5_000 };
  const response = await authsignal.totp.verify({ code, ...limits });
  if (response.errorCode !== ErrorCode.too_many_requests) return response;
  const seconds: number | undefined = response.retryAfter;
  await new Promise((resolve) => setTimeout(resolve, (seconds ?? 60) * 1_000));
  const totp: Totp = authsignal.totp;
  return totp.verify({ code });
}

export async function load(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const options: LoadOptions = { wasmUrl: "/authsignal.wasm", onProgress: ({ loaded, total }) => console.log(total ? loaded / total : loaded) };
  await Authsignal.load(options);
  await Authsignal.load({ wasmBytes: bytes });
  await Authsignal.load({ wasmBytes: bytes.buffer });
  await Authsignal.load({ wasmModule: await WebAssembly.compile(bytes) });
  await Authsignal.load().catch((error) => error instanceof ModuleError && [error.errorCode === ErrorCode.wasm_load_failed, error.cause]);
  authsignal.dispose();
}

export async function draw(canvas: HTMLCanvasElement | OffscreenCanvas): Promise<Blob> {
  const options: QROptions = { margin: 0, scale: 8, color: { dark: "#000", light: "#ffffff00" }, errorCorrectionLevel: "H", wasmUrl: "/authsignal.wasm" };
  const drawing: QR = qr;
  await drawing.toCanvas(canvas, "text", options);
  const url: string = await qr.toDataURL("text", { ...options, type: "image/png" });
  const { size, bits }: QRMatrix = await qr.matrix("text", { errorCorrectionLevel: "L" });
  const dark: number = bits[size] & 0x80;
  return qr.toBlob(url + dark, options);
}

/** The inlined module: the same names, and each entry accepts the objects of the other. */
export const sameAsMain: typeof import("authsignal-wasm") = inline;
export const fromInline: Authsignal = new inline.Authsignal({ tenantId: "t" });

export async function mistakes() {
  // @ts-expect-error: the version is read only.
  Authsignal.version = Authsignal.version.trim();
  // @ts-expect-error: tenantId is required.
  new Authsignal({ baseUrl: "http://localhost/v1" });
  // @ts-expect-error: verify needs a code.
  await authsignal.totp.verify();
  // @ts-expect-error: a number has lost its leading zeros.
  await authsignal.totp.verify({ code: 123456 });
  // @ts-expect-error: data may be missing.
  (await authsignal.totp.enroll()).data.uri;
  // @ts-expect-error: no such code.
  (await authsignal.totp.enroll()).errorCode === "no_such_code";
  // @ts-expect-error: no such factor here.
  authsignal.passkey;
  // @ts-expect-error: no such image.
  await qr.toDataURL("text", { type: "image/gif" });
  // @ts-expect-error: no such level.
  await qr.toSVG("text", { errorCorrectionLevel: "X" });
  // @ts-expect-error: a timeout is a number, of milliseconds.
  await authsignal.totp.enroll({ timeout: "5s" });
  // @ts-expect-error: an object with an href is no URL.
  new Authsignal({ tenantId: "t", wasmUrl: { href: "https://cdn.test/a.wasm" } });
  // @ts-expect-error: a controller is no signal.
  await authsignal.totp.enroll({ signal: new AbortController() });
  // @ts-expect-error: an image is no canvas.
  await qr.toCanvas(new Image(), "text");
  // @ts-expect-error: bytes, not text.
  await Authsignal.load({ wasmBytes: "bytes" });
}
