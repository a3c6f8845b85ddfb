// Traps of the built module, on purpose: its memory is overwritten before a call
// into it. All calls settle, and the next one works. Each check runs
// in Node and in every engine's pages and workers, with a stand-in for fetch.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dist, serve } from "../lib/harness.mjs";
import { everywhere, workerScript } from "../lib/places.mjs";

let site;
before(async () => {
  site = await serve({ "/": "<!doctype html><title>An application's page</title>", "/worker.js": workerScript, "/dist/": dist });
});
after(() => site?.close());

/**
 * The scope of a check: `trap` has the newest instance trap at the next call into
 * it; `requests` are those that wait for an answer.
 */
const prepare = () => {
  const { fetch } = globalThis;
  const { instantiate } = WebAssembly;
  let memory;
  const trap = () => new Uint8Array(memory.buffer).fill(0xff);
  const at = { trap, requests: [], whenMade: () => {} };
  const memoryOf = ({ exports }) => exports.mem ?? exports.memory; // Go's name, and TinyGo's
  WebAssembly.instantiate = async (...args) => {
    const made = await instantiate.apply(WebAssembly, args);
    memory = memoryOf(made.instance ?? made);
    at.whenMade();
    return made;
  };
  globalThis.fetch = (url, init) =>
    /\.wasm$/.test(url)
      ? fetch(url, init)
      : new Promise((resolve, reject) => {
          const answer = (body = { isVerified: true }, status = 200) => ({ status, headers: { get: () => null }, text: async () => JSON.stringify(body) });
          at.requests.push({ resolve, reject, answer });
        });
  at.restore = () => {
    globalThis.fetch = fetch;
    WebAssembly.instantiate = instantiate;
  };
  /** Returns a call's result, or the error that it rejects with; a call that hangs is named. */
  at.outcome = (promise) =>
    Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 9_000, "it hangs").unref?.())]).then(
      (result) => result?.errorCode ?? result,
      (error) => error.errorCode ?? `${error}; ${error.cause?.constructor.name}`,
    );
  return at;
};

/** Returns a check whose source text includes prepare. */
const check = (body) => new Function("sdk", "site", "...args", `return (${body})((${prepare})(), sdk, site, ...args)`);

/** The calls into the module, by name. */
const events = {
  "a call": ({ authsignal }) => authsignal.totp.verify({ code: "123456" }),
  "qr.toSVG": ({ qr }) => qr.toSVG("text"),
  "an answer": ({ request, call }) => (request.resolve(request.answer()), call),
  "an answer's text": ({ request, call, trap }) => {
    request.resolve({ ...request.answer(), text: async () => (trap(), "{}") });
    return call;
  },
  "a failed request": ({ request, call }) => (request.reject(new TypeError("failed")), call),
  "a time-out": ({ late }) => late(),
  "an abort": ({ controller, call }) => (controller.abort(), call),
  dispose: ({ other, call }) => (other.dispose(), call),
  onTokenExpired: ({ request, call }) => (request.resolve(request.answer({ error: "x", errorCode: "expired_token" }, 401)), call),
};
/** The calls that cause the trap themselves, when the module calls them. */
const itself = ["an answer's text", "onTokenExpired"];

