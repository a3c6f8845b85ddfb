// The pre-built UI in Chromium, opened as applications open it: by the official
// browser SDK and by this one, in redirect, popup and window mode, against the
// real server. Journeys in each engine are in prebuilt-engines.test.mjs and
// journey.test.mjs.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { PNG } from "pngjs";
import { dist, launchBrowser, serve, startServer, watch } from "../lib/harness.mjs";
import { arrive, backendOf, decline, enrolled, enter, managementKey, prebuiltPages, scan, setTenant, title } from "../lib/prebuilt.mjs";

const require = createRequire(import.meta.url);
const jsQR = require("jsqr");
const axeSource = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

let api;
let backend;
let browser;
let site;
/** The application's page: an origin that the tenant names. */
let app;
/** A page whose origin is not allowed. */
let evil;
/** Where the pre-built UI is, with a slash. */
let root;

const tags = { official: "/official/index.min.js", ours: "/dist/index.min.js" };

before(async () => {
  [api, browser] = await Promise.all([startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } }), launchBrowser("--host-resolver-rules=MAP *.test 127.0.0.1")]);
  root = api.baseUrl.replace(/v1$/, "");
  backend = backendOf(api);
  const page = (tag) => `<!doctype html><html lang="en"><title>An application's page</title><body><p>An application.</p><script src="${tag}"></script></body></html>`;
  site = await serve({
    "/official.html": page(tags.official),
    "/ours.html": page(tags.ours),
    "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.</body></html>`,
    "/official/": new URL("../../node_modules/@authsignal/browser/dist/", import.meta.url),
    "/dist/": dist,
  });
  app = site.url.replace("127.0.0.1", "app.test");
  evil = site.url.replace("127.0.0.1", "evil.test");
  await setTenant(api, { origins: [app] });
});
after(async () => {
  await browser?.close();
  await site?.close();
  await api?.stop();
});

let users = 0;
const newUser = () => `user-${++users}`;
const track = (userId, attributes = {}) => backend.track({ userId, action: "signIn", attributes: { redirectUrl: `${app}/back?keep=this`, ...attributes } });

/**
 * Runs a test with a page of its own. At its end the page may have
 * no problems except those that `tolerated` names.
 */
async function visit(run, { viewport = { width: 1100, height: 800 }, scheme = "light", tolerated, headers } = {}) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const problems = watch(page, app, evil, api.baseUrl);
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    if (headers) await page.setExtraHTTPHeaders(headers);
    await run(page, context);
    assert.deepEqual(tolerated ? problems.filter((p) => !tolerated.test(p)) : problems, []);
  } finally {
    await context.close();
  }
}

/** Opens the application's page with one of the SDKs. */
async function open(page, name, at = app) {
  await page.goto(`${at}/${name}.html`);
  await page.evaluate(
    ({ tenantId, baseUrl }) => {
      globalThis.client = new globalThis.authsignal.Authsignal({ tenantId, baseUrl });
      globalThis.messages = [];
      addEventListener("message", ({ origin, data }) => globalThis.messages.push([origin, data]));
    },
    { tenantId: api.tenantId, baseUrl: api.baseUrl },
  );
}

/** Launches the pre-built UI in a frame or a window; returns it. */
async function launch(page, url, mode) {
  const start = () =>
    page.evaluate(
      (url, mode) => {
        globalThis.errors = [];
        globalThis.ended = undefined;
        globalThis.client.launch(url, { mode, onError: (error) => globalThis.errors.push(error) }).then((end) => (globalThis.ended = end));
      },
      url,
      mode,
    );
  if (mode === "window") {
    const [opened] = await Promise.all([new Promise((resolve) => page.once("popup", resolve)), start()]);
    return opened;
  }
  await start();
  const element = await page.waitForSelector("iframe[name=authsignal]");
  return element.contentFrame();
}

/** The result of launch. */
const ended = async (page) => (await page.waitForFunction(() => globalThis.ended)).jsonValue();

const validate = async (token) => (await backend.validateChallenge({ token })).state;

