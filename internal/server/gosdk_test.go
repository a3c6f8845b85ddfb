package server

import (
	"testing"
)

// The requests of the official Go SDK, github.com/authsignal/authsignalgo, as in
// the wire contract (7.3 and section 12, tests 16 to 21): the module itself is
// not on the Go module proxy.
func (p *peer) goSDK(method, path, secret, body string) response {
	p.t.Helper()
	return p.do(method, path, basic(secret), body,
		"Content-Type", "application/json", "Accept", "*/*", "User-Agent", "authsignalgo/v1")
}

// goError is an error as that SDK decodes it. It fails if the body is not JSON.
func (p *peer) goError(r response, status int, code string) {
	p.t.Helper()
	p.fails(r, status, code)
	if n, there := r.object["statusCode"]; there {
		p.t.Errorf("statusCode in a body: %v", n)
	}
}

// The subtests have their numbers in the wire contract.
func TestTheOfficialGoSDK(t *testing.T) {
	t.Parallel()
	run := func(name string, f func(t *testing.T, p *peer)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newPeer(t))
		})
	}
	// imported enrolls a user with an authenticator whose URI has each &
	// escaped, and tracks an action.
	imported := func(p *peer) (enrolled, tracked map[string]any) {
		r := p.ok(p.goSDK("POST", "/v1/users/u1/authenticators", testSecret,
			`{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/Acme:jane?issuer=Acme\u0026secret=`+importedSecret+`\u0026digits=6"}`))
		return r.object["authenticator"].(map[string]any),
			p.ok(p.goSDK("POST", "/v1/users/u1/actions/signIn", testSecret, `{"idempotencyKey":"k","redirectToSettings":null}`)).object
	}

	run("16: a bad secret and an empty idempotency key", func(t *testing.T, p *peer) {
		r := p.goSDK("GET", "/v1/users/test-user/actions/go-sdk-test/", "bad", "")
		p.goError(r, 401, "unauthorized")
		if got, want := r.object["errorDescription"], "The request is unauthorized. Check that your API key and region base URL are correctly configured."; got != want {
			t.Errorf("got %q", got)
		}
	})
	run("17: no attributes, and those that are written as null", func(t *testing.T, p *peer) {
		for _, body := range []string{`{}`, `{"redirectToSettings":null}`, `{"redirectToSettings":null,"email":"a@b.c","crypto":{"asset":"x","assetAmount":null,"assetAmountUsd":null}}`} {
			got := p.ok(p.goSDK("POST", "/v1/users/u1/actions/signIn", testSecret, body)).object
			if got["url"] == "" || got["token"] == "" || got["isEnrolled"] != false || len(got["allowedVerificationMethods"].([]any)) == 0 {
				t.Errorf("%s: got %v", body, got)
			}
		}
	})
	run("18: action and isValid before the challenge and after it", func(t *testing.T, p *peer) {
		_, tr := imported(p)
		for _, want := range []bool{false, true} {
			got := p.ok(p.goSDK("POST", "/v1/validate", testSecret, `{"token":"`+tr["token"].(string)+`"}`)).object
			if got["action"] != "signIn" || got["isValid"] != want || got["userId"] != "u1" {
				t.Errorf("got %v, want isValid %v", got, want)
			}
			if !want {
				p.accepted(p.verify(tr["token"].(string), p.code(importedSecret, 0)))
			}
		}
	})
	run("19: output is an object, and an update answers the new state", func(t *testing.T, p *peer) {
		imported(p)
		if got, ok := p.ok(p.goSDK("GET", "/v1/users/u1/actions/signIn/k", testSecret, "")).object["output"].(map[string]any); !ok || got == nil {
			t.Errorf("output: got %v", got)
		}
		if got := p.ok(p.goSDK("PATCH", "/v1/users/u1/actions/signIn/k", testSecret, `{"state":"BLOCK"}`)).object["state"]; got != "BLOCK" {
			t.Errorf("got %v", got)
		}
	})
	run("20: an otpUri with escaped ampersands", func(t *testing.T, p *peer) {
		enrolled, tr := imported(p)
		if enrolled["userId"] != "u1" || enrolled["userAuthenticatorId"] == "" {
			t.Errorf("got %v", enrolled)
		}
		if tr["state"] != "CHALLENGE_REQUIRED" {
			t.Errorf("got %v", tr)
		}
		p.accepted(p.verify(tr["token"].(string), p.code(importedSecret, 0)))
	})
	run("21: every error is a JSON object", func(t *testing.T, p *peer) {
		p.goError(p.goSDK("GET", "/v1/users/u1/actions/signIn/none", testSecret, ""), 404, "not_found")
		p.goError(p.goSDK("GET", "/v1/users/u1/actions/signIn/", testSecret, ""), 404, "not_found")
		p.goError(p.goSDK("PUT", "/v1/users/u1", testSecret, "{}"), 405, "invalid_request")
		p.goError(p.goSDK("GET", "/v1/v1/challenges?userId=u1", testSecret, ""), 404, "not_found")
		p.goError(p.goSDK("POST", "/v1/validate", testSecret, "{"), 400, "invalid_request")
		broken(p, "actions", func() {
			p.goError(p.goSDK("POST", "/v1/users/u1/actions/signIn", testSecret, "{}"), 500, "internal_error")
		})
	})
	run("the rest of its suite: users", func(t *testing.T, p *peer) {
		got := p.ok(p.goSDK("PATCH", "/v1/users/a-new-user", testSecret, `{"displayName":"A New User","phoneNumber":"9876543210"}`)).object
		if got["phoneNumber"] != "9876543210" || got["displayName"] != "A New User" {
			t.Errorf("update user: got %v", got)
		}
		if got := p.ok(p.goSDK("GET", "/v1/users?phoneNumber=9876543210&limit=5", testSecret, "")).object["users"].([]any); len(got) != 1 {
			t.Errorf("query users: got %v", got)
		}
		p.ok(p.goSDK("DELETE", "/v1/users/a-new-user", testSecret, ""))
	})
}
