// Many random calls at once on the built module without its wrapper, and each
// gets its own result: the loader never frees a value that is still used.
// RANDOM_CALLS is the number of calls, RANDOM_SEED the seed that they are drawn
// from.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { dist, record } from "../lib/harness.mjs";

const total = Number(process.env.RANDOM_CALLS ?? 3_000);
const seed = Number(process.env.RANDOM_SEED ?? Date.now() % 1e9);

/** Returns whole numbers below n (mulberry32). */
function generator(state) {
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

/** Starts the raw module; returns its exports and its loader. */
async function start() {
  await import(new URL("wasm_exec.js", dist));
  const go = new globalThis.Go();
  const { instance } = await WebAssembly.instantiate(await readFile(new URL("authsignal.wasm", dist)), go.importObject);
  go.run(instance);
  const { Authsignal, qr } = globalThis.authsignal;
  delete globalThis.authsignal;
  delete globalThis.Go;
  return { Authsignal, qr, loader: go.program.go };
}

test(`${total} random calls, many at once, each get their own result (RANDOM_SEED=${seed})`, { timeout: 120_000 }, async (t) => {
  const random = generator(seed);
  const { Authsignal, qr, loader } = await start();
  const slots = () => loader._values.length;
  const atStart = slots();

  // An answer repeats its request. It arrives at once or later, and sometimes as
  // what a broken API or network would answer.
  const schedule = (f) => [queueMicrotask, setImmediate, (f) => setTimeout(f, random(3))][random(3)](f);
  t.mock.method(globalThis, "fetch", (_, { headers, body, signal }) => {
    const token = headers.Authorization.slice("Bearer ".length);
    const kind = token.split(":")[1];
    if (kind === "throws") throw new TypeError(token);
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => schedule(() => reject(signal.reason)));
      if (kind === "hangs") return;
      if (kind === "fails") return schedule(() => reject(new TypeError(token)));
      const text = JSON.stringify(
        kind === "refused"
          ? { error: token, errorCode: "expired_token", errorDescription: `description of ${token}` }
          : body
            ? { isVerified: true, body, token, accessToken: `${token}:next` }
            : { uri: `otpauth://totp/Acme:${token}?secret=${"A".repeat(1 + random(30))}&issuer=Acme`, secret: token },
      );
      const answer = { status: kind === "refused" ? 401 : 200, headers: { get: () => null }, text: () => new Promise((resolve) => schedule(() => resolve(text))) };
      schedule(() => resolve(answer));
    });
  });

  const matrices = new Map();
  const checkMatrix = async (text) => {
    const { size, bits } = await qr.matrix(text);
    const got = `${size} ${Buffer.from(bits).toString("base64")}`;
    assert.equal(got, matrices.get(text) ?? got);
    matrices.set(text, got);
  };

  let calls = 0;
  /** One call with an instance of its own, and possible other events during it. */
  const call = async (depth = 0) => {
    const id = ++calls;
    const kind = ["answered", "answered", "answered", "refused", "throws", "fails", "hangs"][random(7)];
    const token = `${id}:${kind}`;
    let expired = 0;
    const nested = [];
    const nest = () => depth < 2 && random(4) === 0 && nested.push(call(depth + 1));
    const authsignal = new Authsignal({
      tenantId: token,
      baseUrl: "https://api.test/v1",
      onTokenExpired() {
        expired++;
        nest();
      },
    });
    authsignal.setToken(token);
    const controller = new AbortController();
    // A call that hangs must end: by its signal, its time-out or dispose.
    const ending = kind === "hangs" || random(8) === 0 ? random(3) : undefined;
    const code = String(1e5 + random(9e5));
    const options = {
      get code() {
        nest();
        return code;
      },
      get signal() {
        nest();
        return ending === 0 ? controller.signal : undefined;
      },
      timeout: ending === 1 ? 1 + random(5) : 100_000,
    };
    const verifies = random(2) === 0;
    const promise = verifies ? authsignal.totp.verify(options) : authsignal.totp.enroll(options);
    if (ending === 0) schedule(() => controller.abort());
    if (ending === 2) schedule(() => authsignal.dispose());
    const result = await promise;
    const code_ = result.errorCode;
    if (ending !== undefined && code_ === (ending === 1 ? "timeout" : "aborted")) {
      assert.equal(expired, 0, token);
    } else if (kind === "refused") {
      assert.deepEqual({ ...result }, { error: `description of ${token}`, errorCode: "expired_token", errorDescription: `description of ${token}` });
      assert.equal(expired, 1, token);
    } else if (kind === "answered" && verifies) {
      assert.deepEqual({ ...result }, { data: { isVerified: true, body: `{"verificationCode":"${code}"}`, token: `${token}:next` } });
      assert.equal(result.token, `${token}:next`);
    } else if (kind === "answered") {
      const { secret, issuer, account, digits, period, algorithm, qrCode } = result.data;
      assert.deepEqual([secret, issuer, account, digits, period, algorithm], [token, "Acme", token, 6, 30, "SHA1"]);
      assert.match(qrCode, /^data:image\/svg\+xml,%3Csvg/);
    } else {
      assert.ok(kind === "throws" || kind === "fails", `${token}: ${JSON.stringify(result)}`);
      assert.equal(code_, "network_error", token);
    }
    if (random(10) === 0) await checkMatrix("a".repeat(1 + random(40)));
    if (random(10) === 0) {
      const title = `title of ${token}`;
      assert.ok((await qr.toSVG(token, { title, color: { dark: "#123456" } })).includes(`>${title}</title>`), token);
    }
    if (random(20) === 0)
      await assert.rejects(
        qr.toSVG(token, {
          get margin() {
            throw new Error(token);
          },
        }),
        { message: token },
      );
    await Promise.all(nested);
  };

  const worker = async () => {
    while (calls < total) await call();
  };
  await Promise.all(Array.from({ length: 50 }, worker));
  assert.ok(calls >= total);
  // Go's garbage collector runs at any time.
  if (record.compiler === "tinygo") assert.equal(slots(), atStart, "the loader's table has grown");
});