everywhere({ site: () => site }, (run) => {
  for (const [name, event] of Object.entries(events)) {
    test(`a trap at ${name}, with three calls under way`, async () => {
      const got = await run(
        check(async (at, { Authsignal, qr }, _, event, atOnce) => {
          const { setTimeout } = globalThis;
          const timers = [];
          globalThis.setTimeout = (f, ms, ...args) => (ms > 12_000 && ms <= 12_345 ? timers.push(f) : setTimeout(f, ms, ...args));
          try {
            let onTokenExpired = () => {};
            const [authsignal, other] = ["a", "b"].map((tenantId) => {
              const authsignal = new Authsignal({ tenantId, baseUrl: "https://api.test/v1", onTokenExpired: () => onTokenExpired() });
              authsignal.setToken("token");
              return authsignal;
            });
            await authsignal.preload();
            const controller = new AbortController();
            const call = authsignal.totp.verify({ code: "123456", signal: controller.signal, timeout: 12_345 });
            const pending = [call, authsignal.totp.enroll(), other.totp.verify({ code: "123456" })];
            while (at.requests.length < 3) await new Promise((resolve) => setTimeout(resolve));
            const late = () => (timers.at(-1)(), call);
            onTokenExpired = () => {
              at.trap();
              return authsignal.totp.verify({ code: "123456" }).catch(() => {});
            };
            if (atOnce) at.trap();
            const entered = new Function(`return ${event}`)()({ authsignal, other, qr, controller, call, late, request: at.requests[0], trap: at.trap });
            const settled = await Promise.all([entered, ...pending].map(at.outcome));
            const next = authsignal.totp.verify({ code: "123456" });
            while (at.requests.length < 4) await new Promise((resolve) => setTimeout(resolve));
            at.requests.at(-1).resolve(at.requests.at(-1).answer());
            return { settled, next: await at.outcome(next), svg: (await qr.toSVG("text")).slice(0, 4) };
          } finally {
            globalThis.setTimeout = setTimeout;
            at.restore();
          }
        }),
        String(event),
        !itself.includes(name),
      );
      assert.deepEqual(got.settled, Array(4).fill("sdk_crashed"));
      assert.deepEqual([got.next, got.svg], [{ data: { isVerified: true } }, "<svg"]);
    });
  }

  test("a trap as the module starts fails the calls that wait for it, and the next one works", async () => {
    const got = await run(
      check(async (at, { Authsignal, qr }) => {
        try {
          const authsignal = new Authsignal({ tenantId: "t", baseUrl: "https://api.test/v1" });
          authsignal.setToken("token");
          at.whenMade = () => at.trap();
          const three = [authsignal.totp.enroll(), authsignal.totp.verify({ code: "123456" }), qr.toSVG("text"), authsignal.preload()];
          const failed = await Promise.all(three.map(at.outcome));
          at.whenMade = () => {};
          const next = authsignal.totp.verify({ code: "123456" });
          while (at.requests.length < 1) await new Promise((resolve) => setTimeout(resolve));
          at.requests[0].resolve(at.requests[0].answer());
          return [...failed, await at.outcome(next)];
        } finally {
          at.restore();
        }
      }),
    );
    const failed = "wasm_load_failed";
    assert.deepEqual(got, [failed, failed, failed, failed, { data: { isVerified: true } }]);
  });

  test("without the wrapper, pending promises reject and later calls are refused", async () => {
    const got = await run(
      check(async (at, _, site, distURL) => {
        const own = Object.getOwnPropertyDescriptor(globalThis, "authsignal");
        try {
          await import((globalThis.process ? distURL : "/dist/") + "wasm_exec.js");
          const start = async () => {
            const go = new globalThis.Go();
            const { instance } = await WebAssembly.instantiate(await (await fetch(site + "/dist/authsignal.wasm")).arrayBuffer(), go.importObject);
            const running = go.run(instance);
            const { Authsignal, qr } = globalThis.authsignal ?? {};
            return { Authsignal, qr, running };
          };
          const { Authsignal, qr } = await start();
          const authsignal = new Authsignal({ tenantId: "t", baseUrl: "https://api.test/v1" });
          authsignal.setToken("token");
          const pending = [authsignal.totp.enroll(), authsignal.totp.verify({ code: "123456" })];
          at.trap();
          const { answer, resolve } = at.requests[0];
          resolve(answer());
          const thrown = (f) => {
            try {
              return f();
            } catch (error) {
              return at.outcome(Promise.reject(error));
            }
          };
          const settled = await Promise.all(pending.map(at.outcome));
          const afterCrash = await Promise.all([
            at.outcome(authsignal.totp.enroll()),
            at.outcome(qr.toSVG("text")),
            thrown(() => authsignal.setToken("")),
            thrown(() => authsignal.dispose()),
            thrown(() => new Authsignal({ tenantId: "t" })),
          ]);
          // One that traps as it starts.
          delete globalThis.authsignal;
          at.whenMade = () => at.trap();
          const failed = await start();
          const starting = await failed.running.then(
            () => "it runs",
            (error) => error.constructor.name,
          );
          at.whenMade = () => {};
          const anew = await start();
          return { settled, afterCrash, starting, published: failed.Authsignal === undefined, svg: (await anew.qr.toSVG("text")).slice(0, 4) };
        } finally {
          at.restore();
          delete globalThis.Go;
          delete globalThis.authsignal;
          if (own) Object.defineProperty(globalThis, "authsignal", own);
        }
      }),
      dist.href,
    );
    const crashed = /^Error: the module has crashed: start it anew; \w*Error$/;
    for (const text of [...got.settled, ...got.afterCrash]) assert.match(String(text), crashed);
    assert.deepEqual([got.settled.length, got.afterCrash.length, got.published, got.svg], [2, 5, true, "<svg"]);
    assert.match(got.starting, /Error$/);
  });
});
