// Enrolls and verifies with the package in Chromium, a fresh user each round,
// against the real server, and says whether anything grew: the values that the
// Go program holds of JavaScript's (`_values` of wasm_exec.js's Go), the
// module's memory, and the page's JavaScript heap; through the wrapper, and
// with the raw module. SOAK_ROUNDS says how many rounds (500). It prints a
// table, and exits with 1 if something grew.
//
// The wrapper keeps its Go instance to itself. It is seen where Go makes it:
// run() of wasm_exec.js assigns `_values`, and a setter that all objects of the
// page inherit hears of it.

import { pathToFileURL } from "node:url";
import { Authsignal as Backend } from "@authsignal/node";
import { openBrowser } from "./browsers.mjs";
import { dist, serve, startServer } from "./harness.mjs";

const samples = 40; // ten a quarter

/**
 * What is measured, its unit, and by how much it may be more in the last
 * quarter of a run than in the second (medians; the first is warm-up). A value
 * kept by every round would be 250 values after 500 rounds. The two memories
 * have slack for what their collectors leave lying and for code that the
 * browser optimizes late.
 */
export const measures = [
  { name: "values", unit: "", bound: 4 },
  { name: "memory", unit: "B", bound: 1 << 20 },
  { name: "heap", unit: "B", bound: 256 << 10 },
];

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** Gives for each measure its medians by quarter, its growth, and whether that is too much. */
export function judge(series) {
  const quarter = series.length >> 2;
  return measures.map(({ name, unit, bound }) => {
    const quarters = [0, 1, 2, 3].map((q) => median(series.slice(q * quarter, (q + 1) * quarter).map((sample) => sample[name])));
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

/** Runs rounds at a level; gives a sample of the measures after each of `samples` parts. */
export async function soak(level, rounds) {
  const [api, browser, site] = await Promise.all([
    startServer({ args: ["-rate-limit", "0"] }), // all rounds come from one address
    openBrowser("Chromium"),
    serve({
      "/": '<!doctype html><html lang="en"><title>A soak</title><img alt="QR code"></html>',
      "/level.js": levels[level],
      "/otpauth.js": new URL("../node_modules/otpauth/dist/otpauth.esm.min.js", import.meta.url),
      "/dist/": dist,
    }),
  ]);
  try {
    const backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
    const page = await browser.newPage();
    const cdp = await page.native.createCDPSession();
    await page.goto(site.url);
    await page.evaluate(
      async (options) => {
        Object.defineProperty(Object.prototype, "_values", {
          configurable: true,
          set(values) {
            Object.defineProperty(this, "_values", { value: values, writable: true, enumerable: true, configurable: true });
            globalThis.go = this;
          },
        });
        await import("/level.js");
        const { URI } = await import("/otpauth.js");
        const sdk = new globalThis.SDK(options);
        const image = document.querySelector("img");
        globalThis.rounds = async (tokens) => {
          for (const token of tokens) {
            sdk.setToken(token);
            const { data, error } = await sdk.totp.enroll();
            if (error) throw new Error(`enroll: ${error}`);
            image.src = data.qrCode;
            await image.decode();
            const { data: verified } = await sdk.totp.verify({ code: URI.parse(data.uri).generate() });
            if (!verified?.isVerified) throw new Error("the code was not accepted");
          }
          return { values: globalThis.go._values.length, memory: globalThis.go._inst.exports.mem.buffer.byteLength };
        };
      },
      { tenantId: api.tenantId, baseUrl: api.baseUrl },
    );
    const series = [];
    for (let done = 0; series.length < samples; ) {
      const until = Math.round((rounds * (series.length + 1)) / samples);
      const tokens = [];
      for (; done < until; done++) tokens.push((await backend.track({ userId: `user-${done}`, action: "enroll" })).token);
      const sample = await page.evaluate((tokens) => globalThis.rounds(tokens), tokens);
      await cdp.send("HeapProfiler.collectGarbage");
      series.push({ ...sample, heap: (await cdp.send("Runtime.getHeapUsage")).usedSize });
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
  for (const level of Object.keys(levels)) {
    const start = performance.now();
    const result = judge(await soak(level, rounds));
    console.log(`${level}: ${rounds} rounds in ${((performance.now() - start) / 1000).toFixed(1)} s; medians by quarter`);
    const row = (...cells) => console.log("  " + cells.map((cell, i) => (i ? String(cell).padStart(12) : cell.padEnd(10))).join(""));
    row("", "1st", "2nd", "3rd", "4th", "growth", "allowed", "");
    for (const { name, unit, quarters, growth, bound, grew } of result) {
      row(name, ...quarters, growth, `${bound} ${unit}`, grew ? "TOO MUCH" : "");
    }
    if (result.some(({ grew }) => grew)) process.exitCode = 1;
  }
}
