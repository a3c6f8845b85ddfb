// Where the package runs: Node, and in each engine a page and a module worker.
// A check is written once. It is a function that is passed as its source text, so
// that it must not use variables of its scope.

import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { engines, openBrowser } from "./browsers.mjs";
import { dist } from "./harness.mjs";

let copies = 0;

/** The script of a worker, which runs the texts that it receives. `problems` are errors outside of them. */
export const workerScript = `
  const problems = [];
  const { error } = console;
  console.error = (...args) => {
    problems.push("console: " + args.join(" "));
    error.apply(console, args);
  };
  addEventListener("error", (event) => problems.push("uncaught: " + (event.error ?? event.message)));
  addEventListener("unhandledrejection", (event) => problems.push("uncaught: " + event.reason));
  onmessage = async ({ data }) => {
    try {
      postMessage({ json: JSON.stringify(await (0, eval)(data)), problems });
    } catch (error) {
      postMessage({ error: String(error) + "\\n" + error?.stack, problems });
    }
  };`;

/** Runs a text in a new module worker of the page. */
async function inWorker(page, text) {
  const { json, error, problems } = await page.evaluate(
    (text) =>
      new Promise((resolve) => {
        const worker = new Worker("/worker.js", { type: "module" });
        worker.onmessage = ({ data }) => {
          worker.terminate();
          resolve(data);
        };
        worker.onerror = (event) => resolve({ error: `the worker did not start: ${event.message}`, problems: [] });
        worker.postMessage(text);
      }),
    text,
  );
  if (error) throw new Error(error);
  assert.deepEqual(problems, [], `${page.engine}: the worker's problems`);
  return json && JSON.parse(json);
}

/**
 * Declares `cases({ engine, browser })` for every engine, under its name; the
 * browser is open when they run.
 */
export function inEngines(cases) {
  for (const engine of engines) {
    describe(`in ${engine}`, () => {
      const at = { engine };
      before(async () => (at.browser = await openBrowser(engine)));
      after(() => at.browser?.close());
      cases(at);
    });
  }
}

/**
 * Declares `cases(run, { engine, visit })` in Node and in every engine's page
 * and module worker, under a name with the place. `run(check, ...args)`
 * returns the result of `check(sdk, site.url, ...args)` there, with the package loaded
 * afresh and without history. In a page only, `visit(path, check, ...args)` goes
 * to a path of the site and returns what `check(site.url, ...args)` returns there.
 * `site()` serves "/dist/", a page at "/" and workerScript at
 * "/worker.js", when the cases run. The page may have no problem except those
 * that `tolerated` matches, by default none.
 */
export function everywhere({ site, tolerated = /^$/ }, cases) {
  describe("in Node", () => {
    const run = async (check, ...args) => check(await import(new URL(`index.js?${copies++}`, dist).href), site().url, ...args);
    cases(run, { engine: "Node" });
  });
  inEngines((at) => {
    const { engine } = at;
    let page;
    before(async () => (page = await at.browser.newPage()));
    const settle = async (result, url) => {
      const problems = (await page.problems(url)).filter((p) => !tolerated.test(p));
      await page.forget();
      assert.deepEqual(problems, [], `${engine}: the page's problems`);
      return result;
    };
    const inPlace =
      (run) =>
      async (check, ...args) => {
        const { url } = site();
        const call = `(${check})(await import("/dist/index.js"), ...${JSON.stringify([url, ...args])})`;
        return settle(await run(`(async () => ${call})()`, url), url);
      };
    describe(`a page of ${engine}`, () => {
      const run = async (text, url) => {
        await page.goto(url);
        return page.evaluate(text);
      };
      const visit = async (path, check, ...args) => {
        const { url } = site();
        await page.goto(url + path);
        return settle(await page.evaluate(check, url, ...args), url);
      };
      cases(inPlace(run), { engine, visit });
    });
    describe(`a worker of ${engine}`, () => {
      before(() => page.goto(site().url));
      cases(
        inPlace((text) => inWorker(page, text)),
        { engine },
      );
    });
  });
}
