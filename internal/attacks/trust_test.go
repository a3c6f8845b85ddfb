package attacks

import (
	"net/http"
	"strings"
	"testing"
)

// trusting makes a trusted browser replace the challenge of an action.
func (s *service) trusting(action string) {
	s.t.Helper()
	s.operator("PUT", "/tenants/t1/actions/"+action, `{"defaultOutcome":"CHALLENGE","trustBrowserDays":30,"rules":[]}`).ok()
}

// trust asks the server to trust the browser of a token's action. It returns the
// browser's token, or "".
func (p page) trust() string {
	p.s.t.Helper()
	r := p.s.backend("POST", "/validate", marshal(map[string]any{"token": p.token, "trustBrowser": true})).ok()
	device, _ := r.object["deviceToken"].(string)
	return device
}

// trusts signs the user in with a code, in a browser that is trusted from then on.
func (u *user) trusts() (device string) {
	u.s.t.Helper()
	if device = u.track("signIn", "").verify(u.code()).verified(u.s).trust(); device == "" {
		u.s.t.Fatal("the browser of a user who entered a code is not trusted")
	}
	return device
}

// from returns attributes with the token of a browser and all scopes.
func from(device string) string {
	return marshal(map[string]string{"deviceToken": device, "scope": allScopes, "ipAddress": "192.0.2.1", "userAgent": "Firefox"})
}

// Trust in a browser replaces a code to sign in, and gives no other right. The first
// factor makes no browser trusted, and tells no name or place of an authenticator.
func TestATrustedBrowserChangesNoFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	victim := s.enrolledUser()
	name := "/users/" + victim.id + "/authenticators/" + victim.authenticator
	s.do("PATCH", "/v1"+name, basic(secretKey), `{"name":"the phone at home"}`).ok()
	codes := victim.recoveryCodes()

	first := victim.track("signIn", with(allScopes))
	if first.trust() != "" {
		t.Error("the first factor made a browser trusted")
	}
	recovered := victim.track("signIn", "")
	if recovered.recovers(codes[0]).verified(s).trust() != "" {
		t.Error("a recovery code made a browser trusted")
	}
	trusted := victim.track("signIn", from(victim.trusts()))
	if trusted.state != "ALLOW" {
		t.Fatalf("in a trusted browser: got %s, want ALLOW", trusted.state)
	}
	trusted.is("ALLOW") // which validate does not take for a completed challenge
	if trusted.trust() != "" {
		t.Error("trust made another browser trusted")
	}
	at := strings.Index(trusted.url, "token=")
	if got := s.page(trusted.url[at+len("token="):]).scope(); got != "read:authenticators" {
		t.Errorf("the address has the scope %q", got)
	}
	for _, p := range []page{first.page, trusted.page} {
		p.enroll().refused(http.StatusForbidden, "unauthorized")
		p.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		p.call("PATCH", "user-authenticators/"+victim.authenticator, `{"name":"x"}`).refused(http.StatusForbidden, "unauthorized")
		p.call("POST", "recovery-codes", "").refused(http.StatusForbidden, "unauthorized")
		p.call("GET", "trusted-browsers", "").refused(http.StatusForbidden, "unauthorized")
		p.call("DELETE", "trusted-browsers", "").refused(http.StatusForbidden, "unauthorized")
		if got := p.list().ok().text; strings.Contains(got, "home") || strings.Contains(got, "192.0.2.1") {
			t.Errorf("without a code the list is %s", got)
		}
	}
	victim.has(victim.authenticator)
	if got := trusted.verify(victim.code()).verified(s).list().ok().text; !strings.Contains(got, "the phone at home") {
		t.Errorf("after a code the list is %s", got)
	}
}

// The wrong codes of an attacker with the first factor block the app, for now or until an
// operator unlocks it. The user still gets in by a trusted browser and by a recovery code.
func TestALockKeepsTheUserOutOfNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	for _, settings := range []string{
		`{"maxFailures":3,"windowSeconds":86400,"maxFailuresInARow":100}`, `{"maxFailures":100,"windowSeconds":86400,"maxFailuresInARow":3}`,
	} {
		s.settings(settings)
		victim := s.enrolledUser()
		codes, device := victim.recoveryCodes(), victim.trusts()
		stranger := victim.track("signIn", "")
		for range 3 {
			stranger.verify(victim.wrong()).denied()
		}
		for range 2 { // the browser stays trusted
			if got := victim.track("signIn", "").verify(victim.code()).denied().object["failureReason"]; got != "MAX_ATTEMPTS_EXCEEDED" {
				t.Errorf("%s: a right code: got %v", settings, got)
			}
			r := s.backend("POST", "/users/"+victim.id+"/actions/signIn", from(device)).ok()
			if r.object["state"] != "ALLOW" || r.object["isTrusted"] != true {
				t.Errorf("%s: in the trusted browser: got %s", settings, r.text)
			}
			device, _ = r.object["deviceToken"].(string)
		}
		recovered := victim.track("signIn", "")
		recovered.recovers(codes[0]).verified(s)
		recovered.is("CHALLENGE_SUCCEEDED")
	}
}

// The token of a browser counts once, for its user, and ends with the user's tokens.
func TestABrowserTokenCountsOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	victim, other := s.enrolledUser(), s.enrolledUser()
	device := victim.trusts()
	if got := other.track("signIn", from(device)).state; got != "CHALLENGE_REQUIRED" {
		t.Errorf("with the token of another user: got %s", got)
	}
	const n = 8
	answers := make([]response, n)
	errs := make([]error, n)
	atOnce(n, func(i int) {
		answers[i], errs[i] = s.send("POST", "/v1/users/"+victim.id+"/actions/signIn", basic(secretKey), from(device))
	})
	in, next := 0, ""
	for i, r := range answers {
		if errs[i] != nil || r.status != http.StatusOK {
			t.Fatalf("got %v, %d %s", errs[i], r.status, r.text)
		}
		if r.object["state"] == "ALLOW" {
			in++
			next, _ = r.object["deviceToken"].(string)
		}
	}
	if in != 1 {
		t.Errorf("a token let %d of %d in, want one", in, n)
	}
	// It was used twice, and the two uses cannot be told apart.
	if got := victim.track("signIn", from(next)).state; got != "CHALLENGE_REQUIRED" {
		t.Errorf("after a copy was used: got %s", got)
	}
	device = victim.trusts()
	s.backend("DELETE", "/users/"+victim.id+"/tokens", "").ok()
	if got := victim.track("signIn", from(device)).state; got != "CHALLENGE_REQUIRED" {
		t.Errorf("after the end of the user's tokens: got %s", got)
	}
	if log := s.log.String(); strings.Contains(log, "tb1_") {
		t.Error("the log holds the token of a browser")
	}
}
