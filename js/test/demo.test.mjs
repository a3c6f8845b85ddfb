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
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { Authsignal } from "@authsignal/node";
import { PNG } from "pngjs";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import { authenticatorApp } from "./authenticator.mjs";
import { goBuild, launchBrowser, root, startServer, watch } from "./harness.mjs";

const require = createRequire(import.meta.url);
const jsQR = require("jsqr");
prepareZXingModule({ overrides: { wasmBinary: await readFile(require.resolve("zxing-wasm/reader/zxing_reader.wasm")) } });

/** Starts the demo on a free port, with the API server inside unless `env` names another. */
async function startDemo(env = {}) {
  const program = await goBuild("./demo");
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-demo-"));
  const child = spawn(program, {
    env: { PATH: process.env.PATH, HOME: dir, DEMO_ADDR: "127.0.0.1:0", DEMO_DATA: path.join(dir, "data"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (data) => (log += data));
  const ended = once(child, "exit");
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended.then(() => [""])]);
  const [url, apiUrl] = line.match(/http:[^\s)]+/g) ?? assert.fail(`the demo did not start:\n${log}`);
  return {
    url,
    apiUrl,
    /** The official server SDK, for the API server inside. */
    async official() {
      const keys = JSON.parse(await readFile(path.join(dir, "data", "authsignal.db.keys.json"), "utf8"));
      return new Authsignal({ apiSecretKey: keys.apiSecretKey, apiUrl });
    },
    log: () => log,
    /** Sends a signal. */
    kill: (signal) => child.kill(signal),
    /** Resolves to the exit code and the signal that ended it. */
    ended,
    async stop() {
      child.kill("SIGTERM");
      const [code] = await ended;
      await rm(dir, { recursive: true, force: true });
      assert.equal(code, 0, `the demo stopped with an error:\n${log}`);
    },
  };
}

let browser;
let demo;
before(async () => {
  [browser, demo] = await Promise.all([launchBrowser(), startDemo()]);
});
after(async () => {
  await browser?.close();
  await demo?.stop();
});

const desktop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/**
 * Runs a test in a browser of its own. At its end nothing may have gone wrong
 * in the page, but for what `tolerated` names.
 */
