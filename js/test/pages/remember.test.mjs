// "Remember this browser" of the pre-built UI: in each engine the way of a user whose
// browser is not asked again, and in Chromium what goes wrong on that way.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { dist, launchBrowser, serve, startServer, temporary, watch } from "../lib/harness.mjs";
import { arrive as arriveIn, backendOf, enrolled, enter, managementKey, setTenant } from "../lib/prebuilt.mjs";
import { arrive, authenticatorOf, declineOffer, enterCode } from "../lib/steps.mjs";

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Lets trusted browsers take the place of a code for 30 days. */
async function trusting(server, action) {
  const response = await fetch(`${server.baseUrl}/management/tenants/${server.tenantId}/actions/${action}`, {
    method: "PUT",
    headers: { Authorization: `Basic ${btoa(`${managementKey}:`)}`, "Content-Type": "application/json" },
    body: JSON.stringify({ defaultOutcome: "CHALLENGE", trustBrowserDays: 30, rules: [] }),
  });
  assert.equal(response.status, 200, await response.text());
}

const startTrusting = async (args = []) => {
  const server = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey }, args });
  await trusting(server, "signIn");
  return server;
};

/** The browsers that a user trusts; with DELETE, the trust ends. */
async function browsersOf(server, user, method = "GET") {
  const response = await fetch(`${server.baseUrl}/users/${user}/trusted-browsers`, { method, headers: { Authorization: `Basic ${btoa(`${server.apiSecretKey}:`)}` } });
  return response.json();
}

/** A certificate of this test, made by the program that is among Go's sources. */
async function certificate() {
  const dir = await mkdtemp(path.join(temporary, "tls-"));
  const run = (...args) => promisify(execFile)("go", args, { cwd: dir });
  const root = (await run("env", "GOROOT")).stdout.trim();
  await run("run", path.join(root, "src/crypto/tls/generate_cert.go"), "-host", "mfa.test", "-ecdsa-curve", "P256");
  return { cert: await readFile(path.join(dir, "cert.pem")), key: await readFile(path.join(dir, "key.pem")) };
}

async function until(condition) {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `it did not come to that in time: ${condition}`);
    await setTimeout(20);
  }
}

const routes = {
  "/app.html": `<!doctype html><html lang="en"><title>An application's page</title><body><p>An application.</p><script src="/dist/index.min.js"></script></body></html>`,
  "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.</body></html>`,
  "/dist/": dist,
};

let api;
let site;
before(async () => ([api, site] = await Promise.all([startTrusting(), serve(routes)])));
after(async () => {
  await site?.close();
  await api?.stop();
});

const track = (userId, attributes = {}) => backendOf(api).track({ userId, action: "signIn", attributes: { redirectUrl: `${site.url}/back`, ...attributes } });

