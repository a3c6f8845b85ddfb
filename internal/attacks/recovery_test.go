package attacks

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// recovers answers a challenge with a recovery code.
func (p page) recovers(code string) response {
	p.s.t.Helper()
	return p.call("POST", "verify/recovery-code", `{"recoveryCode":"`+code+`"}`)
}

// recoveryCodes returns ten codes of a user, in force.
func (u *user) recoveryCodes() (codes []string) {
	u.s.t.Helper()
	for _, c := range u.s.backend("POST", "/users/"+u.id+"/recovery-codes", "").ok().object["recoveryCodes"].([]any) {
		codes = append(codes, c.(string))
	}
	return codes
}

// The first factor, with any scope and any outcome of the action, makes no recovery
// codes, confirms none, and learns nothing but how many are left.
func TestRecoveryCodesNeedTheChallenge(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, outcome := range []string{"ALLOW", "CHALLENGE", "REVIEW", "BLOCK"} {
		s.rules("a"+outcome, outcome).ok()
		victim := s.enrolledUser()
		victim.recoveryCodes()
		for _, scope := range scopes {
			tr := victim.track("a"+outcome, with(scope))
			tr.call("POST", "recovery-codes", "").refused(http.StatusForbidden, "unauthorized")
			tr.call("POST", "recovery-codes/confirm", `{"saved":true}`).refused(http.StatusForbidden, "unauthorized")
			if got := strings.TrimSpace(tr.call("GET", "recovery-codes", "").ok().text); !strings.Contains(got, `"left":10`) || strings.Contains(got, "recoveryCodes") {
				t.Errorf("status: got %s", got)
			}
		}
	}
	// What the first factor gets before the user enrolls is void afterwards.
	u := s.newUser()
	early := u.track("enroll", with(allScopes))
	early.call("POST", "recovery-codes", "").refused(http.StatusBadRequest, "invalid_request")
	early.verify(early.begins().code()).verified(s)
	late := u.track("signIn", with(allScopes))
	late.call("POST", "recovery-codes", "").refused(http.StatusForbidden, "unauthorized")
	// Another user's codes are wrong codes, in each form in which they are typed.
	other := s.enrolledUser().recoveryCodes()
	u.recoveryCodes()
	for _, code := range []string{other[0], strings.ToLower(other[1]), strings.ReplaceAll(other[2], "-", "")} {
		late.recovers(code).denied()
	}
	late.is("CHALLENGE_REQUIRED")
}

// One code, at once in several challenges, completes one of them.
func TestARecoveryCodeCountsOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	codes := victim.recoveryCodes()
	const n = 12
	pages := make([]tracked, n)
	for i := range pages {
		pages[i] = victim.track("signIn", "")
	}
	accepted := make([]bool, 2*n)
	atOnce(2*n, func(i int) {
		r, err := s.send("POST", "/v1/client/verify/recovery-code", "Bearer "+pages[i%n].token, `{"recoveryCode":"`+codes[0]+`"}`)
		accepted[i] = err == nil && r.object["isVerified"] == true
	})
	if i := slices.Index(accepted, true); i < 0 || slices.Contains(accepted[i+1:], true) {
		t.Errorf("accepted: got %v, want one", accepted)
	}
	done := 0
	for _, p := range pages {
		if p.validate().object["isValid"] == true {
			done++
		}
	}
	if done != 1 {
		t.Errorf("one code completed %d challenges", done)
	}
	if log := s.log.String(); strings.Contains(log, codes[0]) || strings.Contains(log, strings.ReplaceAll(codes[0], "-", "")) {
		t.Error("the log holds a code")
	}
}

// A wrong recovery code takes an attempt of the app's limit. Once that is reached, by
// an attacker with the first factor, the user still gets in by a recovery code.
func TestRecoveryCodesShareTheLimitOfAttempts(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	codes := victim.recoveryCodes()
	stranger := victim.track("signIn", "")
	for range 5 {
		stranger.recovers("2222-3333-4444").denied()
		stranger.verify(victim.wrong()).denied()
	}
	if got := stranger.recovers("2222-3333-4444").ok().object["failureReason"]; got != "MAX_ATTEMPTS_EXCEEDED" {
		t.Errorf("after ten wrong codes of both kinds: got %v", got)
	}
	victim.track("signIn", "").verify(victim.code()).denied()
	tr := victim.track("signIn", "")
	tr.recovers(codes[0]).verified(s)
	tr.is("CHALLENGE_SUCCEEDED")
}
