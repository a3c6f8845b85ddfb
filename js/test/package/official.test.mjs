// The official @authsignal/browser and this package do the same in every engine
// against the same server; their results are equal, key by key.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { dist, serve, startServer } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";

let api;
let backend;
let shortLived;
let site;

const tags = {
  official: "/official/index.min.js",
  ours: "/dist/index.min.js",
};

before(async () => {
  [api, shortLived] = await Promise.all([startServer(), startServer({ args: ["-token-ttl", "1s"] })]);
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
  const page = (tag) => `<!doctype html><html lang="en"><title>An application's page</title><script src="${tag}"></script></html>`;
  site = await serve({
    "/official.html": page(tags.official),
    "/ours.html": page(tags.ours),
    "/official/": new URL("../../node_modules/@authsignal/browser/dist/", import.meta.url),
    "/dist/": dist,
  });
});
after(async () => {
  await site?.close();
  await api?.stop();
  await shortLived?.stop();
});

/** A page with one of the packages; call runs a method of its only instance. */
async function open(browser, name, { tenantId, baseUrl } = api) {
  const page = await browser.newPage();
  await page.goto(`${site.url}/${name}.html`);
  await page.evaluate(
    (options) => {
      globalThis.expired = 0;
      globalThis.client = new globalThis.authsignal.Authsignal({ ...options, onTokenExpired: () => globalThis.expired++ });
    },
    { tenantId, baseUrl },
  );
  return {
    page,
    // Answers that are errors, by their status alone.
    problems: async () => (await page.problems(site.url, baseUrl)).map((p) => p.match(/^response: (\d+)|$/)[1] ?? p),
    setToken: (token) => page.evaluate((token) => globalThis.client.setToken(token), token),
    // Keys whose value is undefined count too; JSON would drop them.
    call: (method, argument) =>
      page.evaluate(
        async (method, argument) => {
          const result = await globalThis.client.totp[method](argument);
          return { keys: Object.keys(result), hasError: "error" in result, result };
        },
        method,
        argument,
      ),
  };
}

/** Replaces the values that depend on the user or the time. */
function normalised(value, names) {
  if (typeof value === "string") {
    for (const [text, name] of names) value = value.replaceAll(text, name);
    return value
      .replace(/^[\w-]+\.[\w-]+\.[\w-]+$/, "<token>")
      .replace(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "<uuid>")
      .replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "<time>");
  }
  if (Array.isArray(value)) return value.map((v) => normalised(v, names));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, normalised(v, names)]));
}

/** Enrolls a new user, verifies, makes refused calls, and signs in again. */
async function journey(browser, name) {
  const userId = `user-of-${name}-in-${browser.engine}`;
  const { page, problems, setToken, call } = await open(browser, name);
  const steps = [];
  const step = async (title, method, argument) => {
    const outcome = await call(method, argument);
    steps.push([title, outcome]);
    return outcome.result;
  };

  const enrollAction = await backend.track({ userId, action: "enroll" });
  await setToken(enrollAction.token);
  const { data } = await step("enroll", "enroll");
  const app = URI.parse(data.uri);
  const now = Date.now();
  await step("a wrong code", "verify", { code: app.generate({ timestamp: now + 1e9 }) });
  const code = app.generate({ timestamp: now });
  const verified = await step("verify", "verify", { code });
  assert.equal((await backend.validateChallenge({ token: verified.data.token, userId })).state, "CHALLENGE_SUCCEEDED");

  const signIn = await backend.track({ userId, action: "signIn" });
  assert.equal(signIn.state, "CHALLENGE_REQUIRED");
  await setToken(signIn.token);
  await step("a used code", "verify", { code });
  await step("enroll without the right", "enroll");
  const again = await step("verify again", "verify", { code: app.generate({ timestamp: now + 30_000 }) });
  assert.equal((await backend.validateChallenge({ token: again.data.token, userId })).state, "CHALLENGE_SUCCEEDED");
  // The new token has replaced the old one, and it has the right.
  const more = await step("enroll with the new token", "enroll");

  await setToken("no token of this server");
  await step("a foreign token", "enroll");

  assert.deepEqual(await problems(), ["403", "401"]);
  await page.close();
  const names = [
    [userId, "<user>"],
    [encodeURIComponent(userId), "<user>"],
    [data.secret, "<secret>"],
    [more.data.secret, "<secret>"],
  ];
  return steps.map(([title, outcome]) => [title, normalised(outcome, names)]);
}

inEngines((at) => {
  test("the official package and this one get equal results", async () => {
    const official = await journey(at.browser, "official");
    const ours = await journey(at.browser, "ours");
    // parity.test.mjs lists the additional keys of enroll.
    for (const [title, outcome] of ours) {
      const { data } = outcome.result;
      if (!data?.uri) continue;
      assert.match(data.qrCode, /^data:image\/svg\+xml/, title);
      for (const key of ["qrCode", "issuer", "account", "digits", "period", "algorithm"]) delete data[key];
    }
    assert.deepEqual(ours, official);
    assert.equal(JSON.stringify(ours), JSON.stringify(official), "the order of the keys");
    // They are equal, and correct.
    assert.deepEqual(
      official.map(([title, { result }]) => [title, result.data ? (result.data.isVerified ?? "enrolled") : result.errorCode]),
      [
        ["enroll", "enrolled"],
        ["a wrong code", false],
        ["verify", true],
        ["a used code", false],
        ["enroll without the right", "unauthorized"],
        ["verify again", true],
        ["enroll with the new token", "enrolled"],
        ["a foreign token", "unauthorized"],
      ],
    );
  });

  test("without a token both have the same result", async () => {
    const outcomes = [];
    for (const name of Object.keys(tags)) {
      const { page, problems, call } = await open(at.browser, name);
      outcomes.push([await call("enroll"), await call("verify", { code: "123456" }), await problems()]);
      await page.close();
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
    assert.equal(outcomes[0][0].result.errorCode, "token_not_set");
    assert.deepEqual(outcomes[0][2], Array(2).fill("console: Error: A token has not been set. Call 'setToken' first."));
  });

  test("an expired token has the same result, and calls onTokenExpired once", async () => {
    const outcomes = [];
    for (const name of Object.keys(tags)) {
      const { page, problems, setToken, call } = await open(at.browser, name, shortLived);
      const { token } = await new Backend({ ...shortLived, apiUrl: shortLived.baseUrl }).track({ userId: `${name}-in-${at.engine}`, action: "enroll" });
      await setToken(token);
      let outcome;
      const deadline = Date.now() + 60_000;
      do outcome = await call("enroll");
      while (!outcome.hasError && Date.now() < deadline);
      outcomes.push([outcome, await page.evaluate("expired"), await problems()]);
      await page.close();
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
    const [{ result }, expired, problems] = outcomes[0];
    assert.equal(result.errorCode, "expired_token");
    assert.equal(expired, 1);
    assert.deepEqual(problems, ["401"]);
  });
});
