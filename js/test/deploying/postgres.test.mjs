// The set-ups of docs/deploying.md with PostgreSQL: behind PgBouncer, and with a standby
// that is promoted after the primary was killed.

import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { file, isOpen, run, start, until } from "../lib/deploying.mjs";
import { goBuild } from "../lib/harness.mjs";

const tenantId = "t1";
const apiSecretKey = "test-secret-key-of-32-characters-1";
const folder = "/var/lib/postgresql/deploying";
let bin; // of PostgreSQL
let program;

const postgres = (...command) => run("runuser", ["-u", "postgres", "--", ...command]);
const sql = async (text, port = 5432) => (await postgres("psql", "-XAtqc", text, `host=/run/postgresql port=${port} dbname=postgres`)).stdout.trim();
const control = (name, ...args) => postgres(`${bin}/pg_ctl`, "--pgdata", `${folder}/${name}`, "--log", `${folder}/${name}.log`, "--wait", ...args);

before(async () => {
  bin = `/usr/lib/postgresql/${(await readdir("/usr/lib/postgresql")).sort((a, b) => a - b).at(-1)}/bin`;
  for (const at of ["/run/postgresql", "/var/log/postgresql", folder]) {
    await mkdir(at, { recursive: true });
    await run("chown", ["postgres:", at]);
  }
  await postgres(`${bin}/initdb`, "--auth-host=scram-sha-256", "--auth-local=trust", "--pgdata", `${folder}/primary`);
  await control("primary", "--options", "-p 5432", "start");
  await sql("CREATE ROLE authsignal LOGIN PASSWORD 'a-password'");
  await sql("CREATE DATABASE authsignal OWNER authsignal");
  program = await goBuild("./cmd/authsignal-server");
  await copyFile(program, "/usr/local/bin/authsignal-server");
  await chmod("/usr/local/bin/authsignal-server", 0o755);
});

after(async () => {
  for (const name of ["primary", "standby"]) await control(name, "--mode", "immediate", "stop").catch(() => {}); // one was killed
});

/** Starts the server on a database. */
async function serve(db) {
  const env = {
    AUTHSIGNAL_DB: db,
    AUTHSIGNAL_ADDR: "127.0.0.1:4000",
    AUTHSIGNAL_TENANT_ID: tenantId,
    AUTHSIGNAL_API_SECRET_KEY: apiSecretKey,
    AUTHSIGNAL_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString("base64"),
    AUTHSIGNAL_DEV: "true",
  };
  const server = start("/usr/local/bin/authsignal-server", [], env);
  await until(server, () => isOpen(4000));
  return server;
}

const headers = { authorization: `Basic ${btoa(`${apiSecretKey}:`)}`, "content-type": "application/json" };
const track = (user) => fetch(`http://127.0.0.1:4000/v1/users/${user}/actions/signIn`, { method: "POST", headers, body: '{"idempotencyKey":"k"}' });
const status = async (user) => (await fetch(`http://127.0.0.1:4000/v1/users/${user}/actions/signIn/k`, { headers })).status;

test("behind PgBouncer in transaction mode", async () => {
  await mkdir("/etc/pgbouncer", { recursive: true });
  await copyFile(file("pgbouncer.ini"), "/etc/pgbouncer/pgbouncer.ini");
  // As the page says: the role with its secret as PostgreSQL keeps it.
  const list = await sql(`SELECT format('"%s" "%s"', rolname, rolpassword) FROM pg_authid WHERE rolname = 'authsignal'`);
  await writeFile("/etc/pgbouncer/userlist.txt", `${list}\n`);
  await run("chown", ["-R", "postgres:", "/etc/pgbouncer"]);
  const pooler = start("runuser", ["-u", "postgres", "--", "/usr/sbin/pgbouncer", "/etc/pgbouncer/pgbouncer.ini"]);
  await until(pooler, () => isOpen(6432));
  const server = await serve("postgres://authsignal:a-password@127.0.0.1:6432/authsignal");
  const answers = await Promise.all(Array.from({ length: 64 }, (_, i) => track(`pooled-${i}`)));
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  assert.equal((await fetch("http://127.0.0.1:4000/readyz")).status, 200);
  await server.stop();
  await run("pkill", ["-P", String(pooler.pid)]);
  await pooler.stop();
});

test("a standby takes over, and nothing that was acknowledged is lost", async () => {
  await copyFile(file("primary.conf"), `${folder}/primary.conf`);
  await postgres(`${bin}/pg_basebackup`, "--write-recovery-conf", "--pgdata", `${folder}/standby`, "--dbname", "host=/run/postgresql port=5432 application_name=standby");
  await control("standby", "--options", "-p 5433", "start");
  await postgres("sh", "-c", `cat ${folder}/primary.conf >>${folder}/primary/postgresql.conf`);
  await control("primary", "reload");
  const server = await serve("postgres://authsignal:a-password@127.0.0.1:5432,127.0.0.1:5433/authsignal?target_session_attrs=read-write");
  await until(server, async () => (await sql("SELECT sync_state FROM pg_stat_replication")) === "sync");
  const users = Array.from({ length: 50 }, (_, i) => `kept-${i}`);
  for (const user of users) assert.equal((await track(user)).status, 200);

  await control("primary", "--mode", "immediate", "stop");
  await control("standby", "promote");
  await until(server, async () => (await track("after")).status === 200);
  for (const user of users) assert.equal(await status(user), 200, user);
  await server.stop();
});
