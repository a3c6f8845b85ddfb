/**
 * React components for the enrollment of an authenticator app and for its
 * challenge: no style, accessible, and safe under StrictMode and on a server.
 *
 * @packageDocumentation
 */
import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { Authsignal, type ErrorCode } from "./index.js";
import type { AuthsignalOptions, AuthsignalResponse, EnrollTotpResponse, VerifyResponse } from "./types.js";

/** The error that a call resolved to. */
export type AuthsignalError = Extract<AuthsignalResponse<never>, { error: string }>;

/**
 * Returns one instance for the life of the component. `tenantId` and `baseUrl`
 * are those of the first render; `onTokenExpired` is always the latest.
 */
export function useAuthsignal(options: AuthsignalOptions): Authsignal {
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const [authsignal] = useState(() => new Authsignal({ ...options, onTokenExpired: () => latest.current.onTokenExpired?.() }));
  return authsignal;
}

/** The texts of the components. */
export type Texts = {
  /** The text of the picture of the QR code. */
  qrCode: string;
  /** The link that opens the authenticator app, on a phone. */
  open: string;
  /** Before the secret. */
  secret: string;
  /** The same action began an enrollment before, such as in another tab. */
  replaced: string;
  /** The label of the code's field. */
  code: string;
  /** The button. */
  verify: string;
  /** The button that enrolls again after an error. */
  retry: string;
  /** While the QR code is not there yet. */
  loading: string;
  /** While a code is being verified. */
  verifying: string;
  /** The code is wrong, late or used. */
  wrong: string;
  /** The same in an enrollment: or it is of one that was replaced. */
  wrongEnrollment: string;
  /** Too many wrong codes. */
  tooMany: string;
  /** The code was right, but a server's clock was wrong: an operator must unlock the authenticator. */
  clockWasAhead: string;
  /** Two codes in a row fit a phone's clock that is `{minutes}` minutes behind. */
  clockBehind: string;
  /** Two codes in a row fit a phone's clock that is `{minutes}` minutes ahead. */
  clockAhead: string;
  /** Too many requests. */
  limited: string;
  /** The token is too old. */
  expired: string;
  /** There is no token, or the API does not know it. */
  invalid: string;
  /** The API takes no enrollment or code now; most often, the user may add no further authenticator. */
  refused: string;
  /** The tenant lacks a setting, or the base URL is wrong. */
  notSetUp: string;
  /** No answer, or not in time. */
  unreachable: string;
  /** The call was aborted, or its module ended under it. */
  stopped: string;
  /** The module did not arrive, or the browser cannot run it. */
  notLoaded: string;
  /** Any other error. */
  failed: string;
};

/** The texts in English. */
export const defaultTexts: Texts = {
  qrCode: "QR code for your authenticator app",
  open: "Open in an authenticator app",
  secret: "Or enter this key in the app:",
  replaced: "An earlier QR code for this account no longer works. If you scanned it, delete its entry in your app and use this one.",
  code: "Code from your authenticator app",
  verify: "Verify",
  retry: "Try again",
  loading: "Loading",
  verifying: "Verifying",
  wrong: "That code is wrong or no longer valid. Enter the one that the app shows now.",
  wrongEnrollment: "That code is wrong or no longer valid. Enter the one that the app shows now. If this page is open twice, only the newest QR code works.",
  tooMany: "Too many wrong codes. Wait a few minutes before you try again.",
  clockWasAhead: "Your code is right, but the server cannot accept it, because its clock was wrong earlier. Ask for help: the authenticator must be unlocked.",
  clockBehind: "That code was not accepted: your phone’s clock is about {minutes} min behind. Let the phone set its time automatically, then enter a new code.",
  clockAhead: "That code was not accepted: your phone’s clock is about {minutes} min ahead. Let the phone set its time automatically, then enter a new code.",
  limited: "Too many requests. Wait a minute, then try again.",
  expired: "This took too long. Start again.",
  invalid: "There is no valid sign-in. Start again.",
  refused: "The server did not accept this. Start again; if you then read this again, ask for help.",
  notSetUp: "This is not set up correctly. Ask the people who run this app for help.",
  unreachable: "No answer came from the server. Check your connection, then try again.",
  stopped: "This was stopped before it was done. Try again.",
  notLoaded: "A part of this page could not be loaded, or does not run in this browser. Reload the page; if that does not help, use a newer browser.",
  failed: "Something went wrong. Try again.",
};

