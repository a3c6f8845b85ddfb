// The React components on a page of every engine, in StrictMode, against the
// real API server; and rendered on a server.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { dist, startServer } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";
import { serveApps } from "../lib/react.mjs";

let api;
let backend;
let site;

const app = `
  import { StrictMode, useMemo, useState, version } from "react";
  import { createRoot } from "react-dom/client";
  import { ErrorCode } from "authsignal-wasm";
  import { germanTexts, RecoveryCodeChallenge, RecoveryCodes, TotpChallenge, TotpEnroll, useAuthsignal } from "authsignal-wasm/react";

  // With errorCode, every call ends in that error.
  const failing = (errorCode) => {
    const fail = async () => ({ error: "An error.", errorCode, errorDescription: "An error." });
    return { setToken() {}, preload: async () => {}, totp: { enroll: fail, verify: fail }, recoveryCodes: { generate: fail, verify: fail } };
  };
  const kinds = { enroll: TotpEnroll, challenge: TotpChallenge, recover: RecoveryCodeChallenge, codes: RecoveryCodes };

  function App({ baseUrl, token, kind, texts, expired, errorCode, german, more }) {
    const broken = useMemo(() => errorCode && failing(errorCode), [errorCode]);
    const working = useAuthsignal({ tenantId: "tenant-1", baseUrl, wasmUrl: "/dist/authsignal.wasm",
      onTokenExpired: expired && (() => { throw new Error("the application's own"); }) });
    const authsignal = broken ?? working;
    const [verified, setVerified] = useState();
    const Kind = kinds[kind];
    if (kind === "nothing") return null;
    if (verified) return <p id="verified">{verified.token}</p>;
    return <Kind authsignal={authsignal} token={token} texts={german ? germanTexts : texts} className="totp"
      onVerified={(result) => { (globalThis.results ??= []).push(result); setVerified(result); }}
      onEnrolled={(data) => (globalThis.enrolled = data)} onConfirmed={() => (globalThis.confirmed = (globalThis.confirmed ?? 0) + 1)}
      onError={(error) => (globalThis.failures ??= []).push(error.errorCode)} {...more} />;
  }
  globalThis.version = version;
  globalThis.codes = Object.values(ErrorCode);
  let root;
  let all = {};
  globalThis.show = (props) => {
    all = { ...all, ...props };
    root ??= createRoot(document.querySelector("main"));
    root.render(<StrictMode><App {...all} /></StrictMode>);
  };`;

/** The newest React in every engine, and the oldest that the package takes in one. */
const versions = (engine) => (engine === "Chromium" ? [19, 18] : [19]);

before(async () => {
  api = await startServer();
  site = await serveApps({ app }, api);
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
});
after(async () => {
  await site?.close();
  await api?.stop();
});

/**
 * Opens a page with a component, which show(props) changes. In the page, `posted`
 * has the paths of its calls of the API, which with `expired` reports an expired token,
 * and `signals` their abort signals; while `held` is a list, calls wait there to be
 * released; `answered` counts answers; `blobs` are those with a URL. With `phone` the page is on a phone.
 */
async function open({ browser }, react, kind, userId, more = {}) {
  const page = await browser.newPage();
  await page.goto(`${site.url}/app${react}.html`);
  const { token } = await backend.track({ userId, action: "signIn" });
  assert.match(await page.evaluate("version"), new RegExp(`^${react}\\.`));
  await page.evaluate(
    (props) => {
      const { fetch } = globalThis;
      globalThis.posted = [];
      globalThis.signals = [];
      globalThis.answered = 0;
      globalThis.held = undefined;
      globalThis.blobs = [];
      const { createObjectURL } = URL;
      URL.createObjectURL = (blob) => {
        const url = createObjectURL(blob);
        blobs.push({ url, blob });
        return url;
      };
      if (props.phone) globalThis.matchMedia = (query) => ({ matches: query === "(hover: none) and (pointer: coarse)" });
      globalThis.fetch = async (url, options) => {
        if (options?.method === "POST") {
          posted.push(new URL(url).pathname);
          signals.push(options.signal);
          if (held) await new Promise((resolve) => held.push(resolve));
        }
        if (options?.method === "POST" && props.expired) {
          const error = "expired_token";
          return new Response(JSON.stringify({ error, errorCode: error, errorDescription: "Old." }), { status: 401 });
        }
        const response = await fetch(url, options);
        await response.clone().text();
        answered++;
        return response;
      };
      show(props);
    },
    { baseUrl: api.baseUrl, token, kind, ...more },
  );
  return page;
}

