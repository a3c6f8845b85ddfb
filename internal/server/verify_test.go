package server

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

func TestEnrollAnswersUserURIAndSecret(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	r := p.ok(p.enroll(p.token("u1", "enroll", `{"email":"jane+x@example.com"}`)))
	if len(r.object) != 4 || r.object["userId"] != "u1" || len(r.object["userAuthenticatorId"].(string)) != 36 {
		t.Errorf("got %s", r.text)
	}
	secret := r.object["secret"].(string)
	want := "otpauth://totp/Acme:jane%2Bx%40example.com?secret=" + secret + "&issuer=Acme&algorithm=SHA1&digits=6&period=30"
	if got := r.object["uri"]; got != want {
		t.Errorf("uri: got %s, want %s", got, want)
	}
	if !strings.Contains(r.text, "&issuer") {
		t.Error("the answer escapes the & of the URI")
	}
	k, err := otp.NewKeyFromURL(want)
	if err != nil || k.Secret() != secret || len(secret) != 32 {
		t.Errorf("secret %q of %d characters, %v", k.Secret(), len(secret), err)
	}
}

func TestEnrollAccountLabel(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for _, tt := range []struct{ attributes, want string }{
		{`{}`, "u1"}, {`{"username":"jane"}`, "jane"}, {`{"email":"j@e.org"}`, "j@e.org"},
	} {
		u, err := url.Parse(p.ok(p.enroll(p.token("u1", "enroll", tt.attributes))).object["uri"].(string))
		if err != nil || u.Path != "/Acme:"+tt.want {
			t.Errorf("%s: got %v, %v", tt.attributes, u, err)
		}
	}
}

func TestVerifyCompletesAnEnrollment(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", `{"idempotencyKey":"k"}`)
	e := p.ok(p.enroll(tok)).object
	if got := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).text; got != "[]\n" {
		t.Errorf("a pending authenticator is listed: %s", got)
	}
	if got := p.track("u1", "signIn", "")["isEnrolled"]; got != false {
		t.Errorf("a pending authenticator enrolls: %v", got)
	}
	p.advance(2 * time.Second)
	got := p.accepted(p.verify(tok, p.code(e["secret"].(string), 0))).object
	if tok, _ := got["accessToken"].(string); tok == "" {
		t.Error("no accessToken")
	}
	shown, _ := got["userAuthenticator"].(map[string]any)
	for key, want := range map[string]any{
		"userAuthenticatorId": e["userAuthenticatorId"], "verificationMethod": "AUTHENTICATOR_APP",
		"createdAt": "2023-11-14T22:13:20.000Z", "verifiedAt": "2023-11-14T22:13:22.000Z",
		"lastVerifiedAt": "2023-11-14T22:13:22.000Z", "isDefault": true,
	} {
		if shown[key] != want {
			t.Errorf("userAuthenticator.%s: got %v, want %v", key, shown[key], want)
		}
	}
	if len(got) != 3 || len(shown) != 6 {
		t.Errorf("got %v", got)
	}
	if got := p.state("u1", "enroll", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("state: got %s", got)
	}
	list := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list
	if len(list) != 1 || list[0].(map[string]any)["userAuthenticatorId"] != e["userAuthenticatorId"] || list[0].(map[string]any)["userId"] != "u1" {
		t.Errorf("list: got %v", list)
	}
}

func TestVerifyCompletesAChallenge(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	got := p.accepted(p.verify(tok, " "+p.code(secret, 1)+" ")).object
	if _, there := got["userAuthenticator"]; there || len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("state: got %s", got)
	}
}

func TestVerifyWrongCodeLeavesTheAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	for _, code := range []string{p.wrong(secret), p.code(secret, 3), p.code(secret, -3), "", "12345", "1234567", "12a456", "１２３４５６"} {
		p.refused(p.verify(tok, code), "CODE_INVALID_OR_EXPIRED")
	}
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("state: got %s", got)
	}
}

