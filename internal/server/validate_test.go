package server

import (
	"testing"
	"time"
)

func TestValidateAnUnfinishedAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).text
	want := `{"isValid":false,"state":"CHALLENGE_REQUIRED","stateUpdatedAt":"2023-11-14T22:13:20.000Z","userId":"u1","action":"signIn","actionCode":"signIn","idempotencyKey":"k"}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestValidateACompletedChallenge(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	newToken := p.accepted(p.verify(tok, p.code(secret, 1))).object["accessToken"].(string)
	want := `{"isValid":true,"state":"CHALLENGE_SUCCEEDED","stateUpdatedAt":"2023-11-14T22:13:20.000Z","userId":"u1","action":"signIn","actionCode":"signIn","idempotencyKey":"k","verificationMethod":"AUTHENTICATOR_APP"}` + "\n"
	// It changes nothing, so the result is the same again, and for the track token.
	for _, token := range []string{newToken, newToken, tok} {
		got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+token+`","userId":"u1","action":"signIn"}`)).text
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestValidateAllowIsNotValid(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+p.token("u1", "signIn", "")+`"}`)).object
	if got["isValid"] != false || got["state"] != "ALLOW" {
		t.Errorf("got %v", got)
	}
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "signIn", "")
	for _, tt := range []struct{ name, body, want string }{
		{"another user", `{"token":"` + tok + `","userId":"u2"}`, "User is invalid."},
		{"another action", `{"token":"` + tok + `","action":"pay"}`, "Action is invalid."},
		{"a broken token", `{"token":"` + tok + `x"}`, "Token is invalid."},
		{"no token at all", `{"token":"hello"}`, "Token is invalid."},
	} {
		got := p.ok(p.api("POST", "/v1/validate", tt.body)).text
		if want := `{"isValid":false,"error":"` + tt.want + `"}` + "\n"; got != want {
			t.Errorf("%s: got %s, want %s", tt.name, got, want)
		}
	}
	p.advance(10 * time.Minute)
	if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object["error"]; got != "Token is invalid." {
		t.Errorf("expired: got %v", got)
	}
}
