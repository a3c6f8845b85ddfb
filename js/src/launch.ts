import { AuthsignalWindowMessage } from "./types.js";
import type { LaunchOptions, PopupLaunchOptions, TokenPayload, WindowLaunchOptions } from "./types.js";

/**
 * Opens the page that asks for a second factor: in place of this page, or in a
 * dialog or a window whose result it returns. The signal closes it early.
 */
export function launch(url: string, options: LaunchOptions | undefined, signal: AbortSignal): Promise<TokenPayload> | undefined {
  if (!globalThis.document) throw new Error("launch needs a page");
  const { protocol, origin } = new URL(url, document.baseURI);
  // Such as javascript:, which would run in this page.
  if (!/^https?:$/.test(protocol)) throw new TypeError("url must be one of http or https");
  if (options?.mode === "popup") return popup(url + "&mode=popup", origin, options, signal);
  if (options?.mode === "window") return ownWindow(url + "&mode=popup", origin, options, signal);
  location.href = url;
  return undefined;
}

/**
 * Handles the messages of a launched page until the returned function is called.
 * Messages of other pages, or of another origin, are ignored.
 */
function listen(
  from: () => Window | null,
  origin: string,
  onError: PopupLaunchOptions["onError"],
  on: { close(token?: string): void; token?(token: string): unknown; ready?(): void; height?(pixels: number): void; any?(): void },
): () => void {
  const onMessage = ({ data, origin: sender, source }: MessageEvent) => {
    if (sender !== origin || source !== from()) return;
    on.any?.();
    if (typeof data !== "string") {
      // The one message that is not JSON text.
      if (data?.height > 0) on.height?.(data.height);
      return;
    }
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not a message of this protocol
    }
    if (message?.event === AuthsignalWindowMessage.AUTHSIGNAL_API_ERROR) {
      onError?.({ errorCode: message.errorCode, statusCode: message.statusCode });
    } else if (message?.event === AuthsignalWindowMessage.AUTHSIGNAL_CLOSE_POPUP) on.close(message.token);
    // Not in the official SDKs: the challenge is complete, and the page still offers something.
    else if (message?.event === "AUTHSIGNAL_TOKEN") on.token?.(message.token);
    else if (message?.event === AuthsignalWindowMessage.AUTHSIGNAL_READY) on.ready?.();
  };
  addEventListener("message", onMessage);
  return () => removeEventListener("message", onMessage);
}

/** The dialog that is open. */
let open: HTMLDialogElement | undefined;

/** Returns the dialog of a popup, with the other page in its frame; it is not shown yet. */
function newDialog(url: string, { width, height, isClosable = true }: NonNullable<PopupLaunchOptions["popupOptions"]>) {
  const dialog = document.createElement("dialog");
  if (!dialog.showModal) throw new Error("this browser is too old for a popup (it has no dialog): use another mode");
  const frame = document.createElement("iframe");
  const close = document.createElement("button");
  const title = "Multi-factor authentication";
  // A policy without 'unsafe-inline' forbids style attributes and elements, but
  // not these properties. An invalid CSS value leaves the one before it.
  const style = (element: HTMLElement, ...properties: Partial<CSSStyleDeclaration>[]) => Object.assign(element.style, ...properties);
  style(
    dialog,
    { padding: "0", border: "0", borderRadius: "8px", overflow: "hidden", background: "transparent", opacity: "0" },
    { boxShadow: "0 0 0 100vmax rgba(0, 0, 0, 0.18)", width: "385px", maxWidth: "100%", maxHeight: "100%" },
    width ? { width } : {},
  );
  style(frame, { display: "block", border: "0", width: "100%", maxHeight: height ? "100vh" : "95vh", height: "384px" }, height ? { height } : {});
  // Visible while it has the focus: for users of a keyboard, since Escape in the
  // frame does not reach this page.
  style(close, { position: "absolute", top: "4px", right: "4px", opacity: "0", pointerEvents: "none" });
  close.textContent = "Close";
  close.type = "button";
  close.onfocus = () => (close.style.opacity = "1");
  close.onblur = () => (close.style.opacity = "0");
  close.onclick = () => dialog.close();
  dialog.setAttribute("aria-label", title);
  dialog.tabIndex = -1;
  frame.title = title;
  frame.name = "authsignal";
  frame.allow = "publickey-credentials-get *; publickey-credentials-create *; clipboard-write";
  frame.src = url;
  dialog.append(frame);
  if (isClosable) dialog.append(close);
  // The frame fills the dialog: a click whose target is the dialog is beside it.
  dialog.onclick = ({ target }) => isClosable && target === dialog && dialog.close();
  // Chromium closes at a second Escape even if the first one's cancel was prevented.
  dialog.onkeydown = (event) => isClosable || event.key !== "Escape" || event.preventDefault();
  dialog.oncancel = (event) => isClosable || event.preventDefault();
  return { dialog, frame };
}