for (const engine of engines) {
  describe(`in ${engine}`, () => {
    let browser;
    before(async () => (browser = await openBrowser(engine)));
    after(() => browser?.close());

    test("a browser that the user remembers is not asked until the trust ends", async () => {
      const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
      const user = `user-of-${engine}`;
      const visit = async (userId, attributes) => page.goto((await track(userId, attributes)).url);
      /** Waits until the page has come back to the application; returns what completed the action. */
      const back = async () => {
        const query = await page.waitFor(() => location.pathname === "/back" && location.search);
        const { isValid, verificationMethod } = await backendOf(api).validateChallenge({ token: new URLSearchParams(query).get("token") });
        return isValid && verificationMethod;
      };

      // At the first enrollment, with the box.
      await visit(user);
      const phone = await authenticatorOf(page);
      assert.equal(await page.evaluate(() => document.querySelector("#enroll-remember").checked), false);
      await page.click("#enroll-remember");
      await enterCode(page, "enroll", phone.code());
      await declineOffer(page);
      assert.equal(await back(), "AUTHENTICATOR_APP");
      for (let i = 0; i < 2; i++) {
        await visit(user);
        assert.equal(await back(), "TRUSTED_BROWSER");
      }
      // A change of the settings needs a code nevertheless.
      await visit(user, { redirectToSettings: true });
      await arrive(page, "challenge");
      assert.equal(await page.evaluate(() => document.querySelector("#challenge-remember")), null);
      assert.doesNotMatch(await page.evaluate(() => document.cookie), /authsignal-browser|tb1_/);

      // Other users of the same browser: one with the box, and one without it.
      const [ticks, declines] = [`ticks-in-${engine}`, `declines-in-${engine}`];
      for (const userId of [ticks, declines]) {
        const other = await enrolled(api, userId);
        await visit(userId);
        await arrive(page, "challenge");
        if (userId === ticks) await page.click("#challenge-remember");
        await enterCode(page, "challenge", other.code());
        assert.equal(await back(), "AUTHENTICATOR_APP");
      }
      for (const userId of [ticks, user]) {
        await visit(userId);
        assert.equal(await back(), "TRUSTED_BROWSER");
      }
      await visit(declines);
      await arrive(page, "challenge");
      assert.equal((await browsersOf(api, user)).length, 1);

      await browsersOf(api, user, "DELETE");
      await visit(user);
      await arrive(page, "challenge");
      await enterCode(page, "challenge", phone.code());
      assert.equal(await back(), "AUTHENTICATOR_APP");
      assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
      await page.close();
    });
  });
}

