// launch in its three modes, under a strict policy, beside the official
// package: what the launched page says is heard alike.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dist, launchBrowser, serve, watch } from "./harness.mjs";

const entries = { official: "/official/index.js", ours: "/dist/index.js" };
const title = '<!doctype html><html lang="en"><title>Page</title>';

let browser;
let site;
let ui; // the launched page, on another origin
let foreign; // an origin that must not be heard

before(async () => {
  browser = await launchBrowser();
  [ui, foreign] = await Promise.all([0, 1].map(() => serve({ "/": title + "<button>Inside</button>" })));
  site = await serve({
    "/": title + '<button id="before">Before</button>',
    "/strict.html": (_, response) =>
      response
        .writeHead(200, {
          "Content-Type": "text/html",
          "Content-Security-Policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; frame-src ${ui.url}; require-trusted-types-for 'script'`,
        })
        .end(title + '<button id="before">Before</button>'),
    "/official/": new URL("../node_modules/@authsignal/browser/dist/", import.meta.url),
    "/dist/": dist,
  });
});
after(async () => {
  await browser?.close();
  for (const server of [site, ui, foreign]) await server?.close();
});

const url = () => ui.url + "/?token=abc";

/** Opens a page and launches; result() is what it ended with, or undefined. */
async function open(entry, options, path = "/") {
  const page = await browser.newPage();
  const problems = watch(page, site.url, ui.url, foreign.url);
  await page.goto(site.url + path);
  await page.evaluate(
    async (entry, url, options) => {
      const { Authsignal } = await import(entry);
      globalThis.client = new Authsignal({ tenantId: "t", baseUrl: location.origin });
      globalThis.errors = [];
      globalThis.start = () => client.launch(url, { ...options, onError: (e) => errors.push(e) });
      globalThis.ended = [];
      if (options) start().then((result) => ended.push({ ...result, keys: Object.keys(result) }));
    },
    entry,
    url(),
    options,
  );
  return { page, problems, errors: () => page.evaluate("errors"), ended: () => page.evaluate("ended") };
}

async function until(check, what) {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const value = await check();
    if (value) return value;
  }
  assert.fail(`not in time: ${what}`);
}

const frameOf = (page) => until(() => page.frames().find((frame) => frame.url().startsWith(ui.url)), "the frame");
const say = (frame, message) => frame.evaluate((message) => (window.opener ?? parent).postMessage(message, "*"), message);
const closing = JSON.stringify({ event: "AUTHSIGNAL_CLOSE_POPUP", token: "new-token" });

for (const [name, entry] of Object.entries(entries)) {
  describe(name, () => {
    test("redirect leaves for the URL as it is", async () => {
      const { page } = await open(entry);
      await Promise.all([page.waitForNavigation(), page.evaluate((url) => client.launch(url), url())]);
      assert.equal(page.url(), url());
      await page.close();
    });

    test("a popup hears its own page only, and gives its token", async () => {
      const { page, errors, ended } = await open(entry, { mode: "popup" });
      const frame = await frameOf(page);
      assert.equal(frame.url(), url() + "&mode=popup");
      await page.evaluate((url) => {
        const iframe = document.createElement("iframe");
        iframe.src = url;
        iframe.name = "foreign";
        document.body.append(iframe);
      }, foreign.url);
      const other = await until(() => page.frames().find((f) => f.url().startsWith(foreign.url)), "the foreign frame");
      await say(other, closing);
      for (const message of [JSON.parse(closing), "no JSON", "null", "7", JSON.stringify({ event: "ANOTHER" }), { height: 600 }]) await say(frame, message);
      await say(frame, JSON.stringify({ event: "AUTHSIGNAL_READY" }));
      await say(frame, JSON.stringify({ event: "AUTHSIGNAL_API_ERROR", errorCode: "expired_token", statusCode: 401 }));
      await until(async () => (await errors()).length, "the error");
      assert.deepEqual(await errors(), [{ errorCode: "expired_token", statusCode: 401 }]);
      assert.equal(await page.$eval("iframe[name=authsignal]", (e) => e.style.height), "600px");
      assert.equal(await page.evaluate("try { start() } catch (e) { String(e) }"), "Error: Multiple instances of Authsignal popup is not supported.");
      assert.deepEqual(await ended(), []);
      await say(frame, closing);
      await until(async () => (await ended()).length, "the end");
      assert.deepEqual(await ended(), [{ token: "new-token", keys: ["token"] }]);
      assert.equal(await page.$("iframe[name=authsignal]"), null);
      await page.close();
    });

    test("a popup that is dismissed gives no token", async () => {
      const { page, ended } = await open(entry, { mode: "popup" });
      await frameOf(page);
      await page.keyboard.press("Escape");
      await until(async () => (await ended()).length, "the end");
      assert.deepEqual((await ended())[0].keys, ["token"]);
      assert.equal((await ended())[0].token, undefined);
      await page.close();
    });

    test("a window gives its token and closes", async () => {
      const { page, ended, errors } = await open(entry);
      const popup = new Promise((resolve) => page.once("popup", resolve));
      await page.evaluate(() => {
        const button = document.querySelector("#before");
        button.onclick = () => start().then((result) => ended.push(result));
      });
      await page.evaluate((url) => (globalThis.start = () => client.launch(url, { mode: "window", onError: (e) => errors.push(e) })), url());
      await page.click("#before");
      const opened = await popup;
      await until(() => opened.url() === url() + "&mode=popup", "the address");
      await say(opened, JSON.stringify({ event: "AUTHSIGNAL_API_ERROR", errorCode: "e" }));
      await say(opened, closing);
      await until(async () => (await ended()).length, "the end");
      assert.deepEqual([await ended(), (await errors()).map((e) => e.errorCode)], [[{ token: "new-token" }], ["e"]]);
      await until(() => opened.isClosed(), "closing");
      await page.close();
    });
  });
}

