// The page under measurement, the same for every SDK. It is given the differences:
// how the SDK is created and prepared, and where the image's URL comes from.

/* global BASE_URL, TENANT_ID */

const { searchParams } = new URL(location.href);

/** Resolves when the next frame with what was changed till now is out. */
const painted = () =>
  new Promise((resolve) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = resolve;
      port2.postMessage(undefined);
    });
  });

/** Publishes `bench`; all its times are in milliseconds. */
export function measure({ create, load, image }) {
  const authsignal = create({ baseUrl: BASE_URL, tenantId: TENANT_ID });
  globalThis.bench = {
    /** From the navigation until the SDK can be called without more to load. */
    ready: searchParams.has("lazy") ? undefined : load(authsignal).then(() => performance.now()),

    /** From the call of enroll until the QR code is on the screen. */
    async enroll(token) {
      authsignal.setToken(token);
      const img = document.querySelector("img");
      const start = performance.now();
      const enrollment = await authsignal.totp.enroll();
      const answered = performance.now();
      img.src = await image(enrollment.data);
      const drawn = performance.now();
      await img.decode();
      await painted();
      return { ms: performance.now() - start, drawn: drawn - start, answered: answered - start, secret: enrollment.data.secret };
    },

    /** From the call of verify until it has settled. */
    async verify(code) {
      const start = performance.now();
      const { data } = await authsignal.totp.verify({ code });
      return { ms: performance.now() - start, verified: data?.isVerified };
    },
  };
}