for (const name of Object.keys(tags)) {
  for (const mode of ["popup", "window"]) {
    test(`${name}: enroll and challenge in ${mode} mode`, async () => {
      await visit(async (page) => {
        const user = newUser();
        await open(page, name);
        let ui = await launch(page, (await track(user)).url, mode);
        const phone = await scan(ui);
        await enter(ui, "enroll", phone.code());
        await decline(ui);
        assert.equal(await validate((await ended(page)).token), "CHALLENGE_SUCCEEDED");

        const tracked = await track(user);
        assert.equal(tracked.state, "CHALLENGE_REQUIRED");
        if (mode === "popup") await page.waitForSelector("iframe[name=authsignal]", { hidden: true });
        ui = await launch(page, tracked.url, mode);
        await enter(ui, "challenge", phone.code());
        const { token } = await ended(page);
        assert.notEqual(token, tracked.token);
        assert.equal(await validate(token), "CHALLENGE_SUCCEEDED");
        // All messages came from the pre-built UI, in the shapes of the contract.
        const messages = await page.evaluate(() => globalThis.messages);
        assert.deepEqual([...new Set(messages.map(([origin]) => origin))], [new URL(root).origin]);
        const events = messages.filter(([, data]) => typeof data === "string").map(([, data]) => JSON.parse(data));
        assert.deepEqual([...new Set(events.map(({ event }) => event))].sort(), ["AUTHSIGNAL_CLOSE_POPUP", "AUTHSIGNAL_READY", "AUTHSIGNAL_TOKEN"]);
        const heights = messages.filter(([, data]) => typeof data === "object").map(([, data]) => data);
        for (const data of heights) assert.deepEqual([Object.keys(data), data.height > 150 && data.height < 1000], [["height"], true]);
        assert.equal(heights.length > 0, mode === "popup");
      });
    });
  }

  test(`${name}: enroll and challenge in redirect mode`, async () => {
    await visit(async (page) => {
      const user = newUser();
      const go = async (url) => {
        await open(page, name);
        await Promise.all([page.waitForNavigation(), page.evaluate((url) => void globalThis.client.launch(url), url)]);
      };
      const back = async () => {
        await page.waitForFunction((app) => location.origin === app && location.pathname === "/back", {}, app);
        const query = new URL(page.url()).searchParams;
        assert.equal(query.get("keep"), "this");
        return query.get("token");
      };
      await go((await track(user)).url);
      const phone = await scan(page);
      await enter(page, "enroll", phone.code());
      await decline(page);
      assert.equal(await validate(await back()), "CHALLENGE_SUCCEEDED");

      await go((await track(user)).url);
      await enter(page, "challenge", phone.code());
      assert.equal(await validate(await back()), "CHALLENGE_SUCCEEDED");

      // A user who cancels is sent back too, with a token that contains that.
      await go((await track(user)).url);
      await arrive(page, "challenge");
      await page.click("#challenge .quit");
      assert.equal(await validate(await back()), "CHALLENGE_REQUIRED");
    });
  });

  test(`${name}: a dismissed popup returns no token`, async () => {
    await visit(async (page) => {
      const user = newUser();
      await enrolled(api, user);
      await open(page, name);
      const ui = await launch(page, (await track(user)).url, "popup");
      await arrive(ui, "challenge");
      // Not by coordinates: the frame gets its height and moves at this moment.
      await ui.$eval("#challenge .quit", (button) => button.click());
      assert.deepEqual(await ended(page), {});

      await page.waitForSelector("iframe[name=authsignal]", { hidden: true });
      await arrive(await launch(page, (await track(user)).url, "popup"), "challenge");
      // Beside the frame, when the second one is ready too.
      await page.waitForFunction(() => globalThis.messages.filter(([, data]) => String(data).includes("READY")).length === 2);
      await page.mouse.click(5, 5);
      assert.deepEqual(await ended(page), {});
    });
  });

  test(`${name}: onError is called for a link that has expired`, async () => {
    await visit(
      async (page) => {
        await open(page, name);
        const ui = await launch(page, `${root}?token=expired-or-foreign`, "window");
        await arrive(ui, "failure");
        // The tenant of this token is unknown, so no message is sent; an error of a
        // known tenant is sent.
        assert.deepEqual(await page.evaluate(() => globalThis.errors), []);
        await ui.close();
        await page.reload();
        await open(page, name);
        const user = newUser();
        await enrolled(api, user);
        const { url } = await track(user);
        const known = await launch(page, url, "window");
        await arrive(known, "challenge");
        await backend.deleteUser({ userId: user });
        await enter(known, "challenge", "123456");
        await arrive(known, "failure");
        await page.waitForFunction(() => globalThis.errors.length > 0);
        assert.deepEqual(await page.evaluate(() => globalThis.errors), [{ errorCode: "unauthorized", statusCode: 401 }]);
      },
      { tolerated: /status of 401/ },
    );
  });
}

