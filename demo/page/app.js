// The script of the demo's page. It shows the session of the backend and makes no
// decisions: the user can change anything in the browser.
//
//	page.js       the SDK, the session, calls of the backend
//	steps.js      steps, of which one is shown at a time, and forms
//	verify.js     codes and refusals
//	challenge.js  a code, or a recovery code, to sign in or to confirm a change
//	enroll.js     an authenticator app
//	codes.js      recovery codes
//	replace.js    a new app in place of a lost one
//	account.js    the protected page
//
// This one has the sign-in and the pre-built UI.

import "./account.js";
import { $, authsignal, backend, PageError, state } from "./page.js";
import { attempt, fail, onArrive, onPress, onSubmit, show, signIn } from "./steps.js";

// In redirect mode, the pre-built UI returns to this page with a token.
const returnedToken = new URLSearchParams(location.search).get("token");
if (returnedToken !== null) history.replaceState(null, "", location.pathname);

// Load the module while the user enters the user name. If that fails, the first
// call tries again and reports it.
authsignal.preload().catch(() => {});

onArrive("signIn", { fill: (username) => void ($("username").value = username ?? "") });

onSubmit($("signIn-form"), async (form) => {
  const username = form.elements.username.value.trim();
  if (!username) throw new PageError("Enter a user name.");
  await signIn(username);
});

const getIn = async (token) => show(await backend("POST", "/api/verified", { token }));

/** Opens the pre-built UI, and signs in with the token that it returns. */
onSubmit($("prebuilt-form"), async () => {
  const { url, mode } = state.session;
  const launched = authsignal.launch(url, { mode });
  if (mode === "redirect") return; // the browser leaves this page
  const { token } = await launched;
  if (token) return getIn(token);
  state.session = await backend("POST", "/api/prebuilt");
  throw new PageError("The pre-built UI was closed before a code was entered. Continue to open it again.");
});

let signingOut = false;
for (const button of document.querySelectorAll(".sign-out")) {
  button.addEventListener("click", async () => {
    if (signingOut) return;
    signingOut = true;
    const form = state.session.step !== "account" && button.closest("section").querySelector("form");
    await attempt(
      async () => show(await backend("POST", "/api/sign-out"), "You are signed out."),
      (error) => (form ? fail(form, error) : ($("account-error").textContent = error.message)),
    );
    signingOut = false;
  });
}

for (const button of document.querySelectorAll(".restart")) {
  onPress(button, button.form, () => (state.session.step === "account" ? show(state.session) : signIn(state.session.username)));
}

await attempt(
  async () => {
    const now = await backend("GET", "/api/session");
    await show(now);
    if (returnedToken && now.step === "prebuilt") {
      await $("prebuilt-form").run(async () => {
        try {
          await getIn(returnedToken);
        } catch (error) {
          if (error.code === "not_signed_in") throw error;
          state.session = await backend("POST", "/api/prebuilt");
          throw error;
        }
      });
    }
  },
  (error) => show({ step: "signIn" }, error.message),
);