func TestTheAuditSaysWhyACodeWasRefused(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", "")
	far := p.code(secret, 11)
	if nearby(p, secret, far) {
		far = p.code(secret, 12)
	}
	for _, tt := range []struct {
		code, want string
	}{
		{"", `{"reason":"malformed"}`},
		{"12345", `{"reason":"malformed"}`},
		{"１２３４５６", `{"reason":"malformed"}`},
		{p.code(secret, 2), `{"reason":"early","steps":2}`},
		{p.code(secret, 10), `{"reason":"early","steps":10}`},
		{p.code(secret, -2), `{"reason":"late","steps":2}`},
		{p.code(secret, -10), `{"reason":"late","steps":10}`},
		{far, `{"reason":"wrong"}`},
		{p.code(secret, 1), ""}, // accepted
		{p.code(secret, 1), `{"reason":"replayed"}`},
		{p.code(secret, 0), `{"reason":"replayed"}`},
	} {
		if tt.want == "" {
			p.accepted(p.verify(tok, tt.code))
			continue
		}
		p.refused(p.verify(tok, tt.code), "CODE_INVALID_OR_EXPIRED")
		r := p.ok(p.manage("GET", "tenants/t1/audit?userId=u1", ""))
		newest := r.list[0].(map[string]any)
		if got, err := json.Marshal(newest["detail"]); err != nil || newest["kind"] != "code.refused" || string(got) != tt.want {
			t.Errorf("%q: got %v, %s, %v, want %s", tt.code, newest["kind"], got, err, tt.want)
		}
		if tt.code != "" && strings.Contains(r.text, tt.code) {
			t.Errorf("the audit log holds the code %s", tt.code)
		}
	}
}

// nearby reports whether a code belongs to a step that is searched to explain a
// refusal.
func nearby(p *peer, secret, code string) bool {
	for offset := int64(-10); offset <= 10; offset++ {
		if p.code(secret, offset) == code {
			return true
		}
	}
	return false
}

func TestACodeIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	// The code that completed the enrollment is used up.
	tok := p.token("u1", "signIn", "")
	p.refused(p.verify(tok, p.code(secret, 0)), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.verify(tok, p.code(secret, 1)))
	// The code of the next step also uses up the steps before it.
	for _, offset := range []int64{1, 0, -1} {
		p.refused(p.verify(p.token("u1", "signIn", ""), p.code(secret, offset)), "CODE_INVALID_OR_EXPIRED")
	}
}

func TestAClockThatIsSetBackFailsClosed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	p.advance(-time.Hour)
	tok := p.token("u1", "signIn", "")
	if r := p.ok(p.verify(tok, p.code(secret, 0))); r.object["isVerified"] != false || r.object["failureReason"] != "CODE_INVALID_OR_EXPIRED" {
		t.Errorf("got %s", r.text)
	}
	p.advance(2 * time.Hour)
	p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)))
}

func TestFiftyConcurrentUsesOfACodeAreAcceptedOnce(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok, code := p.token("u1", "signIn", ""), p.code(secret, 1)
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r := p.ok(p.verify(tok, code))
			if r.object["isVerified"] == true {
				accepted.Add(1)
			} else if r.object["failureReason"] != "CODE_INVALID_OR_EXPIRED" {
				t.Errorf("got %s", r.text)
			}
		})
	}
	wg.Wait()
	if got := accepted.Load(); got != 1 {
		t.Errorf("accepted %d times", got)
	}
	// A replay is not a guess, so it does not lock the user out.
	p.advance(30 * time.Second)
	p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 1)))
}

func TestAttemptsAreLimited(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	wrong := p.wrong(secret)
	for range 10 {
		p.refused(p.verify(tok, wrong), "CODE_INVALID_OR_EXPIRED")
		p.advance(time.Second)
	}
	p.refused(p.verify(tok, wrong), "MAX_ATTEMPTS_EXCEEDED")
	p.refused(p.verify(tok, p.code(secret, 1)), "MAX_ATTEMPTS_EXCEEDED")
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("state: got %s", got)
	}
	// The first failure leaves the window after five minutes; attempts that were
	// refused because of the limit have not prolonged the wait.
	p.advance(5*time.Minute - 11*time.Second)
	p.refused(p.verify(tok, p.code(secret, 1)), "MAX_ATTEMPTS_EXCEEDED")
	p.advance(time.Second)
	p.accepted(p.verify(tok, p.code(secret, 1)))
	// A success resets the count.
	for range 10 {
		p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	}
}

func TestTheLimitHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok, wrong := p.token("u1", "signIn", ""), p.wrong(secret)
	var judged atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if p.ok(p.verify(tok, wrong)).object["failureReason"] == "CODE_INVALID_OR_EXPIRED" {
				judged.Add(1)
			}
		})
	}
	wg.Wait()
	if got := judged.Load(); got != 10 {
		t.Errorf("%d codes were judged, want 10", got)
	}
}

func TestMalformedCodesSpendNoAttempt(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", "")
	for range 20 {
		p.refused(p.verify(tok, "12345"), "CODE_INVALID_OR_EXPIRED")
	}
	p.accepted(p.verify(tok, p.code(secret, 1)))
}

// NIST SP 800-63B: at most 100 failures in a row, at any rate.
func TestAHundredFailuresInARowStopAnAuthenticator(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	for range 10 {
		tok := p.token("u1", "signIn", "")
		for range 10 {
			p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
		}
		p.advance(6 * time.Minute)
	}
	p.advance(24 * time.Hour)
	p.refused(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)), "MAX_ATTEMPTS_EXCEEDED")
}

func TestTheLimitHoldsDuringEnrollment(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", "")
	secret := p.ok(p.enroll(tok)).object["secret"].(string)
	for range 10 {
		p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	}
	p.refused(p.verify(tok, p.code(secret, 0)), "MAX_ATTEMPTS_EXCEEDED")
	p.advance(5 * time.Minute)
	p.accepted(p.verify(tok, p.code(secret, 0)))
}

func TestEnrollAgainReplacesThePendingOne(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const attributes = `{"idempotencyKey":"k"}`
	tok := p.token("u1", "enroll", attributes)
	first := p.ok(p.enroll(tok)).object // without "replaced": see TestEnrollAnswersUserURIAndSecret
	// With another token of the action, as after a reload.
	second := p.ok(p.enroll(p.token("u1", "enroll", attributes))).object
	if second["replaced"] != true {
		t.Errorf("the second enrollment: got replaced %v, want true", second["replaced"])
	}
	if first["secret"] == second["secret"] || first["userAuthenticatorId"] == second["userAuthenticatorId"] {
		t.Fatal("the second enrollment repeats the first")
	}
	p.refused(p.verify(tok, p.code(first["secret"].(string), 0)), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.verify(tok, p.code(second["secret"].(string), 0)))
}

func TestTwoConcurrentEnrollsLeaveOnePending(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", "")
	secrets := make([]string, 8)
	var replaced atomic.Int64
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			e := p.ok(p.enroll(tok)).object
			secrets[i] = e["secret"].(string)
			if e["replaced"] == true {
				replaced.Add(1)
			}
		})
	}
	wg.Wait()
	if replaced.Load() != int64(len(secrets)-1) {
		t.Errorf("%d of %d enrollments replaced one, want all but one", replaced.Load(), len(secrets))
	}
	accepted := 0
	for _, s := range secrets {
		if p.ok(p.verify(tok, p.code(s, 0))).object["isVerified"] == true {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d of the secrets were good, want 1", accepted)
	}
}

func TestAnEnrolledUserNeedsTheScopeToAdd(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	secret := p.enrolled("u1")
	p.fails(p.enroll(p.token("u1", "enroll", "")), 403, "unauthorized")

	// With the scope of the track token, on an action that requires no code.
	p.advance(time.Second)
	p.fails(p.enroll(p.token("u1", "enroll", `{"scope":"add:authenticators"}`)), 403, "unauthorized")
	p.rulesOf("add", "ALLOW")
	tok := p.token("u1", "add", `{"scope":"add:authenticators"}`)
	second := p.ok(p.enroll(tok)).object["secret"].(string)
	got := p.accepted(p.verify(tok, p.code(second, 0))).object
	if shown := got["userAuthenticator"].(map[string]any); shown["isDefault"] != false {
		t.Errorf("the second authenticator is the default: %v", shown)
	}

	// With the token of a verified code.
	tok = p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 1))).object["accessToken"].(string)
	third := p.ok(p.enroll(tok)).object["secret"].(string)
	p.accepted(p.verify(tok, p.code(third, 0)))
	if got := len(p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list); got != 3 {
		t.Errorf("got %d authenticators, want 3", got)
	}
	// Either of them can answer a challenge.
	p.advance(time.Minute)
	for _, s := range []string{secret, second, third} {
		p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(s, 0)))
	}
}

