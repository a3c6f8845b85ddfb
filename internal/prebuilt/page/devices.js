// Names of browsers and phones, read from their user agents, for people to tell
// them apart.

import { text } from "./page.js";

// In this order: most browsers also name those that they descend from.
const browsers = [
  [/\bEdg(e|A|iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(Firefox|FxiOS)\//, "Firefox"],
  [/\b(Chrome|CriOS)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const systems = [
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bMacintosh\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];
const nameIn = (list, userAgent) => list.find(([pattern]) => pattern.test(userAgent))?.[1];

/** Such as "Firefox on Windows"; undefined if the user agent names neither. */
export function browserName(userAgent = "") {
  const [browser, system] = [nameIn(browsers, userAgent), nameIn(systems, userAgent)];
  return browser && system ? text("page.browser", { browser, system }) : (browser ?? system);
}

/** The browser and the address of a use, as far as they are known. */
export const place = (userAgent, address) => [browserName(userAgent), address].filter(Boolean).join(", ");

/**
 * A name for the phone that this page runs on; empty elsewhere, since the app is then
 * on another device.
 */
export async function phoneName() {
  const name = nameIn(systems.slice(0, 3), navigator.userAgent) ?? "";
  if (name !== "Android") return name;
  try {
    const { model } = await navigator.userAgentData.getHighEntropyValues(["model"]);
    return model.slice(0, 64) || name;
  } catch {
    return name; // a browser that does not tell
  }
}