test("a page of an origin that is not allowed gets no frame and no messages", async () => {
  await visit(
    async (page) => {
      const user = newUser();
      const phone = await enrolled(api, user);
      await open(page, "official", evil);
      const { url } = await track(user);
      const ui = await launch(page, url, "popup");
      await page.waitForFunction(() => document.querySelector("iframe").classList.contains("as-iframe-ready"));
      assert.equal(await ui.$("main"), null, "the browser shows the page in a foreign frame");

      const opened = await launch(await fresh(page), url, "window");
      await enter(opened, "challenge", phone.code());
      await arrive(opened, "done");
      assert.deepEqual(
        await page.evaluate(() => [globalThis.messages, globalThis.ended]),
        [[], undefined].map((v) => v ?? null),
      );
    },
    { tolerated: /frame-ancestors|Unable to post message|Failed to execute 'postMessage'/ },
  );

  async function fresh(page) {
    await open(page, "official", evil);
    return page;
  }
});

test("the messages of a foreign page to the application are ignored", async () => {
  await visit(async (page, context) => {
    const user = newUser();
    await enrolled(api, user);
    await open(page, "official");
    const ui = await launch(page, (await track(user)).url, "popup");
    await arrive(ui, "challenge");
    // A window of another origin, which the application has opened.
    await page.evaluate((url) => void globalThis.open(url), `${evil}/back`);
    const target = await context.waitForTarget((t) => t.url() === `${evil}/back`);
    const other = await target.page();
    await other.evaluate(() => {
      for (const token of ["stolen", { token: "stolen" }]) {
        opener.postMessage(JSON.stringify({ event: "AUTHSIGNAL_CLOSE_POPUP", token }), "*");
        opener.postMessage({ event: "AUTHSIGNAL_CLOSE_POPUP", token }, "*");
      }
    });
    await page.waitForFunction((evil) => globalThis.messages.filter(([origin]) => origin === evil).length === 4, {}, evil);
    assert.equal(await page.evaluate(() => globalThis.ended), undefined);
    assert.ok(await page.$("iframe[name=authsignal]"));
  });
});

test("the token is gone from the address, the history and the page before anything else is loaded", async () => {
  await visit(
    async (page) => {
      const user = newUser();
      await enrolled(api, user);
      const { url, token } = await track(user);
      const seen = [];
      page.on("request", (request) => seen.push([request.url(), request.headers().referer]));
      await page.goto(url);
      await arrive(page, "challenge");
      assert.equal(page.url(), root);
      assert.equal(await page.evaluate(() => history.length), 2); // about:blank, and this one
      assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, history.state, document.documentElement.outerHTML.includes("eyJ")]), [0, 0, null, false]);
      // Only the SDK's ID of this browser stays.
      assert.match(await page.evaluate(() => document.cookie), /^__as_aid=[0-9a-f-]{36}$/);
      const [[first], [second]] = seen;
      assert.equal(first, url);
      assert.match(second, /\/token\.js$/);
      for (const [requested, referer] of seen) {
        assert.ok(!referer, "a request has a referrer");
        if (requested !== url) assert.ok(!requested.includes(token), "a request names the token");
      }
      assert.ok(!api.log().includes(token.slice(0, 30)), "the server's log has the token");
      // Loaded again, the page has no token, and shows what to do.
      await page.reload();
      await arrive(page, "failure");
      assert.equal(await title(page), "Please start again");
      assert.ok(!(await page.content()).includes("eyJ"));
    },
    { tolerated: /status of 401/ },
  );
});

