// The React components on a page, in StrictMode, against the real API server;
// and rendered on a server.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { dist, goBuild, launchBrowser, root, serve, startServer, watch } from "./harness.mjs";

let api;
let backend;
let browser;
let site;
let folder;

const app = `
  import { StrictMode, useState } from "react";
  import { createRoot } from "react-dom/client";
  import { TotpChallenge, TotpEnroll, useAuthsignal } from "authsignal-wasm/react";

  function App({ baseUrl, token, kind, texts }) {
    const authsignal = useAuthsignal({ tenantId: "tenant-1", baseUrl, wasmUrl: "/dist/authsignal.wasm" });
    const [verified, setVerified] = useState();
    const Totp = kind === "enroll" ? TotpEnroll : TotpChallenge;
    if (verified) return <p id="verified">{verified.token}</p>;
    return <Totp authsignal={authsignal} token={token} texts={texts} className="totp" onVerified={setVerified}
      onEnrolled={(data) => (globalThis.enrolled = data)} onError={(error) => (globalThis.failures ??= []).push(error.errorCode)} />;
  }
  globalThis.show = (props) => createRoot(document.querySelector("main")).render(<StrictMode><App {...props} /></StrictMode>);`;

before(async () => {
  // In the package's folder, where React is found.
  [api, browser, folder] = await Promise.all([startServer(), launchBrowser(), mkdtemp(path.join(root, "js", "node_modules", ".react-test-"))]);
  backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
  await writeFile(path.join(folder, "app.jsx"), app);
  const esbuild = await goBuild("github.com/evanw/esbuild/cmd/esbuild");
  await promisify(execFile)(esbuild, [
    "app.jsx", "--bundle", "--format=esm", "--jsx=automatic", "--outfile=app.js", "--log-level=error",
    '--define:process.env.NODE_ENV="development"',
  ], { cwd: folder });
  site = await serve(
    {
      "/": '<!doctype html><html lang="en"><title>An application\'s page</title><meta name="viewport" content="width=device-width"><main></main><script type="module" src="/app.js"></script></html>',
      "/app.js": pathToFileURL(path.join(folder, "app.js")),
      "/dist/": dist,
    },
    { "Content-Security-Policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ${new URL(api.baseUrl).origin}; img-src data:` },
  );
});
after(async () => {
  await browser?.close();
  await site?.close();
  await api?.stop();
  if (folder) await rm(folder, { recursive: true });
});

async function open(kind, userId, more = {}) {
  const page = await browser.newPage();
  const problems = watch(page, site.url, api.baseUrl);
  const requests = [];
  page.on("request", (request) => request.method() === "POST" && requests.push(new URL(request.url()).pathname));
  await page.goto(site.url);
  const { token } = await backend.track({ userId, action: "signIn" });
  await page.waitForFunction("globalThis.show");
  await page.evaluate((props) => show(props), { baseUrl: api.baseUrl, token, kind, ...more });
  return { page, problems, requests };
}

const message = (page) => page.$eval("[role=alert]", (e) => e.textContent);

/** Puts a text in the field as a paste does, and sends the form by Enter. */
async function enter(page, text) {
  await page.focus("input");
  await page.evaluate((text) => {
    document.querySelector("input").select();
    document.execCommand("insertText", false, text);
  }, text);
  await page.keyboard.press("Enter");
}

test("TotpEnroll enrolls once under StrictMode, and announces a wrong code", async () => {
  const { page, problems, requests } = await open("enroll", "react-1");
  await page.waitForSelector("img");
  assert.deepEqual(requests, ["/v1/client/user-authenticators/totp"], "two mounts, one enrollment");
  const field = await page.$eval("input", (e) => ({ type: e.type, mode: e.inputMode, complete: e.autocomplete, label: e.labels[0].textContent, described: document.getElementById(e.getAttribute("aria-describedby")).getAttribute("role") }));
  assert.deepEqual(field, { type: "text", mode: "numeric", complete: "one-time-code", label: "Code from your authenticator app", described: "alert" });
  const { uri, secret } = await page.evaluate("enrolled");
  assert.equal(await page.$eval("code", (e) => e.textContent.replaceAll(" ", "")), secret);
  assert.equal(await page.$eval("img", (e) => e.alt), "QR code for your authenticator app");
  assert.equal((await page.content()).includes("otpauth"), false);
  const authenticator = URI.parse(uri);

  await enter(page, "12345x");
  await page.waitForFunction(() => document.querySelector("[role=alert]").textContent);
  assert.match(await message(page), /^That code is wrong/);
  assert.deepEqual(await page.evaluate(() => [document.activeElement.tagName, document.activeElement.getAttribute("aria-invalid"), document.querySelector("form").getAttribute("aria-busy")]), ["INPUT", "true", "false"]);

  await enter(page, authenticator.generate().replace(/^.../, "$& "));
  const token = await page.waitForSelector("#verified").then((e) => e.evaluate((e) => e.textContent));
  assert.equal((await backend.validateChallenge({ token })).state, "CHALLENGE_SUCCEEDED");
  assert.deepEqual(problems, []);
  await page.close();

  const challenge = await open("challenge", "react-1", { texts: { verify: "Anmelden" } });
  await challenge.page.waitForSelector("input");
  assert.equal(await challenge.page.$eval("button", (e) => e.textContent), "Anmelden");
  await enter(challenge.page, authenticator.generate({ timestamp: Date.now() + 30_000 }));
  const next = await challenge.page.waitForSelector("#verified").then((e) => e.evaluate((e) => e.textContent));
  assert.equal((await backend.validateChallenge({ token: next })).state, "CHALLENGE_SUCCEEDED");
  assert.deepEqual(challenge.problems, []);
  await challenge.page.close();
});

test("an enrollment that fails is announced and can be tried again", async () => {
  const { page, requests } = await open("enroll", "react-2", { token: "no token" });
  await page.waitForSelector("[data-authsignal=retry]");
  assert.equal(await message(page), "Something went wrong. Try again.");
  assert.deepEqual(await page.evaluate("failures"), ["unauthorized"]);
  assert.equal(await page.$eval("[data-authsignal=verify]", (e) => e.getAttribute("aria-disabled")), "true");
  await page.click("[data-authsignal=retry]");
  await page.waitForFunction("failures.length === 2");
  assert.equal(requests.length, 2);
  await page.close();
});

test("the components render on a server, without a document", async () => {
  const { createElement } = await import("react");
  const { renderToString } = await import("react-dom/server");
  const { TotpEnroll, TotpChallenge, useAuthsignal } = await import(new URL("react.js", dist));
  const App = ({ of }) => createElement(of, { authsignal: useAuthsignal({ tenantId: "t" }), onVerified() {} });
  assert.match(renderToString(createElement(App, { of: TotpEnroll })), /role="status"[^>]*>Loading</);
  assert.match(renderToString(createElement(App, { of: TotpChallenge })), /autoComplete="one-time-code"/i);
});
