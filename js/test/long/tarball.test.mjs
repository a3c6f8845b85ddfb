// make package writes the same bytes in every folder.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { root } from "../lib/harness.mjs";

const run = promisify(execFile);

/** Runs make package in a folder; returns what it prints about the tarball. */
async function makePackage(dir, umask) {
  const { stdout } = await run("bash", ["-c", `umask ${umask}; exec make package`], { cwd: dir });
  return stdout.split("\n").filter((line) => line.includes(".tgz"));
}

test("make package has the same hash in another folder, with other permissions", async (t) => {
  const copy = await mkdtemp(path.join(tmpdir(), "authsignal-tarball-"));
  t.after(() => rm(copy, { recursive: true }));
  const { stdout } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root });
  for (const file of stdout.split("\0").filter(Boolean)) {
    await cp(path.join(root, file), path.join(copy, file), { preserveTimestamps: true });
  }
  await symlink(path.join(root, "js/node_modules"), path.join(copy, "js/node_modules"));

  const here = await makePackage(root, "022");
  assert.match(here.join("\n"), /^authsignal-wasm-[\d.]+\.tgz: \d+ bytes\nauthsignal-wasm-[\d.]+\.tgz: sha256 [0-9a-f]{64}$/);
  assert.deepEqual(await makePackage(copy, "077"), here);
});
