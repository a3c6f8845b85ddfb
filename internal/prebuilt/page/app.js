// The script of the pre-built UI. Attributes from the server say what to show
// first. Everything else goes through the client API of this origin, with the
// token that token.js removed from the address. Nothing is decided here: the
// user can change anything in the browser.

import { Authsignal } from "./sdk/index.js";

const { dataset: data, lang } = document.documentElement;
const texts = JSON.parse(document.getElementById("texts").textContent);
const $ = (id) => document.getElementById(id);
const flag = (name) => data[name] === "true";

const baseUrl = new URL("v1", location.href).href;
const authsignal = new Authsignal({ tenantId: data.tenant || "none", baseUrl, wasmUrl: data.module });

/** The current token: that of the url, then that of the last accepted code. */
let token = startToken;
let mayAdd = flag("mayAdd");
let mayRemove = flag("mayRemove");
let enrolled = flag("enrolled");
/** The failure of a user who has as many authenticators as the tenant allows. */
const tooMany = data.most === "1" ? "single" : "full";
/** What follows an accepted code: finish, enroll or settings. */
let afterChallenge = data.then;
/** Whether the settings were shown: cancelling then leads back to them. */
let inSettings = false;
/** The function of the button "Try again". */
let retry;

function text(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** What to say to a user whose phone's clock is off; negative seconds are behind. */
function clockOff(seconds) {
  const minutes = Math.max(1, Math.round(Math.abs(seconds) / 60));
  const unit = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: "minute", unitDisplay: "long" });
  return text(seconds < 0 ? "error.behind" : "error.ahead", { minutes: unit.format(minutes) });
}

// Messages to the page that opened this one.

/** The window that messages are sent to; null outside popup mode. */
const receiver = data.mode !== "popup" ? null : parent !== window ? parent : opener;
const origins = data.origins.split(" ").filter(Boolean);
const allowed = (origin) => origins.includes(origin) || (flag("loopback") && isLoopback(origin));

