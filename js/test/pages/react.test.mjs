// The React sample of the documentation, word for word, in every engine and by
// keyboard alone: a user enrolls, keeps recovery codes, trusts a browser, loses the
// phone, gets in by a code and enrolls anew.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { root, startServer, temporary } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";
import { managementKey } from "../lib/prebuilt.mjs";
import { serveApps } from "../lib/react.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let api;
let backend;
let site;

/** Calls the API with a key. */
async function post(path, body, key = api.apiSecretKey, method = "POST") {
  const response = await fetch(api.baseUrl + path, {
    method,
    headers: { Authorization: `Basic ${btoa(`${key}:`)}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
  return response.json();
}

before(async () => {
  api = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
  await post(`/management/tenants/${api.tenantId}/actions/signIn`, { defaultOutcome: "CHALLENGE", rules: [], trustBrowserDays: 30 }, managementKey, "PUT");
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
  const [, sample] = (await readFile(path.join(root, "docs/browser-sdk.md"), "utf8")).match(/^```tsx\n(.*?)^```$/ms);
  const app = `${sample.replace("YOUR_TENANT_ID", api.tenantId).replace("YOUR_API_URL", api.baseUrl)}
    import { StrictMode } from "react";
    import { createRoot } from "react-dom/client";
    globalThis.tokens = [];
    globalThis.signIn = (token, isEnrolled) =>
      createRoot(document.querySelector("main")).render(<StrictMode><h1>Sign in</h1><SignIn token={token} isEnrolled={isEnrolled}
        onToken={async (token, trustBrowser) => tokens.push({ token, trustBrowser })} onDone={() => (globalThis.done = true)} /></StrictMode>);`;
  site = await serveApps({ sample: app }, api);
  await site.bundle(19);
});
after(async () => {
  await site?.close();
  await api?.stop();
});

/** Moves the focus with the keyboard to the part of a name. */
async function tabTo(page, part) {
  for (let i = 0; i < 30; i++) {
    if (await page.evaluate((part) => document.activeElement.matches(part), part)) return;
    await page.press("Tab");
  }
  assert.fail(`the keyboard does not reach ${part}`);
}

/** Types a code into the field that the keyboard reaches, and sends it. */
async function enter(page, code) {
  await tabTo(page, "[data-authsignal=code]");
  await page.evaluate((code) => document.execCommand("insertText", false, code), code);
  await page.press("Enter");
}

async function check(page, name) {
  await page.evaluate(`(() => { ${axe} })()`);
  const violations = await page.evaluate(async () => (await globalThis.axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`));
  assert.deepEqual(violations, [], name);
  await page.setViewport({ width: 320, height: 640 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320), `${name}: nothing is wider than 320 px`);
}

inEngines((at) => {
  let userId;
  let page;
  const track = async (attributes) => post(`/users/${userId}/actions/signIn`, attributes ?? {});
  /** Opens the sample with a token of a new action. */
  async function open() {
    const { token, isEnrolled, state } = await track();
    assert.equal(state, isEnrolled ? "CHALLENGE_REQUIRED" : "ALLOW");
    page = await at.browser.newPage();
    await page.goto(`${site.url}/sample19.html`);
    await page.evaluate((token, isEnrolled) => signIn(token, isEnrolled), token, isEnrolled);
    await page.waitForVisible("input");
  }
  /** Has the backend validate the newest token that the page has sent, which is the nth. */
  async function validate(n) {
    const { token, trustBrowser } = await page.waitFor((n) => tokens[n - 1], n);
    return post("/validate", { token, userId, action: "signIn", ...(trustBrowser && { trustBrowser }) });
  }
  async function scanned() {
    await page.waitForVisible("img");
    const secret = await page.$eval("[data-authsignal=secret] code", (e) => e.textContent.replaceAll(" ", ""));
    return authenticatorApp(`otpauth://totp/x?secret=${secret}`);
  }
  const shown = () => page.evaluate(() => [...document.querySelectorAll("li")].map((e) => e.textContent));
  async function close() {
    await page.waitFor(() => globalThis.done);
    assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
    await page.close();
  }

  test("a user enrolls, keeps codes, trusts the browser, loses the phone and gets in by a code", { timeout: 300_000 }, async () => {
    userId = `user-in-${at.engine}`;
    await open();
    const lost = await scanned();
    await check(page, "enrollment");
    await enter(page, lost.code());
    assert.equal((await validate(1)).state, "CHALLENGE_SUCCEEDED");
    await page.waitForVisible("li");
    await check(page, "recovery codes");
    const codes = await shown();
    await tabTo(page, "[type=checkbox]");
    await page.press(" ");
    await tabTo(page, "[data-authsignal=verify]");
    await page.press("Enter");
    await close();

    await open();
    await check(page, "challenge");
    await tabTo(page, "[type=checkbox]");
    await page.press(" ");
    await page.press("Shift+Tab");
    await enter(page, lost.code());
    const { deviceToken, state } = await validate(1);
    assert.equal(state, "CHALLENGE_SUCCEEDED");
    await close();
    const trusted = await track({ deviceToken });
    assert.equal(trusted.state, "ALLOW", "the trusted browser is not asked");

    await open();
    await tabTo(page, "[data-authsignal=switch]");
    await page.press("Enter");
    await page.waitFor(() => document.activeElement.autocomplete === "off");
    await check(page, "recovery code");
    await enter(page, codes[3]);
    await page.waitFor(() => document.activeElement.dataset.authsignal === "continue");
    await check(page, "codes left");
    await page.press("Enter");
    assert.equal((await validate(1)).verificationMethod, "RECOVERY_CODE");
    const found = await scanned();
    await enter(page, found.code());
    await validate(2);
    await page.waitForVisible("li");
    await tabTo(page, "[data-authsignal=decline]");
    await page.press("Enter");
    await close();
    assert.equal((await track({ deviceToken: trusted.deviceToken })).state, "CHALLENGE_REQUIRED", "the browser of before is not trusted any more");

    await open();
    await enter(page, found.code());
    assert.equal((await validate(1)).verificationMethod, "AUTHENTICATOR_APP");
    await close();
    assert.equal((await backend.getAuthenticators({ userId })).length, 2, "the lost one is removed by the backend or in the settings");
  });

  if (at.engine !== "Chromium") return; // what follows needs its DevTools protocol

  test("the file of the codes is downloaded, and on paper is nothing but the codes", async () => {
    userId = "prints";
    await open();
    await enter(page, (await scanned()).code());
    await page.waitForVisible("li");
    const codes = await shown();
    await page.native.emulateMediaType("print");
    const paper = await page.evaluate(() => {
      let text;
      // A dark page that shows its content in a box of its own.
      document.body.setAttribute("bgcolor", "black");
      globalThis.print = () => {
        const colors = [...document.querySelectorAll("li code")].map((e) => getComputedStyle(e).color);
        text = { all: document.body.innerText, colors, clips: getComputedStyle(document.querySelector("main")).overflow };
      };
      document.querySelector("[data-authsignal=print]").click();
      dispatchEvent(new Event("afterprint"));
      return { ...text, after: document.body.innerText };
    });
    assert.deepEqual(paper.all.match(/\S+/g).slice(-10), codes);
    assert.match(paper.all.trim(), /^Recovery codes for 127\.0\.0\.1:\d+, [\d-]+\n+\S+\n/);
    assert.deepEqual([...new Set(paper.colors)], ["rgb(0, 0, 0)"]);
    assert.equal(paper.clips, "visible");
    assert.match(paper.after, /^Sign in/);
    await page.native.emulateMediaType("screen");

    const session = await page.native.createCDPSession();
    const saved = new Promise((resolve) => session.on("Browser.downloadWillBegin", resolve));
    const ended = new Promise((resolve) => session.on("Browser.downloadProgress", ({ state }) => state !== "inProgress" && resolve(state)));
    await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: temporary, eventsEnabled: true, browserContextId: page.native.browserContext().id });
    await page.click("[data-authsignal=download]");
    assert.equal((await saved).suggestedFilename, "recovery-codes.txt");
    assert.equal(await ended, "completed");
    assert.match(await readFile(path.join(temporary, "recovery-codes.txt"), "utf8"), new RegExp(`^Recovery codes for .*\n\n${codes.join("\n")}\n$`));
    await page.close();
  });

  test("an application that uses no German texts has none in its bundle", async () => {
    const bundle = await (await fetch(`${site.url}/sample19.js`)).text();
    assert.match(bundle, /Recovery codes for/);
    assert.doesNotMatch(bundle, /Wiederherstellung/);
  });
});
