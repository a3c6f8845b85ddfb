import { loadModule, type Exports } from "./load.js";
import { strict } from "./misuse.js";
import type { QR, QROptions } from "./types.js";

type Canvas = HTMLCanvasElement | OffscreenCanvas;

async function call<T>(options: QROptions | undefined, f: (qr: Exports["qr"]) => Promise<T>): Promise<T> {
  const module = await loadModule({ wasmUrl: options?.wasmUrl });
  return module.call((exports) => f(exports.qr));
}

const drawing: QR = {
  toSVG: (text, options) => call(options, (qr) => qr.toSVG(text, options)),

  async toDataURL(text, options) {
    const type = options?.type ?? "image/svg+xml";
    if (type === "image/svg+xml") return call(options, (qr) => qr.toDataURL(text, options));
    if (type !== "image/png") throw new TypeError('type must be "image/svg+xml" or "image/png"');
    const blob = await drawing.toBlob(text, options);
    return new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result as string);
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(blob);
    });
  },

  async toCanvas(canvas, text, options) {
    const context = canvas?.getContext?.("2d") as CanvasRenderingContext2D | null | undefined;
    if (!context) throw new TypeError("canvas must be a canvas with no context or a 2d one");
    const { margin, scale, width, color, title } = options ?? {};
    const { size, bits } = await drawing.matrix(text, options);
    const modules = size + 2 * (margin ?? 4);
    const pixels = width ?? modules * (scale ?? 4);
    const module = Math.floor(pixels / modules);
    if (!module) throw new RangeError(`width must be at least ${modules} pixels for this text, or the margin smaller`);
    const edge = Math.floor((pixels - size * module) / 2);

    canvas.width = canvas.height = pixels; // which makes it transparent
    context.fillStyle = color?.light ?? "#fff";
    context.fillRect(0, 0, pixels, pixels);
    context.fillStyle = color?.dark ?? "#000";
    for (let i = 0; i < size * size; i++) {
      if (bits[i >> 3] & (0x80 >> (i & 7))) context.fillRect(edge + (i % size) * module, edge + Math.floor(i / size) * module, module, module);
    }
    if ("setAttribute" in canvas) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", title || "QR code for your authenticator app");
    }
  },

  async toBlob(text, options) {
    const { document, OffscreenCanvas } = globalThis;
    if (!document && !OffscreenCanvas) throw new Error("a PNG image needs a browser: use toSVG here");
    const canvas: Canvas = document ? document.createElement("canvas") : new OffscreenCanvas(1, 1);
    await drawing.toCanvas(canvas, text, options);
    if ("convertToBlob" in canvas) return canvas.convertToBlob();
    return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("it is too large for this browser")))));
  },

  matrix: (text, options) => call(options, (qr) => qr.matrix(text, options)),
};

/** QR codes, which need no API; such as for an `otpauth://` URI from elsewhere. */
export const qr: QR = strict(drawing);
