// The pre-built UI in the engines other than Chromium: the journeys of
// prebuilt.test.mjs that depend on the engine, with this package's launch.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { dist, serve, startServer } from "../lib/harness.mjs";
import { arrive, authenticatorOf, enterCode } from "../lib/steps.mjs";

/** The requested engines, of ENGINES. */
const others = engines.filter((name) => name !== "Chromium");

let api;
let backend;
let site;

before(async () => {
  if (!others.length) return; // without tests, nothing would stop the servers
  [api, site] = await Promise.all([
    startServer(),
    serve({
      "/app.html": `<!doctype html><html lang="en"><title>An application's page</title><body><p>An application.</p><script src="/dist/index.min.js"></script></body></html>`,
      "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.</body></html>`,
      "/dist/": dist,
    }),
  ]);
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
});
after(async () => {
  await site?.close();
  await api?.stop();
});

const track = (userId, attributes = {}) => backend.track({ userId, action: "signIn", attributes: { redirectUrl: `${site.url}/back?keep=this`, ...attributes } });

for (const engine of others) {
  describe(`in ${engine}`, () => {
    let browser;
    before(async () => (browser = await openBrowser(engine)));
    after(() => browser?.close());

    test("enroll, keep recovery codes, come back, enter one, change the settings, and come back", async () => {
      const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
      const userId = `user-of-${engine}`;
      const back = async () => {
        const query = await page.waitFor(() => location.pathname === "/back" && location.search);
        const { state } = await backend.validateChallenge({ token: new URLSearchParams(query).get("token") });
        assert.equal(new URLSearchParams(query).get("keep"), "this");
        return state;
      };
      const go = async (url) => {
        await page.goto(`${site.url}/app.html`);
        await page.evaluate(
          ({ tenantId, baseUrl, url }) => {
            // After this answer: the page that polls is closed.
            setTimeout(() => new globalThis.authsignal.Authsignal({ tenantId, baseUrl }).launch(url));
          },
          { tenantId: api.tenantId, baseUrl: api.baseUrl, url },
        );
        await page.waitFor((root) => location.href === root, api.baseUrl.replace(/v1$/, ""));
      };

      await go((await track(userId)).url);
      const phone = await authenticatorOf(page);
      await page.waitFor(() => document.querySelector("#qr").naturalWidth > 0);
      await enterCode(page, "enroll", phone.code());
      await arrive(page, "codes");
      const [code] = await page.evaluate(() => [...document.querySelectorAll("#codes-list li")].map((item) => item.textContent));
      await page.click("#codes-saved");
      assert.equal(await back(), "CHALLENGE_SUCCEEDED");

      const tracked = await track(userId, { redirectToSettings: true });
      assert.equal(tracked.state, "CHALLENGE_REQUIRED");
      await go(tracked.url);
      // As on paper, without the phone.
      await arrive(page, "challenge");
      await page.click("#to-recovery");
      await enterCode(page, "recovery", code.toLowerCase());
      await arrive(page, "recovered");
      assert.equal(await page.$eval("#recovered-left", (p) => p.textContent), "Recovery codes left: 9");
      await page.click("#recovered-on");
      await arrive(page, "settings");
      await page.waitFor(() => document.querySelector("#list li .remove")?.checkVisibility?.() ?? document.querySelector("#list li .remove"));
      await page.click("#list li .remove");
      await page.click("#list li .danger");
      await page.waitFor(() => !document.querySelector("#settings-empty").hidden);
      await page.click("#settings-done");
      assert.equal(await back(), "CHALLENGE_SUCCEEDED");
      assert.deepEqual(await backend.getAuthenticators({ userId }), []);

      await page.goto(api.baseUrl.replace(/v1$/, ""));
      assert.equal(await page.evaluate(() => document.querySelector("h1#failure-title").textContent), "Please start again");
      assert.deepEqual(
        (await page.problems(site.url, api.baseUrl)).filter((p) => !p.startsWith("response: 401")),
        [],
      );
      await page.close();
    });

    test("a popup is shown in its frame, and reports that it is ready and its height", async () => {
      const page = await browser.newPage();
      const { url } = await track(`popup-of-${engine}`);
      await page.goto(`${site.url}/app.html`);
      await page.evaluate(
        ({ tenantId, baseUrl, url }) => {
          globalThis.messages = [];
          addEventListener("message", ({ origin, data }) => globalThis.messages.push([origin, data]));
          new globalThis.authsignal.Authsignal({ tenantId, baseUrl }).launch(url, { mode: "popup" }).then((end) => (globalThis.ended = end));
        },
        { tenantId: api.tenantId, baseUrl: api.baseUrl, url },
      );
      await page.waitFor(() => globalThis.messages.some(([, data]) => data === '{"event":"AUTHSIGNAL_READY"}'));
      const height = await page.waitFor(() => globalThis.messages.findLast(([, data]) => data.height)?.[1].height);
      assert.ok(height > 150 && height < 1000, `${height}`);
      assert.deepEqual(await page.evaluate(() => [...new Set(globalThis.messages.map(([origin]) => origin))]), [new URL(api.baseUrl).origin]);
      assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
      await page.close();
    });
  });
}
