// What the tarball holds.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

test("the tarball holds what a page needs, and the licences", async () => {
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  // Without the check of prepack, which freshness tests make elsewhere.
  const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd });
  const [{ files }] = JSON.parse(stdout);
  assert.deepEqual(files.map((file) => file.path).sort(), [
    "LICENSE",
    "NOTICE",
    "README.md",
    "dist/authsignal.wasm",
    "dist/authsignal.wasm.br",
    "dist/authsignal.wasm.json",
    "dist/errors.d.ts",
    "dist/index.d.ts",
    "dist/index.js",
    "dist/index.js.map",
    "dist/index.min.js",
    "dist/index.min.js.map",
    "dist/load.d.ts",
    "dist/types.d.ts",
    "dist/wasm_exec.js",
    "package.json",
  ]);
});
