package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// For any body, the response is a JSON object: a success of the path or an error
// of the caller.
func FuzzBodies(f *testing.F) {
	p := newPeer(f)
	f.Add(uint8(0), `{"email":"j@e.org","custom":{"a":1,"b":true,"c":"d"},"scope":"add:authenticators","redirectToSettings":null}`)
	f.Add(uint8(1), `{"state":"REVIEW_REQUIRED"}`)
	f.Add(uint8(2), `{"token":"e30.e30.e30","userId":"u1","action":"signIn"}`)
	f.Add(uint8(3), `{"email":null,"emailVerified":true,"custom":{},"defaultVerificationMethod":"SMS"}`)
	f.Add(uint8(4), `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ\u0026digits=8"}`)
	f.Add(uint8(4), `{"verificationMethod":"EMAIL_OTP","email":"j@e.org","isDefault":true}`)
	f.Add(uint8(5), `{"verificationCode":"123456"}`)
	f.Add(uint8(6), `{}`)
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		p.t = t // the peer fails the test that runs
		track := p.track("u1", "signIn", `{"idempotencyKey":"k"}`)
		token := "Bearer " + track["token"].(string)
		e := []struct{ method, path, authorization string }{
			{"POST", "/v1/users/u1/actions/signIn", basic(testSecret)},
			{"PATCH", "/v1/users/u1/actions/signIn/k", basic(testSecret)},
			{"POST", "/v1/validate", basic(testSecret)},
			{"PATCH", "/v1/users/u1", basic(testSecret)},
			{"POST", "/v1/users/u1/authenticators", basic(testSecret)},
			{"POST", "/v1" + api.PathClientVerifyTOTP, token},
			{"POST", "/v1" + api.PathClientInit, token},
		}[which%7]
		r := p.do(e.method, e.path, e.authorization, body)
		if r.object == nil || strings.Contains(r.text, "\x00") {
			t.Fatalf("%s: %d: not a JSON object: %q", e.path, r.status, r.text)
		}
		switch r.status {
		case http.StatusOK:
			if code := r.object["error"]; code != nil && e.path != "/v1/validate" {
				t.Errorf("%s: a success with an error: %s", e.path, r.text)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			p.fails(r, r.status, "invalid_request")
		default:
			t.Errorf("%s: got %d %s", e.path, r.status, r.text)
		}
		p.ok(p.api("DELETE", "/v1/users/u1?actions=true", ""))
	})
}
