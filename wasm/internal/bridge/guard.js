// The JavaScript half of package bridge. An exception that reaches Go is a
// panic, which ends the instance of a module that TinyGo compiled: functions
// that may throw are called from here. And a Go function that JavaScript calls
// cannot throw: its errors are thrown from here.
//
// The loader passes a guard to the Go program as the global `authsignal`, which
// the program replaces by its exports.
//
// Globals that the page may replace later are read once, before it can, for the
// compiler's loader too. Nothing here iterates or spreads, which calls
// Array.prototype[Symbol.iterator], and no property is set or described in a way
// that Object.prototype can change.

export const { Map, String, Uint8Array } = globalThis;
const { Error, Promise } = globalThis;
const { apply, construct, defineProperty, deleteProperty, get, ownKeys, set } = globalThis.Reflect;
export const Reflect = { apply, construct, deleteProperty, get, set };
const { then } = Promise.prototype;
const { bind } = Function.prototype;
const { hasOwnProperty } = Object.prototype;

/** Defines a property, without calling setters that the object inherits. */
function define(object, key, value, enumerable = true) {
  defineProperty(object, key, { __proto__: null, value, enumerable, writable: true, configurable: true });
}

/** The numbers of the results of typeof; null is 1. */
const kinds = { __proto__: null, undefined: 0, boolean: 2, number: 3, string: 4, object: 5, function: 6 };

/** Makes the store of the tokens, one for each tenant and API. */
export function makeTokens() {
  const tokens = new Map();
  const key = (tenantId, url) => tenantId + "\n" + url;
  return {
    /** Returns the token, "" if there is none. */
    get: (tenantId, url) => tokens.get(key(tenantId, url)) ?? "",
    /** Stores a token without the white space around it; an empty one deletes it. */
    set(tenantId, url, token) {
      token = (token ?? "").trim();
      if (token) tokens.set(key(tenantId, url), token);
      else tokens.delete(key(tenantId, url));
    },
  };
}

/** Makes a guard for one Go program, which shares the tokens with the page. */
export function makeGuard(tokens) {
  /** The value that stands for an exception, in both directions; `reason` is what was thrown. */
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
  const throwing = (f) => (a, b) => {
    const value = f(a, b);
    if (ended) throw ended;
    if (value === failed) throw reason;
    return value;
  };
  /** The reject functions of the pending promises, by number. */
  const pending = { __proto__: null };
  let promises = 0;
  /** The error of all calls, once the program has ended. */
  let ended;

  return {
    tokens,
    readOptions,
    texts,
    failed,
    fail,
    /** Returns what was thrown last. */
    reason: () => reason,
    /** Calls f with self as its this; returns failed if it throws. */
    call,
    /** Returns the number of a value's type; see the constants in bridge_js.go. */
    type: (value) => (value === null ? 1 : (kinds[typeof value] ?? -1)),
    /** Makes an object of keys, with commas between them, and their values. */
    object(keys, ...values) {
      const object = {};
      let key = "";
      let n = 0;
      for (let i = 0; keys && i <= keys.length; i++) {
        if (i < keys.length && keys[i] !== ",") key += keys[i];
        else {
          define(object, key, values[n++]);
          key = "";
        }
      }
      return object;
    },
    /** Returns an own property of an object, undefined if it has none of that name. */
    own: (object, key) => (apply(hasOwnProperty, object, [key]) ? object[key] : undefined),
    define,
    /** Returns f bound to its this and its first arguments. */
    bind: (f, ...given) => apply(bind, f, given),
    /** Makes an array of n bytes, of the loader's own class. */
    bytes: (n) => new Uint8Array(n),
    /** Makes an object of a class whose constructor takes one argument. */
    construct: (made, arg) => new made(arg),
    /** Makes a function of at most two arguments that throws where f fails. */
    throwing,
    /** Makes a function of at most four arguments that returns a promise, which f settles: f(resolve, reject, ...). */
    promising: (f) => (a, b, c, d) =>
      new Promise((resolve, reject) => {
        const id = ++promises;
        const settled = (settle) => (value) => {
          delete pending[id];
          settle(value);
        };
        pending[id] = reject;
        f(settled(resolve), settled(reject), a, b, c, d);
        if (ended) reject(ended);
      }),
    /** Calls fulfilled or rejected with the result of a promise, or fulfilled with a value that is not one. */
    then(value, fulfilled, rejected) {
      // A promise of this class: the page's may misbehave.
      const settled = new Promise((resolve) => resolve(value));
      if (call(then, settled, fulfilled, rejected) === failed) rejected(reason);
    },
    /** Makes a class whose instances have the members that construct(options) returns. */
    class(name, construct) {
      const members = throwing(construct);
      const made = {
        [name]: class {
          constructor(options) {
            const own = members(options);
            const keys = ownKeys(own);
            // Defined, not set: a subclass may have setters.
            for (let i = 0; i < keys.length; i++) define(this, keys[i], own[keys[i]]);
          }
        },
      }[name];
      refuseAbsent(made.prototype);
      return made;
    },
    /** Rejects the promises of a program that has ended, and refuses all later calls. */
    end(cause) {
      ended = new Error("the module has crashed: start it anew");
      define(ended, "cause", cause, false);
      for (const id in pending) {
        pending[id](ended);
        delete pending[id];
      }
    },
  };
}

/** The texts of errors of misuse, for the module and for the wrapper, which checks before the module is loaded. */
export const texts = {
  disposed: "this Authsignal instance has been disposed of: make a new one",
  recoveryCodes: "this call takes an object: confirm({ code }) or confirm({ saved: true }), verify({ code })",
  enroll: "enroll takes an object: enroll({ signal, timeout })",
  token: "token must be a string",
  verify: "verify takes an object: verify({ code })",
};

/** Reads and checks the options of the class Authsignal. */
export function readOptions(options) {
  const { tenantId, baseUrl, onTokenExpired, enableLogging } = options ?? {};
  if ((tenantId ?? "") === "") throw new Error("tenantId is required");
  if (typeof tenantId !== "string") throw new TypeError("tenantId must be a string");
  if (typeof (baseUrl ?? "") !== "string" || baseUrl?.trim() === "") throw new TypeError("baseUrl must be a URL such as https://api.authsignal.com/v1");
  if (typeof (onTokenExpired ?? readOptions) !== "function") throw new TypeError("onTokenExpired must be a function");
  return { tenantId, baseUrl: apiURL(baseUrl), onTokenExpired, enableLogging: Boolean(enableLogging) };
}

/**
 * Returns one spelling for each API, so that its instances share its token:
 * absolute, and without a slash at its end. The default is the hosted service.
 */
export function apiURL(baseUrl) {
  let url = (baseUrl ?? "https://api.authsignal.com/v1").trim();
  try {
    url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    // fetch reports what is wrong with it.
  }
  return url.replace(/\/+$/, "");
}

/** Adds to a class properties that throw, for the members that only the official package has. */
export function refuseAbsent(prototype) {
  for (const name of ["email", "emailML", "initAdvancedProfiling", "passkey", "push", "qrCode", "securityKey", "sms", "whatsapp"]) {
    defineProperty(prototype, name, {
      __proto__: null,
      get() {
        throw new Error(`${name} is not part of this SDK, which has authenticator apps (totp) only: use @authsignal/browser for it`);
      },
      configurable: true,
    });
  }
}