async function visit(run, { at = demo, viewport = desktop, scheme = "light", tolerated } = {}) {
  const context = await browser.createBrowserContext();
  try {
    await context.overridePermissions(at.url, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const problems = watch(page, at.url, at.apiUrl);
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.goto(at.url);
    await arrive(page, "signIn");
    await run(page);
    assert.deepEqual(tolerated ? problems.filter((p) => !tolerated.test(p)) : problems, []);
  } finally {
    await context.close();
  }
}

/** Waits for a step; the others are then out of sight. */
async function arrive(page, step) {
  try {
    await page.waitForFunction(
      (step) => [...document.querySelectorAll("main > section:not([hidden])")].map((s) => s.id).join() === step,
      {},
      step,
    );
  } catch {
    assert.fail(`the page did not come to ${step}:\n${await page.$eval("main", (main) => main.innerText)}`);
  }
}

/** What has the focus, by its id. */
const focus = (page) => page.evaluate(() => document.activeElement.id);

/** Waits until the secret is there and the QR code is drawn. */
async function enrollment(page) {
  await arrive(page, "enroll");
  await page.waitForFunction(() => document.querySelector("#enroll-busy").textContent === "" && document.querySelector("#qr").complete);
  await page.waitForSelector("#enroll-ready", { visible: true });
}

/** Reads the QR code of a screenshot of the page with both decoders. */
async function scan(page) {
  const { data, width, height } = PNG.sync.read(Buffer.from(await page.screenshot()));
  const image = { data: new Uint8ClampedArray(data), width, height };
  const byJSQR = jsQR(image.data, width, height, { inversionAttempts: "dontInvert" })?.data;
  const [byZXing] = await readBarcodes(image, { formats: ["QRCode"], maxNumberOfSymbols: 1, tryInvert: false });
  assert.equal(byJSQR, byZXing?.text, "the two decoders read the same");
  assert.ok(byJSQR, "the QR code can be read");
  return byJSQR;
}

/** Types into the field that has the focus, and submits. */
async function enter(page, text) {
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** Waits for the answer to a code and gives what it says. */
async function refusal(page, step) {
  await page.waitForFunction((step) => document.querySelector(`#${step}-form`).ariaBusy === "false", {}, step);
  assert.equal(await focus(page), `${step}-code`, "a refused code can be typed over at once");
  assert.equal(await page.$eval(`#${step}-code`, (field) => field.ariaInvalid), "true");
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
  await arrive(page, "account");
  return app;
}

/** Signs out, and in again up to the code. */
async function again(page) {
  await page.click("#account .sign-out");
  await arrive(page, "signIn");
  await page.keyboard.press("Enter"); // the name is still there
  await arrive(page, "challenge");
}

test("enroll, sign out, sign in with a code, remove, enroll again", async () => {
  const official = await demo.official();
  await visit(async (page) => {
    // What the page hands to its backend.
    const tokens = [];
    page.on("request", (request) => {
      if (request.url() === demo.url + "/api/verified") tokens.push(JSON.parse(request.postData()).token);
    });
    const validate = (action) => official.validateChallenge({ token: tokens.at(-1), userId: "jane", action });

    // All of it by keyboard.
    assert.equal(await focus(page), "username");
    assert.match(await page.$eval("#signIn", (s) => s.innerText), /stands for the first factor/);
    await enter(page, "Jane");

    await enrollment(page);
    assert.equal(await focus(page), "enroll-title");
    assert.match(await page.title(), /^Protect your account/);
    const uri = await scan(page);
    const app = authenticatorApp(uri);
    assert.equal(app.totp.issuer, "Authsignal demo");
    assert.equal(app.totp.label, "jane");
    const secret = app.totp.secret.base32;
    assert.equal(await page.$eval("#secret", (e) => e.textContent.trim()), secret.match(/.{4}/g).join(" "));
    assert.ok(!(await page.$eval("#qr", (e) => e.alt)).includes(secret));
    await page.keyboard.press("Tab");
    assert.equal(await focus(page), "copy");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#copied").innerText.startsWith("Copied"));
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
    await page.keyboard.press("Tab");
    assert.equal(await focus(page), "enroll-code");
    await enter(page, app.wrong());
    assert.match(await refusal(page, "enroll"), /not accepted.*your phone’s clock/);
    const first = app.code();
    await enter(page, first);

    await arrive(page, "account");
    assert.equal(await focus(page), "account-title");
    await page.waitForFunction(() => document.querySelector("#protected-by").innerText.includes("Authenticator app"));
    assert.match(await page.$eval("#account", (s) => s.innerText), /You are in, jane[^]*gives it to nobody without a code/);
    assert.equal(await page.$eval("body", (body, secret) => body.innerHTML.includes(secret), secret), false, "the secret has left the page");
    const enrolled = await validate("enroll");
    assert.equal(enrolled.state, "CHALLENGE_SUCCEEDED");
    assert.equal(enrolled.isValid, true);

    await again(page);
    assert.equal(await focus(page), "challenge-code");
    const field = await page.$eval("#challenge-code", ({ type, inputMode, autocomplete, maxLength, labels }) => [
      type,
      inputMode,
      autocomplete,
      maxLength,
      labels[0].innerText,
    ]);
    assert.deepEqual(field, ["text", "numeric", "one-time-code", -1, "Code"]);
    assert.equal(await page.evaluate(async () => (await fetch("/api/session")).json().then((s) => s.step)), "challenge");
    await enter(page, "12345");
    assert.match(await refusal(page, "challenge"), /Enter the 6 digits/);
    await enter(page, first);
    assert.match(await refusal(page, "challenge"), /Already used\?.*wait for the next one/);
    await enter(page, app.wrong());
    assert.match(await refusal(page, "challenge"), /not accepted.*Mistyped\?/);
    // Loaded again, the page is where it was and gives the same advice.
    await page.reload();
    await arrive(page, "challenge");
    await page.focus("#challenge-code");
    await enter(page, first);
    assert.match(await refusal(page, "challenge"), /Already used\?.*wait for the next one/);
    await enter(page, app.code().replace(/(...)/, "$1 ")); // as many apps show it

    await arrive(page, "account");
    await page.waitForFunction(() => document.querySelector("#validated").innerText === "signIn");
    const signedIn = await validate("signIn");
    assert.equal(signedIn.state, "CHALLENGE_SUCCEEDED");
    assert.equal(signedIn.isValid, true);
    assert.equal(signedIn.verificationMethod, "AUTHENTICATOR_APP");

    await page.focus("#remove");
    await page.keyboard.press("Enter");
    assert.equal(await focus(page), "keep");
    await page.keyboard.press("Escape");
    assert.equal(await focus(page), "remove");
    assert.equal((await official.getAuthenticators({ userId: "jane" })).length, 1);
    await page.keyboard.press("Enter");
    await page.keyboard.down("Shift");
    await page.keyboard.press("Tab");
    await page.keyboard.up("Shift");
    await page.keyboard.press("Enter");
    await arrive(page, "signIn");
    assert.match(await page.$eval("#notice", (e) => e.innerText), /was removed/);
    assert.deepEqual(await official.getAuthenticators({ userId: "jane" }), []);

    await page.keyboard.press("Enter");
    await enrollment(page);
    assert.notEqual(await scan(page), uri, "a new secret");
    for (const hidden of [secret, first, ...tokens]) assert.ok(!demo.log().includes(hidden), "the log holds no secret, code or token");
  });
});

for (const mode of ["popup", "redirect", "window"]) {
  test(`the pre-built UI, as a ${mode}: enroll, sign out, sign in, and think better of it`, async () => {
    await visit(
      async (page) => {
        const username = `prebuilt-${mode}`;
        /** Signs in, and gives the pre-built UI: the page itself, a frame or a window. */
        const begin = async () => {
          await arrive(page, "signIn");
          await page.click("input[value=prebuilt]");
          await page.click(`input[value=${mode}]`);
          await page.$eval("#username", (field) => (field.value = ""));
          await page.type("#username", username);
          const opened = mode === "window" && new Promise((resolve) => page.once("popup", resolve));
          await page.keyboard.press("Enter");
          if (mode === "window") {
            await arrive(page, "prebuilt");
            await page.click("#prebuilt-form button");
            return opened;
          }
          if (mode === "popup") return (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
          await page.waitForFunction((api) => location.href === api, {}, demo.apiUrl.replace(/v1$/, ""));
          return page;
        };
        const codeInto = async (ui, id, code) => {
          await ui.waitForSelector(`#${id}-code`, { visible: true });
          await ui.type(`#${id}-code`, code);
          await (await ui.$(`#${id}-code`)).press("Enter");
        };
        let ui = await begin();
        await ui.waitForSelector("#open-app[href]");
        const app = authenticatorApp(await ui.$eval("#open-app", (a) => a.getAttribute("href")));
        await codeInto(ui, "enroll", app.code());
        await arrive(page, "account");
        await page.waitForFunction(() => document.querySelector("#validated").innerText === "enroll");
        assert.equal(page.url(), `${demo.url}/`, "the token is gone from the address");

        await page.click("#account .sign-out");
        ui = await begin();
        await ui.waitForSelector("#challenge .quit", { visible: true });
        await ui.click("#challenge .quit");
        await page.waitForFunction(() => document.querySelector("#prebuilt-form .error")?.textContent);
        const again = mode === "window" && new Promise((resolve) => page.once("popup", resolve));
        await page.click("#prebuilt-form button");
        if (mode === "window") ui = await again;
        if (mode === "popup") ui = await (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
        await codeInto(ui, "challenge", app.code());
        await arrive(page, "account");
        await page.waitForFunction(() => document.querySelector("#validated").innerText === "signIn");
      },
      { tolerated: mode === "redirect" ? forbidden : undefined },
    );
  });
}

test("on a phone, in the dark, with the API server's own binary", async () => {
  const server = await startServer();
  const at = await startDemo({
    AUTHSIGNAL_API_URL: server.baseUrl,
    AUTHSIGNAL_API_SECRET_KEY: server.apiSecretKey,
    AUTHSIGNAL_TENANT_ID: server.tenantId,
  });
  try {
    await visit(
      async (page) => {
        await enter(page, "jane");
        await enrollment(page);
        assert.equal(await page.$eval("html", (html) => html.scrollWidth), phone.width, "nothing is cut off");
        await page.$eval("#qr", (e) => e.scrollIntoView({ block: "center" }));
        const uri = await scan(page);
        // A phone cannot scan itself: it opens its app.
        const link = await page.waitForSelector("#open-app", { visible: true });
        assert.equal(await link.evaluate((e) => e.href), uri);
        await page.tap("#enroll-code");
        await enter(page, authenticatorApp(uri).code());
        await arrive(page, "account");
        await again(page);
      },
      { at, viewport: phone, scheme: "dark" },
    );
  } finally {
    await at.stop();
    await server.stop();
  }
});

test("the module comes once, compressed, under a name that lasts", async () => {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const modules = [];
  page.on("response", (response) => {
    if (response.url().endsWith(".wasm")) modules.push(response);
  });
  await page.goto(demo.url);
  await page.waitForSelector("#signIn", { visible: true });
  await enter(page, "once");
  await enrollment(page);
  assert.equal(modules.length, 1);
  const [{ "content-type": type, "content-encoding": encoding, "cache-control": cache }] = modules.map((m) => m.headers());
  assert.deepEqual([type, encoding, cache], ["application/wasm", "br", "public, max-age=31536000, immutable"]);
  await context.close();
});

// Chromium's own lines for requests that fail on purpose.
const reset = /^console: Failed to load resource: net::ERR_CONNECTION_RESET$/;
const forbidden = /^console: Failed to load resource: the server responded with a status of 403/;
const unauthorized = /^console: Failed to load resource: the server responded with a status of 401/;

/** Gives up on a promise after some seconds. */
function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** What the API answers in place of the true answer, as catchNext takes it. */
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
 * Catches the next POST to a URL: at "Request" before the API has it, at
 * "Response" after it has answered. The connection breaks, unless another
 * `answer` is given. Gives a function that waits for it.
 */
async function catchNext(page, urlPattern, requestStage, answer) {
  const cdp = await page.createCDPSession();
  const caught = new Promise((resolve) => {
    cdp.on("Fetch.requestPaused", async ({ requestId, request }) => {
      if (request.method !== "POST") return cdp.send("Fetch.continueRequest", { requestId });
      await (answer
        ? cdp.send("Fetch.fulfillRequest", { requestId, ...answer })
        : cdp.send("Fetch.failRequest", { requestId, errorReason: "ConnectionReset" }));
      await cdp.detach();
      resolve();
    });
  });
  await cdp.send("Fetch.enable", { patterns: [{ urlPattern, requestStage }] });
  return () => within(20, "the request to be caught", caught);
}

test("when the answer of verify is lost, the backend lets the user in", async () => {
  const official = await demo.official();
  await visit(
    async (page) => {
      const app = await enroll(page, "lost");
      await again(page);
      const { token } = await page.evaluate(async () => (await fetch("/api/session")).json());
      const caught = await catchNext(page, verify, "Response");
      await enter(page, app.code());
      await caught();
      await arrive(page, "account");
      await page.waitForFunction(() => document.querySelector("#validated").innerText === "signIn");
      assert.equal((await official.validateChallenge({ token, userId: "lost", action: "signIn" })).state, "CHALLENGE_SUCCEEDED");
    },
    { tolerated: reset },
  );
});

test("when verify does not reach the API, the page says so and the code still works", async () => {
  await visit(
    async (page) => {
      const app = await enroll(page, "unreached");
      await again(page);
      const caught = await catchNext(page, verify, "Request");
      await page.keyboard.type(app.code());
      await page.keyboard.press("Enter");
      await caught();
      assert.match(await refusal(page, "challenge"), /could not be reached.*try again/);
      await page.keyboard.press("Enter");
      await arrive(page, "account");
    },
    { tolerated: new RegExp(`${reset.source}|${forbidden.source}`) },
  );
});

test("too many wrong codes: the page says when to go on", async () => {
  await visit(async (page) => {
    const app = await enroll(page, "guesser");
    await again(page);
    let text = "";
    for (let tries = 0; tries < 12 && !text.startsWith("Too many"); tries++) {
      await enter(page, app.wrong());
      text = await refusal(page, "challenge");
    }
    // The block that lasts has the same reason.
    assert.match(text, /Too many wrong codes.*wait 5 minutes.*if you still read this then.*blocked/);
    await enter(page, app.code());
    assert.match(await refusal(page, "challenge"), /Too many wrong codes/);
  });
});

test("an expired token: the page offers to start again", async () => {
  await visit(
    async (page) => {
      const app = await enroll(page, "late");
      await again(page);
      // What the API says after ten minutes, now.
      const expired = { error: "expired_token", errorCode: "expired_token", errorDescription: "The token has expired." };
      const caught = await catchNext(page, verify, "Request", apiAnswer(401, expired));
      await enter(page, app.wrong());
      await caught();
      await page.waitForSelector("#challenge-form .restart", { visible: true });
      assert.match(await page.$eval("#challenge-error", (e) => e.innerText), /has expired. Start again/);
      assert.equal(await page.evaluate(() => document.activeElement.innerText), "Start again");
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => document.activeElement.id === "challenge-code" && document.activeElement.value === "");
      await enter(page, app.code());
      await arrive(page, "account");
    },
    { tolerated: unauthorized },
  );
});

test("a session that ended elsewhere: the page asks to sign in again", async () => {
  await visit(
    async (page) => {
      await enroll(page, "elsewhere");
      // Else it is the page's own request that finds the session ended.
      await page.waitForFunction(() => document.querySelector("#protected-by").innerText.includes("Authenticator app"));
      await page.evaluate(() => fetch("/api/sign-out", { method: "POST" }));
      await page.click("#remove");
      await page.click("#confirm .danger");
      await arrive(page, "signIn");
      assert.match(await page.$eval("#notice", (e) => e.innerText), /session has ended/);
    },
    { tolerated: unauthorized },
  );
});

test("a URI too long for a QR code, in the oldest browsers: the secret alone is shown", async () => {
  await visit(async (page) => {
    await page.evaluateOnNewDocument(() => delete AbortSignal.timeout);
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
    assert.match(text, /\nType this secret\s+There is no QR code/);
    assert.doesNotMatch(text, /Scan the QR code/);
    assert.equal(await page.$eval("#qr", (e) => e.getAttribute("src")), null);
    assert.equal(await page.$eval("#secret", (e) => e.textContent.replaceAll(" ", "")), secret);
    // The next one has a QR code again.
    await page.reload();
    await enrollment(page);
    authenticatorApp(await scan(page));
  });
});

/** Whether somebody listens at a URL. */
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
  // How soon after that the program has let go of the signal is not seen.
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
  // What it would build first is there, and other tests read it.
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
    make.kill("SIGTERM"); // make alone: it tells its child
    await within(20, "make demo", ended);
    for (const url of urls) assert.equal(await answers(url), false, `${url} still answers:\n${log}`);
  } finally {
    try {
      process.kill(-make.pid, "SIGKILL");
    } catch {
      // Nothing is left, as it should be.
    }
    await rm(dir, { recursive: true, force: true });
  }
});