test("the first page moves less than 100 kB without the module", async () => {
  await visit(async (page) => {
    const client = await page.createCDPSession();
    await client.send("Network.enable");
    const urls = new Map();
    let moved = 0;
    client.on("Network.responseReceived", ({ requestId, response }) => urls.set(requestId, response.url));
    client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
      if (!/\.wasm$/.test(urls.get(requestId))) moved += encodedDataLength;
    });
    await page.goto((await track(newUser())).url, { waitUntil: "networkidle0" });
    await scan(page);
    assert.ok(moved > 5_000 && moved < 100_000, `it moved ${moved} bytes`);
  });
});

test("the QR code is the URI, and the secret is the QR code's", async () => {
  for (const scheme of ["light", "dark"]) {
    await visit(
      async (page) => {
        await page.goto((await track(newUser(), { email: "jane@example.com" })).url);
        await scan(page);
        await page.$eval("#qr", (image) => image.decode());
        const { data, width, height } = PNG.sync.read(Buffer.from(await page.screenshot()));
        const uri = await page.$eval("#open-app", (a) => a.getAttribute("href"));
        assert.equal(jsQR(new Uint8ClampedArray(data), width, height, { inversionAttempts: "dontInvert" })?.data, uri);
        assert.equal(await page.$eval("#secret", (s) => s.textContent.replaceAll(" ", "")), new URL(uri).searchParams.get("secret"));
      },
      { scheme },
    );
  }
});

test("a code that is set without an event is verified, and once, however often the form is sent; so is the way back", async () => {
  await visit(async (page) => {
    const { url } = await track(newUser());
    await page.goto(url);
    const phone = await scan(page);
    assert.deepEqual(await page.$eval("#secret", (e) => [e.dir, e.translate]), ["ltr", false]);
    const posted = [];
    page.on("request", (request) => request.method() === "POST" && posted.push(new URL(request.url()).pathname));
    await page.evaluate((code) => {
      const form = document.querySelector("#enroll-form");
      form.elements.code.value = code;
      for (let i = 0; i < 3; i++) form.requestSubmit();
    }, phone.code());
    await arrive(page, "codes");
    await page.evaluate(() => {
      for (let i = 0; i < 3; i++) document.querySelector("#codes-later").click();
    });
    await page.waitForFunction(() => location.pathname === "/back");
    assert.deepEqual(posted, ["/v1/client/verify/totp", "/v1/client/recovery-codes", "/v1/client/token"]);
  });
  await visit(async (page) => {
    const { url } = await track(newUser());
    await page.goto(url);
    await scan(page);
    const posted = [];
    page.on("request", (request) => request.method() === "POST" && posted.push(new URL(request.url()).pathname));
    await page.evaluate(() => {
      for (let i = 0; i < 3; i++) document.querySelector("#enroll-form .quit").click();
    });
    await page.waitForFunction(() => location.pathname === "/back");
    assert.deepEqual(posted, ["/v1/client/token"]);
  });
});

test("there is no link to an app if the URI is not an otpauth URI", async () => {
  await visit(async (page) => {
    await page.setRequestInterception(true);
    page.on("request", (request) => {
      if (!request.url().endsWith("/client/user-authenticators/totp")) return request.continue();
      const body = JSON.stringify({ userAuthenticatorId: "1", userId: "u", secret: "JBSWY3DPEHPK3PXP", uri: "javascript:alert(1)" });
      request.respond({ status: 200, contentType: "application/json", body });
    });
    await page.goto((await track(newUser())).url);
    await page.waitForFunction(() => document.querySelector("#secret").textContent !== "");
    assert.deepEqual(await page.$eval("#open-app", (e) => [e.getAttribute("href"), e.hidden]), [null, true]);
  });
});

