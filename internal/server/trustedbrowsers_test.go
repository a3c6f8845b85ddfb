package server

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// trusting sets an action whose challenge a trusted browser replaces for some days.
func (p *peer) trusting(action string, days int, rules ...string) {
	p.t.Helper()
	p.ok(p.manage("PUT", "tenants/t1/actions/"+action, fmt.Sprintf(`{"defaultOutcome":"CHALLENGE","trustBrowserDays":%d,"rules":[%s]}`, days, strings.Join(rules, ","))))
}

// trusts signs a user in with a code, and returns the token of the browser.
func (p *peer) trusts(user, secret string) string {
	p.t.Helper()
	p.advance(time.Minute)
	tok := p.token(user, "signIn", `{"ipAddress":"192.0.2.1","userAgent":"Firefox"}`)
	tok = p.accepted(p.verify(tok, p.code(secret, 0))).object["accessToken"].(string)
	r := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`","userId":"`+user+`","action":"signIn","trustBrowser":true}`)).object
	device, _ := r["deviceToken"].(string)
	if r["isValid"] != true || !strings.HasPrefix(device, "tb1_") {
		p.t.Fatalf("got %v", r)
	}
	return device
}

// with tracks an action with the token of a browser.
func (p *peer) with(user, action, device, key string) map[string]any {
	p.t.Helper()
	if key != "" {
		key = `,"idempotencyKey":"` + key + `"`
	}
	return p.track(user, action, `{"deviceToken":"`+device+`","ipAddress":"192.0.2.9"`+key+`}`)
}

func (p *peer) asks(r map[string]any) {
	p.t.Helper()
	if r["state"] != "CHALLENGE_REQUIRED" || r["isTrusted"] != nil {
		p.t.Errorf("got %v, want a challenge", r)
	}
}

func (p *peer) waves(r map[string]any) string {
	p.t.Helper()
	next, _ := r["deviceToken"].(string)
	if r["state"] != "ALLOW" || r["isTrusted"] != true || r["isEnrolled"] != true || next == "" {
		p.t.Errorf("got %v, want no challenge", r)
	}
	return next
}

func TestATrustedBrowserIsNotAsked(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	p.trusting("brief", 1)
	secret := p.enrolled("u1")
	device := p.trusts("u1", secret)
	for range 3 {
		p.advance(time.Hour)
		next := p.waves(p.with("u1", "signIn", device, ""))
		if next == device {
			t.Error("the token did not change")
		}
		device = next
	}
	// An action without the setting asks, and the token changes all the same.
	r := p.with("u1", "pay", device, "")
	p.asks(r)
	device = r["deviceToken"].(string)
	// Trust counts for as long as each action says, from the day of the code.
	p.advance(24 * time.Hour)
	r = p.with("u1", "brief", device, "")
	p.asks(r)
	device = p.waves(p.with("u1", "signIn", r["deviceToken"].(string), ""))
	p.advance(28*24*time.Hour + 21*time.Hour)
	p.asks(p.with("u1", "signIn", device, ""))

	// Another user's token, one that is none, and none.
	other := p.trusts("u1", secret)
	p.enrolled("u2")
	for _, token := range []string{other, "tb1_AAAA", "tb1_" + strings.Repeat("A", 107), "", other[:len(other)-1], other + "A"} {
		p.asks(p.with("u2", "signIn", token, ""))
	}
	p.waves(p.with("u1", "signIn", other, ""))
}

func TestRulesSeeTrustAndOverruleIt(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30, `{"name":"far","condition":"ip == \"192.0.2.66\"","outcome":"CHALLENGE"}`)
	p.trusting("pay", 30, `{"name":"strange","condition":"!device.isTrusted","outcome":"BLOCK"}`)
	p.trusting("never", 0, `{"name":"trusted","condition":"device.isTrusted","outcome":"ALLOW"}`)
	secret := p.enrolled("u1")
	device := p.trusts("u1", secret)
	r := p.track("u1", "signIn", `{"deviceToken":"`+device+`","ipAddress":"192.0.2.66"}`)
	p.asks(r)
	device = p.waves(p.with("u1", "pay", r["deviceToken"].(string), ""))
	if got := p.track("u1", "pay", "")["state"]; got != "BLOCK" {
		t.Errorf("without a token: got %v", got)
	}
	// Where trust does not count, rules do not see it.
	p.asks(p.with("u1", "never", device, ""))
	for _, body := range []string{`{"defaultOutcome":"CHALLENGE","rules":[],"trustBrowserDays":91}`, `{"defaultOutcome":"CHALLENGE","rules":[],"trustBrowserDays":-1}`} {
		p.fails(p.manage("PUT", "tenants/t1/actions/pay", body), 400, "invalid_request")
	}
}

