import { Authsignal as Backend } from "@authsignal/node";
import { URI } from "otpauth";
import { launchBrowser, startServer } from "./harness.mjs";
const api = await startServer({ env: { AUTHSIGNAL_MANAGEMENT_KEY: "management-key-for-tests" } });
const backend = new Backend({ apiSecretKey: api.apiSecretKey, apiUrl: api.baseUrl });
const browser = await launchBrowser();
const manage = (path, body) => fetch(`${api.baseUrl}/management/${path}`, { method: "PUT", headers: { Authorization: "Basic " + btoa("management-key-for-tests:"), "Content-Type": "application/json" }, body: JSON.stringify(body) });
if (process.argv[2]) await manage("tenants/tenant-1", JSON.parse(process.argv[2]));
const track = (userId, more = {}) => backend.track({ userId, action: "signIn", attributes: { redirectUrl: "http://localhost:9/back", ...more } });
const only = process.argv[3];
const secrets = {};
async function enrolled(userId) {
  const { token } = await track(userId);
  const post = (p, body) => fetch(`${api.baseUrl}/client/${p}`, { method: "POST", headers: { Authorization: "Bearer " + token, "Content-Type": "application/json" }, body });
  const { uri } = await (await post("user-authenticators/totp")).json();
  await post("verify/totp", JSON.stringify({ verificationCode: URI.parse(uri).generate() }));
}
await enrolled("jane");
const pages = {
  enroll: async () => (await track("new-" + Math.random())).url,
  enrollPopup: async () => (await track("new-" + Math.random())).url + "&mode=popup",
  challenge: async () => (await track("jane")).url,
  challengeWrong: async () => (await track("jane")).url,
  settings: async () => (await track("jane", { redirectToSettings: true, scope: "add:authenticators remove:authenticators", idempotencyKey: "s" })).url,
  missing: async () => api.baseUrl.replace("/v1", "/"),
  invalid: async () => api.baseUrl.replace("/v1", "/?token=x"),
  blocked: async () => { const t = await track("jane"); await backend.updateAction({ userId: "jane", action: "signIn", idempotencyKey: t.idempotencyKey, attributes: { state: "BLOCK" } }); return t.url; },
  done: async () => { const t = await track("jane"); await backend.updateAction({ userId: "jane", action: "signIn", idempotencyKey: t.idempotencyKey, attributes: { state: "CHALLENGE_SUCCEEDED" } }); return t.url; },
};
for (const [name, url] of Object.entries(pages)) {
  if (only && !only.split(",").includes(name)) continue;
  for (const scheme of ["light", "dark"]) for (const [size, viewport] of Object.entries({ phone: { width: 360, height: 740, isMobile: true, hasTouch: true, deviceScaleFactor: 1 }, desktop: { width: 1100, height: 760 } })) {
    const page = await browser.newPage();
    page.on("console", (m) => m.type() === "error" && console.log(name, m.text()));
    page.on("pageerror", (e) => console.log(name, "uncaught", e.message));
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    if (process.argv[4]) await page.setExtraHTTPHeaders({ "Accept-Language": process.argv[4] });
    await page.goto(await url(), { waitUntil: "networkidle0" });
    if (name === "challengeWrong") { await page.type("#challenge-code", "123 456"); await page.keyboard.press("Enter"); await page.waitForSelector(".error:not(:empty)", { visible: true }); }
    if (name === "settings") { const b = await page.$(".remove"); if (b) await b.click(); }
    await page.screenshot({ path: `/tmp/shots/${name}-${size}-${scheme}.png`, fullPage: true });
    await page.close();
  }
}
await browser.close(); await api.stop();
