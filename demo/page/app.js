// The demo's page. It shows what the backend says and does nothing that
// decides: the owner of the browser can change all of it.

import { Authsignal } from "./sdk/index.js";

// The pre-built UI, in redirect mode, comes back here with a token.
const returned = new URLSearchParams(location.search).get("token");
if (returned !== null) history.replaceState(null, "", location.pathname);

const { apiUrl, tenantId, wasmUrl } = document.documentElement.dataset;
const authsignal = new Authsignal({ tenantId, baseUrl: apiUrl, wasmUrl });
// Load the module while the user still types. If it fails, the first call
// tries again and tells.
authsignal.preload().catch(() => {});

const $ = (id) => document.getElementById(id);

/** What the backend last said of the session: {step, username, token}, or with url and mode for the pre-built UI. */
let session = { step: "loading" };
/** Whether a code may have been accepted without our knowing it. */
let unsure = false;

/** Something that the user is told, with what can be done about it. */
class Trouble extends Error {
  constructor(text, { code, restart = false } = {}) {
    super(text);
    this.code = code;
    this.restart = restart;
  }
}

// The backend.

/** Calls the backend. Its errors, and that it does not answer, are Trouble. */
async function backend(method, path, body) {
  let response;
  let answer;
  try {
    response = await fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: body && { "Content-Type": "application/json" },
      signal: AbortSignal.timeout?.(15_000), // newer than all else that the page needs
    });
    answer = await response.json();
  } catch {
    throw new Trouble("This app could not be reached. Check your connection and try again.", { code: "unreachable" });
  }
  if (response.ok) return answer;
  const { code, text } = answer.error;
  throw new Trouble(text, { code });
}

/** Runs what a user asked for. If the session has ended, so has the step. */
async function attempt(work, fail) {
  try {
    await work();
  } catch (error) {
    if (error.code === "not_signed_in") {
      await show({ step: "signIn" }, error.message);
    } else if (error instanceof Trouble) {
      fail(error);
    } else {
      fail(new Trouble("Something went wrong in this page. Reload it and try again."));
      reportError(error);
    }
  }
}

// The steps.

