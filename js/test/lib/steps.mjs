// The common parts of the pages of the demo and of the pre-built UI, for the tests
// that drive them by browsers.mjs: both show one step at a time, and take codes in
// fields of the same names.

import assert from "node:assert/strict";
import { authenticatorApp } from "./authenticator.mjs";

/** Waits for a step; the others are then hidden. */
export async function arrive(page, step) {
  try {
    await page.waitFor((step) => [...document.querySelectorAll("main > section:not([hidden])")].map((s) => s.id).join() === step, step);
  } catch (cause) {
    assert.fail(`${page.engine}: the page did not come to ${step}: ${cause.message}\n${await page.$eval("main", (main) => main.innerText)}`);
  }
}

/** An authenticator app with the account that the step "enroll" shows. */
export async function authenticatorOf(page) {
  await arrive(page, "enroll");
  return authenticatorApp(await page.waitFor(() => document.querySelector("#open-app").getAttribute("href")));
}

/** Enters a code at the step "enroll" or "challenge". */
export async function enterCode(page, step, code) {
  await arrive(page, step);
  await page.waitForVisible(`#${step}-code`);
  await page.click(`#${step}-code`);
  await page.type(code);
  await page.press("Enter");
}

/** Declines the recovery codes that the pre-built UI offers after an enrollment. */
export async function declineOffer(page) {
  await arrive(page, "codes");
  // Not by coordinates: a frame gets its height at this moment.
  await page.$eval("#codes-later", (button) => button.focus());
  await page.press("Enter");
}
