// Takes pictures of every page at the width of a phone and of a desktop, light
// and dark, for people to look at: node js/screenshots.mjs FOLDER [NAME...].
// Each set below is a name and a function that visits its pages; with names,
// only those sets are taken. make screenshots runs it. The set "readme" is taken
// by name only, by make pictures: two pages in one size, for docs/pictures.

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { startDemo } from "./test/lib/demo.mjs";
import { launchBrowser, startServer } from "./test/lib/harness.mjs";
import { fillPortal, portalPages, signIn } from "./test/lib/portal.mjs";
import { arrive, backendOf, enter, managementKey, prebuiltPages, scan, setTenant } from "./test/lib/prebuilt.mjs";

const [folder, ...names] = process.argv.slice(2);
if (!folder) throw new Error("usage: node js/screenshots.mjs FOLDER [NAME...]");

const widths = { phone: { width: 390, height: 844, deviceScaleFactor: 2 }, desktop: { width: 1280, height: 800 } };
const schemes = ["light", "dark"];
/** The pictures of the README: small, for they are committed. */
const readmeWidths = { "": { width: 720, height: 836, deviceScaleFactor: 1.25 } };

/** The sets of pictures: each is given a browser and `take(page, name)`. */
const sets = {
  async readme(browser, take) {
    const server = await startServer({ dev: false });
    try {
      const page = await browser.newPage();
      const { url, password } = await server.portal();
      await signIn(page, url, password);
      await fillPortal(server, page);
      await portalPages(server, url).action(page);
      await take(page, "portal");
      const attributes = { username: "ada@example.com", locale: "en" };
      const enrollment = await backendOf(server).track({ userId: "newcomer", action: "signIn", attributes });
      await page.goto(enrollment.url);
      await scan(page);
      await take(page, "enroll");
    } finally {
      await server.stop();
    }
  },

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

  async prebuilt(browser, take) {
    const server = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
    try {
      const app = "http://app.test";
      await setTenant(server, { origins: [app] });
      const visit = async (name, run) => {
        const page = await browser.newPage(); // some pages break their requests
        await run(page);
        await page.waitForSelector("main > section:not([hidden])");
        await take(page, name);
        await page.close();
      };
      for (const [name, { run }] of Object.entries(prebuiltPages(() => ({ server, app, evil: "http://evil.test" })))) {
        await visit(name.replaceAll(" ", "-"), run);
      }
      const enroll = (attributes) => async (page) => {
        const { url } = await backendOf(server).track({ userId: `in-${attributes.locale}`, action: "signIn", attributes });
        await page.goto(url);
        await scan(page);
      };
      await visit("enroll-german", enroll({ locale: "de" }));
      const logo = `data:image/svg+xml;base64,${btoa('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 40"><rect width="160" height="40" rx="8" fill="#ffd400"/><circle cx="20" cy="20" r="10"/></svg>')}`;
      await setTenant(server, { branding: { name: "Sunny & Co", color: "#ffd400", logo } });
      await visit("branded", enroll({ locale: "en" }));
    } finally {
      await server.stop();
    }
  },

  async demo(browser, take) {
    const demo = await startDemo();
    try {
      const page = await browser.newPage();
      await page.goto(demo.url);
      await arrive(page, "signIn");
      await take(page, "sign-in");
      const begin = async (username, ...choices) => {
        await arrive(page, "signIn");
        for (const choice of choices) await page.click(`input[value=${choice}]`);
        await page.$eval("#username", (field) => (field.value = ""));
        await page.type("#username", username);
        await page.keyboard.press("Enter");
      };
      await begin("ada", "custom");
      const drawn = () => page.waitForFunction(() => document.querySelector("#qr").complete && document.querySelector("#enroll-ready").checkVisibility());
      await drawn();
      await take(page, "enroll");
      await page.type("#enroll-code", "000000");
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => document.querySelector("#enroll-error").textContent);
      await take(page, "enroll-wrong-code");
      await page.reload();
      await drawn();
      await take(page, "enroll-again");
      const phone = await scan(page);
      await enter(page, "enroll", phone.code());
      await arrive(page, "codes");
      await take(page, "codes-offer");
      await page.click("#make-form button.primary");
      await page.waitForFunction(() => document.querySelectorAll("#code-list li").length === 10);
      const codes = await page.$$eval("#code-list li", (items) => items.map((item) => item.textContent));
      await take(page, "codes");
      await page.click("#saved");
      await arrive(page, "account");
      await page.waitForFunction(() => document.querySelectorAll("#notice-list li").length === 2);
      await take(page, "account");
      const open = (part) => page.click(`#${part} summary`);
      await open("payment");
      await page.click("#pay-form button");
      await page.waitForFunction(() => document.activeElement.id === "payment-code");
      await take(page, "payment");
      for (const part of ["authenticators", "recovery", "browsers", "notices"]) {
        await open(part);
        await take(page, `account-${part}`);
      }
      await open("authenticators");
      await page.click("#authenticator-list .rename");
      await take(page, "rename");
      await page.click("#rename .close");
      await page.click("#authenticator-list .remove");
      await take(page, "confirm-remove");
      await page.click("#keep");
      await open("recovery");
      await page.click("#recovery-form button");
      await arrive(page, "challenge");
      await take(page, "confirm-code");
      await page.click("#challenge .cancel");
      await arrive(page, "account");
      await page.click("#account .sign-out");

      // Remember the browser, and sign in with a recovery code.
      await begin("ada");
      await arrive(page, "challenge");
      await take(page, "challenge");
      await page.click("#remember");
      await enter(page, "challenge", phone.code());
      await arrive(page, "account");
      await page.click("#account .sign-out");
      await begin("ada");
      await arrive(page, "account");
      await take(page, "account-remembered");
      await open("browsers");
      await take(page, "browsers");
      await page.click("#browser-list button");
      await page.waitForFunction(() => document.querySelector("#notice").textContent.includes("not remembered"));
      await page.click("#account .sign-out");
      await begin("ada");
      await arrive(page, "challenge");
      await page.click("#use-recovery");
      await arrive(page, "recover");
      await take(page, "recover");
      await enter(page, "recover", codes[0]);
      await arrive(page, "recovered");
      await take(page, "recovered");
      await page.click("#set-up");
      await drawn();
      await take(page, "enroll-new-phone");
      await enter(page, "enroll", (await scan(page)).code());
      await arrive(page, "replace");
      await take(page, "replace");
      await page.click("#replace .done");
      await arrive(page, "account");
      await page.click("#account .sign-out");

      await arrive(page, "signIn");
      await page.click("input[value=prebuilt]");
      await take(page, "sign-in-prebuilt");
      await begin("ada", "prebuilt", "window");
      await arrive(page, "prebuilt");
      await take(page, "prebuilt-window");
      await page.click("#prebuilt .sign-out");
      for (const [name, username, step] of [
        ["popup-challenge", "ada", "challenge"],
        ["popup-enroll", "grace", "enroll"],
      ]) {
        await begin(username, "prebuilt", "popup");
        const ui = await (await page.waitForSelector("iframe[name=authsignal]")).contentFrame();
        await arrive(ui, step);
        if (step === "enroll") await scan(ui);
        await page.waitForFunction(() => document.querySelector("iframe[name=authsignal]").closest("dialog").style.opacity === "1");
        await take(page, name);
        await ui.click(`#${step} .quit`);
        await page.waitForFunction(() => document.querySelector("#prebuilt-form .error").textContent);
        if (step === "challenge") await take(page, "prebuilt-closed");
        await page.click("#prebuilt .sign-out");
      }
    } finally {
      await demo.stop();
    }

    // With an enrollment policy.
    const server = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: managementKey } });
    const late = await startDemo({ AUTHSIGNAL_API_URL: server.baseUrl, AUTHSIGNAL_API_SECRET_KEY: server.apiSecretKey, AUTHSIGNAL_TENANT_ID: server.tenantId });
    try {
      await setTenant(server, { enrollmentPolicy: { requiredFrom: "2100-03-01", graceDays: 0 } });
      const page = await browser.newPage();
      await page.goto(late.url);
      await arrive(page, "signIn");
      await page.type("#username", "ada");
      await page.keyboard.press("Enter");
      await scan(page);
      await take(page, "deadline");
      await page.click("#later-form button");
      await arrive(page, "account");
      await take(page, "deadline-account");
    } finally {
      await late.stop();
      await server.stop();
    }
  },
};

const browser = await launchBrowser();
try {
  await mkdir(folder, { recursive: true });
  for (const [set, visit] of Object.entries(sets)) {
    const readme = set === "readme";
    if (names.length ? !names.includes(set) : readme) continue;
    await visit(browser, async (page, name) => {
      for (const [width, viewport] of Object.entries(readme ? readmeWidths : widths)) {
        await page.setViewport(viewport);
        for (const scheme of schemes) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
          const file = [readme ? "" : set, name, width, scheme].filter(Boolean).join("-") + ".png";
          await page.screenshot({ path: path.join(folder, file), fullPage: !readme });
        }
      }
    });
  }
} finally {
  await browser.close();
}
