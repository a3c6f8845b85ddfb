// One list of calls through the official @authsignal/browser and through this
// package, in Chromium, against one scripted server: results, requests, headers,
// console and callbacks are equal, except for the differences listed here by name,
// each of which must still exist.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, test } from "node:test";
import { dist, launchBrowser, serve } from "../lib/harness.mjs";

const json = (body, status = 200, headers = {}) => ({ status, headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
const text = (body, status = 200, type = "text/plain") => ({ status, headers: { "Content-Type": type }, body });

const uri = "otpauth://totp/Acme:jane%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Acme&algorithm=SHA1&digits=6&period=30";
const enrolled = { userAuthenticatorId: "id", userId: "u", uri, secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP" };
const userAuthenticator = {
  userAuthenticatorId: "id",
  verificationMethod: "AUTHENTICATOR_APP",
  createdAt: "2024-05-13T04:59:02.640Z",
  verifiedAt: "2024-05-13T04:59:17.640Z",
  isDefault: true,
};
const refused = (code, description, more) => ({ error: code, errorCode: code, errorDescription: description, ...more });

// A case: the server's answers and the calls, with `sdk` as the package's exports
// and `a` as an instance with a token. `differs` is the reason for a difference of
// the two packages, and where it is documented.
const code = (value) => `a.totp.verify({ code: ${JSON.stringify(value)} })`;
const cases = [
  // Section 12 of the contract, the browser's part.
  { name: "no token", call: `[a.setToken(""), await a.totp.enroll(), await ${code("123456")}]` },
  { name: "an unset token", call: `[a.setToken("x"), a.setToken(null), await a.totp.enroll()]` },
  { name: "a wrong code, and the token stays", answers: [json({ isVerified: false, failureReason: "CODE_INVALID_OR_EXPIRED" })], call: `[await ${code("123456")}, await ${code("123456")}]` },
  { name: "too many wrong codes", answers: [json({ isVerified: false, failureReason: "MAX_ATTEMPTS_EXCEEDED" })], call: code("123456") },
  { name: "a right code, and the new token is used", answers: [json({ isVerified: true, accessToken: "new" })], call: `[await ${code("123456")}, await ${code("123456")}]` },
  { name: "a right code that completes an enrollment", answers: [json({ accessToken: "new", isVerified: true, userAuthenticator })], call: code("123456") },
  { name: "a second instance has the token too", answers: [json({ isVerified: true, accessToken: "new" })], call: `[await ${code("123456")}, await make().totp.verify({ code: "123456" })]` },
  { name: "an expired token", answers: [json(refused("expired_token", "The token has expired."), 401)], call: `[await a.totp.enroll(), await ${code("123456")}]` },
  { name: "an expired token without a callback", answers: [json(refused("expired_token", "The token has expired."), 401)], call: `make({ onTokenExpired: undefined }).totp.enroll()` },
  { name: "a callback that throws", answers: [json(refused("expired_token", "Old."), 401)], call: `make({ onTokenExpired() { throw new RangeError("mine") } }).totp.enroll()` },
  { name: "expired_token without an error key", answers: [json({ errorCode: "expired_token", isVerified: false })], call: code("123456") },
  { name: "an unauthorized token", answers: [json(refused("unauthorized", "No."), 403)], call: `a.totp.enroll()` },
  { name: "an error with status 200", answers: [json(refused("invalid_request", "No."))], call: `a.totp.enroll()` },
  { name: "an error that is null", answers: [json({ error: null, errorCode: "x" })], call: `a.totp.enroll()` },
  { name: "an empty description", answers: [json(refused("unauthorized", ""), 401)], call: `a.totp.enroll()` },
  { name: "no description", answers: [json({ error: "unauthorized", errorCode: "unauthorized" }, 401)], call: `a.totp.enroll()` },
  { name: "no errorCode", answers: [json({ error: "e", errorDescription: "d" }, 400)], call: `a.totp.enroll()` },
  { name: "an unknown errorCode", answers: [json(refused("brand_new", "d"), 400)], call: `a.totp.enroll()` },
  { name: "errors of other types", answers: [json({ error: { a: 1 }, errorCode: 7, errorDescription: ["d"] }, 400)], call: `a.totp.enroll()` },
  {
    name: "logging on",
    answers: [json(refused("unauthorized", "No."), 401), json({ error: "unauthorized", errorCode: "unauthorized" }, 401)],
    call: `[await make({ enableLogging: true }).totp.enroll(), await make({ enableLogging: true }).totp.enroll()]`,
  },
  { name: "misuse of the constructor", call: `["", null, undefined].map((tenantId) => { try { new sdk.Authsignal({ tenantId }) } catch (e) { return String(e) } })` },
  {
    name: "cookies and ID",
    call: `[/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(a.anonymousId), document.cookie === "__as_aid=" + a.anonymousId, make().anonymousId === a.anonymousId, a.cookieDomain, a.anonymousIdCookieName]`,
  },
  { name: "cookie names", call: `(document.cookie = "mine=an%20ID; path=/; domain=" + location.hostname, make({ cookieName: "mine" }).anonymousId)` },
  {
    name: "what is exported",
    call: `[sdk.AuthsignalWindowMessage, sdk.ErrorCode.token_not_set, sdk.ErrorCode.expired_token, sdk.ErrorCode.network_error, sdk.ErrorCode.too_many_requests, sdk.ErrorCode.invalid_credential]`,
  },

  // Odd answers that both handle in the same way.
  { name: "extra fields pass through", answers: [json({ isVerified: true, accessToken: "new", extra: { deep: [1, null] }, list: [] })], call: code("123456") },
  { name: "token beside accessToken", answers: [json({ token: "old", isVerified: true, accessToken: "new" })], call: code("123456") },
  { name: "an accessToken that is null", answers: [json({ isVerified: true, accessToken: null })], call: `[await ${code("123456")}, await ${code("123456")}]` },
  { name: "an empty accessToken", answers: [json({ isVerified: true, accessToken: "" })], call: `[await ${code("123456")}, await ${code("123456")}]` },
  { name: "isVerified of another type", answers: [json({ isVerified: "yes" })], call: code("123456") },
  { name: "an empty object", answers: [json({})], call: code("123456") },
  { name: "JSON as text/plain", answers: [text('{"isVerified":false,"failureReason":"CODE_INVALID_OR_EXPIRED"}')], call: code("123456") },
  { name: "JSON with a byte order mark", answers: [text('\ufeff{"isVerified":false}', 200, "application/json")], call: code("123456") },
  { name: "a large answer", answers: [json({ isVerified: false, pad: "x".repeat(500_000) })], call: code("123456") },
  { name: "a slow answer", answers: [{ ...json({ isVerified: false }), delay: 300 }], call: code("123456") },

  // Intended differences.
  {
    name: "enroll has the picture and what the URI says",
    answers: [json(enrolled)],
    call: `a.totp.enroll()`,
    differs: "more keys in data: qrCode, issuer, account, digits, period, algorithm",
  },
  {
    name: "an error of too many requests that says when",
    answers: [json(refused("too_many_requests", "Slow."), 429, { "Retry-After": "7" })],
    call: `a.totp.enroll()`,
    differs: "one more key: retryAfter",
  },
  {
    name: "response.token after verify",
    answers: [json({ isVerified: true, accessToken: "new" })],
    call: `(await ${code("123456")}).token`,
    differs: "a non-enumerable token on the result (contract, 11)",
  },
  {
    name: "logging an error without a code",
    answers: [json({ error: "e" }, 400)],
    call: `make({ enableLogging: true }).totp.enroll()`,
    differs: "the line has the error where there is no code, not undefined",
  },
  { name: "null", answers: [text("null", 200, "application/json")], call: `a.totp.enroll()`, differs: "invalid_response instead of a rejection (contract, 11)" },
  { name: "an array", answers: [json([1, 2])], call: code("123456"), differs: "invalid_response instead of data (contract, 11)" },
  { name: "a string", answers: [json("text")], call: code("123456"), differs: "invalid_response instead of a rejection (contract, 11)" },
  { name: "a number", answers: [json(7)], call: code("123456"), differs: "invalid_response instead of a rejection (contract, 11)" },
  { name: "broken JSON", answers: [text('{"isVerified":', 200, "application/json")], call: code("123456"), differs: "invalid_response instead of a rejection (contract, 11)" },
  { name: "HTML with status 502", answers: [text("<html>Bad gateway</html>", 502, "text/html")], call: `a.totp.enroll()`, differs: "invalid_response instead of a rejection (contract, 11)" },
  { name: "204", answers: [{ status: 204, headers: {} }], call: `a.totp.enroll()`, differs: "invalid_response instead of a rejection (contract, 11)" },
  { name: "404 without an error key", answers: [json({ message: "Not Found" }, 404)], call: `a.totp.enroll()`, differs: "invalid_response instead of data (contract, 11)" },
  { name: "429 without an error key", answers: [json({ message: "Slow" }, 429)], call: `a.totp.enroll()`, differs: "too_many_requests instead of data (contract, 11)" },
  {
    name: "a redirect",
    answers: [{ status: 302, headers: { Location: "elsewhere" } }, json({ isVerified: true, accessToken: "stolen" })],
    call: code("123456"),
    differs: "network_error: token and code go to no other address",
  },
  {
    name: "an answer of more than 1 MiB",
    answers: [json({ isVerified: false, pad: "x".repeat(1_100_000) })],
    call: code("123456"),
    differs: "invalid_response: no answer of the API is so long",
  },
  { name: "a connection that breaks", answers: [{ destroy: true }], call: `a.totp.enroll()`, differs: "network_error instead of a rejection (contract, 11)" },
  {
    name: "an answer that breaks off",
    answers: [{ status: 200, headers: { "Content-Type": "application/json", "Content-Length": "100" }, body: '{"a"', destroy: true }],
    call: `a.totp.enroll()`,
    differs: "network_error instead of a rejection (contract, 11)",
  },
  {
    name: "an accessToken that is a number",
    answers: [json({ isVerified: true, accessToken: 7 }), json({})],
    call: `[await ${code("123456")}, await ${code("123456")}]`,
    differs: "only a string takes the place of the token",
  },
  { name: "a code with spaces", answers: [json({ isVerified: false })], call: code("123 456"), differs: "the code is cleaned first (contract, 11)" },
  { name: "a code that is none", answers: [json(refused("invalid_request", "No."), 400)], call: code("12345x"), differs: "CODE_INVALID_OR_EXPIRED without a request (contract, 11)" },
  { name: "a code that is missing", answers: [json(refused("invalid_request", "No."), 400)], call: `a.totp.verify({})`, differs: "CODE_INVALID_OR_EXPIRED without a request (contract, 11)" },
  { name: "a code that is a number", answers: [json({ isVerified: false })], call: code(123456), differs: "sent as its decimal text (contract, 11)" },
  { name: "verify without an argument", call: `a.totp.verify()`, differs: "a TypeError too, in other words" },
  {
    name: "another tenant's instance",
    call: `make({ tenantId: "other" }).totp.enroll()`,
    answers: [json(enrolled)],
    differs: "the token is shared by instances of the same tenant and base URL only (contract, 11)",
  },
  {
    name: "a base URL that ends in a slash",
    answers: [json({ isVerified: false })],
    call: `[a2 = make({ baseUrl: baseUrl + "/" }), a2.setToken("t"), await a2.totp.verify({ code: "123456" })].slice(2)`,
    differs: "no double slash in the path",
  },
  { name: "totp.enroll pulled off its object", answers: [json(refused("unauthorized", "No."), 401)], call: `(0, a.totp.enroll)()`, differs: "works without its this" },
  { name: "other factors", call: `typeof a.passkey`, differs: "not here: an error names the official package" },
];

let browser;
let site;
let api;
const script = new Map(); // the key in the path -> { answers, requests }

before(async () => {
  browser = await launchBrowser();
  site = await serve({
    "/": '<!doctype html><html lang="en"><title>An application\'s page</title></html>',
    "/official/": new URL("../../node_modules/@authsignal/browser/dist/", import.meta.url),
    "/dist/": dist,
  });
  const server = http.createServer(async (request, response) => {
    const [, key, ...path] = request.url.split("/");
    const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "authorization, content-type", "Access-Control-Expose-Headers": "Retry-After" };
    if (request.method === "OPTIONS") return response.writeHead(204, cors).end();
    let body = "";
    for await (const chunk of request) body += chunk;
    const { answers, requests } = script.get(key);
    const { authorization, accept, cookie } = request.headers;
    requests.push({ method: request.method, path: path.join("/"), type: request.headers["content-type"], length: request.headers["content-length"], authorization, accept, cookie, body });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer.delay) await new Promise((resolve) => setTimeout(resolve, answer.delay));
    if (answer.destroy && !answer.status) return response.destroy();
    response.writeHead(answer.status, { ...answer.headers, ...cors });
    if (answer.destroy) response.write(answer.body, () => response.destroy());
    else response.end(answer.body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  api = { url: `http://127.0.0.1:${server.address().port}`, close: () => (server.closeAllConnections(), once(server.close(), "close")) };
});
after(async () => {
  await browser?.close();
  await site?.close();
  await api?.close();
});

/** Runs all cases with one package, on a page of its own; returns the outcomes by name. */
async function run(entry) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.goto(site.url);
  const outcomes = {};
  for (const [i, { name, call, answers = [json({})] }] of cases.entries()) {
    const key = `${entry.split("/")[1]}-${i}`;
    script.set(key, { answers: [...answers], requests: [] });
    const outcome = await page.evaluate(
      async (entry, baseUrl, call) => {
        const sdk = await import(entry);
        for (const cookie of document.cookie.split("; ")) document.cookie = cookie.split("=")[0] + "=; path=/; max-age=0; domain=" + location.hostname;
        const seen = { console: [], expired: [] };
        for (const method of ["error", "warn", "log", "info"]) console[method] = (...line) => seen.console.push([method, ...line.map(String)]);
        const make = (options) => new sdk.Authsignal({ tenantId: "t", baseUrl, onTokenExpired: (...args) => seen.expired.push(args), trackingHost: "unused", ...options });
        const a = make();
        a.setToken("track-token");
        // Keys with undefined, and the order of keys, are kept; JSON would drop them.
        const show = (v) => (v === undefined ? "<undefined>" : Array.isArray(v) ? v.map(show) : v && typeof v === "object" ? Object.entries(v).map(([k, v]) => [k, show(v)]) : v);
        try {
          const value = await new Function("sdk", "a", "make", "baseUrl", `let a2; return (async () => ${call})()`)(sdk, a, make, baseUrl);
          return { value: show(value), ...seen };
        } catch (error) {
          return { thrown: String(error), ...seen };
        }
      },
      entry,
      `${api.url}/${key}/v1`,
      call,
    );
    outcomes[name] = { ...outcome, requests: script.get(key).requests };
  }
  await context.close();
  return outcomes;
}

test("the official package and this one do the same, save what is decided otherwise", async (t) => {
  assert.equal(new Set(cases.map((c) => c.name)).size, cases.length, "names are unique");
  const [official, ours] = await Promise.all([run("/official/index.js"), run("/dist/index.js")]);
  for (const { name, differs } of cases) {
    await t.test(differs ? `${name} (differs: ${differs})` : name, () => {
      if (differs) assert.notDeepEqual(ours[name], official[name], "they no longer differ: take it off the list");
      else assert.deepEqual(ours[name], official[name]);
    });
  }

  // The differences are exactly these.
  const value = (name) => Object.fromEntries(ours[name].value ?? []);
  await t.test("enroll has the official keys first, then its own", () => {
    const [[, data]] = ours["enroll has the picture and what the URI says"].value;
    const [[, theirs]] = official["enroll has the picture and what the URI says"].value;
    assert.deepEqual(data.slice(0, theirs.length), theirs);
    const more = Object.fromEntries(data.slice(theirs.length));
    assert.match(more.qrCode, /^data:image\/svg\+xml,/);
    delete more.qrCode;
    assert.deepEqual(more, { issuer: "Acme", account: "jane@example.com", digits: 6, period: 30, algorithm: "SHA1" });
    assert.deepEqual(ours["enroll has the picture and what the URI says"].requests, official["enroll has the picture and what the URI says"].requests);
  });
  const codes = {
    null: "invalid_response",
    "an array": "invalid_response",
    "a string": "invalid_response",
    "a number": "invalid_response",
    "broken JSON": "invalid_response",
    "HTML with status 502": "invalid_response",
    204: "invalid_response",
    "404 without an error key": "invalid_response",
    "429 without an error key": "too_many_requests",
    "a redirect": "network_error",
    "an answer of more than 1 MiB": "invalid_response",
    "a connection that breaks": "network_error",
    "an answer that breaks off": "network_error",
  };
  for (const [name, want] of Object.entries(codes)) {
    await t.test(`${name} gives ${want} after the same request`, () => {
      assert.equal(value(name).errorCode, want);
      // The first: after a broken connection the browser itself tries again,
      // and the official package follows a redirect.
      assert.deepEqual(ours[name].requests[0], official[name].requests[0]);
    });
  }
  // The result of each of the others, and what it sent: tokens and codes.
  const wrong = [["data", [["isVerified", false]]]];
  const refusedHere = [
    [
      "data",
      [
        ["isVerified", false],
        ["failureReason", "CODE_INVALID_OR_EXPIRED"],
      ],
    ],
  ];
  const sent = ["Bearer track-token", '{"verificationCode":"123456"}'];
  const outcomes = {
    "response.token after verify": { value: "new", sent: [sent] },
    "logging an error without a code": {
      value: [
        ["error", "e"],
        ["errorCode", "<undefined>"],
        ["errorDescription", "<undefined>"],
      ],
      console: [["error", "[Authsignal] e"]],
      sent: [["Bearer track-token", ""]],
    },
    "an accessToken that is a number": {
      value: [
        [
          [
            "data",
            [
              ["isVerified", true],
              ["accessToken", 7],
            ],
          ],
        ],
        [["data", []]],
      ],
      sent: [sent, sent],
    },
    "a code with spaces": { value: wrong, sent: [sent] },
    "a code that is none": { value: refusedHere, sent: [] },
    "a code that is missing": { value: refusedHere, sent: [] },
    "a code that is a number": { value: wrong, sent: [sent] },
    "verify without an argument": { thrown: "TypeError: verify takes an object: verify({ code })", sent: [] },
    "another tenant's instance": {
      value: [
        ["error", "token_not_set"],
        ["errorCode", "token_not_set"],
        ["errorDescription", "A token has not been set. Call 'setToken' first."],
      ],
      console: [["error", "Error: A token has not been set. Call 'setToken' first."]],
      sent: [],
    },
    "a base URL that ends in a slash": { value: [wrong], sent: [["Bearer t", '{"verificationCode":"123456"}']] },
    "totp.enroll pulled off its object": {
      value: [
        ["error", "No."],
        ["errorCode", "unauthorized"],
        ["errorDescription", "No."],
      ],
      sent: [["Bearer track-token", ""]],
    },
    "other factors": { thrown: "Error: passkey is not part of this SDK, which has authenticator apps (totp) only: use @authsignal/browser for it", sent: [] },
  };
  for (const [name, want] of Object.entries(outcomes)) {
    await t.test(`${name} gives the documented result`, () => {
      const { value, thrown, console, requests } = ours[name];
      assert.deepEqual({ value, thrown, console, sent: requests.map((r) => [r.authorization, r.body]) }, { value: undefined, thrown: undefined, console: [], ...want });
      assert.ok(requests.every(({ path }) => /^v1\/client\/(user-authenticators|verify)\/totp$/.test(path)));
    });
  }
  const looked = ["enroll has the picture and what the URI says", "an error of too many requests that says when", ...Object.keys(codes), ...Object.keys(outcomes)];
  assert.deepEqual(
    looked.sort(),
    cases
      .filter((c) => c.differs)
      .map((c) => c.name)
      .sort(),
    "every difference is looked at",
  );
  await t.test("retryAfter comes last", () => {
    const { value } = ours["an error of too many requests that says when"];
    assert.deepEqual(value.pop(), ["retryAfter", 7]);
    assert.deepEqual(value, official["an error of too many requests that says when"].value);
  });
});
