package server

import "testing"

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

// goSDKImported enrolls a user with an authenticator whose URI has each & escaped,
// and tracks an action.
func (p *peer) goSDKImported() (enrolled, tracked map[string]any) {
	p.t.Helper()
	r := p.ok(p.goSDK("POST", "/v1/users/u1/authenticators", testSecret,
		`{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/Acme:jane?issuer=Acme\u0026secret=`+importedSecret+`\u0026digits=6"}`))
	return r.object["authenticator"].(map[string]any),
		p.ok(p.goSDK("POST", "/v1/users/u1/actions/signIn", testSecret, `{"idempotencyKey":"k","redirectToSettings":null}`)).object
}

// The numbers are those of the wire contract.
func TestTheOfficialGoSDK(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		test func(p *peer)
	}{
		{"16: a bad secret and an empty idempotency key", goSDKBadSecret},
		{"17: no attributes, and those that are written as null", goSDKNullAttributes},
		{"18: action and isValid before the challenge and after it", goSDKValidates},
		{"19: output is an object, and an update answers the new state", goSDKActionOutput},
		{"20: an otpUri with escaped ampersands", goSDKEscapedURI},
		{"21: every error is a JSON object", goSDKErrorsAreObjects},
		{"the rest of its suite: users", goSDKUsers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(newPeer(t))
		})
	}
}

func goSDKBadSecret(p *peer) {
	r := p.goSDK("GET", "/v1/users/test-user/actions/go-sdk-test/", "bad", "")
	p.goError(r, 401, "unauthorized")
	if got, want := r.object["errorDescription"], "The request is unauthorized. Check that your API key and region base URL are correctly configured."; got != want {
		p.t.Errorf("got %q", got)
	}
}

func goSDKNullAttributes(p *peer) {
	for _, body := range []string{`{}`, `{"redirectToSettings":null}`, `{"redirectToSettings":null,"email":"a@b.c","crypto":{"asset":"x","assetAmount":null,"assetAmountUsd":null}}`} {
		got := p.ok(p.goSDK("POST", "/v1/users/u1/actions/signIn", testSecret, body)).object
		if got["url"] == "" || got["token"] == "" || got["isEnrolled"] != false || len(got["allowedVerificationMethods"].([]any)) == 0 {
			p.t.Errorf("%s: got %v", body, got)
		}
	}
}

func goSDKValidates(p *peer) {
	_, tr := p.goSDKImported()
	for _, want := range []bool{false, true} {
		got := p.ok(p.goSDK("POST", "/v1/validate", testSecret, `{"token":"`+tr["token"].(string)+`"}`)).object
		if got["action"] != "signIn" || got["isValid"] != want || got["userId"] != "u1" {
			p.t.Errorf("got %v, want isValid %v", got, want)
		}
		if !want {
			p.accepted(p.verify(tr["token"].(string), p.code(importedSecret, 0)))
		}
	}
}

func goSDKActionOutput(p *peer) {
	p.goSDKImported()
	if got, ok := p.ok(p.goSDK("GET", "/v1/users/u1/actions/signIn/k", testSecret, "")).object["output"].(map[string]any); !ok || got == nil {
		p.t.Errorf("output: got %v", got)
	}
	if got := p.ok(p.goSDK("PATCH", "/v1/users/u1/actions/signIn/k", testSecret, `{"state":"BLOCK"}`)).object["state"]; got != "BLOCK" {
		p.t.Errorf("got %v", got)
	}
}

func goSDKEscapedURI(p *peer) {
	enrolled, tr := p.goSDKImported()
	if enrolled["userId"] != "u1" || enrolled["userAuthenticatorId"] == "" {
		p.t.Errorf("got %v", enrolled)
	}
	if tr["state"] != "CHALLENGE_REQUIRED" {
		p.t.Errorf("got %v", tr)
	}
	p.accepted(p.verify(tr["token"].(string), p.code(importedSecret, 0)))
}

func goSDKErrorsAreObjects(p *peer) {
	p.goError(p.goSDK("GET", "/v1/users/u1/actions/signIn/none", testSecret, ""), 404, "not_found")
	p.goError(p.goSDK("GET", "/v1/users/u1/actions/signIn/", testSecret, ""), 404, "not_found")
	p.goError(p.goSDK("PUT", "/v1/users/u1", testSecret, "{}"), 405, "invalid_request")
	p.goError(p.goSDK("GET", "/v1/v1/challenges?userId=u1", testSecret, ""), 404, "not_found")
	p.goError(p.goSDK("POST", "/v1/validate", testSecret, "{"), 400, "invalid_request")
	broken(p, "actions", func() {
		p.goError(p.goSDK("POST", "/v1/users/u1/actions/signIn", testSecret, "{}"), 500, "internal_error")
	})
}

func goSDKUsers(p *peer) {
	got := p.ok(p.goSDK("PATCH", "/v1/users/a-new-user", testSecret, `{"displayName":"A New User","phoneNumber":"9876543210"}`)).object
	if got["phoneNumber"] != "9876543210" || got["displayName"] != "A New User" {
		p.t.Errorf("update user: got %v", got)
	}
	if got := p.ok(p.goSDK("GET", "/v1/users?phoneNumber=9876543210&limit=5", testSecret, "")).object["users"].([]any); len(got) != 1 {
		p.t.Errorf("query users: got %v", got)
	}
	p.ok(p.goSDK("DELETE", "/v1/users/a-new-user", testSecret, ""))
}
