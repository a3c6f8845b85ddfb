// launch in its three modes, in every engine, beside the official package: both
// handle the messages of the launched page in the same way. The improvements of
// this package have tests of their own.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { dist, serve } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";

const entries = { official: "/official/index.js", ours: "/dist/index.js" };
const title = '<!doctype html><html lang="en"><title>Page</title>';

let site;
let ui; // the launched page, on another origin
let foreign; // an origin whose messages must be ignored

before(async () => {
  const before = title + '<button id="before">Before</button>';
  const inside = title + "<button>Inside</button>";
  const under = (policies) => (_, response) => response.writeHead(200, { "Content-Type": "text/html", ...policies }).end(before);
  const sameOrigin = { "Cross-Origin-Opener-Policy": "same-origin" };
  [ui, foreign] = await Promise.all([0, 1].map(() => serve({ "/": inside, "/same-origin": under(sameOrigin) })));
  site = await serve({
    "/": before,
    "/strict.html": (_, response) =>
      response
        .writeHead(200, {
          "Content-Type": "text/html",
          "Content-Security-Policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; frame-src ${ui.url}; require-trusted-types-for 'script'`,
        })
        .end(before),
    "/same-origin": under(sameOrigin),
    "/isolated": under({ ...sameOrigin, "Cross-Origin-Embedder-Policy": "require-corp" }),
    "/same-origin-allow-popups": under({ "Cross-Origin-Opener-Policy": "same-origin-allow-popups" }),
    "/no-frames": under({ "Content-Security-Policy": "frame-src 'self'" }),
    "/official/": new URL("../../node_modules/@authsignal/browser/dist/", import.meta.url),
    "/dist/": dist,
  });
});
after(async () => {
  for (const server of [site, ui, foreign]) await server?.close();
});

const url = () => ui.url + "/?token=abc";

/**
 * Opens a page, in which `start(options, url)` launches; with options it has. In
 * the page, `ended` has the results of the launches, `rejected` the errors of
 * those that were rejected, `errors` the arguments of onError, `messageOrigins` the
 * origins of all messages, and `opened` the last window.
 */
async function open({ browser }, entry, options, path = "/") {
  const page = await browser.newPage();
  await page.goto(site.url + path);
  await page.evaluate(
    async (entry, url, options) => {
      const { Authsignal } = await import(entry);
      const { open } = globalThis;
      Object.assign(globalThis, {
        client: new Authsignal({ tenantId: "t", baseUrl: location.origin }),
        ended: [],
        rejected: [],
        errors: [],
        messageOrigins: [],
        open: (...args) => (globalThis.opened = open.apply(globalThis, args)),
        start(options, at = url) {
          const onError = (error) => errors.push(error);
          client.launch(at, { ...options, onError }).then(
            (result) => ended.push({ ...result, keys: Object.keys(result) }),
            (error) => rejected.push(String(error)),
          );
        },
      });
      addEventListener("message", ({ origin }) => messageOrigins.push(origin));
      if (options) start(options);
    },
    entry,
    url(),
    options,
  );
  return page;
}

/** Closes a page, which must have no problems. */
async function leave(page) {
  assert.deepEqual(await page.problems(site.url, ui.url, foreign.url), []);
  await page.close();
}

/** Waits for the document of the frame that a selector finds; returns the frame. */
async function frameOf(page, selector = "iframe[name=authsignal]", at = url() + "&mode=popup") {
  const frame = await page.frame(selector);
  await frame.waitFor((at) => location.href === at && document.readyState === "complete", at);
  return frame;
}

/** Opens a window by a click, and waits for its document. */
async function windowOf(page) {
  await page.$eval("#before", (button) => (button.onclick = () => start({ mode: "window" })));
  const opened = await page.opens(() => page.click("#before"));
  await opened.waitFor((at) => location.href === at && document.readyState === "complete", url() + "&mode=popup");
  return opened;
}

/** Has a frame or window send a message after this call has returned, since the message may close it. */
const say = (frame, message) => frame.evaluate((message) => void setTimeout(() => (window.opener ?? parent).postMessage(message, "*")), message);
const closing = (token) => JSON.stringify({ event: "AUTHSIGNAL_CLOSE_POPUP", token });

/** Returns the result of the only launch. */
async function end(page) {
  await page.waitFor(() => ended.length);
  const all = await page.evaluate("ended");
  assert.equal(all.length, 1);
  return all[0];
}
const noToken = { keys: ["token"] };

