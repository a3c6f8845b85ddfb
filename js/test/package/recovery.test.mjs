// Recovery codes and names of authenticators, which are additions of this
// project's server, through the package: in Node, and in a page and a worker of
// every engine.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { dist, root, serve, startServer } from "../lib/harness.mjs";
import { everywhere, workerScript } from "../lib/places.mjs";

const managementKey = "test-management-key-of-32-characters";

let site;
let server;
let backend;

before(async () => {
  [site, server] = await Promise.all([
    serve({ "/": "<!doctype html><title>A page</title>", "/worker.js": workerScript, "/dist/": dist }),
    startServer({ args: ["-rate-limit", "0"], env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } }),
  ]);
  backend = new Backend({ apiSecretKey: server.apiSecretKey, apiUrl: server.baseUrl });
});
after(async () => {
  await server?.stop();
  await site?.close();
});

// The API is another origin than the page, and refuses some of the calls.
everywhere({ site: () => site, tolerated: /^(request|response: 40[03]):? http:\/\/127\.0\.0\.1:\d+\/v1\// }, (run, { engine }) => {
  let users = 0;
  const newUser = () => `${engine}-${Date.now()}-${users++}`;
  const track = async (userId, attributes) => (await backend.track({ userId, action: "signIn", attributes })).token;
  /** Makes a call with a token, in a fresh copy of the package; `path` is such as "totp.enroll". */
  const call = (token, path, options) =>
    run(
      async ({ Authsignal }, _url, given, token, path, options) => {
        const client = new Authsignal(given);
        client.setToken(token);
        const [group, name] = path.split(".");
        try {
          const response = await client[group][name](options ?? undefined);
          return { ...response, hidden: response.token };
        } catch (error) {
          return { rejected: error.name, message: error.message };
        }
      },
      { tenantId: server.tenantId, baseUrl: server.baseUrl },
      token,
      path,
      options ?? null,
    );

  /** Enrolls a user, and returns the app and a token of all scopes. */
  async function enroll(userId, options) {
    const token = await track(userId);
    const { data } = await call(token, "totp.enroll", options);
    const app = authenticatorApp(data.uri);
    const verified = await call(token, "totp.verify", { code: app.code() });
    return { app, verified: verified.data };
  }

  test("a user keeps codes, loses the phone and gets in by one", async () => {
    const userId = newUser();
    const { verified } = await enroll(userId, { name: " Jane’s “phone” " });
    assert.equal(verified.userAuthenticator.name, "Jane’s “phone”");

    assert.deepEqual((await call(verified.token, "recoveryCodes.status")).data, { total: 0, left: 0, isPending: false });
    const made = await call(verified.token, "recoveryCodes.generate");
    assert.equal(made.data.recoveryCodes.length, 10);
    assert.equal(made.hidden, undefined);
    assert.equal((await call(verified.token, "recoveryCodes.status")).data.isPending, true);
    for (const code of ["2222-2222-2222", "", "nonsense ✓"]) {
      assert.deepEqual((await call(verified.token, "recoveryCodes.confirm", { code: code || "x" })).data, { isConfirmed: false });
    }
    const [first, second, third] = made.data.recoveryCodes;
    assert.deepEqual((await call(verified.token, "recoveryCodes.confirm", { code: third })).data, { isConfirmed: true });

    const token = await track(userId);
    assert.deepEqual((await call(token, "recoveryCodes.verify", { code: "2222-2222-2222" })).data, {
      isVerified: false,
      failureReason: "CODE_INVALID_OR_EXPIRED",
    });
    const used = await call(token, "recoveryCodes.verify", { code: ` ${first.toLowerCase().replaceAll("-", "–")} ` });
    assert.equal(used.data.isVerified, true);
    assert.equal(used.data.recoveryCodesLeft, 9);
    assert.equal(used.data.accessToken, undefined);
    assert.equal(used.hidden, used.data.token);
    const result = await backend.validateChallenge({ token: used.data.token, userId, action: "signIn" });
    assert.equal(result.isValid, true);
    assert.equal(result.verificationMethod, "RECOVERY_CODE");

    // The token of the recovery code leads to a new app and to new codes.
    const { data } = await call(used.data.token, "totp.enroll");
    assert.match(data.qrCode, /^data:image\/svg\+xml/);
    const again = await call(used.data.token, "recoveryCodes.generate");
    assert.deepEqual((await call(used.data.token, "recoveryCodes.confirm", { saved: true })).data, { isConfirmed: true });
    const later = await track(userId);
    assert.equal((await call(later, "recoveryCodes.verify", { code: second })).data.isVerified, false);
    assert.equal((await call(later, "recoveryCodes.verify", { code: again.data.recoveryCodes[0] })).data.isVerified, true);
  });

  test("what is missing or wrong is said, and refused calls change nothing", async () => {
    const userId = newUser();
    const newcomer = await track(userId);
    assert.equal((await call(newcomer, "recoveryCodes.generate")).errorCode, "invalid_request");
    assert.equal((await call(newcomer, "recoveryCodes.verify", { code: "2222-2222-2222" })).errorCode, "invalid_request");
    const { verified } = await enroll(userId);
    assert.equal(verified.userAuthenticator.name, undefined);
    assert.equal((await call(await track(userId), "recoveryCodes.generate")).errorCode, "unauthorized");
    assert.equal((await call(verified.token, "recoveryCodes.confirm", { saved: true })).errorCode, "invalid_request");
    for (const name of ["confirm", "verify"]) {
      const { rejected, message } = await call(verified.token, `recoveryCodes.${name}`);
      assert.equal(rejected, "TypeError");
      assert.match(message, /takes an object/);
    }
    assert.equal((await call(verified.token, "totp.enroll", { name: 7 })).rejected, "TypeError");
    assert.equal((await call(verified.token, "totp.enroll", { name: "x".repeat(65) })).errorCode, "invalid_request");
    assert.equal((await call(verified.token, "recoveryCodes.generate", { timeout: 0 })).rejected, "TypeError");
  });
});

