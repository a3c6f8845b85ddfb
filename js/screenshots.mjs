// Takes pictures of every page at the width of a phone and of a desktop, light
// and dark, for people to look at: node js/screenshots.mjs FOLDER [NAME...].
// Each set below is a name and a function that visits its pages; with names,
// only those sets are taken. make screenshots runs it.

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { launchBrowser, startServer } from "./test/harness.mjs";
import { fillPortal, portalPages, signIn } from "./test/portal.mjs";

const [folder, ...names] = process.argv.slice(2);
if (!folder) throw new Error("usage: node js/screenshots.mjs FOLDER [NAME...]");

const widths = { phone: { width: 390, height: 844, deviceScaleFactor: 2 }, desktop: { width: 1280, height: 800 } };
const schemes = ["light", "dark"];

/** The sets of pictures: each is given a browser and `take(page, name)`. */
const sets = {
  async portal(browser, take) {
    // No flag activates the authenticator app: the first pages show it inactive.
    const server = await startServer({ dev: false });
    try {
      const page = await browser.newPage();
      const { url, password } = await server.portal();
      await page.goto(url);
      await take(page, "sign-in");
      await signIn(page, url, password);
      await take(page, "overview-empty");
      await page.goto(`${url}/t/${server.tenantId}/authenticators`);
      await take(page, "authenticators-inactive");
      await fillPortal(server, page);
      for (const [name, visit] of Object.entries(portalPages(server, url))) {
        await visit(page);
        await take(page, name);
      }
    } finally {
      await server.stop();
    }
  },
};

const browser = await launchBrowser();
try {
  await mkdir(folder, { recursive: true });
  for (const [set, visit] of Object.entries(sets)) {
    if (names.length && !names.includes(set)) continue;
    await visit(browser, async (page, name) => {
      for (const [width, viewport] of Object.entries(widths)) {
        await page.setViewport(viewport);
        for (const scheme of schemes) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
          await page.screenshot({ path: path.join(folder, `${set}-${name}-${width}-${scheme}.png`), fullPage: true });
        }
      }
    });
  }
} finally {
  await browser.close();
}
