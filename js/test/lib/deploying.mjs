// The parts that the tests of docs/deploying.md share. They write to /etc, /usr/local
// and /var: run them by .ci/sandbox.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { root } from "./harness.mjs";

assert.ok(process.env.SANDBOX, "run this test by .ci/sandbox");

export const run = promisify(execFile);

/** The path of a file of a set-up. */
export const file = (name) => path.join(root, "docs/deploying", name);

/** Starts a program with a PATH alone and `env`; `stop` ends it and returns its output. */
export function start(program, args, env = {}) {
  const child = spawn(program, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  const ended = once(child, "exit");
  return {
    pid: child.pid,
    ended,
    output: () => output,
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      await ended;
      return output;
    },
  };
}

/** Waits until a condition of a program has a result; returns it. */
export async function until(program, condition) {
  for (const deadline = Date.now() + 30_000; ; ) {
    const result = await condition();
    if (result) return result;
    assert.ok(Date.now() < deadline, `it did not start in time:\n${program.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 20)); // between polls
  }
}

/** Reports whether a port of this machine is open. */
export const isOpen = (port) =>
  new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.on("error", () => resolve(false)).on("connect", () => resolve(socket.destroy() && true));
  });

/** Waits for the portal's first password in the output of a server. */
export const password = async (program) => (await until(program, () => program.output().match(/^portal password, shown this once: (.*)$/m)))[1];

/** Returns the values of a setting of the unit. */
export async function settings(name) {
  const text = await readFile(file("authsignal.service"), "utf8");
  return [...text.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map((m) => m[1]);
}

/** Returns the unit's command, its arguments and its environment. */
export async function unit() {
  const [command] = await settings("ExecStart");
  const [environment] = await settings("EnvironmentFile");
  const lines = (await readFile(file(path.basename(environment)), "utf8")).trim().split("\n");
  const [program, ...args] = command.split(" ");
  return [program, args, Object.fromEntries(lines.map((line) => line.split(/=(.*)/).slice(0, 2)))];
}
