// The official @authsignal/browser in Chromium against the real API server: the
// Browser list of the wire contract (section 12, tests 23 to 40), on every
// store. Tests 31, 33, 34 and 37 are about the official package; this project's
// own differs there on purpose (section 11). Scripted peers stand in
// for a server that is broken, and for the pre-built UI.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { goBuild, launchBrowser, root, serve, startServer, store, temporary, watch } from "../lib/harness.mjs";

let browser;
let site; // the application's origin
let ui; // the pre-built UI's

/** The page of the application. */
const page = `<!doctype html><html lang="en"><title>An application's page</title><script src="/official/index.min.js"></script><body></body></html>`;

/** The pre-built UI: it sends the messages of the test to the page that has opened it. */
const script = `<!doctype html><html lang="en"><title>The pre-built UI</title><script>
  globalThis.say = (message) => (globalThis.opener ?? globalThis.parent).postMessage(message, "*");
</script><body></body></html>`;

before(async () => {
  [browser, site, ui] = await Promise.all([
    launchBrowser(),
    serve({ "/": page, "/official/": new URL("../../node_modules/@authsignal/browser/dist/", import.meta.url) }),
    serve({ "/": script }),
  ]);
});
after(async () => {
  await browser?.close();
  await Promise.all([site?.close(), ui?.close()]);
});

/** Opens the application's page with an Authsignal, `globalThis.client`. */
async function open({ baseUrl, tenantId = "tenant-1", callback = true, enableLogging = false }) {
  // A context of its own has cookies of its own.
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const problems = watch(page, site.url, ui.url, baseUrl);
  /** The requests to the API so far, without preflights. */
  const requests = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(baseUrl).origin) || request.method() === "OPTIONS") return;
    requests.push({
      path: new URL(request.url()).pathname,
      bearer: request.headers().authorization,
      contentType: request.headers()["content-type"],
      hasBody: request.hasPostData(),
      body: request.postData(),
    });
  });
  await page.goto(`${site.url}/`);
  await page.evaluate(
    (options, callback) => {
      globalThis.expired = [];
      if (callback) options.onTokenExpired = (...args) => globalThis.expired.push(args.length);
      globalThis.options = options;
      globalThis.client = new globalThis.authsignal.Authsignal(options);
    },
    { tenantId, baseUrl, enableLogging },
    callback,
  );
  return {
    page,
    problems,
    requests,
    close: () => context.close(),
    setToken: (token) => page.evaluate((token) => globalThis.client.setToken(token), token),
    /** The result of a call, with the keys whose values are undefined, which JSON drops; or its rejection. */
    call: (method, argument) =>
      page.evaluate(
        async (method, argument) => {
          try {
            const result = await globalThis.client.totp[method](argument);
            return { keys: Object.keys(result), dataKeys: result.data && Object.keys(result.data), hasError: "error" in result, ...result };
          } catch (e) {
            return { rejected: e.name, message: e.message };
          }
        },
        method,
        argument,
      ),
  };
}

/** Removes the statuses that Chromium itself reports on the console from the problems. */
const statuses = (problems) => problems.map((p) => p.match(/status of (\d+)|$/)[1] ?? p);

/** Opens a page, runs a test on it, and closes it. */
async function on(options, run) {
  const opened = await open(options);
  try {
    await run(opened);
  } finally {
    await opened.close();
  }
}

/** A peer that gives every request the same answer, which pages may read. */
function scripted(status, type, body) {
  return serve({
    "/v1/": (request, response) => {
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.setHeader("Access-Control-Allow-Headers", "authorization, content-type");
      if (request.method === "OPTIONS") response.writeHead(204).end();
      else response.writeHead(status, { "Content-Type": type }).end(body);
    },
  });
}

/** Runs a test on a page whose API is such a peer. */
async function onScripted(status, type, body, run, options = {}) {
  const peer = await scripted(status, type, body);
  try {
    await on({ baseUrl: `${peer.url}/v1`, ...options }, run);
  } finally {
    await peer.close();
  }
}

