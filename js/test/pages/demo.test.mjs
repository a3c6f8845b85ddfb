// The journey of a user through the demo, from the real program to a real
// browser: the QR code is read from screenshots of the page, the codes come
// from an independent authenticator app, and the outcome is checked with the
// official server SDK. Nothing is mocked; where a test breaks the network on
// purpose, it names the errors that follow.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import net from "node:net";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { PNG } from "pngjs";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { declineCodes, startDemo } from "../lib/demo.mjs";
import { root, startServer } from "../lib/harness.mjs";
import { managementKey, setTenant } from "../lib/prebuilt.mjs";
import { arrive, enterCode } from "../lib/steps.mjs";

const require = createRequire(import.meta.url);
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
const jsQR = require("jsqr");
prepareZXingModule({ overrides: { wasmBinary: await readFile(require.resolve("zxing-wasm/reader/zxing_reader.wasm")) } });

let demo; // of the engine that is being tested

const desktop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844, scale: 2 };

/**
 * Runs a test in a page of its own. At its end the page may have no
 * problems except those that `tolerated` names.
 */
async function visit(browser, run, { at = demo, viewport = desktop, tolerated } = {}) {
  const page = await browser.newPage({ viewport });
  try {
    await page.goto(at.url);
    await arrive(page, "signIn");
    await run(page);
    const problems = await page.problems(at.url, at.apiUrl);
    assert.deepEqual(tolerated ? problems.filter((p) => !tolerated.test(p)) : problems, []);
  } finally {
    await page.close();
  }
}

/** Returns the id of the element that has the focus. */
const focus = (page) => page.evaluate(() => document.activeElement.id);

/** Waits until the secret is shown and the QR code is drawn. */
async function enrollment(page) {
  await arrive(page, "enroll");
  await page.waitFor(() => document.querySelector("#enroll-busy").textContent === "" && document.querySelector("#qr").complete);
  await page.waitForVisible("#enroll-ready");
}

/**
 * Reads the QR code of a screenshot of the page with both decoders. A change of
 * the document may appear on the screen a moment later.
 */
async function scan(page) {
  for (const deadline = Date.now() + 30_000; ; ) {
    const { data, width, height } = PNG.sync.read(await page.screenshot());
    const image = { data: new Uint8ClampedArray(data), width, height };
    const byJSQR = jsQR(image.data, width, height, { inversionAttempts: "dontInvert" })?.data;
    const [byZXing] = await readBarcodes(image, { formats: ["QRCode"], maxNumberOfSymbols: 1, tryInvert: false });
    if (byJSQR && byJSQR === byZXing?.text) return byJSQR;
    assert.ok(Date.now() < deadline, "both decoders can read the QR code, and read the same");
  }
}

/** Types into the field that has the focus, and submits. */
async function enter(page, text) {
  await page.type(text);
  await page.press("Enter");
}

/** Waits for the answer to a code and returns its text. */
async function refusal(page, step) {
  await page.waitFor((step) => document.querySelector(`#${step}-form`).getAttribute("aria-busy") === "false", step);
  assert.equal(await focus(page), `${step}-code`, "a refused code can be typed over at once");
  assert.equal(await page.$eval(`#${step}-code`, (field) => field.getAttribute("aria-invalid")), "true");
  assert.equal(await page.$eval(`#${step}-error`, (error) => error.role ?? error.getAttribute("role")), "alert");
  return page.$eval(`#${step}-error`, (error) => error.innerText);
}

/** Signs a new user in: up to the protected page. */
async function enroll(page, username) {
  await enter(page, username);
  await enrollment(page);
  const app = authenticatorApp(await page.$eval("#open-app", (link) => link.href));
  await page.focus("#enroll-code");
  await enter(page, app.code());
  await declineCodes(page);
  return app;
}

/** Opens a part of the account page. */
async function open(page, part) {
  await page.click(`#${part} summary`);
  await page.waitFor((part) => document.querySelector(`#${part}`).open, part);
}

/** Signs out, and in again up to the code. */
async function again(page) {
  await page.click("#account .sign-out");
  await arrive(page, "signIn");
  await page.press("Enter"); // the name is still there
  await arrive(page, "challenge");
}

/** Records in the page the requests to its backend. */
function keepTokens(page) {
  return page.evaluate(() => {
    const { fetch } = globalThis;
    globalThis.tokens = [];
    globalThis.fetch = (url, options) => {
      if (String(url).endsWith("/api/verified")) globalThis.tokens.push(JSON.parse(options.body).token);
      return fetch(url, options);
    };
  });
}

/** Signs out, and a new user in: up to the protected page. */
async function next(page, username) {
  await page.click("#account .sign-out");
  await arrive(page, "signIn");
  await page.$eval("#username", (field) => (field.value = ""));
  return enroll(page, username);
}

/** Pays from the account page, with a code. */
async function pay(page, app, amount) {
  await open(page, "payment");
  await page.$eval("#amount", (field, amount) => ((field.value = amount), field.focus()), amount);
  await page.press("Enter");
  await page.waitForVisible("#confirm-payment-form");
  await page.waitFor(() => document.activeElement.id === "payment-code");
  await enter(page, app.code());
  return page.waitFor(() => document.querySelector("#paid").innerText);
}

/** Makes recovery codes at the step that offers them, and returns them. */
async function makeCodes(page) {
  await arrive(page, "codes");
  await page.click("#make-form .primary");
  return listedCodes(page);
}

/** Returns the ten recovery codes that are shown. */
async function listedCodes(page) {
  await page.waitFor(() => document.querySelectorAll("#code-list li").length === 10);
  const codes = await page.evaluate(() => [...document.querySelectorAll("#code-list li")].map((item) => item.textContent));
  assert.equal(new Set(codes).size, 10);
  for (const code of codes) assert.match(code, /^[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}$/);
  return codes;
}