test("a link that is opened twice: the second page shows that its QR code replaces that of the first", async () => {
  await visit(async (first, context) => {
    const { url } = await track(newUser());
    await first.goto(url);
    const old = await scan(first);
    const replaced = (page) => page.$eval("#replaced", (e) => [e.textContent, e.role ?? e.getAttribute("role")]);
    assert.deepEqual(await replaced(first), ["", "status"]);

    const second = await context.newPage();
    const problems = watch(second, app, api.baseUrl);
    await second.goto(url);
    const phone = await scan(second);
    const said = "An earlier QR code for this account no longer works. If you scanned it, delete its entry in your app and use this one.";
    assert.deepEqual(await replaced(second), [said, "status"]);

    await first.bringToFront();
    await enter(first, "enroll", old.code());
    await first.waitForFunction(() => /not accepted.*open twice: only the newest QR code works/.test(document.querySelector("#enroll-error").textContent));
    await second.bringToFront();
    await enter(second, "enroll", phone.code());
    await decline(second);
    await second.waitForFunction((app) => location.origin === app, {}, app);
    assert.deepEqual(problems, []);
  });
});

test("settings: an abandoned enrollment is replaced by the next, which shows that until it is complete", async () => {
  await visit(async (page) => {
    await page.goto((await track(newUser(), { redirectToSettings: true })).url);
    const said = () => page.$eval("#replaced", (e) => e.textContent);
    await page.waitForSelector("#add", { visible: true });
    await page.click("#add");
    await scan(page);
    assert.equal(await said(), "");
    await page.click("#enroll .quit");
    await arrive(page, "settings");
    await page.waitForSelector("#add", { visible: true });
    await page.click("#add");
    const phone = await scan(page);
    assert.match(await said(), /^An earlier QR code/);
    await enter(page, "enroll", phone.code());
    await decline(page);
    await page.waitForFunction(() => document.querySelectorAll("#list li").length === 1);
    await page.click("#add");
    await scan(page);
    assert.equal(await said(), "", "of one that was completed it is not said");
  });
});

test("after too many wrong codes an enrollment goes on with the same secret", async () => {
  await visit(async (page) => {
    const { url, token } = await track(newUser());
    await page.goto(url);
    const phone = await scan(page);
    const secret = await page.$eval("#secret", (s) => s.textContent);
    for (let reason; reason !== "MAX_ATTEMPTS_EXCEEDED"; ) {
      const response = await fetch(`${api.baseUrl}/client/verify/totp`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify({ verificationCode: phone.wrong() }),
      });
      reason = (await response.json()).failureReason;
      assert.ok(reason, "a wrong code is refused");
    }
    await enter(page, "enroll", phone.code());
    await arrive(page, "failure");
    assert.equal(await title(page), "Too many wrong codes");
    await page.click("#retry");
    await arrive(page, "enroll");
    // The app on the phone already has the secret.
    assert.equal(await page.$eval("#secret", (s) => s.textContent), secret);
    assert.ok(await page.$eval("#qr", (qr) => qr.naturalWidth > 0 && !qr.hidden));
  });
});

const pages = prebuiltPages(() => ({ server: api, app, evil }));

describe("each page", { concurrency: 2 }, () => {
  for (const [name, { title: expected, run, tolerated }] of Object.entries(pages)) {
    test(`the page "${name}" has the right text, is accessible in both schemes, and fits 320 pixels`, async () => {
      await visit(
        async (page) => {
          await run(page);
          await page.waitForFunction(() => document.querySelector("main > section:not([hidden])"));
          assert.equal(await title(page), expected);
          assert.match(await page.title(), new RegExp(`^${expected}`));
          for (const scheme of ["light", "dark"]) {
            await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
            await page.evaluate(axeSource);
            const { violations } = await page.evaluate(() => globalThis.axe.run());
            assert.deepEqual(
              violations.map((v) => [scheme, v.id, v.nodes.map((n) => n.html)]),
              [],
            );
          }
          // Also the width that 640 pixels have at a zoom of 200 %.
          await page.setViewport({ width: 320, height: 500 });
          assert.deepEqual(
            await page.evaluate(() =>
              [
                document.documentElement.scrollWidth,
                ...[...document.querySelectorAll("button, input")].filter((e) => e.checkVisibility()).map((e) => e.getBoundingClientRect().right <= innerWidth),
              ].filter((v) => v !== true),
            ),
            [320],
          );
        },
        { tolerated },
      );
    });
  }
});

