// The script of the demo's page. It shows the session of the backend and makes no
// decisions: the user can change anything in the browser.

import { Authsignal } from "./sdk/index.js";

// In redirect mode, the pre-built UI returns to this page with a token.
const returnedToken = new URLSearchParams(location.search).get("token");
if (returnedToken !== null) history.replaceState(null, "", location.pathname);

const { apiUrl, tenantId, wasmUrl } = document.documentElement.dataset;
const authsignal = new Authsignal({ tenantId, baseUrl: apiUrl, wasmUrl });
// Load the module while the user enters the user name. If that fails, the first
// call tries again and reports it.
authsignal.preload().catch(() => {});

const $ = (id) => document.getElementById(id);

/** The session as the backend last returned it: {step, username, token}, or with url and mode for the pre-built UI. */
let session = { step: "loading" };
/** Whether a code may have been accepted although the page got no response. */
let unsure = false;

/** An error that the user can read. With restart, the user can start again. */
class PageError extends Error {
  constructor(text, { code, restart = false } = {}) {
    super(text);
    this.code = code;
    this.restart = restart;
  }
}

// The backend.

/** Calls the backend. All errors are PageErrors, also if there is no response. */
async function backend(method, path, body) {
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: body && { "Content-Type": "application/json" },
      signal: AbortSignal.timeout?.(15_000), // newer than all other APIs that the page uses
    });
    answer = await response.json();
  } catch {
    throw new PageError("This app could not be reached. Check your connection and try again.", { code: "unreachable" });
  }
  if (response.ok) return answer;
  const { code, text } = answer.error;
  throw new PageError(text, { code });
}

/** Runs an action of the user. If the session has ended, it shows the sign-in. */
async function attempt(work, fail) {
  try {
    await work();
  } catch (error) {
    if (error.code === "not_signed_in") {
      await show({ step: "signIn" }, error.message);
    } else if (error instanceof PageError) {
      fail(error);
    } else {
      fail(new PageError("Something went wrong in this page. Reload it and try again."));
      reportError(error);
    }
  }
}

// The steps.

/** Shows the step of a session, and sets the focus to its first element. */
async function show(next, notice = "") {
  const { username } = session;
  session = next;
  unsure = false;
  authsignal.setToken(next.token);
  // The page is filled before it is shown, so that its layout does not shift.
  if (next.step === "account") await account();
  if (session !== next) return; // it has ended already
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== next.step;
  for (const element of document.querySelectorAll(".username")) element.textContent = next.username ?? "";
  for (const form of document.querySelectorAll("form")) clear(form);
  for (const field of document.querySelectorAll(".code")) field.value = "";
  // Remove the secret from the page.
  $("enroll-ready").hidden = true;
  $("qr").removeAttribute("src");
  $("open-app").removeAttribute("href");
  $("secret").replaceChildren();
  $("replaced").textContent = "";
  $("confirm").close();
  $("confirm-payment-form").hidden = true;
  $("paid").textContent = "";
  $("notice").textContent = notice;
  document.title = `${$(next.step + "-title").textContent} – Authsignal demo`;
  scrollTo(0, 0);
  if (next.step === "signIn") {
    $("username").value = username ?? "";
    $("username").select();
    $("username").focus();
  } else if (next.step === "challenge") {
    $("challenge-code").focus();
  } else {
    $(next.step + "-title").focus();
  }
  if (next.step === "enroll") await enroll();
}

/** Signs in, or starts again: the backend tracks a new action. */
const signIn = async (username) => {
  const { ui, mode } = $("signIn-form").elements;
  await show(await backend("POST", "/api/sign-in", { username, ui: ui.value === "custom" ? "custom" : mode.value }));
  // A window opens only in response to a click, so the user must click again.
  if (session.step === "prebuilt" && session.mode !== "window") $("prebuilt-form").requestSubmit();
};

onSubmit($("signIn-form"), async (form) => {
  const username = form.elements.username.value.trim();
  if (!username) throw new PageError("Enter a user name.");
  await signIn(username);
});

/** Opens the pre-built UI, and signs in with the token that it returns. */
onSubmit($("prebuilt-form"), async () => {
  const { url, mode } = session;
  const launched = authsignal.launch(url, { mode });
  if (mode === "redirect") return; // the browser leaves this page
  const { token } = await launched;
  if (token) return getIn(token);
  session = await backend("POST", "/api/prebuilt");
  throw new PageError("The pre-built UI was closed before a code was entered. Continue to open it again.");
});