/** A sample of the documentation, by the beginning of its text, as a function of what it leaves to the application. */
async function sample(page, beginning, ...names) {
  const blocks = (await readFile(path.join(root, "docs", page), "utf8")).split(/^```\w*\n/m);
  const text = blocks.find((block) => block.startsWith(beginning));
  assert.ok(text, `${page} has ${beginning}`);
  const Sample = async function () {}.constructor;
  return new Sample(...names, text);
}

/** The browser SDK as the samples have it, with the token of a user's action. */
async function browserSDK(token) {
  const { Authsignal } = await import(new URL("index.js", dist).href);
  const authsignal = new Authsignal({ tenantId: server.tenantId, baseUrl: server.baseUrl });
  authsignal.setToken(token);
  return authsignal;
}

test("the sample keeps codes, uses one and enrolls a new app", async () => {
  const { token } = await backend.track({ userId: "sample", action: "signIn" });
  const authsignal = await browserSDK(token);
  const { data } = await authsignal.totp.enroll();
  await authsignal.totp.verify({ code: authenticatorApp(data.uri).code() });
  const kept = [];
  const sent = [];
  const left = [];
  // The user types the code after it is shown.
  const run = await sample("browser-sdk.md", "// After a completed challenge", "authsignal", "show", "code", "refuse", "sendToMyBackend", "tell");
  const code = { toString: () => kept[0] };
  const typed = { ...authsignal, recoveryCodes: { ...authsignal.recoveryCodes } };
  for (const name of ["confirm", "verify"]) typed.recoveryCodes[name] = ({ code }) => authsignal.recoveryCodes[name]({ code: String(code) });
  await run(
    typed,
    (codes) => kept.push(...codes),
    code,
    () => assert.fail("the code is one of those shown"),
    (token) => sent.push(token),
    (n) => left.push(n),
  );
  assert.equal(kept.length, 10);
  assert.deepEqual(left, [9]);
  assert.equal((await backend.validateChallenge({ token: sent[0], userId: "sample" })).isValid, true);
  assert.equal((await authsignal.recoveryCodes.status()).data.left, 9);
});

test("the samples of page and backend remember a browser", async () => {
  const settings = await fetch(`${server.baseUrl}/management/tenants/${server.tenantId}/actions/signIn`, {
    method: "PUT",
    headers: { Authorization: `Basic ${btoa(`${managementKey}:`)}`, "Content-Type": "application/json" },
    body: JSON.stringify({ defaultOutcome: "CHALLENGE", rules: [], trustBrowserDays: 30 }),
  });
  assert.equal(settings.status, 200);
  const userId = "remembered";
  const otpUri = "otpauth://totp/app:remembered?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=app";
  await backend.enrollVerifiedAuthenticator({ userId, attributes: { verificationMethod: "AUTHENTICATOR_APP", otpUri } });
  const app = authenticatorApp(otpUri); // two codes in a row are accepted

  const ofPage = await sample("browser-sdk.md", "// Not ticked by default", "authsignal", "code", "box", "sendToMyBackend");
  const ofBackend = await sample("backend.md", "// Before the page asks for a code", "authsignal", "userId", "readCookie", "setCookie", "askForCode", "signIn", "refuse");
  const cookies = new Map();
  let asked = 0;
  const signIn = (checked) =>
    ofBackend(
      backend,
      userId,
      (of) => cookies.get(of),
      (of, token) => (token ? cookies.set(of, token) : cookies.delete(of)),
      (token) => {
        asked++;
        return new Promise((resolve, reject) => {
          const send = (token, trustBrowser) => resolve({ token, trustBrowser });
          const show = async () => {
            await ofPage(await browserSDK(token), app.code(), { checked }, send);
            throw new Error("the page has sent nothing");
          };
          show().catch(reject);
        });
      },
      (of) => of,
      () => "refused",
    );
  const attempt = async (checked) => [await signIn(checked), asked, cookies.size];
  assert.deepEqual(await attempt(true), [userId, 1, 1]);
  for (let i = 0; i < 2; i++) assert.deepEqual(await attempt(false), [userId, 1, 1], "not asked any more");
  cookies.set(userId, "a token that is void");
  assert.deepEqual(await attempt(false), [userId, 2, 0], "asked, and not trusted without the box");
});