describe(`on ${store}`, () => {
  let api;
  let shortLived; // a server whose tokens expire after a second
  let backend;
  let users = 0;

  before(async () => {
    // The tracked url is the pre-built UI's.
    [api, shortLived] = await Promise.all([startServer({ store, args: ["-public-url", ui.url, "-rate-limit", "0"] }), startServer({ store, args: ["-token-ttl", "1s"] })]);
    backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
  });
  after(() => Promise.all([api?.stop(), shortLived?.stop()]));

  const newUser = () => `user-${++users}@example.com`;
  const track = (userId, attributes, action = "signIn") => backend.track({ userId, action, attributes });

  /** Enrolls a new user through the page. The current step is spent; `code(1)` is the next one's. */
  async function enrolled({ setToken, call }) {
    const userId = newUser();
    const { token } = await track(userId, undefined, "enroll");
    await setToken(token);
    const enrollment = await call("enroll");
    const app = URI.parse(enrollment.data.uri);
    const now = Date.now();
    const code = (step) => app.generate({ timestamp: now + step * 30_000 });
    const right = new Set([-2, -1, 0, 1, 2].map(code));
    const wrong = ["000000", "111111", "222222", "333333", "444444", "555555"].find((c) => !right.has(c));
    const verified = await call("verify", { code: code(0) });
    assert.equal(verified.data?.isVerified, true, JSON.stringify(verified));
    return { userId, code, wrong, trackToken: token, enrollment, verified };
  }

  let expiring;
  /** An expired token of the server with short-lived tokens. */
  const expiredToken = () => (expiring ??= expire());
  async function expire() {
    const { token } = await new Backend({ apiSecretKey: shortLived.apiSecretKey, apiUrl: shortLived.baseUrl }).track({ userId: newUser(), action: "signIn" });
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline) {
      const r = await fetch(`${shortLived.baseUrl}/client/user-authenticators`, { headers: { Authorization: `Bearer ${token}` } });
      await r.arrayBuffer();
      if (r.status === 401) return token;
      await new Promise((resolve) => setTimeout(resolve, 50)); // between polls
    }
    throw new Error("the token does not expire");
  }

  test("23: without a token", () =>
    on(api, async ({ problems, requests, call }) => {
      for (const outcome of [await call("enroll"), await call("verify", { code: "123456" })]) {
        assert.deepEqual(outcome, {
          keys: ["error", "errorCode", "errorDescription"],
          hasError: true,
          error: "token_not_set",
          errorCode: "token_not_set",
          errorDescription: "A token has not been set. Call 'setToken' first.",
        });
      }
      assert.deepEqual(requests, []);
      assert.deepEqual(problems, Array(2).fill("console: Error: A token has not been set. Call 'setToken' first."));
    }));

  test("24: a new user enrolls", () =>
    on(api, async ({ problems, requests, setToken, call }) => {
      const userId = newUser();
      const { token } = await track(userId);
      await setToken(token);
      const r = await call("enroll");
      assert.deepEqual([r.keys, r.hasError], [["data"], false]);
      assert.deepEqual(r.dataKeys.sort(), ["secret", "uri", "userAuthenticatorId", "userId"]);
      assert.equal(r.data.userId, userId);
      const app = URI.parse(r.data.uri);
      assert.equal(app.secret.base32, r.data.secret);
      assert.equal(app.label, userId);
      assert.deepEqual(requests, [
        {
          path: "/v1/client/user-authenticators/totp",
          bearer: `Bearer ${token}`,
          contentType: "application/json",
          hasBody: false,
          body: undefined,
        },
      ]);
      assert.deepEqual(problems, []);
    }));

  test("25: a wrong code leaves the token", () =>
    on(api, async ({ problems, requests, setToken, call }) => {
      const { userId, wrong } = await enrolled({ setToken, call });
      const { token } = await track(userId);
      await setToken(token);
      const r = await call("verify", { code: wrong });
      assert.deepEqual([r.keys, r.hasError, r.data], [["data"], false, { isVerified: false, failureReason: "CODE_INVALID_OR_EXPIRED" }]);
      assert.deepEqual(r.dataKeys.sort(), ["failureReason", "isVerified"]);
      await call("verify", { code: wrong });
      assert.equal(requests.at(-1).bearer, `Bearer ${token}`);
      assert.equal(requests.at(-1).body, JSON.stringify({ verificationCode: wrong }));
      assert.deepEqual(problems, []);
    }));

  test("26: the right code returns a new token, which later calls use", () =>
    on(api, async ({ problems, requests, setToken, call }) => {
      const { trackToken, verified } = await enrolled({ setToken, call });
      assert.deepEqual([verified.keys, verified.hasError], [["data"], false]);
      assert.deepEqual(verified.dataKeys.sort(), ["isVerified", "token", "userAuthenticator"]);
      const { token, userAuthenticator } = verified.data;
      assert.equal(typeof token, "string");
      assert.notEqual(token, trackToken);
      assert.equal(userAuthenticator.verificationMethod, "AUTHENTICATOR_APP");
      assert.ok(!Number.isNaN(Date.parse(userAuthenticator.verifiedAt)));
      assert.equal((await call("enroll")).hasError, false);
      assert.equal(requests.at(-1).bearer, `Bearer ${token}`);
      assert.deepEqual(problems, []);
    }));

  test("27: signing in again", () =>
    on(api, async ({ problems, setToken, call }) => {
      const { userId, code } = await enrolled({ setToken, call });
      const action = await track(userId);
      assert.equal(action.state, "CHALLENGE_REQUIRED");
      await setToken(action.token);
      const r = await call("verify", { code: code(1) });
      assert.equal(r.data.isVerified, true);
      assert.deepEqual(r.dataKeys.sort(), ["isVerified", "token"]);
      assert.deepEqual(problems, []);
    }));

  test("28: the eleventh wrong code is refused without a check", () =>
    on(api, async ({ problems, setToken, call }) => {
      const { userId, wrong } = await enrolled({ setToken, call });
      const { token, idempotencyKey } = await track(userId);
      await setToken(token);
      const reasons = [];
      for (let i = 0; i < 11; i++) reasons.push((await call("verify", { code: wrong })).data.failureReason);
      assert.deepEqual(reasons, [...Array(10).fill("CODE_INVALID_OR_EXPIRED"), "MAX_ATTEMPTS_EXCEEDED"]);
      assert.equal((await backend.getAction({ userId, action: "signIn", idempotencyKey })).state, "CHALLENGE_REQUIRED");
      // An answer that is not 200 would be on the console.
      assert.deepEqual(problems, []);
    }));

  test("29: an enrolled user enrolls with the right to, and not without", () =>
    on(api, async ({ problems, setToken, call }) => {
      const { userId, verified } = await enrolled({ setToken, call });
      await setToken((await track(userId)).token);
      const refused = await call("enroll");
      assert.deepEqual([refused.keys, refused.errorCode], [["error", "errorCode", "errorDescription"], "unauthorized"]);
      assert.match(refused.errorDescription, /add:authenticators/);
      // The scope alone does not spare the code of an enrolled user (contract 4.2).
      const { token, idempotencyKey } = await track(userId, { scope: "add:authenticators" });
      await setToken(token);
      assert.equal((await call("enroll")).errorCode, "unauthorized");
      await backend.updateAction({ userId, action: "signIn", idempotencyKey, attributes: { state: "ALLOW" } });
      for (const allowed of [token, verified.data.token]) {
        await setToken(allowed);
        assert.ok((await call("enroll")).data?.secret);
      }
      assert.deepEqual(statuses(problems), ["403", "403"]);
    }));

  test("30: an expired token", async () => {
    const token = await expiredToken();
    for (const callback of [true, false]) {
      await on({ ...shortLived, callback }, async ({ page, problems, setToken, call }) => {
        await setToken(token);
        for (const [i, r] of [await call("enroll"), await call("verify", { code: "123456" })].entries()) {
          assert.deepEqual([r.keys, r.errorCode], [["error", "errorCode", "errorDescription"], "expired_token"]);
          assert.equal(r.error, r.errorDescription, `call ${i}`);
        }
        // Once a call, without arguments.
        assert.deepEqual(await page.evaluate("expired"), callback ? [0, 0] : []);
        assert.deepEqual(statuses(problems), ["401", "401"]);
      });
    }
  });

  test("31: all instances share one token", () =>
    on(api, async ({ page, problems, requests, setToken, call }) => {
      const { token } = await track(newUser());
      await setToken(token);
      const enroll = () =>
        page.evaluate(async () => {
          const other = new globalThis.authsignal.Authsignal({ ...globalThis.options, tenantId: "another" });
          return (await other.totp.enroll()).errorCode ?? "enrolled";
        });
      assert.equal(await enroll(), "enrolled");
      assert.equal(requests.at(-1).bearer, `Bearer ${token}`);
      await setToken("");
      assert.equal(await enroll(), "token_not_set");
      assert.equal((await call("enroll")).errorCode, "token_not_set");
      assert.equal(requests.length, 1);
      assert.equal(problems.length, 2, "console.error of the package");
    }));

  test("32: a page of another origin may ask, and reads errors too", () =>
    on(api, async ({ problems, setToken, call }) => {
      assert.notEqual(new URL(site.url).origin, new URL(api.baseUrl).origin);
      const preflight = await fetch(`${api.baseUrl}/client/verify/totp`, {
        method: "OPTIONS",
        headers: {
          Origin: site.url,
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": "authorization,content-type",
        },
      });
      assert.ok(preflight.ok, String(preflight.status));
      assert.equal(preflight.headers.get("access-control-allow-origin"), site.url);
      assert.match(preflight.headers.get("access-control-allow-methods"), /POST/);
      assert.match(preflight.headers.get("access-control-allow-headers").toLowerCase(), /authorization.*content-type/);
      await setToken("no token of this server");
      const r = await call("verify", { code: "123456" });
      assert.deepEqual([r.rejected, r.errorCode], [undefined, "unauthorized"]);
      assert.deepEqual(statuses(problems), ["401"]);
    }));

  test("34: a path that the server does not know is an error", () =>
    on({ ...api, baseUrl: `${api.baseUrl}/client/nowhere` }, async ({ problems, setToken, call }) => {
      await setToken((await track(newUser())).token);
      const r = await call("enroll");
      assert.deepEqual([r.keys, r.errorCode], [["error", "errorCode", "errorDescription"], "not_found"]);
      assert.deepEqual(statuses(problems), ["404"]);
    }));

  test("36: an onTokenExpired that throws rejects the call", async () => {
    const token = await expiredToken();
    await on(shortLived, async ({ page, setToken }) => {
      await setToken(token);
      const outcome = await page.evaluate(async () => {
        const client = new globalThis.authsignal.Authsignal({
          ...globalThis.options,
          onTokenExpired: () => {
            throw new RangeError("thrown by the application");
          },
        });
        return client.totp.enroll().then(
          () => "resolved",
          (e) => `${e.name}: ${e.message}`,
        );
      });
      assert.equal(outcome, "RangeError: thrown by the application");
    });
  });

  test("37: a number as a code is sent as one, and refused", () =>
    on(api, async ({ problems, requests, setToken, call }) => {
      const { userId } = await enrolled({ setToken, call });
      await setToken((await track(userId)).token);
      const r = await call("verify", { code: 123456 });
      assert.equal(requests.at(-1).body, '{"verificationCode":123456}');
      assert.deepEqual([r.keys, r.errorCode], [["error", "errorCode", "errorDescription"], "invalid_request"]);
      assert.match(r.errorDescription, /verificationCode must be a string/);
      assert.deepEqual(statuses(problems), ["400"]);
    }));

  test("38: launch redirects to the tracked url as it is", () =>
    on(api, async ({ page }) => {
      const { url } = await track(newUser());
      assert.ok(url.startsWith(`${ui.url}/?token=`), "the tracked url is the pre-built UI's");
      const [, returned] = await Promise.all([page.waitForNavigation(), page.evaluate((url) => globalThis.client.launch(url), url)]);
      assert.equal(returned, undefined);
      assert.equal(page.url(), url);
    }));

  test("38: launch in a popup", () =>
    on(api, async ({ page, problems }) => {
      const { url, token } = await track(newUser());
      const launch = (options) =>
        page.evaluate(
          (url, options) => {
            globalThis.errors = [];
            globalThis.settled = undefined;
            globalThis.client
              .launch(url, { mode: "popup", onError: (e) => globalThis.errors.push(e), ...options })
              .then((r) => (globalThis.settled = { keys: Object.keys(r), token: r.token ?? "undefined" }));
          },
          url,
          options,
        );
      const frame = async () => {
        const element = await page.waitForSelector("#__authsignal-popup-iframe");
        const frame = await element.contentFrame();
        await frame.waitForFunction("globalThis.say");
        assert.equal(frame.url(), `${url}&mode=popup`);
        return frame;
      };
      const say = (frame, message) => frame.evaluate((message) => globalThis.say(message), message);
      const closing = { event: "AUTHSIGNAL_CLOSE_POPUP", token: "of a stranger" };

      await launch();
      const popup = await frame();
      // Only one at a time.
      assert.match(
        await page.evaluate((url) => {
          try {
            globalThis.client.launch(url, { mode: "popup" });
          } catch (e) {
            return e.message;
          }
        }, url),
        /^Multiple instances of Authsignal popup is not supported\.$/,
      );
      // Of another origin, or no string: ignored.
      await page.evaluate((m) => globalThis.postMessage(JSON.stringify(m), "*"), closing);
      await say(popup, closing);
      await say(popup, "no JSON");
      await say(popup, { height: 521 });
      await page.waitForFunction(() => document.querySelector("#__authsignal-popup-iframe").style.height === "521px");
      assert.equal(await page.evaluate("settled"), undefined);
      await say(popup, JSON.stringify({ event: "AUTHSIGNAL_READY" }));
      await page.waitForSelector("#__authsignal-popup-iframe.as-iframe-ready");
      await say(popup, JSON.stringify({ event: "AUTHSIGNAL_API_ERROR", errorCode: "expired_token", statusCode: 401 }));
      await page.waitForFunction(() => globalThis.errors.length > 0);
      assert.deepEqual(await page.evaluate("errors"), [{ errorCode: "expired_token", statusCode: 401 }]);
      await say(popup, JSON.stringify({ event: "AUTHSIGNAL_CLOSE_POPUP", token }));
      await page.waitForFunction("settled");
      assert.deepEqual(await page.evaluate("settled"), { keys: ["token"], token });
      assert.equal(await page.$("#__authsignal-popup-container"), null);

      // Dismissed: no token.
      await launch();
      await frame();
      await page.keyboard.press("Escape");
      await page.waitForFunction("settled");
      assert.deepEqual(await page.evaluate("settled"), { keys: ["token"], token: "undefined" });
      assert.deepEqual(problems, []);
    }));

  test("38: launch in a window", () =>
    on(api, async ({ page, problems }) => {
      const { url, token } = await track(newUser());
      const opened = new Promise((resolve) => page.once("popup", resolve));
      // Chromium opens a window only after a click.
      await page.evaluate((url) => {
        document.body.innerHTML = "<button>Sign in</button>";
        document.querySelector("button").onclick = () => globalThis.client.launch(url, { mode: "window" }).then((r) => (globalThis.settled = r));
      }, url);
      await page.click("button");
      const popup = await opened;
      await popup.waitForFunction("globalThis.say");
      assert.equal(popup.url(), `${url}&mode=popup`);
      const message = { event: "AUTHSIGNAL_CLOSE_POPUP", token };
      await page.evaluate((m) => globalThis.postMessage(JSON.stringify({ ...m, token: "of a stranger" }), "*"), message);
      // The window is closed with its last message.
      await popup.evaluate((m) => void globalThis.say(m), JSON.stringify(message)).catch(() => {});
      await page.waitForFunction("settled");
      assert.deepEqual(await page.evaluate("settled"), { token });
      assert.deepEqual(problems, []);
    }));

  test("40: the challenge of @authsignal/react", async () => {
    const react = await reactSite();
    const context = await browser.createBrowserContext();
    try {
      let enrollment;
      await on(api, async ({ setToken, call }) => (enrollment = await enrolled({ setToken, call })));
      const { userId, code } = enrollment;
      const { token, idempotencyKey } = await track(userId);
      const page = await context.newPage();
      await page.setViewport({ width: 1000, height: 700 });
      const problems = watch(page, react.url, api.baseUrl);
      await page.goto(`${react.url}/?${new URLSearchParams({ tenantId: api.tenantId, baseUrl: api.baseUrl, token })}`);
      await page.click("#pay");
      await page.waitForSelector("input[autocomplete=one-time-code]");
      await page.type("input[autocomplete=one-time-code]", code(1));
      await page.waitForFunction("globalThis.outcome");
      const outcome = await page.evaluate("globalThis.outcome");
      assert.equal(outcome.error, undefined);
      const validated = await backend.validateChallenge({ token: outcome.token, userId, action: "signIn" });
      assert.deepEqual([validated.isValid, validated.idempotencyKey], [true, idempotencyKey]);
      assert.deepEqual(problems, []);
    } finally {
      await context.close();
      await react.close();
    }
  });

  test("end to end: 24, 26, 6, a new track, 27, 6, 11", () =>
    on(api, async ({ problems, setToken, call }) => {
      const { userId, code, verified } = await enrolled({ setToken, call });
      const validate = async (token, action) => (await backend.validateChallenge({ token, userId, action })).state;
      assert.equal(await validate(verified.data.token, "enroll"), "CHALLENGE_SUCCEEDED");
      const { token } = await track(userId);
      await setToken(token);
      const again = await call("verify", { code: code(1) });
      assert.equal(await validate(again.data.token, "signIn"), "CHALLENGE_SUCCEEDED");
      const [{ userAuthenticatorId }] = await backend.getAuthenticators({ userId });
      await backend.deleteAuthenticator({ userId, userAuthenticatorId });
      assert.deepEqual(await backend.getAuthenticators({ userId }), []);
      const action = await track(userId);
      assert.deepEqual([action.state, action.isEnrolled], ["ALLOW", false]);
      assert.deepEqual(problems, []);
    }));
});

