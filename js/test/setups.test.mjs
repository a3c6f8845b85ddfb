// The set-ups that the README prints, but for Next.js (long/next.test.mjs):
// each is built and run from the packed tarball, word for word.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { launchBrowser, startServer } from "./harness.mjs";
import { backend, build, clean, journey, pack, project, readSetups, start } from "./setups/setups.mjs";

const { policy, setups } = await readSetups();
const { "": shared, "Next.js": _, ...bundled } = setups;

let browser;
let server;
let dir;
let tarball;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "authsignal-setups-"));
  [browser, server, tarball] = await Promise.all([launchBrowser(), startServer({ args: ["-rate-limit", "0"] }), pack(dir), clean("bundlers")]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await clean("bundlers");
  await rm(dir, { recursive: true });
});

test("the README has all set-ups", () => {
  const want = ["Vite, in development", "Vite", "webpack 5", "esbuild", "Rollup", "Script tag", "Raw module", "One file"];
  assert.deepEqual(Object.keys(bundled), want);
});

describe("set-ups", { concurrency: 2 }, () => {
  for (const [name, blocks] of Object.entries(bundled)) {
    test(`${name}: enrolls and verifies under a strict policy`, async () => {
      const dir = await project(blocks, shared, "bundlers", tarball);
      const serves = name === "Vite, in development";
      const development = serves ? await start(blocks, dir) : await build(blocks, dir);
      const userId = name.replace(/\W+/g, "-");
      const site = await backend(server, userId, development?.url ?? path.join(dir, "dist"), policy);
      try {
        await journey(browser, site.url, server, userId, async (page) => {
          const enforced = await page.evaluate(() => {
            try {
              document.createElement("p").innerHTML = "<b>text</b>";
            } catch (error) {
              return error instanceof TypeError;
            }
          });
          assert.ok(enforced, "Trusted Types are not enforced");
        });
      } finally {
        await site.close();
        await development?.stop();
      }
    });
  }

  test("Node: importing needs no DOM", async () => {
    const dir = await project([], [], "bundlers", tarball);
    for (const entry of ["authsignal-wasm", "authsignal-wasm/inline"]) {
      const script = `import { Authsignal } from "${entry}"; new Authsignal({ tenantId: "t" }); console.log("imported")`;
      const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { cwd: dir });
      assert.equal(stdout, "imported\n", entry);
    }
  });
});