// The token of a browser works once. A copy that is used later, or the original after
// its copy, ends the trust in both.
func TestACopiedBrowserTokenEndsTheTrust(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t, func(c *Config) { c.ManagementKey = managementKey })
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	copied := p.trusts("u1", secret)
	next := p.waves(p.with("u1", "signIn", copied, ""))
	r := p.with("u1", "signIn", copied, "")
	p.asks(r)
	if r["deviceToken"] != nil {
		t.Error("a copy gets the next token")
	}
	p.asks(p.with("u1", "signIn", next, ""))
	p.deliver(st, h)
	events := h.of(authsignal.EventTrustedBrowserCopied)
	if len(events) != 1 {
		t.Fatalf("got %d events", len(events))
	}
	if e := events[0].Data.(authsignal.TrustedBrowserCopied); e.UserID != "u1" || e.IPAddress != "192.0.2.9" || e.LastIPAddress != "192.0.2.9" || e.BrowserID == "" {
		t.Errorf("got %+v", e)
	}
	if got := len(h.of(authsignal.EventTrustedBrowserCreated)); got != 1 {
		t.Errorf("got %d events of new browsers", got)
	}
	if text := p.log.String(); strings.Contains(text, copied) || strings.Contains(text, next) {
		t.Error("the log holds a token")
	}
}

// A backend that did not get the answer tracks again with the same idempotency key.
func TestALostAnswerIsNoCopy(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	device := p.trusts("u1", p.enrolled("u1"))
	p.waves(p.with("u1", "signIn", device, "k"))
	next := p.waves(p.with("u1", "signIn", device, "k"))
	next = p.waves(p.with("u1", "signIn", next, ""))
	// With another key it is a copy.
	p.asks(p.with("u1", "signIn", device, "l"))
	p.asks(p.with("u1", "signIn", next, ""))
	// The action that was let in stays so.
	if got := p.with("u1", "signIn", "", "k")["state"]; got != "ALLOW" {
		t.Errorf("got %v", got)
	}
}

// A token is not kept alive by the idempotency key of a track of long ago.
func TestALateRepetitionIsACopy(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	device := p.trusts("u1", p.enrolled("u1"))
	next := p.waves(p.with("u1", "signIn", device, "k"))
	p.advance(10 * time.Minute)
	if r := p.with("u1", "signIn", device, "k"); r["deviceToken"] != nil {
		t.Errorf("got %v", r)
	}
	p.asks(p.with("u1", "signIn", next, ""))
}

