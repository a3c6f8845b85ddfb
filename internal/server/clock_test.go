package server

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// clockWasAhead returns a peer whose user u1 was enrolled while the clock was hours
// ahead, which it is no more, and the user's secret.
func clockWasAhead(t *testing.T) (p *peer, secret, id string) {
	t.Helper()
	p = managedPeer(t)
	p.advance(2 * time.Hour)
	secret = p.enrolled("u1")
	p.advance(-2 * time.Hour)
	id = p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	return p, secret, id
}

// audited returns the detail of the newest entry of a kind in u1's audit log.
func (p *peer) audited(kind string) map[string]any {
	p.t.Helper()
	for _, e := range p.ok(p.manage("GET", "tenants/t1/audit?userId=u1", "")).list {
		if e := e.(map[string]any); e["kind"] == kind {
			return e["detail"].(map[string]any)
		}
	}
	p.t.Fatal("the audit log has no " + kind)
	return nil
}

// A user whose last code was accepted while the server's clock was ahead is refused.
// The answer to a right code, the log and the audit log say why; the answer to a
// wrong one does not.
func TestACodeAfterTheClockWasAhead(t *testing.T) {
	t.Parallel()
	p, secret, _ := clockWasAhead(t)
	tok := p.token("u1", "signIn", "")
	wrong := p.verify(tok, p.wrong(secret))
	p.refused(wrong, "CODE_INVALID_OR_EXPIRED")
	if _, ok := wrong.object["failureDetail"]; ok || strings.Contains(p.log.String(), "clock") {
		t.Errorf("a wrong code: got %v, log %s", wrong.object, p.log.String())
	}
	want := map[string]any{"isVerified": false, "failureReason": "CODE_INVALID_OR_EXPIRED", "failureDetail": "SERVER_CLOCK_WAS_AHEAD"}
	if got := p.ok(p.verify(tok, p.code(secret, 0))).object; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if log := p.log.String(); !strings.Contains(log, "clock of a server was ahead") || !strings.Contains(log, `"tenant":"t1"`) {
		t.Errorf("log: %s", log)
	}
	// Two hours are 240 steps, of which the first two could be accepted.
	if d := p.audited("code.refused"); d["reason"] != "ahead" || d["steps"] != 238.0 {
		t.Errorf("audit: got %v", d)
	}
}

// An unlock lets the user in again, but with no code of the past or the present.
func TestUnlockAfterTheClockWasAhead(t *testing.T) {
	t.Parallel()
	p, secret, id := clockWasAhead(t)
	p.ok(p.manage("POST", "tenants/t1/users/u1/authenticators/"+id+"/unlock", ""))
	if d := p.audited("authenticator.unlocked"); d["stepsAhead"] != 238.0 || d["by"] != "operator" {
		t.Errorf("audit: got %v", d)
	}
	tok := p.token("u1", "signIn", "")
	for offset := int64(-1); offset <= 0; offset++ {
		r := p.verify(tok, p.code(secret, offset))
		p.refused(r, "CODE_INVALID_OR_EXPIRED")
		if _, ok := r.object["failureDetail"]; ok {
			t.Errorf("after the unlock: got %v", r.object)
		}
	}
	p.advance(30 * time.Second)
	p.accepted(p.verify(tok, p.code(secret, 0)))
}

// An unlock does not make a code acceptable again that was accepted early.
func TestUnlockKeepsAnEarlyStep(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.settings(func(s *api.AuthenticatorSettings) { s.Drift = api.MaxDrift })
	secret := p.enrolled("u1")
	code := p.code(secret, api.MaxDrift)
	p.accepted(p.verify(p.token("u1", "signIn", ""), code))
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.ok(p.manage("POST", "tenants/t1/users/u1/authenticators/"+id+"/unlock", ""))
	p.refused(p.verify(p.token("u1", "signIn", ""), code), "CODE_INVALID_OR_EXPIRED")
}

// So does the import of the same authenticator by the backend.
func TestImportAfterTheClockWasAhead(t *testing.T) {
	t.Parallel()
	p, secret, id := clockWasAhead(t)
	uri := totp.URI("Acme", "u1", secret, totp.DefaultParameters)
	again := p.ok(p.api("POST", "/v1/users/u1/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"`+uri+`"}`)).object
	if got := again["authenticator"].(map[string]any)["userAuthenticatorId"]; got != id {
		t.Errorf("got the authenticator %v, want %s", got, id)
	}
	if d := p.audited("authenticator.unlocked"); d["stepsAhead"] != 238.0 || d["by"] != "backend" {
		t.Errorf("audit: got %v", d)
	}
	tok := p.token("u1", "signIn", "")
	p.refused(p.verify(tok, p.code(secret, 0)), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.verify(tok, p.code(secret, 1)))
}
