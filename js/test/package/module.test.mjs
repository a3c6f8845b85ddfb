// The built module under the wrapper and without it: the same lines at every
// level, under a strict policy, and against an API that only records its
// requests.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { dist, root, serve } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";

const strict = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:";

// The script of a page or a worker at each level, the same from here on. A worker
// shows no image.
const lines = `
  const authsignal = new Authsignal({ tenantId: "t", baseUrl: location.origin + "/v1" });
  authsignal.setToken("track-token");
  const enrollment = await authsignal.totp.enroll();
  let width;
  if (globalThis.document) {
    const image = document.createElement("img");
    image.src = enrollment.data.qrCode;
    document.body.append(image);
    await image.decode();
    width = image.naturalWidth;
  }
  const response = await authsignal.totp.verify({ code: "123 456" });
  globalThis.result = {
    keys: Object.keys(enrollment.data),
    width,
    response,
    token: response.token,
    svg: (await qr.toSVG("text")).slice(0, 4),
  };
  if (!globalThis.document) postMessage(globalThis.result);`;

let site;
let received;

const enrollKeys = ["account", "algorithm", "digits", "issuer", "period", "qrCode", "secret", "uri", "userAuthenticatorId", "userId"];

before(async () => {
  const html = (head) => `<!doctype html><html lang="en"><title>An application's page</title>${head}<body></body></html>`;
  const answer = (body) => async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    received.push(`${request.url} ${request.headers.authorization} ${text}`);
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  };
  const raw = `
    const go = new Go();
    const { instance } = await WebAssembly.instantiateStreaming(fetch("dist/authsignal.wasm"), go.importObject);
    go.run(instance);
    const { Authsignal, qr } = globalThis.authsignal;${lines}`;
  site = await serve(
    {
      "/": html(""),
      "/module.html": html('<script type="module" src="module.js"></script>'),
      "/module.js": `import { Authsignal, qr } from "/dist/index.js";${lines}`,
      "/script.html": html('<script src="dist/index.min.js"></script><script type="module" src="script.js"></script>'),
      "/script.js": `const { Authsignal, qr } = globalThis.authsignal;${lines}`,
      "/raw.html": html('<script src="dist/wasm_exec.js"></script><script type="module" src="raw.js"></script>'),
      "/raw.js": raw,
      "/raw-worker.js": `import "/dist/wasm_exec.js";${raw}`,
      "/dist/": dist,
      "/v1/client/user-authenticators/totp": answer({
        userAuthenticatorId: "id",
        userId: "u",
        uri: "otpauth://totp/Acme:u?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Acme",
        secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
      }),
      "/v1/client/verify/totp": answer({ isVerified: true, accessToken: "new-token" }),
    },
    { "Content-Security-Policy": strict },
  );
});
after(() => site?.close());

test("the built files are those of the sources", async () => {
  await promisify(execFile)("go", ["run", "./cmd/buildsdk", "-check"], { cwd: root });
});

inEngines((at) => {
  let page;
  before(async () => (page = await at.browser.newPage()));

  const check = async (got) => {
    assert.deepEqual(got.keys.sort(), enrollKeys);
    assert.deepEqual(got.response, { data: { isVerified: true, token: "new-token" } });
    assert.equal(got.token, "new-token");
    assert.equal(got.svg, "<svg");
    assert.deepEqual(received, ["/v1/client/user-authenticators/totp Bearer track-token ", '/v1/client/verify/totp Bearer track-token {"verificationCode":"123456"}']);
    assert.deepEqual(await page.problems(site.url), []);
  };

  for (const level of ["module", "script", "raw"]) {
    test(`the ${level} page enrolls and verifies under a strict policy`, async () => {
      received = [];
      await page.goto(`${site.url}/${level}.html`);
      const got = await page.waitFor(() => globalThis.result);
      assert.ok(got.width > 100, `the QR code is ${got.width} pixels wide`);
      await check(got);
    });
  }

  for (const [level, script] of [
    ["module", "/module.js"],
    ["raw module", "/raw-worker.js"],
  ]) {
    test(`the ${level} enrolls and verifies in a module worker under a strict policy`, async () => {
      received = [];
      await page.goto(site.url);
      const got = await page.evaluate(
        (script) =>
          new Promise((resolve, reject) => {
            const worker = new Worker(script, { type: "module" });
            worker.onmessage = ({ data }) => {
              worker.terminate();
              resolve(data);
            };
            worker.onerror = (event) => reject(new Error(`the worker: ${event.message}`));
          }),
        script,
      );
      assert.equal(got.width, undefined);
      await check(got);
    });
  }
});

