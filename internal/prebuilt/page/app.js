// The pre-built UI's page. The server has said in attributes what to show
// first; from then on all goes through the client API of this origin, with the
// token that token.js took out of the address. Nothing here decides: whoever
// owns the browser can change all of it.

import { Authsignal } from "./sdk/index.js";

const { dataset: data, lang } = document.documentElement;
const texts = JSON.parse(document.getElementById("texts").textContent);
const $ = (id) => document.getElementById(id);
const yes = (name) => data[name] === "true";

const baseUrl = new URL("v1", location.href).href;
const authsignal = new Authsignal({ tenantId: data.tenant || "none", baseUrl, wasmUrl: data.module });

/** The token in force: the url's, then that of the last code that was right. */
let token = startToken;
let mayAdd = yes("mayAdd");
let mayRemove = yes("mayRemove");
let enrolled = yes("enrolled");
/** The failure of a user who has as many authenticators as the tenant allows. */
const tooMany = data.most === "1" ? "single" : "full";
/** What follows a code that was right: finish, enroll or settings. */
let then = data.then;
/** Whether the settings have been reached: what is given up then leads back to them. */
let inSettings = false;
/** What is done again after a failure. */
let retry;

function text(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

// The page that opened this one.

/** Who is told what happens here; nobody outside the popup mode. */
const opened = data.mode !== "popup" ? null : parent !== window ? parent : opener;
const origins = data.origins.split(" ").filter(Boolean);
const allowed = (origin) => origins.includes(origin) || (yes("loopback") && isLoopback(origin));

function isLoopback(origin) {
  if (!/^https?:/.test(origin)) return false;
  const { hostname } = new URL(origin);
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

/**
 * The origins to send messages to, all of them allowed. A browser delivers
 * only where the receiver's origin is the one named. Where it tells who opened
 * this page, that one is enough.
 */
function receivers() {
  const hints = [location.ancestorOrigins?.[0]];
  if (document.referrer) hints.push(new URL(document.referrer).origin);
  const known = hints.filter((origin) => origin && allowed(origin));
  return known.length ? [known[0]] : origins;
}

function post(message) {
  if (opened) for (const origin of receivers()) opened.postMessage(message, origin);
}

// Events are JSON texts, and the height is an object: so the SDKs expect it.
const tell = (event, more) => post(JSON.stringify({ event, ...more }));

/**
 * Tells the frame how high its content is, now and whenever that changes. Now,
 * because browsers need not draw a frame that is not shown yet, and observe
 * nothing before they draw.
 */
function follow(element) {
  if (!opened || opened === opener) return;
  let last = 0;
  const measure = () => {
    const height = Math.ceil(element.getBoundingClientRect().height);
    if (height !== last) post({ height: (last = height) });
  };
  measure();
  new ResizeObserver(measure).observe(element);
}

// Ends.

const canQuit = Boolean(opened || data.return);
let leaving = false;

/**
 * Goes back with a token, whatever the outcome: the backend asks. Histories and
 * access logs keep addresses, so that the token has the scope to read and no
 * other. If the API does not take the present one any more, the one that the
 * page's own address had goes back.
 */
async function goBack() {
  if (leaving) return; // a second click
  leaving = true;
  const result = await call("POST", "token", { scope: "read:authenticators" });
  if (!result.data && !["expired_token", "unauthorized"].includes(result.errorCode)) {
    leaving = false;
    return fail(pauses[result.errorCode] ?? "internal", goBack);
  }
  const url = new URL(data.return);
  url.searchParams.set("token", result.data?.accessToken ?? startToken);
  location.replace(url);
}

function finish() {
  const said = opened ? "page.closing" : data.return ? "page.returning" : "page.finished";
  $("done-text").textContent = text(said);
  show("done");
  if (opened) tell("AUTHSIGNAL_CLOSE_POPUP", { token });
  else if (data.return) goBack();
}

/** The user gives up. A popup that is dismissed brings back no token. */
function quit() {
  if (opened) tell("AUTHSIGNAL_CLOSE_POPUP");
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

/** Shows a failure as a page of its own, with a way to try again if there is one. */
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
const ends = { expired_token: "expired", unauthorized: "invalid", invalid_configuration: "unavailable", not_found: "invalid" };
const pauses = { network_error: "network", timeout: "network", wasm_load_failed: "module", too_many_requests: "limit" };

/** Tells of an error of the API; says whether it was the end, which is then shown. */
function ended({ errorCode }) {
  tell("AUTHSIGNAL_API_ERROR", { errorCode, statusCode: statuses[errorCode] });
  const end = ends[errorCode];
  if (end) fail(end);
  return Boolean(end);
}

// Codes.

for (const step of ["enroll", "challenge"]) {
  const form = $(step + "-form");
  const field = form.elements.code;
  const complain = (message) => {
    $(step + "-error").textContent = message;
    field.setAttribute("aria-invalid", "true");
    field.focus();
    field.select();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // Not disabled: a disabled button would lose the focus.
    if (form.getAttribute("aria-busy") === "true") return;
    $(step + "-error").textContent = "";
    field.removeAttribute("aria-invalid");
    // Full-width digits are digits, and what people put between them is not.
    const code = field.value.normalize("NFKC").replace(/\D/g, "");
    if (code.length < 6 || code.length > 8) return complain(text("error.form"));
    form.setAttribute("aria-busy", "true");
    const result = await authsignal.totp.verify({ code });
    form.setAttribute("aria-busy", "false");
    if (result.data?.isVerified) {
      // The new token has all rights.
      ({ token } = result.data);
      mayAdd = mayRemove = enrolled = true;
      return next(step);
    }
    if (result.data?.failureReason === "MAX_ATTEMPTS_EXCEEDED") {
      return fail("attempts", () => show(step));
    }
    if (result.data) return complain(text(step === "enroll" ? "error.wrongEnrollment" : "error.wrong"));
    if (ended(result)) return;
    switch (result.errorCode) {
      case "wasm_load_failed":
        return fail("module", () => show(step));
      case "network_error":
      case "timeout":
        return complain(text("error.network"));
      case "too_many_requests":
        return complain(text("error.limit"));
      case "invalid_request":
        return complain(text("error.declined"));
      case "sdk_crashed":
        return complain(text("error.stopped"));
    }
    complain(text("error.internal"));
  });
}

function next(step) {
  if (then === "enroll" && step === "challenge") {
    then = "finish";
    return enroll();
  }
  if (then === "settings") {
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
    if (!ended(result)) fail(pauses[result.errorCode] ?? (result.errorCode === "invalid_request" ? tooMany : "internal"), enroll);
    return;
  }
  const { uri, secret, qrCode, replaced } = result.data;
  // A URI can be too long for a QR code: then there is only the secret.
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
  let said = "page.copied";
  try {
    await navigator.clipboard.writeText($("secret").textContent.replaceAll(" ", ""));
  } catch {
    // Browsers refuse where the page is not on HTTPS, or by permission.
    getSelection().selectAllChildren($("secret"));
    said = "page.selected";
  }
  $("copied").textContent = "";
  $("copied").textContent = text(said);
});

// Settings.

/** Calls the client API with the token, where the SDKs have no method. */
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
    if (!ended(result)) fail(pauses[result.errorCode] ?? "internal", settings);
    return;
  }
  const items = result.data;
  enrolled = items.length > 0;
  $("settings-text").hidden = !enrolled;
  $("settings-empty").hidden = enrolled;
  const more = items.length < Number(data.most);
  $("add").hidden = !yes("active") || !more || (enrolled && !mayAdd);
  const app = items.some((item) => item.verificationMethod === "AUTHENTICATOR_APP");
  $("unlock").hidden = !app || !yes("mayVerify") || (mayRemove && (mayAdd || !more));
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
    // One that is gone already is as good as removed.
    if (!result.data && result.errorCode !== "not_found") {
      if (!ended(result)) $("settings-error").textContent = text("error.list");
      return;
    }
    // The removal has voided the token that it was done with.
    if (result.data) authsignal.setToken((token = result.data.accessToken));
    notice(text("page.removed"));
    $("settings-title").focus();
    await settings();
  });
  return element;
}

/** A day, which no line breaks. */
const date = (iso) => new Intl.DateTimeFormat(lang, { dateStyle: "medium" }).format(new Date(iso)).replaceAll(" ", "\u00a0");

$("unlock-button").addEventListener("click", () => {
  notice("");
  then = "settings";
  show("challenge");
});
$("add").addEventListener("click", () => {
  then = "settings";
  enroll();
});
$("settings-done").addEventListener("click", () => {
  notice("");
  finish();
});

// Ways out.

for (const button of document.querySelectorAll("form .quit")) {
  button.addEventListener("click", () => (inSettings ? settings() : quit()));
}
$("failure-quit").addEventListener("click", quit);
$("retry").addEventListener("click", () => retry());
$("continue").addEventListener("click", finish);
// A page that comes back out of the browser's cache has had its day.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// The beginning.

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
    if (data.code) tell("AUTHSIGNAL_API_ERROR", { errorCode: data.code, statusCode: Number(data.status) });
    break;
  default:
    show("challenge");
    // Load the module while the user still types. If it fails, the first call
    // tries again and tells.
    authsignal.preload().catch(() => {});
}
follow($("widget"));
// The height is told, and the page has something to show.
tell("AUTHSIGNAL_READY");