inEngines((at) => {
  for (const [name, entry] of Object.entries(entries)) {
    describe(name, () => {
      test("redirect navigates to the unchanged URL", async () => {
        const page = await open(at, entry);
        await page.evaluate((url) => void setTimeout(() => client.launch(url)), url());
        await page.waitFor((url) => location.href === url, url());
        await leave(page);
      });

      test("a popup takes messages of its own page only, and returns its token", async () => {
        const page = await open(at, entry, { mode: "popup" });
        const frame = await frameOf(page);
        await page.evaluate((src) => {
          const iframe = document.createElement("iframe");
          document.body.append(Object.assign(iframe, { src, name: "foreign" }));
        }, foreign.url + "/");
        await say(await frameOf(page, "iframe[name=foreign]", foreign.url + "/"), closing("foreign-token"));
        await page.waitFor((origin) => messageOrigins.includes(origin), foreign.url);
        for (const message of [{ event: "AUTHSIGNAL_CLOSE_POPUP" }, "no JSON", "null", "7", JSON.stringify({ event: "ANOTHER" }), { height: 600 }]) await say(frame, message);
        await say(frame, JSON.stringify({ event: "AUTHSIGNAL_READY" }));
        await say(frame, JSON.stringify({ event: "AUTHSIGNAL_API_ERROR", errorCode: "expired_token", statusCode: 401 }));
        await page.waitFor(() => errors.length);
        assert.deepEqual(await page.evaluate("errors"), [{ errorCode: "expired_token", statusCode: 401 }]);
        assert.equal(await page.$eval("iframe[name=authsignal]", (e) => e.style.height), "600px");
        const second = await page.evaluate(() => {
          try {
            start({ mode: "popup" });
          } catch (error) {
            return String(error);
          }
        });
        assert.equal(second, "Error: Multiple instances of Authsignal popup is not supported.");
        assert.deepEqual(await page.evaluate("ended"), []);
        await say(frame, closing("new-token"));
        assert.deepEqual(await end(page), { token: "new-token", keys: ["token"] });
        assert.equal(await page.evaluate(() => document.querySelector("iframe[name=authsignal]")), null);
        await leave(page);
      });

      test("a popup that is dismissed returns no token", async () => {
        const page = await open(at, entry, { mode: "popup" });
        await frameOf(page);
        await page.press("Escape");
        assert.deepEqual(await end(page), noToken);
        await leave(page);
      });

      test("a window returns its token and closes", async () => {
        const page = await open(at, entry);
        const opened = await windowOf(page);
        await say(opened, JSON.stringify({ event: "AUTHSIGNAL_API_ERROR", errorCode: "e" }));
        await say(opened, closing("new-token"));
        assert.deepEqual(await end(page), { token: "new-token", keys: ["token"] });
        assert.deepEqual(await page.evaluate("errors"), [{ errorCode: "e" }]);
        await page.waitFor(() => opened.closed);
        await leave(page);
      });
    });
  }

  describe("ours alone", () => {
    const { ours } = entries;

    test("a popup works under a strict policy, traps the focus and has a name", async () => {
      const page = await open(at, ours, { mode: "popup", popupOptions: { width: "500px", height: "300px" } }, "/strict.html");
      await frameOf(page);
      await page.waitFor(() => getComputedStyle(document.querySelector("dialog")).opacity === "1");
      const box = await page.$eval("dialog", (e) => ({
        width: e.offsetWidth,
        height: e.offsetHeight,
        label: e.getAttribute("aria-label"),
        modal: e.matches(":modal"),
        focus: document.activeElement === e,
      }));
      assert.deepEqual(box, { width: 500, height: 300, label: "Multi-factor authentication", modal: true, focus: true });
      // Tab goes through the frame and to the button, never to the page behind.
      const visited = new Set();
      for (let i = 0; i < 6; i++) {
        await page.press("Tab");
        visited.add(await page.evaluate(() => document.activeElement.textContent || document.activeElement.tagName));
      }
      assert.ok(visited.has("IFRAME") && visited.has("Close") && !visited.has("Before"), [...visited].join());
      await page.$eval("dialog button", (e) => e.click());
      assert.deepEqual(await end(page), noToken);
      await leave(page);
    });

    test("a popup that is not closable stays at Escape and at a click beside it", async () => {
      const page = await open(at, ours, { mode: "popup", popupOptions: { isClosable: false } });
      const frame = await frameOf(page);
      for (let i = 0; i < 3; i++) await page.press("Escape");
      await page.clickAt(5, 5);
      // A phone's back gesture cancels without a key.
      assert.equal(await page.$eval("dialog", (e) => e.dispatchEvent(new Event("cancel", { cancelable: true }))), false);
      assert.deepEqual(await page.$eval("dialog", (e) => [e.open, e.querySelectorAll("button").length]), [true, 0]);
      await say(frame, closing("new-token"));
      assert.equal((await end(page)).token, "new-token");
      await leave(page);
    });

    test("a click beside a popup closes it", async () => {
      const page = await open(at, ours, { mode: "popup" });
      await frameOf(page);
      await page.clickAt(5, 5);
      assert.deepEqual(await end(page), noToken);
      await leave(page);
    });

    test("a popup that sends no message is shown after 3 seconds, and fits a phone", async () => {
      const page = await open(at, ours);
      await page.evaluate(() => {
        const { setTimeout } = globalThis;
        // The test decides when the 3 seconds are over.
        globalThis.setTimeout = (f, ms, ...args) => (ms === 3000 ? (globalThis.later = f) : setTimeout(f, ms, ...args));
        start({ mode: "popup", popupOptions: { width: "no width" } });
      });
      await frameOf(page);
      const opacity = () => page.$eval("dialog", (e) => getComputedStyle(e).opacity);
      assert.equal(await page.$eval("dialog", (e) => e.offsetWidth), 385);
      assert.equal(await opacity(), "0");
      await page.evaluate(() => void later());
      assert.equal(await opacity(), "1");
      await page.setViewport({ width: 320, height: 480 });
      assert.deepEqual(await page.$eval("dialog", (e) => [e.getBoundingClientRect().left, e.getBoundingClientRect().right]), [0, 320]);
      await leave(page);
    });

    test("dispose closes a popup", async () => {
      const page = await open(at, ours, { mode: "popup" });
      await frameOf(page);
      await page.evaluate(() => client.dispose());
      assert.deepEqual(await end(page), noToken);
      const later = await page.evaluate(() => {
        try {
          client.launch("https://ui.test/?a");
        } catch (error) {
          return String(error);
        }
      });
      assert.equal(later, "Error: this Authsignal instance has been disposed of: make a new one");
      await leave(page);
    });

    test("a window that the user closes returns no token, however soon after it has loaded", async () => {
      const page = await open(at, ours);
      const opened = await windowOf(page);
      await say(opened, JSON.stringify({ event: "AUTHSIGNAL_READY" }));
      await page.waitFor((origin) => messageOrigins.includes(origin), ui.url);
      await opened.close();
      assert.deepEqual(await end(page), noToken);
      assert.deepEqual(await page.evaluate("rejected"), []);
      await leave(page);
    });

    test("a window that has sent no message and returns the focus was closed by the user", async () => {
      const page = await open(at, ours);
      // Without a screen a browser need not tell which window has the focus.
      await page.evaluate(() => (document.hasFocus = () => Boolean(globalThis.opened?.closed)));
      const opened = await windowOf(page);
      await page.evaluate(() => {
        const { hasFocus } = document;
        globalThis.looked = new Promise((resolve) => (document.hasFocus = () => (resolve(true), hasFocus())));
      });
      assert.equal(await page.evaluate("looked"), true);
      await opened.close();
      assert.deepEqual(await end(page), noToken);
      await leave(page);
    });

    for (const [policy, path, urlPath] of [
      ["this page is under Cross-Origin-Opener-Policy: same-origin", "/same-origin", "/?a"],
      ["this page is isolated", "/isolated", "/?a"],
      ["the other page is under Cross-Origin-Opener-Policy: same-origin", "/", "/same-origin?a"],
      ["both have a policy", "/same-origin-allow-popups", "/same-origin?a"],
    ]) {
      test(`a window that is cut off is an error that names the policy and the remedy: ${policy}`, async () => {
        const page = await open(at, ours, undefined, path);
        await page.$eval("#before", (button, to) => (button.onclick = () => start({ mode: "window" }, to)), ui.url + urlPath);
        await page.click("#before");
        await page.waitFor(() => rejected.length || ended.length);
        const [error] = await page.evaluate("rejected");
        assert.match(error ?? "it ended as if closed", /^Error: the window was cut off .* Cross-Origin-Opener-Policy.* mode "redirect".*, or send same-origin-allow-popups/);
        assert.equal(error.includes('"popup"'), path !== "/isolated", "an isolated page has no popup");
        await leave(page);
      });
    }

    test("a window works under Cross-Origin-Opener-Policy: same-origin-allow-popups", async () => {
      const page = await open(at, ours, undefined, "/same-origin-allow-popups");
      await say(await windowOf(page), closing("new-token"));
      assert.deepEqual(await end(page), { token: "new-token", keys: ["token"] });
      await leave(page);
    });

    test("a popup that the page's own policy forbids is an error that names it", async () => {
      const page = await open(at, ours, undefined, "/no-frames");
      await page.evaluate(() => start({ mode: "popup", popupOptions: { isClosable: false } }));
      await page.waitFor(() => rejected.length);
      assert.deepEqual(await page.evaluate("rejected"), [`Error: the page's Content-Security-Policy forbids the popup: add ${ui.url} to its frame-src`]);
      assert.equal(await page.evaluate(() => document.querySelector("dialog")), null);
      const problems = (await page.problems(site.url, ui.url)).filter((p) => !/Content.Security.Policy/i.test(p));
      assert.deepEqual(problems, []);
      await page.close();
    });

    test("a URL that would run in this page is refused", async () => {
      const page = await open(at, ours);
      const refusal = await page.evaluate(() => {
        try {
          client.launch("javascript:alert(1)");
        } catch (error) {
          return String(error);
        }
      });
      assert.equal(refusal, "TypeError: url must be one of http or https");
      await leave(page);
    });
  });
});

test("without a page, launch throws an error that names the cause", async () => {
  const { Authsignal } = await import(new URL("index.js", dist));
  const client = new Authsignal({ tenantId: "t" });
  assert.equal(client.anonymousId, "");
  assert.throws(() => client.launch("https://ui.test/?a"), /launch needs a page/);
});
