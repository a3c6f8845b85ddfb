// The wrapper around the module: when it loads the module, a failed load, and the end
// of the program. A stand-in for the module (testdata/standin) has the behavior that
// the real one does not have. Each check runs unchanged in Node and in every engine's
// pages and workers, on a copy of the package without history.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { dist, record, serve, standin } from "../lib/harness.mjs";
import { everywhere, workerScript } from "../lib/places.mjs";

let site;
let failures;
let module;

before(async () => {
  module = await standin();
  const html = "<!doctype html><title>An application's page</title>";
  const bytes = await readFile(module);
  const send = (status, type, body) => (_, response) => response.writeHead(status, { "Content-Type": type }).end(body);
  site = await serve({
    "/": html,
    "/ids.html": html + '<p id="fs"></p><p id="process"></p><p id="path"></p><p id="Go"></p>',
    "/worker.js": workerScript,
    "/dist/": dist,
    "/standin.wasm": module,
    "/missing.wasm": send(404, "text/plain", "no"),
    "/page.wasm": send(200, "text/html", html),
    "/disguised.wasm": send(200, "application/wasm", html),
    "/text.wasm": send(200, "text/plain", "hello"),
    "/octets.wasm": send(200, "application/octet-stream", bytes),
    "/untyped.wasm": (_, response) => response.writeHead(200).end(bytes),
    "/other.wasm": send(200, "application/wasm", Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])),
    "/packed.wasm": send(200, "application/wasm", brotliCompressSync(bytes)),
    "/gzipped.wasm": send(200, "application/wasm", gzipSync(bytes)),
    "/pointer.wasm": send(200, "application/octet-stream", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
    "/cut.wasm": send(200, "application/wasm", bytes.subarray(0, 1000)),
    "/once.wasm": (request, response) => {
      const fails = failures-- > 0;
      send(fails ? 503 : 200, "application/wasm", fails ? "" : bytes)(request, response);
    },
    "/never.wasm": () => {},
    "/v1/client/user-authenticators/totp": send(
      200,
      "application/json",
      '{"userAuthenticatorId":"id","userId":"u","uri":"otpauth://totp/A:u?secret=JBSWY3DPEHPK3PXP&issuer=A","secret":"JBSWY3DPEHPK3PXP"}',
    ),
    "/forbidden.html": (_, response) => response.writeHead(200, { "Content-Type": "text/html", "Content-Security-Policy": "script-src 'self'" }).end(html),
    "/tag.html": html + '<script src="/dist/index.min.js"></script>',
  });
});
after(() => site?.close());

// The problems that the checks cause on purpose: missing files, and a violation of a
// policy, which Firefox also reports.
const tolerated = /^(response|failed|request): .*\/(none|missing|once)\.wasm$|^console: Content-Security-Policy: .* blocked WebAssembly/;

