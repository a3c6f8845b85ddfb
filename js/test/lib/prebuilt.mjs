// The parts that the tests and the pictures of the pre-built UI share, for Chromium
// by puppeteer: its steps, and the way to each of its pages.

import assert from "node:assert/strict";
import { Authsignal as Backend } from "@authsignal/node";
import { authenticatorApp } from "./authenticator.mjs";
import { unlessGone } from "./browsers.mjs";
import { startServer } from "./harness.mjs";

/** The management key of a server that setTenant is used with. */
export const managementKey = "test-management-key-of-32-characters";

/** Changes a setting of the tenant of a server. */
export const setTenant = (server, change) => manage(server, "", change);

/** Changes what is at a path of the tenant in the management API. */
export async function manage(server, path, change) {
  const response = await fetch(`${server.baseUrl}/management/tenants/${server.tenantId}${path && "/"}${path}`, {
    method: "PUT",
    headers: { Authorization: `Basic ${btoa(`${managementKey}:`)}`, "Content-Type": "application/json" },
    body: JSON.stringify(change),
  });
  assert.equal(response.status, 200, await response.text());
}

/** The official server SDK for a server. */
export const backendOf = ({ apiSecretKey, baseUrl }) => new Backend({ apiSecretKey, apiUrl: baseUrl });

/** Enrolls a user without a page; returns the authenticator app. */
export async function enrolled(server, userId) {
  const backend = backendOf(server);
  const { token } = await backend.track({ userId, action: "enroll" });
  const post = async (path, body) => (await fetch(`${server.baseUrl}/client/${path}`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body })).json();
  const phone = authenticatorApp((await post("user-authenticators/totp")).uri);
  assert.equal((await post("verify/totp", JSON.stringify({ verificationCode: phone.code() }))).isVerified, true);
  return phone;
}

/** Issues a recovery link for a user. */
export async function recoveryLink({ baseUrl, apiSecretKey }, userId, body = {}) {
  const response = await fetch(`${baseUrl}/users/${userId}/recovery-links`, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(`${apiSecretKey}:`)}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return response.json();
}

/** Waits until a section is shown, and the others are not. */
export async function arrive(frame, id) {
  try {
    await frame.waitForFunction((id) => [...document.querySelectorAll("main > section:not([hidden])")].map((s) => s.id).join() === id, {}, id);
  } catch {
    assert.fail(`the page did not come to ${id}:\n${await frame.$eval("body", (body) => body.innerText)}`);
  }
}

export const title = (frame) => frame.$eval("main > section:not([hidden]) h1", (h) => h.textContent);

/** Waits for the secret, and returns an authenticator app with it. */
export async function scan(frame) {
  await arrive(frame, "enroll");
  await frame.waitForSelector("#open-app[href]");
  return authenticatorApp(await frame.$eval("#open-app", (a) => a.getAttribute("href")));
}

/** Enters a code in the section that is shown. */
export async function enter(frame, id, code) {
  await arrive(frame, id);
  await frame.type(`#${id}-code`, code);
  await unlessGone((await frame.$(`#${id}-code`)).press("Enter"));
}

/** Declines the recovery codes that are offered after an enrollment. */
export async function decline(frame) {
  await arrive(frame, "codes");
  // Not by coordinates: a frame gets its height at this moment.
  await unlessGone((await frame.$("#codes-later")).press("Enter"));
}

