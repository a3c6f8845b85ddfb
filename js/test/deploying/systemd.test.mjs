// The systemd units of docs/deploying.md, in their places: systemd finds no fault in
// them, the server takes the socket, and the filter of system calls allows those that
// the server makes.

import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { before, test } from "node:test";
import { file, password, run, settings, start, unit, until } from "../lib/deploying.mjs";
import { goBuild, temporary } from "../lib/harness.mjs";

before(async () => {
  await mkdir("/var/lib/authsignal", { recursive: true });
  await mkdir("/etc/authsignal", { recursive: true });
  await copyFile(file("authsignal.env"), "/etc/authsignal/authsignal.env");
  for (const name of ["authsignal.service", "authsignal.socket"]) await copyFile(file(name), `/etc/systemd/system/${name}`);
  await copyFile(await goBuild("./cmd/authsignal-server"), "/usr/local/bin/authsignal-server");
  await chmod("/usr/local/bin/authsignal-server", 0o755);
});

test("systemd-analyze reports nothing", async () => {
  const { stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", "/etc/systemd/system/authsignal.service", "/etc/systemd/system/authsignal.socket"]);
  assert.equal(stdout + stderr, "");
  await run("systemd-analyze", ["security", "--offline=true", "--threshold=20", "--no-pager", "authsignal.service"]);
});

/** Returns the sets of system calls that systemd knows, with sets in them, by name. */
async function sets() {
  const { stdout } = await run("systemd-analyze", ["syscall-filter"]);
  return new Map(
    stdout.split(/^(?=@)/m).map((text) => {
      const [name, ...lines] = text.split("\n").map((line) => line.trim());
      return [name, lines.filter((line) => /^@?\w/.test(line))];
    }),
  );
}

test("the filter allows the system calls that the server makes", async () => {
  const known = await sets();
  const members = (name) => (name.startsWith("@") ? known.get(name).flatMap(members) : [name]);
  const allowed = new Set((await settings("SystemCallFilter")).flatMap(members));
  const trace = path.join(temporary, "trace");
  const [program, args, env] = await unit();
  const server = start("strace", ["--follow-forks", "--quiet=all", "--output", trace, program, ...args], env);
  await password(server);
  const { apiSecretKey } = JSON.parse(await readFile("/var/lib/authsignal/authsignal.db.keys.json", "utf8"));
  const headers = { authorization: `Basic ${btoa(`${apiSecretKey}:`)}`, "content-type": "application/json" };
  await fetch("http://127.0.0.1:4000/v1/users/u1", { method: "PATCH", headers, body: '{"email":"a@example.com"}' });
  await fetch("http://127.0.0.1:4000/portal/sign-in");
  process.kill(Number(await readFile(`/proc/${server.pid}/task/${server.pid}/children`, "utf8")), "SIGTERM");
  await server.ended;
  const made = new Set([...(await readFile(trace, "utf8")).matchAll(/^\d+ +(\w+)\(/gm)].map((m) => m[1]));
  assert.ok(made.has("accept4") && (made.has("fdatasync") || made.has("fsync")), [...made].join());
  assert.deepEqual(
    [...made].filter((name) => !allowed.has(name)),
    [],
  );
});

test("the server takes the socket of the socket unit", async () => {
  const [address] = (await readFile(file("authsignal.socket"), "utf8")).match(/(?<=^ListenStream=).*$/m);
  const [program, args, env] = await unit();
  const environment = Object.entries(env).map(([name, value]) => `--setenv=${name}=${value}`);
  const server = start("systemd-socket-activate", [`--listen=${address}`, ...environment, program, ...args]);
  await until(server, () => /Listening on/.test(server.output()));
  // The first connection starts the program, and waits in the socket for it.
  assert.equal((await fetch(`http://${address}/readyz`)).status, 200);
  assert.match(await server.stop(), /the socket that systemd passed/);
});
