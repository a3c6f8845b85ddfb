// Runs the set-ups of docs/setups.md: its fenced blocks become the files and
// the commands of a new project, which gets the package from the packed tarball
// and is visited in Chromium as a user would.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { URI } from "otpauth";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import { root, watch } from "../lib/harness.mjs";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
prepareZXingModule({ overrides: { wasmBinary: await readFile(require.resolve("zxing-wasm/reader/zxing_reader.wasm")) } });

/**
 * Reads the page of set-ups: the default policy, and by heading the blocks, each with
 * its language, the file that its first line names, the rest of that line, and the
 * text. The shared blocks are under "".
 */
export async function readSetups() {
  const page = await readFile(path.join(root, "docs/setups.md"), "utf8");
  const [, policy] = /^ {4}Content-Security-Policy: (.+)$/m.exec(page) ?? assert.fail("docs/setups.md has no policy");
  const setups = {};
  for (const part of page.split(/^## /m)) {
    const heading = setups[""] ? part.slice(0, part.indexOf("\n")) : "";
    setups[heading] = [...part.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => {
      const [, file, place] = /^(?:\/\/|<!--|#) ([\w./]+)(?:, (.+?))?(?: -->)?\n/.exec(text) ?? [];
      return { language, file, place, text };
    });
  }
  return { policy, setups };
}

/** Packs the package, as `npm publish` would; returns the tarball's path. */
export async function pack(to) {
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", to], { cwd: path.join(root, "js") });
  return path.join(to, stdout.trim());
}

/**
 * Makes a project of a set-up. Its build tools come from `tools`, a folder
 * beside this file with a lock file, and the package from the tarball.
 */
export async function project(blocks, shared, tools, tarball) {
  const from = fileURLToPath(new URL(`${tools}/`, import.meta.url));
  // In the same file system as the tools, which are linked, not copied.
  await mkdir(path.join(from, "work"), { recursive: true });
  const dir = await mkdtemp(path.join(from, "work/project-"));
  if (/^npx /m.test(commands(blocks))) await run("cp", ["-al", path.join(from, "node_modules"), dir]);
  // Parcel knows a project's folder by its lock file.
  await copyFile(path.join(from, "package-lock.json"), path.join(dir, "package-lock.json"));
  const installed = path.join(dir, "node_modules/authsignal-wasm");
  await mkdir(installed, { recursive: true });
  await run("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);

  const files = { "package.json": JSON.stringify({ private: true, type: "module" }) };
  for (const { file, text } of shared) files[file] = text;
  for (const { language, file, place, text } of blocks) {
    if (language === "sh") continue;
    assert.ok(file, `a block does not name its file:\n${text}`);
    if (!place) {
      files[file] = text;
      continue;
    }
    // A part of a shared file: all but its first line, which names the place.
    const lines = text.slice(text.indexOf("\n") + 1);
    const before = { "before main.js": '<script type="module" src="/main.js">', "for the import": 'import { Authsignal } from "authsignal-wasm";\n' }[place];
    assert.ok(before && files[file].includes(before), `${file} has no place "${place}"`);
    files[file] = files[file].replace(before, () => (place === "before main.js" ? lines + before : lines));
  }
  for (const [file, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(dir, file)), { recursive: true });
    await writeFile(path.join(dir, file), text);
  }
  return dir;
}

/** Returns the blocks of a set-up with other lines for the import of its main.js. */
export const importing = (blocks, lines) => [...blocks, { language: "js", file: "main.js", place: "for the import", text: `// main.js\n${lines}\n` }];

/** The commands of a set-up. */
const commands = (blocks) =>
  blocks
    .filter((b) => b.language === "sh")
    .map((b) => b.text)
    .join("");
const environment = { ...process.env, NO_COLOR: "1", NEXT_TELEMETRY_DISABLED: "1" };
delete environment.NODE_TEST_CONTEXT;

/** Runs the commands of a set-up to their end. */
export async function build(blocks, dir) {
  await run("bash", ["-euc", commands(blocks)], { cwd: dir, env: environment }).catch((error) => {
    throw new Error(`${error.message}\n${error.stdout}`);
  });
}

/** Runs the commands of a set-up, of which the last is a server; returns its URL. */
export async function start(blocks, dir, env = {}) {
  const child = spawn("bash", ["-euc", commands(blocks)], {
    cwd: dir,
    env: { ...environment, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // npx starts it in processes of its own
  });
  const ended = once(child, "exit");
  let log = "";
  const stop = async () => {
    try {
      process.kill(-child.pid, "SIGTERM");
    } catch {
      // It has ended.
    }
    await ended;
  };
  const url = await Promise.race([
    new Promise((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          log += line + "\n";
          const [url] = /http:\/\/localhost:\d+/.exec(line) ?? [];
          if (url) resolve(url);
        });
      }
    }),
    ended.then(() => undefined),
  ]);
  assert.ok(url, `the server did not start:\n${log}`);
  return { url, log: () => log, stop };
}