// An enrollment that was begun before the user had a factor must not be completed
// without the factor that the user has enrolled since.
func TestAnEarlierPendingEnrollmentDoesNotBypassTheFactor(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	early := p.token("u1", "enroll", "")
	planted := p.ok(p.enroll(early)).object["secret"].(string)
	p.enrolled("u1")
	p.refused(p.verify(early, p.code(planted, 0)), "CODE_INVALID_OR_EXPIRED")
	if got := len(p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list); got != 1 {
		t.Errorf("got %d authenticators, want 1", got)
	}
}

func TestAPendingEnrollmentBelongsToItsAction(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.ok(p.enroll(p.token("u1", "enroll", ""))).object["secret"].(string)
	p.fails(p.verify(p.token("u1", "enroll", ""), p.code(secret, 0)), 400, "invalid_request")
}

func TestVerifyWithoutAnyAuthenticator(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.fails(p.verify(p.token("u1", "signIn", ""), "123456"), 400, "invalid_request")
}

func TestVerifyOnAnAllowedActionCompletesIt(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`) // not enrolled: ALLOW
	secret := p.enrolled("u1")
	p.accepted(p.verify(tok, p.code(secret, 1)))
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("got %s", got)
	}
}

func TestVerifyAgainAfterSuccessKeepsTheState(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	p.accepted(p.verify(tok, p.code(secret, 1)))
	p.advance(time.Minute)
	p.accepted(p.verify(tok, p.code(secret, 0)))
	got := p.ok(p.api("GET", "/v1/users/u1/actions/signIn/k", "")).object
	if got["state"] != "CHALLENGE_SUCCEEDED" || got["stateUpdatedAt"] != "2023-11-14T22:13:20.000Z" {
		t.Errorf("got %v", got)
	}
}

func TestExpiredToken(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", "")
	p.advance(10 * time.Minute)
	p.fails(p.enroll(tok), 401, "expired_token")
	p.fails(p.verify(tok, "123456"), 401, "expired_token")
}

func TestDeleteAuthenticator(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	p.enrolled("u2")
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.fails(p.api("DELETE", "/v1/users/u2/authenticators/"+id, ""), 404, "not_found")
	if got := p.ok(p.api("DELETE", "/v1/users/u1/authenticators/"+id, "")).text; got != `{"success":true}`+"\n" {
		t.Errorf("got %s", got)
	}
	p.fails(p.api("DELETE", "/v1/users/u1/authenticators/"+id, ""), 404, "not_found")
	if got := p.track("u1", "signIn", ""); got["state"] != "ALLOW" || got["isEnrolled"] != false {
		t.Errorf("after the last factor is gone: got %v", got)
	}
	if got := p.track("u2", "signIn", "")["state"]; got != "CHALLENGE_REQUIRED" {
		t.Errorf("another user: got %v", got)
	}
}

// If the store fails, the status is 5xx and the transaction is rolled back: the
// code is not used up and no attempt is counted.
func TestAStoreFailureSpendsNothing(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)

	// The last write of a verification fails, after the step was used up.
	broken(p, "actions", func() { p.fails(p.verify(tok, p.code(secret, 1)), 500, "internal_error") })
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("state: got %s", got)
	}
	// The last write of a refusal fails, after the failure was counted.
	broken(p, "failures", func() {
		for range 12 {
			p.fails(p.verify(tok, p.wrong(secret)), 500, "internal_error")
		}
	})
	p.accepted(p.verify(tok, p.code(secret, 1)))
}

// broken makes every write to a table fail while f runs.
func broken(p *peer, table string, f func()) {
	p.t.Helper()
	statements := []string{
		`CREATE TRIGGER broken BEFORE UPDATE ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'broken'); END;
		CREATE TRIGGER broken2 BEFORE INSERT ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'broken'); END`,
		`DROP TRIGGER broken; DROP TRIGGER broken2`,
	}
	if storetest.Postgres() {
		statements = []string{
			`CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
			CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON ` + table + ` FOR EACH ROW EXECUTE FUNCTION broken()`,
			`DROP TRIGGER broken ON ` + table + `; DROP FUNCTION broken`,
		}
	}
	storetest.Exec(p.t, p.database, statements[0])
	f()
	storetest.Exec(p.t, p.database, statements[1])
}

func TestLogsHaveNoSecretCodeOrToken(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tr := p.track("secret-user", "enroll", `{"idempotencyKey":"k"}`)
	tok := tr["token"].(string)
	e := p.ok(p.enroll(tok)).object
	secret := e["secret"].(string)
	code := p.code(secret, 0)
	access := p.accepted(p.verify(tok, code)).object["accessToken"].(string)
	p.refused(p.verify(tok, code), "CODE_INVALID_OR_EXPIRED")
	p.do("GET", strings.TrimPrefix(tr["url"].(string), "http://mfa.test"), "", "")
	p.do("GET", "/v1/"+access, basic(testSecret), "")
	p.do("GET", "/v1/users/"+code+"?token="+access, basic(testSecret), "")
	p.api("POST", "/v1/validate", `{"token":"`+access+`"}`)
	log := p.log.String()
	if strings.Count(log, "\n") < 8 {
		t.Fatalf("the log has too few lines: %s", log)
	}
	for name, s := range map[string]string{
		"secret": secret, "code": `"` + code, "token": tok, "access token": access, "signature": tok[strings.LastIndex(tok, "."):],
		"API secret": basic(testSecret), "user id": "secret-user", "URI": "otpauth",
	} {
		if strings.Contains(log, s) {
			t.Errorf("the log holds the %s", name)
		}
	}
	if strings.Contains(log, "/"+code) {
		t.Error("the log holds the code of a path")
	}
}

