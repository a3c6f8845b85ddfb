// The JavaScript half of package bridge. A throw that reaches Go is a panic,
// and in a module that TinyGo compiled a panic ends the instance: what may
// throw is called from here. And a Go function that JavaScript calls cannot
// throw: what it says is thrown from here.
//
// The loader gives a guard to the Go program as the global `authsignal`, which
// the program replaces by what it publishes. What the page may replace later
// is fetched once, before it can.

const { Promise, Reflect, Set } = globalThis;
const { apply, defineProperty, ownKeys } = Reflect;
const { resolve } = Promise;
const { then } = Promise.prototype;

/** What typeof says; null has the number 1. */
const types = ["undefined", , "boolean", "number", "string", "object", "function"];
const { split } = String.prototype;
const { hasOwnProperty } = Object.prototype;
/** Describes a property that was set. */
const data = (value) => ({ value, enumerable: true, writable: true, configurable: true });

/** Makes the keeper of the tokens, one for each tenant and API. */
export function makeTokens() {
  const tokens = new Map();
  const key = (tenantId, url) => tenantId + "\n" + url;
  return {
    /** Gives the token, "" if there is none. */
    get: (tenantId, url) => tokens.get(key(tenantId, url)) ?? "",
    /** Keeps a token, without white space around it; an empty one is forgotten. */
    set(tenantId, url, token) {
      token = (token ?? "").trim();
      if (token) tokens.set(key(tenantId, url), token);
      else tokens.delete(key(tenantId, url));
    },
  };
}

/** Makes a guard for one Go program, which shares the tokens with the page. */
export function makeGuard(tokens) {
  /** Stands for "it threw", in both directions; `reason` is what. */
  const failed = {};
  let reason;
  const fail = (cause) => ((reason = cause), failed);
  const call = (f, self, ...args) => {
    try {
      return apply(f, self, args);
    } catch (cause) {
      return fail(cause);
    }
  };
  const throwing =
    (f) =>
    (...args) => {
      const value = f(...args);
      if (ended) throw ended;
      if (value === failed) throw reason;
      return value;
    };
  /** The rejections of the promises that are not settled. */
  const pending = new Set();
  /** What the program has ended with. */
  let ended;

  return {
    tokens,
    apiURL,
    failed,
    fail,
    /** What was thrown last. */
    reason: () => reason,
    /** Calls f with self as its this. */
    call,
    /** Numbers the type of a value; see the constants in bridge_js.go. */
    type: (value) => (value === null ? 1 : types.indexOf(typeof value)),
    /** Makes an object of keys, with commas between them, and their values. */
    object(keys, ...values) {
      const made = {};
      if (keys) apply(split, keys, [","]).forEach((key, i) => defineProperty(made, key, data(values[i])));
      return made;
    },
    /** Gives a property of an object's own, undefined if it has none of that name. */
    own: (object, key) => (apply(hasOwnProperty, object, [key]) ? object[key] : undefined),
    /** Gives f its first arguments. */
    bind:
      (f, ...first) =>
      (...args) =>
        f(...first, ...args),
    /** Makes a function that throws where f fails. */
    throwing,
    /** Makes a function that returns a promise, which f settles: f(resolve, reject, ...). */
    promising:
      (f) =>
      (...args) =>
        new Promise((resolve, reject) => {
          const settled = (settle) => (value) => {
            pending.delete(reject);
            settle(value);
          };
          pending.add(reject);
          f(settled(resolve), settled(reject), ...args);
          if (ended) reject(ended);
        }),
    /** Hands on what a promise settles to, or the value itself if it is none. */
    then(value, fulfilled, rejected) {
      const settled = call(resolve, Promise, value);
      if (settled === failed) rejected(reason);
      else apply(then, settled, [fulfilled, rejected]);
    },
    /** Makes a class whose instances have what construct(options) returns. */
    class(name, construct) {
      const members = throwing(construct);
      const made = {
        [name]: class {
          constructor(options) {
            const own = members(options);
            // Defined, not set: a subclass may have setters.
            for (const key of ownKeys(own)) defineProperty(this, key, data(own[key]));
          }
        },
      }[name];
      refuseAbsent(made.prototype);
      return made;
    },
    /** Rejects the promises of a program that has ended, and refuses all later calls. */
    end(cause) {
      ended = cause ?? new Error("the module has ended");
      for (const reject of pending) reject(ended);
      pending.clear();
    },
  };
}

/**
 * Gives one spelling for each API, so that all who use it share its token:
 * absolute, and without a slash at its end. The hosted service is the default.
 */
export function apiURL(baseUrl) {
  let url = String(baseUrl ?? "https://api.authsignal.com/v1").trim();
  try {
    url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    // fetch says what is wrong with it.
  }
  return url.replace(/\/+$/, "");
}

/** Has a class refuse, by name, what the official package has and this one has not. */
export function refuseAbsent(prototype) {
  for (const name of ["email", "emailML", "initAdvancedProfiling", "passkey", "push", "qrCode", "securityKey", "sms", "whatsapp"]) {
    defineProperty(prototype, name, {
      get() {
        throw new Error(`${name} is not part of this SDK, which has authenticator apps (totp) only: use @authsignal/browser for it`);
      },
      configurable: true,
    });
  }
}
