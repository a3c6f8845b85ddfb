// The package as applications get it: its declarations type-check, and npm
// packs the built files with the licences, or nothing. One file, since the
// tests take turns at writing the declarations.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { root } from "../lib/harness.mjs";

const js = path.join(root, "js");
const pack = (cwd) => promisify(execFile)("npm", ["pack", "--dry-run", "--json"], { cwd });
const typeCheck = (project) =>
  promisify(execFile)(process.execPath, ["node_modules/typescript/bin/tsc", "-p", project], { cwd: js }).catch((error) => {
    throw new Error(error.stdout);
  });

test("the sources and their users type-check", async () => {
  for (const project of ["tsconfig.json", "test/testdata/types"]) await typeCheck(project);
});

test("an application of the official package type-checks against this one", async () => {
  for (const which of ["official", "ours"]) await typeCheck(`test/testdata/types/dropin-${which}.json`);
});

test("the package holds what is built, its declarations and the licences", async (t) => {
  const { stdout } = await pack(js);
  const [{ files, size, unpackedSize }] = JSON.parse(stdout);
  t.diagnostic(`${size} bytes packed, ${unpackedSize} unpacked`);
  assert.deepEqual(files.map((file) => file.path).sort(), [
    "LICENSE",
    "README.md",
    "THIRD-PARTY-NOTICES",
    "dist/authsignal.d.ts",
    "dist/authsignal.wasm",
    "dist/authsignal.wasm.br",
    "dist/authsignal.wasm.json",
    "dist/cookie.d.ts",
    "dist/errors.d.ts",
    "dist/global-inline.js",
    "dist/global.d.ts",
    "dist/global.js",
    "dist/index.d.ts",
    "dist/index.js",
    "dist/index.js.map",
    "dist/index.min.js",
    "dist/index.min.js.map",
    "dist/inline.d.ts",
    "dist/inline.js",
    "dist/launch.d.ts",
    "dist/load.d.ts",
    "dist/misuse.d.ts",
    "dist/qr.d.ts",
    "dist/raw.d.ts",
    "dist/react-inline.js",
    "dist/react-inline.js.map",
    "dist/react.d.ts",
    "dist/react.js",
    "dist/react.js.map",
    "dist/react/german.d.ts",
    "dist/react/instance.d.ts",
    "dist/react/props.d.ts",
    "dist/react/recovery.d.ts",
    "dist/react/texts.d.ts",
    "dist/react/totp.d.ts",
    "dist/sdk.d.ts",
    "dist/types.d.ts",
    "dist/wasm_exec.js",
    "package.json",
  ]);
});

test("publint and attw report no problem of the tarball", async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-lint-"));
  t.after(() => rm(dir, { recursive: true }));
  const { stdout } = await promisify(execFile)("npm", ["pack", "--silent", "--pack-destination", dir], { cwd: js });
  const tarball = path.join(dir, stdout.trim());
  const lint = (...args) =>
    promisify(execFile)("npx", ["--no-install", ...args], { cwd: js, env: { ...process.env, NO_COLOR: "1" } }).catch((error) => {
      throw new Error(error.stdout);
    });
  await Promise.all([
    lint("publint", "--strict", tarball),
    // All ways to resolve it, with one remark left out: CommonJS gets ES
    // modules. They are the only ones: a second copy for require would have
    // tokens and a module of its own. Node takes them by require from 20.19 on.
    // The entries left out are files to be served, which are not imported.
    lint("attw", tarball, "--profile", "strict", "--ignore-rules", "cjs-resolves-to-esm", "--exclude-entrypoints", "authsignal.wasm", "wasm_exec.js"),
  ]);
});

test("nothing is packed before it is built", async (t) => {
  const copy = await mkdtemp(path.join(tmpdir(), "authsignal-pack-"));
  t.after(() => rm(copy, { recursive: true }));
  for (const name of ["go.mod", "go.sum", "cmd/buildsdk", "js/package.json"]) {
    await cp(path.join(root, name), path.join(copy, name), { recursive: true });
  }
  await mkdir(path.join(copy, "js/dist"));
  await assert.rejects(pack(path.join(copy, "js")), /the built browser SDK is missing or stale: run "make wasm js"/);
});

test("applications without the DOM's types type-check, their libraries too", async () => {
  for (const which of ["nodom", "node", "worker"]) await typeCheck(`test/testdata/types/${which}.json`);
});