func TestParametersOfATenant(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.settings(func(s *api.AuthenticatorSettings) {
		s.Issuer, s.Algorithm, s.Digits, s.Period, s.Drift = "Bank", "SHA256", 8, 60, 0
		s.MaxFailures, s.WindowSeconds, s.MaxFailuresInARow = 2, 60, 3
	})
	tok := p.token("u1", "enroll", "")
	e := p.ok(p.enroll(tok)).object
	if uri := e["uri"].(string); !strings.HasPrefix(uri, "otpauth://totp/Bank:u1?") || !strings.HasSuffix(uri, "&issuer=Bank&algorithm=SHA256&digits=8&period=60") {
		t.Errorf("got %s", uri)
	}
	parameters := totp.Parameters{Algorithm: totp.SHA256, Digits: 8, Period: 60}
	code := func(offset int64) string {
		c, err := totp.Code(e["secret"].(string), parameters.Step(p.clock())+offset, parameters)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	p.refused(p.verify(tok, code(1)), "CODE_INVALID_OR_EXPIRED") // no drift
	p.accepted(p.verify(tok, code(0)))
	p.advance(time.Minute)
	// An authenticator keeps its parameters when the tenant's change.
	p.settings(func(s *api.AuthenticatorSettings) {
		s.MaxFailures, s.WindowSeconds, s.MaxFailuresInARow = 2, 60, 3
	})
	p.accepted(p.verify(p.token("u1", "signIn", ""), code(0)))

	tok = p.token("u1", "signIn", "")
	for range 2 {
		p.refused(p.verify(tok, "00000000"), "CODE_INVALID_OR_EXPIRED")
	}
	p.refused(p.verify(tok, "00000000"), "MAX_ATTEMPTS_EXCEEDED")
	p.advance(time.Minute)
	p.refused(p.verify(tok, "00000000"), "CODE_INVALID_OR_EXPIRED")
	p.advance(time.Hour)
	p.refused(p.verify(p.token("u1", "signIn", ""), code(0)), "MAX_ATTEMPTS_EXCEEDED")
}

func TestATenantThatAllowsOneAuthenticator(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.settings(func(s *api.AuthenticatorSettings) { s.AllowMultiple = false })
	p.enrolled("u1")
	p.fails(p.enroll(p.token("u1", "enroll", `{"scope":"add:authenticators"}`)), 400, "invalid_request")

	// Of two enrollments that were begun before one was completed, only one can be
	// completed.
	var codes, tokens []string
	for range 2 {
		tok := p.token("u2", "enroll", `{"scope":"add:authenticators"}`)
		tokens = append(tokens, tok)
		codes = append(codes, p.code(p.ok(p.enroll(tok)).object["secret"].(string), 0))
	}
	if r := p.ok(p.verify(tokens[0], codes[0])); r.object["isVerified"] != true {
		t.Fatalf("got %s", r.text)
	}
	if r := p.verify(tokens[1], codes[1]); r.object["isVerified"] == true {
		t.Errorf("a second authenticator: %s", r.text)
	}
}

func TestATenantWithNothingActive(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := p.token("u1", "enroll", "")
	p.settings(func(s *api.AuthenticatorSettings) { s.Active = false })
	p.fails(p.api("POST", "/v1/users/u1/actions/signIn", ""), 400, "AUTHENTICATOR_NOT_FOUND")
	p.fails(p.enroll(tok), 400, "invalid_configuration")
	// An enrollment that was begun before cannot be completed.
	p.settings(func(s *api.AuthenticatorSettings) { s.Active = true })
	secret := p.ok(p.enroll(tok)).object["secret"].(string)
	p.settings(func(s *api.AuthenticatorSettings) { s.Active = false })
	p.fails(p.verify(tok, p.code(secret, 0)), 400, "invalid_request")
}

// If a tenant with nothing active tracks actions, the log says once a minute where
// to activate it.
func TestTheLogSaysWhereToActivate(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) { c.ActivateAt = "http://mfa.test/portal" })
	p.settings(func(s *api.AuthenticatorSettings) { s.Active = false })
	logged := func() int { return strings.Count(p.log.String(), `"activate":"http://mfa.test/portal"`) }
	for range 5 {
		p.fails(p.api("POST", "/v1/users/u1/actions/signIn", ""), 400, "AUTHENTICATOR_NOT_FOUND")
	}
	if got := logged(); got != 1 {
		t.Errorf("got %d lines, want 1", got)
	}
	p.advance(time.Minute)
	p.fails(p.api("POST", "/v1/users/u1/actions/signIn", ""), 400, "AUTHENTICATOR_NOT_FOUND")
	if got := logged(); got != 2 {
		t.Errorf("a minute later: got %d lines, want 2", got)
	}
}

