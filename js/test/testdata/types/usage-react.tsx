// The components as applications of React write them; see usage.ts.
import { useState } from "react";
import type { VerifyResponse } from "authsignal-wasm";
import { defaultTexts, germanTexts, RecoveryCodeChallenge, RecoveryCodes, TotpChallenge, TotpEnroll, useAuthsignal } from "authsignal-wasm/react";
import type { AuthsignalError, CommonProps, RecoveryCodesProps, Texts, TotpChallengeProps, TotpEnrollProps, TotpProps, Verified } from "authsignal-wasm/react";

const german: Partial<Texts> = { verify: "Anmelden", wrong: `Falsch: ${defaultTexts.wrong}` };

export function SignIn({ token, enrolled, onToken }: { token?: string; enrolled: boolean; onToken: (token: string) => void }) {
  const authsignal = useAuthsignal({ tenantId: "YOUR_TENANT_ID", baseUrl: "YOUR_API_URL", onTokenExpired: () => {} });
  const [error, setError] = useState<AuthsignalError>();
  const props: TotpProps = {
    authsignal,
    token,
    onVerified: (result: VerifyResponse & { token: string }) => onToken(result.token),
    onError: setError,
    texts: german,
    className: "totp",
  };
  return (
    <>
      {error && `${error.errorCode} ${error.errorDescription} ${error.retryAfter}`}
      {enrolled ? <TotpChallenge {...props} /> : <TotpEnroll {...props} onEnrolled={({ uri }) => console.log(uri)} />}
    </>
  );
}

export function Recovery({ authsignal, send }: CommonProps & { send: (token: string, trustBrowser: boolean) => void }) {
  const onVerified = (result: Verified) => {
    if (result.verificationMethod === "RECOVERY_CODE") console.log(result.recoveryCodesLeft);
    send(result.token, result.trustBrowser ?? false);
  };
  const challenge: TotpChallengeProps = { authsignal, onVerified, recoveryCodes: true, rememberDays: 30, texts: germanTexts };
  const enroll: TotpEnrollProps = { authsignal, onVerified, name: "My phone" };
  const codes: RecoveryCodesProps = { authsignal, onConfirmed: () => {}, onDeclined: () => {}, texts: { notNow: "Later" } };
  return (
    <>
      <TotpChallenge {...challenge} />
      <RecoveryCodeChallenge authsignal={authsignal} onVerified={onVerified} />
      <TotpEnroll {...enroll} />
      <RecoveryCodes {...codes} />
    </>
  );
}

export function Mistakes({ authsignal, onVerified }: TotpProps) {
  return (
    <>
      {/* @ts-expect-error: the required property is missing. */}
      <TotpChallenge authsignal={authsignal} />
      {/* @ts-expect-error: a challenge enrolls nobody. */}
      <TotpChallenge authsignal={authsignal} onVerified={onVerified} onEnrolled={() => {}} />
      {/* @ts-expect-error: a browser is remembered after a challenge. */}
      <TotpEnroll authsignal={authsignal} onVerified={onVerified} rememberDays={30} />
      {/* @ts-expect-error: nothing is verified. */}
      <RecoveryCodes authsignal={authsignal} onVerified={onVerified} />
      {/* @ts-expect-error: no such text. */}
      <TotpEnroll authsignal={authsignal} onVerified={onVerified} texts={{ submit: "Send" }} />
    </>
  );
}
