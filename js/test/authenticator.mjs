// An authenticator app for tests, on an implementation that is not ours.

import { URI } from "otpauth";

/**
 * An authenticator app with the account of an otpauth URI. It never gives the
 * same code twice: it goes on to the next step, which the server's drift
 * admits, so that nobody has to wait.
 */
export function authenticatorApp(uri) {
  const totp = URI.parse(uri);
  const at = (step) => totp.generate({ timestamp: step * totp.period * 1000 });
  const now = () => Math.floor(Date.now() / (totp.period * 1000));
  let used = 0;
  return {
    /** A code that is accepted. */
    code() {
      used = Math.max(now(), used + 1);
      return at(used);
    },
    /** The code that was given last. */
    again: () => at(used),
    /** A code of no step that is near. */
    wrong() {
      const near = new Set([-3, -2, -1, 0, 1, 2, 3].map((i) => at(now() + i)));
      return ["000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777"].find((code) => !near.has(code));
    },
  };
}
