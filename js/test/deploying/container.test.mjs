// The image of docs/deploying/Containerfile, built by buildah and run as a container's
// runtime does with a read-only root: as user 1000, without capabilities, and with
// nothing but the program and the folder /data.

import assert from "node:assert/strict";
import { chown, copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { file, password, run, start } from "../lib/deploying.mjs";
import { goBuild, temporary } from "../lib/harness.mjs";

const data = "/var/lib/authsignal-data";
let image; // the root of the container
let config; // of the image

before(async () => {
  await mkdir(path.join(temporary, "bin"));
  await copyFile(await goBuild("./cmd/authsignal-server", { CGO_ENABLED: "0" }), path.join(temporary, "bin/authsignal-server"));
  // Its usual driver cannot use the file system of the sandbox.
  await mkdir("/etc/containers", { recursive: true });
  await writeFile("/etc/containers/storage.conf", '[storage]\ndriver = "vfs"\nrunroot = "/run/containers"\ngraphroot = "/var/lib/containers/storage"\n');
  const buildah = async (...args) => (await run("buildah", args, { env: { ...process.env, BUILDAH_ISOLATION: "chroot" } })).stdout.trim();
  await buildah("build", "--quiet", "--file", file("Containerfile"), "--tag", "authsignal", temporary);
  config = JSON.parse(await buildah("inspect", "--type", "image", "authsignal")).OCIv1.config;
  image = await buildah("mount", await buildah("from", "authsignal"));

  assert.deepEqual(await readdir(image), ["authsignal-server"]);
  await mkdir(data);
  await chown(data, 1000, 1000);
  for (const folder of ["data", "proc"]) await mkdir(path.join(image, folder));
  await run("mount", ["--bind", image, image]);
  await run("mount", ["-o", "remount,bind,ro", image]);
  await run("mount", ["--bind", data, path.join(image, "data")]);
  await run("mount", ["-t", "proc", "proc", path.join(image, "proc")]);
});

/** The program and arguments that run a command in the container. */
function contained(...args) {
  const [uid, gid] = config.User.split(":");
  return ["unshare", ["--root", image, "--wd", "/", "--setgid", gid, "--setuid", uid, ...config.Entrypoint, ...args]];
}
const env = (more = {}) => ({ ...Object.fromEntries(config.Env.map((line) => line.split(/=(.*)/).slice(0, 2))), ...more });

let server;
after(async () => server?.stop());

test("the server serves, with time zones and the portal, from a read-only root", async () => {
  assert.deepEqual(Object.keys(config.Volumes), ["/data"]);
  server = start(
    ...contained(),
    env({ AUTHSIGNAL_PUBLIC_URL: "http://localhost:4000", AUTHSIGNAL_ADDR: "127.0.0.1:4000", AUTHSIGNAL_MANAGEMENT_KEY: "test-management-key-of-32-characters", AUTHSIGNAL_PORTAL: "on" }),
  );
  await password(server);
  const { uid, mode } = await stat(`${data}/authsignal.db`);
  assert.deepEqual([uid, mode & 0o777], [1000, 0o600]);
  const status = await readFile(`/proc/${server.pid}/status`, "utf8");
  assert.match(status, /^Uid:\t1000\t1000\t1000\t1000$/m);
  assert.match(status, /^CapEff:\t0+$/m);

  const { tenantId, apiSecretKey } = JSON.parse(await readFile(`${data}/authsignal.db.keys.json`, "utf8"));
  const manage = (method, at, body) =>
    fetch(`http://127.0.0.1:4000/v1/management/tenants/${tenantId}${at}`, {
      method,
      headers: { Authorization: `Basic ${btoa("test-management-key-of-32-characters:")}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  const activated = await manage("PUT", "", { authenticator: { active: true } });
  assert.equal(activated.status, 200, await activated.text());
  const rule = { name: "zone", condition: 'action.createdAt.getHours("Pacific/Auckland") >= 0', outcome: "BLOCK" };
  const set = await manage("PUT", "/actions/pay", { defaultOutcome: "ALLOW", rules: [rule] });
  assert.equal(set.status, 200, await set.text());
  const backend = new Backend({ apiSecretKey, apiUrl: "http://127.0.0.1:4000/v1" });
  assert.equal((await backend.track({ userId: "u", action: "pay" })).state, "BLOCK");
  assert.equal((await fetch("http://localhost:4000/portal/sign-in")).status, 200);
  assert.doesNotMatch(await server.stop(), /"level":"ERROR"/);
});

test("the commands work there too", async () => {
  for (const args of [["backup", "/data/backup.db"], ["rotate-key"], ["check"], ["version"]]) {
    const [program, all] = contained(...args);
    await run(program, all, { env: env() });
  }
  assert.ok((await stat(`${data}/backup.db`)).size > 0);
});
