// The operator's portal in a real browser: the journey from an empty database
// to a blocked action, by keyboard alone; and every page by axe-core, light and
// dark, at 320 px and at 200 % zoom.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { Authsignal } from "@authsignal/node";
import { launchBrowser, startServer, watch } from "../lib/harness.mjs";
import { fillPortal, portalPages, signIn } from "../lib/portal.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
before(async () => (browser = await launchBrowser()));
after(() => browser?.close());

/** Runs a test with a server of its own without active authenticators, and a page that must have no problems. */
async function visit(run) {
  const server = await startServer({ dev: false });
  const context = await browser.createBrowserContext();
  try {
    const { url, password } = await server.portal();
    await context.overridePermissions(new URL(url).origin, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const problems = watch(page, url);
    await run({ server, page, url, password });
    // The answer to a refused form is not a problem of the page, but Chromium reports it on the console.
    assert.deepEqual(
      problems.filter((problem) => !/status of 4\d\d (?!.*\/static\/)/.test(problem)),
      [],
    );
    assert.ok(!server.log().includes(password), "the log holds the password");
  } finally {
    await context.close();
    await server.stop();
  }
}

/** Moves the focus forward until it is on what the selector names. */
async function tabTo(page, selector) {
  for (let n = 0; n < 80; n++) {
    if (await page.evaluate((selector) => !!document.activeElement?.matches(selector), selector)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`the Tab key does not come to ${selector} on ${page.url()}`);
}

/** Presses Enter on a link or button that leads to another page. */
async function enter(page, selector) {
  await tabTo(page, selector);
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
}

/** Types into a field. */
async function fill(page, selector, text) {
  await tabTo(page, selector);
  await page.keyboard.type(text);
}

/** Returns the text of the page. */
const text = (page) => page.$eval("main", (main) => main.innerText);

test("from an empty database to a blocked action, by keyboard alone", { timeout: 300_000 }, () =>
  visit(async ({ server, page, url, password }) => {
    const authsignal = new Authsignal({ apiSecretKey: server.apiSecretKey, apiUrl: server.baseUrl });
    await assert.rejects(authsignal.track({ userId: "ada", action: "signIn", attributes: {} }), { errorCode: "AUTHENTICATOR_NOT_FOUND" });
    // The log comes through a pipe of its own.
    for (const deadline = Date.now() + 20_000; !server.log().includes(`"activate":"${url}"`); ) {
      assert.ok(Date.now() < deadline, `the log does not say where to activate:\n${server.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    await page.goto(url);
    await page.keyboard.type("not the password"); // the field has the focus
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
    assert.match(await text(page), /The password is wrong/);
    await fill(page, "#password", password);
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);

    await enter(page, 'a[href$="/authenticators/app"]');
    await tabTo(page, "#issuer");
    await page.keyboard.down("Control");
    await page.keyboard.press("A");
    await page.keyboard.up("Control");
    await page.keyboard.type("Shop");
    await enter(page, "button[value=activate]");
    assert.match(await text(page), /The authenticator app is active/);
    assert.match(await text(page), /Shop/);

    await enter(page, 'nav a[href$="/keys"]');
    for (const [id, expected] of Object.entries({ "tenant-id": server.tenantId, "api-url": server.baseUrl })) {
      await tabTo(page, `button[data-copy=${id}]`);
      await page.keyboard.press("Enter");
      await page.waitForFunction((id) => document.querySelector(`button[data-copy=${id}]`).textContent.startsWith("Copied"), {}, id);
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), expected);
    }
    await enter(page, 'form[action$="/keys"] button');
    const key = await page.$eval("#new-key", (code) => code.textContent);
    assert.ok(!page.url().includes(key) && !server.log().includes(key));
    // The keys that the page shows are those that work.
    const fresh = new Authsignal({ apiSecretKey: key, apiUrl: server.baseUrl });
    assert.equal((await fresh.track({ userId: "ada", action: "createPayment", attributes: {} })).state, "ALLOW");

    await enter(page, 'nav a[href$="/actions"]');
    await enter(page, 'a[href$="/actions/createPayment"]');
    await enter(page, 'a[href$="/rule"]');
    await fill(page, "#name", "large amounts");
    await fill(page, "#condition", "has(custom.amount) && custom.amuont > 1000 &&");
    await enter(page, "button[value=try]");
    assert.match(await text(page), /Line 1, column \d+/);
    assert.ok(await page.$("mark"));
    await tabTo(page, "#condition");
    await page.keyboard.down("Control");
    await page.keyboard.press("A");
    await page.keyboard.up("Control");
    await page.keyboard.type("has(custom.amount) && custom.amount > 1000");
    await enter(page, "button[value=try]");
    assert.match(await text(page), /It does not match the sample/);
    await tabTo(page, "#outcome");
    await page.keyboard.type("Block");
    await enter(page, "button[value=save]");

    assert.equal((await fresh.track({ userId: "ada", action: "createPayment", attributes: { custom: { amount: 5000 } } })).state, "BLOCK");
    await enter(page, 'nav a[href$="/activity"]');
    assert.match(await text(page), /Block\s+ada\s+createPayment\s+Rules: large amounts/);
    assert.equal(await page.$$eval("rect.blocked", (bars) => bars.filter((bar) => bar.closest(".plot")).length), 1);

    await enter(page, 'main a[href$="/users/user?id=ada"]');
    await enter(page, 'a[href*="do=end"]');
    assert.match(await text(page), /End all tokens\?[^]*User: ada/);
    await enter(page, "main form button");
    assert.match(await text(page), /All tokens of the user have ended/);
    await enter(page, 'a[href*="do=delete"]');
    await enter(page, "main form button");
    assert.match(await text(page), /The user is deleted/);
    await enter(page, 'form[action$="/sign-out"] button');
    await page.goto(`${url}/t/${server.tenantId}/users`);
    assert.match(page.url(), /sign-in/);
  }),
);

test("every page: axe-core finds nothing, light and dark, and nothing is lost at 320 px or 200 %", { timeout: 600_000 }, () =>
  visit(async ({ server, page, url, password }) => {
    const complaints = [];
    const inspect = async (name) => {
      for (const [scheme, width, judged] of [
        ["light", 1280, true],
        ["light", 1124, false], // the narrowest with the sections beside
        ["light", 900, false], // the narrowest with tables
        ["light", 640, false], // 1280 at 200 %
        ["dark", 320, true],
      ]) {
        await page.setViewport({ width, height: 900 });
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        if (judged) {
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
          for (const { id, nodes } of violations) {
            complaints.push(`${name}, ${scheme}, ${width} px: ${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
          }
        }
        const lost = await page.evaluate(() => {
          const room = document.documentElement.clientWidth;
          return [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > room + 1 && !e.closest(".scroll, .hidden, thead"))
            .map((e) => e.outerHTML.slice(0, 120));
        });
        if (lost.length) complaints.push(`${name}, ${width} px: stands over the edge: ${lost[0]}`);
        // Invisible elements can still make the page wider than the window.
        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) complaints.push(`${name}, ${width} px: it scrolls sideways`);
      }
      await page.setViewport({ width: 1280, height: 900 });
    };
    await page.goto(url);
    await inspect("sign-in");
    await signIn(page, url, password);
    await inspect("overview-empty");
    await fillPortal(server, page);
    for (const [name, go] of Object.entries(portalPages(server, url))) {
      await go(page);
      await inspect(name);
    }
    assert.deepEqual(complaints, []);
  }),
);

test("without a script, everything is there but the copy buttons", { timeout: 120_000 }, () =>
  visit(async ({ server, page, url, password }) => {
    await page.setJavaScriptEnabled(false);
    await signIn(page, url, password);
    await page.goto(`${url}/t/${server.tenantId}/authenticators/stop`);
    await Promise.all([page.waitForNavigation(), page.click("main form button")]);
    assert.match(page.url(), /done=inactive/);
    await page.goto(`${url}/t/${server.tenantId}/keys`);
    await page.setJavaScriptEnabled(true);
    assert.equal(await page.$$eval("button[data-copy]", (buttons) => buttons.filter((b) => !b.hidden).length), 0);
  }),
);
