// Enrollment: the first authenticator app of a user, or another one.

import { offerCodes } from "./codes.js";
import { $, authsignal, backend, copy, explain, state, time } from "./page.js";
import { attempt, clear, fail, go, onArrive, onSubmit, show, signIn } from "./steps.js";
import { codeOf, verify } from "./verify.js";

/** What follows when a signed-in user has added an app; undefined for the first app. */
let added;

onArrive("enroll", {
  fill() {
    const { deadline, mayWait } = state.session;
    added = undefined;
    $("enroll-title").textContent = "Protect your account";
    $("deadline").replaceChildren(
      ...(!deadline ? [] : mayWait ? ["You have until ", time(deadline), ". After that, you cannot sign in without an app."] : ["Required since ", time(deadline), "."]),
    );
    $("later-form").hidden = !mayWait;
  },
  begin: enroll,
});

/**
 * Adds an app for a user who has just entered a code, and then calls `then` with the
 * new authenticator. The token is the one that the verification of that code has set.
 */
export async function addApp(then) {
  added = then;
  $("enroll-title").textContent = "Add an authenticator app";
  $("deadline").textContent = "";
  $("later-form").hidden = true;
  go("enroll", { signedIn: true });
  await enroll();
}

/** Proposes a name for the app, which is on this device if that is a phone. */
function proposedName() {
  const device = { iPhone: "iPhone", iPad: "iPad", Android: "Android phone" };
  const [, here] = (matchMedia("(pointer: coarse)").matches && navigator.userAgent.match(/(iPhone|iPad|Android)/)) || [];
  return device[here] ?? (added ? "New phone" : "Phone");
}

/** Begins an enrollment and shows its secret. */
async function enroll() {
  const form = $("restart-form");
  clear(form);
  $("enroll-busy").textContent = "Creating your QR code…";
  await attempt(
    async () => {
      if (!added) {
        state.session = await backend("POST", "/api/enroll");
        authsignal.setToken(state.session.token);
      }
      const name = proposedName();
      const result = await authsignal.totp.enroll({ name });
      if (!result.data) throw explain(result);
      const { uri, secret, qrCode, replaced } = result.data;
      $("proposed-name").textContent = name;
      // If the URI is too long for a QR code, only the secret is shown.
      $("scan").hidden = !qrCode;
      $("secret-title").textContent = qrCode ? "Or enter this key" : "Enter this key";
      $("secret-hint").textContent = qrCode
        ? "If you cannot scan it, add an account manually."
        : "There is no QR code to scan: this account’s details are too long for one. Add an account manually.";
      if (qrCode) $("qr").src = qrCode;
      if (/^otpauth:/i.test(uri)) $("open-app").href = uri;
      $("open-app").hidden = !$("open-app").href;
      $("secret").replaceChildren(...secret.match(/.{1,4}/g).flatMap((group) => [Object.assign(document.createElement("span"), { textContent: group }), " "]));
      if (replaced) {
        // The page was reloaded, or it is open twice.
        $("replaced").textContent = "An earlier QR code for this account no longer works. If you scanned it, delete its entry in your app and use this one.";
      }
      $("enroll-ready").hidden = false;
      if (qrCode) await $("qr").decode();
    },
    (error) => {
      fail(form, error);
      form.querySelector("button").hidden = false;
    },
  );
  $("enroll-busy").textContent = "";
}

onSubmit($("restart-form"), () => (added ? addApp(added) : signIn(state.session.username)));

onSubmit($("later-form"), async () => show(await backend("POST", "/api/later")));

$("copy").addEventListener("click", () => {
  const secret = $("secret").textContent.replaceAll(" ", "");
  return copy(secret, $("secret"), $("copied"), "Copied. Paste it into your authenticator app.");
});

onSubmit($("enroll-form"), (form) => {
  const code = codeOf(form);
  return verify(
    () => authsignal.totp.verify({ code }),
    async (token, { userAuthenticator }) => {
      if (added) return added(userAuthenticator);
      const next = await backend("POST", "/api/verified", { token });
      state.session = next;
      await offerCodes(() => show(next));
    },
  );
});
