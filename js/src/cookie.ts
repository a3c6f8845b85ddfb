/**
 * Gives the ID that tells this browser from others to the rules of an action:
 * the one in the cookie, or a new one that goes there. Without a document there
 * is none: "".
 */
export function anonymousId(name: string, domain: string): string {
  if (!globalThis.document) return "";
  const key = encodeURIComponent(name);
  let id = "";
  // The last of a name counts, as in the official package.
  for (const cookie of document.cookie.split(";")) {
    const at = cookie.indexOf("=");
    if (cookie.slice(0, at).trim() === key) id = cookie.slice(at + 1);
  }
  if (id) return decoded(id);
  id = uuid();
  const secure = location.protocol === "http:" ? "" : "; secure";
  document.cookie = `${key}=${id}; path=/; expires=Fri, 31 Dec 9999 23:59:59 GMT; domain=${domain}${secure}`;
  return id;
}

/** The page's host without "www.", or "" without a document. */
export function hostDomain(): string {
  return globalThis.document ? location.hostname.replace("www.", "") : "";
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // another's cookie, perhaps: still an ID
  }
}

/** A UUID of version 4 (RFC 9562, 5.4). crypto.randomUUID is not there on plain http. */
function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
