// 300 otpauth URIs as QR codes on a black page, at two scales, read from
// screenshots by two independent decoders.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { PNG } from "pngjs";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import { dist, launchBrowser, serve, watch } from "./harness.mjs";

const require = createRequire(import.meta.url);
const jsQR = require("jsqr");
prepareZXingModule({ overrides: { wasmBinary: await readFile(require.resolve("zxing-wasm/reader/zxing_reader.wasm")) } });

/** Random numbers from 0 to 1 that are the same in every run (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Percent-encodes all but the unreserved characters (RFC 3986, 2.3). */
function encode(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
}

function uris(count) {
  const next = random(6238);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const text = (alphabet, length) => Array.from({ length }, () => pick(alphabet)).join("");
  const ascii = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"];
  const alphabets = [ascii, [...ascii, ..." +:&#%/"], [..." +:&#%/"], [..."😀🔐👩🚀🇩🇪"], [..."日本語中文한국어認証"], [..."äöüßéñøłΩж"]];
  return Array.from({ length: count }, (_, i) => {
    // 25 and the number of alphabets have no factor in common: each has its turn at 64 characters.
    const issuer = text(alphabets[i % alphabets.length], i % 25 === 0 ? 64 : 1 + Math.floor(next() * 20));
    const account = text(pick(alphabets), 1 + Math.floor(next() * 20)) + "@example.com";
    const secret = text([..."ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"], 32);
    const parameters = `secret=${secret}&issuer=${encode(issuer)}&algorithm=${pick(["SHA1", "SHA256", "SHA512"])}`;
    return `otpauth://totp/${encode(issuer)}:${encode(account)}?${parameters}&digits=${pick([6, 8])}&period=${pick([30, 60])}`;
  });
}

let browser;
let site;
before(async () => {
  browser = await launchBrowser();
  site = await serve({
    "/": '<!doctype html><html lang="en"><title>QR codes</title><body></body></html>',
    "/dist/": dist,
  });
});
after(async () => {
  await browser?.close();
  await site?.close();
});

/** Cuts a rectangle out of an image, as both decoders take it. */
function cut(png, { x, y, width, height }) {
  const part = new PNG({ width, height });
  PNG.bitblt(png, part, x, y, width, height, 0, 0);
  return { data: new Uint8ClampedArray(part.data), width, height };
}

for (const scale of [1, 2]) {
  test(`300 URIs scan from a black page at ${scale}x`, async () => {
    const page = await browser.newPage();
    await page.setViewport({ width: 1280, height: 800, deviceScaleFactor: scale });
    const problems = watch(page, site.url);
    await page.goto(site.url);
    const all = uris(300);
    const wrong = [];
    for (let start = 0; start < all.length; start += 20) {
      const texts = all.slice(start, start + 20);
      const places = await page.evaluate(async (texts) => {
        const { qr } = await import("/dist/index.js");
        document.body.style.cssText = "background: #000; margin: 0; line-height: 0";
        document.body.replaceChildren(
          ...(await Promise.all(
            texts.map(async (text) => {
              const image = new Image();
              image.src = "data:image/svg+xml," + encodeURIComponent(await qr.toSVG(text));
              // The cell around it is as black as the page.
              image.style.margin = "12px";
              await image.decode();
              return image;
            }),
          )),
        );
        return [...document.images].map((image) => {
          const { x, y, width, height } = image.getBoundingClientRect();
          return { x: x - 12, y: y - 12, width: width + 24, height: height + 24 };
        });
      }, texts);
      const shot = PNG.sync.read(Buffer.from(await page.screenshot({ fullPage: true })));
      for (const [i, place] of places.entries()) {
        for (const key in place) place[key] *= scale;
        const image = cut(shot, place);
        assert.deepEqual([...image.data.subarray(0, 4)], [0, 0, 0, 255], "the page is black");
        const byJSQR = jsQR(image.data, image.width, image.height, { inversionAttempts: "dontInvert" })?.data;
        if (byJSQR !== texts[i]) wrong.push(["jsqr", start + i, texts[i], byJSQR]);
        const [byZXing] = await readBarcodes(image, { formats: ["QRCode"], maxNumberOfSymbols: 1 });
        const read = byZXing && Buffer.from(byZXing.bytes).toString("utf8");
        if (read !== texts[i]) wrong.push(["zxing", start + i, texts[i], read]);
      }
    }
    await page.close();
    assert.deepEqual(wrong, []);
    assert.deepEqual(problems, []);
  });
}
