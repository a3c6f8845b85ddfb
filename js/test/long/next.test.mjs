// The set-up of docs/setups.md for Next.js, word for word, with Turbopack and
// with webpack: rendered on the server, from the packed tarball, under a policy
// with a nonce. It takes long to build.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { launchBrowser, startServer } from "../lib/harness.mjs";
import { backend, clean, journey, pack, project, readSetups, start } from "../setups/setups.mjs";

/** Returns a port that was free a moment ago; Next.js needs one as an argument. */
async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function enrollsAndVerifies(t, bundler) {
  const { setups } = await readSetups();
  const blocks = setups["Next.js"].map((block) => ({ ...block, text: bundler === "webpack" ? block.text.replace("npx next build", "$& --webpack") : block.text }));
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-next-"));
  t.after(() => rm(dir, { recursive: true }));
  await clean("next");
  const [browser, server, tarball] = await Promise.all([launchBrowser(), startServer(), pack(dir)]);
  t.after(() => Promise.all([browser.close(), server.stop(), clean("next")]));

  const sessions = await backend(server, "next", dir);
  t.after(() => sessions.close());
  // Browsers request it on their own.
  const icon = { file: "public/favicon.ico", text: "" };
  const next = await start(blocks, await project(blocks, [icon], "next", tarball), {
    PORT: await freePort(),
    API_ORIGIN: new URL(server.baseUrl).origin,
    SESSION_URL: sessions.url + "/session",
  });
  t.after(() => next.stop());
  assert.match(next.log(), new RegExp(`Next\\.js .*\\(${bundler}\\)`), "another bundler built it");

  const html = await (await fetch(next.url)).text();
  assert.match(html, /<form id="form"[^>]*>.*name="code".*<button>Verify<\/button>/, "the form is not rendered on the server");

  let nonce;
  await journey(browser, next.url, server, "next", async (page, answer) => {
    nonce = /script-src 'nonce-([^']+)' 'strict-dynamic' 'wasm-unsafe-eval';/.exec(answer.headers()["content-security-policy"])?.[1];
    assert.ok(nonce, "there is no policy with a nonce");
    const scripts = await page.$$eval("script", (scripts) => scripts.map((script) => script.nonce));
    assert.ok(scripts.length > 0);
    assert.ok(
      scripts.every((value) => value === nonce),
      `a script lacks the nonce: ${scripts}`,
    );
  });
  assert.ok(!html.includes(nonce), "the nonce is not new");
}

for (const bundler of ["Turbopack", "webpack"]) {
  test(`Next.js with ${bundler}: enrolls and verifies, rendered on the server, under its nonce`, (t) => enrollsAndVerifies(t, bundler));
}
