// An authenticator app for tests, on an implementation that is not ours.

import { URI } from "otpauth";

/**
 * An authenticator app with the account of an otpauth URI. It never gives the
 * same code twice: it moves on to the next step, which the server's drift allows,
 * so that no test has to wait.
 */
export function authenticatorApp(uri) {
  const totp = URI.parse(uri);
  const at = (step) => totp.generate({ timestamp: step * totp.period * 1000 });
  const now = () => Math.floor(Date.now() / (totp.period * 1000));
  let used = 0;
  return {
    totp,
    /** A code that is accepted. */
    code: () => at((used = Math.max(used + 1, now()))),
    /** The code that was given last. */
    again: () => at(used),
    /** A code that matches no step in the server's drift. */
    wrong() {
      const near = new Set(Array.from({ length: 9 }, (_, i) => at(now() - 4 + i)));
      for (let n = 0; ; n++) {
        const code = String(n).padStart(totp.digits, "0");
        if (!near.has(code)) return code;
      }
    },
  };
}
