// One page over three engines: Chromium and Firefox by puppeteer-core, the
// latter over WebDriver BiDi, and WebKit by its own WebDriver under Xvfb. A test
// is written once, for all engines:
//
//	const browser = await openBrowser("Firefox");
//	const page = await browser.newPage();
//	await page.goto(site.url);
//	const title = await page.evaluate(() => document.title);
//	assert.deepEqual(await page.problems(site.url), []);
//	await page.close();
//	await browser.close();
//
// An engine that is not installed is an error that names what to install. What
// one engine alone can do (Chromium's DevTools protocol) is behind
// `page.native`, and what an engine cannot do throws an error that names it.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { accessSync, constants, rmSync } from "node:fs";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";
import { Builder, By, Capabilities } from "selenium-webdriver";

/**
 * The engines by name in which a test of the package is run: all, unless
 * ENGINES names some of them, with commas between. One that is not installed is
 * a failure.
 */
export const engines = (process.env.ENGINES ?? "Chromium,Firefox,WebKit").split(",");
for (const engine of engines) {
  if (!["Chromium", "Firefox", "WebKit"].includes(engine)) throw new Error(`ENGINES: there is no engine ${engine}`);
}

const programs = {
  Chromium: { variable: "CHROMIUM", names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"], debian: "chromium" },
  Firefox: { variable: "FIREFOX", names: ["firefox-esr", "firefox"], debian: "firefox-esr" },
  WebKit: { variable: "WEBKIT_DRIVER", names: ["WebKitWebDriver"], debian: "webkit2gtk-driver" },
  Xvfb: { variable: "XVFB", names: ["Xvfb"], debian: "xvfb" },
};

/**
 * The program of an engine (WebKit: its driver) or of Xvfb: the one that an
 * environment variable names, or the first in PATH by a name that .ci/tools
 * takes.
 */
export function findProgram(engine, env = process.env) {
  const { variable, names, debian } = programs[engine];
  if (env[variable]) return env[variable];
  for (const name of names) {
    for (const dir of (env.PATH ?? "").split(path.delimiter)) {
      const file = path.join(dir, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // It is not this one.
      }
    }
  }
  throw new Error(`the tests need ${engine}, as ${names.join(" or ")} in PATH or its path in ${variable}: apt-get install ${debian}`);
}

/** How long a page may take for anything, in milliseconds. The machine may be busy. */
const patience = 60_000;

const temps = new Set();
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const dir of temps) rmSync(dir, { recursive: true, force: true });
});

