// The layer over the engines works as documented in each. The other tests depend on it.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { PNG } from "pngjs";
import { admitMonitor, engines, findProgram, openBrowser } from "../lib/browsers.mjs";
import { serve } from "../lib/harness.mjs";

test("a program is the one of its variable, or the first in PATH by a known name", async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-browser-"));
  t.after(() => rm(dir, { recursive: true }));
  const PATH = ["/nowhere", dir].join(path.delimiter);
  assert.throws(() => findProgram("Chromium", { PATH }), /need Chromium.*apt-get install chromium/);
  assert.throws(() => findProgram("WebKit", { PATH }), /need WebKit.*apt-get install webkit2gtk-driver/);
  await writeFile(path.join(dir, "chromium"), "", { mode: 0o644 }); // no program
  for (const name of ["google-chrome", "chromium-browser"]) {
    const file = path.join(dir, name);
    await writeFile(file, "", { mode: 0o755 });
    assert.equal(findProgram("Chromium", { PATH }), file);
  }
  assert.equal(findProgram("Chromium", { PATH, CHROMIUM: "/mine" }), "/mine");
});

test("an engine that is missing is an error, and so is an unknown one", async (t) => {
  const env = { ...process.env };
  t.after(() => (process.env = env));
  process.env = { ...env, CHROMIUM: "/nowhere/browser", FIREFOX: "/nowhere/browser", XVFB: "/nowhere/browser" };
  for (const engine of engines) await assert.rejects(openBrowser(engine), /\/nowhere\/browser|Xvfb did not start/);
  await assert.rejects(openBrowser("Trident"), /no engine is called Trident/);
});

test("the monitor is added to a policy, which is otherwise unchanged", () => {
  const hash = /'sha256-[A-Za-z0-9+/]{43}='/;
  for (const [policy, want] of [
    ["script-src 'self' 'wasm-unsafe-eval'; img-src data:", /^script-src 'self' 'wasm-unsafe-eval' 'sha256-\S+'; img-src data:$/],
    ["default-src 'self'", /^default-src 'self'; script-src 'self' 'sha256-\S+'$/],
    ["default-src 'none'", /^default-src 'none'; script-src 'sha256-\S+'$/],
    ["script-src 'none'", /^script-src 'sha256-\S+'$/],
    ["script-src 'nonce-x' 'unsafe-inline'", /^script-src 'nonce-x' 'unsafe-inline' 'sha256-\S+'$/],
  ]) {
    assert.match(admitMonitor(policy), want);
    assert.match(admitMonitor(policy), hash);
  }
  for (const policy of ["img-src 'self'", "script-src 'unsafe-inline'"]) assert.equal(admitMonitor(policy), policy);
});

