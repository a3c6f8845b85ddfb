// The journey of a new user, in each engine: from the server's binary and an empty
// database through the portal to the demo, with its own page and with the
// pre-built UI in each mode, and back to the portal to see it and to block it.
// The test knows of the server only what it prints and its pages show.

import assert from "node:assert/strict";
import { test } from "node:test";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { declineCodes, startDemo } from "../lib/demo.mjs";
import { startServer } from "../lib/harness.mjs";
import { arrive, authenticatorOf, declineOffer, enterCode } from "../lib/steps.mjs";

/** A server without configuration: it creates its tenant, keys and password itself. */
const startNewServer = () =>
  startServer({
    dev: false,
    env: { AUTHSIGNAL_TENANT_ID: undefined, AUTHSIGNAL_API_SECRET_KEY: undefined, AUTHSIGNAL_ENCRYPTION_KEY: undefined },
  });

/** Clicks a link or button that leads to another page, and waits for the page. */
async function follow(page, selector) {
  await page.evaluate(() => (globalThis.left = false)); // gone with the document
  await page.click(selector);
  await page.waitFor(() => globalThis.left === undefined && document.readyState === "complete");
}

/** Replaces the content of a field by typing. */
async function fill(page, selector, text) {
  await page.$eval(selector, (field) => (field.focus(), field.select()));
  await page.type(text);
}

const textOf = (page, selector) => page.$eval(selector, (element) => element.innerText);

/** The lines of a user's Activity: event and action. */
async function activity(portal) {
  await follow(portal, 'nav a[href$="/activity"]');
  return portal.evaluate(() =>
    [...document.querySelectorAll("#log ~ table tbody tr")].map((row) => {
      const cell = (label) => row.querySelector(`[data-label="${label}"]`).innerText.trim();
      return { user: cell("User"), action: cell("Action"), what: cell("Event"), more: cell("Details") };
    }),
  );
}

/** Signs in to the demo, with the second step in its own page or in a mode of the pre-built UI. */
async function signIn(page, username, mode) {
  await arrive(page, "signIn");
  await page.click(`input[value=${mode === "custom" ? "custom" : "prebuilt"}]`);
  if (mode !== "custom") await page.click(`input[value=${mode}]`);
  await fill(page, "#username", username);
  await page.press("Enter");
}

/** Returns where the second step is shown: the page itself, a frame in it, or a window that it opens. */
async function secondStep(page, mode, api) {
  switch (mode) {
    case "popup":
      return page.frame("iframe[name=authsignal]");
    case "window":
      await arrive(page, "prebuilt");
      return page.opens(() => page.click("#prebuilt-form button"));
    case "redirect":
      await page.waitFor((api) => location.href === api, api.replace(/v1$/, ""));
  }
  return page;
}

/** Waits until the demo's backend has validated an action. */
async function signedIn(page, demo, action) {
  await arrive(page, "account");
  await page.waitFor((action) => document.querySelector("#validated").innerText === action, action);
  assert.equal(await page.evaluate(() => location.href), `${demo.url}/`, "no token stays in the address");
}

const modes = ["custom", "redirect", "popup", "window"];

