// The package's QR codes, read by three independent decoders from the modules, from
// screenshots and from PNG images, and compared with the modules of an independent
// encoder. QR_TEXTS is the number of texts; they are the same in every run.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { PNG } from "pngjs";
import { engines, openBrowser } from "../lib/browsers.mjs";
import { draw, expectReadable } from "../lib/decoders.mjs";
import { dist, serve } from "../lib/harness.mjs";

const encoder = createRequire(import.meta.url)("qrcode");
const count = Number(process.env.QR_TEXTS ?? 160);
const few = Math.ceil((count * 60) / 2000); // the number that a browser draws

/** Random numbers from 0 to 1 that are the same in every run (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const chars = (text) => [...text];
const lower = chars("abcdefghijklmnopqrstuvwxyz");
const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));

// The capacity of version 40, by level (ISO/IEC 18004, table 7).
const digits = { L: 7089, M: 5596, Q: 3993, H: 3057 };
const capitals = { L: 4296, M: 3391, Q: 2420, H: 1852 };
const bytes = { L: 2953, M: 2331, Q: 1663, H: 1273 };
const alphabets = [
  { of: ascii, most: bytes },
  { of: chars("0123456789"), most: digits },
  { of: chars("äöüßéñøłΩжяЮ"), most: bytes },
  { of: chars("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"), most: capitals },
  { of: chars("😀🔐👩🚀🇩🇪"), most: bytes },
  { of: lower, most: bytes },
  { of: chars("日本語中文한국어認証"), most: bytes },
];

/** Texts of all levels, with lengths evenly spread from 1 byte to the maximum. */
function texts(count) {
  const next = random(18004);
  const perLevel = Math.ceil(count / 4);
  return Array.from({ length: count }, (_, i) => {
    const level = "LMQH"[i % 4];
    const { of, most } = alphabets[Math.floor(i / 4) % alphabets.length];
    const length = 1 + Math.round(((most[level] - 1) * Math.floor(i / 4)) / Math.max(1, perLevel - 1));
    let text = "";
    for (let left = length; left > 0; ) {
      const char = of[Math.floor(next() * of.length)];
      const size = Buffer.byteLength(char);
      text += size <= left ? char : lower[0].repeat(left);
      left -= size;
    }
    return { text, level };
  });
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
    // 25 and the number of alphabets are coprime, so that each alphabet is used at 64 characters.
    const issuer = text(alphabets[i % alphabets.length], i % 25 === 0 ? 64 : 1 + Math.floor(next() * 20));
    const account = text(pick(alphabets), 1 + Math.floor(next() * 20)) + "@example.com";
    const secret = text([..."ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"], 32);
    const parameters = `secret=${secret}&issuer=${encode(issuer)}&algorithm=${pick(["SHA1", "SHA256", "SHA512"])}`;
    return `otpauth://totp/${encode(issuer)}:${encode(account)}?${parameters}&digits=${pick([6, 8])}&period=${pick([30, 60])}`;
  });
}

const darkIn =
  ({ bits }) =>
  (i) =>
    (bits[i >> 3] & (0x80 >> (i & 7))) !== 0;
const versionOf = (size) => (size - 17) / 4;

describe("from the modules as such", () => {
  let qr;
  before(async () => ({ qr } = await import(new URL("index.js", dist))));

  test(`${count} texts of all lengths and levels scan`, async (t) => {
    const symbols = [];
    const versions = new Set();
    for (const { text, level } of texts(count)) {
      const matrix = await qr.matrix(text, { errorCorrectionLevel: level });
      versions.add(versionOf(matrix.size));
      symbols.push({ text, level, version: versionOf(matrix.size), image: draw(matrix.size, darkIn(matrix)) });
    }
    const exempted = await expectReadable(symbols);
    assert.ok(versions.has(1) && versions.has(40), "from the smallest to the largest");
    t.diagnostic(`${versions.size} of 40 versions, ${exempted} exemptions`);
  });

  test("the exemptions of the decoders are needed", async () => {
    const symbols = [];
    for (const length of [1005, 1050, 1091]) {
      const text = "x".repeat(length);
      const matrix = await qr.matrix(text, { errorCorrectionLevel: "L" });
      assert.equal(versionOf(matrix.size), 23);
      symbols.push({ text, level: "L", version: 23, image: draw(matrix.size, darkIn(matrix)) });
    }
    assert.equal(await expectReadable(symbols), 3);
  });

  test(`${few * 5} lower-case texts have the same modules as from another encoder`, async () => {
    const next = random(300);
    for (let i = 0; i < few * 5; i++) {
      const level = "LMQH"[i % 4];
      const length = 1 + Math.floor((bytes[level] - 1) * (i / (few * 5 - 1 || 1)));
      const text = Array.from({ length }, () => lower[Math.floor(next() * 26)]).join("");
      const matrix = await qr.matrix(text, { errorCorrectionLevel: level });
      const { size } = matrix;
      const ours = Array.from({ length: size * size }, (_, i) => Number(darkIn(matrix)(i)));
      // The format information (ISO/IEC 18004, 7.9): two bits of level and three of mask, masked with 10101.
      const format = parseInt(ours.slice(8 * size, 8 * size + 5).join(""), 2) ^ 0b10101;
      assert.equal("MLHQ"[format >> 3], level);
      const theirs = encoder.create([{ data: Buffer.from(text), mode: "byte" }], {
        version: versionOf(size),
        errorCorrectionLevel: level,
        maskPattern: format & 7,
      });
      assert.deepEqual(ours, Array.from(theirs.modules.data, Number), `text ${i}, version ${versionOf(size)}-${level}`);
    }
  });
});

