import { Authsignal } from "authsignal-wasm";
import { measure } from "./page.js";

measure({
  create: (options) => new Authsignal(options),
  load: (authsignal) => authsignal.preload(),
  image: (data) => data.qrCode,
});
