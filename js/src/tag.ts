// dist/index.min.js: the package as the global `authsignal`, for a script tag.

import { Authsignal, AuthsignalWindowMessage, ErrorCode, ModuleError, qr } from "./index.js";

// Named one by one: a namespace object would bring the code that makes it.
(globalThis as { authsignal?: unknown }).authsignal = { Authsignal, AuthsignalWindowMessage, ErrorCode, ModuleError, qr };