for (const engine of engines) {
  test(`${engine}: from an empty database to a blocked sign-in`, async (t) => {
    const stops = [];
    t.after(async () => {
      for (const stop of stops.reverse()) await stop();
    });
    const browser = await openBrowser(engine);
    stops.push(() => browser.close());
    const server = await startNewServer();
    stops.push(() => server.stop());
    const portal = await browser.newPage();
    const { url, password } = await server.portal();

    // The portal: sign in, activate the authenticator app, take the keys.
    await portal.goto(url);
    await fill(portal, "#password", password);
    await follow(portal, "main form button");
    await follow(portal, 'nav a[href$="/authenticators"]');
    await follow(portal, 'main a[href$="/authenticators/app"]');
    await fill(portal, "#issuer", "Corner Shop");
    await follow(portal, "button[value=activate]");
    assert.match(await textOf(portal, "main"), /The authenticator app is active/);
    await follow(portal, 'nav a[href$="/keys"]');
    await follow(portal, 'form[action$="/keys"] button');
    const env = {
      AUTHSIGNAL_API_URL: await textOf(portal, "#api-url"),
      AUTHSIGNAL_TENANT_ID: await textOf(portal, "#tenant-id"),
      AUTHSIGNAL_API_SECRET_KEY: await textOf(portal, "#new-key"),
    };

    // The demo with these keys; and its origin, now that its port is known.
    const demo = await startDemo(env);
    stops.push(() => demo.stop());
    await fill(portal, "#origin-list", demo.url);
    await follow(portal, 'form[action$="/origins"] button');

    // Enroll and sign in, in every mode.
    const page = await browser.newPage();
    await page.goto(demo.url);
    for (const mode of modes) {
      const username = `ada-${mode}`;
      await signIn(page, username, mode);
      let step = await secondStep(page, mode, server.baseUrl);
      const app = await authenticatorOf(step);
      assert.equal(app.totp.issuer, "Corner Shop");
      await enterCode(step, "enroll", app.code());
      await (mode === "custom" ? declineCodes : declineOffer)(step);
      await signedIn(page, demo, "enroll");
      await page.click("#account .sign-out");

      await signIn(page, username, mode);
      step = await secondStep(page, mode, server.baseUrl);
      if (mode !== "custom") {
        // Cancel, and start again.
        await arrive(step, "challenge");
        await step.click("#challenge .quit");
        await page.waitFor(() => document.querySelector("#prebuilt-form .error")?.textContent);
        if (mode !== "window") await page.click("#prebuilt-form button");
        step = await secondStep(page, mode, server.baseUrl);
      }
      await enterCode(step, "challenge", app.code());
      await signedIn(page, demo, "signIn");
      await page.click("#account .sign-out");
    }

    // All of it is shown under Activity.
    const seen = await activity(portal);
    for (const mode of modes) {
      const passed = (action) => seen.filter((l) => l.user === `ada-${mode}` && l.action === action && l.what === "Challenge succeeded");
      for (const action of ["enroll", "signIn"]) assert.ok(passed(action).length === 1, `${mode}, ${action}: ${JSON.stringify(seen)}`);
    }

    // A rule that blocks one of them.
    await follow(portal, 'nav a[href$="/actions"]');
    await follow(portal, 'main a[href$="/actions/signIn"]');
    await follow(portal, 'a[href$="/rule"]');
    await fill(portal, "#name", "not through windows");
    await fill(portal, "#condition", 'user.id == "ada-window"');
    await portal.$eval("#outcome", (list) => (list.value = "BLOCK"));
    await follow(portal, "button[value=save]");

    await signIn(page, "ada-window", "window");
    const refusal = await page.waitFor(() => document.querySelector("#signIn-error").textContent);
    assert.equal(refusal, "This sign-in is not allowed.");
    await arrive(page, "signIn");
    const [last] = (await activity(portal)).filter(({ user }) => user === "ada-window");
    assert.equal(last.action, "signIn");
    assert.match(last.what, /^Block/);
    assert.match(last.more, /Rules: not through windows/);
    // Another user may still sign in.
    await signIn(page, "ada-custom", "custom");
    await arrive(page, "challenge");

    assert.deepEqual(await portal.problems(url), []);
    const expected = /^response: 403 .*\/api\/(sign-in|verified)$/; // the block, and the tokens of cancelled challenges
    assert.deepEqual(
      (await page.problems(demo.url, server.baseUrl)).filter((problem) => !expected.test(problem)),
      [],
    );
    for (const secret of [password, env.AUTHSIGNAL_API_SECRET_KEY]) assert.ok(!`${server.log()}${demo.log()}`.includes(secret), "a log holds a secret");
  });
}
