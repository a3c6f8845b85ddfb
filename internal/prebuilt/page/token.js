// Runs before the page loads anything else: removes the token from the address,
// so that it is neither in the address bar nor in the history.
"use strict";
const startToken = new URLSearchParams(location.search).get("token") ?? "";
history.replaceState(null, "", location.pathname);
