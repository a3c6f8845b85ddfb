// The TOTP part of @authsignal/browser as its applications write it. It must
// type-check against that package and against this one; only the package
// behind the specifier differs. Nothing here runs.
import { Authsignal, AuthsignalWindowMessage, ErrorCode } from "@authsignal/browser";
import type {
  Authenticator,
  AuthsignalOptions,
  AuthsignalResponse,
  AuthsignalWindowMessageData,
  ChallengeResponse,
  EnrollResponse,
  EnrollTotpResponse,
  LaunchOptions,
  PopupLaunchOptions,
  RedirectLaunchOptions,
  TokenPayload,
  VerificationMethod,
  VerifyResponse,
  WindowLaunchOptions,
} from "@authsignal/browser";

const options: AuthsignalOptions = {
  tenantId: "YOUR_TENANT_ID",
  baseUrl: "https://api.authsignal.com/v1",
  cookieDomain: "example.com",
  cookieName: "aid",
  trackingHost: "https://t.authsignal.com",
  enableLogging: true,
  onTokenExpired: async () => authsignal.setToken(await track()),
};
const authsignal = new Authsignal(options);
new Authsignal({ tenantId: "YOUR_TENANT_ID" });

class Client extends Authsignal {
  constructor() {
    super({ tenantId: "YOUR_TENANT_ID" });
    this.enableLogging = true;
  }
}

/** Asks the application's own backend for a token. */
async function track(): Promise<string> {
  const { anonymousId, cookieDomain, anonymousIdCookieName } = authsignal;
  const body = new URLSearchParams({ deviceId: anonymousId, cookieDomain, anonymousIdCookieName });
  return (await fetch("/track", { method: "POST", body })).text();
}

export async function enroll(): Promise<EnrollTotpResponse | undefined> {
  authsignal.setToken(await track());
  const response = await authsignal.totp.enroll();
  if (response.data) {
    const { uri, secret, userAuthenticatorId, userId } = response.data;
    const begun: EnrollResponse = { userAuthenticatorId, userId };
    console.log(uri, secret, begun);
    return response.data;
  }
  report(response);
  return undefined;
}

export async function verify(code: string): Promise<string | undefined> {
  const { data, error, errorCode, errorDescription } = await authsignal.totp.verify({ code });
  if (error || errorCode) {
    alert(errorDescription ?? error);
    return undefined;
  }
  if (!data?.isVerified) {
    alert(data?.failureReason);
    return undefined;
  }
  const authenticator: Authenticator | undefined = data.userAuthenticator;
  const method: VerificationMethod | undefined = authenticator?.verificationMethod;
  const text: string | undefined = method;
  console.log(text, authenticator?.verifiedAt, authenticator?.isDefault, authenticator?.displayName);
  return data.token;
}

export async function byType(): Promise<void> {
  const enrollment: AuthsignalResponse<EnrollTotpResponse> = await authsignal.totp.enroll();
  const verification: AuthsignalResponse<VerifyResponse> = await new Client().totp.verify({ code: "123456" });
  report(enrollment);
  report(verification);
  if (verification.data?.token) authsignal.setToken(verification.data.token);
}

function report(response: AuthsignalResponse<unknown>): void {
  const code: ErrorCode | undefined = response.errorCode;
  switch (code) {
    case ErrorCode.token_not_set:
    case ErrorCode.expired_token:
      return authsignal.setToken("eyJhbGciOiJ...");
    case ErrorCode.network_error:
    case ErrorCode.too_many_requests:
    case ErrorCode.invalid_credential:
      return alert(response.errorDescription);
  }
  const text: string | undefined = response.error ?? code;
  if (text) throw new Error(text);
}

export type Fatal = ErrorCode.expired_token | ErrorCode.token_not_set;
export type App = VerificationMethod.AUTHENTICATOR_APP;
export type Totp = Authsignal["totp"];
export const challenge: ChallengeResponse = { challengeId: "id" };
export const codes: string[] = Object.values(ErrorCode);

export async function launch(url: string): Promise<void> {
  const left: undefined = authsignal.launch(url);
  const redirect: RedirectLaunchOptions = { mode: "redirect" };
  const leftToo: undefined = authsignal.launch(url, redirect) ?? left;
  console.log(leftToo);

  const { token } = await authsignal.launch(url, { mode: "popup" });
  const popup: PopupLaunchOptions = {
    mode: "popup",
    popupOptions: { width: "385px", height: "500px", isClosable: false },
    onError: ({ errorCode, statusCode }) => console.log(errorCode, statusCode),
  };
  const payload: TokenPayload = await authsignal.launch(url, popup);

  const ownWindow: WindowLaunchOptions = { mode: "window", windowOptions: { width: 400, height: 500 }, onError: popup.onError };
  const all: LaunchOptions[] = [redirect, popup, ownWindow];
  console.log(all, (await authsignal.launch(url, ownWindow)).token ?? payload.token ?? token);
}

export function hear(event: MessageEvent<string>): string | undefined {
  const message: AuthsignalWindowMessageData = JSON.parse(event.data);
  switch (message.event) {
    case AuthsignalWindowMessage.AUTHSIGNAL_CLOSE_POPUP:
      return message.token;
    case AuthsignalWindowMessage.AUTHSIGNAL_API_ERROR:
      return `${message.errorCode} ${message.statusCode}`;
    case AuthsignalWindowMessage.AUTHSIGNAL_READY:
      return undefined;
  }
}
export type Ready = AuthsignalWindowMessage.AUTHSIGNAL_READY;

export async function mistakes() {
  // @ts-expect-error: tenantId is required.
  new Authsignal({ baseUrl: "http://localhost/v1" });
  // @ts-expect-error: verify needs a code.
  await authsignal.totp.verify();
  // @ts-expect-error: a code is a text.
  await authsignal.totp.verify({ code: 123456 });
  // @ts-expect-error: data may be missing.
  (await authsignal.totp.enroll()).data.uri;
  // @ts-expect-error: there is no such mode.
  authsignal.launch("https://ui.test", { mode: "tab" });
  // @ts-expect-error: without a mode there is nothing to wait for.
  authsignal.launch("https://ui.test").then();
}