/** The text for each error, by its name in `texts`. */
const textNames: Record<ErrorCode, keyof Texts> = {
  unauthorized: "invalid",
  token_not_set: "invalid",
  expired_token: "expired",
  too_many_requests: "limited",
  invalid_request: "refused",
  invalid_credential: "refused",
  invalid_configuration: "notSetUp",
  not_found: "notSetUp",
  invalid_response: "notSetUp",
  network_error: "unreachable",
  timeout: "unreachable",
  aborted: "stopped",
  sdk_crashed: "stopped",
  wasm_load_failed: "notLoaded",
  internal_error: "failed",
};

/** The properties of both components. */
export type TotpProps = {
  /** The instance, with its token set unless `token` is given. */
  authsignal: Authsignal;
  /** The token of `track`. */
  token?: string;
  /**
   * A code was accepted. Send `token` to your backend: only the answer of its
   * `validateChallenge` decides.
   */
  onVerified: (result: VerifyResponse & { token: string }) => void;
  /** A call has failed; the user sees a text of `texts`. */
  onError?: (error: AuthsignalError) => void;
  /** Texts in place of the default ones, such as in another language. */
  texts?: Partial<Texts>;
  /** The class of the form. Its parts have `data-authsignal` attributes. */
  className?: string;
};

/** Returns the text for a clock that is off by some seconds. */
function clockOff(seconds: number, texts: Texts): string {
  const minutes = Math.max(1, Math.round(Math.abs(seconds) / 60));
  return (seconds < 0 ? texts.clockBehind : texts.clockAhead).replace("{minutes}", String(minutes));
}

/** Returns the text for an error. An API may have codes of its own. */
function textOf({ errorCode }: AuthsignalError, texts: Texts): string {
  return texts[textNames[errorCode]] ?? texts.failed;
}

/** The form for a code, below the children. */
function CodeForm({
  authsignal,
  token,
  attempt,
  onVerified,
  onError,
  texts,
  className,
  children,
  busy: waiting,
  problem,
  retry,
}: Omit<TotpProps, "texts"> & {
  texts: Texts;
  /** The number of the enrollment; undefined in a challenge. */
  attempt?: number;
  children?: ReactNode;
  /** There is nothing to verify yet. */
  busy?: boolean;
  /** Why there is nothing to verify. */
  problem?: string;
  /** Tries again after the problem. */
  retry?: () => void;
}) {
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  // A reference, since state changes with the next render: a second submit could come before it.
  const sending = useRef<object>(undefined);
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState("");
  const unmounted = useUnmounted();
  const message = problem || refusal;

  // A refusal, or a call under way, does not apply to another token or secret. In
  // the effect, not in its cleanup: StrictMode runs the cleanup after the first
  // render, and by then the user may have submitted.
  const subject = useRef<unknown[]>([authsignal, token, attempt]);
  useEffect(() => {
    const next = [authsignal, token, attempt];
    if (subject.current.every((value, i) => value === next[i])) return;
    subject.current = next;
    sending.current = undefined;
    setBusy(false);
    setRefusal("");
  }, [authsignal, token, attempt]);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (sending.current || waiting || problem) return;
    const submission = (sending.current = {});
    setBusy(true);
    setRefusal(""); // so that the same text is announced again
    let current = true;
    let response;
    try {
      // Read from the field: a password manager may set it without an event.
      response = await authsignal.totp.verify({ code: field.current!.value });
    } catch (cause) {
      // Caused by the application: its onTokenExpired threw, or it has disposed of the instance.
      if (sending.current === submission) setRefusal(texts.failed);
      throw cause;
    } finally {
      current = sending.current === submission;
      if (current) {
        sending.current = undefined;
        setBusy(false);
      }
    }
    if (unmounted.current) return;
    const { data } = response;
    if (data?.isVerified && data.token !== undefined) {
      field.current!.value = "";
      onVerified({ ...data, token: data.token });
      return;
    }
    if (!data) onError?.(response);
    if (!current) return;
    if (!data) setRefusal(textOf(response, texts));
    else if (data.failureDetail === "SERVER_CLOCK_WAS_AHEAD") setRefusal(texts.clockWasAhead);
    else if (data.clockOffSeconds !== undefined) setRefusal(clockOff(data.clockOffSeconds, texts));
    else setRefusal(data.failureReason === "MAX_ATTEMPTS_EXCEEDED" ? texts.tooMany : attempt === undefined ? texts.wrong : texts.wrongEnrollment);
    field.current!.focus();
    field.current!.select();
  }

  return (
    <form className={className} onSubmit={submit} aria-busy={Boolean(busy || waiting)} noValidate data-authsignal="form">
      {children}
      <label htmlFor={id} data-authsignal="label">
        {texts.code}
      </label>
      {/* No maxLength and no type=number: a pasted code may have spaces, or begin with a zero. */}
      <input
        ref={field}
        id={id}
        type="text"
        dir="ltr"
        inputMode="numeric"
        autoComplete="one-time-code"
        autoCapitalize="off"
        spellCheck={false}
        required
        aria-invalid={Boolean(refusal)}
        aria-describedby={id + "message"}
        data-authsignal="code"
      />
      {/* Not disabled, which would take the focus away. */}
      <button type="submit" aria-disabled={Boolean(busy || waiting || problem)} data-authsignal="verify">
        {busy ? texts.verifying : texts.verify}
      </button>
      {/* Always rendered: a live region that is added with its text is not announced. */}
      <p role="alert" id={id + "message"} data-authsignal="message">
        {message}
      </p>
      {retry && (
        <button
          type="button"
          onClick={() => {
            field.current?.focus(); // the button is about to be removed
            retry();
          }}
          data-authsignal="retry"
        >
          {texts.retry}
        </button>
      )}
    </form>
  );
}

