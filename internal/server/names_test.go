package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

func (p *peer) rename(path, authorization, body string) response {
	p.t.Helper()
	return p.do("PATCH", path, authorization, body)
}

// An authenticator has the name that was given at its enrollment, until it is
// renamed by its user or by the backend.
func TestNamesOfAuthenticators(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	tok := p.token("u1", "enroll", "")
	e := p.ok(p.do("POST", "/v1/client/user-authenticators/totp", "Bearer "+tok, `{"name":"  Jane’s phone "}`)).object
	id, secret := e["userAuthenticatorId"].(string), e["secret"].(string)
	r := p.accepted(p.verify(tok, p.code(secret, 0))).object
	if got := r["userAuthenticator"].(map[string]any)["name"]; got != "Jane’s phone" {
		t.Errorf("after the enrollment: got %v", got)
	}
	tok = r["accessToken"].(string)
	client, server := "/v1/client/user-authenticators/"+id, "/v1/users/u1/authenticators/"+id
	if got, want := p.ok(p.rename(client, "Bearer "+tok, `{"name":"Work"}`)).text, `{"userAuthenticatorId":"`+id+`","name":"Work"}`+"\n"; got != want {
		t.Errorf("by the user: got %s, want %s", got, want)
	}
	if got := p.ok(p.rename(server, basic(testSecret), `{"name":"Home"}`)).object; got["name"] != "Home" || got["userId"] != "u1" {
		t.Errorf("by the backend: got %v", got)
	}
	p.ok(p.rename(server, basic(testSecret), `{"name":"Home"}`)) // nothing to change
	if got := p.ok(p.rename(client, "Bearer "+tok, `{"name":""}`)).text; strings.Contains(got, "name") {
		t.Errorf("without a name: got %s", got)
	}
	p.deliver(st, h)
	var names []string
	for _, e := range h.of(authsignal.EventAuthenticatorRenamed) {
		names = append(names, e.Data.(authsignal.AuthenticatorRenamed).Name)
	}
	slices.Sort(names) // they arrive in any order
	if got, want := strings.Join(names, ","), ",Home,Work"; got != want {
		t.Errorf("events: got %q, want %q", got, want)
	}

	long := strings.Repeat("ä", 64)
	p.ok(p.rename(client, "Bearer "+tok, `{"name":"`+long+`"}`))
	for _, body := range []string{`{}`, `{"name":null}`, `{"name":7}`, `{"name":"` + long + `x"}`, `{"name":"a\nb"}`, `{"name":"a\u202eb"}`, `{"name":"a\u0000"}`} {
		p.fails(p.rename(client, "Bearer "+tok, body), 400, "invalid_request")
		p.fails(p.rename(server, basic(testSecret), body), 400, "invalid_request")
	}
	p.fails(p.do("POST", "/v1/client/user-authenticators/totp", "Bearer "+tok, `{"name":"`+long+`x"}`), 400, "invalid_request")
	p.fails(p.rename("/v1/users/u1/authenticators/none", basic(testSecret), `{"name":"x"}`), 404, "not_found")
	p.fails(p.rename("/v1/client/user-authenticators/none", "Bearer "+tok, `{"name":"x"}`), 404, "not_found")
	p.fails(p.rename("/v1/users/u2/authenticators/"+id, basic(testSecret), `{"name":"x"}`), 404, "not_found")
	if got := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["name"]; got != long {
		t.Errorf("refused names changed it: got %v", got)
	}
}

// A list says where an authenticator was last used, and a page learns it only when
// its action requires no code.
func TestWhereAnAuthenticatorWasUsed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.ok(p.rename("/v1/users/u1/authenticators/"+id, basic(testSecret), `{"name":"Phone"}`))
	for i, ip := range []string{"192.0.2.1", "192.0.2.2"} {
		p.advance(time.Minute)
		tok := p.token("u1", "signIn", `{"ipAddress":"`+ip+`","userAgent":"Firefox `+ip+`"}`)
		p.accepted(p.verify(tok, p.code(secret, 0)))
		p.advance(time.Minute)
		// A challenge that is not completed is no use.
		challenged := p.token("u1", "signIn", `{"ipAddress":"198.51.100.1","scope":"update:authenticators"}`)
		got := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)
		if got["lastUsedIpAddress"] != ip || got["lastUsedUserAgent"] != "Firefox "+ip || got["name"] != "Phone" {
			t.Errorf("use %d, to the backend: got %v", i, got)
		}
		list := func(tok string) response {
			return p.ok(p.do("GET", "/v1/client/user-authenticators", "Bearer "+tok, ""))
		}
		if text := list(tok).text; !strings.Contains(text, ip) || !strings.Contains(text, "Phone") {
			t.Errorf("use %d, to the user: got %s", i, text)
		}
		if text := list(challenged).text; strings.Contains(text, "192.0.2") || strings.Contains(text, "Firefox") || strings.Contains(text, "Phone") {
			t.Errorf("use %d, before the challenge: got %s", i, text)
		}
		p.fails(p.rename("/v1/client/user-authenticators/"+id, "Bearer "+challenged, `{"name":"x"}`), 403, "unauthorized")
		p.fails(p.rename("/v1/client/user-authenticators/"+id, "Bearer "+tok, `{"name":"x"}`), 403, "unauthorized") // read scope
	}
}