function popup(url: string, origin: string, { popupOptions, onError }: PopupLaunchOptions, signal: AbortSignal): Promise<TokenPayload> {
  if (open?.isConnected) throw new Error("Multiple instances of Authsignal popup is not supported.");
  const { dialog, frame } = newDialog(url, popupOptions ?? {});
  const height = popupOptions?.height;
  const { overflow } = document.body.style;
  return new Promise((resolve, reject) => {
    let token: string | undefined;
    let refusal: Error | undefined;
    const show = () => (dialog.style.opacity = "1");
    const timer = setTimeout(show, 3000);
    if (height) frame.onload = show;
    const stopListening = listen(() => frame.contentWindow, origin, onError, {
      close(newToken) {
        token = newToken;
        dialog.close();
      },
      token: (newToken) => (token = newToken),
      ready: show,
      height(pixels) {
        if (!height) frame.style.height = pixels + "px";
      },
    });
    const end = () => dialog.close();
    signal.addEventListener("abort", end);
    // Browsers do not report the other page's own refusal (frame-ancestors).
    const onViolation = ({ disposition, effectiveDirective, blockedURI }: SecurityPolicyViolationEvent) => {
      if (disposition !== "enforce" || effectiveDirective !== "frame-src" || !blockedURI.startsWith(origin)) return;
      refusal = new Error(`the page's Content-Security-Policy forbids the popup: add ${origin} to its frame-src`);
      end();
    };
    document.addEventListener("securitypolicyviolation", onViolation);
    dialog.onclose = () => {
      clearTimeout(timer);
      stopListening();
      signal.removeEventListener("abort", end);
      document.removeEventListener("securitypolicyviolation", onViolation);
      document.body.style.overflow = overflow;
      dialog.remove();
      open = undefined;
      if (refusal) reject(refusal);
      else resolve({ token });
    };
    document.body.append(dialog);
    document.body.style.overflow = "hidden";
    open = dialog;
    dialog.showModal();
    dialog.focus();
  });
}

function ownWindow(url: string, origin: string, { windowOptions, onError }: WindowLaunchOptions, signal: AbortSignal): Promise<TokenPayload> {
  const { width = 400, height = 500 } = windowOptions ?? {};
  const left = screenX + (outerWidth - width) / 2;
  const top = screenY + (outerHeight - height) / 2;
  const opened = window.open(url, "_blank", `popup,width=${width},height=${height},left=${left},top=${top}`);
  if (!opened) throw new Error("the browser has blocked the window: call launch in the click's own turn, and allow a sandboxed frame popups");
  return new Promise((resolve, reject) => {
    const cleanUp = () => {
      clearInterval(timer);
      stopListening();
      signal.removeEventListener("abort", abort);
      opened.close();
    };
    let earned: string | undefined;
    const close = (token = earned) => {
      cleanUp();
      resolve({ token });
    };
    const abort = () => close();
    let received = false;
    // The time when the empty document that every window begins with was
    // replaced, and whether the focus has gone from this page to the window.
    let documentTime = NaN;
    let focusLeft = false;
    try {
      // A page of this origin would keep the listener, and no policy cuts it off.
      if (origin !== location.origin) opened.addEventListener("pagehide", () => (documentTime = performance.now()));
    } catch {
      // The windows of a sandboxed frame have an opaque origin.
    }
    // No event reports that the user has closed a window, so it is polled. It
    // counts as closed at the second poll that finds it so, since its last
    // message and the focus may still be on their way.
    let closedPolls = 0;
    const timer = setInterval(() => {
      const focused = document.hasFocus();
      if (!opened.closed) focusLeft ||= !focused;
      else if (!closedPolls++) documentTime = performance.now() - documentTime;
      // A window that is cut off is closed to this page as soon as its document
      // arrives, and no message of it is received. It keeps the focus, whereas a
      // window that the user closes returns it.
      else if (!received && documentTime < 2000 && !(focusLeft && focused)) {
        cleanUp();
        reject(new Error(cutOff()));
      } else close();
    }, 250);
    const stopListening = listen(() => opened, origin, onError, { close, token: (token) => (earned = token), any: () => (received = true) });
    signal.addEventListener("abort", abort);
  });
}

// A cross-origin-isolated page cannot frame a page that is not.
const cutOff = () =>
  "the window was cut off from this page by a Cross-Origin-Opener-Policy, its own or the other page's, or closed before it was loaded: " +
  `use mode "redirect"${globalThis.crossOriginIsolated ? "" : ' or "popup"'}, or send same-origin-allow-popups with this page and no such policy with the other`;
