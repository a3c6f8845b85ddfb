// Recovery codes, names and trusted browsers in the pre-built UI, in Chromium. The
// journeys in each engine are in prebuilt-engines.test.mjs and journey.test.mjs.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { dist, launchBrowser, serve, startServer, watch } from "../lib/harness.mjs";
import { arrive, ask, backendOf, decline, enrolled, enter, managementKey, prebuiltPages, recoverable, scan, setTenant, title, until } from "../lib/prebuilt.mjs";

let api;
let backend;
let browser;
let site;
/** The application's page: an origin that the tenant names. */
let app;

before(async () => {
  [api, browser] = await Promise.all([startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } }), launchBrowser("--host-resolver-rules=MAP *.test 127.0.0.1")]);
  backend = backendOf(api);
  const page = (tag) => `<!doctype html><html lang="en"><title>An application's page</title><body><p>An application.</p><script src="${tag}"></script></body></html>`;
  site = await serve({
    "/official.html": page("/official/index.min.js"),
    "/ours.html": page("/dist/index.min.js"),
    "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.</body></html>`,
    "/official/": new URL("../../node_modules/@authsignal/browser/dist/", import.meta.url),
    "/dist/": dist,
  });
  app = site.url.replace("127.0.0.1", "app.test");
  await setTenant(api, { origins: [app] });
});
after(async () => {
  await browser?.close();
  await site?.close();
  await api?.stop();
});

let users = 0;
const newUser = () => `user-${++users}`;
const track = (userId, attributes = {}) => backend.track({ userId, action: "signIn", attributes: { redirectUrl: `${app}/back`, ...attributes } });
const validate = (token) => backend.validateChallenge({ token });
const status = (user) => ask(api, "GET", `users/${user}/recovery-codes`);
const authenticators = (user) => ask(api, "GET", `users/${user}/authenticators`);

/** Waits until the user is back in the application; returns what the token says. */
async function back(page) {
  await page.waitForFunction((app) => location.origin === app, {}, app);
  return validate(new URL(page.url()).searchParams.get("token"));
}

/** Runs a test with a page of its own, whose problems may only be those that `tolerated` names. */
async function visit(run, { tolerated } = {}) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const problems = watch(page, app, api.baseUrl);
    await run(page, context);
    assert.deepEqual(tolerated ? problems.filter((p) => !tolerated.test(p)) : problems, []);
  } finally {
    await context.close();
  }
}

/** Answers the requests of a path in place of the server, until the returned function is called. */
async function answer(page, path, respond) {
  await page.setRequestInterception(true);
  const listener = (request) => (new URL(request.url()).pathname === `/v1/client/${path}` ? respond(request) : request.continue());
  page.on("request", listener);
  return async () => {
    page.off("request", listener);
    await page.setRequestInterception(false);
  };
}
const json = (status, body) => (request) => request.respond({ status, contentType: "application/json", body: JSON.stringify(body) });
const error = (status, errorCode) => json(status, { error: errorCode, errorCode, errorDescription: errorCode });

/** Enrolls a user by the page, and comes to the codes that are offered. */
async function toCodes(page, user) {
  await page.goto((await track(user)).url);
  const phone = await scan(page);
  await enter(page, "enroll", phone.code());
  await arrive(page, "codes");
  return { phone, codes: await shown(page) };
}
const shown = (page) => page.$$eval("#codes-list li", (items) => items.map((item) => item.textContent));
/** Waits until the settings show a number of authenticators. */
const settled = (page, count) =>
  page.waitForFunction(
    (count) => !document.querySelector("#settings").hidden && document.querySelector("#list").getAttribute("aria-busy") === "false" && document.querySelectorAll("#list li").length === count,
    {},
    count,
  );
const said = (page, id, pattern) => page.waitForFunction((id, source) => new RegExp(source).test(document.getElementById(id).textContent), {}, id, pattern.source);

