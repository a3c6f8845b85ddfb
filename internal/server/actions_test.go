package server

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestUpdateAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k","custom":{"a":1}}`)
	p.advance(time.Second)
	const path = "/v1/users/u1/actions/signIn/k"
	want := `{"state":"REVIEW_REQUIRED","createdAt":"2023-11-14T22:13:20.000Z","stateUpdatedAt":"2023-11-14T22:13:21.000Z","ruleIds":[],"rules":[],"output":{"custom":{"a":1}}}` + "\n"
	if got := p.ok(p.api("PATCH", path, `{"state":"REVIEW_REQUIRED"}`)).text; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// The same state again is no change.
	p.advance(time.Second)
	if got := p.ok(p.api("PATCH", path, `{"state":"REVIEW_REQUIRED","x":null}`)).text; got != want {
		t.Errorf("again: got %s", got)
	}
	if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object["state"]; got != "REVIEW_REQUIRED" {
		t.Errorf("validate: got %v", got)
	}
	for _, body := range []string{``, `{}`, `{"state":null}`, `{"state":"DONE737373"}`, `{"state":737373}`, `{"state":"ALLOW\u0000"}`, `[]`} {
		r := p.api("PATCH", path, body)
		p.fails(r, 400, "invalid_request")
		if strings.Contains(r.text, "737373") {
			t.Errorf("%s: the answer quotes the value: %s", body, r.text)
		}
	}
	p.fails(p.api("PATCH", path+"x", `{"state":"BLOCK"}`), 404, "not_found")
	p.fails(p.api("PATCH", "/v1/users/u9/actions/signIn/k", `{"state":"BLOCK"}`), 404, "not_found")
}

func TestQueryActions(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	list := func(query string) string {
		t.Helper()
		var b strings.Builder
		for _, item := range p.ok(p.api("GET", "/v1/users/u1/actions"+query, "")).list {
			fmt.Fprint(&b, item.(map[string]any)["idempotencyKey"], " ")
		}
		return strings.TrimSpace(b.String())
	}
	if got := p.ok(p.api("GET", "/v1/users/u1/actions", "")).text; got != "[]\n" {
		t.Errorf("unknown user: got %s", got)
	}
	p.track("u1", "signIn", `{"idempotencyKey":"old"}`)
	p.advance(20 * 24 * time.Hour)
	p.track("u1", "signIn", `{"idempotencyKey":"a"}`)
	p.advance(time.Second)
	p.track("u1", "pay", `{"idempotencyKey":"b","userAgent":"UA","ipAddress":"192.0.2.1"}`)
	p.track("u2", "pay", `{"idempotencyKey":"c"}`)
	p.advance(time.Second)
	p.put("u1", "signIn", "a", "BLOCK")
	for query, want := range map[string]string{
		"": "b a old", "?": "b a old", "?codes=signIn": "a old", "?codes=signIn%2Cpay": "b a old", "?codes=none": "",
		"?state=BLOCK": "a", "?state=ALLOW&codes=pay,signIn": "b old", "?state=": "b a old",
		"?fromDate=2023-12-04T22%3A13%3A20.001Z": "b", "?fromDate=2023-12-04T22:13:20Z": "b a",
		"?fromDate=2023-12-04T23:13:21%2B01:00": "b", "?fromDate=2023-12-01": "b a",
		"?fromDate=2001-01-01T00%3A00%3A00Z": "b a old", "?fromDate=2999-01-01": "",
		"?unknown=1": "b a old",
	} {
		if got := list(query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	want := map[string]any{
		"actionCode": "pay", "idempotencyKey": "b", "state": "ALLOW", "createdAt": "2023-12-04T22:13:21.000Z",
		"stateUpdatedAt": "2023-12-04T22:13:21.000Z", "updatedAt": "2023-12-04T22:13:21.000Z",
		"userAgent": "UA", "ipAddress": "192.0.2.1",
	}
	if got := p.ok(p.api("GET", "/v1/users/u1/actions", "")).list[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Actions older than 30 days are not listed, even with an earlier fromDate.
	p.advance(11 * 24 * time.Hour)
	if got := list("?fromDate=2023-01-01"); got != "b a" {
		t.Errorf("after 31 days: got %q", got)
	}
	for _, query := range []string{
		"state=DONE737373", "fromDate=737373", "fromDate=2023-13-01", "codes=a%20737373", "codes=,", "codes=" + strings.Repeat("a,", 100) + "a",
		"state=%zz", "codes=%00", "state=%FF",
	} {
		r := p.api("GET", "/v1/users/u1/actions?"+query, "")
		p.fails(r, 400, "invalid_request")
		if strings.Contains(r.text, "737373") {
			t.Errorf("%s: the answer quotes the value: %s", query, r.text)
		}
	}
}

func TestQueryActionsHasTheAuthenticator(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	item := p.ok(p.api("GET", "/v1/users/u1/actions?state=CHALLENGE_SUCCEEDED", "")).list[0].(map[string]any)
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"]
	if item["verificationMethod"] != "AUTHENTICATOR_APP" || item["verifiedByAuthenticatorId"] != id {
		t.Errorf("got %v, want authenticator %v", item, id)
	}
}

func TestQueryActionsIsBounded(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for range maxActions + 1 {
		p.track("u1", "signIn", "")
	}
	if got := len(p.ok(p.api("GET", "/v1/users/u1/actions", "")).list); got != maxActions {
		t.Errorf("got %d actions, want %d", got, maxActions)
	}
}
