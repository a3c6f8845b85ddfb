// A page of a browser extension, whose origin is none of http or https, calls the
// client API where that origin is allowed, and nowhere else.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import puppeteer from "puppeteer-core";
import { findProgram } from "../lib/browsers.mjs";
import { dist, startServer, temporary } from "../lib/harness.mjs";

const manifest = {
  manifest_version: 3,
  name: "A test",
  version: "1",
  content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'" },
};

/** Makes an extension of a page with the package; returns its folder. */
async function makeExtension() {
  const dir = await mkdtemp(path.join(temporary, "extension-"));
  await writeFile(path.join(dir, "manifest.json"), JSON.stringify(manifest));
  await writeFile(path.join(dir, "page.html"), '<!doctype html><html lang="en"><title>A test</title></html>');
  await mkdir(path.join(dir, "dist"));
  for (const name of ["index.js", "authsignal.wasm"]) await cp(fileURLToPath(new URL(name, dist)), path.join(dir, "dist", name));
  return dir;
}

const browser = await puppeteer.launch({
  executablePath: findProgram("Chromium"),
  headless: true,
  pipe: true, // extensions can be installed only over a pipe
  enableExtensions: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
after(() => browser.close());
const id = await browser.installExtension(await makeExtension());

/** Enrolls and verifies in the extension's page with a server; returns the results. */
async function signIn(t, args) {
  const api = await startServer({ args });
  t.after(() => api.stop());
  const { token } = await new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl }).track({ userId: "jane", action: "signIn" });
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(`chrome-extension://${id}/page.html`);
  const enrolled = await page.evaluate(
    async (options, token) => {
      const { Authsignal } = await import("/dist/index.js");
      globalThis.authsignal = new Authsignal(options);
      authsignal.setToken(token);
      return authsignal.totp.enroll();
    },
    { tenantId: api.tenantId, baseUrl: api.baseUrl },
    token,
  );
  if (enrolled.error) return { enrolled, log: api.log() };
  const verified = await page.evaluate((code) => authsignal.totp.verify({ code }), URI.parse(enrolled.data.uri).generate());
  return { enrolled, verified };
}

test("an extension whose origin is allowed enrolls and verifies", async (t) => {
  const { verified } = await signIn(t, ["-origins", `chrome-extension://${id}`]);
  assert.equal(verified.data.isVerified, true);
});

test("another extension may not call, and the log names its origin", async (t) => {
  const { enrolled, log } = await signIn(t, ["-origins", `chrome-extension://${"a".repeat(32)}`]);
  assert.equal(enrolled.errorCode, "network_error");
  assert.match(log, new RegExp(`origin that is not allowed.*chrome-extension://${id}`));
});