describe("ours alone", () => {
  test("a popup works under a strict policy, traps the focus and has a name", async () => {
    const { page, problems, ended } = await open(entries.ours, { mode: "popup", popupOptions: { width: "500px", height: "300px" } }, "/strict.html");
    await frameOf(page);
    await until(() => page.$eval("dialog", (e) => getComputedStyle(e).opacity === "1"), "the dialog");
    const box = await page.$eval("dialog", (e) => ({ width: e.offsetWidth, height: e.offsetHeight, label: e.getAttribute("aria-label"), modal: e.matches(":modal"), focus: document.activeElement === e }));
    assert.deepEqual(box, { width: 500, height: 300, label: "Multi-factor authentication", modal: true, focus: true });
    // Tab goes through the frame and to the button, never to the page behind.
    const visited = new Set();
    for (let i = 0; i < 6; i++) {
      await page.keyboard.press("Tab");
      visited.add(await page.evaluate("document.activeElement.textContent || document.activeElement.tagName"));
    }
    assert.ok(visited.has("IFRAME") && visited.has("Close") && !visited.has("Before"), [...visited].join());
    await page.$eval("dialog button", (e) => e.click());
    await until(async () => (await ended()).length, "the end");
    assert.deepEqual(problems, []);
    await page.close();
  });

  test("a popup that is not closable stays at Escape and at a click beside it", async () => {
    const { page, ended } = await open(entries.ours, { mode: "popup", popupOptions: { isClosable: false } });
    const frame = await frameOf(page);
    for (let i = 0; i < 3; i++) await page.keyboard.press("Escape");
    await page.mouse.click(5, 5);
    assert.equal(await page.$("dialog button"), null);
    assert.deepEqual(await ended(), []);
    await say(frame, closing);
    await until(async () => (await ended()).length, "the end");
    await page.close();
  });

  test("a click beside a popup closes it", async () => {
    const { page, ended } = await open(entries.ours, { mode: "popup" });
    await frameOf(page);
    await page.mouse.click(5, 5);
    await until(async () => (await ended()).length, "the end");
    await page.close();
  });

  test("a popup that says nothing is shown after 3 seconds, and fits a phone", async () => {
    const { page } = await open(entries.ours, { mode: "popup", popupOptions: { width: "no width" } });
    assert.equal(await page.$eval("dialog", (e) => e.offsetWidth), 385);
    await page.setViewport({ width: 320, height: 480 });
    await frameOf(page);
    assert.equal(await page.$eval("dialog", (e) => e.style.opacity), "0");
    await until(() => page.$eval("dialog", (e) => e.style.opacity === "1"), "the dialog");
    assert.ok(await page.$eval("dialog", (e) => e.getBoundingClientRect().right <= innerWidth));
    await page.close();
  });

  test("dispose closes a popup", async () => {
    const { page, ended } = await open(entries.ours, { mode: "popup" });
    await frameOf(page);
    await page.evaluate("client.dispose()");
    await until(async () => (await ended()).length, "the end");
    assert.equal(await page.evaluate(`try { client.launch("https://ui.test/?a") } catch (e) { String(e) }`), "Error: this Authsignal instance has been disposed of: make a new one");
    await page.close();
  });

  test("a window that the user closes gives no token", async () => {
    const { page, ended } = await open(entries.ours);
    const popup = new Promise((resolve) => page.once("popup", resolve));
    await page.evaluate((url) => {
      document.querySelector("#before").onclick = () => client.launch(url, { mode: "window" }).then((result) => ended.push(Object.keys(result)));
    }, url());
    await page.click("#before");
    await (await popup).close();
    await until(async () => (await ended()).length, "the end");
    assert.deepEqual(await ended(), [["token"]]);
    await page.close();
  });

  test("a URL that would run in this page is refused", async () => {
    const { page } = await open(entries.ours);
    assert.equal(await page.evaluate(`try { client.launch("javascript:alert(1)") } catch (e) { String(e) }`), "TypeError: url must be one of http or https");
    await page.close();
  });

  test("without a page, launch says so", async () => {
    const { Authsignal } = await import(new URL("index.js", dist));
    const client = new Authsignal({ tenantId: "t" });
    assert.equal(client.anonymousId, "");
    assert.throws(() => client.launch("https://ui.test/?a"), /launch needs a page/);
  });
});