describe("in Node", () => {
  let Authsignal;
  let qr;
  before(async () => ({ Authsignal, qr } = await import(new URL("index.js", dist))));

  test("the package enrolls and verifies", async () => {
    received = [];
    const authsignal = new Authsignal({ tenantId: "t", baseUrl: site.url + "/v1/" });
    authsignal.setToken("track-token");
    const enrollment = await authsignal.totp.enroll();
    assert.match(enrollment.data.qrCode, /^data:image\/svg\+xml/);
    const response = await authsignal.totp.verify({ code: "123456" });
    assert.deepEqual(response, { data: { isVerified: true, token: "new-token" } });
    assert.equal(response.token, "new-token");
    await authsignal.totp.verify({ code: "654321" });
    assert.deepEqual(received, [
      "/v1/client/user-authenticators/totp Bearer track-token ",
      '/v1/client/verify/totp Bearer track-token {"verificationCode":"123456"}',
      '/v1/client/verify/totp Bearer new-token {"verificationCode":"654321"}',
    ]);
  });

  test("without a token a call resolves to token_not_set and asks nothing", async (t) => {
    received = [];
    const printed = t.mock.method(console, "error", () => {});
    const authsignal = new Authsignal({ tenantId: "none", baseUrl: site.url + "/v1" });
    const want = {
      error: "token_not_set",
      errorCode: "token_not_set",
      errorDescription: "A token has not been set. Call 'setToken' first.",
    };
    assert.deepEqual(await authsignal.totp.enroll(), want);
    for (const token of ["", null, undefined]) {
      authsignal.setToken("token");
      authsignal.setToken(token);
      assert.deepEqual(await authsignal.totp.verify({ code: "123456" }), want);
    }
    assert.deepEqual(received, []);
    assert.equal(printed.mock.callCount(), 4);
    assert.deepEqual(printed.mock.calls[0].arguments, ["Error: A token has not been set. Call 'setToken' first."]);
  });

  test("misuse is a TypeError", async () => {
    const authsignal = new Authsignal({ tenantId: "t", baseUrl: site.url + "/v1" });
    authsignal.setToken("token");
    assert.throws(() => authsignal.setToken(7), TypeError);
    await assert.rejects(authsignal.totp.verify(), TypeError);
    await assert.rejects(authsignal.totp.verify(null), TypeError);
    await assert.rejects(authsignal.totp.enroll({ timeout: -1 }), TypeError);
    await assert.rejects(authsignal.totp.enroll({ signal: "stop" }), TypeError);
    await assert.rejects(qr.toSVG(7), TypeError);
  });

  test("an exception of a getter rejects the call", async () => {
    const authsignal = new Authsignal({ tenantId: "t", baseUrl: site.url + "/v1" });
    authsignal.setToken("token");
    const thrown = new Error("thrown");
    const options = {
      get code() {
        throw thrown;
      },
    };
    await assert.rejects(authsignal.totp.verify(options), (error) => error === thrown);
  });

  test("changes of the options after a call have no effect", async () => {
    received = [];
    const authsignal = new Authsignal({ tenantId: "change", baseUrl: site.url + "/v1" });
    authsignal.setToken("token");
    const options = { code: "111111" };
    const response = authsignal.totp.verify(options);
    options.code = "222222";
    await response;
    assert.deepEqual(received, ['/v1/client/verify/totp Bearer token {"verificationCode":"111111"}']);
  });

  test("an aborted signal aborts, before and during a call", async () => {
    const hung = await serve({ "/v1/client/user-authenticators/totp": () => {} });
    const authsignal = new Authsignal({ tenantId: "t", baseUrl: hung.url + "/v1" });
    authsignal.setToken("token");
    const early = await authsignal.totp.enroll({ signal: AbortSignal.abort() });
    assert.equal(early.errorCode, "aborted");
    assert.deepEqual(hung.requests, []);
    const late = await authsignal.totp.enroll({ signal: AbortSignal.timeout(50) });
    assert.deepEqual(late, early);
    assert.equal((await authsignal.totp.enroll({ timeout: 50 })).errorCode, "timeout");
    await hung.close();
  });

  test("enrollments at once with one token are one, and all get its secret", async () => {
    received = [];
    const make = (tenantId) => new Authsignal({ tenantId, baseUrl: site.url + "/v1" });
    const [a, b, other] = ["once", "once", "other"].map(make);
    a.setToken("token");
    other.setToken("token");
    const [first, second, third, fourth] = await Promise.all([a.totp.enroll(), b.totp.enroll({ timeout: 5000 }), a.totp.enroll(), other.totp.enroll()]);
    assert.equal(received.length, 2);
    assert.match(first.data.qrCode, /^data:/);
    for (const result of [second, third, fourth]) assert.deepEqual(result, first);
    assert.notEqual(second, first);
    // Later ones and those of another token are new.
    await a.totp.enroll();
    assert.equal(received.length, 3);
    const before = a.totp.enroll();
    a.setToken("next");
    await Promise.all([before, a.totp.enroll()]);
    assert.equal(received.length, 5);
    // A wrong argument is an error even while another call enrolls.
    const [good, ...bad] = await Promise.allSettled([a.totp.enroll(), a.totp.enroll({ signal: "stop" }), a.totp.enroll({ timeout: -1 })]);
    assert.ok(good.value.data);
    for (const { reason } of bad) assert.ok(reason instanceof TypeError);
  });

  // The test vectors of the server's own parser.
  test("issuer and account are read from a URI as the server reads them", async (t) => {
    const vectors = JSON.parse(await readFile(path.join(root, "internal/totp/testdata/uri.json"), "utf8"));
    let uri;
    t.mock.method(globalThis, "fetch", async () => new Response(JSON.stringify({ uri, secret: "s" })));
    const authsignal = new Authsignal({ tenantId: "uris", baseUrl: site.url + "/v1" });
    authsignal.setToken("token");
    for (const vector of vectors) {
      uri = vector.uri;
      const { data } = await authsignal.totp.enroll();
      assert.deepEqual([data.issuer, data.account], [vector.issuer, vector.account], vector.name);
    }
  });

  test("a shared enrollment goes on when its first caller aborts, and ends when no caller is left", async () => {
    let closed = 0;
    let finish;
    const hung = await serve({
      "/v1/client/user-authenticators/totp": (_, response) => {
        response.on("close", () => (closed += !response.writableEnded));
        finish = () => response.writeHead(200, { "Content-Type": "application/json" }).end("{}");
      },
    });
    const arrived = async (count) => {
      while (hung.requests.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const make = () => new Authsignal({ tenantId: "many", baseUrl: hung.url + "/v1" });
    const authsignal = make();
    authsignal.setToken("token");
    const [first, second] = [new AbortController(), new AbortController()];
    const calls = [first, second].map(({ signal }) => authsignal.totp.enroll({ signal }));
    await arrived(1);
    first.abort();
    assert.equal((await calls[0]).errorCode, "aborted");
    finish();
    assert.deepEqual(await calls[1], { data: {} });

    const controller = new AbortController();
    const alone = authsignal.totp.enroll({ signal: controller.signal });
    await arrived(2);
    controller.abort();
    assert.equal((await alone).errorCode, "aborted");
    while (closed < 1) await new Promise((resolve) => setTimeout(resolve, 5));

    // As a component does that mounts twice: its second instance is not the first's.
    const old = make();
    old.setToken("token");
    const dropped = old.totp.enroll();
    old.dispose();
    const fresh = make();
    fresh.setToken("token");
    const living = fresh.totp.enroll();
    assert.equal((await dropped).errorCode, "aborted");
    await arrived(3);
    finish();
    assert.deepEqual(await living, { data: {} });
    await hung.close();
  });

  test("when the module crashes, calls under way settle and the next one works", async (t) => {
    received = [];
    const hung = await serve({ "/v1/client/user-authenticators/totp": () => {} });
    let memory;
    const { instantiate } = WebAssembly;
    t.mock.method(WebAssembly, "instantiate", async (...args) => {
      const instance = await instantiate.apply(WebAssembly, args);
      memory = instance.exports.mem ?? instance.exports.memory; // Go's name, and TinyGo's
      return instance;
    });
    const { Authsignal } = await import(new URL("index.js?crash", dist));
    const waiting = new Authsignal({ tenantId: "t", baseUrl: hung.url + "/v1" });
    waiting.setToken("token");
    const authsignal = new Authsignal({ tenantId: "t", baseUrl: site.url + "/v1" });
    authsignal.setToken("track-token");

    const late = [];
    const { setTimeout } = globalThis;
    t.mock.method(globalThis, "setTimeout", (f, ms, ...args) => {
      const timer = setTimeout(f, ms, ...args);
      if (ms > 50_000 && ms <= 60_000) late.push({ timer, f });
      return timer;
    });
    await authsignal.preload();
    const pending = waiting.totp.enroll({ timeout: 60_000 });
    while (hung.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    new Uint8Array(memory.buffer).fill(0xff);
    assert.equal((await authsignal.totp.verify({ code: "123456" })).errorCode, "sdk_crashed");
    assert.equal((await pending).errorCode, "sdk_crashed");
    waiting.dispose(); // its program has ended, and nothing throws: an error of a listener would end Node
    const response = await authsignal.totp.verify({ code: "123456" });
    assert.deepEqual(response, { data: { isVerified: true, token: "new-token" } });
    assert.deepEqual(received, ['/v1/client/verify/totp Bearer track-token {"verificationCode":"123456"}']);
    await hung.close();
    // The time-out of the first program's call still fires, and does no harm.
    assert.ok(late.length > 0);
    for (const { timer, f } of late) {
      clearTimeout(timer);
      f();
    }
    assert.equal((await authsignal.totp.verify({ code: "123456" })).data.isVerified, true);
  });

  test("the raw module runs with wasm_exec.js alone", async () => {
    received = [];
    const program = `
      import { readFile } from "node:fs/promises";
      const [dist, site] = process.argv.slice(1);
      await import(dist + "wasm_exec.js");
      const go = new Go();
      const { instance } = await WebAssembly.instantiate(await readFile(new URL(dist + "authsignal.wasm")), go.importObject);
      go.run(instance);
      const { Authsignal, qr } = globalThis.authsignal;
      const authsignal = new Authsignal({ tenantId: "t", baseUrl: site + "/v1" });
      authsignal.setToken("track-token");
      const { data } = await authsignal.totp.verify({ code: "123456" });
      const result = [data, (await qr.toSVG("text")).slice(0, 4)];
      const end = performance.now();
      process.on("exit", () => console.log(JSON.stringify([...result, performance.now() - end])));`;
    const args = ["--input-type=module", "--eval", program, dist.href, site.url];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const [data, svg, ending] = JSON.parse(stdout);
    assert.deepEqual([data, svg], [{ isVerified: true, token: "new-token" }, "<svg"]);
    assert.equal(received.length, 1);
    // No time-out of a call, which is 10 seconds, keeps the process running.
    assert.ok(ending < 8_000, `the process lived on for ${ending} ms`);
  });
});
