// The features that the official package does not have: images on canvases and as
// PNG, other sources of the module, the inlined module, and dispose.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { PNG } from "pngjs";
import { dist, record, serve } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";

const jsQR = createRequire(import.meta.url)("jsqr");
const decode = ({ data, width, height }) => jsQR(new Uint8ClampedArray(data), width, height)?.data;

let page; // of the engine that is being tested
let site;
let finish;
let bytes;

before(async () => {
  bytes = await readFile(new URL("authsignal.wasm", dist));
  const policy = { "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; require-trusted-types-for 'script'" };
  const page = (more) => (_, response) =>
    response.writeHead(200, { "Content-Type": "text/html", ...policy, ...more }).end('<!doctype html><html lang="en"><title>Page</title><body></body></html>');
  // Of another build by its record, and without a record.
  const { build } = record;
  const foreign = Buffer.from(bytes);
  foreign.write("0.0.9", foreign.indexOf(build) + "authsignal-wasm/".length);
  const bare = Buffer.from(bytes);
  bare.write("X", bare.indexOf(build));
  site = await serve({
    "/": page(),
    "/offline.html": page({ "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'" }),
    "/dist/": dist,
    "/sized.wasm": (_, response) => response.writeHead(200, { "Content-Type": "application/wasm", "Content-Length": bytes.length }).end(bytes),
    // The second half is sent after the first has been reported.
    "/halves.wasm": (_, response) => {
      response.writeHead(200, { "Content-Type": "application/wasm", "Content-Length": bytes.length }).write(bytes.subarray(0, 1000));
      finish = () => response.end(bytes.subarray(1000));
    },
    "/finish": (_, response) => {
      finish();
      response.end();
    },
    "/foreign.wasm": (_, response) => response.writeHead(200, { "Content-Type": "application/wasm" }).end(foreign),
    "/bare.wasm": (_, response) => response.writeHead(200, { "Content-Type": "application/wasm" }).end(bare),
    "/raw.html": (_, response) =>
      response.writeHead(200, { "Content-Type": "text/html" }).end('<!doctype html><html lang="en"><title>Page</title><script src="/dist/wasm_exec.js"></script>'),
  });
});
after(() => site?.close());

/** Runs a check on a page with an entry of the package; expects no problem. */
async function inPage(check, { path = "/", entry = "/dist/index.js", args = [], problems: wanted = [] } = {}) {
  await page.forget();
  await page.goto(site.url + path);
  const result = await page.evaluate(`(async () => (${check})(await import("${entry}"), ...${JSON.stringify(args)}))()`);
  assert.deepEqual(await page.problems(site.url), wanted);
  return result;
}

test("without a canvas, the error of toBlob names what to use", async () => {
  const { qr } = await import(new URL("index.js", dist));
  await assert.rejects(qr.toBlob("a"), /a PNG image needs a browser: use toSVG here/);
});

test("dispose ends the calls under way, forgets the token, and later calls are errors", async () => {
  const hung = await serve({ "/v1/client/user-authenticators/totp": () => {} });
  const { Authsignal } = await import(new URL("index.js?dispose", dist));
  const options = { tenantId: "t", baseUrl: hung.url + "/v1" };
  const [a, b, early] = [0, 1, 2].map(() => new Authsignal(options));
  a.setToken("token");
  const loading = early.totp.enroll();
  early.dispose();
  assert.equal((await loading).errorCode, "aborted");
  a.setToken("token");
  await a.preload();
  const pending = a.totp.enroll();
  while (!hung.requests.length) await new Promise((resolve) => setTimeout(resolve, 5));
  a.dispose();
  a.dispose();
  assert.equal((await pending).errorCode, "aborted");
  const gone = /this Authsignal instance has been disposed of/;
  assert.throws(() => a.setToken("token"), gone);
  for (const call of [() => a.totp.enroll(), () => a.totp.verify({ code: "123456" }), () => a.preload()]) await assert.rejects(call(), gone);
  assert.equal((await b.totp.enroll()).errorCode, "token_not_set");
  await hung.close();
});