test("recovery codes after an enrollment: to copy, download and print, and in force once confirmed", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "codes-"));
  try {
    await visit(async (page, context) => {
      const user = newUser();
      const { codes } = await toCodes(page, user);
      assert.equal(codes.length, 10);
      for (const code of codes) assert.match(code, /^[2-9A-HJKMNP-TV-Z]{4}(-[2-9A-HJKMNP-TV-Z]{4}){2}$/);
      assert.equal(await page.evaluate(() => document.activeElement.id), "codes-title");
      assert.equal(await page.$eval("#codes-earlier", (e) => e.hidden), true);
      assert.deepEqual(await status(user), { total: 0, left: 0, isPending: true });

      await page.evaluate(() => {
        // The clipboard of the machine is no part of this.
        Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText: async (text) => (globalThis.copied = text) } });
        globalThis.print = () => (globalThis.printed = true);
      });
      await page.click("#codes-copy");
      await said(page, "codes-said", /^Copied/);
      assert.equal(await page.evaluate(() => globalThis.copied), codes.join("\n"));

      const client = await context.browser().target().createCDPSession();
      await client.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder, browserContextId: context.id });
      await page.click("#codes-download");
      await until(async () => (await readdir(folder)).includes("Authsignal recovery codes.txt"));
      const lines = (await readFile(path.join(folder, "Authsignal recovery codes.txt"), "utf8")).split("\n");
      assert.match(lines[0], /^Recovery codes for Authsignal, \w+\u00a0\d+,\u00a0\d{4}$/);
      assert.deepEqual(lines.slice(2, 12), codes);

      // On paper: what they are, the date, and the codes.
      await page.click("#codes-print-button");
      assert.equal(await page.evaluate(() => globalThis.printed), true);
      await page.emulateMediaType("print");
      const paper = await page.evaluate(() => document.body.innerText);
      await page.emulateMediaType(null);
      assert.deepEqual(paper.split(/\s*\n\s*/).filter(Boolean), [lines[0], ...codes]);

      await page.click("#codes-saved");
      assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
      const { total, left, isPending } = await status(user);
      assert.deepEqual([total, left, isPending], [10, 10, false]);
      assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0]);
      for (const code of codes) assert.ok(!api.log().includes(code), "the server's log has a code");
      const { token } = await track(user);
      const response = await fetch(`${api.baseUrl}/client/verify/recovery-code`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify({ recoveryCode: codes[7] }),
      });
      assert.equal((await response.json()).isVerified, true);
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("recovery codes can be declined, by keyboard alone, and are gone from the page", async () => {
  await visit(async (page) => {
    const user = newUser();
    await page.goto((await track(user, { redirectToSettings: true })).url);
    await page.waitForSelector("#add", { visible: true });
    assert.equal(await page.$eval("#settings-codes", (e) => e.hidden), true, "without an app, there is nothing to recover");
    await page.click("#add");
    const phone = await scan(page);
    await enter(page, "enroll", phone.code());
    await arrive(page, "codes");
    const focus = [];
    for (let i = 0; i < 5; i++) {
      await page.keyboard.press("Tab");
      focus.push(await page.evaluate(() => document.activeElement.id));
    }
    assert.deepEqual(focus, ["codes-copy", "codes-download", "codes-print-button", "codes-saved", "codes-later"]);
    await page.keyboard.press("Enter");
    await settled(page, 1);
    assert.deepEqual(await shown(page), []);
    assert.deepEqual(await status(user), { total: 0, left: 0, isPending: true });
    assert.match(await page.$eval("#codes-status", (e) => e.textContent), /^You have none/);

    // They can be made later, and confirmed.
    await page.focus("#new-codes");
    await page.keyboard.press("Enter");
    await arrive(page, "codes");
    assert.equal((await shown(page)).length, 10);
    await page.focus("#codes-saved");
    await page.keyboard.press("Enter");
    await settled(page, 1);
    assert.equal(await page.$eval("#notice", (e) => e.textContent), "Your new recovery codes work from now on.");
    assert.match(await page.$eval("#codes-status", (e) => e.textContent), /^10 of 10 left, made /);
    assert.ok(!(await page.content()).match(/[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}/));
  });
});