/** Cuts a rectangle out of an image, as the decoders take it. */
function cut(png, { x, y, width, height }) {
  const part = new PNG({ width, height });
  PNG.bitblt(png, part, x, y, width, height, 0, 0);
  return { data: new Uint8ClampedArray(part.data), width, height };
}

/** Shows texts on a ground in rows; returns the place of each in CSS pixels, with a cell of the ground around. */
async function show(symbols, ground) {
  const { qr } = await import("/dist/index.js");
  document.body.style.cssText = `background: ${ground}; margin: 0; line-height: 0`;
  const images = await Promise.all(
    symbols.map(async ({ text, level, scale }) => {
      const image = new Image();
      image.src = await qr.toDataURL(text, { errorCorrectionLevel: level, scale });
      image.style.margin = "12px";
      await image.decode();
      return image;
    }),
  );
  document.body.replaceChildren(...images);
  return images.map((image) => {
    const { x, y, width, height } = image.getBoundingClientRect();
    return { x: x - 12, y: y - 12, width: width + 24, height: height + 24 };
  });
}

/** Reads symbols from screenshots of a page. */
async function readFromScreen(page, symbols, ground, scale) {
  for (let start = 0; start < symbols.length; start += 12) {
    const part = symbols.slice(start, start + 12);
    const places = await page.evaluate(show, part, ground);
    const shot = PNG.sync.read(await page.screenshot({ fullPage: true }));
    const drawn = part.map((symbol, i) => {
      const place = Object.fromEntries(Object.entries(places[i]).map(([k, v]) => [k, v * scale]));
      // Twelve pixels of ground at each side, four modules of margin.
      const version = versionOf((places[i].width - 24) / symbol.scale - 8);
      return { ...symbol, version, image: cut(shot, place) };
    });
    const grey = ground === "#000" ? 0 : 255;
    for (const { image } of drawn) assert.deepEqual([...image.data.subarray(0, 4)], [grey, grey, grey, 255], "the ground");
    await expectReadable(drawn);
  }
}

describe("drawn by a browser", () => {
  let site;
  before(async () => {
    site = await serve({
      "/": '<!doctype html><html lang="en"><title>QR codes</title><body></body></html>',
      "/dist/": dist,
    });
  });
  after(() => site?.close());
  const all = texts(count);
  const drawn = Array.from({ length: few }, (_, i) => ({ ...all[Math.floor(((i + 0.5) * count) / few)], scale: 2 }));
  const accounts = uris(few * 5).map((text) => ({ text, level: "M", scale: 4 }));

  for (const engine of engines) {
    describe(`in ${engine}`, () => {
      let browser;
      before(async () => (browser = await openBrowser(engine)));
      after(() => browser?.close());

      test(`PNG images of ${few} texts scan`, async () => {
        const page = await browser.newPage();
        await page.goto(site.url);
        const symbols = [];
        for (const symbol of drawn) {
          const got = await page.evaluate(async ({ text, level, scale }) => {
            const { qr } = await import("/dist/index.js");
            const blob = await qr.toBlob(text, { errorCorrectionLevel: level, scale });
            const reader = new FileReader();
            await new Promise((resolve) => {
              reader.onload = resolve;
              reader.readAsDataURL(blob);
            });
            return { url: reader.result, type: blob.type };
          }, symbol);
          assert.equal(got.type, "image/png");
          const { data, width, height } = PNG.sync.read(Buffer.from(got.url.split(",")[1], "base64"));
          symbols.push({ ...symbol, version: versionOf(width / symbol.scale - 8), image: { data: new Uint8ClampedArray(data), width, height } });
        }
        await expectReadable(symbols);
        assert.deepEqual(await page.problems(site.url), []);
        await page.close();
      });

      // Only Chromium and Firefox take screenshots of a whole page; one of them is enough.
      if (engine !== "Chromium") return;
      for (const ground of ["#000", "#fff"]) {
        for (const scale of [1, 2, 3]) {
          test(`${few} texts scan from the screen on ${ground} at ${scale}x`, async () => {
            const page = await browser.newPage({ viewport: { width: 1280, height: 800, scale } });
            await page.goto(site.url);
            await readFromScreen(page, drawn, ground, scale);
            if (ground === "#000" && scale < 3) await readFromScreen(page, accounts, ground, scale);
            assert.deepEqual(await page.problems(site.url), []);
            await page.close();
          });
        }
      }
    });
  }
});
