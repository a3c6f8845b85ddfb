package server

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// recovery calls a path of the client API for recovery codes.
func (p *peer) recovery(method, path, token, body string) response {
	p.t.Helper()
	return p.do(method, "/v1/client"+path, "Bearer "+token, body)
}

// recover answers a challenge with a recovery code.
func (p *peer) recover(token, code string) response {
	p.t.Helper()
	return p.recovery("POST", "/verify/recovery-code", token, `{"recoveryCode":"`+code+`"}`)
}

// recoverable creates a user with an authenticator and ten recovery codes in force,
// and returns the authenticator's secret and the codes.
func (p *peer) recoverable(user string) (secret string, codes []string) {
	p.t.Helper()
	tok := p.token(user, "enroll", "")
	secret = p.ok(p.enroll(tok)).object["secret"].(string)
	tok = p.accepted(p.verify(tok, p.code(secret, 0))).object["accessToken"].(string)
	codes = texts(p.ok(p.recovery("POST", "/recovery-codes", tok, "")).object["recoveryCodes"])
	if got := p.ok(p.recovery("POST", "/recovery-codes/confirm", tok, `{"saved":true}`)).text; got != `{"isConfirmed":true}`+"\n" {
		p.t.Fatalf("confirm: %s", got)
	}
	return secret, codes
}

func texts(list any) (out []string) {
	for _, v := range list.([]any) {
		out = append(out, v.(string))
	}
	return out
}

func TestRecoveryCodesHaveTheirForm(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	_, codes := p.recoverable("u1")
	form := regexp.MustCompile(`^[2-9A-HJKMNP-TV-Z]{4}(-[2-9A-HJKMNP-TV-Z]{4}){2}$`)
	seen := map[string]bool{}
	for _, code := range codes {
		if !form.MatchString(code) || seen[code] {
			t.Errorf("a code of another form, or twice: %q", code)
		}
		seen[code] = true
	}
	if len(seen) != 10 {
		t.Errorf("got %d codes", len(seen))
	}
}

func TestRecoveryCodesAreInForceOnceConfirmed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	p.advance(time.Minute)
	tok := p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0))).object["accessToken"].(string)
	status := func(want string) {
		t.Helper()
		if got := p.ok(p.recovery("GET", "/recovery-codes", tok, "")).text; got != want+"\n" {
			t.Errorf("status: got %s, want %s", got, want)
		}
	}
	status(`{"total":0,"left":0,"isPending":false}`)
	p.fails(p.recovery("POST", "/recovery-codes/confirm", tok, `{"saved":true}`), 400, "invalid_request")

	first := texts(p.ok(p.recovery("POST", "/recovery-codes", tok, "")).object["recoveryCodes"])
	status(`{"total":0,"left":0,"isPending":true}`)
	p.fails(p.recover(p.token("u1", "signIn", ""), first[0]), 400, "invalid_request")

	// The second set replaces the first, which can no longer be confirmed.
	second := texts(p.ok(p.recovery("POST", "/recovery-codes", tok, "")).object["recoveryCodes"])
	for _, tt := range []struct{ body, want string }{
		{`{"recoveryCode":"` + first[0] + `"}`, `{"isConfirmed":false}`},
		{`{"recoveryCode":"nonsense"}`, `{"isConfirmed":false}`},
		{`{"recoveryCode":"` + second[3] + `"}`, `{"isConfirmed":true}`},
	} {
		if got := p.ok(p.recovery("POST", "/recovery-codes/confirm", tok, tt.body)).text; got != tt.want+"\n" {
			t.Errorf("confirm: got %s, want %s", got, tt.want)
		}
	}
	status(`{"total":10,"left":10,"confirmedAt":"2023-11-14T22:14:20.000Z","isPending":false}`)

	// Codes that are not confirmed leave those in force as they are.
	third := texts(p.ok(p.recovery("POST", "/recovery-codes", tok, "")).object["recoveryCodes"])
	signIn := p.token("u1", "signIn", "")
	p.refused(p.recover(signIn, third[0]), "CODE_INVALID_OR_EXPIRED")
	// The code that confirmed the set is not used up.
	p.accepted(p.recover(signIn, second[3]))
	p.ok(p.recovery("POST", "/recovery-codes/confirm", tok, `{"saved":true}`))
	p.refused(p.recover(p.token("u1", "signIn", ""), second[4]), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.recover(p.token("u1", "signIn", ""), third[0]))
}

