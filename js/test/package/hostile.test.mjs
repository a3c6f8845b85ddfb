// Hostile or broken pages: properties on Object.prototype, replaced builtins, a
// replaced fetch and odd options cause no trap and change no result. The checks run on the built module in Node and in every engine's pages
// and workers, each with a stand-in for fetch.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dist, serve } from "../lib/harness.mjs";
import { everywhere, workerScript } from "../lib/places.mjs";

let site;
before(async () => {
  site = await serve({ "/": "<!doctype html><title>An application's page</title>", "/worker.js": workerScript, "/dist/": dist, "/never.wasm": () => {} });
});
after(() => site?.close());

/** The scope of a check: an instance of a loaded module, and calls whose answers it sets. */
const prepare = async ({ Authsignal, qr }) => {
  const own = { fetch: globalThis.fetch };
  const answer = (body, status = 200) => ({ status, headers: { get: () => null }, text: async () => (typeof body === "string" ? body : JSON.stringify(body)) });
  const sdk = (options) => {
    const authsignal = new Authsignal({ tenantId: "t", baseUrl: "https://api.test/v1", ...options });
    authsignal.setToken("token");
    return authsignal;
  };
  const authsignal = sdk();
  await authsignal.preload();
  const enrollment = { userAuthenticatorId: "id", uri: "otpauth://totp/A:u?secret=JBSWY3DPEHPK3PXP&issuer=A", secret: "JBSWY3DPEHPK3PXP" };
  const calls = [
    [answer(enrollment), () => authsignal.totp.enroll()],
    [answer({ isVerified: true, accessToken: "new", later: 1 }), () => authsignal.totp.verify({ code: "123456" })],
    [answer({ isVerified: false }), () => authsignal.totp.verify({ code: "123456", timeout: 5_000 })],
    [answer({ error: "expired", errorCode: "expired_token", retryAfter: 7 }, 429), () => authsignal.totp.enroll()],
    [answer("no JSON"), () => authsignal.totp.enroll()],
    [undefined, () => authsignal.totp.enroll()],
    [undefined, () => qr.matrix("text")],
    [undefined, () => qr.toSVG("text")],
  ];
  /** Makes the calls one after the other, and returns their results. */
  const run = async () => {
    const results = { __proto__: null };
    for (let i = 0; i < calls.length; i++) {
      const [response, call] = calls[i];
      globalThis.fetch = async () => response ?? reject();
      try {
        results[i] = await call();
      } catch (error) {
        results[i] = error;
      }
    }
    globalThis.fetch = own.fetch;
    return results;
  };
  const reject = () => {
    throw new TypeError("no network");
  };
  const show = (results) => JSON.stringify(results, (_, value) => (value instanceof Error ? String(value) : value));
  return { authsignal, sdk, answer, run, show };
};

/** Returns a check whose source text includes prepare. */
const check = (body) => new Function("sdk", "site", `return (${body})(sdk, ${prepare}, site)`);

