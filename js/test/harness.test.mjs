import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { findBrowser } from "./harness.mjs";

test("the browser is the one of CHROMIUM, or the first in PATH by a known name", async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-browser-"));
  t.after(() => rm(dir, { recursive: true }));
  const PATH = ["/nowhere", dir].join(path.delimiter);
  assert.throws(() => findBrowser({ PATH }), /need Chromium or Chrome/);
  await writeFile(path.join(dir, "chromium"), "", { mode: 0o644 }); // no program
  for (const name of ["google-chrome", "chromium-browser"]) {
    const file = path.join(dir, name);
    await writeFile(file, "", { mode: 0o755 });
    assert.equal(findBrowser({ PATH }), file);
  }
  assert.equal(findBrowser({ PATH, CHROMIUM: "/mine" }), "/mine");
});
