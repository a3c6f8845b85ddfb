// What a user does in each user interface, for the story of a lost phone: in the
// pre-built UI, in the demo's own page, and in an application with the React
// components. Each interface has the same steps:
//
//	await ui.signIn(page, userId);       the first factor
//	const app = await ui.enroll(page);   the enrollment of an app
//	const codes = await ui.keep(page);   the recovery codes that are offered after it
//	await ui.enter(page, app.code(), { remember: true });
//	const app = await ui.recover(page, codes[0]);   and the new app in place of the lost one
//	const by = await ui.signedIn(page);  what the backend says of the sign-in
//	await ui.signOut(page);

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { authenticatorApp } from "./authenticator.mjs";
import { startDemo } from "./demo.mjs";
import { serve } from "./harness.mjs";
import { serveApps } from "./react.mjs";
import { arrive, authenticatorOf, enterCode } from "./steps.mjs";

/** The method by which a user signed in whose browser is trusted. */
export const trusted = "TRUSTED_BROWSER";

/** Returns a function that calls the Server API of a server, and expects a success. */
export const callsOf =
  ({ baseUrl, apiSecretKey }) =>
  async (method, path, body) => {
    const headers = { Authorization: `Basic ${btoa(`${apiSecretKey}:`)}`, "Content-Type": "application/json" };
    const response = await fetch(`${baseUrl}/${path}`, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json();
    assert.equal(response.status, 200, `${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  };

const textsOf = (page, selector) => page.evaluate((selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent.trim()), selector);

/** Types into the field that a selector finds, and presses Enter. */
async function enterInto(page, selector, text) {
  await page.waitForVisible(selector);
  await page.click(selector);
  await page.type(text);
  await page.press("Enter");
}

/** The pre-built UI, opened by redirect from an application's page. */
export async function prebuilt(server) {
  const call = callsOf(server);
  const site = await serve({
    "/": `<!doctype html><html lang="en"><title>An application</title><body>An application.`,
    "/back": `<!doctype html><html lang="en"><title>Back</title><body>Back in the application.`,
  });
  const keys = new Map();
  const ui = {
    url: site.url,
    /** The action that a page has tracked last. */
    action: (page) => keys.get(page),
    async track(page, userId, attributes = {}) {
      const action = await call("POST", `users/${userId}/actions/signIn`, { redirectUrl: `${site.url}/back`, ...attributes });
      keys.set(page, action);
      return action;
    },
    async signIn(page, userId, attributes) {
      const { url } = await ui.track(page, userId, attributes);
      await page.goto(site.url);
      // After this answer: the page that polls is left.
      await page.evaluate((url) => void setTimeout(() => location.assign(url)), url);
    },
    async enroll(page) {
      const app = await authenticatorOf(page);
      await enterCode(page, "enroll", app.code());
      return app;
    },
    async keep(page) {
      await arrive(page, "codes");
      const codes = await textsOf(page, "#codes-list li");
      await page.click("#codes-saved");
      return codes;
    },
    async enter(page, code, { remember = false } = {}) {
      await arrive(page, "challenge");
      if (remember) await page.click("#challenge-remember");
      await enterCode(page, "challenge", code);
    },
    async recover(page, code) {
      await arrive(page, "challenge");
      await page.click("#to-recovery");
      await enterInto(page, "#recovery-code", code);
      await arrive(page, "recovered");
      await page.click("#recovered-app");
      const app = await ui.enroll(page);
      // The lost app is the first of the list.
      await arrive(page, "settings");
      await page.waitFor(() => document.querySelectorAll("#list li").length === 2);
      await page.click("#list li .remove");
      await page.click("#list li .danger");
      await page.waitFor(() => document.querySelectorAll("#list li").length === 1);
      await page.click("#settings-done");
      return app;
    },
    /** The answer of validate to the token that the page has come back with. */
    async back(page) {
      const query = await page.waitFor(() => location.pathname === "/back" && location.search);
      const answer = await call("POST", "validate", { token: new URLSearchParams(query).get("token") });
      assert.equal(answer.idempotencyKey, keys.get(page).idempotencyKey);
      return answer;
    },
    async signedIn(page) {
      const { isValid, state, verificationMethod } = await ui.back(page);
      assert.equal(isValid, true, state);
      return verificationMethod;
    },
    async signOut() {},
    stop: () => site.close(),
  };
  return ui;
}

/** The demo, with the second step in its own page. */
export async function demo(server) {
  const demo = await startDemo({
    AUTHSIGNAL_API_URL: server.baseUrl,
    AUTHSIGNAL_TENANT_ID: server.tenantId,
    AUTHSIGNAL_API_SECRET_KEY: server.apiSecretKey,
  });
  const ui = {
    url: demo.url,
    async signIn(page, userId) {
      await page.goto(demo.url);
      await arrive(page, "signIn");
      await enterInto(page, "#username", userId);
    },
    async enroll(page) {
      const app = await authenticatorOf(page);
      await enterCode(page, "enroll", app.code());
      return app;
    },
    async keep(page) {
      await arrive(page, "codes");
      await page.click("#make-form button");
      await page.waitForVisible("#saved");
      const codes = await textsOf(page, "#code-list li");
      await page.click("#saved");
      return codes;
    },
    async enter(page, code, { remember = false } = {}) {
      await arrive(page, "challenge");
      if (remember) await page.click("#remember");
      await enterCode(page, "challenge", code);
    },
    async recover(page, code) {
      await arrive(page, "challenge");
      await page.click("#use-recovery");
      await arrive(page, "recover");
      await enterInto(page, "#recover-code", code);
      await arrive(page, "recovered");
      await page.click("#set-up");
      const app = await ui.enroll(page);
      await arrive(page, "replace");
      await page.click("#replace-list button");
      return app;
    },
    async signedIn(page) {
      await arrive(page, "account");
      const by = await page.waitFor(() => {
        const text = document.querySelector("#signed-in-by").textContent;
        return text !== "…" && text;
      });
      return { "A code of the app": "AUTHENTICATOR_APP", "A recovery code": "RECOVERY_CODE", "None: this browser is remembered": trusted }[by] ?? by;
    },
    async signOut(page) {
      await page.click("#account .sign-out");
      await arrive(page, "signIn");
    },
    stop: () => demo.stop(),
  };
  return ui;
}

/**
 * An application with the React components, as an integrator would write it: the page
 * asks its backend for a token, and the backend decides by validate.
 */
const app = (tenantId, baseUrl) => `
  import { StrictMode, useState } from "react";
  import { createRoot } from "react-dom/client";
  import { RecoveryCodes, TotpChallenge, TotpEnroll, useAuthsignal } from "authsignal-wasm/react";

  const post = async (path, body) => (await fetch(path, { method: "POST", body: JSON.stringify(body) })).json();
  const onEnrolled = ({ uri }) => (globalThis.uri = uri);

  function App() {
    const authsignal = useAuthsignal({ tenantId: "${tenantId}", baseUrl: "${baseUrl}", wasmUrl: "/authsignal.wasm" });
    const [step, setStep] = useState({ at: "signIn" });
    const { at, token, result } = step;

    async function signIn(event) {
      event.preventDefault();
      setStep(await post("/api/sign-in", { userId: event.target.elements.user.value }));
    }
    /** The backend validates the token, and lets the user in or not. */
    async function finish({ token, trustBrowser }, keep) {
      setStep(await post("/api/verified", { key: step.key, token, trustBrowser, keep }));
    }
    async function enrolled(result) {
      const { data } = await authsignal.recoveryCodes.status();
      if (!data || data.isDisabled) return finish(result);
      setStep({ ...step, at: "codes", result });
    }
    function verified(result) {
      if (result.verificationMethod === "RECOVERY_CODE") setStep({ ...step, at: "replace", result });
      else finish(result);
    }

    if (at === "signIn") return <form onSubmit={signIn}><label>User <input id="user" name="user" /></label> <button>Continue</button></form>;
    if (at === "enroll") return <TotpEnroll key="first" authsignal={authsignal} token={token} onEnrolled={onEnrolled} onVerified={enrolled} />;
    if (at === "codes") return <RecoveryCodes authsignal={authsignal} onConfirmed={() => finish(result)} onDeclined={() => finish(result)} />;
    if (at === "challenge") return <TotpChallenge authsignal={authsignal} token={token} recoveryCodes rememberDays={30} onVerified={verified} />;
    if (at === "replace")
      return <TotpEnroll key="another" authsignal={authsignal} token={result.token} name="New phone" onEnrolled={onEnrolled}
        onVerified={(result) => finish(result, result.userAuthenticator.userAuthenticatorId)} />;
    return <p id={at}>{step.by}</p>;
  }
  createRoot(document.querySelector("main")).render(<StrictMode><App /></StrictMode>);`;

/** The React components, in an application with a backend of its own. */
export async function react(server) {
  const call = callsOf(server);
  const users = new Map();
  const cookieOf = (request, name) =>
    request.headers.cookie
      ?.split("; ")
      .find((pair) => pair.startsWith(`${name}=`))
      ?.slice(name.length + 1);
  const setCookie = (response, userId, value = "", seconds = 0) => response.setHeader("Set-Cookie", `device-${userId}=${value}; HttpOnly; SameSite=Lax; Path=/; Max-Age=${seconds}`);
  /** A route that answers with JSON to the JSON of a request. */
  const route = (answer) => async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = await answer(JSON.parse(text), request, response);
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  };
  const site = await serveApps({ app: app(server.tenantId, server.baseUrl) }, server, {
    "/api/sign-in": route(async ({ userId }, request, response) => {
      const key = randomUUID();
      const device = cookieOf(request, `device-${userId}`);
      const tracked = await call("POST", `users/${userId}/actions/signIn`, { idempotencyKey: key, deviceToken: device, userAgent: request.headers["user-agent"] });
      if (tracked.deviceToken) setCookie(response, userId, tracked.deviceToken, 90 * 24 * 3600);
      else if (device) setCookie(response, userId);
      if (tracked.state === "ALLOW" && tracked.isTrusted) return { at: "in", by: trusted };
      users.set(key, userId);
      return { at: tracked.isEnrolled ? "challenge" : "enroll", token: tracked.token, key };
    }),
    "/api/verified": route(async ({ key, token, trustBrowser, keep }, _request, response) => {
      const userId = users.get(key);
      const answer = await call("POST", "validate", { token, userId, action: "signIn", trustBrowser: Boolean(trustBrowser) });
      if (!answer.isValid || answer.idempotencyKey !== key) return { at: "out", by: answer.state };
      if (answer.deviceToken) setCookie(response, userId, answer.deviceToken, 30 * 24 * 3600);
      if (keep) {
        for (const { userAuthenticatorId: id } of await call("GET", `users/${userId}/authenticators`)) {
          if (id !== keep) await call("DELETE", `users/${userId}/authenticators/${id}`);
        }
      }
      return { at: "in", by: answer.verificationMethod };
    }),
  });
  await site.bundle(19);
  const field = "[data-authsignal=code]";
  const ui = {
    url: site.url,
    async signIn(page, userId) {
      await page.goto(`${site.url}/app19.html`);
      await page.waitForVisible("#user");
      await enterInto(page, "#user", userId);
    },
    async enroll(page) {
      const app = authenticatorApp(await page.waitFor(() => globalThis.uri));
      await page.waitFor(() => document.querySelector("[data-authsignal=qr-code]")?.naturalWidth > 0);
      await page.evaluate(() => void (globalThis.uri = undefined));
      await enterInto(page, field, app.code());
      return app;
    },
    async keep(page) {
      await page.waitForVisible("[data-authsignal=recovery-codes]");
      const codes = await textsOf(page, "[data-authsignal=recovery-codes] li");
      await enterInto(page, field, codes[4].toLowerCase()); // which is not used up
      return codes;
    },
    async enter(page, code, { remember = false } = {}) {
      await page.waitForVisible("[data-authsignal=remember]");
      if (remember) await page.click("[data-authsignal=remember] input");
      await enterInto(page, field, code);
    },
    async recover(page, code) {
      await page.waitForVisible("[data-authsignal=switch]");
      await page.click("[data-authsignal=switch]");
      await page.waitFor(() => !document.querySelector("[data-authsignal=remember]"));
      await enterInto(page, field, code);
      await page.waitForVisible("[data-authsignal=continue]");
      await page.click("[data-authsignal=continue]");
      return ui.enroll(page);
    },
    signedIn: (page) => page.waitFor(() => document.querySelector("#in, #out")?.textContent),
    async signOut() {},
    stop: () => site.close(),
  };
  return ui;
}