everywhere({ site: () => site }, (run) => {
  test("properties of Object.prototype change no result", async () => {
    const got = await run(
      check(async (sdk, prepare) => {
        const { run, show } = await prepare(sdk);
        const want = show(await run());
        const { defineProperty } = Object;
        const names =
          "get set value writable enumerable over status data error errorCode errorDescription config timer controller resolve reject verifies " +
          "issuer account digits period algorithm token accessToken retryAfter isVerified headers body qrCode secret uri tenantId baseUrl end size bits";
        const wrong = [];
        for (const name of names.split(" ")) {
          const thrower = () => {
            throw new Error(`Object.prototype.${name} was used`);
          };
          for (const [kind, descriptor] of Object.entries({
            value: { value: "polluted", writable: true },
            constant: { value: "polluted", writable: false },
            getter: { get: thrower, set: thrower },
          })) {
            defineProperty(Object.prototype, name, { __proto__: null, configurable: true, ...descriptor });
            let results;
            try {
              results = await run();
            } finally {
              delete Object.prototype[name];
            }
            const got = show(results);
            if (got !== want) wrong.push(`${name}, ${kind}: ${got}`);
          }
        }
        return { wrong, want };
      }),
    );
    assert.deepEqual(got.wrong, []);
    assert.match(got.want, /"issuer":"A".*"isVerified":true.*"token":"new".*expired_token.*invalid_response.*network_error.*"size":21.*<svg/);
  });

  test("builtins that throw or are gone after the module has started change no result", async () => {
    const got = await run(
      check(async (sdk, prepare) => {
        const { run, show } = await prepare(sdk);
        const want = show(await run());
        const { defineProperty, getOwnPropertyDescriptor } = Object;
        const thrower = () => {
          throw new Error("a builtin was used");
        };
        const places = [
          [Reflect, "get set apply construct deleteProperty defineProperty ownKeys"],
          [globalThis, "Boolean Map Number String Uint8Array console"],
          [JSON, "parse"],
          [Promise, "resolve"],
          [Object.prototype, "hasOwnProperty"],
          [String.prototype, "toUpperCase"],
          [EventTarget.prototype, "removeEventListener"],
        ];
        const wrong = [];
        for (const [object, names] of places) {
          for (const name of names.split(" ")) {
            const own = getOwnPropertyDescriptor(object, name);
            const fetch = getOwnPropertyDescriptor(globalThis, "fetch");
            let results;
            defineProperty(object, name, { __proto__: null, configurable: true, writable: true, value: thrower });
            try {
              results = await run();
            } finally {
              defineProperty(object, name, own);
              defineProperty(globalThis, "fetch", fetch);
            }
            const got = show(results);
            if (got !== want) wrong.push(`${name}: ${got}`);
          }
        }
        return wrong;
      }),
    );
    assert.deepEqual(got, []);
  });

  test("a URL class whose parts throw or are missing costs the description, not the enrollment", async () => {
    const got = await run(
      check(async (sdk, prepare) => {
        const { run } = await prepare(sdk);
        const results = [];
        for (const name of ["protocol", "pathname", "searchParams"]) {
          for (const get of [() => undefined, () => ({}), () => Object.create(null)[name].x]) {
            const own = Object.getOwnPropertyDescriptor(URL.prototype, name);
            Object.defineProperty(URL.prototype, name, { get, configurable: true });
            const { data } = (await run())[0];
            Object.defineProperty(URL.prototype, name, own);
            results.push([data?.secret, data?.qrCode?.slice(0, 14)].join());
          }
        }
        return results;
      }),
    );
    assert.deepEqual(got, Array(9).fill("JBSWY3DPEHPK3PXP,data:image/svg"));
  });

  test("signals that lie", async () => {
    const got = await run(
      check(async (sdk, prepare, site) => {
        const { authsignal, sdk: make, answer } = await prepare(sdk);
        const own = globalThis.fetch;
        const waiting = make({ wasmUrl: site + "/never.wasm" }).totp;
        const whileLoading = waiting.enroll({ signal: { aborted: false, addEventListener: (_, listener) => setTimeout(listener), removeEventListener: () => own.none.none } });
        let sent = 0;
        globalThis.fetch = async () => (sent++, answer({ isVerified: true }));
        const thrown = new Error("thrown");
        const signal = (members) => ({ aborted: false, addEventListener() {}, removeEventListener() {}, ...members });
        const call = (signal) =>
          authsignal.totp.verify({ code: "123456", signal }).then(
            (r) => r.errorCode ?? r.data.isVerified,
            (e) => e === thrown,
          );
        const throws = () => {
          throw thrown;
        };
        let listener;
        const results = {
          add: await call(signal({ addEventListener: throws })),
          remove: await call(signal({ removeEventListener: throws })),
          atOnce: await call(signal({ addEventListener: (_, listener) => listener() })),
          atOnceAndThrows: await call(signal({ addEventListener: (_, listener) => throws(listener()) })),
          aborted: await call({
            __proto__: signal(),
            get aborted() {
              throw thrown;
            },
          }),
          late: await call(signal({ addEventListener: (_, given) => (listener = given) })),
          afterwards: [listener(), listener({ type: "abort" })].length,
        };
        globalThis.fetch = own;
        return { ...results, sent, whileLoading: (await whileLoading).errorCode };
      }),
    );
    assert.deepEqual(got, { add: true, remove: true, atOnce: "aborted", atOnceAndThrows: "aborted", aborted: true, late: true, afterwards: 2, sent: 2, whileLoading: "aborted" });
  });

  test("answers that no server sends", async () => {
    const got = await run(
      check(async (sdk, prepare) => {
        const { authsignal, answer } = await prepare(sdk);
        const own = globalThis.fetch;
        const good = answer({ isVerified: true });
        const revoked = (target) => {
          const { proxy, revoke } = Proxy.revocable(target, {});
          revoke();
          return proxy;
        };
        const twice = Promise.resolve(good);
        let reads = 0;
        Object.defineProperty(twice, "constructor", {
          get() {
            if (reads++) throw new Error("read again");
            return Promise;
          },
        });
        const text = (text) => ({ ...good, text });
        const fetches = {
          ...Object.fromEntries([NaN, 0, -200, 199.5, 300, 1e300, Infinity].map((status) => [status, async () => ({ ...good, status })])),
          revoked: async () => revoked({}),
          revokedPromise: () => revoked(Promise.resolve()),
          revokedHeaders: async () => ({ ...good, headers: revoked({}) }),
          revokedText: async () => text(revoked(() => {})),
          thenableTwice: () => ({ then: (f, r) => (f(good), f(answer({ error: "second" })), r(1)) }),
          constructorTwice: () => twice,
          textTwice: async () => text(() => ({ then: (f) => (f('{"isVerified":true}'), f('{"error":"second"}')) })),
          textThrows: async () => text(() => ({ then: () => good.none.none })),
          bigint: async () => text(async () => 7n),
          surrogate: async () => answer('{"error":"\\ud800","errorCode":"\ud800\\u0000","accessToken":"\\ud800"}'),
          proto: async () => answer('{"isVerified":true,"__proto__":{"error":"x"},"constructor":7}'),
          retryAfter: async () => answer({ error: "x", errorCode: "too_many_requests", retryAfter: 1e300 }),
          retryAfterNaN: async () => ({ ...answer("", 429), headers: { get: (name) => (name === "retry-after" ? "soon" : null) } }),
          retryAfterHuge: async () => ({ ...answer("", 429), headers: { get: () => "1e400" } }),
          megabyte: async () => answer({ error: "a".repeat(900_000) }),
        };
        const results = {};
        for (const name in fetches) {
          globalThis.fetch = fetches[name];
          const { data, errorCode, retryAfter } = await authsignal.totp.verify({ code: "123456", timeout: 5_000 }).catch((error) => ({ errorCode: String(error) }));
          results[name] = [data?.isVerified, errorCode, retryAfter].filter((v) => v !== undefined).join();
        }
        Object.defineProperty(globalThis, "fetch", { get: () => globalThis.none.none, configurable: true });
        results.getter = (await authsignal.totp.verify({ code: "123456" }).catch(() => ({ errorCode: "rejected" }))).errorCode;
        Object.defineProperty(globalThis, "fetch", { value: own, writable: true, configurable: true });
        results.getter = results.getter === "network_error" || results.getter === "rejected";
        return results;
      }),
    );
    assert.deepEqual(got, {
      ...Object.fromEntries(["NaN", "0", "-200", "199.5", "300", "1e+300", "Infinity"].map((status) => [status, "invalid_response"])),
      revoked: "network_error",
      revokedPromise: "network_error",
      revokedHeaders: "true",
      revokedText: "network_error",
      thenableTwice: "true",
      constructorTwice: "true",
      textTwice: "true",
      textThrows: "network_error",
      bigint: "invalid_response",
      surrogate: "\ud800\0",
      proto: "true",
      retryAfter: "too_many_requests",
      retryAfterNaN: "too_many_requests",
      retryAfterHuge: "too_many_requests",
      megabyte: "",
      getter: true,
    });
  });

  test("onTokenExpired may dispose the instance, call it again or throw, and console may be gone", async () => {
    const got = await run(
      check(async (sdk, prepare) => {
        const { sdk: make, answer } = await prepare(sdk);
        const own = { fetch: globalThis.fetch, console: globalThis.console };
        globalThis.fetch = async () => answer({ error: "expired", errorCode: "expired_token" }, 401);
        const disposed = make({ onTokenExpired: () => disposed.dispose() });
        let again;
        const calls = make({ onTokenExpired: () => (again ??= calls.totp.verify({ code: "123456" })) });
        const throws = make({
          onTokenExpired() {
            throw Symbol("thrown");
          },
        });
        const results = [
          (await disposed.totp.verify({ code: "123456" })).errorCode,
          await disposed.totp.enroll().catch(String),
          (calls.setToken("token"), (await calls.totp.enroll()).errorCode),
          (await again).errorCode,
          await throws.totp.enroll().catch(String),
        ];
        const logs = make({ enableLogging: true });
        Object.defineProperty(globalThis, "console", { get: () => globalThis.none.none, configurable: true });
        const result = await logs.totp.enroll();
        Object.defineProperty(globalThis, "console", { value: own.console, writable: true, configurable: true });
        globalThis.fetch = own.fetch;
        return [...results, result.errorCode];
      }),
    );
    assert.deepEqual(got, ["expired_token", "Error: this Authsignal instance has been disposed of: make a new one", "expired_token", "expired_token", "Symbol(thrown)", "expired_token"]);
  });
});