func TestTwoHundredUsesOfABrowserTokenCountOnce(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	device := p.trusts("u1", p.enrolled("u1"))
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if r := p.api("POST", "/v1/users/u1/actions/signIn", `{"deviceToken":"`+device+`"}`); r.status != http.StatusOK {
				t.Errorf("got %d %s", r.status, r.text)
			} else if r.object["state"] == "ALLOW" {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if got := in.Load(); got != 1 {
		t.Errorf("one token was accepted %d times", got)
	}
	if got := p.ok(p.api("GET", "/v1/users/u1/trusted-browsers", "")).text; got != "[]\n" {
		t.Errorf("still trusted: %s", got)
	}
}

// What ends the trust: its user's tokens, an authenticator that is removed, a recovery
// code, and the user, the backend and the operator.
func TestTrustEnds(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	for name, end := range map[string]func(user string){
		"end all tokens": func(u string) { p.ok(p.api("DELETE", "/v1/users/"+u+"/tokens", "")) },
		"removal": func(u string) {
			uri := "otpauth://totp/Acme:x?secret=" + importedSecret
			id := p.ok(p.api("POST", "/v1/users/"+u+"/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"`+uri+`"}`)).object["authenticator"].(map[string]any)["userAuthenticatorId"].(string)
			p.ok(p.api("DELETE", "/v1/users/"+u+"/authenticators/"+id, ""))
		},
		"recovery": func(u string) {
			codes := texts(p.ok(p.api("POST", "/v1/users/"+u+"/recovery-codes", "")).object["recoveryCodes"])
			p.accepted(p.recover(p.token(u, "signIn", ""), codes[0]))
		},
		"backend, one": func(u string) {
			id := p.ok(p.api("GET", "/v1/users/"+u+"/trusted-browsers", "")).list[0].(map[string]any)["browserId"].(string)
			p.ok(p.api("DELETE", "/v1/users/"+u+"/trusted-browsers/"+id, ""))
			p.fails(p.api("DELETE", "/v1/users/"+u+"/trusted-browsers/"+id, ""), 404, "not_found")
		},
		"backend, all": func(u string) {
			p.ok(p.api("DELETE", "/v1/users/"+u+"/trusted-browsers", ""))
			p.ok(p.api("DELETE", "/v1/users/"+u+"/trusted-browsers", ""))
		},
		"a new user of the id": func(u string) {
			p.ok(p.api("DELETE", "/v1/users/"+u, ""))
			p.enrolled(u)
		},
	} {
		user := strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")
		device := p.trusts(user, p.enrolled(user))
		device = p.waves(p.with(user, "signIn", device, "before"))
		end(user)
		p.asks(p.with(user, "signIn", device, ""))
		if got := p.ok(p.api("GET", "/v1/users/"+user+"/trusted-browsers", "")).text; got != "[]\n" {
			t.Errorf("%s: still listed: %s", name, got)
		}
	}
	// An action that trust let in asks, when it is tracked again after the end of the
	// user's tokens.
	p.asks(p.track("end-all-tokens", "signIn", `{"idempotencyKey":"before"}`))
}

// Trust lets the user in, and gives no right to change factors or to trust again.
func TestTrustIsNoChallenge(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	device := p.trusts("u1", secret)
	const all = "read:authenticators add:authenticators update:authenticators remove:authenticators"
	r := p.track("u1", "signIn", `{"deviceToken":"`+device+`","scope":"`+all+`"}`)
	p.waves(r)
	tok := r["token"].(string)
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	client := "/v1/client/user-authenticators/" + id
	p.fails(p.enroll(tok), 403, "unauthorized")
	p.fails(p.do("DELETE", client, "Bearer "+tok, ""), 403, "unauthorized")
	p.fails(p.rename(client, "Bearer "+tok, `{"name":"x"}`), 403, "unauthorized")
	p.fails(p.recovery("POST", "/recovery-codes", tok, ""), 403, "unauthorized")
	p.fails(p.do("GET", "/v1/client/trusted-browsers", "Bearer "+tok, ""), 403, "unauthorized")
	refused := p.do("DELETE", "/v1/client/trusted-browsers", "Bearer "+tok, "")
	p.fails(refused, 403, "unauthorized")
	if text := refused.object["errorDescription"].(string); !strings.Contains(text, "To remove a trusted browser, the action must require no code") {
		t.Errorf("got %q", text)
	}
	v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`","trustBrowser":true}`)).object
	if v["isValid"] != false || v["deviceToken"] != nil {
		t.Errorf("validate: got %v", v)
	}
	// Neither does a recovery code, nor an action whose settings do not count trust.
	codes := texts(p.ok(p.api("POST", "/v1/users/u1/recovery-codes", "")).object["recoveryCodes"])
	recovered := p.accepted(p.recover(p.token("u1", "signIn", ""), codes[0])).object["accessToken"].(string)
	p.advance(time.Minute)
	paid := p.accepted(p.verify(p.token("u1", "pay", ""), p.code(secret, 0))).object["accessToken"].(string)
	for _, token := range []string{recovered, paid} {
		if v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+token+`","trustBrowser":true}`)).object; v["isValid"] != true || v["deviceToken"] != nil {
			t.Errorf("validate: got %v", v)
		}
	}
	// With a code, the user sees the browsers and ends the trust.
	device = p.trusts("u1", secret)
	p.advance(time.Minute)
	tok = p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0))).object["accessToken"].(string)
	list := p.ok(p.do("GET", "/v1/client/trusted-browsers", "Bearer "+tok, "")).list
	if len(list) != 1 || list[0].(map[string]any)["userAgent"] != "Firefox" || list[0].(map[string]any)["ipAddress"] != "192.0.2.1" {
		t.Fatalf("got %v", list)
	}
	p.ok(p.do("DELETE", "/v1/client/trusted-browsers/"+list[0].(map[string]any)["browserId"].(string), "Bearer "+tok, ""))
	p.asks(p.with("u1", "signIn", device, ""))
}

func TestAUserTrustsTwentyBrowsers(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	first := p.trusts("u1", secret)
	second := p.trusts("u1", secret)
	for range 19 {
		p.trusts("u1", secret)
	}
	p.asks(p.with("u1", "signIn", first, ""))
	p.waves(p.with("u1", "signIn", second, ""))
	if got := len(p.ok(p.api("GET", "/v1/users/u1/trusted-browsers", "")).list); got != 20 {
		t.Errorf("got %d browsers", got)
	}
	// They are deleted when they are too old for any action.
	p.advance(91 * 24 * time.Hour)
	n, err := p.store.Clean(t.Context(), store.Retention{Actions: 1e6 * time.Hour, Audit: 1e6 * time.Hour, Pending: time.Hour}, p.clock())
	if err != nil || n != 20 {
		t.Errorf("deleted %d, %v", n, err)
	}
}