/** Returns a reference that reports whether the component is unmounted, for promises that settle later. */
function useUnmounted() {
  const unmounted = useRef(false);
  useEffect(() => {
    unmounted.current = false; // StrictMode mounts twice
    return () => {
      unmounted.current = true;
    };
  }, []);
  return unmounted;
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
export function TotpEnroll(props: TotpProps & { /** The enrollment has begun. */ onEnrolled?: (data: EnrollTotpResponse) => void }) {
  const { authsignal, token, onEnrolled, onError } = props;
  const texts = { ...defaultTexts, ...props.texts };
  const [attempt, setAttempt] = useState(0);
  const [data, setData] = useState<EnrollTotpResponse>();
  const [problem, setProblem] = useState<string>();
  const latest = useRef({ onEnrolled, onError, texts });
  const enrollment = useRef<{ of: unknown[]; end: AbortController; response: ReturnType<Authsignal["totp"]["enroll"]> }>(undefined);
  useEffect(() => {
    latest.current = { onEnrolled, onError, texts };
  });
  useEffect(() => {
    let ended = false;
    const of = [authsignal, token, attempt];
    // StrictMode runs this twice, with the same reference: one enrollment.
    const before = enrollment.current;
    if (!before?.of.every((value, i) => value === of[i])) {
      setData(undefined);
      setProblem(undefined);
      // Not at another attempt: onTokenExpired may have set a newer one.
      if (token !== undefined && (before?.of[0] !== authsignal || before.of[1] !== token)) authsignal.setToken(token);
      const end = new AbortController();
      const { signal } = end;
      // One after the other: the API keeps the secret of the last enrollment that
      // it has received, which must be the one that is shown.
      before?.end.abort();
      const response = before ? before.response.catch(() => {}).then(() => authsignal.totp.enroll({ signal })) : authsignal.totp.enroll({ signal });
      enrollment.current = { of, end, response };
    }
    enrollment.current!.response.then(
      (response) => {
        if (ended) return;
        if (response.data) {
          setData(response.data);
          latest.current.onEnrolled?.(response.data);
        } else {
          setProblem(textOf(response, latest.current.texts));
          latest.current.onError?.(response);
        }
      },
      (cause) => {
        // Caused by the application, as in CodeForm.
        if (!ended) setProblem(latest.current.texts.failed);
        throw cause;
      },
    );
    return () => {
      ended = true;
    };
  }, [authsignal, token, attempt]);

  function enrollAgain() {
    setProblem(undefined); // removes the button at once, so that a second click has no effect
    setAttempt(attempt + 1);
  }

  return (
    <CodeForm {...props} texts={texts} attempt={attempt} busy={!data} problem={problem} retry={problem ? enrollAgain : undefined}>
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
    </CodeForm>
  );
}

/** Asks for a code of an enrolled app, to sign in. */
export function TotpChallenge(props: TotpProps) {
  const { authsignal, token } = props;
  useEffect(() => {
    if (token !== undefined) authsignal.setToken(token);
    // While the user looks for the phone. A failure is reported by the call.
    authsignal.preload().catch(() => {});
  }, [authsignal, token]);
  return <CodeForm {...props} texts={{ ...defaultTexts, ...props.texts }} />;
}
