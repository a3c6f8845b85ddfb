// The demo as a program of its own, for tests.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { Authsignal } from "@authsignal/node";
import { programBuild } from "./harness.mjs";
import { arrive } from "./steps.mjs";

/** Declines the recovery codes that the demo's page offers after an enrollment. */
export async function declineCodes(page) {
  await arrive(page, "codes");
  await page.click("#make-form .done");
  await arrive(page, "account");
}

/** Starts the demo on a free port, with the API server inside unless `env` names another. */
export async function startDemo(env = {}) {
  const program = await programBuild("./demo");
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-demo-"));
  const child = spawn(program, {
    env: { PATH: process.env.PATH, HOME: dir, DEMO_ADDR: "127.0.0.1:0", DEMO_DATA: path.join(dir, "data"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (data) => (log += data));
  const ended = once(child, "exit");
  let mail = "";
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (text) => (mail += text.startsWith("Mail to ") ? `${text}\n` : ""));
  const [line] = await Promise.race([once(lines, "line"), ended.then(() => [""])]);
  const [url, apiUrl] = line.match(/http:[^\s)]+/g) ?? assert.fail(`the demo did not start:\n${log}`);
  return {
    url,
    apiUrl,
    /** The official server SDK, for the API server inside. */
    async official() {
      const keys = JSON.parse(await readFile(path.join(dir, "data", "authsignal.db.keys.json"), "utf8"));
      return new Authsignal({ apiSecretKey: keys.apiSecretKey, apiUrl });
    },
    log: () => log,
    /** The notices to users so far, a line each. */
    mail: () => mail,
    /** Sends a signal. */
    kill: (signal) => child.kill(signal),
    /** Resolves to the exit code and the signal that ended it. */
    ended,
    async stop() {
      child.kill("SIGTERM");
      const [code] = await ended;
      await rm(dir, { recursive: true, force: true });
      assert.equal(code, 0, `the demo stopped with an error:\n${log}`);
    },
  };
}
