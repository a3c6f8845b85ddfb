// The set-ups of docs/deploying.md behind a proxy, with their files as they stand and
// in their places: enrollment, challenge, settings and the portal in Chromium, below a
// path of a host. It writes to /etc, /usr/local and /var: run it by .ci/sandbox.

import assert from "node:assert/strict";
import { appendFile, chmod, copyFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Authsignal as Backend } from "@authsignal/node";
import { authenticatorApp } from "../lib/authenticator.mjs";
import { file, isOpen, password, run, start, unit, until } from "../lib/deploying.mjs";
import { dist, launchBrowser, programBuild, temporary, watch } from "../lib/harness.mjs";
import { follow, signIn } from "../lib/portal.mjs";
import { arrive, decline, enter, scan } from "../lib/prebuilt.mjs";

process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"; // curl checks the certificate below

const site = "https://www.example.com";
const authority = path.join(temporary, "ca.pem");

/** Makes a certificate of the site by an authority of the test. */
async function certificate() {
  const at = (name) => path.join(temporary, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
  await run("openssl", ["req", "-x509", ...key, "-keyout", at("ca.key"), "-out", authority, "-subj", "/CN=test", "-days", "90"]);
  await run("openssl", ["req", ...key, "-keyout", at("key.pem"), "-out", at("request.pem"), "-subj", "/CN=www.example.com"]);
  await writeFile(at("extensions"), "subjectAltName=DNS:www.example.com\n");
  const sign = ["-CA", authority, "-CAkey", at("ca.key"), "-CAcreateserial", "-extfile", at("extensions"), "-days", "90"];
  await run("openssl", ["x509", "-req", "-in", at("request.pem"), ...sign, "-out", at("certificate.pem")]);
  return { certificate: at("certificate.pem"), key: at("key.pem") };
}

const proxies = {
  async nginx(tls) {
    await mkdir("/etc/ssl/www.example.com", { recursive: true });
    await copyFile(tls.certificate, "/etc/ssl/www.example.com/fullchain.pem");
    await copyFile(tls.key, "/etc/ssl/www.example.com/privkey.pem");
    await rm("/etc/nginx/sites-enabled/default", { force: true });
    await copyFile(file("nginx.conf"), "/etc/nginx/sites-enabled/www.example.com");
    return start("nginx", ["-g", "daemon off;"]);
  },
  // Its store has the certificate of an earlier run, so that it requests none.
  async caddy(tls) {
    const store = "/var/lib/caddy/caddy/certificates/acme-v02.api.letsencrypt.org-directory/www.example.com";
    await mkdir(store, { recursive: true });
    await copyFile(tls.certificate, `${store}/www.example.com.crt`);
    await copyFile(tls.key, `${store}/www.example.com.key`);
    await writeFile(`${store}/www.example.com.json`, JSON.stringify({ sans: ["www.example.com"], issuer_data: {} }));
    await copyFile(file("Caddyfile"), "/etc/caddy/Caddyfile");
    return start("caddy", ["run", "--config", "/etc/caddy/Caddyfile"], { HOME: "/var/lib/caddy", XDG_DATA_HOME: "/var/lib/caddy" });
  },
};

let tls;
let browser;
/** The server with its tenant, keys and the portal's first password. */
let server;

before(async () => {
  await appendFile("/etc/hosts", "\n127.0.0.1 www.example.com\n");
  tls = await certificate();
  await rm("/var/www/html", { recursive: true, force: true });
  await mkdir("/var/www/html", { recursive: true });
  await writeFile("/var/www/html/index.html", "<!doctype html><title>app</title><link rel=icon href=data:,><p>the application");
  await cp(dist, "/var/www/html/dist", { recursive: true });
  await run("chmod", ["-R", "a+rX", "/var/www"]);

  await mkdir("/var/lib/authsignal", { recursive: true });
  await copyFile(await programBuild("./cmd/authsignal-server"), "/usr/local/bin/authsignal-server");
  await chmod("/usr/local/bin/authsignal-server", 0o755);
  const program = start(...(await unit()));
  const first = await password(program); // printed when the keys are stored
  const { tenantId, apiSecretKey } = JSON.parse(await readFile("/var/lib/authsignal/authsignal.db.keys.json", "utf8"));
  const baseUrl = `${site}/mfa/v1`;
  server = { ...program, tenantId, apiSecretKey, baseUrl, password: first, backend: new Backend({ apiSecretKey, apiUrl: baseUrl }) };
  browser = await launchBrowser("--ignore-certificate-errors");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Runs a test in a page of its own, which may have no problems. */
async function visit(work) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const problems = watch(page, site);
  await work(page);
  assert.deepEqual(problems, []);
  await context.close();
}

/** Requests paths as another machine does; returns statuses and bodies. */
async function asAnother(...args) {
  const { stdout } = await run("curl", ["--silent", "--cacert", authority, "--interface", "192.0.2.7", "--path-as-is", ...args], { maxBuffer: 16 << 20 });
  return stdout;
}

for (const [name, proxy] of Object.entries(proxies)) {
  describe(`behind ${name}`, () => {
    let started;
    before(async () => {
      started = await proxy(tls);
      await until(started, () => isOpen(443));
    });
    after(async () => started?.stop());

    test("the operator signs in to the portal and activates the authenticator app", async () => {
      await visit(async (page) => {
        await page.goto(`${site}/mfa/portal/t/${server.tenantId}/keys`);
        assert.equal(new URL(page.url()).pathname, "/mfa/portal/sign-in");
        await page.type("#password", server.password);
        await follow(page, "main form button");
        assert.equal(page.url(), `${site}/mfa/portal/t/${server.tenantId}/keys`);
        assert.deepEqual(
          (await page.cookies()).map((c) => [c.name, c.path, c.secure]).sort(),
          ["", "-browser"].map((end) => [`__Secure-authsignal-portal${end}`, "/mfa/portal", true]),
        );
        await page.goto(`${site}/mfa/portal/t/${server.tenantId}/authenticators/app`);
        await follow(page, "main .buttons button"); // Activate, and behind the second proxy Save
        for (const link of ["users", "activity", "settings", "actions"]) await follow(page, `nav a[href$="/${link}"]`);
        await follow(page, "form[action$=sign-out] button");
        assert.equal(page.url(), `${site}/mfa/portal/sign-in`);
        await signIn(page, `${site}/mfa/portal`, server.password);
        assert.equal(page.url(), `${site}/mfa/portal/t/${server.tenantId}`);
      });
    });

    test("a user enrolls on a page, is challenged in a popup and opens the settings", async () => {
      const userId = `user of ${name}`;
      await visit(async (page) => {
        const tracked = await server.backend.track({ userId, action: "signIn" });
        await page.goto(`${site}/`);
        const uri = await page.evaluate(
          async ({ tenantId, baseUrl, token }) => {
            const { Authsignal } = await import("/dist/index.js");
            globalThis.client = new Authsignal({ tenantId, baseUrl });
            globalThis.client.setToken(token);
            return (await globalThis.client.totp.enroll()).data.uri;
          },
          { tenantId: server.tenantId, baseUrl: server.baseUrl, token: tracked.token },
        );
        const phone = authenticatorApp(uri);
        const verified = await page.evaluate((code) => globalThis.client.totp.verify({ code }), phone.code());
        assert.equal((await server.backend.validateChallenge({ token: verified.data.token })).state, "CHALLENGE_SUCCEEDED");

        const { url } = await server.backend.track({ userId, action: "pay" });
        assert.ok(url.startsWith(`${site}/mfa/?token=`), url);
        await page.evaluate((url) => void globalThis.client.launch(url, { mode: "popup" }).then((end) => (globalThis.ended = end)), url);
        const frame = await (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
        await enter(frame, "challenge", phone.code());
        const { token } = await (await page.waitForFunction(() => globalThis.ended)).jsonValue();
        assert.equal((await server.backend.validateChallenge({ token })).state, "CHALLENGE_SUCCEEDED");

        // Enrolled by the pre-built UI, a second user opens the settings with the code that follows.
        const second = await server.backend.track({ userId: `second ${userId}`, action: "signIn" });
        await page.goto(second.url);
        const other = await scan(page);
        await enter(page, "enroll", other.code());
        await decline(page);
        await arrive(page, "done");
        const settings = await server.backend.track({ userId: `second ${userId}`, action: "settings", attributes: { redirectToSettings: true } });
        await page.goto(settings.url);
        await enter(page, "challenge", other.code());
        await arrive(page, "settings");
        await page.waitForSelector("#list li .remove", { visible: true });
      });
    });

    test("ids arrive as they were sent, with slashes and spaces", async () => {
      const headers = { authorization: `Basic ${btoa(`${server.apiSecretKey}:`)}`, "content-type": "application/json" };
      for (const userId of ["a/b c", "a%2Fb", "ä+b?c#d", "a//b", "a;b"]) {
        const at = `users/${encodeURIComponent(userId)}`;
        const body = JSON.stringify({ email: `${name}@example.com` });
        assert.equal((await fetch(`${server.baseUrl}/${at}/actions/signIn`, { method: "POST", headers, body })).status, 200);
        for (const base of [server.baseUrl, "http://127.0.0.1:4000/v1"]) {
          const user = await (await fetch(`${base}/${at}`, { headers })).json();
          assert.deepEqual([user.userId, user.email], [userId, `${name}@example.com`]);
        }
      }
    });

    test("the portal is closed to other networks, by every way to write its path", async () => {
      const marks = /Sign in to the portal|portal\/static/;
      assert.match(await (await fetch(`${site}/mfa/portal/sign-in`)).text(), marks);
      for (const at of [
        "/mfa/portal/sign-in",
        "/mfa/portal",
        "/mfa//portal/sign-in",
        "/mfa/./portal/sign-in",
        "/mfa/x/../portal/sign-in",
        "/mfa/%70ortal/sign-in",
        "/mfa/portal%2Fsign-in",
        "/mfa/%2e/portal/sign-in",
        "/mfa/x/%2e%2e/portal/sign-in",
        "/mfa/x%2F..%2Fportal/sign-in",
        "/x/../mfa/portal/sign-in",
        "/mfa/mfa/portal/sign-in",
        "/mfa/portal/sign-in?x",
        "/mfa;x/portal/sign-in",
      ]) {
        assert.doesNotMatch(await asAnother("--location", "--header", "X-Forwarded-For: 127.0.0.1", site + at), marks, at);
      }
      assert.match(await asAnother("--write-out", "%{http_code}", `${site}/mfa/portal/sign-in`), /403$/);
      assert.match(await asAnother(`${site}/mfa/healthz`), /"success":true/);
      assert.match(await asAnother("--location", "http://www.example.com/"), /the application/);
    });

    test("the limit of requests counts clients, not the proxy", async () => {
      const statuses = (await asAnother("--output", "/dev/null", "--write-out", "%{http_code} ", "--request", "POST", `${site}/mfa/v1/client/init?[1-260]`)).trim().split(" ");
      assert.ok(statuses.includes("401") && statuses.at(-1) === "429", statuses.join());
      assert.equal((await fetch(`${site}/mfa/v1/client/init`, { method: "POST" })).status, 401);
    });

    test("no log of the proxy has a token", async () => {
      const log = started.output() + (await run("sh", ["-c", "cat /var/log/nginx/* /var/log/caddy/* 2>/dev/null || true"])).stdout;
      assert.doesNotMatch(log, /token=/);
    });
  });
}
