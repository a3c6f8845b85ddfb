import { useEffect, useId, useRef, useState, type ReactNode } from "react";
import type { RecoveryCodesResponse, VerifyRecoveryCodeResponse } from "../types.js";
import { CodeForm, recoveryCode } from "./form.js";
import { useOnce, useToken } from "./instance.js";
import { printAlone } from "./print.js";
import type { CommonProps, TotpProps, Verified } from "./props.js";
import { defaultTexts, textOf, type Texts } from "./texts.js";

/** So few codes are a reason to make new ones. */
const few = 2;

/** Returns a code in the form in which codes are compared. */
const plain = (code: string) => code.replace(/[\s\p{Dash}]/gu, "").toUpperCase();

/** The form for a recovery code, and then what is left of them. */
export function RecoveryCodeForm({
  authsignal,
  token,
  onVerified,
  texts,
  remembers,
  autoFocus,
  ...rest
}: Omit<TotpProps, "texts"> & {
  texts: Texts;
  footer?: ReactNode;
  autoFocus?: boolean;
  /** Whether the result has `trustBrowser`. No browser is trusted by a recovery code. */
  remembers?: boolean;
}) {
  const id = useId();
  const [accepted, setAccepted] = useState<{ of: unknown[]; result: Verified }>();
  const leaving = useRef(false);
  // Like a refusal, it does not apply to another token.
  if (accepted?.of[0] === authsignal && accepted.of[1] === token) {
    const left = accepted.result.recoveryCodesLeft ?? 0;
    return (
      <div className={rest.className} data-authsignal="accepted">
        <p id={id} data-authsignal={left > few ? "left" : "few"}>
          {(left > few ? texts.recoveryLeft : texts.recoveryFew).replace("{left}", String(left))}
        </p>
        <button
          type="button"
          // The form that had the focus is gone; with the button, a screen reader reads the text.
          autoFocus
          aria-describedby={id}
          onClick={async () => {
            // Once at a time; again if the application could not reach its backend.
            if (leaving.current) return;
            leaving.current = true;
            try {
              await onVerified(accepted.result);
            } finally {
              leaving.current = false;
            }
          }}
          data-authsignal="continue"
        >
          {texts.continue}
        </button>
      </div>
    );
  }
  return (
    <CodeForm<VerifyRecoveryCodeResponse>
      {...rest}
      texts={texts}
      subject={[authsignal, token]}
      label={texts.recoveryCode}
      field={{ ...recoveryCode, required: true, autoFocus }}
      submitText={texts.verify}
      sendingText={texts.verifying}
      send={(code) => authsignal.recoveryCodes.verify({ code })}
      errorText={(error) => (error.errorCode === "invalid_request" ? texts.recoveryRefused : textOf(error, texts))}
      judge={(data, code) => {
        if (data.isVerified && data.token !== undefined) return "";
        if (data.failureReason === "MAX_ATTEMPTS_EXCEEDED") return texts.recoveryTooMany;
        return /^[\dA-Z]{12}$/.test(plain(code)) ? texts.recoveryWrong : texts.recoveryMalformed;
      }}
      onAccepted={(data) =>
        setAccepted({
          of: [authsignal, token],
          result: { ...data, token: data.token!, verificationMethod: "RECOVERY_CODE", ...(remembers && { trustBrowser: false }) },
        })
      }
    />
  );
}

/**
 * Asks for a recovery code in place of one of the app, and then tells the user how
 * many are left: `onVerified` is called when the user has read that. Afterwards lead
 * the user to enrolling a new app. `TotpChallenge` has this too, with `recoveryCodes`.
 */
export function RecoveryCodeChallenge(props: TotpProps) {
  useToken(props.authsignal, props.token);
  return <RecoveryCodeForm {...props} texts={{ ...defaultTexts, ...props.texts }} />;
}

/** The properties of {@link RecoveryCodes}. */
export type RecoveryCodesProps = CommonProps & {
  /** The user has confirmed the codes, which now are in force. */
  onConfirmed: () => void;
  /** The user wants no codes now; earlier ones stay in force. Without it there is no button for that. */
  onDeclined?: () => void;
};

/**
 * Makes recovery codes when it is mounted, once: shows them to be copied, saved as a
 * file or printed, and has the user confirm them, by one of them or by a box. The
 * instance's token must be that of a completed challenge, such as an enrollment has left it.
 */