everywhere({ site: () => site, tolerated }, (run, { visit }) => {
  test("importing and constructing load nothing; in a page, the first token has the module fetched", async () => {
    site.requests.length = 0;
    const isPage = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/once.wasm" });
      authsignal.setToken("");
      await fetch(site + "/text.wasm");
      authsignal.setToken("token");
      return Boolean(globalThis.document);
    });
    while (isPage && !site.requests.includes("/once.wasm")) await new Promise((resolve) => setTimeout(resolve, 5));
    const paths = site.requests.filter((p) => /once|text/.test(p));
    assert.deepEqual(paths, ["/text.wasm", ...(isPage ? ["/once.wasm"] : [])]);
  });

  test("the version is that of package.json, and cannot be set", async () => {
    const got = await run(({ Authsignal }) => [Authsignal.version, Reflect.set(Authsignal, "version", "other"), Authsignal.version]);
    const { version } = JSON.parse(await readFile(new URL("../package.json", dist), "utf8"));
    assert.deepEqual(got, [version, false, version]);
  });

  test("a missing tenantId throws", async () => {
    const got = await run(({ Authsignal }) => {
      try {
        new Authsignal({ baseUrl: "http://localhost/v1" });
      } catch (error) {
        return String(error);
      }
    });
    assert.equal(got, "Error: tenantId is required");
  });

  test("concurrent first calls load one module", async () => {
    site.requests.length = 0;
    const got = await run(async ({ Authsignal, qr }, site) => {
      const wasmUrl = site + "/standin.wasm";
      const [a, b] = ["a", "b"].map((tenantId) => new Authsignal({ tenantId, wasmUrl }));
      a.setToken("a");
      b.setToken("b");
      const code = "123456";
      return Promise.all([a.preload(), a.totp.verify({ code }), b.totp.verify({ code }), qr.toSVG("text", { wasmUrl })]);
    });
    assert.deepEqual(got.slice(1), [{ data: { isVerified: true, token: "new-a" } }, { data: { isVerified: true, token: "new-b" } }, "text"]);
    assert.deepEqual(
      site.requests.filter((p) => p === "/standin.wasm"),
      ["/standin.wasm"],
    );
  });

  test("a call uses the token of the moment when it was made", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
      authsignal.setToken("first");
      const first = authsignal.totp.verify({ code: "1" });
      authsignal.setToken("second");
      const second = authsignal.totp.verify({ code: "2" });
      authsignal.setToken("");
      const third = authsignal.totp.verify({ code: "3" });
      return (await Promise.all([first, second, third])).map((r) => r.data.token);
    });
    assert.deepEqual(got, ["new-first", "new-second", "new-"]);
  });

  test("a verified code's new token replaces the one that was set", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
      authsignal.setToken("first");
      await authsignal.totp.verify({ code: "1" });
      return (await authsignal.totp.verify({ code: "2" })).data.token;
    });
    assert.equal(got, "new-new-first");
  });

  test("instances share a token if tenant and API are the same, and only then", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const make = (tenantId, baseUrl) => new Authsignal({ tenantId, baseUrl, wasmUrl: site + "/standin.wasm" });
      make("t", "http://api.test/v1").setToken("shared");
      const others = [make("t", "http://API.test/v1/"), make("t2", "http://api.test/v1"), make("t", "http://api.test/v2"), make("t")];
      return Promise.all(others.map(async (o) => (await o.totp.verify({ code: "1" })).data.token));
    });
    assert.deepEqual(got, ["new-shared", "new-", "new-", "new-"]);
  });

  for (const [name, file, cause] of [
    ["a missing file", "missing.wasm", /HTTP status 404/],
    ["an HTML page", "page.wasm", /an HTML page came instead of the module \(Content-Type text\/html\)/],
    ["an HTML page that says to be a module", "disguised.wasm", /an HTML page came instead of the module/],
    ["a text", "text.wasm", /not a WebAssembly module.*\(Content-Type text\/plain\)/],
    ["a compressed module without its header", "packed.wasm", /not a WebAssembly module.*Content-Encoding: br/],
    ["a gzipped module without its header", "gzipped.wasm", /Content-Encoding: gzip/],
    ["a Git LFS pointer", "pointer.wasm", /Git LFS pointer/],
    ["half a module", "cut.wasm", /./],
    ["another module", "other.wasm", /./],
  ]) {
    test(`${name} in place of the module is named with its URL`, async () => {
      const { result, preload, svg, url } = await run(async ({ Authsignal, qr, ModuleError }, site, file) => {
        const wasmUrl = `${site}/${file}`;
        const authsignal = new Authsignal({ tenantId: "t", wasmUrl });
        authsignal.setToken("token");
        const outcome = (promise) =>
          promise.then(
            () => "resolved",
            (e) => [e instanceof ModuleError, e.errorCode, e.message],
          );
        return {
          url: wasmUrl,
          result: await authsignal.totp.enroll(),
          preload: await outcome(authsignal.preload()),
          svg: await outcome(qr.toSVG("text", { wasmUrl })),
        };
      }, file);
      assert.equal(result.errorCode, "wasm_load_failed");
      assert.deepEqual(Object.keys(result), ["error", "errorCode", "errorDescription"]);
      assert.equal(result.error, result.errorDescription);
      assert.ok(result.error.includes(url), result.error);
      assert.match(result.error, cause);
      assert.deepEqual(preload, [true, "wasm_load_failed", result.error]);
      assert.deepEqual(svg, [true, "wasm_load_failed", result.error]);
    });
  }

  test("no server, no URL: still a result", async () => {
    const got = await run(async ({ Authsignal }) => {
      const results = [];
      for (const wasmUrl of ["http://127.0.0.1:1/none.wasm", "http://["]) {
        results.push((await new Authsignal({ tenantId: "t", wasmUrl }).totp.verify({ code: "1" })).errorCode);
      }
      return results;
    });
    assert.deepEqual(got, ["wasm_load_failed", "wasm_load_failed"]);
  });

  test("a failed load is tried again by the next call", async () => {
    failures = 1;
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/once.wasm" });
      authsignal.setToken("token");
      const first = await Promise.all([authsignal.totp.verify({ code: "1" }), authsignal.totp.verify({ code: "1" })]);
      return [...first.map((r) => r.errorCode), (await authsignal.totp.verify({ code: "1" })).data];
    });
    assert.deepEqual(got, ["wasm_load_failed", "wasm_load_failed", { isVerified: true, token: "new-token" }]);
  });

  for (const [name, file] of [
    ["wrong", "octets.wasm"],
    ["missing", "untyped.wasm"],
  ]) {
    test(`a ${name} MIME type does no harm`, async () => {
      const got = await run(({ qr }, site, file) => qr.toSVG("text", { wasmUrl: `${site}/${file}` }), file);
      assert.equal(got, "text");
    });
  }

  const endings =
    record.compiler === "go"
      ? [
          ["panic", "Error: exit code 2"],
          ["exit", "Error: exit code 0"],
        ]
      : [["panic", undefined]]; // a trap, whose text depends on the engine
  for (const [how, detail] of endings) {
    test(`a program that ends by ${how} settles all calls, and the next call starts it afresh`, async () => {
      site.requests.length = 0;
      const got = await run(async ({ Authsignal }, site, how) => {
        const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
        authsignal.setToken("token");
        const pending = [authsignal.totp.enroll(), authsignal.totp.verify({ code: "hang" })];
        const ending = await authsignal.totp.verify({ code: how });
        const next = await authsignal.totp.verify({ code: "1" });
        return { ended: [ending, ...(await Promise.all(pending))], next };
      }, how);
      for (const result of got.ended) {
        const text = detail ? `The module has crashed (${detail}). The next call starts it afresh.` : got.ended[0].error;
        assert.match(text, /^The module has crashed \(.+\)\. The next call starts it afresh\.$/);
        assert.deepEqual(result, { error: text, errorCode: "sdk_crashed", errorDescription: text });
      }
      assert.deepEqual(got.next, { data: { isVerified: true, token: "new-token" } });
      // The compiled module is kept.
      assert.equal(site.requests.filter((p) => p === "/standin.wasm").length, 1);
    });
  }

  test("a trap settles all calls, and the next call starts the program afresh", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      // The page can see the instance only as it is created.
      const { instantiate } = WebAssembly;
      let memory;
      WebAssembly.instantiate = async (...args) => {
        const instance = await instantiate.apply(WebAssembly, args);
        memory = instance.exports.mem ?? instance.exports.memory;
        return instance;
      };
      try {
        const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
        authsignal.setToken("token");
        await authsignal.preload();
        const pending = authsignal.totp.enroll();
        await new Promise((resolve) => setTimeout(resolve));
        new Uint8Array(memory.buffer).fill(0xff);
        const trapped = await authsignal.totp.verify({ code: "1" });
        return [trapped, await pending, await authsignal.totp.verify({ code: "1" })];
      } finally {
        WebAssembly.instantiate = instantiate;
      }
    });
    assert.deepEqual([got[0].errorCode, got[1].errorCode], ["sdk_crashed", "sdk_crashed"]);
    assert.deepEqual(got[2], { data: { isVerified: true, token: "new-token" } });
  });

  test("a call can be aborted while the module is on its way", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/never.wasm" });
      authsignal.setToken("token");
      const controller = new AbortController();
      const result = authsignal.totp.enroll({ signal: controller.signal });
      controller.abort();
      return result;
    });
    assert.equal(got.errorCode, "aborted");
  });

  test("a call's timeout covers the loading of the module", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/never.wasm" });
      authsignal.setToken("token");
      return Promise.all([authsignal.totp.enroll({ timeout: 20 }), authsignal.totp.verify({ code: "1", timeout: 20 })]);
    });
    const text = "The call took too long. Try again, or give it a longer timeout.";
    for (const result of got) assert.deepEqual(result, { error: text, errorCode: "timeout", errorDescription: text });
  });

  test("loading counts against the call's timeout, and only if one is given", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
      const limit = async (timeout) => String((await authsignal.totp.verify({ code: "limit", timeout })).data.timeout);
      return [await limit(60_000), await limit(undefined)];
    });
    assert.ok(got[0] > 0 && got[0] < 60_000, `the module may take ${got[0]} ms`);
    assert.equal(got[1], "undefined");
  });

  test("a module that never arrives fails at last, without AbortSignal.timeout", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const { setTimeout } = globalThis;
      const { timeout } = AbortSignal;
      // The limit, and no other time-out, has passed as soon as it is set.
      globalThis.setTimeout = (f, ms, ...args) => setTimeout(f, ms === 120_000 ? 0 : ms, ...args);
      AbortSignal.timeout = undefined;
      try {
        const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/never.wasm" });
        authsignal.setToken("token");
        return await authsignal.totp.enroll();
      } finally {
        globalThis.setTimeout = setTimeout;
        AbortSignal.timeout = timeout;
      }
    });
    assert.equal(got.errorCode, "wasm_load_failed");
    assert.match(got.error, /never\.wasm: it has not arrived within 120 s$/);
  });

  for (const way of ["requestIdleCallback", "setTimeout"]) {
    test(`preload has a module draw one QR code, when ${way} reports that the page is idle`, async () => {
      const got = await run(async ({ Authsignal }, site, way) => {
        const { requestIdleCallback, setTimeout } = globalThis;
        const idle = [];
        globalThis.requestIdleCallback = way === "requestIdleCallback" ? (f) => idle.push(f) : undefined;
        globalThis.setTimeout = (f, ms, ...args) => (ms === undefined ? idle.push(f) : setTimeout(f, ms, ...args));
        try {
          const wasmUrl = site + "/standin.wasm";
          const [a, b] = ["a", "b"].map((tenantId) => new Authsignal({ tenantId, wasmUrl }));
          await Promise.all([a.preload(), b.preload(), Authsignal.load({ wasmUrl })]);
          await a.preload();
          const before = idle.length;
          for (const f of idle.splice(0)) f();
          await a.preload();
          return { before, after: idle.length, drawn: (await a.totp.verify({ code: "drawn" })).data.drawn };
        } finally {
          Object.assign(globalThis, { requestIdleCallback, setTimeout });
        }
      }, way);
      assert.deepEqual([got.before, got.after, got.drawn.length], [1, 0, 1]);
      // The real module can draw it.
      const drawn = await run(({ qr }, site, text) => qr.toDataURL(text, { wasmUrl: site + "/dist/authsignal.wasm" }), got.drawn[0]);
      assert.match(drawn, /^data:image\/svg/);
    });
  }

  test("preload has nothing drawn if a call comes first, or ends the module", async () => {
    const got = await run(async ({ Authsignal, qr }, site) => {
      const { requestIdleCallback } = globalThis;
      const idle = [];
      globalThis.requestIdleCallback = (f) => idle.push(f);
      const wasmUrl = site + "/standin.wasm";
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl });
      const verify = (code) => authsignal.totp.verify({ code });
      const waiting = [];
      const preload = async () => {
        await authsignal.preload();
        waiting.push(idle.length);
      };
      const drawn = async () => {
        for (const f of idle.splice(0)) f();
        return (await verify("drawn")).data.drawn;
      };
      try {
        await qr.toSVG("text", { wasmUrl });
        await preload();
        const before = await drawn();
        await verify("panic");
        await preload();
        await qr.toSVG("text", { wasmUrl });
        const between = await drawn();
        await verify("panic");
        await preload();
        const end = (await verify("panic")).errorCode;
        return { waiting, before, between, end, afterEnd: await drawn() };
      } finally {
        globalThis.requestIdleCallback = requestIdleCallback;
      }
    });
    assert.deepEqual(got, { waiting: [0, 1, 1], before: [], between: [], end: "sdk_crashed", afterEnd: [] });
  });

  test("a module that traps as it draws for preload does no harm, and the next call starts it afresh", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const { requestIdleCallback } = globalThis;
      const { instantiate } = WebAssembly;
      let idle;
      let memory;
      globalThis.requestIdleCallback = (f) => (idle = f);
      WebAssembly.instantiate = async (...args) => {
        const instance = await instantiate.apply(WebAssembly, args);
        memory = instance.exports.mem ?? instance.exports.memory;
        return instance;
      };
      try {
        const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
        await authsignal.preload();
        const first = memory;
        new Uint8Array(memory.buffer).fill(0xff);
        idle();
        return [(await authsignal.totp.verify({ code: "drawn" })).data.drawn, memory === first];
      } finally {
        globalThis.requestIdleCallback = requestIdleCallback;
        WebAssembly.instantiate = instantiate;
      }
    });
    assert.deepEqual(got, [[], false]);
  });

  test("the drawing of preload sends no request, prints nothing and leaves nothing, and enroll works after it", async () => {
    site.requests.length = 0;
    const got = await run(async ({ Authsignal }, site) => {
      const { requestIdleCallback } = globalThis;
      const printers = { ...console };
      const printed = [];
      let idle;
      globalThis.requestIdleCallback = (f) => (idle = f);
      for (const name in printers) if (typeof console[name] === "function") console[name] = (...args) => printed.push([name, String(args)]);
      const { document, localStorage, sessionStorage } = globalThis;
      const left = () => ({
        globals: Reflect.ownKeys(globalThis).map(String).sort(),
        ...(document && { html: document.documentElement.outerHTML, stored: [document.cookie, { ...localStorage }, { ...sessionStorage }] }),
      });
      try {
        const authsignal = new Authsignal({ tenantId: "t", baseUrl: site + "/v1", wasmUrl: site + "/dist/authsignal.wasm" });
        authsignal.setToken("token");
        await authsignal.preload();
        const before = left();
        idle();
        const { data } = await authsignal.totp.enroll();
        return { before, after: left(), qrCode: data.qrCode.slice(0, 14), printed };
      } finally {
        globalThis.requestIdleCallback = requestIdleCallback;
        Object.assign(console, printers);
      }
    });
    assert.deepEqual(got.after, got.before);
    assert.deepEqual([got.qrCode, got.printed], ["data:image/svg", []]);
    const paths = site.requests.slice(site.requests.indexOf("/dist/authsignal.wasm"));
    assert.deepEqual(
      paths.filter((p) => p !== "/favicon.ico"),
      ["/dist/authsignal.wasm", "/v1/client/user-authenticators/totp"],
    );
  });

  test("misuse is refused in the module's words", async () => {
    const vectors = JSON.parse(await readFile(new URL("../../../wasm/testdata/misuse.json", import.meta.url)));
    const got = await run(async ({ Authsignal }, site, { throws, rejects }) => {
      const outcomes = { throws: [], rejects: [] };
      for (const { call } of throws) {
        try {
          new Function("A", call)(Authsignal);
          outcomes.throws.push({ call, want: "nothing" });
        } catch (error) {
          outcomes.throws.push({ call, want: String(error) });
        }
      }
      const totp = new Authsignal({ tenantId: "t", wasmUrl: site + "/dist/authsignal.wasm" }).totp;
      for (const { call } of rejects) {
        const outcome = new Function("totp", `return totp.${call}`)(totp).then(() => "nothing", String);
        outcomes.rejects.push({ call, want: await outcome });
      }
      return outcomes;
    }, vectors);
    assert.deepEqual(got, vectors);
  });

  test("callbacks and unknown options of qr and load are refused by name, before anything is loaded", async () => {
    site.requests.length = 0;
    const got = await run(async ({ Authsignal, qr }, site) => {
      const wasmUrl = site + "/standin.wasm";
      let called = false;
      const callback = () => (called = true);
      const canvas = {};
      const outcomes = await Promise.all(
        [
          qr.toDataURL("text", callback),
          qr.toDataURL("text", { wasmUrl }, callback),
          qr.toSVG("text", callback),
          qr.toCanvas(canvas, "text", callback),
          qr.toCanvas(canvas, "text", { wasmUrl }, callback),
          qr.toBlob("text", callback),
          qr.matrix("text", callback),
          qr.toSVG("text", { colour: { dark: "#000" } }),
          qr.toSVG("text", { type: "svg" }),
          qr.toDataURL("text", { quality: 0.3, type: "image/png" }),
          qr.toCanvas(canvas, "text", { version: 7 }),
          qr.toBlob("text", { type: "image/jpeg" }),
          qr.matrix("text", { maskPattern: 0 }),
          qr.toSVG("text", { color: { foreground: "#000" } }),
          qr.toSVG("text", "H"),
          Authsignal.load({ wasmURL: wasmUrl }),
          Authsignal.load(wasmUrl),
        ].map((promise) => promise.then(() => "nothing", String)),
      );
      return [called, ...outcomes];
    });
    const callback = (name) => `TypeError: qr.${name} takes no callback: it returns a promise`;
    const unknown = (of, name, more = "") => `TypeError: ${of} has no option ${name}: it has margin, scale, width, color, errorCorrectionLevel, title, wasmUrl${more}`;
    assert.deepEqual(got, [
      false,
      ...["toDataURL", "toDataURL", "toSVG", "toCanvas", "toCanvas", "toBlob", "matrix"].map(callback),
      unknown("qr.toSVG", "colour"),
      unknown("qr.toSVG", "type"),
      unknown("qr.toDataURL", "quality", ", type"),
      unknown("qr.toCanvas", "version"),
      unknown("qr.toBlob", "type"),
      unknown("qr.matrix", "maskPattern"),
      "TypeError: color has no option foreground: it has dark, light",
      "TypeError: options must be an object",
      "TypeError: Authsignal.load has no option wasmURL: it has wasmUrl, wasmModule, wasmBytes, onProgress",
      "TypeError: load takes an object: load({ wasmUrl })",
    ]);
    assert.ok(!site.requests.includes("/standin.wasm"));
  });

  test("all options of qr are taken, and missing ones may be undefined or null", async () => {
    const got = await run(async ({ qr }, site) => {
      const all = { margin: 4, scale: 4, width: undefined, color: null, errorCorrectionLevel: "M", title: "A code", wasmUrl: site + "/dist/authsignal.wasm" };
      return [await qr.toSVG("text", all), await qr.toDataURL("text", { ...all, type: undefined }), (await qr.matrix("text", all)).size];
    });
    assert.match(got[0], /^<svg/);
    assert.match(got[1], /^data:image\/svg/);
    assert.equal(got[2], 21);
  });

  test("options that the official package ignores are ignored", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm", trackingHost: "https://t.test", theme: "dark" });
      authsignal.setToken("token");
      return (await authsignal.totp.verify({ code: "1", method: "TOTP" })).data;
    });
    assert.deepEqual(got, { isVerified: true, token: "new-token" });
  });

  test("the ES module leaves no global behind", async () => {
    const got = await run(async ({ Authsignal }, site) => {
      const before = new Set(Reflect.ownKeys(globalThis));
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
      authsignal.setToken("token");
      await authsignal.totp.verify({ code: "1" });
      await authsignal.totp.verify({ code: "exit" });
      return Reflect.ownKeys(globalThis)
        .filter((k) => !before.has(k))
        .map(String);
    });
    assert.deepEqual(got, []);
  });

  if (!visit) return;

  test("a page's own fs, process, path and Go do no harm", async () => {
    const got = await visit("/ids.html", async (site) => {
      const { qr } = await import("/dist/index.js");
      const text = await qr.toSVG("text", { wasmUrl: site + "/standin.wasm" });
      return [text, ...["fs", "process", "path", "Go"].map((id) => globalThis[id] instanceof HTMLElement)];
    });
    assert.deepEqual(got, ["text", true, true, true, true]);
  });

  test("a relative wasmUrl counts from the page", async () => {
    const got = await visit("/", async () => {
      const { qr } = await import("/dist/index.js");
      return qr.toSVG("text", { wasmUrl: "standin.wasm" });
    });
    assert.equal(got, "text");
  });

  test("the script tag leaves only authsignal", async () => {
    const globals = () => Reflect.ownKeys(globalThis).map(String);
    const plain = new Set(await visit("/", globals));
    const got = await visit("/tag.html", async (site) => {
      const { Authsignal, qr, ErrorCode } = globalThis.authsignal;
      const text = await qr.toSVG("text", { wasmUrl: site + "/standin.wasm" });
      const authsignal = new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" });
      authsignal.setToken("token");
      const { data } = await authsignal.totp.verify({ code: "1" });
      return { text, data, code: ErrorCode.sdk_crashed, version: Authsignal.version, globals: Reflect.ownKeys(globalThis).map(String) };
    });
    assert.equal(got.text, "text");
    assert.deepEqual(got.data, { isVerified: true, token: "new-token" });
    assert.equal(got.code, "sdk_crashed");
    assert.match(got.version, /^\d+\.\d+\.\d+/);
    assert.deepEqual(
      got.globals.filter((k) => !plain.has(k)),
      ["authsignal"],
    );
  });

  test("a policy that forbids WebAssembly is named", async () => {
    const got = await visit("/forbidden.html", async (site) => {
      const { Authsignal } = await import("/dist/index.js");
      return new Authsignal({ tenantId: "t", wasmUrl: site + "/standin.wasm" }).totp.enroll();
    });
    assert.equal(got.errorCode, "wasm_load_failed");
    assert.match(got.error, /Content-Security-Policy forbids WebAssembly; add 'wasm-unsafe-eval'/);
  });
});
