// Attacks on the pages, in Chromium, with the address of a page, a token from
// it, or a misleading name. Each attack fails, and the ordinary flow beside it
// succeeds. Those over HTTP are in internal/attacks.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { dist, launchBrowser, serve, startServer, watch } from "../lib/harness.mjs";
import { signIn } from "../lib/portal.mjs";
import { arrive, decline, backendOf, enrolled, enter, managementKey, scan, setTenant } from "../lib/prebuilt.mjs";

const read = "read:authenticators";
const all = "read:authenticators add:authenticators update:authenticators remove:authenticators";

let api;
let backend;
let browser;
let site;
/** The application's page: an origin that the tenant names. */
let app;

before(async () => {
  [api, browser] = await Promise.all([
    startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey }, args: ["-rate-limit", "0"] }),
    launchBrowser("--host-resolver-rules=MAP *.test 127.0.0.1"),
  ]);
  backend = backendOf(api);
  site = await serve({
    "/app.html": `<!doctype html><html lang="en"><title>An application's page</title><body><p>An application.</p><script src="/dist/index.min.js"></script></body></html>`,
    "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.</body></html>`,
    "/dist/": dist,
  });
  app = site.url.replace("127.0.0.1", "app.test");
  // Wide enough for a journey that takes several codes at once.
  await setTenant(api, { origins: [app], authenticator: { drift: 2 } });
});
after(async () => {
  await browser?.close();
  await site?.close();
  await api?.stop();
});

let users = 0;
const newUser = () => `user-${++users}`;
const track = (userId, attributes = {}) => backend.track({ userId, action: "signIn", attributes: { redirectUrl: `${app}/back`, ...attributes } });

/** Runs a test with a page of its own, which may have no problem except those that `tolerated` names. */
async function visit(run, tolerated) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const problems = watch(page, app, api.baseUrl);
    await run(page);
    assert.deepEqual(tolerated ? problems.filter((p) => !tolerated.test(p)) : problems, []);
  } finally {
    await context.close();
  }
}

/** The payload of a token. */
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
const scopesOf = (token) => claims(token).scope.split(" ").sort().join(" ");
const sorted = (scopes) => scopes.split(" ").sort().join(" ");

/** Calls the client API with a token, without a page. */
async function call(token, method, path, body) {
  const response = await fetch(`${api.baseUrl}/client/${path}`, { method, headers: { Authorization: `Bearer ${token}` }, body });
  return { status: response.status, body: await response.json() };
}

const authenticators = async (userId) => (await backend.getAuthenticators({ userId })).map((a) => a.userAuthenticatorId);

/** Adds a verified authenticator app, as a backend may. */
const imports = (userId, secret) =>
  backend.enrollVerifiedAuthenticator({
    userId,
    attributes: { verificationMethod: "AUTHENTICATOR_APP", otpUri: `otpauth://totp/Acme:${userId}?secret=${secret}` },
  });

/** The token with which the page returns to the application. */
async function back(page) {
  await page.waitForFunction((app) => location.origin === app && location.pathname === "/back", {}, app);
  return new URL(page.url()).searchParams.get("token");
}

for (const scope of [undefined, "add:authenticators", all]) {
  test(`force_enrollment shows an enrolled user no secret before a code (scope ${scope ?? "not given"})`, async () => {
    await visit(async (page) => {
      const user = newUser();
      const phone = await enrolled(api, user);
      const before = await authenticators(user);
      const enrollments = [];
      page.on("request", (request) => request.method() === "POST" && request.url().endsWith("/user-authenticators/totp") && enrollments.push(request.url()));
      const { url, state } = await track(user, scope ? { scope } : {});
      assert.equal(state, "CHALLENGE_REQUIRED");
      await page.goto(`${url}&force_enrollment=true`);
      await arrive(page, "challenge");
      await enter(page, "challenge", phone.wrong());
      await page.waitForFunction(() => document.querySelector("#challenge-error").textContent !== "");
      assert.deepEqual(
        await page.evaluate(() =>
          ["#secret", "#qr", "#open-app"].map((s) => document.querySelector(s)).map((e) => e.textContent + (e.getAttribute("src") ?? "") + (e.getAttribute("href") ?? "")),
        ),
        ["", "", await page.$eval("#open-app", (a) => a.textContent)],
      );
      assert.deepEqual(enrollments, []);
      assert.deepEqual(await authenticators(user), before);

      // With the right one it goes on to the requested page.
      await page.$eval("#challenge-code", (field) => (field.value = ""));
      await enter(page, "challenge", phone.code());
      const second = await scan(page);
      assert.equal(enrollments.length, 1);
      await enter(page, "enroll", second.code());
      await decline(page);
      const { isValid, state: after } = await backend.validateChallenge({ token: await back(page) });
      assert.deepEqual([isValid, after], [true, "CHALLENGE_SUCCEEDED"]);
      assert.equal((await authenticators(user)).length, 2);
    });
  });
}