function isLoopback(origin) {
  if (!/^https?:/.test(origin)) return false;
  const { hostname } = new URL(origin);
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

/**
 * The allowed origins to send messages to. A browser delivers a message only if
 * the receiver's origin is the target origin. If the browser reveals the origin
 * of the page that opened this one, that origin is enough.
 */
function receivers() {
  const hints = [location.ancestorOrigins?.[0]];
  if (document.referrer) hints.push(new URL(document.referrer).origin);
  const known = hints.filter((origin) => origin && allowed(origin));
  return known.length ? [known[0]] : origins;
}

function post(message) {
  if (receiver) for (const origin of receivers()) receiver.postMessage(message, origin);
}

// The SDKs expect events as JSON texts, and the height as an object.
const sendEvent = (event, more) => post(JSON.stringify({ event, ...more }));

/**
 * Sends the height of the content to the page with the frame, now and whenever it
 * changes. Browsers need not draw a frame that is not visible yet, and a
 * ResizeObserver reports nothing before they draw: hence the first call.
 */
function reportHeight(element) {
  if (!receiver || receiver === opener) return;
  let last = 0;
  const measure = () => {
    const height = Math.ceil(element.getBoundingClientRect().height);
    if (height !== last) post({ height: (last = height) });
  };
  measure();
  new ResizeObserver(measure).observe(element);
}

// Ending the page.

const canQuit = Boolean(receiver || data.return);
let leaving = false;

/**
 * Returns to the app with a token, whatever the outcome: the backend validates it.
 * Histories and access logs keep addresses, so the token has only the scope to
 * read. If the API no longer accepts the current token, the token of the url is
 * used.
 */
async function goBack() {
  if (leaving) return; // a second click
  leaving = true;
  const result = await call("POST", "token", { scope: "read:authenticators" });
  if (!result.data && !["expired_token", "unauthorized"].includes(result.errorCode)) {
    leaving = false;
    return fail(temporaryFailures[result.errorCode] ?? "internal", goBack);
  }
  const url = new URL(data.return);
  url.searchParams.set("token", result.data?.accessToken ?? startToken);
  location.replace(url);
}

function finish() {
  const key = receiver ? "page.closing" : data.return ? "page.returning" : "page.finished";
  $("done-text").textContent = text(key);
  show("done");
  if (receiver) sendEvent("AUTHSIGNAL_CLOSE_POPUP", { token });
  else if (data.return) goBack();
}

/** The user cancels. A popup that is dismissed sends no token. */
function quit() {
  if (receiver) sendEvent("AUTHSIGNAL_CLOSE_POPUP");
  else if (data.return) goBack();
}

// Sections.

function show(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  for (const error of document.querySelectorAll(".error")) error.textContent = "";
  for (const field of document.querySelectorAll("input")) {
    field.value = "";
    field.removeAttribute("aria-invalid");
  }
  for (const button of document.querySelectorAll("form .quit")) button.hidden = !canQuit && !inSettings;
  const title = $(id + "-title");
  document.title = document.title.replace(/^.*?(?=( – .*)?$)/s, title.textContent);
  $("frame").scrollTo(0, 0);
  (id === "challenge" ? $("challenge-code") : title).focus();
}

function notice(message) {
  $("notice").textContent = message;
}

/** Shows a failure, with a button to try again if a function is given. */
function fail(reason, again) {
  retry = again;
  notice("");
  $("failure-title").textContent = text(`failure.${reason}.title`);
  $("failure-text").textContent = text(`failure.${reason}.text`);
  $("retry").hidden = !again;
  $("failure-quit").hidden = !canQuit;
  show("failure");
}

const statuses = {
  expired_token: 401,
  unauthorized: 401,
  invalid_request: 400,
  invalid_configuration: 400,
  not_found: 404,
  too_many_requests: 429,
  internal_error: 500,
};
const finalFailures = { expired_token: "expired", unauthorized: "invalid", invalid_configuration: "unavailable", not_found: "invalid" };
const temporaryFailures = { network_error: "network", timeout: "network", wasm_load_failed: "module", too_many_requests: "limit" };

/** Reports an error of the API. If it is final, shows it and returns true. */
function reportError({ errorCode }) {
  sendEvent("AUTHSIGNAL_API_ERROR", { errorCode, statusCode: statuses[errorCode] });
  const end = finalFailures[errorCode];
  if (end) fail(end);
  return Boolean(end);
}

// Codes.

for (const step of ["enroll", "challenge"]) {
  const form = $(step + "-form");
  const field = form.elements.code;
  const showError = (message) => {
    $(step + "-error").textContent = message;
    field.setAttribute("aria-invalid", "true");
    field.focus();
    field.select();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // The button is not disabled, because a disabled button loses the focus.
    if (form.getAttribute("aria-busy") === "true") return;
    $(step + "-error").textContent = "";
    field.removeAttribute("aria-invalid");
    // Accept full-width digits, and drop spaces and dashes.
    const code = field.value.normalize("NFKC").replace(/\D/g, "");
    if (code.length < 6 || code.length > 8) return showError(text("error.form"));
    form.setAttribute("aria-busy", "true");
    const result = await authsignal.totp.verify({ code });
    form.setAttribute("aria-busy", "false");
    if (result.data?.isVerified) {
      // The new token has all scopes.
      ({ token } = result.data);
      mayAdd = mayRemove = enrolled = true;
      return next(step);
    }
    if (result.data?.failureReason === "MAX_ATTEMPTS_EXCEEDED") {
      return fail("attempts", () => show(step));
    }
    if (result.data?.failureDetail === "SERVER_CLOCK_WAS_AHEAD") return showError(text("error.clock"));
    if (result.data?.failureDetail === "DEVICE_CLOCK_IS_OFF") return showError(clockOff(result.data.clockOffSeconds));
    if (result.data) return showError(text(step === "enroll" ? "error.wrongEnrollment" : "error.wrong"));
    if (reportError(result)) return;
    switch (result.errorCode) {
      case "wasm_load_failed":
        return fail("module", () => show(step));
      case "network_error":
      case "timeout":
        return showError(text("error.network"));
      case "too_many_requests":
        return showError(text("error.limit"));
      case "invalid_request":
        return showError(text("error.declined"));
      case "sdk_crashed":
        return showError(text("error.stopped"));
    }
    showError(text("error.internal"));
  });
}

function next(step) {
  if (afterChallenge === "enroll" && step === "challenge") {
    afterChallenge = "finish";
    return enroll();
  }
  if (afterChallenge === "settings") {
    if (step === "enroll") notice(text("page.added"));
    return settings();
  }
  finish();
}

// Enrollment.

async function enroll() {
  notice("");
  $("qr").hidden = true;
  $("qr").removeAttribute("src");
  $("open-app").removeAttribute("href");
  $("secret").replaceChildren();
  $("copied").textContent = $("replaced").textContent = "";
  $("by-hand").open = false;
  const figure = document.querySelector("figure");
  figure.hidden = false;
  figure.setAttribute("aria-busy", "true");
  show("enroll");
  const result = await authsignal.totp.enroll();
  figure.setAttribute("aria-busy", "false");
  if (!result.data) {
    if (!reportError(result)) fail(temporaryFailures[result.errorCode] ?? (result.errorCode === "invalid_request" ? tooMany : "internal"), enroll);
    return;
  }
  const { uri, secret, qrCode, replaced } = result.data;
  // If the URI is too long for a QR code, only the secret is shown.
  figure.hidden = !qrCode;
  $("by-hand").open = !qrCode;
  if (qrCode) $("qr").src = qrCode;
  $("qr").hidden = !qrCode;
  if (replaced) $("replaced").textContent = text("page.replaced");
  if (/^otpauth:/i.test(uri)) $("open-app").href = uri;
  $("open-app").hidden = !$("open-app").href;
  $("secret").replaceChildren(...secret.match(/.{1,4}/g).flatMap((group) => [Object.assign(document.createElement("span"), { textContent: group }), " "]));
}

