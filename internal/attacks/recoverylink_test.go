package attacks

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A link is a recovery link that was issued for a user.
type link struct {
	u          *user
	id, secret string
	url        string
}

// link issues a recovery link for the user.
func (u *user) link(body string) link {
	u.s.t.Helper()
	r := u.s.backend("POST", "/users/"+u.id+"/recovery-links", body).ok().object
	l := link{u: u, id: r["recoveryLinkId"].(string), url: r["url"].(string)}
	_, l.secret, _ = strings.Cut(l.url, "/?recovery=")
	return l
}

func (l link) enroll() response {
	l.u.s.t.Helper()
	return l.u.s.do("POST", "/v1/recovery/enroll", "", marshal(map[string]string{"secret": l.secret}))
}

func (l link) verify(code string) response {
	l.u.s.t.Helper()
	return l.u.s.do("POST", "/v1/recovery/verify", "", marshal(map[string]string{"secret": l.secret, "verificationCode": code}))
}

// begins starts an enrollment and returns the authenticator app that scanned the
// answer.
func (l link) begins() *phone {
	l.u.s.t.Helper()
	return newPhone(l.u.s.t, l.enroll().ok().object["secret"].(string))
}

// A stolen link enrolls an app and does no more: it is of no use without the
// first factor, and its secret is no token and no key.
func TestARecoveryLinkSignsNobodyIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	open := victim.track("signIn", with(allScopes))
	l := victim.link("")

	s.page(l.secret).isVoid()
	s.do("GET", "/v1/users/"+victim.id, basic(l.secret), "").refused(http.StatusUnauthorized, "unauthorized")
	if got := s.backend("GET", "/users?token="+l.secret, "").ok().object["users"].([]any); len(got) != 0 {
		t.Errorf("the secret names the user: got %v", got)
	}
	s.do("GET", "/v1/recovery/enroll", "Bearer "+l.secret, "").refused(http.StatusMethodNotAllowed, "invalid_request")
	// The first factor and the link have enrollments of their own.
	phone := l.begins()
	open.verify(phone.code()).denied()
	l.verify(victim.code()).denied()
	open.enroll().denied()
	victim.has(victim.authenticator)

	answer := l.verify(phone.code()).ok()
	for _, key := range []string{"accessToken", "token", "recoveryCodes"} {
		if answer.object[key] != nil {
			t.Errorf("the answer has %s", key)
		}
	}
	if answer.object["isVerified"] != true {
		t.Fatalf("got %s, want the app to be enrolled", answer.text)
	}
	open.is("CHALLENGE_REQUIRED")
	added := answer.object["userAuthenticator"].(map[string]any)["userAuthenticatorId"].(string)
	victim.has(victim.authenticator, added)
	// With the first factor, the new app signs in, and so does the old one.
	open.verify(phone.code()).verified(s)
	victim.signsIn()
}

// A link ends when it is used, by one of any number of holders, at its time, with its
// user and the user's tokens, and works only when it is approved. Requests for its
// address change nothing, as those of programs that scan messages.
func TestARecoveryLinkEnds(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.enrolledUser()
	gone := func(what string, l link, phone *phone, status int) {
		t.Helper()
		for _, r := range []response{l.verify(phone.code()), l.enroll()} {
			if r.status != status {
				t.Errorf("%s: got %d %s, want %d", what, r.status, r.text, status)
			}
			r.denied()
		}
		victim.has(victim.authenticator)
	}
	l := victim.link("")
	phone := l.begins()
	s.backend("DELETE", "/users/"+victim.id+"/tokens", "").ok()
	gone("after the tokens ended", l, phone, http.StatusNotFound)

	l = victim.link("")
	phone = l.begins()
	victim.link("") // the one before ends
	gone("after another was issued", l, phone, http.StatusNotFound)

	l = victim.link(`{"expiresInSeconds":60}`)
	phone = l.begins()
	storetest.Exec(t, s.database, `UPDATE recovery_links SET expires_at = 1`)
	gone("after its time", l, phone, http.StatusGone)

	s.operator("PUT", "/tenants/t1", `{"recoveryLinks":{"approval":true}}`).ok()
	l = victim.link("")
	s.backend("POST", "/users/"+victim.id+"/recovery-links/"+l.id+"/approve", `{"approvedBy":"Al"}`).refused(http.StatusForbidden, "unauthorized")
	gone("without an approval", l, phone, http.StatusForbidden)
	s.operator("PUT", "/tenants/t1", `{"recoveryLinks":{"approval":false}}`).ok()

	other := s.enrolledUser()
	l = other.link("")
	phone = l.begins()
	s.backend("DELETE", "/users/"+other.id, "").ok()
	other.phone, other.authenticator = other.imports()
	l.verify(phone.code()).refused(http.StatusNotFound, "not_found")
	other.has(other.authenticator)

	l = victim.link(`{"void":["authenticators"]}`)
	phone = l.begins()
	for range 3 {
		s.do("GET", strings.TrimPrefix(l.url, s.url), "", "").is(http.StatusOK)
		s.do("HEAD", strings.TrimPrefix(l.url, s.url), "", "").is(http.StatusOK)
	}
	victim.has(victim.authenticator)
	code := phone.code()
	var verified, refused atomic.Int64
	atOnce(20, func(int) {
		r, err := s.send("POST", "/v1/recovery/verify", "", marshal(map[string]string{"secret": l.secret, "verificationCode": code}))
		switch {
		case err != nil:
			t.Error(err)
		case r.object["isVerified"] == true:
			verified.Add(1)
		case r.status == http.StatusGone:
			refused.Add(1)
		default:
			t.Errorf("got %d %s", r.status, r.text)
		}
	})
	if verified.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d accepted, %d refused; want 1 and 19", verified.Load(), refused.Load())
	}
	if got := victim.authenticators(); len(got) != 1 || got[0] == victim.authenticator {
		t.Errorf("got %v, want the new one alone", got)
	}
	l.enroll().denied()
	if strings.Contains(s.log.String(), l.secret) || strings.Contains(s.log.String(), "rl1_") {
		t.Error("the log has a secret of a link")
	}
	victim.phone = phone
	victim.signsIn()
}
