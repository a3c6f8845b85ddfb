// The story of a lost phone, in each engine and in each user interface: a user
// enrolls and keeps recovery codes, has the browser trusted, signs in without being
// asked, loses the phone, gets in by a recovery code and sets up a new app, whereupon
// the browser is no longer trusted. Then the codes are lost too, and the help desk
// sends a link. And an enrollment policy, before and after its deadline.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startServer } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";
import { manage, managementKey, setTenant } from "../lib/prebuilt.mjs";
import { arrive, authenticatorOf, enterCode } from "../lib/steps.mjs";
import * as story from "../lib/story.mjs";

let server;
let call;
const uis = {};
before(async () => {
  server = await startServer({ args: ["-rate-limit", "0"], env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
  call = story.callsOf(server);
  await manage(server, "actions/signIn", { defaultOutcome: "CHALLENGE", trustBrowserDays: 30, rules: [] });
  for (const ui of ["prebuilt", "demo", "react"]) uis[ui] = await story[ui](server);
});
after(async () => {
  for (const ui of Object.values(uis)) await ui.stop();
  await server?.stop();
});

/** Opens a recovery link in a browser, and sets up an app there. */
async function useLink(page, url) {
  await page.goto(url);
  await arrive(page, "link");
  await page.click("#link-start");
  const app = await authenticatorOf(page);
  await enterCode(page, "enroll", app.code());
  await arrive(page, "done");
  return app;
}

/** Closes a page, in which nothing may have gone wrong. */
async function close(ui, page) {
  assert.deepEqual(await page.problems(ui.url, server.baseUrl), []);
  await page.close();
}

inEngines((at) => {
  for (const name of ["prebuilt", "demo", "react"]) {
    const userOf = (story) => `${story}-${name}-${at.engine}`.toLowerCase();

    test(`${name}: a phone is lost, and then the codes`, async () => {
      const ui = uis[name];
      const userId = userOf("ada");
      const factors = async () => (await call("GET", `users/${userId}/authenticators`)).map((a) => a.userAuthenticatorId);
      const laptop = await at.browser.newPage();

      await ui.signIn(laptop, userId);
      const phone = await ui.enroll(laptop);
      const codes = await ui.keep(laptop);
      assert.equal(codes.length, 10);
      assert.equal(await ui.signedIn(laptop), "AUTHENTICATOR_APP");
      await ui.signOut(laptop);

      await ui.signIn(laptop, userId);
      await ui.enter(laptop, phone.code(), { remember: true });
      assert.equal(await ui.signedIn(laptop), "AUTHENTICATOR_APP");
      await ui.signOut(laptop);
      for (let i = 0; i < 2; i++) {
        await ui.signIn(laptop, userId);
        assert.equal(await ui.signedIn(laptop), story.trusted, "the browser is trusted");
        await ui.signOut(laptop);
      }

      // The phone is lost: another browser, and a recovery code.
      const lost = await factors();
      const office = await at.browser.newPage();
      await ui.signIn(office, userId);
      const next = await ui.recover(office, codes[0]);
      assert.equal(await ui.signedIn(office), "RECOVERY_CODE");
      await close(ui, office);
      const left = await factors();
      assert.ok(left.length === 1 && !left.includes(lost[0]), `${left} in place of ${lost}`);
      assert.equal((await call("GET", `users/${userId}/recovery-codes`)).left, 9);

      // The trusted browser asks again.
      await ui.signIn(laptop, userId);
      await ui.enter(laptop, next.code(), { remember: true });
      assert.equal(await ui.signedIn(laptop), "AUTHENTICATOR_APP");
      await ui.signOut(laptop);
      await ui.signIn(laptop, userId);
      assert.equal(await ui.signedIn(laptop), story.trusted);
      await ui.signOut(laptop);

      // The codes are lost too: a link of the help desk.
      const { url } = await call("POST", `users/${userId}/recovery-links`, { void: ["authenticators", "recoveryCodes"], issuedBy: "Grace" });
      const mail = await at.browser.newPage();
      const third = await useLink(mail, url);
      await close(ui, mail);
      assert.equal((await factors()).length, 1);
      assert.equal((await call("GET", `users/${userId}/recovery-codes`)).left, 0);
      await ui.signIn(laptop, userId);
      await ui.enter(laptop, third.code());
      assert.equal(await ui.signedIn(laptop), "AUTHENTICATOR_APP");
      await close(ui, laptop);
    });

    test(`${name}: an enrollment is required from a date on`, async () => {
      const ui = uis[name];
      const userId = userOf("grace");
      const required = (days) => setTenant(server, { enrollmentPolicy: { requiredFrom: new Date(Date.now() + days * 24 * 3600 * 1000).toISOString().slice(0, 10), graceDays: 0 } });
      const track = () => call("POST", `users/${userId}/actions/signIn`);
      const page = await at.browser.newPage();
      try {
        await required(2);
        const early = await track();
        assert.equal(early.state, "ALLOW");
        assert.equal(early.enrollmentRequired, false);
        assert.ok(Date.parse(early.enrollmentDeadline) > Date.now());

        await required(-1);
        const late = await track();
        assert.equal(late.state, "CHALLENGE_REQUIRED");
        assert.equal(late.enrollmentRequired, true);
        assert.equal((await call("POST", "validate", { token: late.token })).isValid, false);

        await ui.signIn(page, userId);
        await ui.enroll(page);
        await ui.keep(page);
        assert.equal(await ui.signedIn(page), "AUTHENTICATOR_APP");
      } finally {
        await setTenant(server, { enrollmentPolicy: { requiredFrom: "never" } });
      }
      await close(ui, page);
    });

    // The interfaces differ in this, and the engines do not.
    if (at.engine !== "Chromium") continue;
    test(`${name}: a tenant allows no recovery codes, and none are offered`, async () => {
      const ui = uis[name];
      const page = await at.browser.newPage();
      await setTenant(server, { authenticator: { recoveryCodes: false } });
      try {
        await ui.signIn(page, userOf("linus"));
        await ui.enroll(page);
        assert.equal(await ui.signedIn(page), "AUTHENTICATOR_APP");
      } finally {
        await setTenant(server, { authenticator: { recoveryCodes: true } });
      }
      await close(ui, page);
    });
  }
});
