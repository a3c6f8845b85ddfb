package server

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
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
	p.ok(p.api("POST", factorsPath, `{"verificationMethod":"SMS","phoneNumber":"1"}`)) // cannot be challenged here
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

// The browser does not tell the page why a request was refused, but the log does.
func TestTheLogNamesAnOriginThatIsNotAllowed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for range 3 {
		h := p.do("OPTIONS", "/v1/client/verify/totp", "", "", "Origin", "https://forgotten.test", "Access-Control-Request-Method", "POST").header
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("got %v", h)
		}
	}
	if n := strings.Count(p.log.String(), `"origin":"https://forgotten.test"`); n != 1 {
		t.Errorf("logged %d times: %s", n, p.log.String())
	}
}

// The token of a deleted user is not valid.
func TestClientCallsOfADeletedUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := "Bearer " + p.token("u1", "signIn", "")
	p.ok(p.api("DELETE", "/v1/users/u1", ""))
	for path, method := range map[string]string{
		"/v1/client/user-authenticators": "GET", "/v1/client/authenticators": "GET", "/v1/client/init": "POST",
		"/v1/client/user-authenticators/totp": "POST",
	} {
		p.fails(p.do(method, path, tok, ""), 401, "unauthorized")
	}
}

// Pages call the whole client API, so CORS must allow all of it.
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

func TestClientRemoval(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	secret := p.enrolled("u1")
	p.enrolled("u2")
	const path = "/v1/client/user-authenticators"
	plain := p.token("u1", "signIn", "")
	id := p.ok(p.do("GET", path, "Bearer "+plain, "")).list[0].(map[string]any)["userAuthenticatorId"].(string)

	r := p.do("DELETE", path+"/"+id, "Bearer "+plain, "")
	p.fails(r, 403, "unauthorized")
	if !strings.Contains(r.text, "remove:authenticators") {
		t.Errorf("the scope is not named: %s", r.text)
	}
	p.fails(p.do("DELETE", path+"/"+id, "", ""), 401, "unauthorized")
	p.rulesOf("settings", "ALLOW")
	other := p.token("u2", "settings", `{"scope":"remove:authenticators"}`)
	p.fails(p.do("DELETE", path+"/"+id, "Bearer "+other, ""), 404, "not_found")

	// A verified code grants the right, without a scope from the backend.
	full := p.accepted(p.verify(plain, p.code(secret, 1))).object["accessToken"].(string)
	p.advance(time.Minute)
	next := p.ok(p.do("DELETE", path+"/"+id, "Bearer "+full, "")).object["accessToken"].(string)
	for _, void := range []string{full, plain} {
		p.fails(p.do("GET", path, "Bearer "+void, ""), 401, "unauthorized")
	}
	if got := p.ok(p.do("GET", path, "Bearer "+next, "")).text; got != "[]\n" {
		t.Errorf("after the removal: %s", got)
	}
	p.fails(p.do("DELETE", path+"/"+id, "Bearer "+next, ""), 404, "not_found")
	// It expires when the previous token does.
	p.advance(9*time.Minute - time.Second)
	p.ok(p.do("GET", path, "Bearer "+next, ""))
	p.advance(time.Second)
	p.fails(p.do("GET", path, "Bearer "+next, ""), 401, "expired_token")
	if got := p.track("u1", "signIn", "")["isEnrolled"]; got != false {
		t.Errorf("isEnrolled: got %v", got)
	}
	// The audit log distinguishes the user from the backend.
	r = p.ok(p.manage("GET", "tenants/t1/audit?userId=u1", ""))
	if !strings.Contains(r.text, `"by":"user"`) || !strings.Contains(r.text, `"authenticator.deleted"`) {
		t.Errorf("audit: %s", r.text)
	}
}

// Even with the scope, nothing is removed while a code is required or after a
// refusal.
func TestClientRemovalNeedsAnActionThatIsAllowed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	may := map[api.State]bool{api.StateAllow: true, api.StateChallengeSucceeded: true, api.StateReviewSucceeded: true}
	for _, state := range api.States {
		user := "u-" + string(state)
		p.enrolled(user)
		path := "/v1/users/" + user + "/authenticators"
		id := p.ok(p.api("GET", path, "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
		tok := p.token(user, "settings", `{"idempotencyKey":"k","scope":"remove:authenticators"}`)
		p.ok(p.api("PATCH", "/v1/users/"+user+"/actions/settings/k", `{"state":"`+string(state)+`"}`))
		r := p.do("DELETE", "/v1/client/user-authenticators/"+id, "Bearer "+tok, "")
		want := 0
		if may[state] {
			p.ok(r)
		} else {
			p.fails(r, 403, "unauthorized")
			if !strings.Contains(r.text, "The action is "+string(state)) {
				t.Errorf("the state is not named: %s", r.text)
			}
			want = 1
		}
		if got := len(p.ok(p.api("GET", path, "")).list); got != want {
			t.Errorf("%s: %d authenticators are left, want %d", state, got, want)
		}
	}
}

func TestClientRemovalOfADeletedUser(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	tok := p.token("u1", "settings", `{"scope":"remove:authenticators"}`)
	id := p.ok(p.api("GET", factorsPath, "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.ok(p.api("DELETE", "/v1/users/u1", ""))
	p.fails(p.do("DELETE", "/v1/client/user-authenticators/"+id, "Bearer "+tok, ""), 401, "unauthorized")
}

func TestClientRemovalSendsAnEvent(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t, func(c *Config) { c.ManagementKey = managementKey })
	p.enrolled("u1")
	id := p.ok(p.api("GET", factorsPath, "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.rulesOf("settings", "ALLOW")
	tok := p.token("u1", "settings", `{"scope":"remove:authenticators"}`)
	p.ok(p.do("DELETE", "/v1/client/user-authenticators/"+id, "Bearer "+tok, ""))
	p.deliver(st, h)
	events := h.of(authsignal.EventAuthenticatorDeleted)
	if len(events) != 1 || events[0].Data.(authsignal.AuthenticatorDeleted).UserAuthenticatorID != id {
		t.Errorf("got %+v", events)
	}
}

func TestTrackedURLOpensTheSettings(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for attributes, want := range map[string]bool{
		`{"redirectToSettings":true}`: true, `{"redirectToSettings":false}`: false, `{"redirectToSettings":null}`: false, `{}`: false,
	} {
		got := p.track("u1", "settings", attributes)["url"].(string)
		if !strings.HasPrefix(got, "http://mfa.test/?token=") || strings.HasSuffix(got, "&redirect_to_settings=true") != want {
			t.Errorf("%s: got a url that ends in %q", attributes, got[max(0, len(got)-30):])
		}
	}
}
