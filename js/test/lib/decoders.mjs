// Three independent QR decoders over the same images: jsqr and zxing-wasm from
// npm, and zbarimg from Debian's zbar-tools.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";

const require = createRequire(import.meta.url);
const jsQR = require("jsqr");
const QRCode = require("qrcode");
prepareZXingModule({ overrides: { wasmBinary: await readFile(require.resolve("zxing-wasm/reader/zxing_reader.wasm")) } });

/** The text of the image between two images for zbarimg, which prints texts without their files. */
const marker = "between two images: 0c6a4e7f";

/**
 * Reads images with zbarimg, in one call. In binary mode, which has no other
 * form of output, it does not guess an encoding: otherwise it takes some UTF-8
 * for Big5 or Shift JIS.
 */
async function zbar(images) {
  const { modules } = QRCode.create(marker, { errorCorrectionLevel: "L" });
  const between = draw(modules.size, (i) => modules.data[i]);
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-zbar-"));
  try {
    const files = await Promise.all(
      images
        .flatMap((image) => [image, between])
        .map(async ({ data, width, height }, i) => {
          const grey = Buffer.alloc(width * height);
          for (let p = 0; p < grey.length; p++) grey[p] = data[4 * p];
          const file = path.join(dir, `${i}.pgm`);
          await writeFile(file, Buffer.concat([Buffer.from(`P5 ${width} ${height} 255\n`), grey]));
          return file;
        }),
    );
    const args = ["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", "-Sbinary", ...files];
    const printed = await new Promise((resolve, reject) => {
      execFile("zbarimg", args, { maxBuffer: 1 << 28, encoding: "latin1" }, (error, stdout, stderr) => {
        // It exits with 4 if an image has no symbol for it.
        if (error && error.code !== 4) reject(new Error(`zbarimg: ${error.message} ${stderr}`));
        else resolve(stdout);
      });
    });
    const texts = printed.split(marker);
    assert.equal(texts.length, images.length + 1, "zbarimg reads all the markers");
    return images.map((_, i) => (texts[i] === "" ? undefined : Buffer.from(texts[i], "latin1")));
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Reads images (RGBA, black on white); each decoder returns an image's bytes, or undefined. */
async function decode(images) {
  return {
    jsqr: images.map(({ data, width, height }) => {
      const bytes = jsQR(data, width, height, { inversionAttempts: "dontInvert" })?.binaryData;
      return bytes && Buffer.from(bytes);
    }),
    zxing: await Promise.all(
      images.map(async (image) => {
        const [symbol] = await readBarcodes(image, { formats: ["QRCode"], maxNumberOfSymbols: 1, tryInvert: false });
        return symbol && Buffer.from(symbol.bytes);
      }),
    ),
    zbar: await zbar(images),
  };
}

/**
 * The symbols that a decoder cannot read by a fault of its own, and the reasons.
 * A test checks that each of them is still unreadable to it.
 */
const exemptions = {
  jsqr: [{ why: "its table of blocks is wrong for version 23-L", is: ({ version, level }) => version === 23 && level === "L" }],
  zxing: [],
  zbar: [],
};

/**
 * Expects all decoders to read the texts of symbols, `{text, level, version,
 * image}`, and nothing else, except for the exemptions. Returns the number of
 * exemptions.
 */
export async function expectReadable(symbols) {
  const wrong = [];
  let exempted = 0;
  for (let start = 0; start < symbols.length; start += 100) {
    const part = symbols.slice(start, start + 100);
    const read = await decode(part.map(({ image }) => image));
    for (const [decoder, texts] of Object.entries(read)) {
      for (const [i, symbol] of part.entries()) {
        const right = texts[i]?.equals(Buffer.from(symbol.text)) ?? false;
        const exemption = exemptions[decoder].find(({ is }) => is(symbol));
        if (exemption) exempted++;
        if (right === Boolean(exemption)) {
          const what = exemption ? `reads it, though ${exemption.why}` : texts[i] ? "reads another text" : "reads nothing";
          wrong.push(`${decoder} ${what}: symbol ${start + i}, version ${symbol.version}-${symbol.level}, text ${JSON.stringify(symbol.text.slice(0, 40))}`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
  return exempted;
}

/** Draws modules, row by row, each 3 pixels wide, with 4 modules of white around. */
export function draw(size, isDark) {
  const scale = 3;
  const width = (size + 8) * scale;
  const data = new Uint8ClampedArray(4 * width * width).fill(255);
  for (let y = 0; y < size * scale; y++) {
    for (let x = 0; x < size * scale; x++) {
      if (!isDark(Math.floor(y / scale) * size + Math.floor(x / scale))) continue;
      const pixel = 4 * ((y + 4 * scale) * width + x + 4 * scale);
      data.fill(0, pixel, pixel + 3);
    }
  }
  return { data, width, height: width };
}