/** Makes a call in Node, with a token. */
async function call(token, make) {
  const { Authsignal } = await import(new URL("index.js", dist));
  const sdk = new Authsignal({ tenantId: api.tenantId, baseUrl: api.baseUrl });
  sdk.setToken(token);
  return make(sdk);
}

/** Enrolls a user in Node, who keeps recovery codes unless `keep` is false; `token` is that of the completed challenge. */
async function enrolled(userId, { keep = true } = {}) {
  const { token } = await backend.track({ userId, action: "signIn" });
  return call(token, async (sdk) => {
    const { data } = await sdk.totp.enroll();
    const app = authenticatorApp(data.uri);
    const verified = await sdk.totp.verify({ code: app.code() });
    if (!keep) return { app, token: verified.data.token };
    const codes = (await sdk.recoveryCodes.generate()).data.recoveryCodes;
    await sdk.recoveryCodes.confirm({ saved: true });
    return { app, codes, token: verified.data.token };
  });
}

const shownCodes = (page) => page.evaluate(() => [...document.querySelectorAll("li")].map((e) => e.textContent));

const message = (page) => page.$eval("[role=alert]", (e) => e.textContent);

/** Puts a text in the field as a paste does, and sends the form by Enter. */
async function enter(page, text) {
  await page.focus("input");
  await page.evaluate((text) => {
    document.querySelector("input").select();
    document.execCommand("insertText", false, text);
  }, text);
  await page.press("Enter");
}

/** Waits until a code was accepted, and has the backend validate the token. */
async function validate(page) {
  const token = await page.waitFor(() => document.querySelector("#verified")?.textContent);
  return (await backend.validateChallenge({ token })).state;
}

