import { useEffect, useId, useRef, useState, type FormEvent, type InputHTMLAttributes, type ReactNode } from "react";
import type { AuthsignalResponse } from "../types.js";
import { isError, textOf, type AuthsignalError, type Texts } from "./texts.js";

/** The attributes of a field for a code of an app. No maxLength and no type=number: a pasted code may have spaces, or begin with a zero. */
export const appCode: InputHTMLAttributes<HTMLInputElement> = { inputMode: "numeric", autoComplete: "one-time-code", autoCapitalize: "off", required: true };

/** The attributes of a field for a recovery code. */
export const recoveryCode: InputHTMLAttributes<HTMLInputElement> = { autoComplete: "off", autoCapitalize: "characters", autoCorrect: "off" };

/** A form for a code, below the children. */
export function CodeForm<D>({
  subject,
  send,
  judge,
  onAccepted,
  onError,
  errorText = textOf,
  texts,
  label,
  field: attributes,
  submitText,
  sendingText,
  className,
  children,
  options,
  footer,
  waiting,
  ended,
  problem,
  retry,
}: {
  /** What a refusal applies to, such as the token. Always as long. */
  subject: unknown[];
  /** Sends the code; a text is a refusal. */
  send: (code: string) => Promise<AuthsignalResponse<D>> | string;
  /** Returns why an answer is a refusal; "" if it is none. */
  judge: (data: D, code: string) => string;
  onAccepted: (data: D) => void;
  onError?: (error: AuthsignalError) => void;
  errorText?: (error: AuthsignalError, texts: Texts) => string;
  texts: Texts;
  /** The field's label and attributes. */
  label: string;
  field: InputHTMLAttributes<HTMLInputElement>;
  submitText: string;
  sendingText: string;
  className?: string;
  children?: ReactNode;
  /** Between the field and the button. */
  options?: ReactNode;
  /** Below. */
  footer?: ReactNode;
  /** There is nothing to send a code for yet. */
  waiting?: boolean;
  /** There is nothing to send a code for any more. */
  ended?: boolean;
  /** Why there is nothing to send a code for. */
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
  const current = useRef(subject);
  useEffect(() => {
    if (current.current.every((value, i) => value === subject[i])) return;
    current.current = subject;
    sending.current = undefined;
    setBusy(false);
    setRefusal("");
  }, subject);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (sending.current || waiting || ended || problem) return;
    const submission = (sending.current = {});
    setBusy(true);
    setRefusal(""); // so that the same text is announced again
    // Read from the field: a password manager may set it without an event.
    const code = field.current!.value;
    let isCurrent = true;
    let response;
    try {
      response = await send(code);
    } catch (cause) {
      // Caused by the application: its onTokenExpired threw, or it has disposed of the instance.
      if (sending.current === submission) setRefusal(texts.failed);
      throw cause;
    } finally {
      isCurrent = sending.current === submission;
      if (isCurrent) {
        sending.current = undefined;
        setBusy(false);
      }
    }
    if (unmounted.current) return;
    let why: string;
    if (typeof response === "string") why = response;
    else if (isError(response)) {
      onError?.(response);
      why = errorText(response, texts);
    } else {
      why = judge(response.data, code);
      if (!why) {
        field.current!.value = "";
        onAccepted(response.data);
        return;
      }
    }
    if (!isCurrent) return;
    setRefusal(why);
    field.current!.focus();
    field.current!.select();
  }

  return (
    <form className={className} onSubmit={submit} aria-busy={Boolean(busy || waiting)} noValidate data-authsignal="form">
      {children}
      <label htmlFor={id} data-authsignal="label">
        {label}
      </label>
      <input ref={field} id={id} type="text" dir="ltr" spellCheck={false} aria-invalid={Boolean(refusal)} aria-describedby={id + "message"} data-authsignal="code" {...attributes} />
      {options}
      {/* Not disabled, which would take the focus away. */}
      <button type="submit" aria-disabled={Boolean(busy || waiting || ended || problem)} data-authsignal="verify">
        {busy ? sendingText : submitText}
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
      {footer}
    </form>
  );
}

/** Returns a reference that reports whether the component is unmounted, for promises that settle later. */
export function useUnmounted() {
  const unmounted = useRef(false);
  useEffect(() => {
    unmounted.current = false; // StrictMode mounts twice
    return () => {
      unmounted.current = true;
    };
  }, []);
  return unmounted;
}