test("trying again after a failure goes on where it stopped", async () => {
  await visit(
    async (page) => {
      await pages["no connection"].run(page);
      page.removeAllListeners("request");
      await page.setRequestInterception(false);
      await page.click("#retry");
      const phone = await scan(page);
      await enter(page, "enroll", phone.code());
      await decline(page);
      await page.waitForFunction((app) => location.origin === app, {}, app);
    },
    { tolerated: /ERR_FAILED/ },
  );
});

test("a lost answer costs a new code, not the journey", async () => {
  await visit(
    async (page) => {
      const user = newUser();
      const phone = await enrolled(api, user);
      await page.goto((await track(user)).url);
      await arrive(page, "challenge");
      await page.setRequestInterception(true);
      page.on("request", (request) => (request.url().endsWith("/verify/totp") ? request.abort() : request.continue()));
      await enter(page, "challenge", phone.code());
      await page.waitForFunction(() => document.querySelector("#challenge-error").textContent.startsWith("The server did not respond"));
      page.removeAllListeners("request");
      await page.setRequestInterception(false);
      // The entered code is selected, so that typing replaces it. The old code was never sent.
      await page.keyboard.type(phone.again());
      await page.keyboard.press("Enter");
      await page.waitForFunction((app) => location.origin === app, {}, app);
    },
    { tolerated: /ERR_FAILED/ },
  );
});

test("a right code that a server refuses because its clock was ahead", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    await page.goto((await track(user)).url);
    await arrive(page, "challenge");
    await page.setRequestInterception(true);
    page.on("request", (request) => {
      if (!request.url().endsWith("/verify/totp")) return request.continue();
      const body = JSON.stringify({ isVerified: false, failureReason: "CODE_INVALID_OR_EXPIRED", failureDetail: "SERVER_CLOCK_WAS_AHEAD" });
      request.respond({ status: 200, contentType: "application/json", body });
    });
    await enter(page, "challenge", phone.code());
    await page.waitForFunction(() => document.querySelector("#challenge-error").textContent.startsWith("Your code is right, but the server"));
  });
});

test("settings: enter a code, add one, remove one, and go back", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    const { url } = await track(user, { redirectToSettings: true });
    await page.goto(url);
    await enter(page, "challenge", phone.code());
    await arrive(page, "settings");
    await page.waitForSelector("#list li .remove", { visible: true });
    assert.equal((await page.$$("#list li")).length, 1);
    // Cancel leads back here.
    await page.click("#add");
    await arrive(page, "enroll");
    await page.click("#enroll .quit");
    await arrive(page, "settings");
    await page.click("#add");
    const second = await scan(page);
    await enter(page, "enroll", second.code());
    await arrive(page, "settings");
    await page.waitForFunction(() => document.querySelectorAll("#list li").length === 2);
    assert.equal(await page.$eval("#notice", (n) => n.textContent), "The authenticator app was added.");

    await page.click("#list li .remove");
    assert.equal(await page.evaluate(() => document.activeElement.className), "keep");
    await page.keyboard.press("Enter");
    assert.match(await page.evaluate(() => document.activeElement.className), /remove/);
    await page.click("#list li .remove");
    await page.click("#list li .danger");
    await page.waitForFunction(() => document.querySelectorAll("#list li").length === 1);
    assert.equal((await backend.getAuthenticators({ userId: user })).length, 1);
    await page.click("#settings-done");
    await page.waitForFunction((app) => location.origin === app, {}, app);
    assert.equal(await validate(new URL(page.url()).searchParams.get("token")), "CHALLENGE_SUCCEEDED");
  });
});

