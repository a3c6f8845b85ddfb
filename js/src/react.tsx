/**
 * React components for the enrollment of an authenticator app and for its
 * challenge: no style, accessible, and safe under StrictMode and on a server.
 *
 * @packageDocumentation
 */
import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { Authsignal } from "./index.js";
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
  /** Before the secret. */
  secret: string;
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
  /** Too many wrong codes. */
  tooMany: string;
  /** The token is too old. */
  expired: string;
  /** No answer, or not in time. */
  unreachable: string;
  /** Any other error. */
  failed: string;
};

/** The texts in English. */
export const defaultTexts: Texts = {
  qrCode: "QR code for your authenticator app",
  secret: "Or enter this key in the app:",
  code: "Code from your authenticator app",
  verify: "Verify",
  retry: "Try again",
  loading: "Loading",
  verifying: "Verifying",
  wrong: "That code is wrong or no longer valid. Enter the one that the app shows now.",
  tooMany: "Too many wrong codes. Wait a few minutes before you try again.",
  expired: "This took too long. Start again.",
  unreachable: "There is no connection to the server. Try again.",
  failed: "Something went wrong. Try again.",
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

/** Says what has gone wrong, to a user. */
function textOf({ errorCode }: AuthsignalError, texts: Texts): string {
  switch (errorCode) {
    case "expired_token":
      return texts.expired;
    case "too_many_requests":
      return texts.tooMany;
    case "network_error":
    case "timeout":
    case "wasm_load_failed":
      return texts.unreachable;
  }
  return texts.failed;
}

/** The form for a code, under what an enrollment shows. */
function CodeForm({ authsignal, onVerified, onError, texts, className, children, busy: waiting, problem, retry }: Omit<TotpProps, "texts"> & {
  texts: Texts;
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
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState("");
  const gone = useGone();
  const message = problem || refusal;

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (busy || waiting || problem) return;
    setBusy(true);
    setRefusal(""); // so that the same text is announced again
    let response;
    try {
      response = await authsignal.totp.verify({ code });
    } catch (cause) {
      // The application's own doing: its onTokenExpired threw, or it has disposed of the instance.
      if (!gone.current) setRefusal(texts.failed);
      throw cause;
    } finally {
      if (!gone.current) setBusy(false);
    }
    if (gone.current) return;
    const { data } = response;
    if (data?.isVerified && data.token !== undefined) {
      setCode("");
      onVerified({ ...data, token: data.token });
      return;
    }
    if (!data) {
      setRefusal(textOf(response, texts));
      onError?.(response);
    } else setRefusal(data.failureReason === "MAX_ATTEMPTS_EXCEEDED" ? texts.tooMany : texts.wrong);
    field.current?.focus();
    field.current?.select();
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
        inputMode="numeric"
        autoComplete="one-time-code"
        autoCapitalize="off"
        spellCheck={false}
        required
        value={code}
        onChange={(event) => setCode(event.target.value)}
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
  const begun = useRef<{ of: unknown[]; response: ReturnType<Authsignal["totp"]["enroll"]> }>(undefined);
  useEffect(() => {
    latest.current = { onEnrolled, onError, texts };
  });
  useEffect(() => {
    let over = false;
    const of = [authsignal, token, attempt];
    // StrictMode runs this twice, with the same reference: one enrollment.
    if (!begun.current?.of.every((value, i) => value === of[i])) {
      setData(undefined);
      setProblem(undefined);
      if (token !== undefined) authsignal.setToken(token);
      begun.current = { of, response: authsignal.totp.enroll() };
    }
    begun.current!.response.then((response) => {
      if (over) return;
      if (response.data) {
        setData(response.data);
        latest.current.onEnrolled?.(response.data);
      } else {
        setProblem(textOf(response, latest.current.texts));
        latest.current.onError?.(response);
      }
    }, (cause) => {
      // The application's own doing, as in CodeForm.
      if (!over) setProblem(latest.current.texts.failed);
      throw cause;
    });
    return () => {
      over = true;
    };
  }, [authsignal, token, attempt]);

  return (
    <CodeForm
      {...props}
      texts={texts}
      busy={!data}
      problem={problem}
      retry={problem ? () => setAttempt(attempt + 1) : undefined}
    >
      {data ? (
        <>
          {data.qrCode && <img src={data.qrCode} alt={texts.qrCode} data-authsignal="qr-code" />}
          <p data-authsignal="secret">
            {texts.secret} <code>{data.secret.replace(/.{4}(?=.)/g, "$& ")}</code>
          </p>
        </>
      ) : (
        !problem && <p role="status" data-authsignal="loading">{texts.loading}</p>
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
