import { Authsignal } from "@authsignal/browser";
import QRCode from "qrcode";
import { measure } from "./page.js";

measure({
  create: (options) => new Authsignal(options),
  load: async () => {},
  image: (data) => QRCode.toDataURL(data.uri),
});
