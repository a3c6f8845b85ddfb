// Runs before the page loads anything else: removes the token, or the secret of a
// recovery link, from the address, so that it is neither in the address bar nor in the
// history.
"use strict";
const startToken = new URLSearchParams(location.search).get("token") ?? "";
const startLink = new URLSearchParams(location.search).get("recovery") ?? "";
history.replaceState(null, "", location.pathname);
