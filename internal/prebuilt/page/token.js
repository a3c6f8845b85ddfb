// Runs before the page asks for anything else: takes the token out of the
// address, so that neither the address bar nor the history keeps it.
"use strict";
const startToken = new URLSearchParams(location.search).get("token") ?? "";
history.replaceState(null, "", location.pathname);
