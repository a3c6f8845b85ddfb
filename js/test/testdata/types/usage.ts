// What applications write must type-check against the declarations of the
// package; what is wrong must not. Nothing here runs.
import { Authsignal, ErrorCode, ModuleError, qr } from "authsignal-wasm";
import type { AuthsignalResponse, EnrollTotpResponse, VerifyResponse } from "authsignal-wasm";

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
    return data.userAuthenticatorId;
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

export const either: AuthsignalResponse<number>[] = [
  { data: 1 },
  { error: "e", errorCode: "timeout", errorDescription: undefined },
];

export async function theRest(): Promise<string> {
  new Authsignal({ tenantId: "t", onTokenExpired: () => {}, enableLogging: true, wasmUrl: new URL("https://cdn.test/a.wasm") });
  authsignal.setToken(null);
  await authsignal.preload().catch((error: ModuleError) => error.errorCode);
  return qr.toSVG("text", { margin: 4, errorCorrectionLevel: "M", title: "A QR code", width: 200 });
}

export async function mistakes() {
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
}
