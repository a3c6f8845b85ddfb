// The official @authsignal/node against the real API server: the Node list of
// the wire contract (section 12, tests 1 to 14), on the store of harness.mjs.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { Authsignal, AuthsignalError } from "@authsignal/node";
import { TOTP, URI } from "otpauth";
import { startServer, store } from "../lib/harness.mjs";

/** Listens on a free port of this machine. */
async function listen(handler) {
  const server = http.createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

describe(`on ${store}`, () => {
  let api;
  let backend;
  let users = 0;

  before(async () => {
    api = await startServer({ store });
    backend = new Authsignal({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
  });
  after(() => api?.stop());

  const newUser = () => `user-${++users}@example.com`;

  /** Calls the client API as a browser does. */
  async function browser(token, method, path, body) {
    const response = await fetch(api.baseUrl + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    return response.json();
  }
  const verify = (token, verificationCode) => browser(token, "POST", "/client/verify/totp", { verificationCode });

  /** Makes a user with an authenticator app whose current step is spent; `code(1)` is the next step's. */
  async function enrolled() {
    const userId = newUser();
    const { token } = await backend.track({ userId, action: "enroll" });
    const app = URI.parse((await browser(token, "POST", "/client/user-authenticators/totp")).uri);
    const now = Date.now();
    const code = (step) => app.generate({ timestamp: now + step * 30_000 });
    assert.equal((await verify(token, code(0))).isVerified, true);
    return { userId, code };
  }

  test("1: a wrong secret", async () => {
    const stranger = new Authsignal({ apiSecretKey: "wrong", apiUrl: api.baseUrl });
    await assert.rejects(stranger.getUser({ userId: "u" }), (error) => {
      assert.ok(error instanceof AuthsignalError);
      assert.equal(error.statusCode, 401);
      assert.equal(error.errorCode, "unauthorized");
      assert.equal(error.errorDescription, "The request is unauthorized. Check that your API key and region base URL are correctly configured.");
      return true;
    });
  });

  test("2: getUser of an unknown user", async () => {
    const user = await backend.getUser({ userId: newUser() });
    assert.equal(user.isEnrolled, false);
    assert.equal(user.email, undefined);
    assert.ok(!Object.values(user).includes(null));
  });

  test("3: track of a new user", async () => {
    const action = await backend.track({ userId: newUser(), action: "signIn" });
    assert.equal(action.state, "ALLOW");
    assert.equal(action.isEnrolled, false);
    for (const key of ["token", "url", "idempotencyKey"]) assert.ok(action[key], key);
    assert.match(action.url, /\?./);
    assert.notEqual(action.allowedVerificationMethods.length, 0);
  });

  test("4: validateChallenge before the challenge", async () => {
    const { userId } = await enrolled();
    const { token, idempotencyKey } = await backend.track({ userId, action: "signIn" });
    const result = await backend.validateChallenge({ token });
    const { stateUpdatedAt, ...rest } = result;
    assert.match(stateUpdatedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual(rest, { isValid: false, state: "CHALLENGE_REQUIRED", userId, action: "signIn", idempotencyKey });
    assert.ok(!("actionCode" in result));
  });

  test("5: validateChallenge of another user or action", async () => {
    const { token } = await backend.track({ userId: newUser(), action: "signIn" });
    const user = await backend.validateChallenge({ token, userId: "another" });
    assert.deepEqual([user.isValid, user.error, user.state], [false, "User is invalid.", undefined]);
    const action = await backend.validateChallenge({ token, action: "another" });
    assert.deepEqual([action.isValid, action.error, action.state], [false, "Action is invalid.", undefined]);
  });

  test("6: validateChallenge after the challenge", async () => {
    const { userId, code } = await enrolled();
    const { token } = await backend.track({ userId, action: "signIn" });
    const { accessToken } = await verify(token, code(1));
    const results = [];
    for (const t of [accessToken, accessToken, token]) {
      results.push(await backend.validateChallenge({ token: t, userId, action: "signIn" }));
    }
    assert.equal(results[0].isValid, true);
    assert.equal(results[0].state, "CHALLENGE_SUCCEEDED");
    assert.equal(results[0].verificationMethod, "AUTHENTICATOR_APP");
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
  });

  test("the journey of the Keycloak provider, which sends groups and roles as lists with every sign-in", async () => {
    const { userId, code } = await enrolled();
    const custom = { groups: ["/staff", "/staff/it"], roles: ["admin"], realm: "main", attempts: 2, remembered: false };
    const attributes = { custom, ipAddress: "192.0.2.1", userAgent: "Mozilla/5.0", username: "jane", redirectUrl: "https://idp.test/back" };
    const { token, idempotencyKey } = await backend.track({ userId, action: "signIn", attributes });
    assert.deepEqual((await backend.getAction({ userId, action: "signIn", idempotencyKey })).output.custom, custom);
    await backend.updateUser({ userId, attributes: { custom } });
    assert.deepEqual((await backend.getUser({ userId })).custom, custom);
    const { accessToken } = await verify(token, code(1));
    const result = await backend.validateChallenge({ token: accessToken, userId, action: "signIn" });
    assert.deepEqual([result.isValid, result.idempotencyKey], [true, idempotencyKey]);
  });

  test("7: getAction", async () => {
    const userId = newUser();
    const { idempotencyKey } = await backend.track({ userId, action: "signIn" });
    const action = await backend.getAction({ userId, action: "signIn", idempotencyKey });
    assert.equal(action.state, "ALLOW");
    for (const key of ["createdAt", "stateUpdatedAt"]) assert.ok(!Number.isNaN(Date.parse(action[key])), key);
    assert.equal(typeof action.output, "object");
    assert.notEqual(action.output, null);
    await assert.rejects(backend.getAction({ userId, action: "signIn", idempotencyKey: "unknown" }), {
      statusCode: 404,
      errorCode: "not_found",
    });
  });

  test("8: updateAction", async () => {
    const { userId } = await enrolled();
    const action = { userId, action: "signIn", idempotencyKey: "k" };
    await backend.track({ userId, action: "signIn", attributes: { idempotencyKey: "k" } });
    const updated = await backend.updateAction({ ...action, attributes: { state: "REVIEW_REQUIRED" } });
    assert.equal(updated.state, "REVIEW_REQUIRED");
    assert.equal((await backend.getAction(action)).state, "REVIEW_REQUIRED");
  });

  test("9: queryUserActions", async () => {
    const { userId, code } = await enrolled(); // the action enroll has succeeded
    const { token, idempotencyKey } = await backend.track({ userId, action: "signIn" });
    await backend.track({ userId, action: "signIn" });
    await verify(token, code(1));
    const query = { userId, actionCodes: ["signIn"], state: "CHALLENGE_SUCCEEDED" };
    const [found, ...others] = await backend.queryUserActions(query);
    assert.deepEqual(others, []);
    assert.equal(found.actionCode, "signIn");
    assert.equal(found.idempotencyKey, idempotencyKey);
    assert.equal(found.verificationMethod, "AUTHENTICATOR_APP");
    const [authenticator] = await backend.getAuthenticators({ userId });
    assert.equal(found.verifiedByAuthenticatorId, authenticator.userAuthenticatorId);
    assert.equal((await backend.queryUserActions({ userId })).length, 3);
    const from = (ms) => backend.queryUserActions({ ...query, fromDate: new Date(Date.now() + ms).toISOString() });
    assert.equal((await from(-60_000)).length, 1);
    assert.deepEqual(await from(60_000), []);
  });

  test("10: enrollVerifiedAuthenticator", async () => {
    const userId = newUser();
    const app = new TOTP({ issuer: "Acme & Co", label: userId, secret: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" });
    const { authenticator } = await backend.enrollVerifiedAuthenticator({
      userId,
      attributes: { verificationMethod: "AUTHENTICATOR_APP", otpUri: app.toString() },
    });
    assert.ok(authenticator.userAuthenticatorId);
    const list = await backend.getAuthenticators({ userId });
    assert.deepEqual(list, [authenticator]);
    assert.ok(list[0].verifiedAt);
    const { token, state } = await backend.track({ userId, action: "signIn" });
    assert.equal(state, "CHALLENGE_REQUIRED");
    assert.equal((await verify(token, app.generate())).isVerified, true);
    await assert.rejects(backend.enrollVerifiedAuthenticator({ userId, attributes: { verificationMethod: "AUTHENTICATOR_APP" } }), { statusCode: 400, errorCode: "invalid_request" });
    // Factors that are not challenged here count as enrolled.
    const other = newUser();
    const email = await backend.enrollVerifiedAuthenticator({
      userId: other,
      attributes: { verificationMethod: "EMAIL_OTP", email: other },
    });
    assert.equal(email.authenticator.email, other);
    const user = await backend.getUser({ userId: other });
    assert.deepEqual([user.isEnrolled, user.enrolledVerificationMethods], [true, ["EMAIL_OTP"]]);
  });

  test("11: deleteAuthenticator and deleteUser", async () => {
    const { userId } = await enrolled();
    const [{ userAuthenticatorId }] = await backend.getAuthenticators({ userId });
    await backend.deleteAuthenticator({ userId, userAuthenticatorId });
    assert.deepEqual(await backend.getAuthenticators({ userId }), []);
    const action = await backend.track({ userId, action: "signIn", attributes: { email: userId } });
    assert.deepEqual([action.state, action.isEnrolled], ["ALLOW", false]);
    assert.equal(await backend.deleteUser({ userId }), undefined);
    const user = await backend.getUser({ userId });
    assert.deepEqual([user.isEnrolled, user.email], [false, undefined]);
    assert.equal((await backend.validateChallenge({ token: action.token })).isValid, false);
  });

  test("12: updateUser and queryUsers", async () => {
    const userId = newUser();
    const attributes = {
      email: userId,
      emailVerified: true,
      phoneNumber: "1234567890",
      phoneNumberVerified: true,
      username: "jane",
      displayName: "Jane",
      custom: { foo: "bar", Seats: 3, beta: true },
    };
    const updated = await backend.updateUser({ userId, attributes });
    assert.deepEqual(updated, { userId, ...attributes });
    const again = await backend.updateUser({ userId, attributes: { displayName: "Jane Doe" } });
    assert.deepEqual(again, { userId, ...attributes, displayName: "Jane Doe" });
    const user = await backend.getUser({ userId });
    for (const key in attributes) assert.deepEqual(user[key], again[key], key);
    const { users: found } = await backend.queryUsers({ email: userId });
    assert.deepEqual(
      found.map((u) => [u.userId, u.emailVerified]),
      [[userId, true]],
    );
    await assert.rejects(backend.queryUsers({}), { statusCode: 400, errorCode: "invalid_request" });
  });

  test("13: a track whose answer is lost twice is tracked once", async () => {
    let answers = 0;
    const proxy = await listen((request, response) => {
      const forward = http.request(new URL(request.url, api.baseUrl), { method: request.method, headers: request.headers }, (answer) => {
        const chunks = [];
        answer.on("data", (chunk) => chunks.push(chunk));
        answer.on("end", () => {
          // The server has answered, so the action exists.
          if (request.method === "POST" && ++answers < 3) request.socket.destroy();
          else response.writeHead(answer.statusCode, answer.headers).end(Buffer.concat(chunks));
        });
      });
      request.pipe(forward);
    });
    try {
      const client = new Authsignal({ apiSecretKey: api.apiSecretKey, apiUrl: `${proxy.url}/v1` });
      const userId = newUser();
      const action = await client.track({ userId, action: "signIn", attributes: { idempotencyKey: "K" } });
      assert.equal(answers, 3);
      assert.equal(action.idempotencyKey, "K");
      const actions = await client.queryUserActions({ userId });
      assert.deepEqual(
        actions.map((a) => a.idempotencyKey),
        ["K"],
      );
    } finally {
      await proxy.close();
    }
  });
});

test("14: what is retried", async () => {
  let status;
  let requests = 0;
  const scripted = await listen((_, response) => {
    requests++;
    const error = status === 429 ? "too_many_requests" : "internal_error";
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ error, errorCode: error, errorDescription: "No." }));
  });
  try {
    const client = new Authsignal({ apiSecretKey: "sk", apiUrl: `${scripted.url}/v1` });
    const get = () => client.getUser({ userId: "u" });
    const post = () => client.track({ userId: "u", action: "signIn" });
    for (const [call, answer, want, errorCode] of [
      [get, 500, 3, "internal_error"],
      [post, 500, 1, "internal_error"],
      [get, 429, 1, "too_many_requests"],
      [post, 429, 1, "too_many_requests"],
    ]) {
      requests = 0;
      status = answer;
      await assert.rejects(call(), { statusCode: answer, errorCode });
      assert.equal(requests, want, `${call === get ? "GET" : "POST"} ${answer}`);
    }
  } finally {
    await scripted.close();
  }
});