test("an enrollment counts if recovery codes cannot be offered", async () => {
  for (const [path, respond] of [
    ["recovery-codes", (request) => (request.method() === "POST" ? request.abort() : request.continue())],
    ["recovery-codes", (request) => request.abort()],
    ["recovery-codes", error(500, "internal_error")],
    ["recovery-codes", error(429, "too_many_requests")],
  ]) {
    await visit(
      async (page) => {
        await page.goto((await track(newUser())).url);
        const phone = await scan(page);
        await answer(page, path, respond);
        await enter(page, "enroll", phone.code());
        assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
      },
      { tolerated: /ERR_FAILED|status of (500|429)|request: / },
    );
  }
});

test("errors at the confirmation of recovery codes", async () => {
  await visit(
    async (page) => {
      const user = newUser();
      const { codes } = await toCodes(page, user);
      let restore = await answer(page, "recovery-codes/confirm", (request) => request.abort());
      await page.click("#codes-saved");
      await said(page, "codes-error", /^The codes do not work yet/);
      assert.deepEqual(await shown(page), codes, "they can be confirmed again");
      await restore();

      // Too late: the codes that were kept are not in force, and the page says so.
      restore = await answer(page, "recovery-codes/confirm", error(401, "expired_token"));
      await page.click("#codes-saved");
      await arrive(page, "failure");
      assert.match(await page.$eval("#failure-text", (e) => e.textContent), /^The recovery codes do not work: delete them/);
      assert.deepEqual(await shown(page), []);
      await restore();
      await page.click("#failure-quit");
      assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
      assert.equal((await status(user)).total, 0);
    },
    { tolerated: /ERR_FAILED|status of 401|request: |response: 401/ },
  );
});

test("only the codes that a page shows are confirmed by it", async () => {
  await visit(async (page) => {
    const user = newUser();
    const { phone } = await toCodes(page, user);
    // Another page makes codes in the meantime.
    const { token } = await track(user);
    const post = async (path, token, body) => {
      const response = await fetch(`${api.baseUrl}/client/${path}`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: body && JSON.stringify(body) });
      return response.json();
    };
    const { accessToken } = await post("verify/totp", token, { verificationCode: phone.code() });
    assert.equal((await post("recovery-codes", accessToken)).recoveryCodes.length, 10);
    await page.click("#codes-saved");
    await said(page, "codes-error", /newer ones were made on another page/);
    assert.deepEqual(await status(user), { total: 0, left: 0, isPending: true });
    await decline(page);
    assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
  });
});

