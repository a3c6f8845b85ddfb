// Recovery links in each engine: an operator issues one in the portal, another
// approves it, and the user enrolls a new authenticator app by it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { startServer } from "../lib/harness.mjs";
import { backendOf, enrolled, managementKey, setTenant } from "../lib/prebuilt.mjs";
import { arrive, authenticatorOf, enterCode } from "../lib/steps.mjs";

let api;
let backend;

before(async () => {
  api = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
  backend = backendOf(api);
});
after(() => api?.stop());

/** Calls the Server API where the official SDK has no method. */
async function server(method, path, body) {
  const response = await fetch(api.baseUrl + path, {
    method,
    headers: { Authorization: `Basic ${btoa(`${api.apiSecretKey}:`)}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.equal(response.status, 200, path);
  return response.json();
}

/** Whether a code signs a user in, as an app with a page of its own would find out. */
async function signsIn(userId, code) {
  const { token, state } = await backend.track({ userId, action: "signIn" });
  assert.equal(state, "CHALLENGE_REQUIRED");
  const response = await fetch(`${api.baseUrl}/client/verify/totp`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ verificationCode: code }),
  });
  return (await response.json()).isVerified;
}

const stateOf = async (userId) => (await server("GET", `/users/${userId}/recovery-links`))[0].state;
const textOf = (page, selector) => page.$eval(selector, (element) => element.innerText);

/** Clicks a link or button that leads to another page, and waits for the page. */
async function follow(page, selector) {
  await page.evaluate(() => (globalThis.left = false)); // gone with the document
  await page.click(selector);
  await page.waitFor(() => globalThis.left === undefined && document.readyState === "complete");
}

async function fill(page, selector, text) {
  await page.$eval(selector, (field) => (field.focus(), field.select()));
  await page.type(text);
}

/** Opens a link, which leaves the address at once. */
async function openLink(page, url) {
  await page.goto(url);
  await arrive(page, "link");
  assert.equal(await page.evaluate(() => location.href), api.baseUrl.replace(/v1$/, ""));
}

async function failsWith(page, url, title) {
  await page.goto(url);
  await arrive(page, "failure");
  assert.equal(await textOf(page, "#failure-title"), title);
  await page.forget(); // the status of the page
}

for (const engine of engines) {
  describe(`in ${engine}`, () => {
    let browser;
    before(async () => (browser = await openBrowser(engine)));
    after(() => browser?.close());

    test("one operator issues it, another approves it, and the user enrolls a new app", async () => {
      const userId = `user-${engine}`;
      const lost = await enrolled(api, userId);
      const { url: portal, password } = await api.portal();
      const operator = async () => {
        const page = await browser.newPage();
        await page.goto(`${portal}/sign-in`);
        await fill(page, "#password", password);
        await follow(page, "main form button");
        return page;
      };
      const jo = await operator();
      const al = await operator();
      const tenant = `${portal}/t/${api.tenantId}`;
      await jo.goto(`${tenant}/settings`);
      if (!(await jo.$eval("#approval", (box) => box.checked))) await jo.click("#approval");
      await follow(jo, "form[action$='/settings/recovery'] button");
      await jo.goto(`${tenant}/users/user?id=${userId}`);
      await follow(jo, "a[href*='/users/recover?']");
      await fill(jo, "#operator", "Jo");
      await jo.click("#authenticators");
      await follow(jo, "main form button");
      const url = await textOf(jo, "#recovery-link");
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/\?recovery=rl1_[\w-]{43}$/);

      const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
      await failsWith(page, url, "This link does not work yet");
      await al.goto(`${tenant}/users/user?id=${userId}`);
      await follow(al, "a[href*='do=approve']");
      await fill(al, "#field", "Al");
      await follow(al, "main form button");
      assert.equal(await textOf(al, "main [role=status]"), "The recovery link is approved and works.");
      assert.equal(await stateOf(userId), "ACTIVE");

      await openLink(page, url);
      await openLink(page, url); // opening it changes nothing
      assert.match(await textOf(page, "#link"), /sent you this link[^]*your other authenticators will no longer be accepted[^]*works once, until/);
      await page.click("#link-start");
      const phone = await authenticatorOf(page);
      await page.waitFor(() => document.querySelector("#qr").naturalWidth > 0);
      await enterCode(page, "enroll", phone.wrong());
      await page.waitFor(() => document.querySelector("#enroll-error").innerText);
      assert.equal(await signsIn(userId, lost.code()), true, "the lost app, before the new one is verified");
      await page.$eval("#enroll-code", (field) => (field.value = ""));
      await enterCode(page, "enroll", phone.code());
      await arrive(page, "done");
      assert.match(await textOf(page, "#done-text"), /new authenticator app is set up/);
      assert.equal(await stateOf(userId), "USED");
      assert.equal((await backend.getAuthenticators({ userId })).length, 1, "the lost app is removed");
      assert.equal(await signsIn(userId, phone.code()), true);
      assert.deepEqual(await page.problems(api.baseUrl), []);
      await failsWith(page, url, "This link has been used");
      for (const opened of [jo, al]) {
        assert.deepEqual(await opened.problems(api.baseUrl), []);
        await opened.close();
      }
      await page.close();
    });

    test("in two tabs, the newer QR code works, and the other tab says that the link is used", async () => {
      await setTenant(api, { recoveryLinks: { approval: false } });
      const userId = `tabs-${engine}`;
      await enrolled(api, userId);
      const { url } = await server("POST", `/users/${userId}/recovery-links`, {});
      const tabs = [await browser.newPage(), await browser.newPage()];
      const phones = [];
      for (const tab of tabs) {
        await openLink(tab, url);
        await tab.click("#link-start");
        phones.push(await authenticatorOf(tab));
      }
      await tabs[1].waitFor(() => document.querySelector("#replaced").innerText);
      await enterCode(tabs[0], "enroll", phones[0].code());
      await tabs[0].waitFor(() => document.querySelector("#enroll-error").innerText);
      await enterCode(tabs[1], "enroll", phones[1].code());
      await arrive(tabs[1], "done");
      await tabs[0].$eval("#enroll-code", (field) => (field.value = ""));
      await enterCode(tabs[0], "enroll", phones[1].again());
      await arrive(tabs[0], "failure");
      assert.equal(await textOf(tabs[0], "#failure-title"), "This link no longer works");
      for (const tab of tabs) await tab.close();
    });

    test("what the tenant does not allow any more is named, and the link still works when it does", async () => {
      await setTenant(api, { recoveryLinks: { approval: false } });
      const userId = `refused-${engine}`;
      await enrolled(api, userId);
      const { url } = await server("POST", `/users/${userId}/recovery-links`, {});
      const page = await browser.newPage();
      try {
        for (const [authenticator, title] of [
          [{ allowMultiple: false, active: true }, "You cannot have another authenticator"],
          [{ allowMultiple: true, active: false }, "Not available"],
        ]) {
          await setTenant(api, { authenticator });
          await openLink(page, url);
          await page.click("#link-start");
          await arrive(page, "failure");
          assert.equal(await textOf(page, "#failure-title"), title);
        }
      } finally {
        await setTenant(api, { authenticator: { allowMultiple: true, active: true } });
      }
      await openLink(page, url);
      await page.click("#link-start");
      const phone = await authenticatorOf(page);
      await enterCode(page, "enroll", phone.code());
      await arrive(page, "done");
      await page.close();
    });

    test("in German, by keyboard alone", async () => {
      await setTenant(api, { recoveryLinks: { approval: false } });
      const userId = `tastatur-${engine}`;
      await enrolled(api, userId);
      await backend.updateUser({ userId, attributes: { locale: "de" } });
      const { url } = await server("POST", `/users/${userId}/recovery-links`, { void: ["recoveryCodes"] });
      const page = await browser.newPage({ viewport: { width: 320, height: 640 } });
      await openLink(page, url);
      assert.match(await textOf(page, "#link"), /hat Ihnen diesen Link geschickt[^]*Ihre Wiederherstellungscodes werden danach nicht mehr akzeptiert/);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "nothing is cut off");
      assert.equal(await page.evaluate(() => document.activeElement.id), "link-title");
      await page.press("Tab");
      await page.waitFor(() => document.activeElement.id === "link-start");
      await page.press("Enter");
      const phone = await authenticatorOf(page);
      await enterCode(page, "enroll", phone.code());
      await arrive(page, "done");
      assert.equal(await page.evaluate(() => document.activeElement.id), "done-title");
      assert.deepEqual(await page.problems(api.baseUrl), []);
      await page.close();
    });
  });
}
