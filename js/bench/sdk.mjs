// Measures the browser SDK, as both compilers build it, beside @authsignal/browser
// with npm qrcode in one run: the same page, bundled in the same way, against
// the real server, in Chromium. In each run they take turns in random order, so
// that other load on the machine affects all of them. Prints a table of
// medians with their spread, and draws it.
//
//	node js/bench/sdk.mjs [--runs N] [--out chart.svg] [--other DIR]
//
// js/dist is the shipped build, TinyGo's. Go's is built now, or taken from
// the folder that --other names.

import { execFile } from "node:child_process";
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
import { dist, launchBrowser, root, startServer } from "../test/lib/harness.mjs";
import { draw } from "./chart.mjs";

const { values: flags } = parseArgs({
  options: {
    runs: { type: "string", default: "20" },
    out: { type: "string", default: path.join(root, "bench-sdk.svg") },
    other: { type: "string" },
  },
});
const runs = Number(flags.runs);
if (!(Number.isInteger(runs) && runs > 0)) throw new Error(`--runs ${flags.runs}: not a number of runs`);

const sides = ["tinygo", "go", "official"];

/**
 * Under what it is measured. The slow network is 10 Mbit/s and 40 ms, as
 * Chromium's DevTools emulate them (bytes a second and milliseconds). The
 * imitated phone's page has a quarter of the processor; the threads that compile
 * WebAssembly while it is loaded are not slowed.
 */
const conditions = {
  "": {},
  "slow network: ": { network: { download: 10e6 / 8, upload: 10e6 / 8, latency: 40 } },
  "phone: ": { slowdown: 4 },
};

/** What is measured under each condition, in milliseconds. */
const times = [
  "enroll to QR, cold, not preloaded",
  "enroll to QR, cold, preloaded",
  "enroll to QR, warm",
  "  of it until the answer",
  "  of it until the image's URL",
  "enroll to QR, later",
  "verify, first",
  "verify, later",
  "ready, cold",
  "ready, warm",
];

/** How many times the official package's figure that of the shipped build may be. */
const aims = {
  bytes: "<= 5",
  memory: "<= 1.05",
  "enroll to QR, cold, not preloaded": "<= 1.4",
  "slow network: enroll to QR, cold, not preloaded": "<= 1.7",
  "enroll to QR, cold, preloaded": "< 0.9",
  "enroll to QR, warm": "< 0.9",
  "verify, first": "< 1",
  "verify, later": "< 1",
};
const meets = (ratio, aim) => (aim.startsWith("<=") ? ratio <= Number(aim.slice(2)) : ratio < Number(aim.slice(1)));

/** The rows of the table, in its order: what, and its unit. */
const rows = [["bytes", "kB"], ["memory", "MB"], ...Object.keys(conditions).flatMap((under) => times.map((name) => [under + name, "ms"]))];

/** What was measured, by row and side: a list of numbers. */
const samples = Object.fromEntries(rows.map(([name]) => [name, Object.fromEntries(sides.map((side) => [side, []]))]));

/** The value below which a share of the list lies, between its neighbours where it is none of them. */
function quantile(list, share) {
  const sorted = list.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at % 1);
}

const shuffled = (list) =>
  list
    .map((value) => [Math.random(), value])
    .sort(([a], [b]) => a - b)
    .map(([, value]) => value);

/** Builds the pages of all sides, each a folder in dir with a bundle and what that loads. */
async function buildPages(dir, api) {
  const other = flags.other ?? path.join(dir, "dist");
  if (!flags.other) await promisify(execFile)("go", ["run", "./cmd/buildsdk", "-compiler", "go", "-o", other], { cwd: root });
  const packages = { tinygo: fileURLToPath(dist), go: path.resolve(other) };
  for (const side of sides) {
    await build({
      entryPoints: { page: fileURLToPath(new URL(packages[side] ? "ours.js" : `${side}.js`, import.meta.url)) },
      outdir: path.join(dir, "pages", side),
      alias: packages[side] && { "authsignal-wasm": path.join(packages[side], "index.js") },
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      legalComments: "none",
      define: { BASE_URL: JSON.stringify(api.baseUrl), TENANT_ID: JSON.stringify(api.tenantId) },
    });
    if (packages[side]) await copyFile(path.join(packages[side], "authsignal.wasm"), path.join(dir, "pages", side, "authsignal.wasm"));
  }
}

