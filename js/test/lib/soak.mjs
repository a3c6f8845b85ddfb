// Enrolls and verifies with the package in Chromium, a fresh user each round,
// against the real server, and reports whether anything grew: the JavaScript values
// in the table of the module's loader, the module's memory, and the page's
// JavaScript heap; through the wrapper, and with the raw module. It prints a table, and
// exits with 1 if something grew.
//
//	[SOAK_ROUNDS=500] [SOAK_LEVELS=wrapper,raw] node js/test/lib/soak.mjs [dist ...]
//
// A dist is a folder with a built package, of either compiler: js/dist if none is
// named. The wrapper replaces an instance after a number of calls, which
// gives a sawtooth curve: a quarter of the rounds must contain at least one
// replacement.
//
// The wrapper keeps its instances to itself. They are seen where the loader of
// either compiler starts one: run() assigns `_values`, and a setter that all
// objects of the page inherit is called. It holds them weakly: only instances that
// something else keeps alive are counted.

import path from "node:path";
import { pathToFileURL } from "node:url";
import { Authsignal as Backend } from "@authsignal/node";
import { openBrowser } from "./browsers.mjs";
import { dist as built, serve, startServer } from "./harness.mjs";

const samples = 40; // ten a quarter

/**
 * The measures, each with its unit, the sample of a quarter that counts, and the
 * allowed growth from the second quarter of a run to the last (the first is
 * warm-up). Slots are the places for JavaScript's values in the loader's table,
 * used or free: the most that there were. Ids are those in use: the least that
 * there were, which is when the program's collector has run or an instance is new.
 * One that each round kept would be 250 after 500 rounds. Of the heap too the
 * least counts. The two memories have slack for uncollected garbage and for code
 * that the browser optimizes late.
 */
export const measures = [
  { name: "slots", unit: "", of: Math.max, bound: 50 },
  { name: "ids", unit: "", of: Math.min, bound: 100 },
  { name: "instances", unit: "", of: Math.max, bound: 0 },
  { name: "memory", unit: "B", of: Math.max, bound: 1 << 20 },
  { name: "heap", unit: "B", of: Math.min, bound: 256 << 10 },
];

/** Returns for each measure the samples that count by quarter, its growth, and whether that is too much. */
export function judge(series) {
  const quarter = series.length >> 2;
  return measures.map(({ name, unit, of, bound }) => {
    const quarters = [0, 1, 2, 3].map((q) => of(...series.slice(q * quarter, (q + 1) * quarter).map((sample) => sample[name])));
    const growth = quarters[3] - quarters[1];
    return { name, unit, quarters, growth, bound, grew: growth > bound };
  });
}

const levels = {
  wrapper: 'import { Authsignal } from "/dist/index.js"; globalThis.SDK = Authsignal;',
  raw: `
    import "/dist/wasm_exec.js";
    const go = new Go();
    const { instance } = await WebAssembly.instantiateStreaming(fetch("/dist/authsignal.wasm"), go.importObject);
    go.run(instance);
    globalThis.SDK = globalThis.authsignal.Authsignal;`,
};

/** Runs in the page: publishes the functions of the rounds and the samples. */
async function prepare(options) {
  let loaders = [];
  Object.defineProperty(Object.prototype, "_values", {
    configurable: true,
    set(values) {
      Object.defineProperty(this, "_values", { value: values, writable: true, enumerable: true, configurable: true });
      loaders.push(new WeakRef(this));
    },
  });
  await import("/level.js");
  const { URI } = await import("/otpauth.js");
  const sdk = new globalThis.SDK(options);
  const image = document.querySelector("img");
  const living = () => {
    loaders = loaders.filter((loader) => loader.deref());
    return loaders.map((loader) => loader.deref());
  };
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  /** Returns the most slots and the least ids that the newest instance had after a round. */
  globalThis.rounds = async (tokens) => {
    const held = { slots: 0, ids: Infinity };
    for (const token of tokens) {
      sdk.setToken(token);
      const { data, error } = await sdk.totp.enroll();
      if (error) throw new Error(`enroll: ${error}`);
      image.src = data.qrCode;
      await image.decode();
      const { data: verified } = await sdk.totp.verify({ code: URI.parse(data.uri).generate() });
      if (!verified?.isVerified) throw new Error("the code was not accepted");
      const newest = living().at(-1);
      held.slots = Math.max(held.slots, newest?._values.length ?? 0);
      held.ids = Math.min(held.ids, newest?._ids.size ?? 0);
    }
    return held;
  };
  globalThis.instances = () => {
    const memories = living().map(({ _inst }) => Object.values(_inst.exports).find((value) => value instanceof WebAssembly.Memory).buffer.byteLength);
    return { instances: memories.length, memory: sum(memories) };
  };
}