/** Shows the step that a session is at, and puts the focus where it begins. */
async function show(next, notice = "") {
  const { username } = session;
  session = next;
  unsure = false;
  authsignal.setToken(next.token);
  // Filled before it is shown: nothing moves under the user's finger.
  if (next.step === "account") await account();
  if (session !== next) return; // it is over already
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== next.step;
  for (const element of document.querySelectorAll(".username")) element.textContent = next.username ?? "";
  for (const form of document.querySelectorAll("form")) clear(form);
  for (const field of document.querySelectorAll(".code")) field.value = "";
  // The secret leaves the page with its step.
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

/** Signs in, or starts again: the backend tracks the action anew. */
const signIn = async (username) => {
  const { look, mode } = $("signIn-form").elements;
  await show(await backend("POST", "/api/sign-in", { username, ui: look.value === "custom" ? "custom" : mode.value }));
  // A window opens only while the browser still sees the user's click: there
  // it takes another one.
  if (session.step === "prebuilt" && session.mode !== "window") $("prebuilt-form").requestSubmit();
};

onSubmit($("signIn-form"), async (form) => {
  const username = form.elements.username.value.trim();
  if (!username) throw new Trouble("Enter a user name.");
  await signIn(username);
});

/** Hands over to the pre-built UI, and takes the token that it comes back with. */
onSubmit($("prebuilt-form"), async () => {
  const { url, mode } = session;
  const launched = authsignal.launch(url, { mode });
  if (mode === "redirect") return; // this page is left
  const { token } = await launched;
  if (token) return getIn(token);
  session = await backend("POST", "/api/prebuilt");
  throw new Trouble("It was closed before a code was entered. Continue to open it again.");
});

/** Begins an enrollment and shows its secret. */
async function enroll() {
  const form = $("restart-form");
  clear(form);
  $("enroll-busy").textContent = "Making your QR code…";
  await attempt(
    async () => {
      session = await backend("POST", "/api/enroll");
      authsignal.setToken(session.token);
      const result = await authsignal.totp.enroll();
      if (!result.data) throw explain(result);
      const { uri, secret, qrCode, replaced } = result.data;
      // A URI can be too long for a QR code: then there is only the secret.
      $("scan").hidden = !qrCode;
      $("secret-title").textContent = qrCode ? "Or type this secret" : "Type this secret";
      $("secret-hint").textContent = qrCode
        ? "If you cannot scan, add an account by hand."
        : "There is no QR code to scan: this account’s details are too long for one. Add an account by hand.";
      if (qrCode) $("qr").src = qrCode;
      if (/^otpauth:/i.test(uri)) $("open-app").href = uri;
      $("open-app").hidden = !$("open-app").href;
      $("secret").replaceChildren(...secret.match(/.{1,4}/g).flatMap((group) => [Object.assign(document.createElement("span"), { textContent: group }), " "]));
      if (replaced) {
        // A page that was loaded again, or one beside this.
        $("replaced").textContent = "An earlier QR code for this account no longer works. If you scanned it, delete its entry in your app and use this one.";
      }
      $("enroll-ready").hidden = false;
      if (qrCode) await $("qr").decode();
    },
    (trouble) => {
      fail(form, trouble);
      form.querySelector("button").hidden = false;
    },
  );
  $("enroll-busy").textContent = "";
}

onSubmit($("restart-form"), () => signIn(session.username));

$("copy").addEventListener("click", async () => {
  const secret = $("secret").textContent.replaceAll(" ", "");
  let said = "Copied. Paste it into your authenticator app.";
  try {
    await navigator.clipboard.writeText(secret);
  } catch {
    // Browsers refuse where the page is not on HTTPS, or by permission.
    getSelection().selectAllChildren($("secret"));
    said = "Selected. Copy it with your keyboard or its menu.";
  }
  $("copied").textContent = "";
  $("copied").textContent = said;
});

for (const step of ["enroll", "challenge"]) onSubmit($(step + "-form"), (form) => verify(form, getIn));

/**
 * Verifies the code in a form and completes what it is for. isVerified is for
 * the screen: only the backend, by its validateChallenge, admits a user or
 * accepts a payment.
 */
async function verify(form, complete) {
  // Full-width digits are digits, and what people put between them is not.
  const code = form.elements.code.value.normalize("NFKC").replace(/\D/g, "");
  if (code.length < 6 || code.length > 8) throw new Trouble("Enter the 6 digits that your authenticator app shows.");
  const result = await authsignal.totp.verify({ code });
  if (result.data?.isVerified) {
    unsure = true; // until the backend has heard of it
    return complete(result.data.token);
  }
  // The API may have accepted a code although its answer did not arrive. The
  // code is then used up, but the action has succeeded, and the backend can
  // ask for it with the token that it tracked.
  if (["network_error", "timeout", "invalid_response", "internal_error", "sdk_crashed"].includes(result.errorCode)) {
    unsure = true;
  }
  if (unsure) {
    try {
      return await complete();
    } catch (error) {
      // It has not, or the backend is out of reach too.
      if (error.code === "not_signed_in") throw error;
    }
  }
  if (result.error) throw explain(result);
  throw await refused(result.data.failureReason);
}

const getIn = async (token) => show(await backend("POST", "/api/verified", { token }));

/** What to tell of a code that was refused. */
async function refused(reason) {
  if (reason === "MAX_ATTEMPTS_EXCEEDED") {
    // The limit in a time and the one for all time have the same reason.
    return new Trouble(
      "Too many wrong codes. For your safety none is accepted now. Most often it is enough to wait 5 minutes and enter a new code; " +
        "if you still read this then, your authenticator is blocked, and only the people who run this app can help.",
    );
  }
  // Where a code was accepted just now, the clocks are right. This page may
  // have been loaded since, or another one have used it: the backend knows.
  let last = {};
  try {
    last = await backend("GET", "/api/last-code");
  } catch (error) {
    // It is for better advice only.
    if (error.code === "not_signed_in") throw error;
  }
  if (last.justAccepted) {
    return new Trouble("That code was not accepted. Already used? Each code works once: wait for the next one, at most 30 seconds. Mistyped? Enter it again.");
  }
  if (session.step === "enroll") {
    return new Trouble(
      "That code was not accepted. Enter the code that your app shows now. " +
        "If it fails again, check your phone’s clock, and whether this page is open twice: only the newest QR code works.",
    );
  }
  return new Trouble("That code was not accepted. Enter the code that your app shows now; if it fails again, check your phone’s clock.");
}

/** What to tell of a call that ended in an error. */
function explain({ errorCode }) {
  const api = new URL(apiUrl, location.href).origin;
  switch (errorCode) {
    case "expired_token":
      return new Trouble("This took too long, and the sign-in has expired. Start again.", { restart: true });
    case "unauthorized":
      return new Trouble("This sign-in is no longer valid. Start again.", { restart: true });
    case "network_error":
      return new Trouble(`The API at ${api} could not be reached. Check your connection, then try again.`);
    case "timeout":
      return new Trouble(`The API at ${api} did not answer in time. Try again.`);
    case "too_many_requests":
      return new Trouble("Too many requests. Wait a minute, then try again.");
    case "wasm_load_failed":
      return new Trouble("A part of this page could not be loaded. Check your connection, then try again.");
    case "sdk_crashed":
      return new Trouble("A part of this page has stopped and is being restarted. Try again.");
  }
  return new Trouble(`The API did not do what was asked (${errorCode}). Try again or start again.`, { restart: true });
}

/** Fills the protected page. */
async function account() {
  const fail = (trouble) => ($("account-error").textContent = trouble.message);
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

/** Opens the settings of the pre-built UI, and then looks at what has changed. */
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
      (trouble) => (form ? fail(form, trouble) : ($("account-error").textContent = trouble.message)),
    );
    signingOut = false;
  });
}
for (const button of document.querySelectorAll(".restart")) {
  button.addEventListener("click", () => button.form.run(() => signIn(session.username)));
}

// Forms.

/** Runs `work` when a form is submitted, once at a time, and shows its trouble. */
function onSubmit(form, work) {
  form.run = async (work) => {
    // Not disabled: a disabled button would lose the focus.
    if (form.getAttribute("aria-busy") === "true") return;
    clear(form);
    form.setAttribute("aria-busy", "true");
    await attempt(
      () => work(form),
      (trouble) => fail(form, trouble),
    );
    form.setAttribute("aria-busy", "false");
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.run(work);
  });
}

/** Shows trouble in a form, where screen readers say it, and goes back to its field. */
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
    if (returned && now.step === "prebuilt") {
      await $("prebuilt-form").run(async () => {
        try {
          await getIn(returned);
        } catch (error) {
          if (error.code === "not_signed_in") throw error;
          session = await backend("POST", "/api/prebuilt");
          throw error;
        }
      });
    }
  },
  (trouble) => show({ step: "signIn" }, trouble.message),
);