test("a signal that is aborted already ends the call, wherever the module stays", async () => {
  const hung = await serve({ "/authsignal.wasm": () => {} });
  const { Authsignal } = await import(new URL("index.js?hung", dist));
  const a = new Authsignal({ tenantId: "t", wasmUrl: `${hung.url}/authsignal.wasm` });
  a.setToken("token");
  for (const call of [a.totp.enroll({ signal: AbortSignal.abort() }), a.totp.verify({ code: "123456", signal: AbortSignal.abort() })]) {
    assert.equal((await call).errorCode, "aborted");
  }
  a.dispose();
  await hung.close();
});

inEngines((at) => {
  before(async () => (page = await at.browser.newPage()));

  test("toCanvas draws whole modules, the margin inside, and names the canvas", async () => {
    const got = await inPage(async ({ qr }) => {
      const canvas = document.createElement("canvas");
      await qr.toCanvas(canvas, "hello", { width: 200, title: "Scan me", color: { dark: "#00008b", light: "#ffffe0" } });
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      const colors = new Set();
      for (let i = 0; i < data.length; i += 4) colors.add(data.slice(i, i + 4).join());
      return { data: [...data], width, height, role: canvas.getAttribute("role"), label: canvas.getAttribute("aria-label"), colors: [...colors].sort() };
    });
    assert.deepEqual([got.width, got.height, got.role, got.label], [200, 200, "img", "Scan me"]);
    assert.deepEqual(got.colors, ["0,0,139,255", "255,255,224,255"], "nothing is blurred");
    assert.equal(decode(got), "hello");
    // 21 modules of 6 pixels: the rest is margin.
    const row = (y) => Array.from({ length: 200 }, (_, x) => got.data[4 * (y * 200 + x)] === 0);
    assert.equal(row(36).some(Boolean), false);
    assert.equal(row(37).indexOf(true), 37);
  });

  test("toBlob and toDataURL return PNG images of the browser's encoder, in a page and in a worker", async () => {
    const check = async ({ qr }) => {
      const blob = await qr.toBlob("a text", { scale: 2, margin: 5 });
      return [blob.type, [...new Uint8Array(await blob.arrayBuffer())], await qr.toDataURL("a text", { type: "image/png" }), (await qr.toDataURL("a text")).slice(0, 19)];
    };
    const worker = await serve({
      "/": "<!doctype html><title>Page</title>",
      "/dist/": dist,
      "/worker.js": `import * as sdk from "/dist/index.js"; (${check})(sdk).then(postMessage)`,
    });
    await page.goto(worker.url);
    const inWorker = await page.evaluate(() => new Promise((resolve) => (new Worker("/worker.js", { type: "module" }).onmessage = ({ data }) => resolve(data))));
    await worker.close();
    for (const [type, file, png, svg] of [await inPage(check), inWorker]) {
      assert.equal(type, "image/png");
      const image = PNG.sync.read(Buffer.from(file));
      assert.equal(image.width, 2 * (21 + 10));
      assert.equal(decode(image), "a text");
      assert.equal(decode(PNG.sync.read(Buffer.from(png.split("base64,")[1], "base64"))), "a text");
      assert.equal(svg, "data:image/svg+xml,");
    }
  });

  test("a text that cannot be drawn is an error with the reason", async () => {
    const got = await inPage(async ({ qr }) => {
      const canvas = document.createElement("canvas");
      const other = document.createElement("canvas");
      other.getContext("bitmaprenderer");
      return Promise.all(
        [
          qr.toCanvas(canvas, "a".repeat(3000)),
          qr.toCanvas(canvas, ""),
          qr.toCanvas(canvas, "a", { width: 28 }),
          qr.toCanvas({}, "a"),
          qr.toCanvas(other, "a"),
          qr.toBlob("a", { color: { dark: "red" } }),
          qr.toDataURL("a", { type: "image/gif" }),
        ].map((p) => p.then(() => "resolved", String)),
      );
    });
    assert.deepEqual(got, [
      "Error: text is too long for a QR code at this error correction level",
      "Error: text is empty",
      "RangeError: width must be at least 29 pixels for this text, or the margin smaller",
      "TypeError: canvas must be a canvas with no context or a 2d one",
      "TypeError: canvas must be a canvas with no context or a 2d one",
      'TypeError: a color must be hexadecimal, such as "#000", "#000000" or "#000000ff"',
      'TypeError: type must be "image/svg+xml" or "image/png"',
    ]);
  });

  test("load takes a URL, bytes or a compiled module, and tells of its progress", async () => {
    const got = await inPage(async ({ Authsignal, qr }) => {
      const progress = [];
      await Authsignal.load({ wasmUrl: "/halves.wasm", onProgress: (p) => progress.push(p) === 1 && fetch("/finish") });
      const bytes = await (await fetch("/sized.wasm")).arrayBuffer();
      const drawn = [(await qr.toSVG("a")).length];
      await Authsignal.load({ wasmBytes: bytes });
      drawn.push((await qr.toSVG("a")).length);
      await Authsignal.load({ wasmModule: await WebAssembly.compile(bytes) });
      drawn.push((await qr.toSVG("a")).length);
      await Authsignal.load();
      const wrong = [{ wasmUrl: "a", wasmBytes: bytes }, { wasmModule: {} }, { wasmBytes: "x" }];
      return { progress, size: bytes.byteLength, drawn, errors: await Promise.all(wrong.map((o) => Authsignal.load(o).then(() => "loaded", String))) };
    });
    assert.ok(got.progress.length > 1 && got.progress[0].loaded < got.size);
    assert.deepEqual(got.progress.at(-1), { loaded: got.size, total: got.size });
    assert.equal(new Set(got.drawn).size, 1);
    assert.deepEqual(got.errors, [
      "TypeError: give one of wasmUrl, wasmModule and wasmBytes",
      "TypeError: wasmModule must be a WebAssembly.Module",
      "TypeError: wasmBytes must be an ArrayBuffer or a view of one",
    ]);
  });

  test("a failed load can be tried again, also from elsewhere", async () => {
    const got = await inPage(
      async ({ Authsignal, qr }) => {
        const first = await Authsignal.load({ wasmUrl: "/none.wasm" }).catch((e) => e.message);
        const second = await qr.toSVG("a").catch((e) => e.message);
        await Authsignal.load({ wasmUrl: "/sized.wasm" });
        return [first, second, (await qr.toSVG("a")).slice(0, 4)];
      },
      { problems: Array(2).fill(`response: 404 ${site.url}/none.wasm`) },
    );
    assert.match(got[0], /none\.wasm: HTTP status 404$/);
    assert.deepEqual(got.slice(1), [got[0], "<svg"]);
  });

  test("a module of another build is refused by name", async () => {
    for (const [file, named] of [
      ["foreign", record.build.replace(/\/[\d.]+/, "/0.0.9")],
      ["bare", "another package"],
    ]) {
      const got = await inPage(({ Authsignal }, file) => Authsignal.load({ wasmUrl: `/${file}.wasm` }).catch((e) => [e.errorCode, e.message]), { args: [file] });
      assert.equal(got[0], "wasm_load_failed");
      for (const part of [`${file}.wasm: it is of ${named}`, record.build, "take both from the same package"]) assert.ok(got[1].includes(part), got[1]);
    }
    // Without the wrapper too, and before it publishes anything.
    await page.goto(site.url + "/raw.html");
    const got = await page.evaluate(async () => {
      const go = new Go();
      const { instance } = await WebAssembly.instantiateStreaming(fetch("/foreign.wasm"), go.importObject);
      return [await go.run(instance).catch(String), typeof globalThis.authsignal];
    });
    assert.match(got[0], /^Error: it is of authsignal-wasm\/0\.0\.9 .* take both from the same package/);
    assert.equal(got[1], "undefined");
  });

  test("the inlined module needs no second file, under a policy that allows no request", async () => {
    site.requests.length = 0;
    const got = await inPage(
      async ({ Authsignal, qr }) => {
        await Promise.all([Authsignal.load(), qr.toSVG("b")]);
        const authsignal = new Authsignal({ tenantId: "t" });
        return [(await qr.toSVG("a")).slice(0, 4), await authsignal.totp.enroll()];
      },
      { path: "/offline.html", entry: "/dist/inline.js", problems: ["console: Error: A token has not been set. Call 'setToken' first."] },
    );
    assert.equal(got[0], "<svg");
    assert.equal(got[1].errorCode, "token_not_set");
    assert.deepEqual(
      site.requests.filter((p) => /wasm$/.test(p)),
      [],
    );
  });

  // The last one: the browser may report the blocked request late.
  test("a policy that forbids the request is named as a cause", async () => {
    await page.goto(site.url + "/offline.html");
    const got = await page.evaluate(async () => (await import("/dist/index.js")).Authsignal.load().catch((e) => e.message));
    assert.match(got, /authsignal\.wasm: .*connect-src/);
  });
});
