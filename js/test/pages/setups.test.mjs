// The set-ups of docs/setups.md that need the newest bundlers only, and the
// package's entries in Node: each is built and run from the packed tarball,
// word for word. The rest is in long/setups.test.mjs and long/next.test.mjs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { launchBrowser, startServer } from "../lib/harness.mjs";
import { clean, importing, pack, project, readSetups, visit } from "../setups/setups.mjs";

const run = promisify(execFile);
const { policy, setups } = await readSetups();
const { "": shared, ...named } = setups;
const elsewhere = ["Parcel 2", "A library made with Vite", "Next.js", "Node, Deno and Bun"];
const bundled = Object.entries(named).filter(([name]) => !elsewhere.includes(name));

let browser;
let server;
let dir;
let tarball;
let place;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "authsignal-setups-"));
  [browser, server, tarball] = await Promise.all([launchBrowser(), startServer({ args: ["-rate-limit", "0"] }), pack(dir), clean("bundlers")]);
  place = { browser, api: server, policy };
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await clean("bundlers");
  await rm(dir, { recursive: true });
});

test("docs/setups.md has all set-ups", () => {
  const want = ["Vite, in development", "Vite", "webpack 5", "esbuild", "Rollup", "Script tag", "Raw module", "One file", "Preloading", "Preloading with webpack 5"];
  assert.deepEqual(Object.keys(named).sort(), [...want, ...elsewhere].sort());
});

describe("set-ups", { concurrency: 2 }, () => {
  for (const [name, blocks] of bundled) {
    test(`${name}: enrolls and verifies under a strict policy`, async () => {
      const inside = ["Vite, in development", "One file"].includes(name);
      const requests = await visit(place, blocks, await project(blocks, shared, "bundlers", tarball), inside ? 0 : 1);
      if (name.startsWith("Preloading")) {
        const fetched = requests.findIndex((pathname) => pathname.endsWith(".wasm"));
        assert.ok(fetched < requests.indexOf("/session"), `the page's script ran before the module was asked for: ${requests}`);
      }
    });
  }

  const copied = (what) => [{ language: "sh", text: `mkdir dist\ncp index.html main.js dist/\ncp -r node_modules/authsignal-wasm/dist/${what}\n` }];
  const global = "const { Authsignal } = globalThis.authsignal;";
  for (const [how, blocks, entry] of [
    ["webpack 5", setups["webpack 5"], "authsignal-wasm/script"],
    ["esbuild", setups.esbuild, "authsignal-wasm/script"],
    ["Vite", setups.Vite, "authsignal-wasm/script"],
    ["Vite in development", setups["Vite, in development"], "authsignal-wasm/script"],
    ["the browser", copied(" dist/authsignal"), "/authsignal/global.js"],
    ["the browser, of the script-tag build", copied("{index.min.js,authsignal.wasm} dist/"), "/index.min.js"],
  ]) {
    test(`script: an import in ${how} sets the global`, async () => {
      const page = importing(blocks, `import "${entry}";\n${global}`);
      await visit(place, page, await project(page, shared, "bundlers", tarball), how === "Vite in development" ? 0 : 1);
    });
  }

  test("script: in Node, import and require set the global", async () => {
    const dir = await project([], [], "bundlers", tarball);
    for (const entry of ["script", "index.min.js"]) {
      for (const [type, load] of [
        ["module", "import"],
        ["commonjs", "require"],
      ]) {
        const script = `${load}("authsignal-wasm/${entry}"); console.log(typeof globalThis.authsignal.Authsignal);`;
        const { stdout } = await run(process.execPath, [`--input-type=${type}`, "-e", type === "module" ? `await ${script}` : script], { cwd: dir });
        assert.equal(stdout, "function\n", `${load} of ${entry}`);
      }
    }
  });

  test("Node: importing needs no DOM", async () => {
    const dir = await project([], [], "bundlers", tarball);
    for (const entry of ["authsignal-wasm", "authsignal-wasm/inline"]) {
      const script = `import { Authsignal } from "${entry}"; new Authsignal({ tenantId: "t" }); console.log("imported")`;
      const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: dir });
      assert.equal(stdout, "imported\n", entry);
    }
  });

  test("Node: draws a QR code, imported and required", async () => {
    const blocks = setups["Node, Deno and Bun"];
    const dir = await project(blocks, [], "bundlers", tarball);
    const { stdout } = await run("bash", ["-euc", blocks.find(({ language }) => language === "sh").text], { cwd: dir });
    assert.match(stdout, /^(<svg .*<\/svg>\n)\1$/s);
  });

  test("Node: import and require load the same SDK, with each condition", async () => {
    const dir = await project([], [], "bundlers", tarball);
    const script = `Promise.all(["authsignal-wasm", "authsignal-wasm/script"].map((entry) => import(entry))).then(([sdk]) =>
      console.log(sdk.Authsignal === require("authsignal-wasm").Authsignal, sdk.Authsignal === globalThis.authsignal.Authsignal, require.resolve("authsignal-wasm")))`;
    for (const condition of ["development", "production"]) {
      const { stdout } = await run(process.execPath, ["--conditions", condition, "--input-type=commonjs", "-e", script], { cwd: dir });
      assert.equal(stdout, `true true ${path.join(dir, "node_modules/authsignal-wasm/dist/index.js")}\n`, condition);
    }
  });

  test("the entries of a page share one SDK, with each condition", async () => {
    const page = [{ language: "sh", text: "npx esbuild\n" }];
    const dir = await project(page, [], "bundlers", tarball);
    const entries = ["authsignal-wasm", "authsignal-wasm/react", "authsignal-wasm/script"];
    await writeFile(path.join(dir, "main.js"), entries.map((entry, i) => `import * as entry${i} from "${entry}";\nconsole.log(entry${i});\n`).join(""));
    for (const [condition, want] of [
      ["production", ["global", "index", "react"]],
      ["development", ["global-inline", "inline", "react-inline"]],
    ]) {
      const args = ["main.js", "--bundle", "--format=esm", "--external:react", `--conditions=${condition}`, "--metafile=meta.json", "--outfile=out.js", "--log-level=error"];
      await run("npx", ["esbuild", ...args], { cwd: dir });
      const { inputs } = JSON.parse(await readFile(path.join(dir, "meta.json"), "utf8"));
      const got = Object.keys(inputs).filter((input) => input !== "main.js");
      assert.deepEqual(got.map((input) => path.basename(input, ".js")).sort(), want, condition);
    }
  });
});
