import { useEffect, useRef, useState } from "react";
import { Authsignal } from "../index.js";
import type { AuthsignalOptions, AuthsignalResponse, CallOptions } from "../types.js";
import { isError, textOf, type AuthsignalError, type Texts } from "./texts.js";

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

/** Sets the token of a challenge, and loads the module while the user looks for the code. */
export function useToken(authsignal: Authsignal, token: string | undefined): void {
  useEffect(() => {
    if (token !== undefined) authsignal.setToken(token);
    // A failure is reported by the call.
    authsignal.preload().catch(() => {});
  }, [authsignal, token]);
}

/**
 * Makes a call when the component is mounted, once, and again for another instance
 * or token and after `again`. Of several calls, the API keeps what the last one
 * has made. `problem` is the text of an error; `attempt` changes with `again`.
 */
export function useOnce<T>(
  { authsignal, token, onError, texts }: { authsignal: Authsignal; token?: string; onError?: (error: AuthsignalError) => void; texts: Texts },
  call: (authsignal: Authsignal, options: CallOptions) => Promise<AuthsignalResponse<T>>,
  onData?: (data: T) => void,
): { data: T | undefined; problem: string | undefined; attempt: number; again: () => void } {
  const [attempt, setAttempt] = useState(0);
  const [data, setData] = useState<T>();
  const [problem, setProblem] = useState<string>();
  const latest = useRef({ call, onData, onError, texts });
  const running = useRef<{ of: unknown[]; end: AbortController; response: Promise<AuthsignalResponse<T>> }>(undefined);
  useEffect(() => {
    latest.current = { call, onData, onError, texts };
  });
  useEffect(() => {
    let ended = false;
    const of = [authsignal, token, attempt];
    // StrictMode runs this twice, with the same reference: one call.
    const before = running.current;
    if (!before?.of.every((value, i) => value === of[i])) {
      setData(undefined);
      setProblem(undefined);
      // Not at another attempt: onTokenExpired may have set a newer one.
      if (token !== undefined && (before?.of[0] !== authsignal || before.of[1] !== token)) authsignal.setToken(token);
      const end = new AbortController();
      const start = () => latest.current.call(authsignal, { signal: end.signal });
      // One after the other: what the last call has made must be what is shown.
      before?.end.abort();
      running.current = { of, end, response: before ? before.response.catch(() => {}).then(start) : start() };
    }
    running.current!.response.then(
      (response) => {
        if (ended) return;
        if (isError(response)) {
          setProblem(textOf(response, latest.current.texts));
          latest.current.onError?.(response);
        } else {
          setData(response.data);
          latest.current.onData?.(response.data);
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

  function again() {
    setProblem(undefined); // removes the button at once, so that a second click has no effect
    setAttempt(attempt + 1);
  }
  return { data, problem, attempt, again };
}
