// The demo's switch: the same journey through the pre-built UI, in Chromium and
// in each of its three modes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { authenticatorApp } from "./authenticator.mjs";
import { startDemo } from "./demo.mjs";
import { launchBrowser, watch } from "./harness.mjs";

let browser;
let demo;
before(async () => {
  [browser, demo] = await Promise.all([launchBrowser(), startDemo()]);
});
after(async () => {
  await browser?.close();
  await demo?.stop();
});

const desktop = { width: 1280, height: 800 };

/**
 * Runs a test in a browser of its own. At its end nothing may have gone wrong
 * in the page, but for what `tolerated` names.
 */
async function visit(run, tolerated) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const problems = watch(page, demo.url, demo.apiUrl);
    await page.setViewport(desktop);
    await page.goto(demo.url);
    await arrive(page, "signIn");
    await run(page);
    assert.deepEqual(tolerated ? problems.filter((p) => !tolerated.test(p)) : problems, []);
  } finally {
    await context.close();
  }
}

/** Waits for a step; the others are then out of sight. */
async function arrive(page, step) {
  try {
    await page.waitForFunction(
      (step) => [...document.querySelectorAll("main > section:not([hidden])")].map((s) => s.id).join() === step,
      {},
      step,
    );
  } catch {
    assert.fail(`the page did not come to ${step}:\n${await page.$eval("main", (main) => main.innerText)}`);
  }
}

const forbidden = /^console: Failed to load resource: the server responded with a status of 403/;

for (const mode of ["popup", "redirect", "window"]) {
  test(`the pre-built UI, as a ${mode}: enroll, sign out, sign in, and think better of it`, async () => {
    await visit(
      async (page) => {
        const username = `prebuilt-${mode}`;
        /** Signs in, and gives the pre-built UI: the page itself, a frame or a window. */
        const begin = async () => {
          await arrive(page, "signIn");
          await page.click("input[value=prebuilt]");
          await page.click(`input[value=${mode}]`);
          await page.$eval("#username", (field) => (field.value = ""));
          await page.type("#username", username);
          const opened = mode === "window" && new Promise((resolve) => page.once("popup", resolve));
          await page.keyboard.press("Enter");
          if (mode === "window") {
            await arrive(page, "prebuilt");
            await page.click("#prebuilt-form button");
            return opened;
          }
          if (mode === "popup") return (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
          await page.waitForFunction((api) => location.href === api, {}, demo.apiUrl.replace(/v1$/, ""));
          return page;
        };
        const codeInto = async (ui, id, code) => {
          await ui.waitForSelector(`#${id}-code`, { visible: true });
          await ui.type(`#${id}-code`, code);
          await (await ui.$(`#${id}-code`)).press("Enter");
        };
        let ui = await begin();
        await ui.waitForSelector("#open-app[href]");
        const app = authenticatorApp(await ui.$eval("#open-app", (a) => a.getAttribute("href")));
        await codeInto(ui, "enroll", app.code());
        await arrive(page, "account");
        await page.waitForFunction(() => document.querySelector("#validated").innerText === "enroll");
        assert.equal(page.url(), `${demo.url}/`, "the token is gone from the address");

        await page.click("#account .sign-out");
        ui = await begin();
        await ui.waitForSelector("#challenge .quit", { visible: true });
        await ui.click("#challenge .quit");
        await page.waitForFunction(() => document.querySelector("#prebuilt-form .error")?.textContent);
        const again = mode === "window" && new Promise((resolve) => page.once("popup", resolve));
        await page.click("#prebuilt-form button");
        if (mode === "window") ui = await again;
        if (mode === "popup") ui = await (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
        await codeInto(ui, "challenge", app.code());
        await arrive(page, "account");
        await page.waitForFunction(() => document.querySelector("#validated").innerText === "signIn");
      },
      mode === "redirect" ? forbidden : undefined,
    );
  });
}
