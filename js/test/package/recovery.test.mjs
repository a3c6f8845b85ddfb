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

let site;
let server;
let backend;

before(async () => {
  [site, server] = await Promise.all([serve({ "/": "<!doctype html><title>A page</title>", "/worker.js": workerScript, "/dist/": dist }), startServer({ args: ["-rate-limit", "0"] })]);
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

// The sample of docs/browser-sdk.md, word for word but for the code that the user types.
test("the sample keeps codes and uses one", async () => {
  const [, text] = (await readFile(path.join(root, "docs/browser-sdk.md"), "utf8")).match(/^```js\n(\/\/ After a completed challenge.*?)^```$/ms);
  const { Authsignal } = await import(new URL("index.js", dist).href);
  const authsignal = new Authsignal({ tenantId: server.tenantId, baseUrl: server.baseUrl });
  const { token } = await backend.track({ userId: "sample", action: "signIn" });
  authsignal.setToken(token);
  const { data } = await authsignal.totp.enroll();
  await authsignal.totp.verify({ code: authenticatorApp(data.uri).code() });
  const kept = [];
  const sent = [];
  const typed = text.replaceAll("({ code })", "({ code: kept[0] })");
  assert.notEqual(typed, text);
  const Sample = async function () {}.constructor;
  await new Sample("authsignal", "show", "kept", "send", typed)(
    authsignal,
    (codes) => kept.push(...codes),
    kept,
    (token) => sent.push(token),
  );
  assert.equal(kept.length, 10);
  assert.equal((await backend.validateChallenge({ token: sent[0], userId: "sample" })).verificationMethod, "AUTHENTICATOR_APP");
  assert.equal((await authsignal.recoveryCodes.status()).data.left, 9);
});