func TestARecoveryCodeCompletesAChallenge(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret, codes := p.recoverable("u1")
	tr := p.track("u1", "signIn", `{"idempotencyKey":"k"}`)
	// As somebody types it from paper.
	r := p.accepted(p.recover(tr["token"].(string), " "+strings.ToLower(strings.ReplaceAll(codes[0], "-", "  "))+" ")).object
	if r["recoveryCodesLeft"] != 9.0 || len(r) != 3 {
		t.Errorf("got %v", r)
	}
	v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+r["accessToken"].(string)+`","userId":"u1","action":"signIn"}`)).object
	if v["isValid"] != true || v["state"] != "CHALLENGE_SUCCEEDED" || v["verificationMethod"] != "RECOVERY_CODE" {
		t.Errorf("validate: got %v", v)
	}
	// The user removes the lost app, enrolls another, and gets new codes.
	tok := r["accessToken"].(string)
	lost := p.ok(p.do("GET", "/v1/client/user-authenticators", "Bearer "+tok, "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	e := p.ok(p.enroll(tok)).object
	p.accepted(p.verify(tok, p.code(e["secret"].(string), 0)))
	tok = p.ok(p.do("DELETE", "/v1/client/user-authenticators/"+lost, "Bearer "+tok, "")).object["accessToken"].(string)
	if got := p.ok(p.recovery("GET", "/recovery-codes", tok, "")).object["left"]; got != 9.0 {
		t.Errorf("left after a new app: got %v", got)
	}
	p.advance(time.Minute)
	p.refused(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)), "CODE_INVALID_OR_EXPIRED")
}

// The rights to make and to confirm codes, and to use one, by the state of the
// action and the scopes of the token.
func TestRecoveryCodesNeedTheChallenge(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	all := `"scope":"read:authenticators add:authenticators update:authenticators remove:authenticators"`
	makeCodes := func(tok string) response { return p.recovery("POST", "/recovery-codes", tok, "") }
	confirm := func(tok string) response {
		return p.recovery("POST", "/recovery-codes/confirm", tok, `{"saved":true}`)
	}

	// Without an app, there is nothing that a code could replace.
	newcomer := p.token("new", "signIn", `{`+all+`}`)
	p.fails(makeCodes(newcomer), 400, "invalid_request")
	p.fails(p.recover(newcomer, "2222-2222-2222"), 400, "invalid_request")

	_, codes := p.recoverable("u1")
	for _, outcome := range []string{"ALLOW", "BLOCK", "REVIEW", "CHALLENGE"} {
		p.rulesOf("a"+outcome, outcome)
		tok := p.token("u1", "a"+outcome, `{`+all+`}`)
		p.fails(makeCodes(tok), 403, "unauthorized")
		p.fails(confirm(tok), 403, "unauthorized")
		if outcome == "BLOCK" || outcome == "REVIEW" {
			p.fails(p.recover(tok, codes[0]), 400, "invalid_request")
		}
	}
	// The token of the challenge without the scope.
	tr := p.track("u1", "signIn", `{"idempotencyKey":"k"}`)
	p.accepted(p.recover(tr["token"].(string), codes[1]))
	p.fails(makeCodes(tr["token"].(string)), 403, "unauthorized")
	p.fails(confirm(tr["token"].(string)), 403, "unauthorized")
	// A review that a backend has decided is no challenge.
	r := p.track("u1", "aREVIEW", `{"idempotencyKey":"r",`+all+`}`)
	p.ok(p.api("PATCH", "/v1/users/u1/actions/aREVIEW/r", `{"state":"REVIEW_SUCCEEDED"}`))
	p.fails(makeCodes(r["token"].(string)), 403, "unauthorized")
	p.fails(p.recover(r["token"].(string), codes[2]), 400, "invalid_request")
	if got := p.ok(p.api("GET", "/v1/users/u1/recovery-codes", "")).object["left"]; got != 9.0 {
		t.Errorf("refused calls used codes up: %v left", got)
	}
}

func TestARecoveryCodeIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	_, codes := p.recoverable("u1")
	var tokens []string
	for range 10 {
		tokens = append(tokens, p.token("u1", "signIn", ""))
	}
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if r := p.recover(tokens[i%len(tokens)], codes[0]); r.object["isVerified"] == true {
				accepted.Add(1)
			} else if r.status != http.StatusOK || r.object["failureReason"] != "CODE_INVALID_OR_EXPIRED" {
				t.Errorf("got %d %s", r.status, r.text)
			}
		})
	}
	wg.Wait()
	if got := accepted.Load(); got != 1 {
		t.Errorf("one code was accepted %d times", got)
	}
	// A used code is no guess.
	if got := p.ok(p.api("GET", "/v1/users/u1/recovery-codes", "")).object["left"]; got != 9.0 {
		t.Errorf("left: got %v", got)
	}
	p.accepted(p.recover(p.token("u1", "signIn", ""), codes[1]))
}

// A wrong recovery code and a wrong code of the app share the limit of attempts.
// What is malformed or used is no guess.
func TestWrongRecoveryCodesCountAsWrongCodes(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.settings(func(s *api.AuthenticatorSettings) { s.MaxFailures = 4 })
	secret, codes := p.recoverable("u1")
	tok := p.token("u1", "signIn", "")
	p.accepted(p.recover(tok, codes[9]))
	for _, code := range []string{"", "123456", "2222-2222-222", "2222-2222-22222", "OOOO-OOOO-OOOO", codes[9]} {
		p.refused(p.recover(tok, code), "CODE_INVALID_OR_EXPIRED")
	}
	p.refused(p.recover(tok, "2222-2222-2222"), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.recover(tok, "3333-3333-3333"), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.recover(tok, "4444-4444-4444"), "CODE_INVALID_OR_EXPIRED")
	p.refused(p.recover(tok, "5555-5555-5555"), "MAX_ATTEMPTS_EXCEEDED")
	p.advance(time.Minute)
	p.refused(p.verify(tok, p.code(secret, 0)), "MAX_ATTEMPTS_EXCEEDED")
	// The user is not kept out by another person's wrong codes.
	p.accepted(p.recover(tok, codes[0]))
	p.fails(p.recovery("POST", "/verify/recovery-code", tok, `{}`), 400, "invalid_request")
	p.fails(p.recovery("POST", "/verify/recovery-code", tok, `{"recoveryCode":7}`), 400, "invalid_request")
	p.fails(p.recovery("POST", "/recovery-codes/confirm", tok, `{}`), 400, "invalid_request")
}

