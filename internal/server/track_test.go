package server

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

func TestTrackANewUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	got := p.track("u1", "signIn", "{}")
	for _, key := range []string{"token", "url", "idempotencyKey"} {
		if s, _ := got[key].(string); s == "" {
			t.Errorf("%s is empty", key)
		}
		delete(got, key)
	}
	want := map[string]any{
		"state": "ALLOW", "isEnrolled": false, "ruleIds": []any{},
		"allowedVerificationMethods": []any{"AUTHENTICATOR_APP"}, "enrolledVerificationMethods": []any{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTrackAnEnrolledUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	got := p.track("u1", "signIn", "")
	for _, key := range []string{"token", "url", "idempotencyKey"} {
		delete(got, key)
	}
	want := map[string]any{
		"state": "CHALLENGE_REQUIRED", "isEnrolled": true, "ruleIds": []any{},
		"allowedVerificationMethods": []any{"AUTHENTICATOR_APP"}, "enrolledVerificationMethods": []any{"AUTHENTICATOR_APP"},
		"defaultVerificationMethod": "AUTHENTICATOR_APP",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The official Go SDK sends nulls for attributes that are not set.
func TestTrackAcceptsNulls(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.track("u1", "signIn", `{"redirectToSettings":null,"email":null,"custom":{"absent":null},"scope":null,"idempotencyKey":null,"unknown":{"x":1}}`)
	if _, there := p.ok(p.api("GET", "/v1/users/u1", "")).object["email"]; there {
		t.Error("a null became an attribute")
	}
}

func TestTrackStoresAttributesAndKeepsOthers(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.track("u1", "signIn", `{"email":"jane@example.com","phoneNumber":"1234567890","locale":"de"}`)
	p.track("u1", "signIn", `{"username":"jane","locale":"en"}`)
	got := p.ok(p.api("GET", "/v1/users/u1", "")).object
	want := map[string]any{
		"isEnrolled": false, "email": "jane@example.com", "emailVerified": false,
		"phoneNumber": "1234567890", "phoneNumberVerified": false, "userId": "u1", "username": "jane", "locale": "en",
		"allowedVerificationMethods": []any{"AUTHENTICATOR_APP"}, "enrolledVerificationMethods": []any{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTrackAgainReturnsTheStoredAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	first := p.track("u1", "signIn", `{"idempotencyKey":"k"}`)
	if again := p.track("u1", "signIn", `{"idempotencyKey":"k"}`); again["state"] != "CHALLENGE_REQUIRED" || again["token"] == first["token"] {
		t.Errorf("again: got %v", again)
	}
	p.accepted(p.verify(first["token"].(string), p.code(secret, 1)))
	if got := p.track("u1", "signIn", `{"idempotencyKey":"k"}`)["state"]; got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("after the challenge: got %v", got)
	}
	// The same key of another action or user is another action.
	if got := p.track("u1", "pay", `{"idempotencyKey":"k"}`)["state"]; got != "CHALLENGE_REQUIRED" {
		t.Errorf("another action: got %v", got)
	}
	if got := p.track("u2", "signIn", `{"idempotencyKey":"k"}`)["state"]; got != "ALLOW" {
		t.Errorf("another user: got %v", got)
	}
}

func TestConcurrentFirstTracksMakeOneAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { p.ok(p.api("POST", "/v1/users/u1/actions/signIn", `{"idempotencyKey":"k"}`)) })
	}
	wg.Wait()
	if got := p.state("u1", "signIn", "k"); got != "ALLOW" {
		t.Errorf("got %s", got)
	}
}

func TestAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k","custom":{"amount":12.5,"New User":true,"note":"x"}}`)
	got := p.ok(p.api("GET", "/v1/users/u1/actions/signIn/k", "")).object
	want := map[string]any{
		"state": "CHALLENGE_REQUIRED", "createdAt": "2023-11-14T22:13:20.000Z", "stateUpdatedAt": "2023-11-14T22:13:20.000Z",
		"ruleIds": []any{}, "rules": []any{},
		"output": map[string]any{"custom": map[string]any{"amount": 12.5, "New User": true, "note": "x"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.advance(1500 * time.Millisecond)
	p.accepted(p.verify(tok, p.code(secret, 1)))
	got = p.ok(p.api("GET", "/v1/users/u1/actions/signIn/k", "")).object
	want["state"], want["stateUpdatedAt"], want["verificationMethod"] = "CHALLENGE_SUCCEEDED", "2023-11-14T22:13:21.500Z", "AUTHENTICATOR_APP"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.fails(p.api("GET", "/v1/users/u1/actions/signIn/unknown", ""), 404, "not_found")
	p.fails(p.api("GET", "/v1/users/u2/actions/signIn/k", ""), 404, "not_found")
}

func TestActionWithoutCustomHasAnOutput(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	key := p.track("u1", "signIn", "")["idempotencyKey"]
	got := p.ok(p.api("GET", fmt.Sprint("/v1/users/u1/actions/signIn/", key), "")).object["output"]
	if want := map[string]any{"custom": map[string]any{}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
