// Measures the browser SDK beside @authsignal/browser with npm qrcode, and
// beside an empty Go program, in one run: on the same page, bundled in the
// same way, against the real server, in Chromium. They take turns, so that a
// machine that grows slower does so for all. Prints a table of medians, and
// draws them.
//
//	node js/bench/sdk.mjs [--runs N] [--out chart.svg]

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import zlib from "node:zlib";
import { build } from "esbuild";
import { Secret, TOTP } from "otpauth";
import { dist, launchBrowser, root, startServer } from "../test/harness.mjs";
import { draw } from "./chart.mjs";

const { values: flags } = parseArgs({
  options: { runs: { type: "string", default: "20" }, out: { type: "string", default: path.join(root, "bench-sdk.svg") } },
});
const runs = Number(flags.runs);
if (!(Number.isInteger(runs) && runs > 0)) throw new Error(`--runs ${flags.runs}: not a number of runs`);

/** 10 Mbit/s and 40 ms, as Chromium's DevTools emulate them; bytes a second and milliseconds. */
const slow = { download: 10e6 / 8, upload: 10e6 / 8, latency: 40 };
const sides = ["ours", "official", "empty"];

/** What was measured, by name and side: a list of numbers. */
const samples = new Map();
function note(name, side, value) {
  if (!samples.has(name)) samples.set(name, {});
  (samples.get(name)[side] ??= []).push(value);
}
const median = (list) => {
  if (!list) return undefined;
  const sorted = list.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

/** Builds the pages of all sides into dir, each a bundle and what it loads. */
async function buildPages(dir, api) {
  const source = path.join(dir, "empty.go");
  await writeFile(source, "package main\n\nfunc main() {}\n");
  await promisify(execFile)("go", ["build", "-trimpath", "-ldflags=-s -w", "-o", path.join(dir, "empty.wasm"), source], {
    cwd: root,
    env: { ...process.env, GOOS: "js", GOARCH: "wasm", GOFLAGS: "" },
  });
  await copyFile(new URL("authsignal.wasm", dist), path.join(dir, "authsignal.wasm"));
  await build({
    entryPoints: sides.map((side) => fileURLToPath(new URL(`${side}.js`, import.meta.url))),
    outdir: dir,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    define: { BASE_URL: JSON.stringify(api.baseUrl), TENANT_ID: JSON.stringify(api.tenantId) },
  });
}

/**
 * Serves a folder as the README advises: brotli at its best, the right types,
 * a long life in the cache. A path without an extension is the page of the
 * side with that name. The pages are isolated, which makes their clocks finer.
 */
async function serve(dir) {
  const types = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const files = {};
  for (const name of await readdir(dir)) {
    const type = types[path.extname(name)];
    if (!type) continue;
    const data = await readFile(path.join(dir, name));
    const params = { [zlib.constants.BROTLI_PARAM_LGWIN]: 24, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: data.length };
    files[`/${name}`] = { type, body: zlib.brotliCompressSync(data, { params }) };
  }
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const file = files[pathname];
    if (file) {
      response.writeHead(200, { "Content-Type": file.type, "Content-Encoding": "br", "Cache-Control": "public, max-age=31536000, immutable" });
      response.end(file.body);
      return;
    }
    if (!sides.includes(pathname.slice(1))) return response.writeHead(pathname === "/favicon.ico" ? 204 : 404).end();
    response.writeHead(200, {
      "Content-Type": "text/html",
      "Cache-Control": "no-store",
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    });
    response.end(`<!doctype html><html lang="en"><title>Benchmark</title><link rel="icon" href="data:,">
<img alt="QR code" width="240" height="240"><script type="module" src="/${pathname.slice(1)}.js"></script></html>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => (server.close(), server.closeAllConnections()) };
}

let users = 0;
/** Tracks an action of a new user; gives the token. */
async function track(api) {
  const response = await fetch(`${api.baseUrl}/users/user-${users++}/actions/signIn`, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(api.apiSecretKey + ":")}` },
  });
  if (!response.ok) throw new Error(`track: ${response.status}`);
  return (await response.json()).token;
}

const code = (secret) => new TOTP({ secret: Secret.fromBase32(secret) }).generate();

/** Opens the page of a side in a new tab, runs f with it, and closes it. */
async function visit(context, url, conditions, f) {
  const page = await context.newPage();
  try {
    page.setDefaultTimeout(60_000);
    const problems = [];
    page.on("pageerror", (error) => problems.push(error));
    const client = await page.createCDPSession();
    await client.send("Network.enable");
    let bytes = 0;
    const own = new Set();
    client.on("Network.requestWillBeSent", ({ requestId, request }) => request.url.startsWith(new URL(url).origin) && own.add(requestId));
    client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => own.has(requestId) && (bytes += encodedDataLength));
    if (conditions) await page.emulateNetworkConditions(conditions);
    await page.goto(url);
    await page.waitForFunction(() => globalThis.bench);
    await f(page, () => bytes);
    if (problems.length > 0) throw problems[0];
  } finally {
    await page.close();
  }
}

const ready = (page) => page.evaluate(() => bench.ready);
const enroll = async (page, api) => page.evaluate((token) => bench.enroll(token), await track(api));
async function verify(page, secret) {
  const { ms, verified } = await page.evaluate((code) => bench.verify(code), code(secret));
  if (!verified) throw new Error("a right code was refused");
  return ms;
}

/**
 * Anonymous resident memory of a page's process in bytes, after a collection:
 * JavaScript's heap, Go's, and compiled code. Of all renderers, the one that
 * has a page open is the largest.
 */
