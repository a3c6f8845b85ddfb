// Pages with an application of React, as a bundler builds it with the package.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { dist, goBuild, root, serve } from "./harness.mjs";

/**
 * Serves applications, which may call `api`, under a strict policy. `apps` has their
 * sources in JSX by name. After `bundle(react)` an application is at "/NAMEREACT.html",
 * on that major version of React, 18 or 19. `more` are routes of the applications' own.
 */
export async function serveApps(apps, api, more = {}) {
  // In the package's folder, where React is found.
  const folder = await mkdtemp(path.join(root, "js", "node_modules", ".react-test-"));
  const routes = { "/dist/": dist, "/authsignal.wasm": new URL("authsignal.wasm", dist), ...more };
  for (const [name, source] of Object.entries(apps)) {
    await writeFile(path.join(folder, `${name}.jsx`), source);
    for (const file of [18, 19].map((react) => name + react)) {
      routes[`/${file}.html`] =
        `<!doctype html><html lang="en"><title>An application's page</title><meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/style.css"><main></main><script type="module" src="/${file}.js"></script></html>`;
      routes[`/${file}.js`] = pathToFileURL(path.join(folder, `${file}.js`));
    }
  }
  routes["/style.css"] = (_, response) =>
    response.setHeader("Content-Type", "text/css").end(":root { color-scheme: light dark } main { max-width: 40em; overflow: hidden } code, input, button { font-size: 1rem }");
  const site = await serve(routes, {
    "Content-Security-Policy": `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' ${new URL(api.baseUrl).origin}; img-src data:; require-trusted-types-for 'script'`,
  });
  return {
    url: site.url,
    /** Bundles the applications. */
    async bundle(react) {
      const esbuild = await goBuild("github.com/evanw/esbuild/cmd/esbuild");
      // React 18 is installed for the official React package.
      const older = ["react", "react-dom"].map((name) => `--alias:${name}=${path.join(root, "js/test/official-react/node_modules", name)}`);
      for (const name of Object.keys(apps)) {
        await promisify(execFile)(
          esbuild,
          [
            ...[`${name}.jsx`, "--bundle", "--format=esm", "--jsx=automatic", `--outfile=${name}${react}.js`, "--log-level=error"],
            '--define:process.env.NODE_ENV="development"',
            ...(react === 18 ? older : []),
          ],
          { cwd: folder },
        );
      }
    },
    async close() {
      await site.close();
      await rm(folder, { recursive: true });
    },
  };
}