/** Enrolls a new user's app up to the offer of recovery codes. */
async function enrollToCodes(page, username) {
  await enter(page, username);
  await enrollment(page);
  const app = authenticatorApp(await page.$eval("#open-app", (link) => link.href));
  await page.focus("#enroll-code");
  await enter(page, app.code());
  return app;
}

/** Sets up the app that the step "enroll" shows to a user who has recovered. */
async function newApp(page) {
  await enrollment(page);
  const app = authenticatorApp(await page.$eval("#open-app", (link) => link.href));
  await page.focus("#enroll-code");
  await enter(page, app.code());
  return app;
}

/** Waits until the user of the page has got a notice, there and in the terminal. */
async function noticed(page, username, text) {
  await page.waitFor((text) => document.querySelector("#notice-list").textContent.includes(text), text);
  assert.ok(
    demo
      .mail()
      .split("\n")
      .some((line) => line.startsWith(`Mail to "${username}": `) && line.includes(text)),
    demo.mail(),
  );
}

/** Waits for what the summary of a part of the account page says. */
const summary = (page, part, text) => page.waitFor((part, text) => document.querySelector(`#${part} .state`).textContent === text, part, text);

/** Checks the step that is shown: axe-core finds nothing, and nothing is lost at 320 px. */
async function checkStep(page) {
  await page.setViewport({ width: 320, height: 568 });
  assert.equal(await page.$eval("html", (html) => html.scrollWidth - html.clientWidth), 0, `at 320 px: ${await page.evaluate("document.title")}`);
  await page.setViewport(desktop);
  for (const value of ["light", "dark"]) {
    await page.native.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
    await page.native.evaluate(axe);
    const violations = await page.evaluate(async () => (await globalThis.axe.run({ resultTypes: ["violations"] })).violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`));
    assert.deepEqual(violations, [], `${value}: ${await page.evaluate("document.title")}`);
  }
}

/** Presses a button in a popup, which may still change its height and so move the button. */
const press = (frame, selector) => frame.$eval(selector, (button) => button.click());

/** Opens the settings from the account page and passes their challenge. Returns the frame. */
async function openSettings(page, app) {
  await open(page, "authenticators");
  await page.click("#settings-form button");
  const frame = await page.frame("iframe[name=authsignal]");
  await enterCode(frame, "challenge", app.code());
  await arrive(frame, "settings");
  return frame;
}

/** Enters a code to show that the codes are kept, and returns the text of the refusal. */
async function keep(page, code) {
  await page.$eval("#keep-error", (error) => (error.textContent = ""));
  await page.focus("#keep-code");
  await page.$eval("#keep-code", (field) => field.select());
  await enter(page, code);
  return page.waitFor(() => document.querySelector("#keep-form").getAttribute("aria-busy") === "false" && document.querySelector("#keep-error").textContent);
}

// Requests that fail on purpose.
const reset = /^failed: .*\/verify\/totp$/;
const forbidden = /^response: 403 /;
const unauthorized = /^response: 401 /;

/** Rejects if a promise does not settle within some seconds. */
function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** An answer that replaces the API's own, for catchNext. */
const apiAnswer = (status, body) => ({
  responseCode: status,
  responseHeaders: [
    { name: "Content-Type", value: "application/json" },
    { name: "Access-Control-Allow-Origin", value: demo.url },
  ],
  body: Buffer.from(JSON.stringify(body)).toString("base64"),
});

const verify = "*/client/verify/totp";

/**
 * Intercepts in Chromium the next POST to a URL: at "Request" before the API receives
 * it, at "Response" after it has answered. The connection breaks, unless another
 * `answer` is given. Returns a function that waits for it.
 */
async function catchNext(page, urlPattern, requestStage, answer) {
  const cdp = await page.native.createCDPSession();
  const caught = new Promise((resolve) => {
    cdp.on("Fetch.requestPaused", async ({ requestId, request }) => {
      if (request.method !== "POST") return cdp.send("Fetch.continueRequest", { requestId });
      await (answer ? cdp.send("Fetch.fulfillRequest", { requestId, ...answer }) : cdp.send("Fetch.failRequest", { requestId, errorReason: "ConnectionReset" }));
      await cdp.detach();
      resolve();
    });
  });
  await cdp.send("Fetch.enable", { patterns: [{ urlPattern, requestStage }] });
  return () => within(20, "the request to be caught", caught);
}

for (const engine of engines) {
  describe(`in ${engine}`, () => {
    let browser;
    before(async () => {
      [browser, demo] = await Promise.all([openBrowser(engine), startDemo()]);
    });
    after(async () => {
      await browser?.close();
      await demo?.stop();
    });

    test("enroll, sign out, sign in with a code, remove, enroll again", async () => {
      const official = await demo.official();
      await visit(browser, async (page) => {
        const tokens = [];
        const validate = async (action) => {
          tokens.push(...(await page.evaluate("tokens")));
          return official.validateChallenge({ token: tokens.at(-1), userId: "jane", action });
        };
        await keepTokens(page);

        // By keyboard alone.
        assert.equal(await focus(page), "username");
        assert.match(await page.$eval("#signIn", (s) => s.innerText), /stands for the first factor/);
        await enter(page, "Jane");

        await enrollment(page);
        assert.equal(await focus(page), "enroll-title");
        assert.match(await page.evaluate("document.title"), /^Protect your account/);
        const uri = await scan(page);
        const app = authenticatorApp(uri);
        assert.equal(app.totp.issuer, "Authsignal demo");
        assert.equal(app.totp.label, "jane");
        const secret = app.totp.secret.base32;
        assert.equal(await page.$eval("#secret", (e) => e.textContent.trim()), secret.match(/.{4}/g).join(" "));
        assert.deepEqual(await page.$eval("#secret", (e) => [e.dir, e.translate]), ["ltr", false]);
        assert.ok(!(await page.$eval("#qr", (e) => e.alt)).includes(secret));
        await page.press("Tab");
        assert.equal(await focus(page), "copy");
        await page.press("Enter");
        await page.waitFor(() => document.querySelector("#copied").innerText.startsWith("Copied"));
        // In the other engines, only a user can read it.
        if (engine === "Chromium") {
          await page.native.browserContext().overridePermissions(demo.url, ["clipboard-read"]);
          assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
        }
        await page.press("Tab");
        assert.equal(await focus(page), "enroll-code");
        await enter(page, app.wrong());
        assert.match(await refusal(page, "enroll"), /not accepted.*your phone’s clock/);
        const first = app.code();
        await enter(page, first);

        await arrive(page, "codes");
        assert.equal(await focus(page), "codes-title");
        await page.press("Tab");
        await page.press("Tab");
        await page.press("Enter"); // not now
        await arrive(page, "account");
        assert.equal(await focus(page), "account-title");
        await page.waitFor(() => document.querySelector("#protected-by").innerText.includes("Authenticator app"));
        assert.match(await page.$eval("#account", (s) => s.innerText), /You are signed in, jane[^]*shows this page only after a code/);
        assert.equal(await page.$eval("body", (body, secret) => body.innerHTML.includes(secret), secret), false, "the secret has left the page");
        const enrolled = await validate("enroll");
        assert.equal(enrolled.state, "CHALLENGE_SUCCEEDED");
        assert.equal(enrolled.isValid, true);

        await again(page);
        assert.equal(await focus(page), "challenge-code");
        const field = await page.$eval("#challenge-code", (field) => [
          field.type,
          field.inputMode,
          field.getAttribute("autocomplete"), // Firefox knows no one-time-code
          field.maxLength,
          field.labels[0].innerText,
        ]);
        assert.deepEqual(field, ["text", "numeric", "one-time-code", -1, "Code"]);
        assert.equal(await page.evaluate(async () => (await fetch("/api/session")).json().then((s) => s.step)), "challenge");
        await enter(page, "12345");
        assert.match(await refusal(page, "challenge"), /Enter the 6 digits/);
        await enter(page, first);
        assert.match(await refusal(page, "challenge"), /Already used\?.*wait for the next one/);
        await enter(page, app.wrong());
        assert.match(await refusal(page, "challenge"), /not accepted.*Mistyped\?/);
        // After a reload the page shows the same step and the same advice.
        await page.reload();
        await arrive(page, "challenge");
        await keepTokens(page);
        await page.focus("#challenge-code");
        await enter(page, first);
        assert.match(await refusal(page, "challenge"), /Already used\?.*wait for the next one/);
        await enter(page, app.code().replace(/(...)/, "$1 ")); // as many apps show it

        await arrive(page, "account");
        await page.waitFor(() => document.querySelector("#validated").innerText === "signIn");
        const signedIn = await validate("signIn");
        assert.equal(signedIn.state, "CHALLENGE_SUCCEEDED");
        assert.equal(signedIn.isValid, true);
        assert.equal(signedIn.verificationMethod, "AUTHENTICATOR_APP");

        await page.focus("#authenticators summary");
        await page.press("Enter");
        await page.waitFor(() => document.querySelector("#authenticators").open);
        await page.focus("#authenticators .remove");
        await page.press("Enter");
        assert.equal(await focus(page), "keep");
        await page.press("Escape");
        assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Remove Phone");
        assert.equal((await official.getAuthenticators({ userId: "jane" })).length, 1);
        await page.press("Enter");
        await page.press("Shift+Tab");
        await page.press("Enter");
        await arrive(page, "signIn");
        assert.match(await page.$eval("#notice", (e) => e.innerText), /was removed/);
        assert.deepEqual(await official.getAuthenticators({ userId: "jane" }), []);

        await page.press("Enter");
        await enrollment(page);
        assert.notEqual(await scan(page), uri, "a new secret");
        for (const hidden of [secret, first, ...tokens]) assert.ok(!demo.log().includes(hidden), "the log holds no secret, code or token");
      });
    });

    test("loaded again, the page shows that its QR code replaces the earlier one, whose codes are then wrong", async () => {
      await visit(browser, async (page) => {
        const replaced = () => page.$eval("#replaced", (e) => [e.innerText, e.getAttribute("role")]);
        const authenticator = async () => authenticatorApp(await page.$eval("#open-app", (link) => link.href));
        await enter(page, "loads-again");
        await enrollment(page);
        assert.deepEqual(await replaced(), ["", "status"]);
        const earlier = await authenticator();
        await page.reload();
        await enrollment(page);
        const said = "An earlier QR code for this account no longer works. If you scanned it, delete its entry in your app and use this one.";
        assert.deepEqual(await replaced(), [said, "status"]);

        await page.focus("#enroll-code");
        await enter(page, earlier.code());
        assert.match(await refusal(page, "enroll"), /not accepted.*open twice: only the newest QR code works/);
        await enter(page, (await authenticator()).code());
        await declineCodes(page);
        assert.deepEqual(await replaced(), ["", "status"], "it leaves the page with its step");
      });
    });

    test("on a phone, in the dark, with the API server's own binary", async () => {
      const touch = engine === "Chromium"; // no other engine emulates a phone, but all are as narrow
      const server = await startServer();
      const dark = await openBrowser(engine, { scheme: "dark" });
      const at = await startDemo({
        AUTHSIGNAL_API_URL: server.baseUrl,
        AUTHSIGNAL_API_SECRET_KEY: server.apiSecretKey,
        AUTHSIGNAL_TENANT_ID: server.tenantId,
      });
      try {
        await visit(
          dark,
          async (page) => {
            await enter(page, "jane");
            await enrollment(page);
            assert.equal(await page.$eval("html", (html) => html.scrollWidth - html.clientWidth), 0, "nothing is cut off");
            await page.$eval("#qr", (e) => e.scrollIntoView({ block: "center" }));
            const uri = await scan(page);
            // A phone cannot scan its own screen: it opens its app.
            if (touch) await page.waitForVisible("#open-app");
            assert.equal(await page.$eval("#open-app", (e) => e.href), uri);
            await page.click("#enroll-code");
            await enter(page, authenticatorApp(uri).code());
            await declineCodes(page);
            await again(page);
          },
          { at, viewport: touch ? { ...phone, touch } : phone },
        );
      } finally {
        await dark.close();
        await at.stop();
        await server.stop();
      }
    });

    test("a payment is confirmed by a code, once", async () => {
      const official = await demo.official();
      await visit(
        browser,
        async (page) => {
          const app = await enroll(page, "payer");
          await open(page, "payment");
          await page.$eval("#amount", (field) => ((field.value = "much"), field.focus()));
          await page.press("Enter");
          await page.waitFor(() => /above 0/.test(document.querySelector("#pay-error").innerText));
          assert.equal(await focus(page), "amount");
          await page.$eval("#amount", (field) => (field.value = "250,5"));
          await page.press("Enter");
          await page.waitForVisible("#confirm-payment-form");
          assert.equal(await page.$eval("#confirm-payment-form", (form) => form.querySelector("label").innerText), "Code to confirm 250.5");
          await page.waitFor(() => document.activeElement.id === "payment-code");
          await enter(page, app.wrong());
          await page.waitFor(() => document.querySelector("#payment-error").innerText);
          assert.equal(await page.$eval("#paid", (e) => e.innerText), "");
          await page.$eval("#payment-code", (field) => field.select());
          await enter(page, app.code());
          assert.equal(await page.waitFor(() => document.querySelector("#paid").innerText), "Paid: 250.5.");
          assert.equal(await page.$eval("#confirm-payment-form", (form) => form.hidden), true);
          const [action] = (await official.queryUserActions({ userId: "payer", actionCodes: ["payment"] })) ?? [];
          assert.equal(action.state, "CHALLENGE_SUCCEEDED");
        },
        { tolerated: /^response: 400 .*\/api\/pay$/ },
      );
    });

    test("the settings of the pre-built UI show the authenticator; removing it there ends the session", async () => {
      await visit(
        browser,
        async (page) => {
          const app = await enroll(page, "manager");
          const settings = await openSettings(page, app);
          await settings.waitForVisible("#list li .remove");
          await press(settings, "#list li .remove");
          await press(settings, "#list li .danger");
          await settings.waitFor(() => !document.querySelector("#settings-empty").hidden);
          await press(settings, "#settings-done");
          await arrive(page, "signIn");
          assert.match(await page.$eval("#notice", (e) => e.innerText), /authenticator was removed. Sign in again/);
        },
        { tolerated: unauthorized },
      );
    });

    test("keep recovery codes, have the browser remembered, lose the phone, come back with a recovery code and a new app", async () => {
      const official = await demo.official();
      await visit(
        browser,
        async (page) => {
          const lost = await enrollToCodes(page, "loser");
          const codes = await makeCodes(page);
          assert.equal(await focus(page), "codes-title");
          await page.evaluate(() => {
            const { createObjectURL } = URL;
            globalThis.kept = {};
            URL.createObjectURL = (blob) => (blob.text().then((text) => (globalThis.kept.file = text)), createObjectURL(blob));
            HTMLAnchorElement.prototype.click = function () {
              globalThis.kept.name = this.download;
            };
            globalThis.print = () => (globalThis.kept.printed = true);
          });
          await page.click("#copy-codes");
          await page.waitFor(() => document.querySelector("#codes-copied").innerText.startsWith("Copied"));
          await page.click("#download-codes");
          const file = await page.waitFor(() => globalThis.kept.file);
          assert.deepEqual(file.split("\r\n").slice(3, 13), codes);
          assert.match(file, /^Recovery codes of loser for the Authsignal demo/);
          await page.click("#print-codes");
          assert.deepEqual(await page.evaluate(() => [globalThis.kept.name, globalThis.kept.printed]), ["recovery-codes.txt", true]);

          // None of them is in force before the user has kept them.
          assert.match(await keep(page, ""), /Enter one of the codes/);
          assert.match(await keep(page, "2222-2222-2222"), /none of these codes/);
          await page.focus("#keep-code");
          await page.$eval("#keep-code", (field) => field.select());
          await enter(page, codes[3].toLowerCase().replaceAll("-", ""));
          await arrive(page, "account");
          assert.equal(await page.waitFor(() => document.querySelector("#notice").innerText), "Your recovery codes are in force.");
          await summary(page, "recovery", "10 of 10 left");
          assert.equal(await page.$eval("body", (body, code) => body.innerHTML.includes(code), codes[0]), false, "the codes have left the page");
          await noticed(page, "loser", "An authenticator app was added");
          await noticed(page, "loser", "New recovery codes are in force");

          // The next sign-in needs no code; a payment does.
          await again(page);
          await page.click("#remember");
          await page.focus("#challenge-code");
          await enter(page, lost.code());
          await arrive(page, "account");
          assert.match(await page.waitFor(() => document.querySelector("#notice").innerText), /^This browser is remembered/);
          await summary(page, "browsers", "1");
          await noticed(page, "loser", "A browser is remembered");
          await page.click("#account .sign-out");
          await arrive(page, "signIn");
          await page.press("Enter");
          await arrive(page, "account");
          assert.equal(await page.$eval("#signed-in-by", (e) => e.innerText), "None: this browser is remembered");
          assert.doesNotMatch(await page.evaluate("document.cookie"), /authsignal_demo/, "no script reads the cookies of the backend");
          await open(page, "payment");
          await page.click("#pay-form button");
          await page.waitForVisible("#confirm-payment-form");

          // The phone is lost: a recovery code takes its place, once.
          await open(page, "authenticators");
          await page.click("#authenticators-form > button");
          await arrive(page, "challenge");
          assert.equal(await page.$eval("#remember", (box) => box.checkVisibility()), false);
          await page.click("#use-recovery");
          await arrive(page, "recover");
          assert.equal(await focus(page), "recover-code");
          await enter(page, "2222-2222-2222");
          assert.match(await refusal(page, "recover"), /not accepted.*each works once/);
          await enter(page, codes[0]);
          await enrollment(page);
          assert.equal(await page.waitFor(() => document.querySelector("#notice").innerText), "9 recovery codes are left.");
          const found = await newApp(page);
          await arrive(page, "account");
          assert.equal(await page.waitFor(() => document.querySelector("#notice").innerText), "The app was added.");
          await summary(page, "authenticators", "2");
          await summary(page, "recovery", "9 of 10 left");
          await summary(page, "browsers", "none");
          assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("#authenticator-list b")].map((name) => name.textContent)), ["Phone", "New phone"]);
          await page.click('#authenticator-list [aria-label="Remove Phone"]');
          await page.click("#confirm .danger");
          await summary(page, "authenticators", "1");
          assert.deepEqual(
            (await official.getAuthenticators({ userId: "loser" })).map(({ name }) => name),
            ["New phone"],
          );
          await noticed(page, "loser", "9 are left");
          await noticed(page, "loser", "An authenticator app was removed");

          // This browser is remembered no more, and the lost app is worthless.
          await again(page);
          await enter(page, lost.code());
          await refusal(page, "challenge");
          await enter(page, found.code());
          await arrive(page, "account");
          await page.waitFor(() => document.querySelector("#signed-in-by").innerText === "A code of the app");
          for (const code of codes) assert.ok(!`${demo.log()}${demo.mail()}`.includes(code), "no log holds a recovery code");
        },
        { tolerated: forbidden },
      );
    });

    test("sign in with one of the last recovery codes: the page leads to a new app, new codes, and the removal of the lost app", async () => {
      const official = await demo.official();
      await visit(browser, async (page) => {
        await enrollToCodes(page, "spender");
        const codes = await makeCodes(page);
        await page.click("#saved");
        await arrive(page, "account");
        for (const recoveryCode of codes.slice(0, 7)) {
          const { token } = await official.track({ userId: "spender", action: "elsewhere" });
          const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
          const answer = await fetch(`${demo.apiUrl}/client/verify/recovery-code`, { method: "POST", headers, body: JSON.stringify({ recoveryCode }) });
          assert.equal((await answer.json()).isVerified, true);
        }
        await again(page);
        await page.click("#use-recovery");
        await arrive(page, "recover");
        await enter(page, codes[0]); // it was used
        assert.match(await refusal(page, "recover"), /each works once/);
        await page.click("#use-app");
        await arrive(page, "challenge");
        await page.click("#use-recovery");
        await arrive(page, "recover");
        await enter(page, codes[7]);
        await arrive(page, "recovered");
        assert.deepEqual(await page.$eval("#codes-left", (e) => [e.innerText, e.className]), ["2 recovery codes are left. Make new ones soon.", "notice warning"]);
        await page.click("#set-up");
        await newApp(page);
        const fresh = await makeCodes(page);
        assert.ok(!fresh.includes(codes[9]));
        await page.click("#saved");
        await arrive(page, "replace");
        assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("#replace-list b")].map((name) => name.textContent)), ["Phone"]);
        await page.click("#replace-list .danger");
        await arrive(page, "account");
        assert.match(await page.waitFor(() => document.querySelector("#notice").innerText), /^The lost app was removed/);
        await page.waitFor(() => document.querySelector("#signed-in-by").innerText === "A recovery code");
        await summary(page, "authenticators", "1");
        await summary(page, "recovery", "10 of 10 left");
        await noticed(page, "spender", "Only 2 recovery codes");
      });
    });

    test("recovery codes that another page has replaced are not put in force, and the page says so", async () => {
      await visit(browser, async (page) => {
        await keepTokens(page);
        await enrollToCodes(page, "twice");
        const [code] = await makeCodes(page);
        const made = await page.evaluate(async (apiUrl) => {
          const headers = { Authorization: `Bearer ${globalThis.tokens.at(-1)}` };
          const answer = await fetch(`${apiUrl}/client/recovery-codes`, { method: "POST", headers });
          return (await answer.json()).recoveryCodes.length;
        }, demo.apiUrl);
        assert.equal(made, 10);
        await page.click("#saved");
        assert.match(await refusal(page, "keep"), /^These codes cannot be confirmed: newer ones/);
        await enter(page, code.toLowerCase());
        assert.match(await refusal(page, "keep"), /^These codes cannot be confirmed: newer ones/);
        await page.click("#keep-form .done");
        await arrive(page, "account");
        await summary(page, "recovery", "none");
      });
    });

    test("an enrollment policy: the page names the deadline, lets the user wait until then, and not after it", async () => {
      const server = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
      const at = await startDemo({ AUTHSIGNAL_API_URL: server.baseUrl, AUTHSIGNAL_API_SECRET_KEY: server.apiSecretKey, AUTHSIGNAL_TENANT_ID: server.tenantId });
      const banner = (page) => page.$eval("#deadline", (e) => e.innerText);
      try {
        await setTenant(server, { enrollmentPolicy: { requiredFrom: "2100-03-01T12:00:00Z", graceDays: 0 } });
        await visit(
          browser,
          async (page) => {
            await enter(page, "waiting");
            await enrollment(page);
            assert.match(await banner(page), /^You have until Mar 1, 2100.* After that, you cannot sign in without an app\.$/);
            if (engine === "Chromium") await checkStep(page);
            await page.click("#later-form button");
            await arrive(page, "account");
            assert.match(await page.waitFor(() => document.querySelector("#due").innerText), /^Mar 1, 2100/);
            assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("#account > details:not([hidden])")].map((part) => part.id)), ["payment", "notices"]);
            if (engine === "Chromium") await checkStep(page);
            await page.click("#due-form button");
            await newApp(page);
            await declineCodes(page);
            await page.waitFor(() => document.querySelector("#protected-by").innerText === "Authenticator app");
            assert.equal(await page.$eval("#due-form", (form) => form.checkVisibility()), false);

            await setTenant(server, { enrollmentPolicy: { requiredFrom: "2026-01-01", graceDays: 0 } });
            await page.click("#account .sign-out");
            await arrive(page, "signIn");
            await page.$eval("#username", (field) => field.select());
            await enter(page, "too-late");
            await enrollment(page);
            assert.match(await banner(page), /^Required since /);
            assert.equal(await page.$eval("#later-form", (form) => form.checkVisibility()), false);
          },
          { at },
        );
      } finally {
        await at.stop();
        await server.stop();
      }
    });

    test("rename an app, and forget a browser", async () => {
      await visit(
        browser,
        async (page) => {
          const app = await enroll(page, "namer");
          await again(page);
          await page.click("#remember");
          await page.focus("#challenge-code");
          await enter(page, app.code());
          await arrive(page, "account");
          await open(page, "authenticators");
          await page.click("#authenticator-list .rename");
          assert.equal(await focus(page), "rename-name");
          await enter(page, "<b>Work</b> phone");
          await page.waitFor(() => document.querySelector("#authenticator-list b").textContent === "<b>Work</b> phone");
          assert.equal(await page.$eval("#rename", (dialog) => dialog.open), false);
          await noticed(page, "namer", "is now called");
          await open(page, "browsers");
          await page.click("#browser-list button");
          await summary(page, "browsers", "none");
          await again(page);
        },
        { tolerated: forbidden },
      );
    });

    // A page at such an address is no secure context: it has no clipboard, no
    // crypto.randomUUID and no headers that name the origin of a request.
    test("at an address in the network, and under the machine's name: enroll, sign in, pay, settings", async () => {
      const address = Object.values(networkInterfaces())
        .flat()
        .find(({ internal, family }) => !internal && family === "IPv4")?.address;
      assert.ok(address, "this test needs a machine with an address in a network");
      for (const [addr, host] of [
        [`${address}:0`, address],
        ["0.0.0.0:0", hostname().toLowerCase()],
      ]) {
        const started = await startDemo({ DEMO_ADDR: addr });
        const { port } = new URL(started.url);
        const at = { ...started, url: `http://${host}:${port}` };
        try {
          await visit(
            browser,
            async (page) => {
              assert.equal(await page.evaluate(() => location.hostname), host);
              assert.equal(await page.evaluate("isSecureContext"), false);
              assert.ok(!/\/\/(127|localhost)/.test(at.apiUrl), "a phone reaches the API");
              await enter(page, "jane");
              await enrollment(page);
              const app = authenticatorApp(await scan(page));
              await page.click("#copy");
              await page.waitFor(() => document.querySelector("#copied").innerText.startsWith("Selected"));
              await page.focus("#enroll-code");
              await enter(page, app.code());
              await declineCodes(page);
              await again(page);
              await enter(page, app.code());
              await arrive(page, "account");

              // The drift accepts two codes at a time: the others continue.
              assert.equal(await pay(page, await next(page, "payer"), "12"), "Paid: 12.");
              const settings = await openSettings(page, await next(page, "manager"));
              await press(settings, "#settings-done");
              await page.waitFor(() => !document.querySelector("iframe[name=authsignal]"));
              await arrive(page, "account");
              await page.waitFor(() => document.querySelector("#protected-by").innerText.includes("Authenticator app"));
            },
            { at },
          );
        } finally {
          await started.stop();
        }
      }
    });

    test("too many wrong codes: the page shows when to try again", async () => {
      await visit(browser, async (page) => {
        const app = await enroll(page, "guesser");
        await again(page);
        let text = "";
        for (let tries = 0; tries < 12 && !text.startsWith("Too many"); tries++) {
          await enter(page, app.wrong());
          text = await refusal(page, "challenge");
        }
        // The block that lasts has the same reason.
        assert.match(text, /Too many wrong codes.*wait 5 minutes.*If this message appears again.*locked/);
        await enter(page, app.code());
        assert.match(await refusal(page, "challenge"), /Too many wrong codes/);
      });
    });

    test("a session that ended elsewhere: the page asks to sign in again", async () => {
      await visit(
        browser,
        async (page) => {
          await enroll(page, "elsewhere");
          // Otherwise the page's own request finds that the session has ended.
          await page.waitFor(() => document.querySelector("#protected-by").innerText.includes("Authenticator app"));
          await page.evaluate(() => fetch("/api/sign-out", { method: "POST" }));
          await open(page, "authenticators");
          await page.click("#authenticators .remove");
          await page.click("#confirm .danger");
          await arrive(page, "signIn");
          assert.match(await page.$eval("#notice", (e) => e.innerText), /session has ended/);
        },
        { tolerated: unauthorized },
      );
    });

    // The following tests need Chromium's DevTools protocol to break the network, or
    // concern the files that the demo serves.
    if (engine !== "Chromium") return;

    test("every step of recovery, by keyboard alone: axe-core finds nothing, light and dark, and nothing is lost at 320 px", async () => {
      await visit(browser, async (page) => {
        // Goes on by Tab to the element that a selector finds, and presses Enter.
        const reach = async (selector) => {
          for (let tabs = 0; !(await page.evaluate((selector) => document.activeElement.matches(selector), selector)); tabs++) {
            assert.ok(tabs < 40, `Tab does not lead to ${selector}`);
            await page.press("Tab");
          }
        };
        const choose = async (selector) => {
          await reach(selector);
          await page.press("Enter");
        };
        const app = await enrollToCodes(page, "keyboard");
        await arrive(page, "codes");
        await checkStep(page);
        await choose("#make-form .primary");
        const codes = await listedCodes(page);
        await checkStep(page);
        await choose("#saved");
        await arrive(page, "account");
        for (const part of ["payment", "authenticators", "recovery", "browsers", "notices"]) {
          await choose(`#${part} summary`);
          await page.waitFor((part) => document.querySelector(`#${part}`).open, part);
          await checkStep(page);
        }
        await again(page);
        await reach("#remember");
        await page.press(" ");
        assert.equal(await page.$eval("#remember", (box) => box.checked), true);
        await checkStep(page);
        await page.focus("#challenge-code");
        await enter(page, app.code());
        await arrive(page, "account");
        await summary(page, "browsers", "1");
        await choose("#browsers summary");
        await checkStep(page);
        await choose("#browser-list button");
        await summary(page, "browsers", "none");
        await choose("#account .sign-out");
        await arrive(page, "signIn");
        await page.press("Enter");
        await arrive(page, "challenge");
        await choose("#use-recovery");
        await arrive(page, "recover");
        await checkStep(page);
        await enter(page, codes[0]);
        await arrive(page, "recovered");
        await checkStep(page);
        await choose("#set-up");
        await enrollment(page);
        const found = authenticatorApp(await page.$eval("#open-app", (link) => link.href));
        await checkStep(page);
        await reach("#enroll-code");
        await enter(page, found.code());
        await arrive(page, "replace");
        await checkStep(page);
        await choose("#replace .done");
        await arrive(page, "account");
        await choose("#authenticators summary");
        await choose("#authenticator-list .rename");
        await page.waitFor(() => document.activeElement.id === "rename-name");
        await checkStep(page);
        await page.press("Escape");
        assert.equal(await page.evaluate(() => document.activeElement.className), "rename");
        await checkStep(page);
      });
    });

    test("a phone's clock that is off: the page names by how much", async () => {
      await visit(browser, async (page) => {
        const app = await enroll(page, "slow-clock");
        await again(page);
        const body = { isVerified: false, failureReason: "CODE_INVALID_OR_EXPIRED", failureDetail: "DEVICE_CLOCK_IS_OFF", clockOffSeconds: -240 };
        const caught = await catchNext(page, verify, "Request", apiAnswer(200, body));
        await enter(page, app.wrong());
        await caught();
        assert.match(await refusal(page, "challenge"), /your phone’s clock is 4 minutes behind/);
      });
    });

    test("the module comes once, compressed, under a name that lasts", async () => {
      const page = await browser.newPage();
      const modules = [];
      page.native.on("response", (response) => {
        if (response.url().endsWith(".wasm")) modules.push(response);
      });
      await page.goto(demo.url);
      await page.waitForVisible("#signIn");
      await enter(page, "once");
      await enrollment(page);
      assert.equal(modules.length, 1);
      const [{ "content-type": type, "content-encoding": encoding, "cache-control": cache }] = modules.map((m) => m.headers());
      assert.deepEqual([type, encoding, cache], ["application/wasm", "br", "public, max-age=31536000, immutable"]);
      await page.close();
    });

    test("when the answer of verify is lost, the backend lets the user in", async () => {
      const official = await demo.official();
      await visit(
        browser,
        async (page) => {
          const app = await enroll(page, "lost");
          await again(page);
          const { token } = await page.evaluate(async () => (await fetch("/api/session")).json());
          const caught = await catchNext(page, verify, "Response");
          await enter(page, app.code());
          await caught();
          await arrive(page, "account");
          await page.waitFor(() => document.querySelector("#validated").innerText === "signIn");
          assert.equal((await official.validateChallenge({ token, userId: "lost", action: "signIn" })).state, "CHALLENGE_SUCCEEDED");
        },
        { tolerated: reset },
      );
    });

    test("when verify does not reach the API, the page shows that and the code still works", async () => {
      await visit(
        browser,
        async (page) => {
          const app = await enroll(page, "unreached");
          await again(page);
          const caught = await catchNext(page, verify, "Request");
          await page.type(app.code());
          await page.press("Enter");
          await caught();
          assert.match(await refusal(page, "challenge"), /could not be reached.*try again/);
          await page.press("Enter");
          await arrive(page, "account");
        },
        { tolerated: new RegExp(`${reset.source}|${forbidden.source}`) },
      );
    });

    test("an expired token: the page offers to start again", async () => {
      await visit(
        browser,
        async (page) => {
          const app = await enroll(page, "late");
          await again(page);
          // The answer that the API would give after ten minutes.
          const expired = { error: "expired_token", errorCode: "expired_token", errorDescription: "The token has expired." };
          const caught = await catchNext(page, verify, "Request", apiAnswer(401, expired));
          await enter(page, app.wrong());
          await caught();
          await page.waitForVisible("#challenge-form .restart");
          assert.match(await page.$eval("#challenge-error", (e) => e.innerText), /has expired. Start again/);
          assert.equal(await page.evaluate(() => document.activeElement.innerText), "Start again");
          await page.press("Enter");
          await page.waitFor(() => document.activeElement.id === "challenge-code" && document.activeElement.value === "");
          await enter(page, app.code());
          await arrive(page, "account");
        },
        { tolerated: unauthorized },
      );
    });

    test("a code that is set without an event is verified, and once, however often the form is sent; signing out is done once too", async () => {
      await visit(browser, async (page) => {
        await enter(page, "hurried");
        await enrollment(page);
        const app = authenticatorApp(await page.$eval("#open-app", (link) => link.href));
        await page.evaluate((code) => {
          const { fetch } = globalThis;
          globalThis.posted = [];
          globalThis.fetch = (url, options) => (posted.push(new URL(url, location.href).pathname), fetch(url, options));
          const form = document.querySelector("#enroll-form");
          form.elements.code.value = code;
          for (let i = 0; i < 3; i++) form.requestSubmit();
        }, app.code());
        await declineCodes(page);
        await page.evaluate(() => {
          for (let i = 0; i < 3; i++) document.querySelector("#account .sign-out").click();
        });
        await arrive(page, "signIn");
        const posted = await page.evaluate(() => posted.filter((path) => /verify|verified|sign-out/.test(path)));
        assert.deepEqual(posted, ["/v1/client/verify/totp", "/api/verified", "/api/sign-out"]);
        assert.equal(await page.$eval("#notice", (e) => e.textContent), "You are signed out.");
      });
    });

    test("there is no link to an app if the URI is not an otpauth URI", async () => {
      await visit(browser, async (page) => {
        const caught = await catchNext(
          page,
          "*/client/user-authenticators/totp",
          "Request",
          apiAnswer(200, { userAuthenticatorId: "1", userId: "u", secret: "JBSWY3DPEHPK3PXP", uri: "javascript:alert(1)" }),
        );
        await enter(page, "linked");
        await caught();
        await enrollment(page);
        assert.deepEqual(await page.$eval("#open-app", (e) => [e.getAttribute("href"), e.hidden]), [null, true]);
      });
    });

    test("a URI too long for a QR code, in the oldest browsers: the secret alone is shown", async () => {
      await visit(browser, async (page) => {
        await page.native.evaluateOnNewDocument(() => delete AbortSignal.timeout);
        await page.reload();
        await arrive(page, "signIn");
        await page.focus("#username");
        const secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
        const caught = await catchNext(
          page,
          "*/client/user-authenticators/totp",
          "Request",
          apiAnswer(200, {
            userAuthenticatorId: "1",
            userId: "long",
            secret,
            uri: `otpauth://totp/${"long".repeat(1000)}?secret=${secret}`,
          }),
        );
        await enter(page, "long");
        await caught();
        await enrollment(page);
        assert.equal(await page.$eval("#restart-form .error", (e) => e.innerText), "");
        const text = await page.$eval("#enroll", (e) => e.innerText);
        assert.match(text, /\nEnter this key\s+There is no QR code/);
        assert.doesNotMatch(text, /Scan the QR code/);
        assert.equal(await page.$eval("#qr", (e) => e.getAttribute("src")), null);
        assert.equal(await page.$eval("#secret", (e) => e.textContent.replaceAll(" ", "")), secret);
        const link = await page.$eval("#open-app", (e) => [e.href.slice(0, 15), e.closest("[hidden]")]);
        assert.deepEqual(link, ["otpauth://totp/", null], "a phone's link does not need the QR code");
        // The next one has a QR code again.
        await page.reload();
        await enrollment(page);
        authenticatorApp(await scan(page));
      });
    });
  });
}

