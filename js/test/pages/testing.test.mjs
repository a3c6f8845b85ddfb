// The page "Testing with Jest and Vitest" of the documentation: its blocks are
// taken from it and run, from the packed tarball, with the real server; and its
// error for an environment that lacks a global.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { dist, programBuild, root } from "../lib/harness.mjs";
import { clean, pack, project } from "../setups/setups.mjs";

/** The page's blocks by heading, each with its language, the file that its first line names, and the text. */
const sections = {};
for (const part of (await readFile(path.join(root, "docs/testing.md"), "utf8")).split(/^###? /m)) {
  sections[part.slice(0, part.indexOf("\n"))] = [...part.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({
    language,
    file: /^\/\/ ([\w./-]+)\n/.exec(text)?.[1],
    text,
  }));
}
const shared = ["The application", "With a fetch of the test's own", "With the real server"].flatMap((heading) => sections[heading]);

let dir;
let tarball;
let environment;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "authsignal-testing-"));
  const [packed, server] = await Promise.all([pack(dir), programBuild("./cmd/authsignal-server"), clean("testing")]);
  tarball = packed;
  environment = { ...process.env, NO_COLOR: "1", AUTHSIGNAL_SERVER: server };
  for (const name of ["NODE_OPTIONS", "NODE_TEST_CONTEXT"]) delete environment[name];
});
after(async () => {
  await clean("testing");
  await rm(dir, { recursive: true });
});

/** Makes a project of blocks, and runs its commands to their end; returns their output. */
async function run(blocks) {
  const folder = await project(blocks, [], "testing", tarball);
  const commands = blocks.filter(({ language }) => language === "sh").map(({ text }) => text);
  const { stdout, stderr } = await promisify(execFile)("bash", ["-euc", commands.join("")], { cwd: folder, env: environment }).catch((error) => {
    throw new Error(`${error.message}\n${error.stdout}`);
  });
  return stdout + stderr;
}

test("the page's blocks are all run", () => {
  const headings = Object.entries(sections).filter(([, blocks]) => blocks.length);
  assert.deepEqual(
    headings.map(([heading]) => heading),
    ["The application", "With a fetch of the test's own", "With the real server", "Vitest", "Jest", "Without ES modules"],
  );
});

test("Vitest, in jsdom and in Node", async () => {
  const printed = await run([...shared, ...sections.Vitest]);
  assert.equal(printed.match(/Tests {2}5 passed \(5\)/g)?.length, 2, printed);
});

test("Jest, in jsdom and in Node", async () => {
  const printed = await run([...shared, ...sections.Jest]);
  assert.equal(printed.match(/^Tests: +5 passed, 5 total/gm)?.length, 2, printed);
});

test("Jest without ES modules, in jsdom and in Node", async () => {
  const printed = await run(sections["Without ES modules"]);
  assert.equal(printed.match(/^Tests: +1 passed, 1 total/gm)?.length, 2, printed);
});

test("in jsdom as Jest has it, every call names what is missing and this page", async () => {
  const text = `// missing.test.js
import { Authsignal, qr } from "authsignal-wasm";

test("a missing part is named", async () => {
  const text = expect.stringMatching(/this environment has no TextEncoder, TextDecoder; .*docs\\/testing\\.md/);
  const authsignal = new Authsignal({ tenantId: "t" });
  authsignal.setToken("token");
  for (const call of [authsignal.totp.enroll(), authsignal.totp.verify({ code: "123456" })]) {
    expect(await call).toEqual({ error: text, errorCode: "wasm_load_failed", errorDescription: text });
  }
  for (const call of [qr.toSVG("text"), authsignal.preload(), Authsignal.load()]) {
    await expect(call).rejects.toMatchObject({ errorCode: "wasm_load_failed", message: text });
  }
});
`;
  await run([
    { language: "js", file: "missing.test.js", text },
    { language: "js", file: "jest.config.js", text: `export default { transform: {}, testMatch: ["**/*.test.js"], testEnvironment: "jsdom" };\n` },
    { language: "sh", text: "export NODE_OPTIONS=--experimental-vm-modules\nnpx jest\n" },
  ]);
});

for (const name of ["WebAssembly", "TextEncoder", "TextDecoder", "URL"]) {
  test(`where there is no ${name}, a call resolves to an error that names it`, async () => {
    const script = `
      import { Authsignal } from ${JSON.stringify(new URL("index.js", dist).href)};
      const authsignal = new Authsignal({ tenantId: "t" });
      authsignal.setToken("token");
      Object.defineProperty(globalThis, "${name}", { value: undefined });
      console.log(JSON.stringify([await authsignal.totp.enroll(), await authsignal.totp.verify({ code: "123456" })]));
      process.exit();`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    for (const { errorCode, error } of JSON.parse(stdout)) {
      assert.equal(errorCode, "wasm_load_failed");
      assert.match(error, new RegExp(`this environment has no ${name};`));
    }
  });
}