/** Opens the application's page with one of the SDKs, and the pre-built UI by it. */
async function launch(page, name, mode, url) {
  await page.goto(`${app}/${name}.html`);
  const start = () =>
    page.evaluate(
      ({ tenantId, baseUrl, url, mode }) => {
        const client = new globalThis.authsignal.Authsignal({ tenantId, baseUrl });
        client.launch(url, { mode }).then((end) => (globalThis.ended = end));
      },
      { tenantId: api.tenantId, baseUrl: api.baseUrl, url, mode },
    );
  if (mode === "window") return (await Promise.all([new Promise((resolve) => page.once("popup", resolve)), start()]))[0];
  await start();
  return (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
}
const ended = async (page) => (await page.waitForFunction(() => globalThis.ended)).jsonValue();

for (const [name, mode] of [
  ["ours", "window"],
  ["official", "window"],
  ["ours", "popup"],
]) {
  test(`${name}: a ${mode} that is closed while codes are offered returns the token`, async () => {
    await visit(async (page) => {
      const ui = await launch(page, name, mode, (await track(newUser())).url);
      const phone = await scan(ui);
      await enter(ui, "enroll", phone.code());
      await arrive(ui, "codes");
      if (mode === "window")
        await ui.close({ runBeforeUnload: true }); // as a user closes it
      else await page.mouse.click(5, 5); // beside the frame
      assert.equal((await validate((await ended(page)).token)).state, "CHALLENGE_SUCCEEDED");
    });
  });
}

test("a challenge by a recovery code: a wrong one, then one of the user's, with small letters and spaces", async () => {
  await visit(async (page) => {
    const user = newUser();
    const { codes } = await recoverable(api, user);
    await page.goto((await track(user)).url);
    await arrive(page, "challenge");
    // By keyboard: the code, the button, the link.
    for (let i = 0; i < 2; i++) await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "to-recovery");
    await page.keyboard.press("Enter");
    await arrive(page, "recovery");
    assert.equal(await page.evaluate(() => document.activeElement.id), "recovery-code");
    for (const [code, message] of [
      ["123456", /^Enter a recovery code: 12 letters and digits/],
      ["2222-2222-2222", /^That recovery code was not accepted/],
    ]) {
      await page.keyboard.type(code);
      await page.keyboard.press("Enter");
      await said(page, "recovery-error", message);
    }
    await page.keyboard.type(codes[0].toLowerCase().replaceAll("-", " "));
    await page.keyboard.press("Enter");
    await arrive(page, "recovered");
    assert.deepEqual(await page.evaluate(() => [document.activeElement.id, document.querySelector("#recovered-left").textContent, document.querySelector("#recovered-few").hidden]), [
      "recovered-title",
      "Recovery codes left: 9",
      true,
    ]);
    await page.click("#recovered-on");
    const { state, verificationMethod } = await back(page);
    assert.deepEqual([state, verificationMethod], ["CHALLENGE_SUCCEEDED", "RECOVERY_CODE"]);
  });
});

test("a recovery code is asked for only where the user has some", async () => {
  await visit(async (page) => {
    for (const [user, hidden] of [
      [newUser(), true],
      [newUser(), false],
    ]) {
      await (hidden ? enrolled : recoverable)(api, user);
      await page.goto((await track(user)).url);
      await arrive(page, "challenge");
      assert.equal(await page.$eval("#to-recovery", (e) => e.hidden), hidden);
    }
    // And it is a choice.
    await page.click("#to-recovery");
    await arrive(page, "recovery");
    await page.click("#to-challenge");
    await arrive(page, "challenge");
    assert.equal(await title(page), "Enter your code");
  });
});

test("another person's wrong codes leave the way by a recovery code open", async () => {
  await visit(async (page) => {
    const user = newUser();
    const { phone, codes } = await recoverable(api, user);
    const { url, token } = await track(user);
    for (let reason; reason !== "MAX_ATTEMPTS_EXCEEDED"; ) {
      const response = await fetch(`${api.baseUrl}/client/verify/totp`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        body: JSON.stringify({ verificationCode: phone.wrong() }),
      });
      reason = (await response.json()).failureReason;
      assert.ok(reason, "a wrong code is refused");
    }
    await page.goto(url);
    await enter(page, "challenge", phone.code());
    await arrive(page, "failure");
    await page.click("#failure-recovery");
    await enter(page, "recovery", codes[0]);
    await arrive(page, "recovered");
    await page.click("#recovered-on");
    assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
  });
});

test("after a recovery the user sets up a new app, names it, and removes the lost one", async () => {
  await visit(async (page) => {
    const user = newUser();
    const { codes } = await recoverable(api, user);
    const [lost] = await authenticators(user);
    await page.goto((await track(user)).url);
    await arrive(page, "challenge");
    await page.click("#to-recovery");
    await enter(page, "recovery", codes[0]);
    await arrive(page, "recovered");
    await page.click("#recovered-app");
    const phone = await scan(page);
    await page.type("#enroll-name", "My new phone");
    await enter(page, "enroll", phone.code());
    await settled(page, 2);
    assert.match(await page.$eval("#notice", (e) => e.textContent), /^The authenticator app was added. Now remove/);
    assert.deepEqual((await authenticators(user)).map(({ name }) => name ?? "").sort(), ["", "My new phone"]);
    const items = await page.$$("#list li");
    for (const item of items) {
      if ((await item.$eval(".name", (e) => e.textContent)) === "My new phone") continue;
      await (await item.$(".remove")).click();
      await (await item.$(".danger")).click();
    }
    await settled(page, 1);
    const left = await authenticators(user);
    assert.deepEqual([left.length, left[0].name, left[0].userAuthenticatorId === lost.userAuthenticatorId], [1, "My new phone", false]);
    assert.equal((await status(user)).left, 9, "the codes stay");
    await page.click("#settings-done");
    assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
  });
});

