// The samples of the README and of docs/browser-sdk.md for a page, and of
// docs/backend.md for a Node backend, word for word: a user enrolls on the page,
// and the backend validates. Only URLs, keys and the code are filled in, and
// the parts that the samples leave to the application are added. docs/docs_test.go
// names the tests that run the other samples.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { dist, launchBrowser, root, serve, startServer, watch } from "../lib/harness.mjs";

/** Returns the only block of a page of the documentation that begins with a line. */
async function sample(file, begin) {
  const blocks = [...(await readFile(path.join(root, file), "utf8")).matchAll(/^```js\n(.*?)^```$/gms)].map(([, text]) => text);
  const found = blocks.filter((text) => text.startsWith(begin));
  assert.equal(found.length, 1, `${file} has ${found.length} blocks that begin with ${begin}`);
  return found[0];
}

/** Fills in placeholders, each of which must be there. */
function fill(text, places) {
  for (const [place, value] of Object.entries(places)) {
    assert.ok(text.includes(place), `the sample has no ${place}`);
    text = text.replaceAll(place, () => value);
  }
  return text;
}

let api;
let browser;
let dir;
let site;
const scripts = {};
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "docs-"));
  await symlink(fileURLToPath(new URL("../../node_modules", import.meta.url)), path.join(dir, "node_modules"));
  [api, browser] = await Promise.all([startServer(), launchBrowser()]);
  site = await serve({
    "/": `<!doctype html><html lang="en"><title>An application's page</title><img alt="QR code"><p></p>
      <script type="importmap">{"imports": {"authsignal-wasm": "/dist/index.js"}}</script></html>`,
    "/dist/": dist,
    "/scripts/": (request, response) => response.writeHead(200, { "Content-Type": "text/javascript" }).end(scripts[request.url]),
  });
});
after(async () => {
  await site?.close();
  await browser?.close();
  await api?.stop();
  if (dir) await rm(dir, { recursive: true });
});

/** Runs a sample for a page with the token of track; returns the request that it sends to the backend. */
async function visit(text, name, code, token) {
  scripts[`/scripts/${name}.js`] =
    `const { token, image, text, sendToMyBackend } = globalThis.application;\n` +
    fill(text, { '"YOUR_TENANT_ID"': JSON.stringify(api.tenantId), '"http://127.0.0.1:4000/v1"': JSON.stringify(api.baseUrl), [code]: "await globalThis.code(enrollment.data.uri)" });
  const page = await browser.newPage();
  const problems = watch(page, site.url, api.baseUrl);
  await page.exposeFunction("code", (uri) => authenticatorApp(uri).code());
  await page.goto(site.url);
  const sent = await page.evaluate(
    async (token, script) => {
      const sent = [];
      const [image, text] = ["img", "p"].map((name) => document.querySelector(name));
      globalThis.application = { token, image, text, sendToMyBackend: async (token) => sent.push(token) };
      await import(script);
      await image.decode();
      return sent;
    },
    token,
    `/scripts/${name}.js`,
  );
  assert.deepEqual(problems, []);
  await page.close();
  assert.equal(sent.length, 1);
  return sent[0];
}

for (const [file, code] of [
  ["README.md", '"123456"'],
  ["docs/browser-sdk.md", '"123 456"'],
]) {
  test(`the sample of ${file} enrolls a user, and the backend's sample lets the user in`, async () => {
    const name = path.basename(file, ".md");
    const page = await sample(file, 'import { Authsignal } from "authsignal-wasm";');
    const backend = fill(await sample("docs/backend.md", 'import { Authsignal } from "@authsignal/node";'), {
      '"YOUR_SECRET_KEY"': JSON.stringify(api.apiSecretKey),
      '"http://127.0.0.1:4000/v1"': JSON.stringify(api.baseUrl),
      tokenOfThePage: "await tokenOfThePage(token)",
    });
    const signedIn = [];
    globalThis.application = {
      userId: `user-of-${name}`,
      session: {},
      signIn: (userId) => signedIn.push(userId),
      tokenOfThePage: (token) => visit(page, name, code, token),
    };
    const program = path.join(dir, `${name}.mjs`);
    await writeFile(program, `const { userId, session, signIn, tokenOfThePage } = globalThis.application;\n${backend}`);
    await import(pathToFileURL(program));
    assert.deepEqual(signedIn, [`user-of-${name}`]);
  });
}