/**
 * Serves the pages as docs/browser-sdk.md advises: brotli at its best, the right types, a
 * long life in the cache. Each side is a site by itself, http://<side>.localhost,
 * so that sides share neither a renderer process nor a cache. The pages are
 * isolated, which makes their clocks finer.
 */
async function serve(dir) {
  const types = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const files = {};
  for (const name of await readdir(dir, { recursive: true })) {
    const type = types[path.extname(name)];
    if (!type) continue;
    const data = await readFile(path.join(dir, name));
    const params = { [zlib.constants.BROTLI_PARAM_LGWIN]: 24, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: data.length };
    files[name] = { type, body: zlib.brotliCompressSync(data, { params }) };
  }
  const server = http.createServer((request, response) => {
    const { hostname, pathname } = new URL(request.url, `http://${request.headers.host}`);
    const file = files[hostname.replace(".localhost", pathname)];
    if (file) {
      response.writeHead(200, { "Content-Type": file.type, "Content-Encoding": "br", "Cache-Control": "public, max-age=31536000, immutable" });
      response.end(file.body);
      return;
    }
    if (pathname !== "/") return response.writeHead(404).end();
    response.writeHead(200, {
      "Content-Type": "text/html",
      "Cache-Control": "no-store",
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    });
    response.end(`<!doctype html><html lang="en"><title>Benchmark</title><link rel="icon" href="data:,">
<img alt="QR code" width="240" height="240"><script type="module" src="/page.js"></script></html>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: (side) => `http://${side}.localhost:${server.address().port}/`, close: () => (server.close(), server.closeAllConnections()) };
}

let users = 0;
/** Tracks an action of a new user; returns the token. */
async function track(api) {
  const response = await fetch(`${api.baseUrl}/users/user-${users++}/actions/signIn`, {
    method: "POST",
    headers: { Authorization: `Basic ${btoa(api.apiSecretKey + ":")}` },
  });
  if (!response.ok) throw new Error(`track: ${response.status}`);
  return (await response.json()).token;
}

const code = (secret) => new TOTP({ secret: Secret.fromBase32(secret) }).generate();

/** Opens a page in a new tab, runs f with it, and closes it. */
async function visit(context, url, { network, slowdown }, f) {
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
    if (network) await page.emulateNetworkConditions(network);
    if (slowdown) await client.send("Emulation.setCPUThrottlingRate", { rate: slowdown });
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

/** Anonymous resident memory in bytes of each renderer process, by its id. */
async function renderers(browser) {
  const client = await browser.target().createCDPSession();
  const { processInfo } = await client.send("SystemInfo.getProcessInfo");
  await client.detach();
  const ids = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  const statuses = await Promise.all(ids.map((id) => readFile(`/proc/${id}/status`, "utf8").catch(() => "")));
  return new Map(ids.map((id, i) => [id, 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(statuses[i])?.[1])]));
}

/**
 * Anonymous resident memory of a page's process in bytes, after a collection:
 * JavaScript's heap, the module's memory, and compiled code. Chromium does not
 * tell which renderer a page is in, and has larger ones for its own windows: it
 * is the one that grows when the page does.
 */
async function memory(browser, page) {
  const client = await page.createCDPSession();
  await client.send("HeapProfiler.collectGarbage");
  const before = await renderers(browser);
  await page.evaluate(() => void (globalThis.ballast = new Uint8Array(64 << 20).fill(1)));
  const after = await renderers(browser);
  const [size, ...others] = [...before].filter(([id, size]) => after.get(id) - size > 48 << 20).map(([, size]) => size);
  if (!size || others.length > 0) throw new Error("cannot tell which process is the page's");
  return size;
}

/** One turn of a side; put takes what was measured. */
async function turn(browser, site, api, side, put) {
  const url = site.url(side);
  const fresh = async (url, condition, f) => {
    const context = await browser.createBrowserContext();
    try {
      await visit(context, url, condition, f);
    } finally {
      await context.close();
    }
  };
  for (const [under, condition] of Object.entries(conditions)) {
    await fresh(url, condition, async (page, bytes) => {
      put(under + "ready, cold", await ready(page));
      const { ms, secret } = await enroll(page, api);
      put(under + "enroll to QR, cold, preloaded", ms);
      if (under) return;
      await verify(page, secret);
      put("bytes", bytes());
      put("memory", await memory(browser, page));
    });
    await fresh(`${url}?lazy`, condition, async (page) => put(under + "enroll to QR, cold, not preloaded", (await enroll(page, api)).ms));

    // In the browser's own profile, where the HTTP cache has the files by now.
    await visit(browser.defaultBrowserContext(), url, condition, async (page) => {
      put(under + "ready, warm", await ready(page));
      const { ms, drawn, answered, secret } = await enroll(page, api);
      put(under + "enroll to QR, warm", ms);
      put(under + "  of it until the answer", answered);
      put(under + "  of it until the image's URL", drawn);
      put(under + "verify, first", await verify(page, secret));
      for (let i = 0; i < 5; i++) {
        const again = await enroll(page, api);
        put(under + "enroll to QR, later", again.ms);
        put(under + "verify, later", await verify(page, again.secret));
      }
    });
  }
}

/** A row of the table a row: its sides' medians, half the distance between their quartiles, and our ratios to official. */
function summarise() {
  return rows.map(([name, unit]) => {
    const scale = { kB: 1e3, MB: 1e6, ms: 1 }[unit];
    const of = (f) => Object.fromEntries(sides.map((side) => [side, f(samples[name][side]) / scale]));
    const medians = of((list) => quantile(list, 0.5));
    const spreads = of((list) => (quantile(list, 0.75) - quantile(list, 0.25)) / 2);
    const ratios = { tinygo: medians.tinygo / medians.official, go: medians.go / medians.official };
    return { name, unit, medians, spreads, ratios, aim: aims[name], met: aims[name] && meets(ratios.tinygo, aims[name]) };
  });
}

function print(table) {
  const wide = (cells, width) => cells.map((cell) => cell.padStart(width)).join("");
  const line = (name, cells, ratios, aim) => console.log(name.padEnd(52) + wide(cells, 16) + wide(ratios, 8) + aim);
  console.log(`\nMedians of ${runs} runs, ± half the distance between the quartiles; and times official\n`);
  line("", sides, ["tinygo", "go"], "   aim of tinygo");
  for (const { name, unit, medians, spreads, ratios, aim, met } of table) {
    const cells = sides.map((side) => `${medians[side].toFixed(1)} ± ${spreads[side].toFixed(1).padStart(4)}`);
    line(`${name}, ${unit}`, cells, [ratios.tinygo.toFixed(2), ratios.go.toFixed(2)], aim ? `   ${aim}: ${met ? "met" : "missed"}` : "");
  }
}

const dir = await mkdtemp(path.join(tmpdir(), "authsignal-bench-"));
let api;
let browser;
let site;
try {
  api = await startServer({ args: ["-rate-limit", "0"] });
  await buildPages(dir, api);
  site = await serve(path.join(dir, "pages"));
  browser = await launchBrowser("--host-resolver-rules=MAP *.localhost 127.0.0.1");
  // The first turns fill the cache, and are not counted.
  for (let run = 0; run <= runs; run++) {
    for (const side of shuffled(sides)) await turn(browser, site, api, side, (name, value) => run && samples[name][side].push(value));
    if (process.stderr.isTTY) process.stderr.write(`\rrun ${run} of ${runs} `);
  }
  const table = summarise();
  print(table);
  await writeFile(flags.out, draw(table, `${await browser.version()}, medians of ${runs} runs`));
  console.log(`\nchart: ${path.relative(process.cwd(), flags.out)}`);
} finally {
  await browser?.close();
  site?.close();
  await api?.stop();
  await rm(dir, { recursive: true, force: true });
}
