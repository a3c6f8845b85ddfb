// The parts that the package tests share: the real API server, Chromium, a small
// static server, and a record of a page's problems. Nothing here skips: a missing
// program is a failure.

import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import puppeteer from "puppeteer-core";
import { findProgram } from "./browsers.mjs";

/** The folder of go.mod. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));
/** The built package, as a URL that ends in a slash. */
export const dist = new URL("../../dist/", import.meta.url);

/** A folder of the test file's own, which is removed after it. */
export const temporary = await mkdtemp(path.join(tmpdir(), "authsignal-test-"));
process.on("exit", () => rmSync(temporary, { recursive: true, force: true }));

const built = new Map();

/** Builds a Go program, once a test file; returns its path. */
export function goBuild(pkg, env = {}) {
  const key = pkg + JSON.stringify(env);
  if (!built.has(key)) {
    const out = path.join(temporary, `${path.basename(pkg)}-${built.size}`);
    const run = promisify(execFile)("go", ["build", "-o", out, pkg], { cwd: root, env: { ...process.env, ...env } });
    built.set(
      key,
      run.then(() => out),
    );
  }
  return built.get(key);
}

/**
 * Builds a program of this repository that tests talk to. The Makefile gives
 * the flags of the Go tests: it then runs under the race detector, and its packages
 * are compiled already.
 */
export const programBuild = (pkg) => goBuild(pkg, { GOFLAGS: process.env.AUTHSIGNAL_TEST_GOFLAGS ?? process.env.GOFLAGS ?? "" });

/** What js/dist was built with: its record (authsignal.wasm.json). */
export const record = JSON.parse(await readFile(new URL("authsignal.wasm.json", dist), "utf8"));

/** Builds the stand-in for the browser module; see testdata/standin. Returns its file URL. */
export async function standin() {
  const file = path.join(temporary, "standin.wasm");
  await promisify(execFile)("go", ["run", "./cmd/buildsdk", "-standin", "./js/test/testdata/standin", "-o", file], { cwd: root });
  return pathToFileURL(file);
}

/** The store to test with: PostgreSQL where AUTHSIGNAL_TEST_POSTGRES has the URL of one, as for the Go tests. */
export const store = process.env.AUTHSIGNAL_TEST_POSTGRES ? "PostgreSQL" : "SQLite";

/** Makes a new PostgreSQL database; returns its URL and a function that removes it. */
async function postgres() {
  const admin = process.env.AUTHSIGNAL_TEST_POSTGRES;
  const name = `test_${randomBytes(8).toString("hex")}`;
  const sql = (statement) => promisify(execFile)("psql", [admin, "-qc", statement]);
  await sql(`CREATE DATABASE ${name}`);
  // Not a URL to JavaScript: it may have a user and no host.
  const url = admin.replace(/^(postgres(?:ql)?:\/\/[^/]*)\/[^?]*/, `$1/${name}`);
  return { url, drop: () => sql(`DROP DATABASE ${name} WITH (FORCE)`) };
}

/**
 * Starts the real API server on a free port with an empty database, and waits
 * until it is ready. `store` is SQLite or PostgreSQL; `dev` reports whether it is started
 * with -dev; `env` and `args` are added to the server's own.
 */
export async function startServer({ store = "SQLite", dev = true, env = {}, args = [] } = {}) {
  const program = await programBuild("./cmd/authsignal-server");
  const dir = await mkdtemp(path.join(temporary, "db-"));
  const tenantId = "tenant-1";
  const apiSecretKey = "test-secret-key-of-32-characters-1";
  const database = store === "PostgreSQL" ? await postgres() : { url: path.join(dir, "authsignal.db"), drop: async () => {} };
  const child = spawn(program, ["-addr", "127.0.0.1:0", ...(dev ? ["-dev"] : []), "-db", database.url, ...args], {
    cwd: dir,
    env: {
      PATH: process.env.PATH,
      HOME: dir,
      AUTHSIGNAL_TENANT_ID: tenantId,
      AUTHSIGNAL_API_SECRET_KEY: apiSecretKey,
      AUTHSIGNAL_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (data) => (log += data));
  const ended = once(child, "exit");
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    child.emit("printed");
  });
  /** Waits for a line of the output with this prefix, and returns the rest of the line. */
  const printed = async (beginning) => {
    for (;;) {
      const line = lines.find((line) => line.startsWith(beginning));
      if (line) return line.slice(beginning.length);
      if (!(await Promise.race([once(child, "printed").then(() => true), ended.then(() => false)]))) throw new Error(`the server did not start:\n${log}`);
    }
  };
  const baseUrl = await printed("");
  return {
    baseUrl,
    tenantId,
    apiSecretKey,
    /** Where operators sign in, and their first password. */
    portal: async () => ({ url: await printed("portal: "), password: await printed("portal password, shown this once: ") }),
    /** The log so far. */
    log: () => log,
    async stop() {
      child.kill("SIGTERM");
      const [code] = await ended;
      await rm(dir, { recursive: true, force: true });
      await database.drop();
      if (code !== 0) throw new Error(`the server ended with ${code}:\n${log}`); // by a panic, or a race
    },
  };
}

/** Starts Chromium, for tests of Chromium alone; see browsers.mjs for all engines. `args` are added to its own. */
export function launchBrowser(...args) {
  return puppeteer.launch({
    executablePath: findProgram("Chromium"),
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", ...args],
  });
}

/**
 * Records the problems of a page: errors on the console, uncaught errors and
 * rejections, and requests to other hosts than those of `urls`. Call it before
 * the first navigation, and expect `problems` to be empty at the end.
 */
export function watch(page, ...urls) {
  const hosts = new Set(urls.map((url) => new URL(url).host));
  const problems = [];
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // Chromium reports the address of a missing file separately.
    const address = message.text().startsWith("Failed to load resource") ? ` (${message.location().url})` : "";
    problems.push(`console: ${message.text()}${address}`);
  });
  page.on("pageerror", (error) => problems.push(`uncaught: ${error}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (/^(http|ws)s?:$/.test(url.protocol) && !hosts.has(url.host)) problems.push(`request: ${url}`);
  });
  return problems;
}

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".map": "application/json",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/**
 * Serves `routes`, by path: a text, a file's URL, a folder's URL
 * (the path then ends in a slash), or a function of request and response.
 * All answers have `headers`. If it is not closed, the test does not end.
 */
export async function serve(routes, headers = {}) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    requests.push(pathname);
    const prefix = Object.keys(routes).find((p) => p === pathname || (p.endsWith("/") && p !== "/" && pathname.startsWith(p)));
    let route = routes[prefix];
    for (const name in headers) response.setHeader(name, headers[name]);
    if (typeof route === "function") return route(request, response);
    if (route instanceof URL && prefix.endsWith("/")) route = new URL(pathname.slice(prefix.length), route);
    let body;
    try {
      body = route instanceof URL ? await readFile(route) : route;
    } catch {
      // It is not there.
    }
    if (body === undefined) {
      response.writeHead(pathname === "/favicon.ico" ? 204 : 404).end();
      return;
    }
    const type = types[path.extname(pathname)] ?? types[".html"];
    response.writeHead(200, { "Content-Type": type }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** The requested paths, in order. */
    requests,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