async function memory(browser, page) {
  const client = await page.createCDPSession();
  await client.send("HeapProfiler.collectGarbage");
  const whole = await browser.target().createCDPSession();
  const { processInfo } = await whole.send("SystemInfo.getProcessInfo");
  await whole.detach();
  const sizes = processInfo
    .filter(({ type }) => type === "renderer")
    .map(async ({ id }) => /^RssAnon:\s+(\d+) kB$/m.exec(await readFile(`/proc/${id}/status`, "utf8").catch(() => ""))?.[1]);
  return 1024 * Math.max(...(await Promise.all(sizes)).map((size) => Number(size ?? 0)));
}

/** One turn of a side. */
async function turn(browser, site, api, side, counts) {
  const put = (name, value) => counts && note(name, side, value);
  const page = `${site.url}/${side}`;
  const fresh = async (query, conditions, f) => {
    const context = await browser.createBrowserContext();
    try {
      await visit(context, page + query, conditions, f);
    } finally {
      await context.close();
    }
  };

  await fresh("", undefined, async (page, bytes) => {
    put("ready, cold", await ready(page));
    if (side !== "empty") {
      const { ms, secret } = await enroll(page, api);
      put("enroll to QR, cold, preloaded", ms);
      await verify(page, secret);
    }
    put("bytes", bytes());
    put("memory", await memory(browser, page));
  });

  // In the browser's own profile, where the HTTP cache has the files by now.
  // Compiled code is not cached: Chromium does that for modules of which it
  // has optimised much more than a short visit makes it optimise.
  await visit(browser.defaultBrowserContext(), page, undefined, async (page) => {
    put("ready, warm", await ready(page));
    if (side === "empty") return;
    const { ms, drawn, answered, secret } = await enroll(page, api);
    put("enroll to QR, warm", ms);
    put("  of it until the answer", answered);
    put("  of it until the image's URL", drawn);
    put("verify, warm", await verify(page, secret));
    for (let i = 0; i < 3; i++) {
      const again = await enroll(page, api);
      put("enroll to QR, again", again.ms);
      put("verify, again", await verify(page, again.secret));
    }
  });

  await fresh("", slow, async (page) => {
    put("slow: ready, cold", await ready(page));
    if (side === "empty") return;
    const { ms, secret } = await enroll(page, api);
    put("slow: enroll to QR, preloaded", ms);
    put("slow: verify", await verify(page, secret));
  });
  if (side !== "empty") {
    await fresh("?lazy", undefined, async (page) => put("enroll to QR, cold, not preloaded", (await enroll(page, api)).ms));
    await fresh("?lazy", slow, async (page) => put("slow: enroll to QR, not preloaded", (await enroll(page, api)).ms));
  }
}

/** The rows of the table, in its order: what, unit, compared with, aim. */
const rows = [
  ["bytes", "kB", "official"],
  ["memory", "MB", "official"],
  ["ready, cold", "ms", "empty"],
  ["ready, warm", "ms", "empty", 1.5],
  ["enroll to QR, cold, not preloaded", "ms", "official"],
  ["enroll to QR, cold, preloaded", "ms", "official"],
  ["enroll to QR, warm", "ms", "official", 1.2],
  ["  of it until the answer", "ms", "official"],
  ["  of it until the image's URL", "ms", "official"],
  ["enroll to QR, again", "ms", "official"],
  ["verify, warm", "ms", "official", 1.1],
  ["verify, again", "ms", "official"],
  ["slow: ready, cold", "ms", "empty"],
  ["slow: enroll to QR, not preloaded", "ms", "official"],
  ["slow: enroll to QR, preloaded", "ms", "official"],
  ["slow: verify", "ms", "official"],
];

function summarise() {
  return rows.map(([name, unit, against, aim]) => {
    const scale = { kB: 1e3, MB: 1e6, ms: 1 }[unit];
    const row = { name, unit, against, aim };
    for (const side of sides) {
      const value = median(samples.get(name)[side]);
      if (value !== undefined) row[side] = value / scale;
    }
    row.ratio = row.ours / row[against];
    return row;
  });
}

function print(table) {
  const cell = (value, digits) => (value === undefined ? "" : value.toFixed(digits)).padStart(10);
  console.log(`\n${"median of " + runs + " runs".padEnd(22)}${"ours".padStart(14)}${"official".padStart(10)}${"empty Go".padStart(10)}   ratio`);
  for (const { name, unit, aim, against, ratio, ...row } of table) {
    const verdict = aim === undefined ? "" : `, aim ${aim}: ${ratio <= aim ? "met" : "missed"}`;
    console.log(
      `${`${name}, ${unit}`.padEnd(40)}${cell(row.ours, 1)}${cell(row.official, 1)}${cell(row.empty, 1)}   ${ratio.toFixed(2)} to ${against}${verdict}`,
    );
  }
}

const dir = await mkdtemp(path.join(tmpdir(), "authsignal-bench-"));
const api = await startServer({ args: ["-rate-limit", "0"] });
let browser;
let site;
try {
  await buildPages(dir, api);
  site = await serve(dir);
  browser = await launchBrowser();
  // The first turns fill the cache, and are not counted.
  for (let run = -1; run < runs; run++) {
    for (let i = 0; i < sides.length; i++) {
      const side = sides[(i + run + sides.length * 3) % sides.length];
      await turn(browser, site, api, side, run >= 0);
    }
    if (process.stderr.isTTY) process.stderr.write(`\rrun ${Math.max(run + 1, 0)} of ${runs} `);
  }
  const table = summarise();
  print(table);
  await writeFile(flags.out, draw(table, `${await browser.version()}, medians of ${runs} runs`));
  console.log(`\nchart: ${path.relative(process.cwd(), flags.out)}`);
} finally {
  await browser?.close();
  site?.close();
  await api.stop();
  await rm(dir, { recursive: true, force: true });
}