test("33: a server that is down, and one that answers HTML", async () => {
  const peer = await scripted(200, "application/json", "{}");
  await peer.close();
  await on({ baseUrl: `${peer.url}/v1` }, async ({ setToken, call }) => {
    await setToken("a.b.c");
    for (const r of [await call("enroll"), await call("verify", { code: "123456" })]) assert.equal(r.rejected, "TypeError");
  });
  await onScripted(502, "text/html", "<h1>Bad gateway</h1>", async ({ setToken, call }) => {
    await setToken("a.b.c");
    for (const r of [await call("enroll"), await call("verify", { code: "123456" })]) assert.equal(r.rejected, "SyntaxError");
  });
});

test("34: a 404 without an error key comes back as data", () =>
  onScripted(404, "application/json", '{"message":"Not Found"}', async ({ setToken, call }) => {
    await setToken("a.b.c");
    const r = await call("enroll");
    assert.deepEqual([r.keys, r.data], [["data"], { message: "Not Found" }]);
  }));

test("35: an error without a description", async () => {
  await onScripted(400, "application/json", '{"error":"invalid_request","errorCode":"invalid_request","errorDescription":""}', async ({ setToken, call }) => {
    await setToken("a.b.c");
    const r = await call("enroll");
    assert.deepEqual([r.keys, r.error, r.errorDescription], [["error", "errorCode", "errorDescription"], "", ""]);
  });
  await onScripted(400, "application/json", '{"error":"invalid_request","errorCode":"invalid_request"}', async ({ setToken, call }) => {
    await setToken("a.b.c");
    const r = await call("enroll");
    assert.deepEqual([r.keys, r.error, r.errorDescription], [["error", "errorCode", "errorDescription"], "invalid_request", undefined]);
  });
});

