package attacks

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A backend that sends newcomers to an enrollment takes an ALLOW of an enrolled user
// for the outcome of the rules.
func TestANewcomerTrackedAgainIsChallenged(t *testing.T) {
	t.Parallel()
	s := start(t)
	victim := s.newUser()
	evil := victim.track("signIn", "")
	if evil.state != "ALLOW" {
		t.Fatalf("a newcomer: got %s, want ALLOW", evil.state)
	}
	victim.phone, victim.authenticator = victim.imports()

	again := victim.track("signIn", marshal(map[string]string{"idempotencyKey": evil.key}))
	if again.state != "CHALLENGE_REQUIRED" {
		t.Errorf("tracked again after the user enrolled: got %s, want CHALLENGE_REQUIRED", again.state)
	}
	again.is("CHALLENGE_REQUIRED")
	again.verify(victim.code()).verified(s)
	again.is("CHALLENGE_SUCCEEDED")

	// An update by the backend stays.
	other := s.newUser()
	let := other.track("signIn", "").becomes("ALLOW")
	other.phone, other.authenticator = other.imports()
	if got := other.track("signIn", marshal(map[string]string{"idempotencyKey": let.key})).state; got != "ALLOW" {
		t.Errorf("an update by the backend, tracked again: got %s, want ALLOW", got)
	}
}

func TestASuccessEndsWithItsTokens(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, end := range map[string]func(u *user, stolen string){
		"the backend removes one": func(u *user, stolen string) {
			s.backend("DELETE", "/users/"+u.id+"/authenticators/"+stolen, "").ok()
		},
		"an operator unlocks one": func(u *user, stolen string) {
			s.operator("POST", "/tenants/t1/users/"+u.id+"/authenticators/"+stolen+"/unlock", "").ok()
		},
		"the backend ends all tokens": func(u *user, _ string) { s.backend("DELETE", "/users/"+u.id+"/tokens", "").ok() },
	} {
		u := s.enrolledUser()
		thief, stolen := u.imports()
		tr := u.track("signIn", "")
		tr.verify(thief.code()).verified(s)
		tr.is("CHALLENGE_SUCCEEDED")
		end(u, stolen)

		again := u.track("signIn", marshal(map[string]string{"idempotencyKey": tr.key, "scope": allScopes}))
		if got := again.validate(); got.object["isValid"] != false {
			t.Errorf("%s, the action is tracked again: got %s, want isValid false", name, got.text)
		}
		again.enroll().denied()
		again.remove(u.authenticator).refused(http.StatusForbidden, "unauthorized")
	}

	// The page that removes one of two can continue, and so does its action.
	u := s.enrolledUser()
	_, second := u.imports()
	tr := u.track("settings", "")
	full := tr.verify(u.code()).verified(s)
	next := s.page(full.remove(second).ok().object["accessToken"].(string))
	if got := next.validate(); got.object["isValid"] != true {
		t.Errorf("after the user's own removal: got %s, want isValid true", got.text)
	}
}

// The consent of a webhook is for the state in its event.
func TestAConsentDoesNotOutliveAnUpdate(t *testing.T) {
	t.Parallel()
	s := start(t)
	asked, answer := make(chan bool), make(chan bool)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(b), "action.verify") {
			return
		}
		asked <- true
		<-answer
	}))
	t.Cleanup(hook.Close)
	s.operator("PUT", "/tenants/t1", marshal(map[string]string{"webhookUrl": hook.URL})).ok()
	u := s.enrolledUser()
	tr := u.track("signIn", "")
	verified := make(chan response)
	code := u.code()
	go func() {
		r, err := s.send("POST", "/v1/client/verify/totp", "Bearer "+tr.token, `{"verificationCode":"`+code+`"}`)
		if err != nil {
			t.Error(err)
		}
		verified <- r
	}()
	<-asked
	tr.becomes("CHALLENGE_FAILED")
	tr.becomes("CHALLENGE_REQUIRED") // the backend requires a new challenge
	answer <- true
	(<-verified).denied()
	tr.is("CHALLENGE_REQUIRED")
}

func TestADeviceOfAnEarlierUserIsNew(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.rules("pay", "ALLOW", "device.isNew", "BLOCK").ok()
	u := s.enrolledUser()
	u.track("signIn", `{"deviceId":"d1"}`).verify(u.code()).verified(s)
	if got := u.track("pay", `{"deviceId":"d1"}`).state; got != "ALLOW" {
		t.Errorf("a known device: got %s, want ALLOW", got)
	}
	s.backend("DELETE", "/users/"+u.id, "").ok() // the actions stay
	u.phone, u.authenticator = u.imports()
	if got := u.track("pay", `{"deviceId":"d1"}`).state; got != "BLOCK" {
		t.Errorf("a device of a deleted user of the same id: got %s, want BLOCK", got)
	}
}

// A guess counts even if the client disconnects before the answer.
func TestAnAbandonedGuessCounts(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.settings(`{"maxFailures":1}`)
	u := s.enrolledUser()
	tr := u.track("signIn", "")
	lock := `BEGIN IMMEDIATE`
	if storetest.Postgres() {
		// The guess has been compared when its line of the audit log is written.
		lock = `BEGIN; LOCK TABLE audit IN EXCLUSIVE MODE`
	}
	db := storetest.Connect(t, s.database)
	held, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := held.ExecContext(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"verificationCode":"` + u.wrong() + `"}`
	fmt.Fprintf(conn, "POST /v1/client/verify/totp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", tr.token, len(body), body)
	if storetest.Postgres() {
		eventually(t, "the guess waits for the lock", func() (waits bool) {
			err := db.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
				WHERE c.relname = 'audit' AND NOT l.granted)`).Scan(&waits)
			return err == nil && waits
		})
	} else {
		time.Sleep(300 * time.Millisecond) // SQLite does not show waiting connections
	}
	conn.Close()
	time.Sleep(300 * time.Millisecond) // the server notices
	if _, err := held.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the guess counts", func() bool {
		return strings.Contains(s.operator("GET", "/tenants/t1/audit?userId="+u.id, "").ok().text, `"code.refused"`)
	})
	if got := tr.verify(u.code()).object["failureReason"]; got != "MAX_ATTEMPTS_EXCEEDED" {
		t.Errorf("after a wrong code whose client has gone, with one failure allowed: got %v, want MAX_ATTEMPTS_EXCEEDED", got)
	}
}