test("where one app is allowed, the lost one is removed first, and new codes are offered with the new one", async () => {
  const own = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
  try {
    await setTenant(own, { authenticator: { allowMultiple: false } });
    await visit(
      async (page) => {
        const { codes } = await recoverable(own, "u");
        await page.goto((await backendOf(own).track({ userId: "u", action: "signIn" })).url);
        await arrive(page, "challenge");
        await page.click("#to-recovery");
        await enter(page, "recovery", codes[0]);
        await arrive(page, "recovered");
        await page.click("#recovered-app");
        await settled(page, 1);
        assert.match(await page.$eval("#notice", (e) => e.textContent), /allows no more authenticators. Remove the one/);
        assert.equal(await page.$eval("#add", (e) => e.hidden), true);
        await page.click("#list .remove");
        await page.click("#list .danger");
        await settled(page, 0);
        await page.click("#add");
        const phone = await scan(page);
        assert.equal(await page.$eval("#enroll-naming", (e) => e.hidden), true, "the only one needs no name");
        await enter(page, "enroll", phone.code());
        await arrive(page, "codes");
        await page.click("#codes-saved");
        await settled(page, 1);
        assert.match(await page.$eval("#codes-status", (e) => e.textContent), /^10 of 10 left/);
        await page.click("#settings-done");
        await arrive(page, "done");
      },
      { tolerated: new RegExp(`^request: ${new URL(own.baseUrl).origin}`) },
    );
  } finally {
    await own.stop();
  }
});

test("where the tenant allows no recovery codes, the pages have none", async () => {
  const own = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
  try {
    await recoverable(own, "u");
    await setTenant(own, { authenticator: { recoveryCodes: false } });
    await visit(
      async (page) => {
        const { url } = await backendOf(own).track({ userId: "new", action: "signIn", attributes: { redirectToSettings: true } });
        await page.goto(url);
        await page.waitForSelector("#add", { visible: true });
        await page.click("#add");
        const phone = await scan(page);
        await enter(page, "enroll", phone.code());
        await settled(page, 1);
        assert.deepEqual(await page.evaluate(() => ["#settings-codes", "#unlock"].map((s) => document.querySelector(s).hidden)), [true, true]);
        await page.goto((await backendOf(own).track({ userId: "u", action: "signIn" })).url);
        await arrive(page, "challenge");
        assert.equal(await page.$eval("#to-recovery", (e) => e.hidden), true);
      },
      { tolerated: new RegExp(`^request: ${new URL(own.baseUrl).origin}`) },
    );
  } finally {
    await own.stop();
  }
});

test("a user with few codes left is warned, and makes new ones", async () => {
  await visit(async (page) => {
    const user = newUser();
    const { codes } = await recoverable(api, user, { used: 9 });
    await page.goto((await track(user)).url);
    await arrive(page, "challenge");
    await page.click("#to-recovery");
    await enter(page, "recovery", codes[0]);
    await arrive(page, "recovered");
    assert.equal(await page.$eval("#recovered-left", (e) => e.textContent), "That was your last recovery code.");
    await page.waitForSelector("#recovered-few", { visible: true });
    await page.click("#recovered-codes");
    await arrive(page, "codes");
    await page.click("#codes-saved");
    await arrive(page, "recovered");
    assert.equal(await page.$eval("#recovered-left", (e) => e.textContent), "Recovery codes left: 10");
    assert.equal(await page.$eval("#recovered-codes", (e) => e.hidden), true);
    await page.click("#recovered-on");
    assert.equal((await back(page)).state, "CHALLENGE_SUCCEEDED");
  });
});