/** Reports whether a server listens at a URL. */
const answers = (url) =>
  fetch(url).then(
    () => true,
    () => false,
  );

test("the first Ctrl-C waits for requests under way, the second does not", async () => {
  const at = await startDemo();
  // Requests whose bodies are awaited by their handlers.
  const { hostname, port } = new URL(at.url);
  const request = async () => {
    const socket = net.connect(port, hostname);
    socket.on("error", () => {}); // one breaks in the end
    socket.write("POST /api/sign-in HTTP/1.1\r\nHost: demo\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert.match(String(await once(socket, "data")), /^HTTP\/1.1 100 /);
    return socket;
  };
  const [slow, stuck] = [await request(), await request()];
  at.kill("SIGINT");
  for (const end = Date.now() + 5000; await answers(at.url); ) assert.ok(Date.now() < end, "it still takes requests");
  slow.write("{}");
  assert.match(String(await once(slow, "data")), /^HTTP\/1.1 400 [^]*bad_username/);
  // It is not visible when the program releases the signal after that.
  const timer = setInterval(() => at.kill("SIGINT"), 20);
  try {
    const [, signal] = await within(5, "stopping at once", at.ended);
    assert.equal(signal, "SIGINT");
  } finally {
    clearInterval(timer);
    slow.destroy();
    stuck.destroy();
  }
});

test("make demo ends with all that it started", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-demo-"));
  const { MAKEFLAGS, MAKELEVEL, MFLAGS, ...env } = process.env; // not those of the make that runs the tests
  // The files that it would build first exist, and other tests read them.
  const make = spawn("make", ["-o", "wasm", "-o", "js", "demo"], {
    cwd: root,
    env: { ...env, DEMO_ADDR: "127.0.0.1:0", DEMO_DATA: dir },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a process group of its own, to clean up
  });
  let log = "";
  make.stderr.on("data", (data) => (log += data));
  const ended = once(make, "exit");
  try {
    const urls = await Promise.race([
      (async () => {
        for await (const line of createInterface({ input: make.stdout })) {
          if (line.startsWith("Open ")) return line.match(/http:[^\s)]+/g);
        }
      })(),
      ended.then(() => undefined),
    ]);
    assert.ok(urls, `make demo did not start:\n${log}`);
    assert.match(await (await fetch(urls[0])).text(), /<title>Authsignal demo/);
    make.kill("SIGTERM"); // make alone, which signals its child
    await within(20, "make demo", ended);
    for (const url of urls) assert.equal(await answers(url), false, `${url} still answers:\n${log}`);
  } finally {
    try {
      process.kill(-make.pid, "SIGKILL");
    } catch {
      // No process is left, as intended.
    }
    await rm(dir, { recursive: true, force: true });
  }
});