for (const engine of engines) {
  describe(`in ${engine}`, () => {
    let browser;
    let dark;
    let page;
    let site;
    before(async () => {
      [browser, dark, site] = await Promise.all([
        openBrowser(engine),
        openBrowser(engine, { scheme: "dark" }),
        serve({
          "/": '<!doctype html><html lang="en"><title>A page</title><meta name="viewport" content="width=device-width"><style>body { margin: 0; background: #f00 } @media (prefers-color-scheme: dark) { body { background: #00f } }</style><body><button>no</button><input></body></html>',
          "/frame.html": '<!doctype html><title>Outside</title><iframe src="/"></iframe><button>open</button><script src="/open.js"></script>',
          "/open.js": 'document.querySelector("button").onclick = () => open("/");',
          "/early.html": '<!doctype html><script src="/early.js"></script>',
          "/early.js": 'console.error("early"); Promise.reject(new Error("rejected")); setTimeout(() => { throw new Error("thrown"); });',
          "/hang": () => {},
          "/policy.html": (_, response) =>
            response
              .writeHead(200, { "Content-Type": "text/html", "Content-Security-Policy": "default-src 'self'" })
              .end("<!doctype html><title>A page</title><script>globalThis.inline = true</script>"),
        }),
      ]);
      page = await browser.newPage();
    });
    after(async () => {
      await page?.close();
      await browser?.close();
      await dark?.close();
      await site?.close();
    });

    test("evaluate passes JSON in and out, waits for promises and rejects with the page's error", async () => {
      await page.goto(site.url);
      const value = { a: [1, "zwei", null, true], "'\"\\\u2028": "😀" };
      assert.deepEqual(await page.evaluate(async (v) => v, value), value);
      assert.deepEqual(await page.evaluate(() => ({ a: undefined, b: [undefined] })), { b: [null] });
      assert.equal(await page.evaluate(() => undefined), undefined);
      assert.equal(await page.evaluate("document.title"), "A page");
      await assert.rejects(
        page.evaluate(() => Promise.reject(new RangeError("too far"))),
        /too far/,
      );
    });

    test("evaluate works under a policy without eval, and inline scripts do not", async () => {
      await page.goto(`${site.url}/policy.html`);
      assert.equal(await page.evaluate(() => globalThis.inline), undefined);
      assert.equal((await page.problems(site.url)).length, 1);
      assert.match((await page.problems(site.url))[0], /^console: .*(Content.Security.Policy)/i);
    });

    test("click, type and press reach the page as a user's would", async () => {
      await page.goto(site.url);
      await page.evaluate(() => {
        document.querySelector("button").onclick = (e) => (e.target.textContent = e.isTrusted ? "yes" : "made up");
      });
      await page.click("button");
      assert.equal(await page.evaluate(() => document.querySelector("button").textContent), "yes");
      await page.press("Tab");
      await page.type("aB 1ü");
      await page.press("Backspace");
      await page.type("é");
      assert.equal(await page.evaluate(() => document.activeElement.value), "aB 1é");
      await page.press("Shift+Tab");
      assert.equal(await page.evaluate(() => document.activeElement.localName), "button");
      const { x, y, width, height } = await page.$eval("input", (field) => field.getBoundingClientRect());
      await page.clickAt(Math.floor(x + width / 2), Math.floor(y + height / 2));
      assert.equal(await page.evaluate(() => document.activeElement.localName), "input");
    });

    test("waitFor waits, and returns the value it waited for", async () => {
      await page.goto(site.url);
      await page.evaluate(() => void setTimeout(() => (globalThis.late = { here: true }), 50));
      assert.deepEqual(await page.waitFor(() => globalThis.late), { here: true });
    });

    test("a frame and an opened window are driven like the page", async () => {
      await page.goto(`${site.url}/frame.html`);
      const frame = await page.frame("iframe");
      const opened = await page.opens(() => page.click("button"));
      for (const [place, text] of [
        [frame, "in"],
        [opened, "out"],
        [frame, "side"],
      ]) {
        await place.waitFor(() => document.title === "A page");
        await place.click("input");
        await place.type(text);
      }
      const typed = (place) => place.$eval("input", (field) => field.value);
      assert.deepEqual([await typed(frame), await typed(opened)], ["inside", "out"]);
      assert.equal(await page.evaluate(() => document.title), "Outside");
      await opened.close();
      assert.equal(await page.evaluate(() => document.title), "Outside");
    });

    test("problems reports errors, and nothing else", async () => {
      const page = await browser.newPage();
      await page.goto(site.url);
      await page.evaluate(async () => {
        const controller = new AbortController();
        const aborted = fetch("/hang", { signal: controller.signal }).catch(() => {});
        controller.abort();
        await aborted;
        console.log("fine");
      });
      assert.deepEqual(await page.problems(site.url), []);
      assert.ok((await page.problems()).includes(`request: ${site.url}/`));
      await page.goto(`${site.url}/early.html`);
      await page.evaluate(() => fetch("/missing"));
      const { url: dead, close } = await serve({});
      await close();
      await page.evaluate((dead) => fetch(dead).catch(() => {}), `${dead}/dead`);
      let got;
      const deadline = Date.now() + 20_000;
      do got = await page.problems(site.url);
      while (got.length < 6 && Date.now() < deadline);
      assert.deepEqual(got.sort(), [
        "console: early",
        `failed: ${dead}/dead`,
        `request: ${dead}/dead`,
        `response: 404 ${site.url}/missing`,
        "uncaught: Error: rejected",
        "uncaught: Error: thrown",
      ]);
      await page.forget();
      assert.deepEqual(await page.problems(), []);
      await page.close();
    });

    test("pages share no state, and have the size of their viewport", async () => {
      await page.goto(site.url);
      await page.evaluate(() => {
        localStorage.setItem("a", "b");
        document.cookie = "a=b";
      });
      const other = await dark.newPage({ viewport: { width: 390, height: 844, scale: 2 } });
      await other.goto(site.url);
      const third = await browser.newPage({ viewport: { width: 1000, height: 600 } });
      await third.goto(site.url);
      for (const p of [other, third]) assert.deepEqual(await p.evaluate(() => [localStorage.length, document.cookie]), [0, ""]);
      assert.deepEqual(await third.evaluate(() => [innerWidth, innerHeight, devicePixelRatio]), [1000, 600, 1]);
      await third.setViewport({ width: 800, height: 500 });
      assert.deepEqual(await third.evaluate(() => [innerWidth, innerHeight]), [800, 500]);
      assert.deepEqual(await other.evaluate(() => [innerWidth, innerHeight, devicePixelRatio]), [390, 844, 2]);
      for (const [p, width, colour] of [
        [other, 780, [0, 0, 255, 255]],
        [third, 800, [255, 0, 0, 255]],
      ]) {
        const shot = PNG.sync.read(await p.screenshot());
        assert.equal(shot.width, width);
        assert.deepEqual([...shot.data.subarray(-4)], colour);
        await p.close();
      }
    });
  });
}
