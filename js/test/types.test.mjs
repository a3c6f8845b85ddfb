// The sources type-check, and so does what applications write against the
// declarations.

import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const js = fileURLToPath(new URL("..", import.meta.url));

test("the sources and their users type-check", async () => {
  for (const project of ["tsconfig.json", "test/testdata/types"]) {
    await promisify(execFile)(process.execPath, ["node_modules/typescript/bin/tsc", "-p", project], { cwd: js }).catch((error) => {
      throw new Error(error.stdout);
    });
  }
});
