// The parts that the tests and the pictures of the portal share: the sign-in, sample
// data, and the steps to each page.

import { Authsignal } from "@authsignal/node";
import { TOTP, URI } from "otpauth";

/** Clicks a link or button that leads to another page, and waits for the page. */
export async function follow(page, selector) {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

/** Signs in to the portal. */
export async function signIn(page, url, password) {
  await page.goto(`${url}/sign-in`);
  await page.type("#password", password);
  await follow(page, "main form button");
}

/** Activates the authenticator app by the set-up form. */
export async function activate(page, url, tenantId) {
  await page.goto(`${url}/t/${tenantId}/authenticators/app`);
  await follow(page, "button[value=activate]");
}

const rules = [
  { name: "large amounts", description: "A payment of more than 1000 needs a code.", condition: "has(custom.amount) && custom.amount > 1000", outcome: "CHALLENGE" },
  { name: "from a data centre", description: "", condition: 'isIP(ip) && cidr("198.51.100.0/24").containsIP(ip)', outcome: "BLOCK" },
];

/** The id of a user that looks like "ada" if it is not escaped: it begins with a zero-width space and reverses its end. */
export const disguised = "\u200bada\u202enimda";

/** Fills the store that the portal shows: users, actions in many states, rules, wrong codes. */
export async function fillPortal(server, page) {
  const { url } = await server.portal();
  await activate(page, url, server.tenantId);
  for (const rule of rules) {
    await page.goto(`${url}/t/${server.tenantId}/actions/createPayment/rule`);
    await page.type("#name", rule.name);
    await page.type("#description", rule.description);
    await page.type("#condition", rule.condition);
    await page.select("#outcome", rule.outcome);
    await follow(page, "button[value=save]");
  }
  await page.goto(`${url}/t/${server.tenantId}/actions/createPayment`);
  await page.select("#outcome", "ALLOW");
  await follow(page, "form:has(#outcome) button");
  await page.goto(`${url}/t/${server.tenantId}/keys`);
  await page.type("#origin-list", "https://app.example.com\nhttp://localhost:3000");
  await follow(page, "form[action$=origins] button");

  const authsignal = new Authsignal({ apiSecretKey: server.apiSecretKey, apiUrl: server.baseUrl });
  const client = (token, path, body) =>
    fetch(server.baseUrl + path, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }).then((answer) => answer.json());
  for (const [i, userId] of ["ada", "grace", "katherine", "a-user-with-a-rather-long-id@subsidiary.example.com", disguised, "مدير 7"].entries()) {
    const attributes = {
      email: `${userId.split("@")[0]}@example.com`,
      username: userId.slice(0, 12),
      ipAddress: "203.0.113.7",
      userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    };
    const { token } = await authsignal.track({ userId, action: "signIn", attributes });
    if (i < 3) {
      const { uri } = await client(token, "/client/user-authenticators/totp", {});
      const app = URI.parse(uri);
      if (!(app instanceof TOTP)) throw new Error("not an authenticator app");
      await client(token, "/client/verify/totp", { verificationCode: app.generate() });
      const second = await authsignal.track({ userId, action: "signIn", attributes });
      for (let n = 0; n < i * 6; n++) await client(second.token, "/client/verify/totp", { verificationCode: "000000" });
    }
    await authsignal.track({ userId, action: "createPayment", attributes: { ...attributes, custom: { amount: 5000 } } });
    await authsignal.track({ userId, action: "createPayment", attributes: { ...attributes, ipAddress: "198.51.100.9" } });
  }
  await authsignal.updateUser({ userId: "katherine", attributes: { displayName: "Katherine J.", custom: { plan: "gold", seats: 3 } } });
}

/** The steps to each page of a filled portal, by name. */
export function portalPages(server, url) {
  const tenant = `${url}/t/${server.tenantId}`;
  const at = (path) => (page) => page.goto(tenant + path);
  return {
    overview: at(""),
    authenticators: at("/authenticators"),
    "authenticator-app": at("/authenticators/app"),
    "confirm-deactivate": at("/authenticators/stop"),
    keys: at("/keys"),
    "keys-new": async (page) => {
      await page.goto(`${tenant}/keys`);
      await follow(page, "form[action$=keys] button");
    },
    actions: at("/actions"),
    action: at("/actions/createPayment"),
    "action-dry-run": async (page) => {
      await page.goto(`${tenant}/actions/signIn`);
      await page.select("#policy", "own");
      await page.$eval("#requiredFrom", (input) => (input.value = "2020-03-01T09:00"));
      await follow(page, "form[action$=enrollment] button[value=try]");
    },
    "rule-new": at("/actions/createPayment/rule"),
    "rule-broken": async (page) => {
      await page.goto(`${tenant}/actions/createPayment/rule`);
      await page.type("#name", "broken");
      await page.type("#condition", 'user.isEnrolled &&\n  usr.email == ""');
      await follow(page, "button[value=try]");
    },
    "rule-tried": async (page) => {
      await page.goto(`${tenant}/actions/createPayment/rule`);
      await page.type("#name", "new devices");
      await page.type("#condition", "device.isNew && user.isEnrolled");
      await follow(page, "button[value=try]");
    },
    users: at("/users"),
    "users-found": at("/users?q=kath"),
    user: at("/users/user?id=katherine"),
    "user-disguised": at(`/users/user?id=${encodeURIComponent(disguised)}`),
    "recovery-link": at("/users/recover?id=ada"),
    "recovery-link-issued": async (page) => {
      await page.goto(`${tenant}/users/recover?id=grace`);
      await page.type("#operator", "Jo");
      await page.click("#authenticators");
      await follow(page, "main form button");
    },
    "user-with-link": async (page) => {
      await page.goto(`${tenant}/users/recover?id=katherine`);
      await page.type("#operator", "Jo");
      await page.click("#codes");
      await follow(page, "main form button");
      await follow(page, "main a.button");
    },
    "confirm-reset": at("/users/change?do=reset&id=ada"),
    "confirm-end": at(`/users/change?do=end&id=${encodeURIComponent(disguised)}`),
    "confirm-delete": at("/users/change?do=delete&id=ada"),
    activity: at("/activity?range=week"),
    "activity-blocked": at("/activity?what=BLOCK"),
    "activity-disguised": at(`/activity?user=${encodeURIComponent(disguised)}`),
    settings: at("/settings"),
    "settings-dry-run": async (page) => {
      await page.goto(`${tenant}/settings`);
      await page.$eval("#requiredFrom", (input) => (input.value = "2030-03-01T09:00"));
      await page.$eval("#graceDays", (input) => (input.value = "14"));
      await follow(page, "form[action$=enrollment] button[value=try]");
    },
    password: (page) => page.goto(`${url}/account`),
    "not-found": (page) => page.goto(`${url}/no-such-page`),
  };
}