export function RecoveryCodes({ onConfirmed, onDeclined, ...props }: RecoveryCodesProps) {
  const { authsignal, token } = props;
  const texts = { ...defaultTexts, ...props.texts };
  const { data, problem, attempt, again } = useOnce({ ...props, texts }, (authsignal, options) => authsignal.recoveryCodes.generate(options));
  const box = useRef<HTMLInputElement>(null);
  // The codes that are in force.
  const [confirmed, setConfirmed] = useState<RecoveryCodesResponse>();
  const isConfirmed = data !== undefined && confirmed === data;
  const codes = data?.recoveryCodes ?? [];

  return (
    <CodeForm<{ isConfirmed: boolean }>
      {...props}
      texts={texts}
      subject={[authsignal, token, attempt]}
      label={texts.recoveryTyped}
      field={recoveryCode}
      submitText={texts.confirm}
      sendingText={texts.confirming}
      waiting={!data}
      ended={isConfirmed}
      problem={problem}
      retry={problem ? again : undefined}
      send={(typed) => {
        // Not saved: true, which confirms the newest codes, even if another tab shows those.
        const code = typed.trim() || (box.current?.checked && codes[0]);
        return code ? authsignal.recoveryCodes.confirm({ code }) : texts.recoveryNeither;
      }}
      errorText={(error) => (error.errorCode === "expired_token" ? texts.recoveryExpired : textOf(error, texts))}
      judge={(answer, typed) => {
        if (answer.isConfirmed) return "";
        return !typed.trim() || codes.some((code) => plain(code) === plain(typed)) ? texts.recoveryReplaced : texts.recoveryNotOne;
      }}
      onAccepted={() => {
        setConfirmed(data);
        onConfirmed();
      }}
      options={
        <p data-authsignal="saved">
          <label>
            <input ref={box} type="checkbox" /> {texts.recoverySaved}
          </label>
        </p>
      }
      footer={
        <>
          {onDeclined && !isConfirmed && (
            <button type="button" onClick={onDeclined} data-authsignal="decline">
              {texts.notNow}
            </button>
          )}
          <p role="status" data-authsignal="confirmed">
            {isConfirmed && texts.confirmed}
          </p>
        </>
      }
    >
      {data ? (
        <Codes {...data} texts={texts} />
      ) : (
        !problem && (
          <p role="status" data-authsignal="loading">
            {texts.loading}
          </p>
        )
      )}
    </CodeForm>
  );
}

/** Shows codes, to be kept. */
function Codes({ recoveryCodes, createdAt, texts }: RecoveryCodesResponse & { texts: Texts }) {
  const sheet = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const [copied, setCopied] = useState("");
  const made = new Date(createdAt);
  const date = [made.getFullYear(), made.getMonth() + 1, made.getDate()].map((n) => String(n).padStart(2, "0")).join("-");
  const title = texts.recoveryTitle.replace("{host}", location.host).replace("{date}", date);
  const text = `${title}\n\n${recoveryCodes.join("\n")}\n`;

  // A blob: a data: URL would have the codes in the browser's list of downloads.
  const [file, setFile] = useState<string>();
  useEffect(() => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    setFile(url);
    return () => URL.revokeObjectURL(url);
  }, [text]);

  async function copy() {
    setCopied(""); // so that the same text is announced again
    try {
      await navigator.clipboard.writeText(text);
      setCopied(texts.copied);
    } catch {
      // There is no clipboard without HTTPS, and the user or a policy may forbid it.
      getSelection()?.selectAllChildren(list.current!);
      setCopied(texts.selected);
    }
  }

  return (
    <>
      <p data-authsignal="keep">{texts.recoveryKeep}</p>
      <div ref={sheet} data-authsignal="sheet">
        <p data-authsignal="title">{title}</p>
        <ul ref={list} data-authsignal="recovery-codes">
          {recoveryCodes.map((code) => (
            <li key={code}>
              <code dir="ltr" translate="no">
                {code}
              </code>
            </li>
          ))}
        </ul>
      </div>
      <p data-authsignal="ways">
        <button type="button" onClick={copy} data-authsignal="copy">
          {texts.copy}
        </button>{" "}
        <a href={file} download={texts.recoveryFile} data-authsignal="download">
          {texts.download}
        </a>{" "}
        <button type="button" onClick={() => printAlone(sheet.current!, "[data-authsignal=sheet]")} data-authsignal="print">
          {texts.print}
        </button>
      </p>
      <p role="status" data-authsignal="copied">
        {copied}
      </p>
    </>
  );
}
