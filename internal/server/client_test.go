package server

import (
	"reflect"
	"strings"
	"testing"
)

func TestClientUserAuthenticators(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const path = "/v1/client/user-authenticators"
	tok := "Bearer " + p.token("u1", "signIn", "")
	if got := p.ok(p.do("GET", path, tok, "")).text; got != "[]\n" {
		t.Errorf("got %s", got)
	}
	p.ok(p.enroll(strings.TrimPrefix(tok, "Bearer "))) // pending: not listed
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"EMAIL_OTP","email":"jane@example.com"}`))
	p.advance(1e9)
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"+6421123456"}`))
	p.advance(1e9)
	p.ok(p.imported("otpauth://totp/a?secret=" + importedSecret))
	r := p.ok(p.do("GET", path, tok, ""))
	for i, want := range []map[string]any{
		{"verificationMethod": "EMAIL_OTP", "authenticatorType": "OOB", "isDefault": false, "email": "j****@example.com", "createdAt": "2023-11-14T22:13:20.000Z", "verifiedAt": "2023-11-14T22:13:20.000Z"},
		{"verificationMethod": "SMS", "authenticatorType": "OOB", "isDefault": false, "phoneNumber": "****456", "createdAt": "2023-11-14T22:13:21.000Z", "verifiedAt": "2023-11-14T22:13:21.000Z"},
		{"verificationMethod": "AUTHENTICATOR_APP", "authenticatorType": "OTP", "isDefault": true, "createdAt": "2023-11-14T22:13:22.000Z", "verifiedAt": "2023-11-14T22:13:22.000Z"},
	} {
		got := r.list[i].(map[string]any)
		if id, _ := got["userAuthenticatorId"].(string); len(id) != 36 {
			t.Errorf("got %v", got)
		}
		delete(got, "userAuthenticatorId")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestClientAuthenticators(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := "Bearer " + p.token("u1", "signIn", "")
	first := p.ok(p.do("GET", "/v1/client/authenticators", tok, ""))
	got := first.list[0].(map[string]any)
	if len(first.list) != 1 || len(got["authenticatorId"].(string)) != 36 || got["verificationMethod"] != "AUTHENTICATOR_APP" || got["isActive"] != true {
		t.Errorf("got %s", first.text)
	}
	if again := p.ok(p.do("GET", "/v1/client/authenticators", tok, "")); again.text != first.text {
		t.Errorf("got %s, then %s", first.text, again.text)
	}
}

func TestClientInit(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "signIn", `{"email":"jane@example.com","phoneNumber":"+6421123456"}`)
	want := `{"challengeOptions":{"token":"` + tok + `","verificationMethods":[],"user":{"email":"j****@example.com","phoneNumber":"****456"}}}` + "\n"
	if got := p.ok(p.do("POST", "/v1/client/init", "Bearer "+tok, "{}")).text; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"1"}`)) // never challenged here
	if got := p.ok(p.do("POST", "/v1/client/init", "Bearer "+tok, "")).text; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.ok(p.imported("otpauth://totp/a?secret=" + importedSecret))
	got := p.ok(p.do("POST", "/v1/client/init", "Bearer "+tok, "{}")).object["challengeOptions"].(map[string]any)
	if got["defaultVerificationMethod"] != "AUTHENTICATOR_APP" || !reflect.DeepEqual(got["verificationMethods"], []any{"AUTHENTICATOR_APP"}) {
		t.Errorf("got %v", got)
	}
}

func TestMasked(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{
		"": "", "jane@example.com": "j****@example.com", "j@e.org": "****@e.org", "@": "@", "élise@x": "é****@x", "name": "n****", "a@b@c.org": "a****@c.org",
	} {
		if got := maskedEmail(email); got != want {
			t.Errorf("%s: got %s, want %s", email, got, want)
		}
	}
	for phone, want := range map[string]string{"": "", "1": "****", "123": "****3", "+64211234567": "****4567"} {
		if got := masked(phone, 0, 4); got != want {
			t.Errorf("%s: got %s, want %s", phone, got, want)
		}
	}
}

// Pages call all of the client API, so a browser must be told that it may.
func TestCORSOfEveryClientRoute(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for path, method := range map[string]string{
		"/v1/client/user-authenticators": "GET", "/v1/client/authenticators": "GET", "/v1/client/init": "POST",
		"/v1/client/user-authenticators/totp": "POST", "/v1/client/verify/totp": "POST",
	} {
		h := p.do("OPTIONS", path, "", "", "Origin", "https://app.test",
			"Access-Control-Request-Method", method, "Access-Control-Request-Headers", "authorization,content-type").header
		if h.Get("Access-Control-Allow-Origin") != "https://app.test" || h.Get("Access-Control-Allow-Methods") != method {
			t.Errorf("%s %s: got %v", method, path, h)
		}
	}
}