/** What needs pages of one context, or a server that loses answers. */
function inChromium() {
  let browser;
  let app;
  before(async () => {
    browser = await launchBrowser("--host-resolver-rules=MAP *.test 127.0.0.1", "--ignore-certificate-errors");
    app = site.url.replace("127.0.0.1", "app.test");
    await setTenant(api, { origins: [app] });
  });
  after(() => browser?.close());

  /** Runs a test with pages of a context of its own, which may have no problems. */
  async function visit(run, { url = api.baseUrl, tolerated } = {}) {
    const context = await browser.createBrowserContext();
    try {
      const problems = [];
      const open = async () => {
        const page = await context.newPage();
        page.setDefaultTimeout(30_000);
        problems.push(watch(page, site.url, app, api.baseUrl, url));
        return page;
      };
      await run(open);
      assert.deepEqual(
        problems.flat().filter((problem) => !tolerated?.test(problem)),
        [],
      );
    } finally {
      await context.close();
    }
  }

  const comesBack = async (page, server = api) => {
    await page.waitForFunction(() => location.pathname === "/back");
    const token = new URL(page.url()).searchParams.get("token");
    return (await backendOf(server).validateChallenge({ token })).verificationMethod;
  };

  /** Signs a user in with a code and the box, by the keyboard alone. */
  async function remember(page, url, phone) {
    await page.goto(url);
    await arriveIn(page, "challenge");
    await page.type("#challenge-code", phone.code());
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "challenge-remember");
    await page.keyboard.press("Space");
    await page.keyboard.press("Enter");
  }

  test("two tabs that open at once do not take each other for a thief", async () => {
    await visit(async (open) => {
      const phone = await enrolled(api, "tabs");
      const first = await open();
      await remember(first, (await track("tabs")).url, phone);
      assert.equal(await comesBack(first), "AUTHENTICATOR_APP");
      const tabs = await Promise.all([open(), open(), open(), open()]);
      const tracked = await Promise.all(tabs.map(() => track("tabs")));
      await Promise.all(tabs.map((tab, i) => tab.goto(tracked[i].url)));
      for (const tab of tabs) assert.equal(await comesBack(tab), "TRUSTED_BROWSER");
      assert.equal((await browsersOf(api, "tabs")).length, 1);
    });
  });

  test("a user whose answers are lost is asked for a code, and neither that nor a closed tab is a theft", async () => {
    let losing = false;
    let lost = 0;
    let held; // the function that lets go of a held answer, if answers are held
    let holding = false;
    let server;
    const proxy = http.createServer((request, response) => {
      const upstream = http.request(server.at + request.url, { method: request.method, headers: request.headers }, (answer) => {
        if (request.url.endsWith("/verify/trusted-browser") && losing) {
          lost++;
          answer.resume().on("end", () => request.socket.destroy()); // after the server's commit
          return;
        }
        const forward = () => {
          response.writeHead(answer.statusCode, answer.headers);
          answer.pipe(response);
        };
        if (request.url.endsWith("/verify/trusted-browser") && holding) held = forward;
        else forward();
      });
      request.pipe(upstream);
    });
    await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const publicURL = `http://127.0.0.1:${proxy.address().port}`;
    server = await startTrusting(["-public-url", publicURL]).catch((error) => (proxy.close(), Promise.reject(error)));
    server.at = server.baseUrl.replace(/\/v1$/, "");
    try {
      await visit(
        async (open) => {
          const phone = await enrolled(server, "u");
          const tracks = async (more = {}) => (await backendOf(server).track({ userId: "u", action: "signIn", attributes: { redirectUrl: `${site.url}/back`, ...more } })).url;
          const page = await open();
          await remember(page, await tracks(), phone);
          assert.equal(await comesBack(page, server), "AUTHENTICATOR_APP");
          // The answers to all repetitions are lost: the user is asked for a code.
          losing = true;
          const url = await tracks();
          await page.goto(url);
          await arriveIn(page, "challenge");
          losing = false;
          assert.ok(lost >= 2, `${lost} answers were lost`);
          // The action is completed, and opening its url again brings the cookie.
          const [answer] = await Promise.all([page.waitForResponse((response) => response.url().endsWith("/verify/trusted-browser")), page.goto(url)]);
          assert.equal(await comesBack(page, server), "TRUSTED_BROWSER");
          assert.equal(answer.status(), 200);
          // It is the sign-in of this browser, and not of an attacker who has made it open the url.
          const attacker = await backendOf(server).track({ userId: "u", action: "signIn", attributes: { redirectUrl: `${site.url}/back` } });
          await page.goto(attacker.url);
          assert.equal(await comesBack(page, server), "TRUSTED_BROWSER");
          const { isValid, state } = await backendOf(server).validateChallenge({ token: attacker.token });
          assert.deepEqual([isValid, state], [false, "CHALLENGE_REQUIRED"]);
          // The user closes the tab before the answer arrives: the browser keeps the cookie of it.
          const cookie = async () => (await page.browserContext().cookies()).find(({ name }) => name.includes("authsignal-browser")).value;
          const before = await cookie();
          holding = true;
          const tab = await open();
          await tab.goto(await tracks());
          await until(() => held);
          await tab.close();
          for (let i = 0; i < 5; i++) await page.goto(`${site.url}/back`); // the tab's process ends meanwhile
          held();
          holding = false;
          await until(async () => (await cookie()) !== before);
          await page.goto(await tracks());
          assert.equal(await comesBack(page, server), "TRUSTED_BROWSER");
        },
        { url: publicURL, tolerated: /Failed to load resource.*verify\/trusted-browser/ },
      );
      assert.equal((await browsersOf(server, "u")).length, 1);
    } finally {
      proxy.close();
      proxy.closeAllConnections();
      await server.stop();
    }
  });

  // Over TLS the cookie has a prefix, by which browsers check where it comes from.
  for (const [prefix, root, at] of [
    ["__Host-", "", "/"],
    ["__Secure-", "/mfa", "/mfa/"],
  ]) {
    test(`over TLS the cookie is ${prefix}, of the path ${at}`, async () => {
      let address;
      const proxy = https.createServer(await certificate(), (request, response) => {
        const upstream = http.request(address + request.url.slice(root.length), { method: request.method, headers: request.headers }, (answer) => {
          response.writeHead(answer.statusCode, answer.headers);
          answer.pipe(response);
        });
        request.pipe(upstream);
      });
      await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
      const publicURL = `https://mfa.test:${proxy.address().port}${root}`;
      let server;
      try {
        server = await startServer({ dev: false, env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey }, args: ["-public-url", publicURL] });
        address = server.baseUrl.replace(/\/v1$/, "");
        await setTenant(server, { authenticator: { active: true }, origins: [app] });
        await trusting(server, "signIn");
        const phone = await enrolled(server, "u");
        const url = async () => (await backendOf(server).track({ userId: "u", action: "signIn", attributes: { redirectUrl: `${app}/back` } })).url;
        await visit(
          async (open) => {
            const page = await open();
            await remember(page, await url(), phone);
            assert.equal(await comesBack(page, server), "AUTHENTICATOR_APP");
            await page.goto(await url());
            assert.equal(await comesBack(page, server), "TRUSTED_BROWSER");
            const cookies = (await page.browserContext().cookies()).filter(({ name }) => name.includes("authsignal-browser"));
            assert.deepEqual(
              cookies.map(({ name, path, secure, httpOnly, sameSite, domain }) => [name.replace(/[0-9a-f]{24}$/, ""), path, secure, httpOnly, sameSite, domain]),
              [[`${prefix}authsignal-browser-`, at, true, true, "Lax", "mfa.test"]],
            );
          },
          { url: publicURL },
        );
      } finally {
        proxy.close();
        proxy.closeAllConnections();
        await server?.stop();
      }
    });
  }

  test("the box is offered in a window, and not in a frame of another site", async () => {
    const phone = await enrolled(api, "modes");
    await visit(async (open) => {
      const page = await open();
      const launch = async (mode) => {
        await page.goto(`${app}/app.html`);
        const { url } = await track("modes");
        const start = () =>
          page.evaluate(
            ({ tenantId, baseUrl, url, mode }) => {
              new globalThis.authsignal.Authsignal({ tenantId, baseUrl }).launch(url, { mode }).then((end) => (globalThis.ended = end));
            },
            { tenantId: api.tenantId, baseUrl: api.baseUrl, url, mode },
          );
        if (mode === "window") {
          const [opened] = await Promise.all([new Promise((resolve) => page.once("popup", resolve)), start()]);
          return opened;
        }
        await start();
        return (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
      };
      const frame = await launch("popup");
      await arriveIn(frame, "challenge");
      assert.equal(await frame.$("#challenge-remember"), null);

      const opened = await launch("window");
      await arriveIn(opened, "challenge");
      await opened.click("#challenge-remember");
      await enter(opened, "challenge", phone.code());
      assert.ok((await (await page.waitForFunction(() => globalThis.ended)).jsonValue()).token);
      // A window that is not asked closes at once, with the token of its url.
      await launch("window");
      const { token } = await (await page.waitForFunction(() => globalThis.ended)).jsonValue();
      assert.equal((await backendOf(api).validateChallenge({ token })).verificationMethod, "TRUSTED_BROWSER");
    });
  });

  test("the box is accessible, on a phone and in the dark", async () => {
    await enrolled(api, "axe");
    await visit(async (open) => {
      for (const [width, scheme, locale] of [
        [320, "light", "en"],
        [390, "dark", "de"],
        [1280, "dark", "en"],
      ]) {
        const page = await open();
        await page.setViewport({ width, height: 844 });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        for (const user of ["axe", `newcomer-${width}`]) {
          await page.goto((await track(user, { locale })).url);
          const section = user === "axe" ? "challenge" : "enroll";
          await arriveIn(page, section);
          const box = await page.$(`#${section}-remember`);
          assert.equal(await box.evaluate((input) => input.labels[0].textContent), locale === "de" ? "Diesen Browser 30 Tage lang merken" : "Remember this browser for 30 days");
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}: it is wider than the page`);
          await page.evaluate(axeSource);
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          assert.deepEqual(
            violations.map(({ id, nodes }) => [id, nodes.map((n) => n.html)]),
            [],
          );
        }
        await page.close();
      }
    });
  });
}

if (engines.includes("Chromium")) describe("in Chromium, by puppeteer", inChromium);
