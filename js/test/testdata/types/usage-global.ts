// The global as applications read it; see usage.ts.
import "authsignal-wasm/script";

export const authsignal = new globalThis.authsignal.Authsignal({ tenantId: "YOUR_TENANT_ID" });
export const size = async () => (await globalThis.authsignal.qr.matrix("text")).size;

// @ts-expect-error: no such name.
void globalThis.authsignal.Authsignals;