$("copy").addEventListener("click", async () => {
  let key = "page.copied";
  try {
    await navigator.clipboard.writeText($("secret").textContent.replaceAll(" ", ""));
  } catch {
    // Browsers refuse without HTTPS or permission.
    getSelection().selectAllChildren($("secret"));
    key = "page.selected";
  }
  $("copied").textContent = "";
  $("copied").textContent = text(key);
});

// Settings.

/** Calls the client API where the SDKs have no method. */
async function call(method, path, body) {
  let response;
  try {
    response = await fetch(`${baseUrl}/client/${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout?.(10_000),
    });
    const answer = await response.json();
    return "error" in answer ? { errorCode: answer.errorCode } : { data: answer };
  } catch {
    return { errorCode: "network_error" };
  }
}

async function settings() {
  inSettings = true;
  const list = $("list");
  if ($("settings").hidden) {
    list.replaceChildren();
    show("settings");
  }
  list.setAttribute("aria-busy", "true");
  const result = await call("GET", "user-authenticators");
  list.setAttribute("aria-busy", "false");
  if (!result.data) {
    if (!reportError(result)) fail(temporaryFailures[result.errorCode] ?? "internal", settings);
    return;
  }
  const items = result.data;
  enrolled = items.length > 0;
  $("settings-text").hidden = !enrolled;
  $("settings-empty").hidden = enrolled;
  const more = items.length < Number(data.most);
  $("add").hidden = !flag("active") || !more || (enrolled && !mayAdd);
  const app = items.some((item) => item.verificationMethod === "AUTHENTICATOR_APP");
  $("unlock").hidden = !app || !flag("mayVerify") || (mayRemove && (mayAdd || !more));
  list.replaceChildren(...items.map((item) => row(item, items.length === 1)));
}

function row(item, last) {
  const element = $("item").content.cloneNode(true).firstElementChild;
  const find = (selector) => element.querySelector(selector);
  const name = text("page.method." + item.verificationMethod);
  const shown = item.email ?? item.phoneNumber;
  find(".method").textContent = shown ? `${name} ${shown}` : name;
  const [created, used] = [item.createdAt, item.lastVerifiedAt].map((iso) => iso && date(iso));
  find(".when").textContent = text(used ? "page.whenUsed" : "page.when", { created, used });
  const [remove, confirm] = [find(".remove"), find(".confirm")];
  remove.hidden = !mayRemove;
  remove.setAttribute("aria-label", text("page.removeLabel", { name: `${name}, ${find(".when").textContent}` }));
  confirm.querySelector("p").textContent = text(last ? "page.removeLast" : "page.removeOne");
  const ask = (asking) => {
    confirm.hidden = !asking;
    remove.hidden = asking;
  };
  remove.addEventListener("click", () => {
    ask(true);
    find(".keep").focus();
  });
  find(".keep").addEventListener("click", () => {
    ask(false);
    remove.focus();
  });
  find(".danger").addEventListener("click", async () => {
    if (element.getAttribute("aria-busy") === "true") return;
    element.setAttribute("aria-busy", "true");
    $("settings-error").textContent = "";
    const result = await call("DELETE", "user-authenticators/" + encodeURIComponent(item.userAuthenticatorId));
    element.setAttribute("aria-busy", "false");
    // An authenticator that no longer exists counts as removed.
    if (!result.data && result.errorCode !== "not_found") {
      if (!reportError(result)) $("settings-error").textContent = text("error.list");
      return;
    }
    // The removal ended the token that was used for it.
    if (result.data) authsignal.setToken((token = result.data.accessToken));
    notice(text("page.removed"));
    $("settings-title").focus();
    await settings();
  });
  return element;
}

/** A date without line breaks. */
const date = (iso) => new Intl.DateTimeFormat(lang, { dateStyle: "medium" }).format(new Date(iso)).replaceAll(" ", "\u00a0");

$("unlock-button").addEventListener("click", () => {
  notice("");
  afterChallenge = "settings";
  show("challenge");
});
$("add").addEventListener("click", () => {
  afterChallenge = "settings";
  enroll();
});
$("settings-done").addEventListener("click", () => {
  notice("");
  finish();
});

// Leaving the page.

for (const button of document.querySelectorAll("form .quit")) {
  button.addEventListener("click", () => (inSettings ? settings() : quit()));
}
$("failure-quit").addEventListener("click", quit);
$("retry").addEventListener("click", () => retry());
$("continue").addEventListener("click", finish);
// A page that is restored from the browser's cache is out of date.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// Start.

authsignal.setToken(token);
switch (data.start) {
  case "enroll":
    enroll();
    break;
  case "settings":
    settings();
    break;
  case "done":
    $("done-text").textContent = text("page.already");
    $("continue").hidden = !canQuit;
    show("done");
    break;
  case "failure":
    fail(data.reason);
    if (data.code) sendEvent("AUTHSIGNAL_API_ERROR", { errorCode: data.code, statusCode: Number(data.status) });
    break;
  default:
    show("challenge");
    // Load the module while the user enters the code. If that fails, the first
    // call tries again and reports it.
    authsignal.preload().catch(() => {});
}
reportHeight($("widget"));
// The height has been sent, and a section is shown.
sendEvent("AUTHSIGNAL_READY");