test("settings: without the permission there is a list, and a code grants the permission", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    const { url, idempotencyKey } = await track(user, { redirectToSettings: true });
    await backend.updateAction({ userId: user, action: "signIn", idempotencyKey, attributes: { state: "ALLOW" } });
    await page.goto(url);
    await page.waitForSelector("#unlock-button", { visible: true });
    assert.deepEqual(await page.evaluate(() => [document.querySelector(".remove").hidden, document.querySelector("#add").hidden]), [true, true]);
    await page.click("#unlock-button");
    await enter(page, "challenge", phone.code());
    await page.waitForSelector("#list li .remove", { visible: true });
    assert.equal(await page.$eval("#unlock", (u) => u.hidden), true);
  });
});

test("force_enrollment asks an enrolled user for a code, then adds another authenticator", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    await page.goto(`${(await track(user)).url}&force_enrollment=true`);
    await enter(page, "challenge", phone.code());
    const second = await scan(page);
    await enter(page, "enroll", second.code());
    await decline(page);
    await page.waitForFunction((app) => location.origin === app, {}, app);
    assert.equal((await backend.getAuthenticators({ userId: user })).length, 2);
  });
});

test("a code that is pasted with a space, by keyboard alone", async () => {
  await visit(async (page) => {
    const user = newUser();
    await page.goto((await track(user)).url);
    const phone = await scan(page);
    // From the heading: the secret, then the field, then the button.
    assert.equal(await page.evaluate(() => document.activeElement.id), "enroll-title");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.equal(await page.$eval("#by-hand", (d) => d.open), true);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "copy");
    await page.keyboard.press("Tab");
    const code = phone.code();
    await page.evaluate(
      (text) => document.execCommand("insertText", false, text), // as a paste
      ` ${code.slice(0, 3)} ${code.slice(3)} `,
    );
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await decline(page);
    await page.waitForFunction((app) => location.origin === app, {}, app);

    await page.goto((await track(user)).url);
    await arrive(page, "challenge");
    assert.equal(await page.evaluate(() => document.activeElement.id), "challenge-code");
    await page.keyboard.type(phone.wrong());
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#challenge-error").textContent.startsWith("That code was not accepted"));
    assert.deepEqual(
      await page.evaluate(() => [document.activeElement.id, document.activeElement.getAttribute("aria-invalid"), document.querySelector("#challenge-error").getAttribute("role")]),
      ["challenge-code", "true", "alert"],
    );
    await page.keyboard.type(phone.code());
    await page.keyboard.press("Enter");
    await page.waitForFunction((app) => location.origin === app, {}, app);
  });
});

test("the page speaks the user's language", async () => {
  await visit(
    async (page) => {
      await page.goto((await track(newUser())).url);
      assert.equal(await title(page), "Authenticator einrichten");
      assert.equal(await page.evaluate(() => document.documentElement.lang), "de");
      await page.goto((await track(newUser(), { locale: "en-US" })).url);
      assert.equal(await title(page), "Set up your authenticator app");
    },
    { headers: { "Accept-Language": "de-AT,de;q=0.9" } },
  );
});

test("a tenant's name, logo and colour", async () => {
  const own = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
  try {
    const logo = `data:image/svg+xml;base64,${btoa('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 40"><rect width="160" height="40" rx="8" fill="#ffd400"/><script>alert(1)</script></svg>')}`;
    await setTenant(own, { branding: { name: "Sunny & Co", color: "#ffd400", logo } });
    const { url } = await backendOf(own).track({ userId: "u", action: "signIn" });
    await visit(
      async (page) => {
        await page.goto(url);
        await scan(page);
        assert.equal(await page.$eval("header img", (image) => image.alt), "Sunny & Co");
        for (const scheme of ["light", "dark"]) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
          assert.deepEqual(await page.$eval("#enroll .primary", (button) => [getComputedStyle(button).backgroundColor, getComputedStyle(button).color]), [
            "rgb(255, 212, 0)",
            "rgb(0, 0, 0)",
          ]);
          await page.evaluate(axeSource);
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          assert.deepEqual(
            violations.map((v) => [scheme, v.id, v.nodes.map((n) => n.html)]),
            [],
          );
        }
      },
      { tolerated: new RegExp(`^request: ${new URL(own.baseUrl).origin}`) },
    );
  } finally {
    await own.stop();
  }
});
