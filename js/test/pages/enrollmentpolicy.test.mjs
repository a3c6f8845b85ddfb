// The enrollment policy in Chromium, against the real server: an operator tries and
// saves it in the portal, and users without an authenticator meet it in the pre-built
// UI, before the deadline and after it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, serve, startServer, watch } from "../lib/harness.mjs";
import { follow, signIn } from "../lib/portal.mjs";
import { arrive, backendOf, decline, enrolled, enter, managementKey, scan, setTenant } from "../lib/prebuilt.mjs";

let server;
let site;
let browser;
let backend;
before(async () => {
  [server, browser] = await Promise.all([startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } }), launchBrowser()]);
  site = await serve({ "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.</body></html>` });
  backend = backendOf(server);
  await setTenant(server, { origins: [site.url], branding: { name: "Acme" } });
});
after(async () => {
  await browser?.close();
  await site?.close();
  await server?.stop();
});

/** Runs a test with a page that must have no problems. */
async function visit(run) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const problems = watch(page, server.baseUrl, site.url);
    await run(page);
    assert.deepEqual(problems, []);
  } finally {
    await context.close();
  }
}

const track = (userId, attributes = {}) => backend.track({ userId, action: "signIn", attributes: { redirectUrl: `${site.url}/back`, ...attributes } });

/** What the backend finds for the token that the page came back with. */
async function validated(page) {
  await page.waitForFunction(() => location.pathname === "/back");
  return backend.validateChallenge({ token: new URL(page.url()).searchParams.get("token"), action: "signIn" });
}

const deadline = (page) => page.$eval("#deadline", (p) => p.textContent.replaceAll("\u00a0", " "));

test("before the deadline a user is let in, and the page of an enrollment names it", { timeout: 120_000 }, () =>
  visit(async (page) => {
    await setTenant(server, { enrollmentPolicy: { requiredFrom: "2100-03-01T12:00:00Z", graceDays: 14 } });
    const r = await track("early");
    assert.deepEqual([r.state, r.isEnrolled, r.enrollmentRequired, r.enrollmentDeadline], ["ALLOW", false, false, "2100-03-01T12:00:00.000Z"]);
    await page.goto(r.url);
    const phone = await scan(page);
    assert.equal(await deadline(page), "Acme requires an authenticator app from Mar 1, 2100.");
    await enter(page, "enroll", phone.code());
    await decline(page);
    assert.equal((await validated(page)).isValid, true);
    const again = await track("early");
    assert.deepEqual([again.state, again.isEnrolled, again.enrollmentRequired], ["CHALLENGE_REQUIRED", true, undefined]);
    // In German.
    await page.goto((await track("early-de", { locale: "de-AT" })).url);
    await scan(page);
    assert.equal(await deadline(page), "Acme verlangt ab dem 01.03.2100 eine Authenticator-App.");
    // Without a policy there is no word of it.
    await setTenant(server, { enrollmentPolicy: { requiredFrom: "never" } });
    await page.goto((await track("early-none")).url);
    await scan(page);
    assert.equal(await deadline(page), "");
  }),
);

test("after the deadline only the enrollment lets a user in", { timeout: 120_000 }, () =>
  visit(async (page) => {
    await setTenant(server, { enrollmentPolicy: { requiredFrom: new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+/, ""), graceDays: 0 } });
    const before = await track("late", { idempotencyKey: "before" });
    assert.equal(before.state, "ALLOW");
    await setTenant(server, { enrollmentPolicy: { requiredFrom: new Date(Date.now() - 3_600_000).toISOString().replace(/\.\d+/, ""), graceDays: 0 } });
    const r = await track("late");
    assert.deepEqual([r.state, r.isEnrolled, r.enrollmentRequired], ["CHALLENGE_REQUIRED", false, true]);
    assert.equal((await track("late", { idempotencyKey: "before" })).state, "CHALLENGE_REQUIRED");
    // The user quits.
    await page.goto(r.url);
    await scan(page);
    assert.equal(await deadline(page), "Acme now requires an authenticator app.");
    await page.click("#enroll .quit");
    const quit = await validated(page);
    assert.deepEqual([quit.isValid, quit.state], [false, "CHALLENGE_REQUIRED"]);
    // The user enrolls.
    await page.goto((await track("late", { idempotencyKey: r.idempotencyKey })).url);
    const phone = await scan(page);
    await enter(page, "enroll", phone.wrong());
    await page.waitForFunction(() => document.getElementById("enroll-error").textContent !== "");
    await enter(page, "enroll", phone.code());
    await decline(page);
    const done = await validated(page);
    assert.deepEqual([done.isValid, done.state], [true, "CHALLENGE_SUCCEEDED"]);
    // The next sign-in is a challenge.
    await page.goto((await track("late")).url);
    await arrive(page, "challenge");
    await setTenant(server, { enrollmentPolicy: { requiredFrom: "never" } });
  }),
);

test("an operator tries a policy, which changes nothing, and saves it", { timeout: 120_000 }, () =>
  visit(async (page) => {
    await setTenant(server, { enrollmentPolicy: { requiredFrom: "never" } });
    const { url, password } = await server.portal();
    await enrolled(server, "has-one");
    await track("has-one");
    await track("has-none");
    await signIn(page, url, password);
    await page.goto(`${url}/t/${server.tenantId}/settings`);
    const set = (id, value) => page.$eval(`#${id}`, (input, value) => (input.value = value), value);
    const note = () => page.$eval("main .note", (note) => note.innerText.replace(/\s+/g, " "));
    await set("requiredFrom", "2020-01-01T00:00");
    await set("graceDays", "14");
    await follow(page, "form[action$='/settings/enrollment'] button[value=try]");
    assert.match(
      await note(),
      /^Of \d+ users active in the last 30 days, \d+ (has|have) no authenticator\. 0 would be stopped now, and \d+ more when their grace ends, .* Nothing was saved\.$/,
    );
    assert.deepEqual([await page.$eval("#requiredFrom", (i) => i.value), await page.$eval("#graceDays", (i) => i.value)], ["2020-01-01T00:00", "14"]);
    assert.equal((await track("has-none")).enrollmentRequired, undefined);
    await set("graceDays", "0");
    await follow(page, "form[action$='/settings/enrollment'] button[value=try]");
    assert.match(await note(), /[1-9]\d* would be stopped now\. Nothing was saved\.$/);
    await follow(page, "form[action$='/settings/enrollment'] button[value=save]");
    assert.equal((await track("has-none")).state, "CHALLENGE_REQUIRED");
    // An action without it.
    await page.goto(`${url}/t/${server.tenantId}/actions/signIn`);
    await page.select("#policy", "none");
    await follow(page, "form[action$='/signIn/enrollment'] button[value=save]");
    assert.equal((await track("has-none")).state, "ALLOW");
  }),
);