const pages = prebuiltPages(() => ({ server: api, app, evil: "http://evil.test" }));

test("settings: rename, make new codes, and remove trusted browsers", async () => {
  await visit(
    async (page) => {
      const user = await pages["all settings"].run(page);
      // A name that the server refuses: it would be shown from right to left.
      const field = await page.$("#list .renaming input");
      await field.evaluate((field) => (field.value = "a\u202eb"));
      await page.click("#list .renaming .primary");
      await page.waitForFunction(() => document.querySelector("#list .renaming .error").textContent.startsWith("That name was not accepted"));
      await field.evaluate((field) => (field.value = ""));
      await field.type("<b>My phone</b>");
      await page.keyboard.press("Enter");
      await said(page, "notice", /^The name was saved/);
      await settled(page, 1);
      assert.deepEqual(await page.$eval("#list li", (li) => [li.querySelector(".name").textContent, li.querySelector(".method").textContent]), ["<b>My phone</b>", "Authenticator app"]);
      assert.equal((await authenticators(user))[0].name, "<b>My phone</b>");
      // Removed, it is called by its method again.
      await page.click("#list .rename");
      await page.keyboard.press("Backspace"); // the name is selected
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => document.querySelector("#list .name").textContent === "Authenticator app");

      const earlier = await status(user);
      await page.click("#new-codes");
      await arrive(page, "codes");
      await page.waitForSelector("#codes-earlier", { visible: true });
      assert.deepEqual({ ...(await status(user)), isPending: false }, earlier, "those before are in force until the new ones are confirmed");
      await page.click("#codes-saved");
      await settled(page, 1);
      assert.notEqual((await status(user)).confirmedAt, earlier.confirmedAt);

      const names = () => page.$$eval("#browsers .name", (list) => list.map((e) => e.textContent).sort());
      assert.deepEqual(await names(), ["Firefox on Windows", "Safari on iPhone"]);
      assert.match(await page.$eval("#browsers", (e) => e.textContent), /203\.0\.113\.5/);
      await page.click("#browsers .forget");
      await said(page, "notice", /^The browser is no longer trusted/);
      await page.waitForFunction(() => document.querySelectorAll("#browsers li").length === 1);
      assert.equal(await page.$eval("#forget-all", (e) => e.hidden), true);
      assert.equal((await ask(api, "GET", `users/${user}/trusted-browsers`)).length, 1);
      await page.click("#browsers .forget");
      await page.waitForFunction(() => document.querySelector("#settings-browsers").hidden);

      const both = await pages["all settings"].run(page);
      await page.click("#forget-all");
      await said(page, "notice", /^No browser is trusted any more/);
      assert.deepEqual(await ask(api, "GET", `users/${both}/trusted-browsers`), []);
    },
    { tolerated: /status of 400/ },
  );
});

test("settings: where a code is required first, nothing can be made, named or seen before it", async () => {
  await visit(async (page) => {
    const user = newUser();
    const { phone } = await recoverable(api, user);
    const { url, idempotencyKey } = await track(user, { redirectToSettings: true });
    await backend.updateAction({ userId: user, action: "signIn", idempotencyKey, attributes: { state: "ALLOW" } });
    const requests = [];
    page.on("request", (request) => requests.push(new URL(request.url()).pathname));
    await page.goto(url);
    await page.waitForSelector("#unlock-button", { visible: true });
    assert.deepEqual(await page.evaluate(() => ["#new-codes", ".rename", ".remove", "#settings-codes"].map((s) => document.querySelector(s).hidden)), [true, true, true, false]);
    await page.click("#unlock-button");
    await enter(page, "challenge", phone.code());
    await settled(page, 1);
    await page.waitForSelector("#new-codes", { visible: true });
    assert.deepEqual(await page.evaluate(() => [".rename", ".remove", "#unlock"].map((s) => document.querySelector(s).hidden)), [false, false, true]);
    assert.ok(requests.includes("/v1/client/trusted-browsers"));
  });
});
