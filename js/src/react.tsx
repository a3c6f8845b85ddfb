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
 * Gives one instance for the life of the component. `tenantId` and `baseUrl`
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

/** What the components say. */
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

/** What both components take. */
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
  /** What to say, in another language. */
  texts?: Partial<Texts>;
  /** The class of the form. Its parts have `data-authsignal` attributes. */
  className?: string;
};

/** Returns what to tell a user of an error. An API may have codes of its own. */
function textOf({ errorCode }: AuthsignalError, texts: Texts): string {
  return texts[textNames[errorCode]] ?? texts.failed;
}

/** The form for a code, under what an enrollment shows. */
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
  /** Which enrollment it is; undefined in a challenge. */
  attempt?: number;
  children?: ReactNode;
  /** There is nothing to verify yet. */
  busy?: boolean;
  /** Why there is nothing to verify. */
  problem?: string;
  /** What to do about it. */
  retry?: () => void;
}) {
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  // A reference, since state comes one render late: a second submit would come before it.
  const sending = useRef<object>(undefined);
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState("");
  const gone = useGone();
  const message = problem || refusal;

  // Of another token or secret, what is said or under way is of no concern.
  useEffect(
    () => () => {
      sending.current = undefined;
      setBusy(false);
      setRefusal("");
    },
    [authsignal, token, attempt],
  );

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (sending.current || waiting || problem) return;
    const mine = (sending.current = {});
    setBusy(true);
    setRefusal(""); // so that the same text is announced again
    let current = true;
    let response;
    try {
      // Read from the field: what a password manager sets may come without an event.
      response = await authsignal.totp.verify({ code: field.current!.value });
    } catch (cause) {
      // The application's own doing: its onTokenExpired threw, or it has disposed of the instance.
      if (sending.current === mine) setRefusal(texts.failed);
      throw cause;
    } finally {
      current = sending.current === mine;
      if (current) {
        sending.current = undefined;
        setBusy(false);
      }
    }
    if (gone.current) return;
    const { data } = response;
    if (data?.isVerified && data.token !== undefined) {
      field.current!.value = "";
      onVerified({ ...data, token: data.token });
      return;
    }
    if (!data) onError?.(response);
    if (!current) return;
    if (!data) setRefusal(textOf(response, texts));
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
      {/* No maxLength and no type=number: what is pasted may have spaces, and begins with a zero. */}
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
      {/* Always there: a live region that comes with its text is not announced. */}
      <p role="alert" id={id + "message"} data-authsignal="message">
        {message}
      </p>
      {retry && (
        <button
          type="button"
          onClick={() => {
            field.current?.focus(); // the button goes
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

/** Says whether the component is gone, to what comes back late. */
function useGone() {
  const gone = useRef(false);
  useEffect(() => {
    gone.current = false; // StrictMode mounts twice
    return () => {
      gone.current = true;
    };
  }, []);
  return gone;
}

/**
 * Reports whether the device may have the authenticator app itself. Elsewhere a
 * link to it does nothing, or leads to the browser's own error page.
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
  const begun = useRef<{ of: unknown[]; end: AbortController; response: ReturnType<Authsignal["totp"]["enroll"]> }>(undefined);
  useEffect(() => {
    latest.current = { onEnrolled, onError, texts };
  });
  useEffect(() => {
    let over = false;
    const of = [authsignal, token, attempt];
    // StrictMode runs this twice, with the same reference: one enrollment.
    const before = begun.current;
    if (!before?.of.every((value, i) => value === of[i])) {
      setData(undefined);
      setProblem(undefined);
      // Not at another attempt: onTokenExpired may have set a newer one.
      if (token !== undefined && (before?.of[0] !== authsignal || before.of[1] !== token)) authsignal.setToken(token);
      const end = new AbortController();
      const { signal } = end;
      // One after the other: the API keeps the secret of the last that it has
      // heard, which must be the one that is shown.
      before?.end.abort();
      const response = before ? before.response.catch(() => {}).then(() => authsignal.totp.enroll({ signal })) : authsignal.totp.enroll({ signal });
      begun.current = { of, end, response };
    }
    begun.current!.response.then(
      (response) => {
        if (over) return;
        if (response.data) {
          setData(response.data);
          latest.current.onEnrolled?.(response.data);
        } else {
          setProblem(textOf(response, latest.current.texts));
          latest.current.onError?.(response);
        }
      },
      (cause) => {
        // The application's own doing, as in CodeForm.
        if (!over) setProblem(latest.current.texts.failed);
        throw cause;
      },
    );
    return () => {
      over = true;
    };
  }, [authsignal, token, attempt]);

  function again() {
    setProblem(undefined); // at once, which takes the button away: a second click begins nothing
    setAttempt(attempt + 1);
  }

  return (
    <CodeForm {...props} texts={texts} attempt={attempt} busy={!data} problem={problem} retry={problem ? again : undefined}>
      {data?.qrCode && <img src={data.qrCode} alt={texts.qrCode} data-authsignal="qr-code" />}
      {/* Always there, like the message. */}
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

/** Asks for a code of an app that is enrolled, to sign in. */
export function TotpChallenge(props: TotpProps) {
  const { authsignal, token } = props;
  useEffect(() => {
    if (token !== undefined) authsignal.setToken(token);
    // While the user looks for the phone. What fails here, the call will say.
    authsignal.preload().catch(() => {});
  }, [authsignal, token]);
  return <CodeForm {...props} texts={{ ...defaultTexts, ...props.texts }} />;
}
