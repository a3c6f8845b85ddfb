// The set-ups of docs/setups.md with older majors of Vite, with Parcel and as a
// library, and the package in Deno and Bun: from the packed tarball, word for
// word. Each needs tools of its own, whose installation takes long.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { openBrowser } from "../lib/browsers.mjs";
import { launchBrowser, startServer } from "../lib/harness.mjs";
import { backend, build, clean, importing, pack, project, readSetups, visit } from "../setups/setups.mjs";

const run = promisify(execFile);
const { policy, setups } = await readSetups();
const shared = setups[""];
const tools = ["bundlers", "vite7", "vite6", "vite5", "parcel", "runtimes"];

let dir;
let tarball;
let place;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "authsignal-setups-"));
  const [browser, api, packed] = await Promise.all([launchBrowser(), startServer({ args: ["-rate-limit", "0"] }), pack(dir), ...tools.map(clean)]);
  place = { browser, api, policy };
  tarball = packed;
});
after(async () => {
  await place?.browser.close();
  await place?.api.stop();
  await Promise.all(tools.map(clean));
  await rm(dir, { recursive: true });
});

for (const vite of ["vite7", "vite6", "vite5"]) {
  for (const [name, modules] of [
    ["Vite, in development", 0],
    ["Vite", 1],
    ["Preloading", 1],
  ]) {
    test(`${name}, with ${vite}: enrolls and verifies under a strict policy`, async () => {
      await visit(place, setups[name], await project(setups[name], shared, vite, tarball), modules);
    });
  }
}

for (const vite of ["vite7", "vite6"]) {
  test(`Vite, in development, with ${vite} and conditions of the application's own: optimizeDeps.exclude leaves the module where it is`, async () => {
    const blocks = setups["Vite, in development"];
    const dir = await project(blocks, shared, vite, tarball);
    const config = { resolve: { conditions: ["module", "browser"] }, optimizeDeps: { exclude: ["authsignal-wasm"] } };
    await writeFile(path.join(dir, "vite.config.js"), `export default ${JSON.stringify(config)};`);
    await visit(place, blocks, dir, 1);
  });
}

for (const vite of ["bundlers", "vite7", "vite6", "vite5"]) {
  test(`A library made with Vite, with ${vite}: does not hold the module; an application with it enrolls and verifies`, async () => {
    const blocks = setups["A library made with Vite"];
    const dir = await project(blocks, shared, vite, tarball);
    await build(blocks, dir);
    const library = await readFile(path.join(dir, "dist/library.js"), "utf8");
    assert.match(library, /from ?"authsignal-wasm"/);
    assert.ok(library.length < 10_000, `the library has ${library.length} characters`);

    // The error of the page for a library that does not leave the package out.
    const config = path.join(dir, "vite.config.js");
    await writeFile(config, (await readFile(config, "utf8")).replace(/^ *rollupOptions.*\n/m, ""));
    await build(blocks, dir);
    assert.match(await readFile(path.join(dir, "dist/library.js"), "utf8"), /"data:application\/wasm;base64,/);

    await rm(config);
    await writeFile(path.join(dir, "library.js"), library);
    await writeFile(path.join(dir, "main.js"), 'import "./library.js";\n');
    await visit(place, setups.Vite, dir, 1);
  });
}

test("Preloading: Firefox, too, fetches the module once, before the page's script runs", async (t) => {
  const dir = await project(setups.Preloading, shared, "bundlers", tarball);
  await build(setups.Preloading, dir);
  const site = await backend(place.api, "preloading-in-firefox", path.join(dir, "dist"), policy);
  t.after(() => site.close());
  const browser = await openBrowser("Firefox");
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.goto(site.url);
  await page.waitFor(() => document.querySelector("#qr").naturalWidth > 0);
  const got = site.requests.filter((pathname) => /\.wasm$|^\/session$/.test(pathname));
  assert.equal(got.length, 2, `requests: ${got}`);
  assert.equal(got[1], "/session");
});

test("Parcel 2: enrolls and verifies under a strict policy", async () => {
  await visit(place, setups["Parcel 2"], await project(setups["Parcel 2"], shared, "parcel", tarball), 1);
});

test("Parcel 2, preloading: enrolls and verifies under a strict policy", async () => {
  const blocks = [...setups["Parcel 2"], ...setups.Preloading.filter(({ language }) => language === "html")];
  await visit(place, blocks, await project(blocks, shared, "parcel", tarball), 1);
});

test("Parcel 2, with packageExports: finds the other entries", async () => {
  const blocks = importing(setups["Parcel 2"], 'import { Authsignal } from "authsignal-wasm/inline";');
  const dir = await project(blocks, shared, "parcel", tarball);
  await writeFile(path.join(dir, "package.json"), JSON.stringify({ private: true, type: "module", "@parcel/resolver-default": { packageExports: true } }));
  await visit(place, blocks, dir, 0);
});

// Each comes as a program for this machine, in a package of its own.
for (const [name, program] of [
  ["Deno", "@deno/*/deno run --allow-read"],
  ["Bun", "@oven/*/bin/bun run"],
]) {
  test(`${name}: draws a QR code, imported and required`, async () => {
    const dir = await project(setups["Node, Deno and Bun"], [], "runtimes", tarball);
    for (const file of ["qr.js", "qr.cjs"]) {
      const { stdout } = await run("bash", ["-c", `exec ../../node_modules/${program} ${file}`], { cwd: dir });
      assert.match(stdout, /^<svg .*<\/svg>\n$/s, file);
    }
  });
}