test("a page that calls the API itself gains nothing by the token of its url", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    const before = await authenticators(user);
    const { url, token } = await track(user, { scope: all });
    const leaked = new URL(url).searchParams.get("token");
    assert.equal(scopesOf(leaked), read);
    assert.equal(scopesOf(token), sorted(all));
    await page.goto(url);
    await arrive(page, "challenge");
    // As a user in the console, or an injected script, could do it.
    const statuses = await page.evaluate(
      async ({ token, baseUrl, id }) => {
        const headers = { Authorization: `Bearer ${token}` };
        const status = async (path, options) => (await fetch(`${baseUrl}/client/${path}`, { headers, ...options })).status;
        return [
          await status("user-authenticators/totp", { method: "POST" }),
          await status(`user-authenticators/${id}`, { method: "DELETE" }),
          await status("token", { method: "POST", body: JSON.stringify({ scope: "add:authenticators" }) }).then((s) => s >= 400),
        ];
      },
      { token: leaked, baseUrl: api.baseUrl, id: before[0] },
    );
    assert.deepEqual(statuses, [403, 403, true]);
    assert.deepEqual(await authenticators(user), before);
    await enter(page, "challenge", phone.code());
    assert.equal((await backend.validateChallenge({ token: await back(page) })).isValid, true);
  }, /status of 40[03]/);
});

for (const journey of ["challenge", "enroll", "settings"]) {
  test(`redirect mode brings back a token that only reads (${journey})`, async () => {
    await visit(async (page) => {
      const user = newUser();
      const phone = journey === "enroll" ? undefined : await enrolled(api, user);
      await page.goto((await track(user, { scope: all, redirectToSettings: journey === "settings" })).url);
      if (journey === "enroll") {
        await enter(page, "enroll", (await scan(page)).code());
        await decline(page);
      } else {
        await enter(page, "challenge", phone.code());
      }
      if (journey === "settings") {
        await arrive(page, "settings");
        await page.waitForSelector("#list li");
        await page.click("#settings-done");
      }
      const token = await back(page);
      assert.equal(scopesOf(token), read);
      assert.equal((await backend.validateChallenge({ token, userId: user, action: "signIn" })).isValid, true);
      // The rights of whoever reads it in an access log.
      const [id] = await authenticators(user);
      assert.equal((await call(token, "POST", "user-authenticators/totp")).status, 403);
      assert.equal((await call(token, "DELETE", `user-authenticators/${id}`)).status, 403);
      for (const scope of [all, "add:authenticators", "remove:authenticators"]) {
        const { status, body } = await call(token, "POST", "token", JSON.stringify({ scope }));
        assert.deepEqual([status === 400 || status === 403, body.accessToken], [true, undefined]);
      }
      assert.deepEqual(await authenticators(user), [id]);
      assert.equal((await call(token, "GET", "user-authenticators")).status, 200);
    });
  });
}

test("redirect mode returns a read-only token when the user gives up", async () => {
  await visit(async (page) => {
    const user = newUser();
    await enrolled(api, user);
    await page.goto((await track(user, { scope: all })).url);
    await arrive(page, "challenge");
    await page.click("#challenge .quit");
    const token = await back(page);
    assert.equal(scopesOf(token), read);
    assert.equal((await backend.validateChallenge({ token })).state, "CHALLENGE_REQUIRED");
  });
});

test("popup mode hands over the token of a right code whole", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    await page.goto(`${app}/app.html`);
    const { url } = await track(user);
    await page.evaluate(
      ({ tenantId, baseUrl, url }) => {
        const client = new globalThis.authsignal.Authsignal({ tenantId, baseUrl });
        client.launch(url, { mode: "popup" }).then((end) => (globalThis.ended = end));
      },
      { tenantId: api.tenantId, baseUrl: api.baseUrl, url },
    );
    const frame = await (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
    await enter(frame, "challenge", phone.code());
    const { token } = await (await page.waitForFunction(() => globalThis.ended)).jsonValue();
    assert.equal(scopesOf(token), sorted(all));
    assert.equal((await backend.validateChallenge({ token })).isValid, true);
    assert.equal((await call(token, "POST", "user-authenticators/totp")).status, 200);
  });
});