func TestABackendManagesRecoveryCodes(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const path = "/v1/users/u1/recovery-codes"
	status := func(want string) {
		t.Helper()
		if got := p.ok(p.api("GET", path, "")).text; got != want+"\n" {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	status(`{"total":0,"left":0,"isPending":false}`)
	p.fails(p.api("POST", path, ""), 400, "invalid_request")
	p.ok(p.api("DELETE", path, ""))
	p.enrolled("u1")
	codes := texts(p.ok(p.api("POST", path, "")).object["recoveryCodes"])
	status(`{"total":10,"left":10,"confirmedAt":"2023-11-14T22:13:20.000Z","isPending":false}`)
	again := texts(p.ok(p.api("POST", path, "")).object["recoveryCodes"])
	tok := p.token("u1", "signIn", "")
	p.refused(p.recover(tok, codes[0]), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.recover(tok, again[0]))
	p.ok(p.api("DELETE", path, ""))
	status(`{"total":0,"left":0,"isPending":false}`)
	p.fails(p.recover(p.token("u1", "signIn", ""), again[1]), 400, "invalid_request")
}

// An authenticator that a backend enrolls comes with recovery codes if the backend asks,
// and together with them or not at all. An answer that was lost is asked for again: its
// codes take the place of the lost ones.
func TestEnrollVerifiedWithRecoveryCodes(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const app = `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/jane?secret=` + importedSecret + `"`
	first := texts(p.ok(p.api("POST", factorsPath, app+`,"recoveryCodes":true}`)).object["recoveryCodes"])
	again := texts(p.ok(p.api("POST", factorsPath, app+`,"recoveryCodes":true}`)).object["recoveryCodes"])
	if len(first) != 10 || len(again) != 10 {
		t.Fatalf("got %d codes and %d", len(first), len(again))
	}
	if _, has := p.ok(p.api("POST", factorsPath, app+`}`)).object["recoveryCodes"]; has {
		t.Error("codes without being asked for")
	}
	p.refused(p.recover(p.token("u1", "signIn", ""), first[0]), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.recover(p.token("u1", "signIn", ""), again[0]))

	p.fails(p.api("POST", factorsPath, app+`,"recoveryCodes":"yes"}`), 400, "invalid_request")
	const email = "/v1/users/u2/authenticators"
	p.fails(p.api("POST", email, `{"verificationMethod":"EMAIL_OTP","email":"a@b.c","recoveryCodes":true}`), 400, "invalid_request")
	if got := p.ok(p.api("GET", email, "")).list; len(got) != 0 {
		t.Errorf("enrolled without the codes: %v", got)
	}
}

// A tenant that allows no recovery codes makes and accepts none. Codes that users have
// are refused until it allows them again.
func TestATenantWithoutRecoveryCodes(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret, codes := p.recoverable("u1")
	allow := func(is bool) { p.settings(func(s *api.AuthenticatorSettings) { s.RecoveryCodes = is }) }
	status := func(want string) {
		t.Helper()
		tok := p.token("u1", "signIn", "")
		for _, got := range []string{p.recovery("GET", "/recovery-codes", tok, "").text, p.api("GET", "/v1/users/u1/recovery-codes", "").text} {
			if got != want+"\n" {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
	p.advance(30 * time.Second)
	done := p.token("u1", "signIn", "")
	done = p.accepted(p.verify(done, p.code(secret, 0))).object["accessToken"].(string)
	pending := texts(p.ok(p.recovery("POST", "/recovery-codes", done, "")).object["recoveryCodes"])

	allow(false)
	status(`{"total":0,"left":0,"isPending":false,"isDisabled":true}`)
	p.fails(p.recovery("POST", "/recovery-codes", done, ""), 400, "invalid_configuration")
	p.fails(p.recovery("POST", "/recovery-codes/confirm", done, `{"recoveryCode":"`+pending[0]+`"}`), 400, "invalid_configuration")
	p.fails(p.api("POST", "/v1/users/u1/recovery-codes", ""), 400, "invalid_configuration")
	asked := strings.ReplaceAll(`{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"otpauth://totp/x?secret=SECRET","recoveryCodes":true}`, "SECRET", importedSecret)
	p.fails(p.api("POST", "/v1/users/u2/authenticators", asked), 400, "invalid_configuration")
	p.refused(p.recover(p.token("u1", "signIn", `{"idempotencyKey":"k"}`), codes[0]), "CODE_INVALID_OR_EXPIRED")
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("state: got %s", got)
	}
	err := p.store.View(t.Context(), "t1", func(tx *store.Tx) error {
		events, err := tx.AuditEvents("u1", 1)
		if err == nil && (events[0].Kind != store.AuditCodeRefused || events[0].Detail["reason"] != "disabled") {
			t.Errorf("audit: got %+v", events[0])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	allow(true)
	status(`{"total":10,"left":10,"confirmedAt":"2023-11-14T22:13:20.000Z","isPending":true}`)
	p.accepted(p.recover(p.token("u1", "signIn", ""), codes[0]))
}

// The webhook consents to a challenge that a recovery code completes as to any
// other, and hears of codes that are made, used and voided.
func TestEventsOfRecoveryCodes(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	_, codes := p.recoverable("u1")
	tr := p.track("u1", "signIn", `{"idempotencyKey":"k"}`)
	h.answers(func() int { return http.StatusForbidden })
	p.fails(p.recover(tr["token"].(string), codes[0]), 400, "invalid_request")
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("without consent: got %s", got)
	}
	h.answers(func() int { return http.StatusOK })
	p.accepted(p.recover(tr["token"].(string), codes[1]))
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("with consent: got %s", got)
	}
	p.ok(p.api("DELETE", "/v1/users/u1/recovery-codes", ""))
	p.deliver(st, h)
	asked := h.of(authsignal.EventActionVerify)
	if last := asked[len(asked)-1].Data.(authsignal.ActionVerify); last.VerificationMethod != authsignal.RecoveryCode || last.UserAuthenticatorID != "" {
		t.Errorf("action.verify: got %+v", last)
	}
	var left []int // the events arrive in any order
	for _, e := range h.of(authsignal.EventRecoveryCodeUsed) {
		used := e.Data.(authsignal.RecoveryCodeUsed)
		if left = append(left, used.RecoveryCodesLeft); used.UserID != "u1" || used.Action != "signIn" || used.IdempotencyKey != "k" {
			t.Errorf("used: got %+v", used)
		}
	}
	if slices.Sort(left); !slices.Equal(left, []int{8, 9}) {
		t.Errorf("left: got %v", left)
	}
	if n, m := len(h.of(authsignal.EventRecoveryCodesCreated)), len(h.of(authsignal.EventRecoveryCodesVoided)); n != 1 || m != 1 {
		t.Errorf("got %d events of new codes and %d of voided ones, want 1 each", n, m)
	}
}

// A user is told once for each set of codes that they run out.
func TestAnEventOfRecoveryCodesThatRunOut(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	_, codes := p.recoverable("u1")
	events := func() []authsignal.Event {
		p.deliver(st, h)
		return h.of(authsignal.EventRecoveryCodesRunningOut)
	}
	for i, code := range codes {
		p.accepted(p.recover(p.token("u1", "signIn", ""), code))
		want := 0
		if left := len(codes) - 1 - i; left <= api.FewRecoveryCodes {
			want = 1
		}
		if got := events(); len(got) != want {
			t.Fatalf("after %d codes: got %d events, want %d", i+1, len(got), want)
		}
	}
	if got := events()[0].Data.(authsignal.RecoveryCodesRunningOut); got.UserID != "u1" || got.RecoveryCodesLeft != api.FewRecoveryCodes || !got.NoticedAt.Equal(p.clock()) {
		t.Errorf("got %+v", got)
	}
}

// Codes end with the last authenticator app, and with the user.
func TestRecoveryCodesEndWithWhatTheyReplace(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	_, codes := p.recoverable("u1")
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.ok(p.api("DELETE", "/v1/users/u1/authenticators/"+id, ""))
	p.enrolled("u1")
	p.fails(p.recover(p.token("u1", "signIn", ""), codes[0]), 400, "invalid_request")

	_, codes = p.recoverable("u2")
	p.ok(p.api("DELETE", "/v1/users/u2", ""))
	p.enrolled("u2")
	p.fails(p.recover(p.token("u2", "signIn", ""), codes[0]), 400, "invalid_request")
}

// No code is in the log, the audit log or the outbox, and none is stored in the
// clear.
func TestRecoveryCodesAreKeptNowhere(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	_, codes := p.recoverable("u1")
	tok := p.token("u1", "signIn", "")
	p.accepted(p.recover(tok, codes[0]))
	p.refused(p.recover(tok, codes[0]), "CODE_INVALID_OR_EXPIRED")
	p.recovery("POST", "/verify/recovery-code", tok, `{"recoveryCode":["`+codes[1]+`"]}`)
	var kept strings.Builder
	kept.WriteString(p.log.String())
	err := p.store.View(t.Context(), "t1", func(tx *store.Tx) error {
		events, err := tx.AuditEvents("u1", 100)
		for _, e := range events {
			b, _ := json.Marshal(e)
			kept.Write(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToUpper(kept.String())
	for _, code := range codes {
		if strings.Contains(text, code) || strings.Contains(text, strings.ReplaceAll(code, "-", "")) {
			t.Error("a recovery code was logged")
		}
	}
	for _, kind := range []store.AuditKind{store.AuditRecoveryCodesMade, store.AuditRecoveryCodesInForce, store.AuditRecoveryCodeAccepted} {
		if !strings.Contains(kept.String(), string(kind)) {
			t.Errorf("the audit log has no %s", kind)
		}
	}
}
