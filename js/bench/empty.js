// A Go program that does nothing: what Go itself costs in a page.

import "authsignal-wasm/wasm_exec.js";
import { measure } from "./page.js";

measure({
  create: () => new globalThis.Go(),
  load: async (go) => {
    const { instance } = await WebAssembly.instantiateStreaming(fetch(new URL("./empty.wasm", import.meta.url)), go.importObject);
    await go.run(instance);
  },
});
