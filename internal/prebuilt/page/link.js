// A recovery link: its holder enrolls a new authenticator app, by calls that take the
// secret of the link in place of a token. Nothing is sent before the user presses the
// button, because programs that scan messages open links too.

import { $, baseUrl, data, date, enrollment, lang, open, show, text } from "./page.js";
import { qr } from "./sdk/index.js";

/** The errors of links by their status; page.js has their failures. */
const errors = { 403: "link_pending", 404: "link_unknown", 410: "link_ended" };

async function call(path, body) {
  try {
    const response = await fetch(`${baseUrl}/recovery/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ secret: startLink, ...body }),
      signal: AbortSignal.timeout?.(10_000),
    });
    const answer = await response.json();
    if (response.ok) return { data: answer };
    // A request of this page is invalid only if the user may have no other authenticator.
    const code = answer.errorCode === "invalid_request" ? "link_full" : answer.errorCode;
    return { errorCode: errors[response.status] ?? code };
  } catch {
    return { errorCode: "network_error" };
  }
}

open.link = () => {
  const ends = new Date(data.linkEnds);
  const time = new Intl.DateTimeFormat(lang, { timeStyle: "short" }).format(ends);
  $("link-ends").textContent = text("page.linkEnds", { date: date(ends), time });
  enrollment.begin = async (options) => {
    const result = await call("enroll", options);
    if (result.data) {
      try {
        result.data.qrCode = await qr.toDataURL(result.data.uri, { wasmUrl: data.module });
      } catch {
        // The page shows the secret alone, as for a text that is too long.
      }
    }
    return result;
  };
  enrollment.verify = (code) => call("verify", { verificationCode: code });
  show("link");
};

open.linked = () => {
  $("done-text").textContent = text("page.linked");
  show("done");
};

$("link-start").addEventListener("click", () => open.enroll());
