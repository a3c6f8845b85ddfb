import { useRef, useState, type ReactNode } from "react";
import type { EnrollTotpResponse, VerifyResponse } from "../types.js";
import { appCode, CodeForm } from "./form.js";
import { useOnce, useToken } from "./instance.js";
import type { TotpProps } from "./props.js";
import { RecoveryCodeForm } from "./recovery.js";
import { clockOff, defaultTexts, type Texts } from "./texts.js";

/** The properties of {@link TotpEnroll}. */
export type TotpEnrollProps = TotpProps & {
  /** What the user calls the authenticator, of at most 64 characters; read when the enrollment begins. */
  name?: string;
  /** The enrollment has begun. */
  onEnrolled?: (data: EnrollTotpResponse) => void;
};

/** The properties of {@link TotpChallenge}. */
export type TotpChallengeProps = TotpProps & {
  /** Lets the user enter a recovery code instead, as in {@link RecoveryCodeChallenge}. */
  recoveryCodes?: boolean;
  /**
   * Shows a box "Remember this browser", for as many days as the settings of the
   * action say (`trustBrowserDays`). `onVerified` then has `trustBrowser`.
   */
  rememberDays?: number;
};

/** The form for a code of an app, below the children. */
function AppCodeForm({
  authsignal,
  token,
  attempt,
  texts,
  rememberDays,
  autoFocus,
  onVerified,
  ...rest
}: Omit<TotpProps, "texts"> & {
  texts: Texts;
  /** The number of the enrollment; undefined in a challenge. */
  attempt?: number;
  rememberDays?: number;
  autoFocus?: boolean;
  children?: ReactNode;
  footer?: ReactNode;
  waiting?: boolean;
  problem?: string;
  retry?: () => void;
}) {
  const box = useRef<HTMLInputElement>(null);
  // As it was when the code was sent.
  const trustBrowser = useRef(false);
  return (
    <CodeForm<VerifyResponse>
      {...rest}
      texts={texts}
      subject={[authsignal, token, attempt]}
      label={texts.code}
      field={{ ...appCode, autoFocus }}
      submitText={texts.verify}
      sendingText={texts.verifying}
      send={(code) => {
        trustBrowser.current = Boolean(box.current?.checked);
        return authsignal.totp.verify({ code });
      }}
      judge={(data) => {
        if (data.isVerified && data.token !== undefined) return "";
        if (data.failureDetail === "SERVER_CLOCK_WAS_AHEAD") return texts.clockWasAhead;
        if (data.clockOffSeconds !== undefined) return clockOff(data.clockOffSeconds, texts);
        if (data.failureReason === "MAX_ATTEMPTS_EXCEEDED") return texts.tooMany;
        return attempt === undefined ? texts.wrong : texts.wrongEnrollment;
      }}
      onAccepted={(data) =>
        onVerified({
          ...data,
          token: data.token!,
          verificationMethod: "AUTHENTICATOR_APP",
          ...(rememberDays && { trustBrowser: trustBrowser.current }),
        })
      }
      options={
        rememberDays && (
          <p data-authsignal="remember">
            <label>
              <input ref={box} type="checkbox" /> {(rememberDays === 1 ? texts.rememberOneDay : texts.remember).replace("{days}", String(rememberDays))}
            </label>
          </p>
        )
      }
    />
  );
}

/**
 * Reports whether the authenticator app may be on this device. Elsewhere a link
 * to it does nothing, or leads to the browser's error page.
 */
function isPhone(): boolean {
  return globalThis.matchMedia?.("(hover: none) and (pointer: coarse)").matches ?? false;
}

/**
 * Enrolls an authenticator app: shows its QR code and its secret, and asks for
 * the first code. It enrolls when it is mounted, once.
 */
export function TotpEnroll({ name, onEnrolled, ...props }: TotpEnrollProps) {
  const texts = { ...defaultTexts, ...props.texts };
  const { data, problem, attempt, again } = useOnce({ ...props, texts }, (authsignal, options) => authsignal.totp.enroll({ ...options, name }), onEnrolled);

  return (
    <AppCodeForm {...props} texts={texts} attempt={attempt} waiting={!data} problem={problem} retry={problem ? again : undefined}>
      {data?.qrCode && <img src={data.qrCode} alt={texts.qrCode} data-authsignal="qr-code" />}
      {/* Always rendered, like the message. */}
      <p role="status" data-authsignal="replaced">
        {data?.replaced && texts.replaced}
      </p>
      {data ? (
        <>
          {isPhone() && /^otpauth:/i.test(data.uri) && (
            <a href={data.uri} data-authsignal="open">
              {texts.open}
            </a>
          )}
          <p data-authsignal="secret">
            {texts.secret}{" "}
            <code dir="ltr" translate="no">
              {data.secret.replace(/.{4}(?=.)/g, "$& ")}
            </code>
          </p>
        </>
      ) : (
        !problem && (
          <p role="status" data-authsignal="loading">
            {texts.loading}
          </p>
        )
      )}
    </AppCodeForm>
  );
}

/** Asks for a code of an enrolled app, to sign in. */
export function TotpChallenge({ recoveryCodes, rememberDays, ...props }: TotpChallengeProps) {
  const texts = { ...defaultTexts, ...props.texts };
  // Undefined until the user first chooses. Then the field that appears takes the
  // focus, since the button that had it is gone.
  const [recovers, setRecovers] = useState<boolean>();
  useToken(props.authsignal, props.token);
  const footer = recoveryCodes && (
    <button type="button" onClick={() => setRecovers(!recovers)} data-authsignal="switch">
      {recovers ? texts.useApp : texts.useRecoveryCode}
    </button>
  );
  const autoFocus = recovers !== undefined;
  return recovers ? (
    <RecoveryCodeForm {...props} texts={texts} footer={footer} autoFocus={autoFocus} remembers={Boolean(rememberDays)} />
  ) : (
    <AppCodeForm {...props} texts={texts} footer={footer} autoFocus={autoFocus} rememberDays={rememberDays} />
  );
}