/** Begins an enrollment and shows its secret. */
async function enroll() {
  const form = $("restart-form");
  clear(form);
  $("enroll-busy").textContent = "Creating your QR code…";
  await attempt(
    async () => {
      session = await backend("POST", "/api/enroll");
      authsignal.setToken(session.token);
      const result = await authsignal.totp.enroll();
      if (!result.data) throw explain(result);
      const { uri, secret, qrCode, replaced } = result.data;
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

onSubmit($("restart-form"), () => signIn(session.username));

$("copy").addEventListener("click", async () => {
  const secret = $("secret").textContent.replaceAll(" ", "");
  let message = "Copied. Paste it into your authenticator app.";
  try {
    await navigator.clipboard.writeText(secret);
  } catch {
    // Browsers refuse without HTTPS or permission.
    getSelection().selectAllChildren($("secret"));
    message = "Selected. Copy it with your keyboard or the menu.";
  }
  $("copied").textContent = "";
  $("copied").textContent = message;
});

for (const step of ["enroll", "challenge"]) onSubmit($(step + "-form"), (form) => verify(form, getIn));

/**
 * Verifies the code of a form, and then calls complete with the new token.
 * isVerified is only for the page: the backend decides by validateChallenge.
 */
async function verify(form, complete) {
  // Accept full-width digits, and drop spaces and dashes.
  const code = form.elements.code.value.normalize("NFKC").replace(/\D/g, "");
  if (code.length < 6 || code.length > 8) throw new PageError("Enter the 6 digits that your authenticator app shows.");
  const result = await authsignal.totp.verify({ code });
  if (result.data?.isVerified) {
    unsure = true; // until the backend has validated it
    return complete(result.data.token);
  }
  // The API may have accepted a code although its response was lost. Then the
  // code is used up, but the action has succeeded, and the backend can validate
  // it with the token of the tracked action.
  if (["network_error", "timeout", "invalid_response", "internal_error", "sdk_crashed"].includes(result.errorCode)) {
    unsure = true;
  }
  if (unsure) {
    try {
      return await complete();
    } catch (error) {
      // The action has not succeeded, or the backend cannot be reached either.
      if (error.code === "not_signed_in") throw error;
    }
  }
  if (result.error) throw explain(result);
  throw await refused(result.data.failureReason);
}

const getIn = async (token) => show(await backend("POST", "/api/verified", { token }));

/** Returns the error of a refused code. */
async function refused(reason) {
  if (reason === "MAX_ATTEMPTS_EXCEEDED") {
    // Both limits, that within a window and that in a row, have the same reason.
    return new PageError(
      "Too many wrong codes. For your security, no code is accepted at the moment. Usually it is enough to wait 5 minutes and enter a new code. " +
        "If this message appears again, your authenticator is locked, and only the operators of this app can help.",
    );
  }
  // If a code was accepted recently, the clocks are right. The backend knows it
  // even if this page was reloaded or another page used the code.
  let last = {};
  try {
    last = await backend("GET", "/api/last-code");
  } catch (error) {
    // The result only improves the error text.
    if (error.code === "not_signed_in") throw error;
  }
  if (last.justAccepted) {
    return new PageError("That code was not accepted. Already used? Each code works only once: wait for the next one, at most 30 seconds. Mistyped? Enter it again.");
  }
  if (session.step === "enroll") {
    return new PageError(
      "That code was not accepted. Enter the code that your app shows now. " +
        "If it fails again, check your phone’s clock, and whether this page is open twice: only the newest QR code works.",
    );
  }
  return new PageError("That code was not accepted. Enter the code that your app shows now. If it fails again, check your phone’s clock.");
}

/** Returns the error of a call that failed. */
function explain({ errorCode }) {
  const api = new URL(apiUrl, location.href).origin;
  switch (errorCode) {
    case "expired_token":
      return new PageError("This took too long, and the sign-in has expired. Start again.", { restart: true });
    case "unauthorized":
      return new PageError("This sign-in is no longer valid. Start again.", { restart: true });
    case "network_error":
      return new PageError(`The API at ${api} could not be reached. Check your connection, then try again.`);
    case "timeout":
      return new PageError(`The API at ${api} did not respond in time. Try again.`);
    case "too_many_requests":
      return new PageError("Too many requests. Wait a minute, then try again.");
    case "wasm_load_failed":
      return new PageError("Part of this page could not be loaded. Check your connection, then try again.");
    case "sdk_crashed":
      return new PageError("Part of this page stopped and is restarting. Try again.");
  }
  return new PageError(`The API refused the request (${errorCode}). Try again or start again.`, { restart: true });
}

/** Fills the protected page. */
async function account() {
  const fail = (error) => ($("account-error").textContent = error.message);
  for (const id of ["account-message", "signed-in-at", "validated", "protected-by"]) $(id).textContent = "…";
  fail({ message: "" });
  await attempt(async () => {
    const { message, signedInAt, action, authenticators } = await backend("GET", "/api/account");
    $("account-message").textContent = message;
    $("signed-in-at").replaceChildren(time(signedInAt));
    $("validated").textContent = action;
    $("protected-by").replaceChildren(...authenticators.flatMap(({ createdAt }) => ["Authenticator app, added ", time(createdAt)]));
    $("remove").hidden = authenticators.length === 0;
  }, fail);
}

function time(iso) {
  const text = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
  return Object.assign(document.createElement("time"), { dateTime: iso, textContent: text });
}

onSubmit($("pay-form"), async (form) => {
  const amount = Number(form.elements.amount.value.replace(",", "."));
  $("paid").textContent = "";
  $("confirm-payment-form").hidden = true;
  const receipt = await backend("POST", "/api/pay", { amount });
  if (receipt.paid) return paid(receipt);
  unsure = false;
  authsignal.setToken(receipt.token);
  $("payment-amount").textContent = receipt.amount;
  $("payment-code").value = "";
  clear($("confirm-payment-form"));
  $("confirm-payment-form").hidden = false;
  $("payment-code").focus();
});

onSubmit($("confirm-payment-form"), (form) => verify(form, async (token) => paid(await backend("POST", "/api/paid", { token }))));

function paid({ amount }) {
  unsure = false;
  $("confirm-payment-form").hidden = true;
  $("paid").textContent = `Paid: ${amount}.`;
  $("amount").focus();
}

/** Opens the settings of the pre-built UI, and then reloads the account. */
onSubmit($("settings-form"), async () => {
  const { url } = await backend("POST", "/api/settings");
  await authsignal.launch(url, { mode: "popup" });
  await account();
});

$("remove").addEventListener("click", () => {
  clear($("confirm-form"));
  $("confirm").showModal();
  $("keep").focus();
});
$("keep").addEventListener("click", () => $("confirm").close());
onSubmit($("confirm-form"), async () => {
  const next = await backend("POST", "/api/remove-authenticator");
  await show(next, "The authenticator was removed. Sign in again to set up a new one.");
});

let signingOut = false;
for (const button of document.querySelectorAll(".sign-out")) {
  button.addEventListener("click", async () => {
    if (signingOut) return;
    signingOut = true;
    const form = session.step !== "account" && button.closest("section").querySelector("form");
    await attempt(
      async () => show(await backend("POST", "/api/sign-out"), "You are signed out."),
      (error) => (form ? fail(form, error) : ($("account-error").textContent = error.message)),
    );
    signingOut = false;
  });
}
for (const button of document.querySelectorAll(".restart")) {
  button.addEventListener("click", () => button.form.run(() => signIn(session.username)));
}

// Forms.

/** Runs `work` when a form is submitted, but not concurrently, and shows its error. */
function onSubmit(form, work) {
  form.run = async (work) => {
    // The button is not disabled, because a disabled button loses the focus.
    if (form.getAttribute("aria-busy") === "true") return;
    clear(form);
    form.setAttribute("aria-busy", "true");
    await attempt(
      () => work(form),
      (error) => fail(form, error),
    );
    form.setAttribute("aria-busy", "false");
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.run(work);
  });
}

/** Shows an error in a form, where screen readers announce it, and focuses its field. */
function fail(form, { message, restart }) {
  form.querySelector(".error").textContent = message;
  const again = form.querySelector(".restart");
  if (again) again.hidden = !restart;
  const field = form.querySelector("input");
  if (!field || form.closest("[hidden]")) return;
  field.setAttribute("aria-invalid", "true");
  if (restart && again) {
    again.focus();
  } else {
    field.focus();
    field.select();
  }
}

function clear(form) {
  form.querySelector(".error").textContent = "";
  for (const button of form.querySelectorAll(".restart, #restart-form button")) button.hidden = true;
  for (const field of form.querySelectorAll("input")) field.removeAttribute("aria-invalid");
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
          session = await backend("POST", "/api/prebuilt");
          throw error;
        }
      });
    }
  },
  (error) => show({ step: "signIn" }, error.message),
);