inEngines((at) => {
  for (const react of versions(at.engine)) {
    describe(`with React ${react}`, () => {
      before(() => site.bundle(react));

      test("TotpEnroll enrolls once under StrictMode, and announces a wrong code; TotpChallenge signs in", async () => {
        const userId = `enrolls-in-${at.engine}-${react}`;
        const page = await open(at, react, "enroll", userId);
        await page.waitForVisible("img");
        const posted = await page.evaluate("posted");
        assert.deepEqual(posted, ["/v1/client/user-authenticators/totp"], "two mounts, one enrollment");
        const field = await page.$eval("input", (e) => ({
          type: e.type,
          mode: e.inputMode,
          complete: e.getAttribute("autocomplete"),
          label: e.labels[0].textContent,
          described: document.getElementById(e.getAttribute("aria-describedby")).getAttribute("role"),
        }));
        assert.deepEqual(field, { type: "text", mode: "numeric", complete: "one-time-code", label: "Code from your authenticator app", described: "alert" });
        const { uri, secret } = await page.evaluate("enrolled");
        assert.equal(await page.$eval("code", (e) => e.textContent.replaceAll(" ", "")), secret);
        assert.equal(await page.$eval("img", (e) => e.alt), "QR code for your authenticator app");
        assert.equal(await page.evaluate(() => document.documentElement.outerHTML.includes("otpauth")), false);
        assert.equal(await page.$eval("[data-authsignal=replaced]", (e) => e.textContent), "", "two mounts replace nothing");
        const authenticator = URI.parse(uri);

        await enter(page, "12345x");
        await page.waitFor(() => document.querySelector("[role=alert]").textContent);
        assert.match(await message(page), /^That code is wrong/);
        assert.deepEqual(
          await page.evaluate(() => [document.activeElement.tagName, document.activeElement.getAttribute("aria-invalid"), document.querySelector("form").getAttribute("aria-busy")]),
          ["INPUT", "true", "false"],
        );

        await enter(page, authenticator.generate().replace(/^.../, "$& "));
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
        await page.close();

        const challenge = await open(at, react, "challenge", userId, { texts: { verify: "Anmelden" } });
        await challenge.waitForVisible("input");
        assert.equal(await challenge.$eval("button", (e) => e.textContent), "Anmelden");
        await enter(challenge, authenticator.generate({ timestamp: Date.now() + 30_000 }));
        assert.equal(await validate(challenge), "CHALLENGE_SUCCEEDED");
        assert.deepEqual(await challenge.problems(site.url, api.baseUrl), []);
        await challenge.close();
      });

      test("an enrollment that fails is announced and can be tried again", async () => {
        const page = await open(at, react, "enroll", `fails-in-${at.engine}-${react}`, { token: "no token" });
        await page.waitForVisible("[data-authsignal=retry]");
        assert.equal(await message(page), "There is no valid sign-in. Start again.");
        assert.deepEqual(await page.evaluate("failures"), ["unauthorized"]);
        assert.equal(await page.$eval("[data-authsignal=verify]", (e) => e.getAttribute("aria-disabled")), "true");
        await page.click("[data-authsignal=retry]");
        assert.equal(await page.evaluate(() => document.activeElement.tagName), "INPUT", "the focus stays in the form");
        await page.waitFor(() => failures.length === 2);
        assert.equal((await page.evaluate("posted")).length, 2);
        const refused = `response: 401 ${api.baseUrl}/client/user-authenticators/totp`;
        assert.deepEqual(await page.problems(site.url, api.baseUrl), [refused, refused]);
        await page.close();
      });

      test("a code that is set without an event is verified, and once, however often the form is sent in one tick", async () => {
        const userId = `hurries-in-${at.engine}-${react}`;
        const page = await open(at, react, "enroll", userId);
        await page.waitForVisible("img");
        const authenticator = URI.parse((await page.evaluate("enrolled")).uri);
        const send = (page, code) =>
          page.evaluate((code) => {
            posted.length = 0;
            held = [];
            const form = document.querySelector("form");
            form.querySelector("input").value = code; // as a password manager does
            for (let i = 0; i < 3; i++) form.requestSubmit();
          }, code);
        await send(page, "12345x");
        await page.waitFor(() => held.length || document.querySelector("[role=alert]").textContent);
        assert.equal(await page.$eval("input", (e) => e.value), "12345x", "it stays while it is verified");
        await page.evaluate(() => held.forEach((go) => go()));
        await page.waitFor(() => document.querySelector("[role=alert]").textContent);
        await send(page, authenticator.generate());
        await page.waitFor(() => held.length);
        await page.evaluate(() => document.querySelector("form").requestSubmit());
        await page.evaluate(() => held.forEach((go) => go()));
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        assert.deepEqual(await page.evaluate("posted"), ["/v1/client/verify/totp"]);
        assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
        await page.close();
      });

      test("a second page shows that its QR code replaces that of the first, whose codes are then wrong", async () => {
        const userId = `opens-two-in-${at.engine}-${react}`;
        const ofOneAction = async () => {
          const { token } = await backend.track({ userId, action: "signIn", attributes: { idempotencyKey: "k" } });
          const page = await open(at, react, "enroll", userId, { token });
          await page.waitForVisible("img");
          return page;
        };
        const replaced = (page) => page.$eval("[role=status][data-authsignal=replaced]", (e) => e.textContent);
        const first = await ofOneAction();
        assert.equal(await replaced(first), "");
        const second = await ofOneAction();
        assert.match(await replaced(second), /^An earlier QR code for this account no longer works/);
        await second.evaluate(() => show({ texts: { replaced: "Ein früherer gilt nicht mehr." } }));
        await second.waitFor(() => document.querySelector("[data-authsignal=replaced]").textContent === "Ein früherer gilt nicht mehr.");

        await enter(first, URI.parse((await first.evaluate("enrolled")).uri).generate());
        await first.waitFor(() => document.querySelector("[role=alert]").textContent);
        assert.match(await message(first), /^That code is wrong.*open twice, only the newest QR code works/);
        await enter(second, URI.parse((await second.evaluate("enrolled")).uri).generate());
        assert.equal(await validate(second), "CHALLENGE_SUCCEEDED");
        for (const page of [first, second]) {
          assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
          await page.close();
        }
      });

      test("an attempt that is begun twice in one tick enrolls once", async () => {
        const page = await open(at, react, "enroll", `insists-in-${at.engine}-${react}`, { token: "no token" });
        await page.waitForVisible("[data-authsignal=retry]");
        await page.evaluate(() => {
          const retry = document.querySelector("[data-authsignal=retry]");
          retry.click();
          retry.click();
        });
        await page.waitFor(() => failures.length === 2);
        await page.waitForVisible("[data-authsignal=retry]");
        assert.equal((await page.evaluate("posted")).length, 2);
        await page.close();
      });

      test("a token that changes enrolls anew when the earlier enrollment is over, and its secret is the one that counts", async () => {
        const userId = `changes-in-${at.engine}-${react}`;
        const page = await open(at, react, "enroll", userId, { kind: "nothing" });
        const { token } = await backend.track({ userId, action: "signIn" });
        await page.evaluate(() => {
          held = [];
          show({ kind: "enroll" });
        });
        await page.waitFor(() => held.length === 1);
        await page.evaluate((token) => show({ token }), token);
        await page.waitFor(() => held.length === 2);
        assert.deepEqual(await page.evaluate(() => signals.map((signal) => signal.aborted)), [true, false]);
        assert.equal(await page.evaluate(() => document.querySelector("img")), null);
        await page.evaluate(() => {
          const go = held;
          held = undefined;
          go.forEach((on) => on());
        });
        await page.waitForVisible("img");
        assert.equal((await page.evaluate("posted")).length, 2);
        assert.equal(await page.evaluate("globalThis.failures"), undefined, "the earlier one is no error");
        const { uri, secret } = await page.evaluate("enrolled");
        assert.equal(await page.$eval("code", (e) => e.textContent.replaceAll(" ", "")), secret);
        await enter(page, URI.parse(uri).generate());
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
        await page.close();
      });

      test("the result of a call under way is not shown after the token changes or the component is unmounted", async () => {
        const userId = `leaves-in-${at.engine}-${react}`;
        const page = await open(at, react, "enroll", userId);
        await page.waitForVisible("img");
        const app = authenticatorApp((await page.evaluate("enrolled")).uri);
        await enter(page, app.code());
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        await page.close();

        const challenge = await open(at, react, "challenge", userId);
        await challenge.waitForVisible("input");
        const { token } = await backend.track({ userId, action: "signIn" });
        await challenge.evaluate(() => (held = []));
        await enter(challenge, "000000");
        await challenge.waitFor(() => held.length === 1);
        await challenge.evaluate((token) => show({ token }), token);
        await challenge.waitFor(() => document.querySelector("form").getAttribute("aria-busy") === "false");
        await enter(challenge, app.code());
        await challenge.waitFor(() => held.length === 2);
        await challenge.evaluate(() => {
          answered = 0;
          held[0]();
          globalThis.last = held[1];
        });
        await challenge.waitFor(() => answered === 1);
        await challenge.evaluate(() => fetch("/app19.html")); // the effects of the first answer are over before this is
        assert.deepEqual([await message(challenge), await challenge.$eval("form", (e) => e.getAttribute("aria-busy"))], ["", "true"]);
        await challenge.evaluate(() => {
          show({ kind: "nothing" });
          last();
        });
        await challenge.waitFor(() => !document.querySelector("form"));
        await challenge.evaluate(() => show({ kind: "challenge" }));
        await challenge.waitForVisible("input");
        assert.equal(await challenge.evaluate(() => document.querySelector("#verified")), null);
        assert.deepEqual(await challenge.problems(site.url, api.baseUrl), []);
        await challenge.close();
      });

      test("on a phone the enrollment has a link to the app, but only for an otpauth URI", async () => {
        const page = await open(at, react, "enroll", `phones-in-${at.engine}-${react}`, { phone: true });
        await page.waitForVisible("img");
        const { uri } = await page.evaluate("enrolled");
        assert.deepEqual(await page.$eval("a", (e) => [e.getAttribute("href"), e.textContent]), [uri, "Open in an authenticator app"]);
        assert.deepEqual(await page.$eval("code", (e) => [e.dir, e.translate]), ["ltr", false]);
        assert.equal(await page.$eval("input", (e) => e.dir), "ltr");
        await page.evaluate(() => {
          globalThis.fetch = async () => new Response(JSON.stringify({ userAuthenticatorId: "id", userId: "u", uri: "javascript:alert(1)", secret: "JBSWY3DPEHPK3PXP" }));
          show({ token: "another" });
        });
        await page.waitFor(() => enrolled.uri === "javascript:alert(1)" && Boolean(document.querySelector("code")));
        assert.equal(await page.evaluate(() => document.querySelector("a")), null);
        assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
        await page.close();
      });

      test("every error has a text that describes it", async () => {
        const want = {
          unauthorized: /no valid sign-in/,
          token_not_set: /no valid sign-in/,
          expired_token: /took too long/,
          too_many_requests: /Too many requests/,
          invalid_request: /did not accept/,
          invalid_credential: /did not accept/,
          invalid_configuration: /not set up/,
          not_found: /not set up/,
          invalid_response: /not set up/,
          network_error: /No answer came/,
          timeout: /No answer came/,
          aborted: /stopped/,
          sdk_crashed: /stopped/,
          wasm_load_failed: /could not be loaded, or does not run in this browser/,
          internal_error: /Something went wrong/,
        };
        const page = await open(at, react, "nothing", `errs-in-${at.engine}-${react}`);
        assert.deepEqual((await page.evaluate("codes")).sort(), Object.keys(want).sort());
        for (const [errorCode, text] of [...Object.entries(want), ["of_another_version", /Something went wrong/], ["constructor", /Something went wrong/]]) {
          for (const kind of ["enroll", "challenge", "codes", "recover"]) {
            await page.evaluate((props) => show(props), { kind: "nothing" });
            await page.waitFor(() => !document.querySelector("form"));
            await page.evaluate((props) => show(props), { kind, errorCode });
            await page.waitForVisible("input");
            if (!["enroll", "codes"].includes(kind)) await page.evaluate(() => document.querySelector("form").requestSubmit());
            await page.waitFor(() => document.querySelector("[role=alert]").textContent);
            assert.match(await message(page), kind === "recover" && errorCode === "invalid_request" ? /^No recovery code can be used here/ : text, errorCode);
          }
        }
        await page.close();
      });

      test("RecoveryCodes makes codes once under StrictMode, to be copied, downloaded and printed, and confirms by the box or by one of them", async () => {
        const userId = `keeps-in-${at.engine}-${react}`;
        const { token } = await enrolled(userId);
        const page = await open(at, react, "codes", userId, { token });
        await page.waitForVisible("li");
        assert.deepEqual(await page.evaluate("posted"), ["/v1/client/recovery-codes"], "two mounts, one set");
        const codes = await shownCodes(page);
        assert.equal(codes.length, 10);
        const title = await page.$eval("[data-authsignal=title]", (e) => e.textContent);
        assert.match(title, /^Recovery codes for 127\.0\.0\.1:\d+, 20\d\d-\d\d-\d\d$/);
        const text = `${title}\n\n${codes.join("\n")}\n`;

        await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => (globalThis.copied = text) }, configurable: true }));
        await page.click("[data-authsignal=copy]");
        await page.waitFor(() => /^Copied/.test(document.querySelector("[role=status][data-authsignal=copied]").textContent));
        assert.equal(await page.evaluate("copied"), text);
        await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
        await page.click("[data-authsignal=copy]");
        await page.waitFor(() => /^Selected/.test(document.querySelector("[data-authsignal=copied]").textContent));
        assert.deepEqual(await page.evaluate(() => String(getSelection()).match(/\S+/g)), codes);
        const link = await page.$eval("[data-authsignal=download]", (e) => ({ download: e.download, isBlob: e.href.startsWith("blob:"), isLast: e.href === blobs.at(-1).url }));
        assert.deepEqual(link, { download: "recovery-codes.txt", isBlob: true, isLast: true });
        assert.equal(await page.evaluate(() => blobs.at(-1).blob.text()), text);
        const sheets = await page.evaluate(() => {
          let atPrint;
          globalThis.print = () => (atPrint = document.adoptedStyleSheets.length);
          document.querySelector("[data-authsignal=print]").click();
          dispatchEvent(new Event("afterprint"));
          return [atPrint, document.adoptedStyleSheets.length];
        });
        assert.deepEqual(sheets, [1, 0]);

        const refusals = [
          ["", /^Type one of the codes, or tick the box/],
          ["2222-2222-2222", /^That is none of these codes/],
        ];
        for (const [typed, want] of refusals) {
          await enter(page, typed);
          await page.waitFor(() => document.querySelector("form").getAttribute("aria-busy") === "false" && document.querySelector("[role=alert]").textContent);
          assert.match(await message(page), want);
        }
        // Another tab makes codes: those shown here are not the ones that would come into force.
        const elsewhere = await open(at, react, "codes", userId, { token });
        await elsewhere.waitForVisible("li");
        await enter(page, ""); // the next message is announced
        await page.waitFor(() => /^Type one/.test(document.querySelector("[role=alert]").textContent));
        await page.click("input[type=checkbox]");
        await enter(page, "");
        await page.waitFor(() => /^These codes do not work: newer ones were made/.test(document.querySelector("[role=alert]").textContent));
        assert.equal(await page.evaluate("globalThis.confirmed"), undefined);

        await elsewhere.click("input[type=checkbox]");
        await elsewhere.evaluate(() => {
          document.querySelector("form").requestSubmit();
          document.querySelector("form").requestSubmit();
        });
        await elsewhere.waitFor(() => /work from now on/.test(document.querySelector("[role=status][data-authsignal=confirmed]").textContent));
        await elsewhere.evaluate(() => document.querySelector("form").requestSubmit());
        assert.deepEqual(await elsewhere.evaluate(() => [confirmed, posted.length]), [1, 2], "confirmed once");
        const [first] = await shownCodes(elsewhere);
        await page.evaluate(() => show({ kind: "nothing" }));
        await page.waitFor(() => !document.querySelector("form"));
        await page.evaluate(() => show({ kind: "codes" }));
        await page.waitForVisible("li");
        await enter(page, (await shownCodes(page))[4].toLowerCase().replaceAll("-", " "));
        await page.waitFor(() => globalThis.confirmed === 1);
        const used = await call((await backend.track({ userId, action: "signIn" })).token, (sdk) => sdk.recoveryCodes.verify({ code: first }));
        assert.equal(used.data.isVerified, false, "the last set that was confirmed counts");
        for (const one of [page, elsewhere]) {
          assert.deepEqual(await one.problems(site.url, api.baseUrl), []);
          await one.close();
        }
      });

      test("when the application's onTokenExpired throws, the form can still be used", async () => {
        for (const kind of ["enroll", "challenge"]) {
          const page = await open(at, react, kind, `throws-in-${at.engine}-${react}`, { expired: true });
          if (kind === "challenge") {
            await page.waitForVisible("input");
            for (const n of [1, 2]) {
              await enter(page, "123456");
              await page.waitFor((n) => posted.length === n && document.querySelector("[role=alert]").textContent, n);
            }
          } else await page.waitForVisible("[data-authsignal=retry]");
          assert.equal(await message(page), "Something went wrong. Try again.");
          assert.equal(await page.$eval("form", (e) => e.querySelector("[data-authsignal=verify]").textContent), "Verify");
          const problems = await page.problems(site.url, api.baseUrl);
          assert.ok(problems.length && problems.every((p) => p === "uncaught: Error: the application's own"), problems.join());
          await page.close();
        }
      });

      if (react !== 19) return; // the versions differ in StrictMode and events, which these have in common with the tests above
      test("RecoveryCodes that cannot be made are tried again, and a user may decline them", async () => {
        const page = await open(at, react, "codes", `declines-in-${at.engine}-${react}`);
        await page.waitForVisible("[data-authsignal=retry]");
        assert.match(await message(page), /^The server did not accept this/, "nothing is enrolled");
        assert.equal(await page.evaluate(() => document.querySelector("[data-authsignal=decline]")), null);
        await page.click("[data-authsignal=retry]");
        await page.waitFor(() => failures.length === 2);
        assert.deepEqual(await page.evaluate("posted.length"), 2);
        await page.evaluate(() => document.querySelector("form").requestSubmit());
        assert.deepEqual(await page.evaluate("posted.length"), 2, "there is nothing to confirm");
        await page.evaluate(() => show({ more: { onDeclined: () => (globalThis.declined = true) } }));
        await page.waitForVisible("[data-authsignal=decline]");
        await page.click("[data-authsignal=decline]");
        assert.equal(await page.evaluate("declined"), true);
        await page.close();
      });

      test("RecoveryCodes that are confirmed after the token has expired do not work, which the user is told", async () => {
        const userId = `dawdles-in-${at.engine}-${react}`;
        const { token } = await enrolled(userId, { keep: false });
        const page = await open(at, react, "codes", userId, { token });
        await page.waitForVisible("li");
        await page.evaluate(() => {
          const error = "expired_token";
          globalThis.fetch = async () => new Response(JSON.stringify({ error, errorCode: error, errorDescription: "Old." }), { status: 401 });
        });
        await page.click("input[type=checkbox]");
        await page.evaluate(() => document.querySelector("form").requestSubmit());
        await page.waitFor(() => /^This took too long, and these codes do not work: delete them/.test(document.querySelector("[role=alert]").textContent));
        assert.deepEqual(await page.evaluate("[failures, globalThis.confirmed]"), [["expired_token"], null]);
        await page.close();
      });

      test("TotpChallenge leads to a recovery code and back, says what is left, and remembers the browser", async () => {
        const userId = `recovers-in-${at.engine}-${react}`;
        const { app, codes } = await enrolled(userId);
        const more = { recoveryCodes: true, rememberDays: 30 };
        const page = await open(at, react, "challenge", userId, { more });
        await page.waitForVisible("[data-authsignal=switch]");
        assert.match(await page.$eval("[data-authsignal=remember]", (e) => e.textContent), /^ Remember this browser for 30 days\. .*Do not tick this on a device that others use/);
        assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "INPUT", "it takes no focus by itself");
        for (const label of ["Recovery code", "Code from your authenticator app", "Recovery code"]) {
          await page.click("[data-authsignal=switch]");
          await page.waitFor((label) => document.activeElement.labels?.[0].textContent === label, label);
        }
        assert.deepEqual(await page.$eval("input", (e) => [e.inputMode, e.getAttribute("autocomplete")]), ["", "off"]);
        assert.equal(await page.evaluate(() => document.querySelector("[type=checkbox]")), null, "no browser is trusted by a recovery code");
        await enter(page, "123456");
        await page.waitFor(() => document.querySelector("[role=alert]").textContent);
        assert.match(await message(page), /^That is not a recovery code: it has 12 letters and digits/);
        await enter(page, "2222-2222-2222");
        await page.waitFor(() => /^That recovery code was not accepted/.test(document.querySelector("[role=alert]").textContent));
        await enter(page, codes[0].toLowerCase());
        await page.waitFor(() => document.activeElement.dataset.authsignal === "continue");
        const described = await page.evaluate(() => document.getElementById(document.activeElement.getAttribute("aria-describedby")).textContent);
        assert.equal(described, "Recovery code accepted. Codes left: 9.");
        assert.equal(await page.evaluate("globalThis.results"), undefined, "not before the user has read it");
        await page.press("Enter");
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        const [{ verificationMethod, recoveryCodesLeft, trustBrowser }] = await page.evaluate("results");
        assert.deepEqual({ verificationMethod, recoveryCodesLeft, trustBrowser }, { verificationMethod: "RECOVERY_CODE", recoveryCodesLeft: 9, trustBrowser: false });
        assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
        await page.close();

        const challenge = await open(at, react, "challenge", userId, { more: { rememberDays: 1 } });
        await challenge.waitForVisible("[type=checkbox]");
        assert.match(await challenge.$eval("[data-authsignal=remember]", (e) => e.textContent), /for one day/);
        assert.equal(await challenge.evaluate(() => document.querySelector("[data-authsignal=switch]")), null);
        await challenge.click("[type=checkbox]");
        await enter(challenge, app.code());
        assert.equal(await validate(challenge), "CHALLENGE_SUCCEEDED");
        const [result] = await challenge.evaluate("results");
        assert.deepEqual([result.verificationMethod, result.trustBrowser, result.recoveryCodesLeft], ["AUTHENTICATOR_APP", true, undefined]);
        await challenge.close();
      });

      test("RecoveryCodeChallenge warns when few codes are left and when there are none, in German too; a box that is not ticked remembers nothing", async () => {
        const userId = `spends-in-${at.engine}-${react}`;
        const { app, codes } = await enrolled(userId);
        for (const code of codes.slice(0, 6)) await call((await backend.track({ userId, action: "signIn" })).token, (sdk) => sdk.recoveryCodes.verify({ code }));
        const page = await open(at, react, "recover", userId, { german: true });
        await page.waitForVisible("input");
        await enter(page, codes[0]);
        await page.waitFor(() => /^Dieser Wiederherstellungscode wurde nicht akzeptiert/.test(document.querySelector("[role=alert]").textContent));
        await enter(page, codes[6]);
        await page.waitForVisible("[data-authsignal=left]");
        const { token } = await backend.track({ userId, action: "signIn" });
        await page.evaluate((token) => show({ token }), token);
        await page.waitForVisible("input");
        assert.equal(await page.evaluate(() => document.querySelector("[data-authsignal=accepted]")), null, "what was accepted was for another sign-in");
        await enter(page, codes[7]);
        await page.waitForVisible("[data-authsignal=few]");
        assert.match(await page.$eval("[data-authsignal=few]", (e) => e.textContent), /Verbleibende Codes: 2\. Erstellen Sie jetzt neue:/);
        await page.click("[data-authsignal=continue]");
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        const { trustBrowser } = (await page.evaluate("results"))[0];
        assert.equal(trustBrowser, undefined, "nothing was asked");
        assert.deepEqual(await page.problems(site.url, api.baseUrl), []);
        await page.close();

        const without = `lacks-codes-in-${at.engine}-${react}`;
        await enrolled(without, { keep: false });
        const other = await open(at, react, "recover", without);
        await other.waitForVisible("input");
        await enter(other, codes[8]);
        await other.waitFor(() => /^No recovery code can be used here/.test(document.querySelector("[role=alert]").textContent));
        await other.close();

        const challenge = await open(at, react, "challenge", userId, { more: { rememberDays: 30 } });
        await challenge.waitForVisible("input");
        await enter(challenge, app.code());
        assert.equal(await validate(challenge), "CHALLENGE_SUCCEEDED");
        assert.equal((await challenge.evaluate("results"))[0].trustBrowser, false);
        await challenge.close();
      });

      test("TotpEnroll gives the authenticator its name", async () => {
        const userId = `names-in-${at.engine}-${react}`;
        const page = await open(at, react, "enroll", userId, { more: { name: "My phone" } });
        await page.waitForVisible("img");
        await enter(page, URI.parse((await page.evaluate("enrolled")).uri).generate());
        assert.equal(await validate(page), "CHALLENGE_SUCCEEDED");
        const [result] = await page.evaluate("results");
        assert.deepEqual([result.userAuthenticator.name, result.verificationMethod, "trustBrowser" in result], ["My phone", "AUTHENTICATOR_APP", false]);
        await page.close();
      });
    });
  }
});

test("the components render on a server, without a document", async () => {
  const { createElement } = await import("react");
  const { renderToString } = await import("react-dom/server");
  const { RecoveryCodeChallenge, RecoveryCodes, TotpEnroll, TotpChallenge, useAuthsignal } = await import(new URL("react.js", dist));
  const App = ({ of }) => createElement(of, { authsignal: useAuthsignal({ tenantId: "t" }), onVerified() {} });
  assert.match(renderToString(createElement(App, { of: TotpEnroll })), /role="status"[^>]*>Loading</);
  assert.match(renderToString(createElement(App, { of: TotpChallenge })), /autoComplete="one-time-code"/i);
  assert.match(renderToString(createElement(App, { of: RecoveryCodeChallenge })), /autoComplete="off"/i);
  assert.match(renderToString(createElement(App, { of: RecoveryCodes })), /role="status"[^>]*>Loading</);
});