/** Runs rounds at a level with a built package; returns a sample of the measures after each of `samples` parts. */
export async function soak(level, rounds, dist = built) {
  const [api, browser, site] = await Promise.all([
    startServer({ args: ["-rate-limit", "0"] }), // all rounds come from one address
    openBrowser("Chromium"),
    serve({
      "/": '<!doctype html><html lang="en"><title>A soak</title><img alt="QR code"></html>',
      "/level.js": levels[level],
      "/otpauth.js": new URL("../../node_modules/otpauth/dist/otpauth.esm.min.js", import.meta.url),
      "/dist/": dist,
    }),
  ]);
  try {
    const backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
    const page = await browser.newPage();
    const cdp = await page.native.createCDPSession();
    await page.goto(site.url);
    await page.evaluate(prepare, { tenantId: api.tenantId, baseUrl: api.baseUrl });
    const series = [];
    for (let done = 0; series.length < samples; ) {
      const until = Math.round((rounds * (series.length + 1)) / samples);
      const tokens = [];
      for (; done < until; done++) tokens.push((await backend.track({ userId: `user-${done}`, action: "enroll" })).token);
      const held = await page.evaluate((tokens) => globalThis.rounds(tokens), tokens);
      await cdp.send("HeapProfiler.collectGarbage");
      const { usedSize } = await cdp.send("Runtime.getHeapUsage");
      series.push({ ...held, ...(await page.evaluate(() => globalThis.instances())), heap: usedSize });
    }
    const problems = await page.problems(site.url, api.baseUrl);
    if (problems.length) throw new Error(`the page's problems: ${problems.join("\n")}`);
    return series;
  } finally {
    await browser.close();
    await site.close();
    await api.stop();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const rounds = Number(process.env.SOAK_ROUNDS ?? 500);
  if (!Number.isInteger(rounds) || rounds < samples) throw new RangeError(`SOAK_ROUNDS must be a whole number from ${samples}`);
  const chosen = process.env.SOAK_LEVELS?.split(",") ?? Object.keys(levels);
  for (const level of chosen) if (!Object.hasOwn(levels, level)) throw new RangeError(`SOAK_LEVELS: ${level} is none of ${Object.keys(levels)}`);
  const dists = process.argv.length > 2 ? process.argv.slice(2).map((dir) => pathToFileURL(path.resolve(dir) + path.sep)) : [built];
  for (const dist of dists) {
    for (const level of chosen) {
      const start = performance.now();
      const result = judge(await soak(level, rounds, dist));
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.log(`${path.relative(process.cwd(), dist.pathname)}, ${level}: ${rounds} rounds in ${seconds} s, by quarter`);
      const row = (...cells) => console.log("  " + cells.map((cell, i) => (i ? String(cell).padStart(12) : cell.padEnd(10))).join(""));
      row("", "1st", "2nd", "3rd", "4th", "growth", "allowed", "");
      for (const { name, unit, quarters, growth, bound, grew } of result) {
        row(name, ...quarters, growth, `${bound} ${unit}`, grew ? "TOO MUCH" : "");
      }
      if (result.some(({ grew }) => grew)) process.exitCode = 1;
    }
  }
}
