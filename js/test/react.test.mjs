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
import { dist, goBuild, root, serve, startServer } from "./harness.mjs";
import { inEngines } from "./places.mjs";

let api;
let backend;
let site;
let folder;

const app = `
  import { StrictMode, useState, version } from "react";
  import { createRoot } from "react-dom/client";
  import { TotpChallenge, TotpEnroll, useAuthsignal } from "authsignal-wasm/react";

  function App({ baseUrl, token, kind, texts, expired }) {
    const authsignal = useAuthsignal({ tenantId: "tenant-1", baseUrl, wasmUrl: "/dist/authsignal.wasm",
      onTokenExpired: expired && (() => { throw new Error("the application's own"); }) });
    const [verified, setVerified] = useState();
    const Totp = kind === "enroll" ? TotpEnroll : TotpChallenge;
    if (verified) return <p id="verified">{verified.token}</p>;
    return <Totp authsignal={authsignal} token={token} texts={texts} className="totp" onVerified={setVerified}
      onEnrolled={(data) => (globalThis.enrolled = data)} onError={(error) => (globalThis.failures ??= []).push(error.errorCode)} />;
  }
  globalThis.version = version;
  globalThis.show = (props) => createRoot(document.querySelector("main")).render(<StrictMode><App {...props} /></StrictMode>);`;

/** Bundles the application with a major version of React. */
async function bundle(react) {
  const esbuild = await goBuild("github.com/evanw/esbuild/cmd/esbuild");
  // React 18 is there for the official React package.
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

/** Opens a page with a component; in the page, `asked` is what it posts to the API, which with `expired` says that the token is. */
async function open({ browser }, react, kind, userId, more = {}) {
  const page = await browser.newPage();
  await page.goto(`${site.url}/${react}.html`);
  const { token } = await backend.track({ userId, action: "signIn" });
  assert.match(await page.evaluate("version"), new RegExp(`^${react}\\.`));
  await page.evaluate((props) => {
    const { fetch } = globalThis;
    globalThis.asked = [];
    globalThis.fetch = (url, options) => {
      if (options?.method === "POST") asked.push(new URL(url).pathname);
      if (options?.method === "POST" && props.expired) {
        const error = "expired_token";
        return Promise.resolve(new Response(JSON.stringify({ error, errorCode: error, errorDescription: "Old." }), { status: 401 }));
      }
      return fetch(url, options);
    };
    show(props);
  }, { baseUrl: api.baseUrl, token, kind, ...more });
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

/** Waits until a code was accepted, and lets the backend judge the token. */
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
        const asked = await page.evaluate("asked");
        assert.deepEqual(asked, ["/v1/client/user-authenticators/totp"], "two mounts, one enrollment");
        const field = await page.$eval("input", (e) => ({ type: e.type, mode: e.inputMode, complete: e.getAttribute("autocomplete"), label: e.labels[0].textContent, described: document.getElementById(e.getAttribute("aria-describedby")).getAttribute("role") }));
        assert.deepEqual(field, { type: "text", mode: "numeric", complete: "one-time-code", label: "Code from your authenticator app", described: "alert" });
        const { uri, secret } = await page.evaluate("enrolled");
        assert.equal(await page.$eval("code", (e) => e.textContent.replaceAll(" ", "")), secret);
        assert.equal(await page.$eval("img", (e) => e.alt), "QR code for your authenticator app");
        assert.equal(await page.evaluate(() => document.documentElement.outerHTML.includes("otpauth")), false);
        const authenticator = URI.parse(uri);

        await enter(page, "12345x");
        await page.waitFor(() => document.querySelector("[role=alert]").textContent);
        assert.match(await message(page), /^That code is wrong/);
        assert.deepEqual(await page.evaluate(() => [document.activeElement.tagName, document.activeElement.getAttribute("aria-invalid"), document.querySelector("form").getAttribute("aria-busy")]), ["INPUT", "true", "false"]);

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
        assert.equal(await message(page), "Something went wrong. Try again.");
        assert.deepEqual(await page.evaluate("failures"), ["unauthorized"]);
        assert.equal(await page.$eval("[data-authsignal=verify]", (e) => e.getAttribute("aria-disabled")), "true");
        await page.click("[data-authsignal=retry]");
        assert.equal(await page.evaluate(() => document.activeElement.tagName), "INPUT", "the focus stays in the form");
        await page.waitFor(() => failures.length === 2);
        assert.equal((await page.evaluate("asked")).length, 2);
        const refused = `response: 401 ${api.baseUrl}/client/user-authenticators/totp`;
        assert.deepEqual(await page.problems(site.url, api.baseUrl), [refused, refused]);
        await page.close();
      });

      test("when the application's onTokenExpired throws, the form can still be used", async () => {
        for (const kind of ["enroll", "challenge"]) {
          const page = await open(at, react, kind, `throws-in-${at.engine}-${react}`, { expired: true });
          if (kind === "challenge") {
            await page.waitForVisible("input");
            for (const n of [1, 2]) {
              await enter(page, "123456");
              await page.waitFor((n) => asked.length === n && document.querySelector("[role=alert]").textContent, n);
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
