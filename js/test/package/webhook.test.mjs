// The official @authsignal/node verifies the real server's webhooks. Retries
// are tested in Go, where the clock can be moved.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { serve, startServer } from "../lib/harness.mjs";

const vector = JSON.parse(await readFile(new URL("../../../internal/webhook/testdata/webhook.json", import.meta.url)));

let api;
let backend;
let receiver;
/** The received events, as the official package decodes them. */
const events = [];
const news = new EventEmitter();
/** The status that answers the next action.verify. */
let consent = 200;

before(async () => {
  receiver = await serve({
    "/hook": async (request, response) => {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      let event;
      try {
        event = backend.webhook.constructEvent(body, request.headers["x-signature-v2"]);
      } catch (error) {
        event = error;
      }
      response.writeHead(event.type === "action.verify" ? consent : 200).end();
      events.push(event);
      news.emit("event");
    },
  });
  api = await startServer({ args: ["-webhook-url", `${receiver.url}/hook`] });
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
});
after(async () => {
  await api?.stop();
  await receiver?.close();
});

/** Calls the client API as a page does. */
async function call(path, token, body) {
  const response = await fetch(`${api.baseUrl}/client/${path}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** Waits for a number of events of a type; returns them. */
async function arrived(type, count = 1) {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    const found = events.filter((e) => e.type === type || e instanceof Error);
    if (found.length >= count) return found;
    await once(news, "event", { signal });
  }
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Checks an envelope; returns the data. */
function data(event, type) {
  assert.ok(!(event instanceof Error), event);
  assert.deepEqual(Object.keys(event), ["version", "id", "source", "time", "tenantId", "type", "data"]);
  assert.deepEqual([event.version, event.source, event.tenantId, event.type], [1, "https://authsignal.com", api.tenantId, type]);
  assert.match(event.id, uuid);
  assert.match(event.time, time);
  return event.data;
}

test("the vector is one for the official package", () => {
  const event = new Backend({ apiSecretKey: vector.secret }).webhook.constructEvent(vector.body, vector.header, -1);
  assert.equal(event.type, "authenticator.created");
});

test("enrollment, consent, refusal and deletion", async () => {
  const userId = "jané <1>";
  const enroll = await backend.track({ userId: encodeURIComponent(userId), action: "enroll", attributes: { idempotencyKey: "k1" } });
  const { body: pending } = await call("user-authenticators/totp", enroll.token);
  const { userAuthenticatorId } = pending;
  const app = URI.parse(pending.uri);
  // The two steps after the oldest accepted one remain accepted.
  const now = Date.now();
  const verified = await call("verify/totp", enroll.token, { verificationCode: app.generate({ timestamp: now }) });
  assert.equal(verified.body.isVerified, true);

  // The page's answer waited for the consent.
  const [asked] = await arrived("action.verify");
  const question = data(asked, "action.verify");
  assert.match(question.verifiedAt, time);
  delete question.verifiedAt;
  assert.deepEqual(question, {
    userId,
    action: "enroll",
    idempotencyKey: "k1",
    state: "CHALLENGE_SUCCEEDED",
    verificationMethod: "AUTHENTICATOR_APP",
    userAuthenticatorId,
  });
  const [created] = await arrived("authenticator.created");
  const creation = data(created, "authenticator.created");
  assert.match(creation.createdAt, time);
  delete creation.createdAt;
  assert.deepEqual(creation, { userId, userAuthenticatorId, verificationMethod: "AUTHENTICATOR_APP" });

  consent = 500;
  const signIn = await backend.track({ userId: encodeURIComponent(userId), action: "signIn", attributes: { idempotencyKey: "k2" } });
  const refused = await call("verify/totp", signIn.token, { verificationCode: app.generate({ timestamp: now + 30_000 }) });
  assert.equal(refused.status, 400);
  assert.equal(refused.body.error, "invalid_request");
  const { isValid, state } = await backend.validateChallenge({ token: signIn.token });
  assert.deepEqual([isValid, state], [false, "CHALLENGE_REQUIRED"]);
  assert.equal(data((await arrived("action.verify", 2))[1], "action.verify").idempotencyKey, "k2");

  await backend.deleteAuthenticator({ userId: encodeURIComponent(userId), userAuthenticatorId });
  const [deleted] = await arrived("authenticator.deleted");
  const deletion = data(deleted, "authenticator.deleted");
  assert.match(deletion.deletedAt, time);
  assert.deepEqual([deletion.userId, deletion.userAuthenticatorId], [userId, userAuthenticatorId]);

  // One of each, and none refused by the official package.
  assert.deepEqual(events.map((e) => e.type).sort(), ["action.verify", "action.verify", "authenticator.created", "authenticator.deleted"]);
  assert.ok(!api.log().includes(receiver.url), "the log names the webhook's URL");
  assert.ok(!api.log().includes(api.apiSecretKey), "the log holds the secret");
});
