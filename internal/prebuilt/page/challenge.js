// The challenge.

import { codeForm } from "./code.js";
import { authsignal, open, show, state } from "./page.js";

open.challenge = () => {
  show("challenge");
  // Load the module while the user enters the code. If that fails, the first call
  // tries again and reports it.
  authsignal.preload().catch(() => {});
};

codeForm("challenge", () => {
  const { next } = state;
  if (next === "enroll") state.next = "finish";
  open[next]();
});
