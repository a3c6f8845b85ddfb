// The anonymous ID without the usual cookie: in frames and documents of every engine
// that have no origin, no origin of their own, or no permission to store anything. The usual cookie is in parity.test.mjs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { dist, serve, temporary } from "../lib/harness.mjs";
import { inEngines } from "../lib/places.mjs";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let site;
before(async () => {
  site = await serve({ "/": '<!doctype html><html lang="en"><title>Page</title><script src="/dist/index.min.js"></script>', "/dist/": dist }, { "Access-Control-Allow-Origin": "*" });
});
after(() => site?.close());

/** Returns the IDs of two instances and of a third with another cookie name, and a QR code. `authsignal` is the package there. */
const check = async (wasmUrl) => {
  try {
    const make = (cookieName) => new authsignal.Authsignal({ tenantId: "t", wasmUrl, cookieName });
    const [first, second, other] = [make(), make(), make("other")];
    return {
      ids: [first, second, other].map((a) => a.anonymousId),
      domain: first.cookieDomain,
      svg: (await authsignal.qr.toSVG("text", { wasmUrl })).slice(0, 4),
    };
  } catch (error) {
    return { error: String(error) };
  }
};
/** A document that runs the check, and posts the result to the page that contains it. */
const telling = () =>
  `<!doctype html><html lang="en"><title>Frame</title><script src="${site.url}/dist/index.min.js"></script>` +
  `<script>(${check})("${site.url}/dist/authsignal.wasm").then((found) => parent.postMessage(found, "*"))</script>`;

/** Loads a document in a frame of a page; returns the result that it posts. */
const inFrame = (page, attributes) =>
  page.evaluate(
    (attributes) =>
      new Promise((resolve) => {
        addEventListener("message", ({ data }) => resolve(data), { once: true });
        const frame = document.createElement("iframe");
        for (const name in attributes) frame.setAttribute(name, attributes[name]);
        document.body.append(frame);
      }),
    attributes,
  );

function judge({ ids, domain, svg, error }, wantDomain) {
  assert.equal(error, undefined);
  assert.match(ids[0], uuid);
  assert.equal(ids[1], ids[0], "one ID for the life of the page");
  assert.notEqual(ids[2], ids[0], "another name is another ID");
  assert.deepEqual([domain, svg], [wantDomain, "<svg"]);
}

/** Firefox's message about such a cookie. */
const rejected = /Cookie .__as_aid. has been rejected for invalid domain/;

inEngines((at) => {
  /** Visits a page, has `work` done there, and closes it. It may have no problem except those that `tolerated` matches. */
  const visit = async (work, tolerated = /^$/, url = site.url) => {
    const page = await at.browser.newPage();
    await page.goto(url);
    const result = await work(page);
    const problems = (await page.problems(site.url)).filter((p) => !tolerated.test(p));
    assert.deepEqual(problems, []);
    await page.close();
    return result;
  };

  test("in a sandboxed frame the ID lives as long as the page", async () => {
    judge(await visit((page) => inFrame(page, { sandbox: "allow-scripts", srcdoc: telling() })), "");
  });

  test("in a data: document the ID lives as long as the page", async () => {
    judge(await visit((page) => inFrame(page, { src: "data:text/html," + encodeURIComponent(telling()) })), "");
  });

  test("a srcdoc frame of the page has the page's cookie", async () => {
    await visit(async (page) => {
      const found = await inFrame(page, { srcdoc: telling() });
      judge(found, "127.0.0.1");
      const cookies = (await page.evaluate("document.cookie")).split("; ").sort();
      assert.deepEqual(cookies, [`__as_aid=${found.ids[0]}`, `other=${found.ids[2]}`]);
    });
  });

  test("in a blob: document, which has no cookies, the ID lasts as long as the page", async () => {
    await visit(async (page) => {
      const src = await page.evaluate((html) => URL.createObjectURL(new Blob([html], { type: "text/html" })), telling());
      judge(await inFrame(page, { src }), "127.0.0.1");
    });
  });

  test("a file: page has an ID", async () => {
    const file = path.join(temporary, "page.html");
    await writeFile(file, `<!doctype html><html lang="en"><title>File</title><script src="${site.url}/dist/index.min.js"></script>`);
    const found = await visit((page) => page.evaluate(check, site.url + "/dist/authsignal.wasm"), undefined, pathToFileURL(file).href);
    judge(found, "");
  });

  test("cookies that are turned off, or may not be touched, do no harm", async () => {
    for (const descriptor of ["{ get: () => '', set() {} }", "{ get() { throw new DOMException('no', 'SecurityError') }, set() { throw new DOMException('no', 'SecurityError') } }"]) {
      const found = await visit((page) => page.evaluate(`(Object.defineProperty(document, "cookie", ${descriptor}), (${check})("/dist/authsignal.wasm"))`));
      judge(found, "127.0.0.1");
    }
  });

  test("a cookie of a domain that is not the page's is not stored, and the ID stays", async () => {
    const [first, second, cookies] = await visit(
      (page) =>
        page.evaluate(() => {
          const make = () => new authsignal.Authsignal({ tenantId: "t", cookieDomain: "elsewhere.test" }).anonymousId;
          return [make(), make(), document.cookie];
        }),
      rejected,
    );
    assert.match(first, uuid);
    assert.deepEqual([second, cookies], [first, ""]);
  });

  test("an ID that could not be stored is stored as soon as it can be; one that was removed is made anew", async () => {
    const got = await visit(
      (page) =>
        page.evaluate(() => {
          const make = (cookieDomain) => new authsignal.Authsignal({ tenantId: "t", cookieDomain }).anonymousId;
          const lost = make("elsewhere.test");
          const stored = [make(), document.cookie];
          document.cookie = `__as_aid=; path=/; max-age=0; domain=${location.hostname}`;
          return { lost, stored, removed: document.cookie, next: make() };
        }),
      rejected,
    );
    assert.deepEqual(got.stored, [got.lost, `__as_aid=${got.lost}`]);
    assert.equal(got.removed, "");
    assert.match(got.next, uuid);
    assert.notEqual(got.next, got.lost);
  });
});
