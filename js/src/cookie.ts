/** The IDs that could not be stored in a cookie, by the cookie's name. */
const unstored = new Map<string, string>();

/**
 * Returns the ID of this browser, by which the rules of an action recognize it:
 * the one in the cookie, or a new one that is stored there. Where a page cannot
 * store cookies, such as in a sandboxed frame, the ID is the same for the life
 * of the page. Without a document there is none: "".
 */
export function anonymousId(name: string, domain: string): string {
  if (!globalThis.document) return "";
  const key = encodeURIComponent(name);
  let id = read(key);
  if (id) return decoded(id);
  id = unstored.get(key) ?? uuid();
  const secure = url().protocol === "http:" ? "" : "; secure";
  try {
    document.cookie = `${key}=${id}; path=/; expires=Fri, 31 Dec 9999 23:59:59 GMT; domain=${domain}${secure}`;
  } catch {
    // As in read.
  }
  // Cookies may be turned off, or the domain not be the page's: browsers report neither.
  if (read(key) === id) unstored.delete(key);
  else unstored.set(key, id);
  return id;
}

/** Returns the page's host without "www.", or "" without one. */
export function hostDomain(): string {
  return globalThis.document ? url().hostname.replace("www.", "") : "";
}

/**
 * Returns the address whose cookies the page has. That of a srcdoc document is
 * in its origin alone, which is "null" where there are no cookies.
 */
function url(): URL | Location {
  try {
    return new URL(origin);
  } catch {
    return location;
  }
}

/** Returns the value of a cookie, or "". */
function read(key: string): string {
  let value = "";
  let cookies = "";
  try {
    ({ cookie: cookies } = document);
  } catch {
    // A SecurityError: the origin is opaque, or the browser blocks all storage.
  }
  // The last of a name counts, as in the official package.
  for (const cookie of cookies.split(";")) {
    const at = cookie.indexOf("=");
    if (cookie.slice(0, at).trim() === key) value = cookie.slice(at + 1);
  }
  return value;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // perhaps set by other code: still an ID
  }
}

/** A UUID of version 4 (RFC 9562, 5.4). crypto.randomUUID does not exist on plain http. */
function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