const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/**
 * The backend that a page of a set-up talks to: it tracks an action of a new
 * user at /session, and serves the rest from a folder or from a server behind
 * it, under a policy if one is given. It records the requested paths.
 */
export async function backend(api, userId, behind, policy) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    requests.push(pathname);
    if (policy) response.setHeader("Content-Security-Policy", policy.replace("<the API>", new URL(api.baseUrl).origin));
    if (pathname === "/session") {
      const tracked = await callAPI(api, "POST", `/users/${userId}/actions/signIn`);
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ tenantId: api.tenantId, baseUrl: api.baseUrl, token: tracked.token }));
    } else if (pathname === "/favicon.ico") {
      response.writeHead(204).end();
    } else if (behind.startsWith("http:")) {
      const onward = http.request(new URL(request.url, behind), { method: request.method, headers: request.headers }, (answer) => {
        for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
        answer.pipe(response.writeHead(answer.statusCode));
      });
      onward.on("error", () => response.destroy());
      request.pipe(onward);
    } else {
      const file = path.join(behind, pathname === "/" ? "index.html" : decodeURIComponent(pathname));
      if (!(await stat(file).catch(() => undefined))?.isFile()) return response.writeHead(404).end();
      response.setHeader("Content-Type", types[path.extname(file)] ?? "application/octet-stream");
      createReadStream(file).pipe(response);
    }
  });
  // The development server's own web socket.
  server.on("upgrade", (request, socket, head) => {
    const { hostname, port } = new URL(behind);
    const onward = net.connect(port, hostname, () => {
      const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    for (const end of [onward, socket]) end.on("error", () => (onward.destroy(), socket.destroy()));
    socket.on("close", () => onward.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

/** Calls the Server API; returns the answer's JSON. */
async function callAPI(api, method, path) {
  const response = await fetch(api.baseUrl + path, { method, headers: { Authorization: `Basic ${btoa(api.apiSecretKey + ":")}` } });
  assert.equal(response.status, 200, `${method} ${path}`);
  return response.json();
}

/**
 * Enrolls and verifies in a page as a user does: reads the QR code from the
 * screen, and types the code of an independent authenticator app. The page must
 * have no problems. `inspect` is then called with the page and its answer.
 */
export async function journey(browser, url, api, userId, inspect) {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const problems = watch(page, url, api.baseUrl);
    const answer = await page.goto(url);
    try {
      await page.waitForFunction(() => document.querySelector("#qr")?.naturalWidth > 0);
    } catch {
      assert.fail(`there is no QR code: ${problems.join("; ")} ${await page.$eval("body", (body) => body.innerText)}`);
    }
    const shot = await (await page.$("#qr")).screenshot();
    const [symbol] = await readBarcodes(shot, { formats: ["QRCode"] });
    assert.ok(symbol, "the QR code is not readable on the screen");
    await page.type("[name=code]", URI.parse(symbol.text).generate());
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#outcome").textContent !== "");
    assert.equal(await page.$eval("#outcome", (element) => element.textContent), "Verified");
    assert.deepEqual(problems, []);
    await inspect(page, answer);
  } finally {
    await context.close();
  }
  const authenticators = await callAPI(api, "GET", `/users/${userId}/authenticators`);
  assert.deepEqual(
    authenticators.map((a) => a.verificationMethod),
    ["AUTHENTICATOR_APP"],
  );
}

/**
 * Builds a project, or starts its development server, and enrolls and verifies
 * in its page, under a policy. The module must be fetched `modules` times.
 * Returns the paths that the page requested.
 */
export async function visit({ browser, api, policy }, blocks, dir, modules) {
  const serves = /^npx vite$/m.test(commands(blocks));
  const development = serves ? await start(blocks, dir) : await build(blocks, dir);
  const userId = path.basename(dir);
  const site = await backend(api, userId, development?.url ?? path.join(dir, "dist"), policy);
  try {
    await journey(browser, site.url, api, userId, async (page) => {
      const enforced = await page.evaluate(() => {
        try {
          document.createElement("p").innerHTML = "<b>text</b>";
        } catch (error) {
          return error instanceof TypeError;
        }
      });
      assert.ok(enforced, "Trusted Types are not enforced");
    });
    const fetched = site.requests.filter((pathname) => pathname.endsWith(".wasm"));
    assert.equal(fetched.length, modules, `requests for the module: ${fetched}`);
    return site.requests;
  } finally {
    await site.close();
    await development?.stop();
  }
}

/** Removes the projects of earlier runs. */
export async function clean(tools) {
  await rm(new URL(`${tools}/work`, import.meta.url), { recursive: true, force: true });
}
