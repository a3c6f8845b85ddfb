package portal

import "fmt"

// Snippets to start a project with. Only the snippet of the environment has the
// secret key, and only on the page that shows the new key.

func envSnippet(v keysView) string {
	key := v.NewKey
	if key == "" {
		key = "YOUR_SECRET_KEY"
	}
	return fmt.Sprintf("AUTHSIGNAL_TENANT_ID=%s\nAUTHSIGNAL_API_URL=%s\nAUTHSIGNAL_API_SECRET_KEY=%s", v.TenantID, v.APIURL, key)
}

func nodeSnippet(v keysView) string {
	return fmt.Sprintf(`import { Authsignal } from "@authsignal/node";

const authsignal = new Authsignal({
  apiSecretKey: process.env.AUTHSIGNAL_API_SECRET_KEY,
  apiUrl: %q,
});

const { state, token, idempotencyKey } = await authsignal.track({
  userId: user.id,
  action: "signIn",
});
session.idempotencyKey = idempotencyKey;

// With the token that the page brought back:
const result = await authsignal.validateChallenge({
  token: tokenOfThePage,
  userId: user.id,
  action: "signIn",
});
const ok = result.isValid && result.idempotencyKey === session.idempotencyKey;`, v.APIURL)
}

func browserSnippet(v keysView) string {
	return fmt.Sprintf(`import { Authsignal } from "@authsignal/browser";

const authsignal = new Authsignal({
  tenantId: %q,
  baseUrl: %q,
});

authsignal.setToken(token); // from your backend's track
const response = await authsignal.totp.verify({ code });`, v.TenantID, v.APIURL)
}

func goSnippet(v keysView) string {
	return fmt.Sprintf(`client := authsignal.New(os.Getenv("AUTHSIGNAL_API_SECRET_KEY"), %q)

action, err := client.Track(ctx, authsignal.TrackRequest{
	UserID: user.ID,
	Action: "signIn",
})
session.IdempotencyKey = action.IdempotencyKey

// With the token that the page brought back:
result, err := client.ValidateChallenge(ctx, authsignal.ValidateRequest{
	Token:          tokenOfThePage,
	UserID:         user.ID,
	Action:         "signIn",
	IdempotencyKey: session.IdempotencyKey,
})
ok := err == nil && result.IsValid`, v.APIURL)
}

func wasmSnippet(v keysView) string {
	return fmt.Sprintf(`import { Authsignal } from "authsignal-wasm";

const authsignal = new Authsignal({
  tenantId: %q,
  baseUrl: %q,
});
authsignal.preload();

authsignal.setToken(token); // from your backend's track
const enrollment = await authsignal.totp.enroll();
if (enrollment.data) image.src = enrollment.data.qrCode ?? "";
const response = await authsignal.totp.verify({ code });`, v.TenantID, v.APIURL)
}
