// What the server reads from the URIs of other systems, against npm otpauth
// where that accepts them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { TOTP, URI } from "otpauth";
import { root } from "../lib/harness.mjs";

test("otpauth computes the codes of imported URIs as the server does", async () => {
  const { accepted } = JSON.parse(await readFile(path.join(root, "internal/totp/testdata/import.json"), "utf8"));
  const compared = accepted.filter(({ judges }) => judges.includes("otpauth"));
  assert.ok(compared.length >= 15, `only ${compared.length} vectors are compared`);
  for (const { name, uri, issuer, secret, algorithm, digits, period } of compared) {
    const read = URI.parse(uri);
    assert.deepEqual([read.issuer, read.algorithm, read.digits, read.period], [issuer, algorithm, digits, period], name);
    for (const timestamp of [59_000, 1_700_000_000_000]) {
      assert.equal(read.generate({ timestamp }), new TOTP({ secret, algorithm, digits, period }).generate({ timestamp }), name);
    }
  }
});
