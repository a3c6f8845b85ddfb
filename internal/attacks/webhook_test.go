package attacks

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// No transaction is open while the server waits for the webhook's consent. Changes
// in the meantime count.
func TestALateConsentMovesNothing(t *testing.T) {
	t.Parallel()
	asked, consent := make(chan bool), make(chan bool)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && strings.Contains(string(body), `"action.verify"`) {
			asked <- true
			<-consent
		}
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(hook.Close)
	s := start(t, "-webhook-url", hook.URL)
	// verify verifies a code, with a change after the webhook was called and before it
	// answers.
	verify := func(tr tracked, code string, change func()) response {
		t.Helper()
		answer := make(chan response)
		go func() {
			r, err := s.send("POST", "/v1/client/verify/totp", "Bearer "+tr.token, `{"verificationCode":"`+code+`"}`)
			if err != nil {
				r.text = err.Error()
			}
			answer <- r
		}()
		select {
		case <-asked:
			change()
			consent <- true
		case r := <-answer:
			t.Fatalf("the webhook was not called: %d %s", r.status, r.text)
		}
		return <-answer
	}
	for name, change := range map[string]func(u *user, tr tracked){
		"the action is blocked":   func(_ *user, tr tracked) { tr.becomes("BLOCK") },
		"the challenge is failed": func(_ *user, tr tracked) { tr.becomes("CHALLENGE_FAILED") },
		"the tokens are ended":    func(u *user, _ tracked) { s.backend("DELETE", "/users/"+u.id+"/tokens", "").ok() },
		"the authenticator is removed": func(u *user, _ tracked) {
			s.backend("DELETE", "/users/"+u.id+"/authenticators/"+u.authenticator, "").ok()
		},
		"the user is deleted": func(u *user, _ tracked) { s.backend("DELETE", "/users/"+u.id, "").ok() },
		"the user is made anew": func(u *user, tr tracked) {
			s.backend("DELETE", "/users/"+u.id, "").ok()
			u.phone, u.authenticator = u.imports()
			u.track(tr.action, marshal(map[string]string{"idempotencyKey": tr.key}))
		},
	} {
		victim := s.enrolledUser()
		tr := victim.track("signIn", "")
		r := verify(tr, victim.code(), func() { change(victim, tr) }).denied()
		if r.status < 400 {
			t.Errorf("%s: got %d %s, want an error", name, r.status, r.text)
		}
		state := s.backend("GET", "/users/"+victim.id+"/actions/"+tr.action+"/"+tr.key, "").ok().object["state"]
		if state == "CHALLENGE_SUCCEEDED" || tr.validate().object["isValid"] != false {
			t.Errorf("%s: the action is %v", name, state)
		}
	}
	honest := s.enrolledUser()
	tr := honest.track("signIn", "")
	verify(tr, honest.code(), func() {}).verified(s)
	tr.is("CHALLENGE_SUCCEEDED")
}