test("a removal in the settings ends the tokens before it, and the page goes on", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    await imports(user, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    const other = await track(user);
    const { url } = await track(user, { redirectToSettings: true });
    await page.goto(url);
    await enter(page, "challenge", phone.code());
    const rows = (n) => page.waitForFunction((n) => document.querySelectorAll("#list li").length === n && document.querySelector("#list").getAttribute("aria-busy") === "false", {}, n);
    const remove = async () => {
      await page.click("#list li:last-child .remove");
      await page.click("#list li:last-child .danger");
    };
    await rows(2);
    await remove();
    await rows(1);
    assert.equal((await authenticators(user)).length, 1);
    assert.equal((await call(other.token, "GET", "user-authenticators")).status, 401);
    const { isValid, error } = await backend.validateChallenge({ token: other.token });
    assert.deepEqual([isValid, error], [false, "Token is invalid."]);
    // The page can still add and remove.
    await page.click("#add");
    await enter(page, "enroll", (await scan(page)).code());
    await arrive(page, "settings");
    await rows(2);
    await remove();
    await rows(1);
    await remove();
    await page.waitForSelector("#settings-empty", { visible: true });
    assert.deepEqual(await authenticators(user), []);
    await page.click("#settings-done");
    const token = await back(page);
    assert.equal(scopesOf(token), read);
    assert.equal((await backend.validateChallenge({ token })).state, "CHALLENGE_SUCCEEDED");
  });
});

test("an authenticator that the settings show cannot be removed before a code", async () => {
  await visit(async (page) => {
    const user = newUser();
    const phone = await enrolled(api, user);
    await page.goto((await track(user, { redirectToSettings: true, scope: all })).url);
    await arrive(page, "challenge");
    assert.equal(await page.$$eval("#list li", (items) => items.length), 0);
    await enter(page, "challenge", phone.code());
    await page.waitForSelector("#list li .remove", { visible: true });
  });
});

test("names with hidden characters are shown escaped and isolated in the portal", { timeout: 120_000 }, async () => {
  // A right-to-left override, isolates, a zero-width space, a tag character.
  const hidden = ["\u202e", "\u2066", "\u200b", "\u{e0041}"];
  const disguised = hidden.map((c, i) => `jane${c}${i}`);
  await visit(async (page) => {
    for (const userId of [...disguised, "jane"]) await track(userId, { username: userId });
    const { url, password } = await api.portal();
    await signIn(page, url, password);
    for (const path of ["/users", "/activity", ...disguised.map((id) => `/users/user?id=${encodeURIComponent(id)}`)]) {
      await page.goto(`${url}/t/${api.tenantId}${path}`);
      const text = await page.$eval("html", (html) => html.innerText + document.title);
      for (const c of hidden) assert.ok(!text.includes(c), `${path} shows U+${c.codePointAt(0).toString(16)} as it is`);
    }
    await page.goto(`${url}/t/${api.tenantId}/users`);
    const shown = await page.$$eval("tbody th", (cells) =>
      cells.map((cell) => {
        const leaf = [...cell.querySelectorAll("*")].find((e) => /isolate|plaintext/.test(getComputedStyle(e).unicodeBidi));
        return [cell.innerText.trim(), leaf?.textContent.trim()];
      }),
    );
    const names = shown.map(([name]) => name);
    // Each is distinguishable, shows its hidden characters, and reverses no text around it.
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.includes("jane"));
    for (const [name, isolated] of shown) assert.equal(isolated, name);
    for (const [i, c] of hidden.entries()) {
      const code = c.codePointAt(0).toString(16).toUpperCase();
      assert.ok(
        names.some((name) => name.toUpperCase().includes(code) && name.endsWith(String(i))),
        `U+${code} is not named in ${names}`,
      );
    }
    // The links lead to the users by their real names.
    const links = await page.$$eval("tbody th a", (as) => as.map((a) => new URL(a.href).searchParams.get("id")));
    for (const id of disguised) assert.ok(links.includes(id));
  }, /status of 4\d\d/);
});
