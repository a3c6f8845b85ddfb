// The samples of the product's documentation, word for word, in the order of a
// real user: enroll, then sign in. Only keys, URLs, tokens and codes are filled
// in, and the browser's package is this one. The server's samples run in Node
// against the official @authsignal/node, the browser's in every engine.

import assert from "node:assert/strict";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { TOTP, URI } from "otpauth";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { dist, serve, startServer } from "../lib/harness.mjs";

const serverSetup = `
import { Authsignal } from "@authsignal/node";

const authsignal = new Authsignal({
  apiSecretKey: "YOUR_SECRET_KEY",
  apiUrl: "YOUR_API_URL",
});
`;

const clientSetup = `
import { Authsignal } from "authsignal-wasm";

const authsignal = new Authsignal({
  tenantId: "YOUR_TENANT_ID",
  baseUrl: "YOUR_API_URL",
});
`;

const trackSignIn = `
const request = {
  userId: "dc58c6dc-a1fd-4a4f-8e2f-846636dd4833",
  action: "signIn",
};

const response = await authsignal.track(request);

const token = response.token;
`;

const presentChallenge = `
// Set token from the track response
authsignal.setToken("eyJhbGciOiJ...");

// Verify the TOTP code inputted by the user
const response = await authsignal.totp.verify({ code: "123456" });

// Obtain a new token
const token = response.token;
`;

const validateAction = `
const response = await authsignal.validateChallenge({
  action: "signIn",
  token: "eyJhbGciOiJIUzI....",
});

if (response.state === "CHALLENGE_SUCCEEDED") {
  // User completed challenge successfully
}
`;

const trackEnroll = `
const request = {
  userId: "dc58c6dc-a1fd-4a4f-8e2f-846636dd4833",
  action: "enroll",
};

const response = await authsignal.track(request);

const token = response.token;
`;

const presentQRCode = `
// Set token from the track response
authsignal.setToken("eyJhbGciOiJ...");

const response = await authsignal.totp.enroll();

if (response.data) {
  const uri = response.data.uri; // Convert to QR code
  const secret = response.data.secret; // Can be entered manually
}
`;

let api;
let dir;
let page;
let site;
const programs = {};

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "seed-"));
  await symlink(fileURLToPath(new URL("../../node_modules", import.meta.url)), path.join(dir, "node_modules"));
  site = await serve({
    "/": `<!doctype html><html lang="en"><title>An application's page</title>
      <script type="importmap">{"imports": {"authsignal-wasm": "/dist/index.js"}}</script></html>`,
    "/dist/": dist,
    "/programs/": (request, response) => response.writeHead(200, { "Content-Type": "text/javascript" }).end(programs[request.url]),
  });
});
after(async () => {
  await site?.close();
  if (dir) await rm(dir, { recursive: true });
});

/** Fills in the parts that the samples leave to the reader, and exports their results. */
function fill(sample, { token, code }, exports) {
  const filled = [
    ['"YOUR_SECRET_KEY"', api.apiSecretKey],
    ['"YOUR_API_URL"', api.baseUrl],
    ['"YOUR_TENANT_ID"', api.tenantId],
    ['"eyJhbGciOiJ..."', token],
    ['"eyJhbGciOiJIUzI...."', token],
    ['"123456"', code],
  ].reduce((text, [place, value]) => text.replace(place, () => JSON.stringify(value)), sample);
  return `${filled}\nexport { ${exports} };\n`;
}

let count = 0;

async function onServer(sample, exports, values = {}) {
  const file = path.join(dir, `${count++}.mjs`);
  await writeFile(file, fill(serverSetup + sample, values, exports));
  return import(pathToFileURL(file));
}

async function inBrowser(sample, exports, values = {}) {
  const name = `/programs/${count++}.js`;
  programs[name] = fill(clientSetup + sample, values, exports);
  await page.goto(site.url);
  const result = await page.evaluate(async (name) => ({ ...(await import(name)) }), name);
  assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
  return result;
}

for (const engine of engines) {
  test(`the documentation's samples enroll a user and sign in, in ${engine}`, async (t) => {
    // The samples name their user, so that each engine has a server of its own.
    api = await startServer();
    t.after(() => api.stop());
    const browser = await openBrowser(engine);
    t.after(() => browser.close());
    page = await browser.newPage();

    // Enrollment.
    const enroll = await onServer(trackEnroll, "response, token");
    assert.equal(enroll.response.isEnrolled, false);
    const enrollment = await inBrowser(presentQRCode, "response", { token: enroll.token });
    const { uri, secret, qrCode } = enrollment.response.data;
    assert.match(qrCode, /^data:image\/svg\+xml/);
    const app = URI.parse(uri);
    assert.equal(app.secret.base32, secret);
    const now = Date.now();
    const first = await inBrowser(presentChallenge, "response, token", { token: enroll.token, code: app.generate({ timestamp: now }) });
    assert.equal(first.response.data.isVerified, true);
    assert.equal(first.token, first.response.data.token);

    // Sign-in, with the app's next code: the first one is used up.
    const signIn = await onServer(trackSignIn, "response, token");
    assert.equal(signIn.response.state, "CHALLENGE_REQUIRED");
    const next = new TOTP({ secret: app.secret }).generate({ timestamp: now + 30_000 });
    const second = await inBrowser(presentChallenge, "response, token", { token: signIn.token, code: next });
    assert.equal(second.response.data.isVerified, true);
    assert.notEqual(second.token, signIn.token);
    const validation = await onServer(validateAction, "response", { token: second.token });
    assert.equal(validation.response.state, "CHALLENGE_SUCCEEDED");
    assert.equal(validation.response.isValid, true);
    assert.equal(validation.response.userId, "dc58c6dc-a1fd-4a4f-8e2f-846636dd4833");
  });
}