// Tenants share a database, but cannot see each other's data.
func TestTenantsAreSeparate(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.enrolled("u1")
	err := p.store.Update(t.Context(), "t2", func(tx *store.Tx) error {
		settings := api.DefaultAuthenticatorSettings("Other")
		settings.Active = true
		if _, err := tx.PutTenant(settings, p.clock()); err != nil {
			return err
		}
		if _, _, err := tx.EnsureSecret(testSecret, p.clock()); !errors.Is(err, store.ErrSecretTaken) {
			t.Errorf("the other tenant's secret: got %v", err)
		}
		_, _, err := tx.EnsureSecret("sk2", p.clock())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	other := func(method, path, body string) response { return p.do(method, path, basic("sk2"), body) }
	if got := p.ok(other("GET", "/v1/users/u1", "")).object["isEnrolled"]; got != false {
		t.Errorf("u1 of the other tenant is enrolled: %v", got)
	}
	tok := p.ok(other("POST", "/v1/users/u1/actions/signIn", "")).object["token"].(string)
	if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object["error"]; got != "Token is invalid." {
		t.Errorf("the other tenant's token: got %v", got)
	}
	if uri := p.ok(p.enroll(tok)).object["uri"].(string); !strings.HasPrefix(uri, "otpauth://totp/Other:") {
		t.Errorf("got %s", uri)
	}
}