/** A home of its own for a browser: nothing of the user's is read, and the user may have none. */
async function makeHome() {
  const dir = await mkdtemp(path.join(tmpdir(), "authsignal-browser-"));
  temps.add(dir);
  return {
    env: { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir, XDG_CACHE_HOME: dir, XDG_DATA_HOME: dir },
    // The last processes of a browser may outlive its main one for a moment, and write.
    async remove() {
      for (const deadline = Date.now() + patience; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
        try {
          rmSync(dir, { recursive: true, force: true });
          temps.delete(dir);
          return;
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
      }
    },
  };
}

function start(program, args, options) {
  const child = spawn(program, args, options);
  children.add(child);
  const ended = new Promise((resolve) => child.once("exit", resolve).once("error", resolve)).then(() => children.delete(child));
  return {
    child,
    ended,
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/**
 * Starts an engine. `scheme` is "light" or "dark", the value of
 * prefers-color-scheme in its pages. The browser has `newPage({ viewport })`, a page in a
 * context of its own (no cookie, storage or cache shared with another page;
 * see Page.setViewport), and `close()`.
 */
export async function openBrowser(engine, { scheme = "light" } = {}) {
  if (!engines.includes(engine)) throw new TypeError(`no engine is called ${engine}`);
  const home = await makeHome();
  try {
    return await (engine === "WebKit" ? openWebKit(home, scheme) : openByPuppeteer(engine, home, scheme));
  } catch (error) {
    await home.remove();
    throw error;
  }
}

/** Waits for input that may close the window or frame that it goes to before the key is let go. */
export async function unlessGone(input) {
  try {
    await input;
  } catch (error) {
    if (!/closed|detached|no such (window|frame)|NoSuch(Window|Frame)/i.test(`${error.name} ${error.message}`)) throw error;
  }
}

/**
 * A page, the same for every engine; and a frame in it, or a window that it has
 * opened, as `frame` and `opens` give them. The methods of a whole page
 * (goto, clickAt, setViewport, screenshot, problems, close) are those of the page
 * or window, not of a frame.
 */
class Page {
  _found = [];
  _urls = [];
  /** The engine's name. */
  engine;
  /** What drives it: puppeteer's Page, or selenium-webdriver's WebDriver. */
  native;

  constructor(engine, native) {
    this.engine = engine;
    this.native = native;
  }

  /**
   * Runs a function in the page, waits for its promise, and returns its result.
   * Arguments and result pass as JSON: undefined keys are dropped, and the
   * function cannot use the test's scope. A string is an expression.
   */
  async evaluate(check, ...args) {
    const call = typeof check === "function" ? `(${check})(...${JSON.stringify(args)})` : `(${check})`;
    const json = await this._evaluate(`(async () => JSON.stringify(await ${call}))()`);
    return json === undefined || json === null ? undefined : JSON.parse(json);
  }

  /** Runs a function of the element that a CSS selector finds first, as evaluate. */
  async $eval(selector, check, ...args) {
    const missing = `no element is ${selector}`;
    return this.evaluate(
      `(() => {
        const element = document.querySelector(${JSON.stringify(selector)});
        if (!element) throw new Error(${JSON.stringify(missing)});
        return (${check})(element, ...${JSON.stringify(args)});
      })()`,
    );
  }

  /** Focuses the element that a CSS selector finds. */
  async focus(selector) {
    await this.$eval(selector, (element) => element.focus());
  }

  /** Waits until the element that a CSS selector finds is visible. */
  async waitForVisible(selector) {
    await this.waitFor((selector) => document.querySelector(selector)?.checkVisibility(), selector);
  }

  /**
   * Polls a function in the page until its result is truthy, and returns the
   * result. It tries again while the page is navigating.
   */
  async waitFor(condition, ...args) {
    const deadline = Date.now() + patience / 2;
    for (;;) {
      let last;
      try {
        last = await this.evaluate(condition, ...args);
        if (last) return last;
      } catch (error) {
        last = error;
      }
      if (Date.now() > deadline) {
        const problems = await this.problems().catch(String);
        throw new Error(
          `${this.engine}: waited in vain for ${condition} of ${JSON.stringify(args)}; at last it was ${last}; ` + `the page's problems and requests: ${JSON.stringify(problems)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * The problems of the page so far, in order:
   *
   *	console: TEXT         console.error, or a policy violated
   *	uncaught: ERROR       an uncaught error or rejection
   *	response: 404 URL     an answer of 400 or above
   *	failed: URL           a request that got no answer, unless the page itself aborted it
   *	request: URL          a request to another host than those of `urls`
   *
   * A request for /favicon.ico is the browser's own and left out. WebKit
   * reports the problems of the current document, and those that an earlier
   * document of the same origin had when it was left.
   */
  async problems(...urls) {
    const hosts = new Set(urls.map((url) => new URL(url).host));
    const foreign = this._urls.filter((text) => {
      const url = new URL(text);
      return /^(http|ws)s?:$/.test(url.protocol) && url.pathname !== "/favicon.ico" && !hosts.has(url.host);
    });
    const found = (await this._problems()).filter((p) => !/^console: Content-Security-Policy: .*\/favicon\.ico/.test(p));
    return [...found, ...foreign.map((url) => `request: ${url}`)];
  }

  /** Empties the list of problems. */
  async forget() {
    await this._problems(); // pending messages have then arrived
    this._urls = [];
    this._found = [];
    await this.evaluate(() => void globalThis[Symbol.for("test:problems")]?.splice(0));
  }

  /** Presses a key by its name in KeyboardEvent.key, with others held: "Enter", "Shift+Tab". It may close the window. */
  async press(keys) {
    const names = keys.split("+");
    await unlessGone(this._press(names.pop(), names));
  }
}

const ownAffair = (url) => new URL(url).pathname === "/favicon.ico";

// ---- Chromium and Firefox ----

/** puppeteer's pages that have opened another, or were opened. */
const beside = new WeakSet();

class PuppeteerPage extends Page {
  static async open(engine, browser, scheme, viewport) {
    const context = await browser.createBrowserContext();
    const page = new PuppeteerPage(engine, await context.newPage());
    page._context = context;
    page._listen();
    page.native.setDefaultTimeout(patience);
    if (engine === "Chromium") {
      await page.native.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    }
    await page.setViewport(viewport);
    return page;
  }

  _listen() {
    this.native.on("console", (message) => {
      // Chromium also reports the answers and failures that come as events.
      if (message.type() === "error" && !/^Failed to load resource:/.test(message.text())) {
        this._found.push(`console: ${message.text()}`);
      }
    });
    this.native.on("pageerror", (error) => {
      // Firefox's message has the error's name; violations of a policy come the same way.
      const text = this.engine === "Firefox" ? error.message : String(error);
      if (/^Cross-Origin Request Blocked:.*CORS request did not succeed/.test(text)) return; // a failed request, which has its event
      this._found.push(`${/^(Content-Security-Policy|Cross-Origin Request Blocked):/.test(text) ? "console" : "uncaught"}: ${text}`);
    });
    this.native.on("request", (request) => this._urls.push(request.url()));
    this.native.on("response", (response) => {
      if (response.status() >= 400 && !ownAffair(response.url())) this._found.push(`response: ${response.status()} ${response.url()}`);
    });
    this.native.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText ?? "";
      if (!/ABORT|BLOCKED_BY_CSP|BLOCKED_BY_RESPONSE/i.test(reason) && !ownAffair(request.url())) this._found.push(`failed: ${request.url()}`);
    });
  }

  _evaluate(text) {
    return (this._frame ?? this.native).evaluate(text);
  }

  async _problems() {
    await this.native.evaluate("0"); // earlier events have then arrived
    return [...this._found];
  }

  /** The document in the frame that a CSS selector finds, when it is there. */
  async frame(selector) {
    await this.waitForVisible(selector);
    const element = await this.native.$(selector);
    const frame = new PuppeteerPage(this.engine, this.native);
    Object.assign(frame, { _frame: await element.contentFrame(), _found: this._found, _urls: this._urls });
    return frame;
  }

  /** The window that an action makes the page open. It is a page of its own in the same context. */
  async opens(action) {
    const opened = new Promise((resolve, reject) => {
      this.native.once("popup", resolve);
      setTimeout(() => reject(new Error(`${this.engine}: no window was opened`)), patience).unref();
    });
    await action();
    const page = new PuppeteerPage(this.engine, await opened);
    beside.add(this.native).add(page.native);
    page._listen();
    page.native.setDefaultTimeout(patience);
    return page;
  }

  /** Goes to a URL and waits until it is loaded. */
  async goto(url) {
    await this.native.goto(url);
  }

  async reload() {
    await this.native.reload();
  }

  /** Clicks into the middle of the element that a CSS selector finds. */
  async click(selector) {
    // Chromium lays out nothing in a page behind a window.
    if (beside.has(this.native)) await this.native.bringToFront();
    await (this._frame ?? this.native).click(selector);
  }

  /** Clicks at a point of the viewport, in CSS pixels. */
  async clickAt(x, y) {
    await this.native.mouse.click(x, y);
  }

  /** Types into the element that has the focus. */
  async type(text) {
    await this.native.keyboard.type(text);
  }

  async _press(key, held) {
    for (const k of held) await this.native.keyboard.down(k);
    await this.native.keyboard.press(key);
    for (const k of held.reverse()) await this.native.keyboard.up(k);
  }

  /** A PNG of the viewport, or with fullPage of all of the page (WebKit cannot). */
  async screenshot({ fullPage = false } = {}) {
    return Buffer.from(await this.native.screenshot({ fullPage }));
  }

  /**
   * Sets the viewport's width and height in CSS pixels, and the device pixels
   * in each (WebKit: a whole number, given to newPage). With `touch` it is a
   * phone's, with touch instead of a mouse, which only Chromium can emulate.
   */
  async setViewport({ width = 1280, height = 800, scale = 1, touch = false } = {}) {
    if (touch && this.engine !== "Chromium") throw new Error("Firefox plays no phone");
    await this.native.setViewport({ width, height, deviceScaleFactor: scale, isMobile: touch, hasTouch: touch });
  }

  /** Closes the page and its context; or the window. */
  async close() {
    await (this._context ?? this.native).close();
  }
}

async function openByPuppeteer(engine, home, scheme) {
  const browser = await puppeteer.launch({
    executablePath: findProgram(engine),
    headless: true,
    env: home.env,
    timeout: patience,
    protocolTimeout: 3 * patience,
    ...(engine === "Chromium"
      ? {
          args: [
            "--no-sandbox", // root has none, nor has a container; all that is opened is our own
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
          ],
        }
      : {
          browser: "firefox",
          extraPrefsFirefox: { "layout.css.prefers-color-scheme.content-override": scheme === "dark" ? 0 : 1 },
        }),
  });
  return {
    engine,
    /** puppeteer's Browser. */
    native: browser,
    newPage: ({ viewport } = {}) => PuppeteerPage.open(engine, browser, scheme, viewport),
    async close() {
      await browser.close();
      await home.remove();
    },
  };
}

// ---- WebKit ----
//
// WebKitGTK's WebDriver is the classic one: it reports neither the console nor
// requests, and runs no script before a page's own. So its pages go through a
// proxy, which sees the requests, lets none leave this machine, and inserts a
// script before all others into each HTML document, whose policy it extends by
// the hash of that script. Its automated windows are private and print nothing
// on standard output either.

/** Runs first in every document, and records its problems. */
const monitor = `(${() => {
  document.currentScript.remove();
  const key = "test:problems";
  const problems = [];
  try {
    problems.push(...JSON.parse(sessionStorage.getItem(key) ?? "[]"));
    sessionStorage.removeItem(key);
  } catch {
    // A document without an origin has no storage.
  }
  Object.defineProperty(globalThis, Symbol.for(key), { value: problems });
  const text = (value) => {
    try {
      return String(value);
    } catch {
      return "a value without a text";
    }
  };
  const { error } = console;
  console.error = function (...args) {
    problems.push(`console: ${args.map(text).join(" ")}`);
    return error.apply(this, args);
  };
  addEventListener("error", (event) => problems.push(`uncaught: ${text(event.error ?? event.message)}`));
  addEventListener("unhandledrejection", (event) => problems.push(`uncaught: ${text(event.reason)}`));
  document.addEventListener("securitypolicyviolation", (event) => {
    problems.push(`console: Content-Security-Policy: ${event.effectiveDirective} blocked ${event.blockedURI}`);
  });
  addEventListener("pagehide", () => {
    if (problems.length) sessionStorage.setItem(key, JSON.stringify(problems));
  });
}})();`;
const monitorHash = `'sha256-${createHash("sha256").update(monitor).digest("base64")}'`;

/** Returns a policy extended by the monitor. */
export function admitMonitor(policy) {
  const directives = policy
    .split(";")
    .map((d) => d.trim().split(/\s+/))
    .filter(([name]) => name);
  const named = (name) => directives.find(([n]) => n.toLowerCase() === name);
  let scripts = named("script-src-elem") ?? named("script-src");
  if (!scripts) {
    const all = named("default-src");
    if (!all) return policy;
    directives.push((scripts = ["script-src", ...all.slice(1)]));
  }
  const open = scripts.includes("'unsafe-inline'") && !scripts.some((s) => /^'(nonce|sha\d+)-/.test(s));
  if (!open) scripts.splice(1, Infinity, ...scripts.slice(1).filter((s) => s.toLowerCase() !== "'none'"), monitorHash);
  return directives.map((d) => d.join(" ")).join("; ");
}

const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const ownHosts = new Set([hostname().toLowerCase(), ...Object.values(networkInterfaces()).flatMap((list) => list.map(({ address }) => address))]);
/** Reports whether a host is this machine. */
const isOwn = (host) => loopback.test(host) || ownHosts.has(host);

/** The proxy of one page. It reports requests and their outcome. */
async function openProxy(onRequest, onProblem) {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url);
    onRequest(url.href);
    if (url.protocol !== "http:" || !isOwn(url.hostname)) {
      onProblem(`failed: ${url}`);
      return response.destroy();
    }
    const headers = { ...request.headers };
    delete headers["proxy-connection"];
    // Uncompressed, so that the monitor can be put in.
    if (/text\/html/.test(headers.accept)) delete headers["accept-encoding"];
    const upstream = http.request(url, { method: request.method, headers, agent: false });
    let left = false;
    response.on("close", () => {
      left = !response.writableFinished;
      upstream.destroy();
    });
    const fail = () => {
      if (!left) onProblem(`failed: ${url}`);
      response.destroy();
    };
    upstream.on("error", fail);
    upstream.on("response", async (answer) => {
      answer.on("error", fail);
      if (answer.statusCode >= 400 && !ownAffair(url)) onProblem(`response: ${answer.statusCode} ${url}`);
      const html = /^text\/html/.test(answer.headers["content-type"]) && !answer.headers["content-encoding"] && request.method !== "HEAD";
      if (!html) {
        response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
        response.flushHeaders();
        return answer.pipe(response);
      }
      const chunks = [];
      try {
        for await (const chunk of answer) chunks.push(chunk);
      } catch {
        return;
      }
      const raw = [];
      for (let i = 0; i < answer.rawHeaders.length; i += 2) {
        const [name, value] = answer.rawHeaders.slice(i, i + 2);
        if (/^(content-length|transfer-encoding)$/i.test(name)) continue;
        raw.push(name, /^content-security-policy(-report-only)?$/i.test(name) ? admitMonitor(value) : value);
      }
      // Only documents get it: the bodies of a page's requests are unchanged.
      const body = Buffer.concat(chunks);
      const mode = request.headers["sec-fetch-dest"];
      const document = mode ? /^(document|iframe|frame)$/.test(mode) : /text\/html/.test(request.headers.accept);
      const at = document ? (/^\s*<!doctype[^>]*>/i.exec(body.toString("latin1"))?.[0].length ?? 0) : 0;
      const parts = document && body.length > 0 ? [body.subarray(0, at), Buffer.from(`<script>${monitor}</script>`), body.subarray(at)] : [body];
      response.writeHead(answer.statusCode, answer.statusMessage, raw);
      response.end(Buffer.concat(parts));
    });
    request.pipe(upstream);
  });
  server.on("connect", (request, socket) => {
    onRequest(`https://${request.url.replace(/:443$/, "")}/`);
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${server.address().port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Code points of keys: W3C WebDriver, 17.4.2.
const keyCodes = {
  Alt: "\uE00A",
  ArrowDown: "\uE015",
  ArrowLeft: "\uE012",
  ArrowRight: "\uE014",
  ArrowUp: "\uE013",
  Backspace: "\uE003",
  Control: "\uE009",
  Delete: "\uE017",
  End: "\uE010",
  Enter: "\uE007",
  Escape: "\uE00C",
  Home: "\uE011",
  PageDown: "\uE00F",
  PageUp: "\uE00E",
  Shift: "\uE008",
  Tab: "\uE004",
};

class WebKitPage extends Page {
  static async open(env, viewport = {}) {
    const page = new WebKitPage("WebKit");
    page._scale = viewport.scale ?? 1;
    try {
      page._proxy = await openProxy(
        (url) => page._urls.push(url),
        (problem) => page._found.push(problem),
      );
      await page._start(env).catch(() => page._start(env));
      page._handle = await page.native.getWindowHandle();
      page._place = { of: page };
      await page.setViewport(viewport);
      return page;
    } catch (error) {
      await page.close();
      throw error;
    }
  }

  /**
   * Starts a driver, which has one session at a time, and its browser. On a busy
   * machine the browser may exit as it starts, and the driver would wait for it
   * without end: it is stopped after a time, and the caller tries again.
   */
  async _start(env) {
    await this._driver?.stop();
    const port = await freePort();
    const driver = start(findProgram("WebKit"), ["--host=127.0.0.1", `--port=${port}`], {
      env: { ...env, GDK_SCALE: String(this._scale) },
      stdio: "ignore",
    });
    this._driver = driver;
    let ended = false;
    driver.ended.then(() => (ended = true));
    const timer = setTimeout(driver.stop, patience); // what waits for it then fails
    try {
      const url = `http://127.0.0.1:${port}`;
      while (
        !(await fetch(`${url}/status`).then(
          (r) => r.ok,
          () => false,
        ))
      ) {
        if (ended) throw new Error("WebKitWebDriver ended");
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      this.native = await new Builder()
        .usingServer(url)
        .withCapabilities(
          new Capabilities({
            browserName: "MiniBrowser",
            proxy: { proxyType: "manual", httpProxy: this._proxy.address, sslProxy: this._proxy.address },
            timeouts: { script: 3 * patience, pageLoad: patience },
          }),
        )
        .build();
    } catch (cause) {
      throw new Error("WebKit did not start", { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Points the driver, which has one place at a time, at this page: its window,
   * and in this its frame. Pages that share a driver are not used at once.
   */
  async _enter() {
    if (this._place.of === this && !this._selector) return;
    await this.native.switchTo().window(this._handle);
    this._place.of = this;
    if (this._selector) await this.native.switchTo().frame(await this.native.findElement(By.css(this._selector)));
  }

  async frame(selector) {
    await this.waitForVisible(selector);
    return this._beside({ _handle: this._handle, _selector: selector });
  }

  async opens(action) {
    const before = new Set(await this.native.getAllWindowHandles());
    await action();
    for (const deadline = Date.now() + patience; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const handle = (await this.native.getAllWindowHandles()).find((handle) => !before.has(handle));
      if (handle) return this._beside({ _handle: handle });
      if (Date.now() > deadline) throw new Error("WebKit: no window was opened");
    }
  }

  _beside(place) {
    const page = new WebKitPage(this.engine, this.native);
    return Object.assign(page, { _scale: this._scale, _place: this._place, _found: this._found, _urls: this._urls, _root: this }, place);
  }

  async _evaluate(text) {
    await this._enter();
    const [outcome, value] = await this.native.executeAsyncScript(
      `const done = arguments[0];
      (async () => ${text})().then((v) => done(["value", v]), (e) => done(["error", e instanceof Error ? e + "\\n" + e.stack : String(e)]));`,
    );
    if (outcome === "error") throw new Error(value);
    return value;
  }

  async _problems() {
    const inPage = await this.evaluate(() => globalThis[Symbol.for("test:problems")] ?? []);
    return [...inPage, ...this._found];
  }

  async goto(url) {
    await this._enter();
    await this.native.get(url);
  }

  async reload() {
    await this._enter();
    await this.native.navigate().refresh();
  }

  async click(selector) {
    await this._enter();
    await this.native.findElement(By.css(selector)).click();
  }

  async clickAt(x, y) {
    await this._enter();
    await this.native.actions().move({ x, y, duration: 0 }).click().perform();
  }

  async type(text) {
    await this._enter();
    await this.native.actions().sendKeys(text).perform();
  }

  async _press(key, held) {
    await this._enter();
    const code = (k) => keyCodes[k] ?? k;
    const actions = this.native.actions();
    for (const k of held) actions.keyDown(code(k));
    actions.keyDown(code(key)).keyUp(code(key));
    for (const k of held.reverse()) actions.keyUp(code(k));
    await actions.perform();
  }

  async screenshot({ fullPage = false } = {}) {
    if (fullPage) throw new Error("WebKit makes no screenshot of a full page");
    await this._enter();
    return Buffer.from(await this.native.takeScreenshot(), "base64");
  }

  async setViewport({ width = 1280, height = 800, scale = 1, touch = false } = {}) {
    if (touch) throw new Error("WebKit plays no phone");
    if (scale !== this._scale) throw new Error(`WebKit's page was opened at the scale ${this._scale} and keeps it`);
    // The window has a bar of its own, and takes its time.
    const deadline = Date.now() + patience / 2;
    for (;;) {
      const got = await this.evaluate(() => [innerWidth, innerHeight]);
      if (got[0] === width && got[1] === height) return;
      if (Date.now() > deadline) throw new Error(`WebKit's viewport is ${got.join(" x ")} instead of ${width} x ${height}`);
      const outer = await this.native.manage().window().getRect();
      await this.native
        .manage()
        .window()
        .setRect({ width: outer.width + width - got[0], height: outer.height + height - got[1] });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async close() {
    if (this._root) {
      await this._enter();
      return this.native.close();
    }
    await this.native?.quit().catch(() => {}); // it may have ended
    await this._driver?.stop();
    await this._proxy?.close();
    this._closed?.();
  }
}

async function openWebKit(home, scheme) {
  const xvfb = start(findProgram("Xvfb"), ["-displayfd", "3", "-screen", "0", "2560x2048x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const display = await Promise.race([once(xvfb.child.stdio[3], "data").then(String), xvfb.ended.then(() => undefined)]);
  if (!display) throw new Error("Xvfb did not start");
  findProgram("WebKit"); // it is missed before there is a page
  // The tool bar of its window would make a page wider than a phone's.
  await mkdir(path.join(home.env.XDG_CONFIG_HOME, "gtk-3.0"));
  await writeFile(
    path.join(home.env.XDG_CONFIG_HOME, "gtk-3.0", "gtk.css"),
    "* { min-width: 0; min-height: 0; margin: 0; padding: 0; border-width: 0; font-size: 1px; -gtk-icon-transform: scale(0) }",
  );
  const env = {
    ...home.env,
    DISPLAY: `:${display.trim()}`,
    GDK_BACKEND: "x11",
    GTK_THEME: scheme === "dark" ? "Adwaita:dark" : "Adwaita",
    NO_AT_BRIDGE: "1",
    GIO_USE_VFS: "local",
    // Its sandbox needs privileges that containers do not give; it opens only our own pages.
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1",
  };
  const pages = new Set();
  return {
    engine: "WebKit",
    async newPage({ viewport } = {}) {
      const page = await WebKitPage.open(env, viewport);
      pages.add(page);
      page._closed = () => pages.delete(page);
      return page;
    },
    async close() {
      await Promise.all([...pages].map((page) => page.close()));
      await xvfb.stop();
      await home.remove();
    },
  };
}
