// Messages to the page that opened this one.

const { dataset: data } = document.documentElement;

/** The window that messages are sent to; null outside popup mode. */
export const receiver = data.mode !== "popup" ? null : parent !== window ? parent : opener;
const origins = data.origins.split(" ").filter(Boolean);
const allowed = (origin) => origins.includes(origin) || (data.loopback === "true" && isLoopback(origin));

function isLoopback(origin) {
  if (!/^https?:/.test(origin)) return false;
  const { hostname } = new URL(origin);
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

/**
 * The allowed origins to send messages to. A browser delivers a message only if
 * the receiver's origin is the target origin. If the browser reveals the origin
 * of the page that opened this one, that origin is enough.
 */
function receivers() {
  const hints = [location.ancestorOrigins?.[0]];
  if (document.referrer) hints.push(new URL(document.referrer).origin);
  const known = hints.filter((origin) => origin && allowed(origin));
  return known.length ? [known[0]] : origins;
}

function post(message) {
  if (receiver) for (const origin of receivers()) receiver.postMessage(message, origin);
}

// The SDKs expect events as JSON texts, and the height as an object.
export const sendEvent = (event, more) => post(JSON.stringify({ event, ...more }));

/**
 * Sends the height of the content to the page with the frame, now and whenever it
 * changes. Browsers need not draw a frame that is not visible yet, and a
 * ResizeObserver reports nothing before they draw: hence the first call.
 */
export function reportHeight(element) {
  if (!receiver || receiver === opener) return;
  let last = 0;
  const measure = () => {
    const height = Math.ceil(element.getBoundingClientRect().height);
    if (height !== last) post({ height: (last = height) });
  };
  measure();
  new ResizeObserver(measure).observe(element);
}