/** Calls the Server API; the answer. */
export async function ask(server, method, path, body) {
  const headers = { Authorization: `Basic ${btoa(`${server.apiSecretKey}:`)}` };
  const response = await fetch(`${server.baseUrl}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

/** Enrolls a user without a page, who has recovery codes; returns the app and the codes. */
export async function recoverable(server, userId, { used = 0 } = {}) {
  const phone = await enrolled(server, userId);
  const { recoveryCodes: codes } = await ask(server, "POST", `users/${userId}/recovery-codes`);
  for (const recoveryCode of codes.splice(0, used)) {
    const { token } = await backendOf(server).track({ userId, action: "signIn" });
    const response = await fetch(`${server.baseUrl}/client/verify/recovery-code`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ recoveryCode }),
    });
    assert.equal((await response.json()).isVerified, true);
  }
  return { phone, codes };
}

export async function until(condition) {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) assert.ok(Date.now() < deadline, "it did not come to that in time");
}

/**
 * The pages by name: `run` brings a page there, whose title is then `title`
 * and whose problems match `tolerated`. When they run, `at()` returns the server,
 * and the origins `app` and `evil` that its tenant names and does not name.
 */
export function prebuiltPages(at) {
  let users = 0;
  const newUser = () => `page-user-${++users}`;
  const track = (userId, attributes = {}) => backendOf(at().server).track({ userId, action: "signIn", attributes: { redirectUrl: `${at().app}/back`, ...attributes } });

  async function inState(page, state) {
    const user = newUser();
    await enrolled(at().server, user);
    const { url, idempotencyKey } = await track(user);
    await backendOf(at().server).updateAction({ userId: user, action: "signIn", idempotencyKey, attributes: { state } });
    await page.goto(url);
  }

  /** Trusts two browsers of a user. */
  async function trusted(userId) {
    const action = "trusting";
    await manage(at().server, `actions/${action}`, { defaultOutcome: "CHALLENGE", trustBrowserDays: 30 });
    for (const [userAgent, ipAddress] of [
      ["Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "203.0.113.5"],
      ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "2001:db8::17"],
    ]) {
      const { token, idempotencyKey } = await backendOf(at().server).track({ userId, action, attributes: { userAgent, ipAddress } });
      await backendOf(at().server).updateAction({ userId, action, idempotencyKey, attributes: { state: "CHALLENGE_SUCCEEDED" } });
      assert.ok((await ask(at().server, "POST", "validate", { token, trustBrowser: true })).deviceToken);
    }
  }

  const pages = {
    enroll: { title: "Set up your authenticator app", run: async (page) => (await page.goto((await track(newUser())).url), scan(page)) },
    "enroll again": {
      title: "Set up your authenticator app",
      async run(page) {
        const { url } = await track(newUser());
        for (let i = 0; i < 2; i++) {
          await page.goto(url);
          await scan(page);
        }
        await enter(page, "enroll", "000000");
        await page.waitForFunction(() => document.querySelector("#enroll-error").textContent !== "");
      },
    },
    challenge: {
      title: "Enter your code",
      async run(page) {
        const user = newUser();
        await enrolled(at().server, user);
        await page.goto((await track(user)).url);
        await arrive(page, "challenge");
      },
    },
    "wrong code": {
      title: "Enter your code",
      async run(page) {
        await pages.challenge.run(page);
        await enter(page, "challenge", "12345");
        await page.waitForFunction(() => document.querySelector("#challenge-error").textContent !== "");
      },
    },
    settings: {
      title: "Your authenticators",
      async run(page) {
        const user = newUser();
        const phone = await enrolled(at().server, user);
        await backendOf(at().server).enrollVerifiedAuthenticator({ userId: user, attributes: { verificationMethod: "EMAIL_OTP", email: "jane@example.com" } });
        await page.goto((await track(user, { redirectToSettings: true })).url);
        await enter(page, "challenge", phone.code());
        await page.waitForFunction(() => document.querySelectorAll("#list li").length === 2);
        await page.click("#list li .remove");
      },
    },
    codes: {
      title: "Save your recovery codes",
      async run(page) {
        await pages.enroll.run(page);
        const phone = await scan(page);
        await enter(page, "enroll", phone.code());
        await arrive(page, "codes");
      },
    },
    recovery: {
      title: "Enter a recovery code",
      async run(page) {
        const user = newUser();
        await recoverable(at().server, user);
        await page.goto((await track(user)).url);
        await arrive(page, "challenge");
        await page.click("#to-recovery");
        await enter(page, "recovery", "2222-2222-2222");
        await page.waitForFunction(() => document.querySelector("#recovery-error").textContent !== "");
      },
    },
    recovered: {
      title: "Recovery code accepted",
      async run(page, used = 3) {
        const user = newUser();
        const { codes } = await recoverable(at().server, user, { used });
        await page.goto((await track(user)).url);
        await arrive(page, "challenge");
        await page.click("#to-recovery");
        await enter(page, "recovery", codes[0]);
        await arrive(page, "recovered");
        return user;
      },
    },
    "few codes left": { title: "Recovery code accepted", run: (page) => pages.recovered.run(page, 8) },
    "set up another app": {
      title: "Set up your authenticator app",
      async run(page) {
        await pages.recovered.run(page);
        await page.click("#recovered-app");
        await scan(page);
      },
    },
    "all settings": {
      title: "Your authenticators",
      async run(page) {
        const user = newUser();
        const { phone } = await recoverable(at().server, user);
        await trusted(user);
        await page.goto((await track(user, { redirectToSettings: true })).url);
        await enter(page, "challenge", phone.code());
        await page.waitForSelector("#list li .rename", { visible: true });
        await page.click("#list li .rename");
        await page.type("#list li .renaming input", "My phone");
        return user;
      },
    },
    "no authenticator": {
      title: "Your authenticators",
      async run(page) {
        await page.goto((await track(newUser(), { redirectToSettings: true })).url);
        await page.waitForSelector("#settings-empty", { visible: true });
      },
    },
    done: { title: "Done", run: (page) => inState(page, "CHALLENGE_SUCCEEDED") },
    link: {
      title: "Set up a new authenticator app",
      async run(page) {
        const user = newUser();
        await enrolled(at().server, user);
        await page.goto((await recoveryLink(at().server, user, { void: ["authenticators", "recoveryCodes"] })).url);
        await arrive(page, "link");
      },
    },
    "link replaced": {
      title: "This link does not work",
      async run(page) {
        const user = newUser();
        await enrolled(at().server, user);
        const { url } = await recoveryLink(at().server, user);
        await recoveryLink(at().server, user);
        await page.goto(url);
        await arrive(page, "failure");
      },
      tolerated: /status of 404/,
    },
    blocked: { title: "Not allowed", run: (page) => inState(page, "BLOCK") },
    review: { title: "Under review", run: (page) => inState(page, "REVIEW_REQUIRED") },
    refused: { title: "Not successful", run: (page) => inState(page, "CHALLENGE_FAILED") },
    missing: { title: "Please start again", run: (page) => page.goto(at().server.baseUrl.replace(/v1$/, "")), tolerated: /status of 401/ },
    invalid: { title: "This link does not work", run: (page) => page.goto(`${at().server.baseUrl.replace(/v1$/, "")}?token=nonsense`), tolerated: /status of 401/ },
    "not returnable": {
      title: "This app is not set up for this page",
      run: async (page) => page.goto((await track(newUser(), { redirectUrl: `${at().evil}/back` })).url),
      tolerated: /status of 400/,
    },
    unavailable: {
      title: "Not available",
      async run(page) {
        const user = newUser();
        await backendOf(at().server).enrollVerifiedAuthenticator({ userId: user, attributes: { verificationMethod: "EMAIL_OTP", email: "jane@example.com" } });
        await page.goto((await track(user)).url);
      },
      tolerated: /status of 400/,
    },
    expired: {
      title: "This took too long",
      async run(page) {
        // It is polled until the second is over: more often than the limit of one address allows.
        const shortLived = await startServer({ args: ["-token-ttl", "1s", "-rate-limit", "0"] });
        page.once("close", () => shortLived.stop());
        const { url } = await backendOf(shortLived).track({ userId: "u", action: "signIn" });
        await until(async () => (await fetch(url)).status === 401);
        await page.goto(url);
        await arrive(page, "failure");
      },
      tolerated: /status of 401|request: /,
    },
    "too many attempts": {
      title: "Too many wrong codes",
      async run(page) {
        const user = newUser();
        const phone = await enrolled(at().server, user);
        const { url, token } = await track(user);
        await until(async () => {
          const response = await fetch(`${at().server.baseUrl}/client/verify/totp`, {
            method: "POST",
            headers: { Authorization: `Bearer ${token}` },
            body: JSON.stringify({ verificationCode: phone.wrong() }),
          });
          return (await response.json()).failureReason === "MAX_ATTEMPTS_EXCEEDED";
        });
        await page.goto(url);
        await enter(page, "challenge", phone.code());
        await arrive(page, "failure");
      },
    },
    "no connection": {
      title: "No connection",
      async run(page) {
        await page.setRequestInterception(true);
        page.on("request", (request) => (request.url().endsWith("/totp") ? request.abort() : request.continue()));
        await page.goto((await track(newUser())).url);
        await arrive(page, "failure");
      },
      tolerated: /ERR_FAILED/,
    },
    "no module": {
      title: "This page did not load completely",
      async run(page) {
        await page.setRequestInterception(true);
        page.on("request", (request) => (request.url().endsWith(".wasm") ? request.abort() : request.continue()));
        await page.goto((await track(newUser())).url);
        await arrive(page, "failure");
      },
      tolerated: /ERR_FAILED|preload/,
    },
  };
  return pages;
}
