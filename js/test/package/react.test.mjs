// The React components on a page of every engine, in StrictMode, against the
// real API server; and rendered on a server.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { dist, goBuild, root, serve, startServer } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";

let api;
let backend;
let site;
let folder;

const app = `
  import { StrictMode, useMemo, useState, version } from "react";
  import { createRoot } from "react-dom/client";
  import { ErrorCode } from "authsignal-wasm";
  import { TotpChallenge, TotpEnroll, useAuthsignal } from "authsignal-wasm/react";

  // With errorCode, every call ends in that error.
  const failing = (errorCode) => {
    const fail = async () => ({ error: "An error.", errorCode, errorDescription: "An error." });
    return { setToken() {}, preload: async () => {}, totp: { enroll: fail, verify: fail } };
  };

  function App({ baseUrl, token, kind, texts, expired, errorCode }) {
    const broken = useMemo(() => errorCode && failing(errorCode), [errorCode]);
    const working = useAuthsignal({ tenantId: "tenant-1", baseUrl, wasmUrl: "/dist/authsignal.wasm",
      onTokenExpired: expired && (() => { throw new Error("the application's own"); }) });
    const authsignal = broken ?? working;
    const [verified, setVerified] = useState();
    const Totp = kind === "enroll" ? TotpEnroll : TotpChallenge;
    if (kind === "nothing") return null;
    if (verified) return <p id="verified">{verified.token}</p>;
    return <Totp authsignal={authsignal} token={token} texts={texts} className="totp" onVerified={setVerified}
      onEnrolled={(data) => (globalThis.enrolled = data)} onError={(error) => (globalThis.failures ??= []).push(error.errorCode)} />;
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

/** Bundles the application with a major version of React. */
async function bundle(react) {
  const esbuild = await goBuild("github.com/evanw/esbuild/cmd/esbuild");
  // React 18 is installed for the official React package.
  const older = ["react", "react-dom"].map((name) => `--alias:${name}=${path.join(root, "js/test/official-react/node_modules", name)}`);
  await promisify(execFile)(
    esbuild,
    [
      ...["app.jsx", "--bundle", "--format=esm", "--jsx=automatic", `--outfile=app${react}.js`, "--log-level=error"],
      '--define:process.env.NODE_ENV="development"',
      ...(react === 18 ? older : []),
    ],
    { cwd: folder },
  );
}

/** The newest React in every engine, and the oldest that the package takes in one. */
const versions = (engine) => (engine === "Chromium" ? [19, 18] : [19]);

before(async () => {
  // In the package's folder, where React is found.
  [api, folder] = await Promise.all([startServer(), mkdtemp(path.join(root, "js", "node_modules", ".react-test-"))]);
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
  await writeFile(path.join(folder, "app.jsx"), app);
  const page = (react) =>
    `<!doctype html><html lang="en"><title>An application's page</title><meta name="viewport" content="width=device-width"><main></main><script type="module" src="/app${react}.js"></script></html>`;
  site = await serve(
    {
      "/19.html": page(19),
      "/18.html": page(18),
      "/app19.js": pathToFileURL(path.join(folder, "app19.js")),
      "/app18.js": pathToFileURL(path.join(folder, "app18.js")),
      "/dist/": dist,
    },
    { "Content-Security-Policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ${new URL(api.baseUrl).origin}; img-src data:` },
  );
});
after(async () => {
  await site?.close();
  await api?.stop();
  if (folder) await rm(folder, { recursive: true });
});

/**
 * Opens a page with a component, which show(props) changes. In the page, `posted`
 * has the paths of its calls of the API, which with `expired` reports an expired token,
 * and `signals` their abort signals; while `held` is a list, calls wait there to be
 * released; `answered` counts answers. With `phone` the page is on a phone.
 */
async function open({ browser }, react, kind, userId, more = {}) {
  const page = await browser.newPage();
  await page.goto(`${site.url}/${react}.html`);
  const { token } = await backend.track({ userId, action: "signIn" });
  assert.match(await page.evaluate("version"), new RegExp(`^${react}\\.`));
  await page.evaluate(
    (props) => {
      const { fetch } = globalThis;
      globalThis.posted = [];
      globalThis.signals = [];
      globalThis.answered = 0;
      globalThis.held = undefined;
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
      before(() => bundle(react));

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
        await challenge.evaluate(() => fetch("/19.html")); // the effects of the first answer are over before this is
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
          for (const kind of ["enroll", "challenge"]) {
            await page.evaluate((props) => show(props), { kind: "nothing" });
            await page.waitFor(() => !document.querySelector("form"));
            await page.evaluate((props) => show(props), { kind, errorCode });
            await page.waitForVisible("input");
            if (kind === "challenge") await page.evaluate(() => document.querySelector("form").requestSubmit());
            await page.waitFor(() => document.querySelector("[role=alert]").textContent);
            assert.match(await message(page), text, errorCode);
          }
        }
        await page.close();
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
    });
  }
});

test("the components render on a server, without a document", async () => {
  const { createElement } = await import("react");
  const { renderToString } = await import("react-dom/server");
  const { TotpEnroll, TotpChallenge, useAuthsignal } = await import(new URL("react.js", dist));
  const App = ({ of }) => createElement(of, { authsignal: useAuthsignal({ tenantId: "t" }), onVerified() {} });
  assert.match(renderToString(createElement(App, { of: TotpEnroll })), /role="status"[^>]*>Loading</);
  assert.match(renderToString(createElement(App, { of: TotpChallenge })), /autoComplete="one-time-code"/i);
});