test("39: the device's id is in a cookie, written once", () =>
  on({ baseUrl: "http://127.0.0.1:1/v1" }, async ({ page }) => {
    const state = () => page.evaluate(() => ({ id: globalThis.client.anonymousId, cookie: document.cookie }));
    const first = await state();
    assert.match(first.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(first.cookie, `__as_aid=${first.id}`);
    await page.reload();
    await page.evaluate(() => (globalThis.client = new globalThis.authsignal.Authsignal({ tenantId: "t" })));
    assert.deepEqual(await state(), first);
  }));

/** An application of @authsignal/react that asks for a challenge when its button is pressed. */
async function reactSite() {
  const source = `${temporary}/react.jsx`;
  await writeFile(
    source,
    `import React from "react";
    import { createRoot } from "react-dom/client";
    import { AuthsignalProvider, useAuthsignal } from "@authsignal/react";
    const { tenantId, baseUrl, token } = Object.fromEntries(new URLSearchParams(location.search));
    function Checkout() {
      const { startChallengeAsync } = useAuthsignal();
      const pay = () => startChallengeAsync({ token }).then(
        (r) => (globalThis.outcome = r),
        (e) => (globalThis.outcome = { error: String(e.code ?? e) }),
      );
      return <button id="pay" onClick={pay}>Pay</button>;
    }
    createRoot(document.getElementById("root")).render(
      <AuthsignalProvider tenantId={tenantId} baseUrl={baseUrl}><Checkout /></AuthsignalProvider>,
    );`,
  );
  const esbuild = await goBuild("github.com/evanw/esbuild/cmd/esbuild");
  const { stdout } = await promisify(execFile)(esbuild, [source, "--bundle", "--format=iife", "--log-level=error", '--define:process.env.NODE_ENV="production"'], {
    cwd: root,
    env: { ...process.env, NODE_PATH: `${root}/js/test/official-react/node_modules` },
    maxBuffer: 1 << 26,
  });
  return serve({
    "/": `<!doctype html><html lang="en"><title>An application of React</title><body><div id="root"></div><script src="/app.js"></script></body></html>`,
    "/app.js": stdout,
  });
}
