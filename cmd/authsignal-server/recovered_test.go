package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

func TestTheSameRecoveryCodeTwoHundredTimesAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	secret := f.enrolled("u1")
	codes, err := f.next().client.MakeRecoveryCodes(t.Context(), "u1")
	if err != nil || len(codes) != 10 {
		t.Fatalf("got %d codes, %v", len(codes), err)
	}
	keys := []string{"k", "l"}
	tokens := []string{f.next().track("u1", "k").Token, f.next().track("u1", "l").Token}
	var accepted, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			switch f.recover(tokens[i%2], codes[0]) {
			case codeAccepted:
				accepted.Add(1)
			case codeRefused:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if a, r := accepted.Load(), refused.Load(); a != 1 || r != 199 {
		t.Errorf("accepted %d times, refused %d times", a, r)
	}
	if n := len(f.completed("u1", keys)); n != 1 {
		t.Errorf("one code has completed %d challenges", n)
	}
	status, err := f.next().client.RecoveryCodes(t.Context(), "u1")
	if err != nil || status.Left != 9 || status.Total != 10 {
		t.Errorf("got %+v, %v", status, err)
	}
	// A used code takes no attempt.
	if !f.next().verify(f.next().track("u1", "m").Token, codeAt(secret, 1)) {
		t.Error("the code of the app was refused")
	}
}

// trusting returns the path of a configuration in which browsers are trusted to sign
// in, and events go to a webhook if it is not empty.
func trusting(t *testing.T, webhook string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	err := os.WriteFile(file, fmt.Appendf(nil, `
tenants:
  - tenantId: t1
    webhookUrl: %q
    authenticator: {active: true}
    actions:
      signIn: {defaultOutcome: CHALLENGE, trustBrowserDays: 30}
`, webhook), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheSameBrowserTokenTwoHundredTimesAtOnce(t *testing.T) {
	t.Parallel()
	copied := make(chan authsignal.Event, 200)
	url := backend(t, func(e authsignal.Event) int {
		if e.Type == authsignal.EventTrustedBrowserCopied {
			copied <- e
		}
		return http.StatusOK
	})
	f := newFleet(t, "-config", trusting(t, url))
	f.imports(t.Context(), "u1")
	device := f.trusts(t.Context(), "u1")
	if device == "" {
		t.Fatal("the browser is not trusted")
	}
	var in, asked atomic.Int32
	var next atomic.Value
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			tr, err := f.tracks(t.Context(), "u1", fmt.Sprint("k", i), device)
			switch {
			case err != nil:
				t.Error(err)
			case tr.State == authsignal.StateAllow:
				in.Add(1)
				next.Store(tr.DeviceToken)
			case tr.State == authsignal.StateChallengeRequired && tr.DeviceToken == "":
				asked.Add(1)
			}
		})
	}
	wg.Wait()
	if got := in.Load(); got != 1 || asked.Load() != 199 {
		t.Fatalf("a token let %d in, and %d were asked for a code", got, asked.Load())
	}
	if tr, err := f.tracks(t.Context(), "u1", "next", next.Load().(string)); err != nil || tr.State != authsignal.StateChallengeRequired {
		t.Errorf("after the theft: got %s, %v", tr.State, err)
	}
	if list, err := f.next().client.TrustedBrowsers(t.Context(), "u1"); err != nil || len(list) != 0 {
		t.Errorf("after the theft: got %+v, %v", list, err)
	}
	select {
	case e := <-copied:
		if d := e.Data.(authsignal.TrustedBrowserCopied); d.UserID != "u1" || d.BrowserID == "" {
			t.Errorf("got %+v", d)
		}
	case <-time.After(time.Minute):
		t.Fatal("the webhook hears of no theft")
	}
	var noticed int
	err := storetest.Connect(t, f.database).QueryRow(`SELECT COUNT(*) FROM audit WHERE kind = 'browser.copied'`).Scan(&noticed)
	if err != nil || noticed != 1 {
		t.Errorf("the theft was noticed %d times, %v", noticed, err)
	}
	checked(t, f.database)
}

// The answers to a use of a recovery code.
type answer string

const (
	codeAccepted answer = "accepted"
	codeRefused  answer = "refused"
	noAnswer     answer = "no answer"
)

// recover answers the challenge of a token with a recovery code.
func (f *fleet) recover(token, code string) answer {
	v, ok := f.next().try("/client/verify/recovery-code", token, `{"recoveryCode":"`+code+`"}`)
	switch {
	case !ok:
		return noAnswer
	case v["isVerified"] == true:
		return codeAccepted
	}
	return codeRefused
}

// completed returns those of a user's actions that a recovery code has completed.
func (f *fleet) completed(user string, keys []string) (done []string) {
	f.t.Helper()
	for _, key := range keys {
		a, err := f.next().client.Action(f.t.Context(), user, "signIn", key)
		if err != nil {
			f.t.Errorf("%s %s: %v", user, key, err)
		}
		if a.State == authsignal.StateChallengeSucceeded && a.VerificationMethod == authsignal.RecoveryCode {
			done = append(done, key)
		}
	}
	return done
}

func (f *fleet) tracks(ctx context.Context, user, key, device string) (authsignal.TrackResponse, error) {
	return f.next().client.Track(ctx, authsignal.TrackRequest{
		UserID: user, Action: "signIn", Attributes: authsignal.Attributes{IdempotencyKey: key, DeviceToken: device},
	})
}

// imports adds an authenticator app of the shared secret. ok reports whether that was
// acknowledged.
func (f *fleet) imports(ctx context.Context, user string) (ok bool) {
	_, err := f.next().client.EnrollVerifiedAuthenticator(ctx, user, authsignal.EnrollVerifiedRequest{
		VerificationMethod: authsignal.AuthenticatorApp, OTPURI: totp.URI("Acme", user, secret, totp.DefaultParameters),
	})
	return err == nil
}

// trusts signs a user of imports in with a code, and returns the token of the browser,
// or "" if a server was killed meanwhile.
func (f *fleet) trusts(ctx context.Context, user string) (device string) {
	tr, err := f.tracks(ctx, user, "trusts", "")
	if err != nil {
		return ""
	}
	v, ok := f.next().try("/client/verify/totp", tr.Token, `{"verificationCode":"`+codeAt(secret, 0)+`"}`)
	if !ok || v["isVerified"] != true {
		return ""
	}
	r, err := f.next().client.ValidateChallenge(ctx, authsignal.ValidateRequest{Token: v["accessToken"].(string), UserID: user, TrustBrowser: true})
	if err != nil {
		return ""
	}
	return r.DeviceToken
}

// A storm is users who use recovery codes and trusted browsers while servers are
// killed.
type storm struct {
	*fleet
	mu    sync.Mutex
	codes []usesOfCodes
	trust []usesOfTrust
}

// usesOfCodes are uses of a user's recovery codes: each of some by two clients at once,
// in an action each.
type usesOfCodes struct {
	user  string
	codes []string
	// answers are those to the two clients, by code.
	answers [][2]answer
}

// keys returns the idempotency keys of the uses of the i-th code.
func (usesOfCodes) keys(i int) []string {
	return []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
}

const usedCodes = 3

func (s *storm) usesCodes(ctx context.Context, user string) {
	if !s.imports(ctx, user) {
		return
	}
	codes, err := s.next().client.MakeRecoveryCodes(ctx, user)
	if err != nil {
		return
	}
	u := usesOfCodes{user: user, codes: codes, answers: make([][2]answer, usedCodes)}
	for i := range u.answers {
		var tokens [2]string
		for j, key := range u.keys(i) {
			for ctx.Err() == nil && tokens[j] == "" { // a track may be repeated
				tr, err := s.tracks(ctx, user, key, "")
				if err == nil {
					tokens[j] = tr.Token
				}
			}
		}
		if ctx.Err() != nil {
			u.answers = u.answers[:i]
			break
		}
		var wg sync.WaitGroup
		for j, token := range tokens {
			wg.Go(func() { u.answers[i][j] = s.recover(token, codes[i]) })
		}
		wg.Wait()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes = append(s.codes, u)
}

// usesOfTrust are uses of a user's trusted browser, one after the other.
type usesOfTrust struct {
	user string
	// last is the newest token, which was not used. It is empty if two clients have
	// used it at once.
	last string
	// uses is the number of those before, which were all answered.
	uses int
}

func (s *storm) usesTrust(ctx context.Context, user string, copied bool) {
	if !s.imports(ctx, user) {
		return
	}
	u := usesOfTrust{user: user, last: s.trusts(ctx, user)}
	if u.last == "" {
		return
	}
	for u.uses < 3 {
		tr, err := s.tracks(ctx, user, fmt.Sprint("u", u.uses), u.last)
		switch {
		case ctx.Err() != nil:
			return // the last answer was not waited for
		case err != nil:
			continue // repeated with the same idempotency key, it is no theft
		case tr.State != authsignal.StateAllow || tr.DeviceToken == "":
			s.t.Errorf("%s: a use of a trusted browser's token got %s", user, tr.State)
			return
		}
		u.last, u.uses = tr.DeviceToken, u.uses+1
	}
	if copied {
		var wg sync.WaitGroup
		for _, key := range []string{"x", "y"} {
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, err := s.tracks(ctx, user, key, u.last); err == nil {
						return
					}
				}
			})
		}
		wg.Wait()
		if ctx.Err() != nil {
			return
		}
		u.last = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust = append(s.trust, u)
}

// users returns the number of users whose uses are over.
func (s *storm) users() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.codes) + len(s.trust)
}

// Processes are killed while recovery codes and tokens of trusted browsers are used. No
// acknowledged use is lost, and none counts twice. A track that is repeated because its
// answer was lost is not taken for a theft.
func TestAKillInMidRecoveryLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	s := &storm{fleet: newFleet(t, "-config", trusting(t, ""))}
	kills := 3
	if text := os.Getenv("AUTHSIGNAL_TEST_KILLS"); text != "" { // make test-all sets more
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal("AUTHSIGNAL_TEST_KILLS must be a number")
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				user := fmt.Sprintf("u%d-%d", w, i)
				if (w+i)%2 == 0 {
					s.usesCodes(ctx, user)
				} else {
					s.usesTrust(ctx, user, i%4 < 2)
				}
			}
		})
	}
	const perKill = 10
	for i := range kills {
		before := s.users()
		eventually(t, "users have come through", func() bool { return s.users() >= before+perKill })
		s.killAndReplace(i % len(s.processes))
	}
	before := s.users()
	eventually(t, "users have come through", func() bool { return s.users() >= before+perKill })
	stop()
	wg.Wait()
	used, unanswered := s.checkCodes()
	trusted, copied := s.checkTrust()
	checked(t, s.database)
	t.Logf("over %d kills: %d recovery codes used, %d uses without an answer; %d browsers trusted to the end, %d copied", kills, used, unanswered, trusted, copied)
	if used == 0 || trusted+copied == 0 {
		t.Error("the load was too light for a result")
	}
}

// checkCodes compares the stored uses of recovery codes with their answers.
func (s *storm) checkCodes() (used, unanswered int) {
	for _, u := range s.codes {
		total := 0
		for i, answers := range u.answers {
			done := s.completed(u.user, u.keys(i))
			if len(done) > 1 {
				s.t.Errorf("%s: a code has completed %d challenges", u.user, len(done))
			}
			lost := 0
			for j, a := range answers {
				if a == noAnswer {
					lost++
				} else if is := len(done) == 1 && done[0] == u.keys(i)[j]; is != (a == codeAccepted) {
					s.t.Errorf("%s: a code was %s, and its challenge is completed: %v", u.user, a, is)
				}
			}
			if len(done) == 0 && lost == 0 {
				s.t.Errorf("%s: a right code completed no challenge", u.user)
			}
			total += len(done)
			unanswered += lost
		}
		status, err := s.next().client.RecoveryCodes(s.t.Context(), u.user)
		if err != nil || status.Total != 10 || status.Total-status.Left != total {
			s.t.Errorf("%s: got %+v, %v; %d codes have completed challenges", u.user, status, err, total)
		}
		if len(u.answers) > 0 && len(s.completed(u.user, u.keys(0))) == 1 {
			if got := s.recover(s.next().track(u.user, "again").Token, u.codes[0]); got != codeRefused {
				s.t.Errorf("%s: a used code is %s", u.user, got)
			}
		}
		used += total
	}
	return used, unanswered
}

// checkTrust compares the stored uses of trusted browsers with their answers.
func (s *storm) checkTrust() (trusted, copied int) {
	ctx := s.t.Context()
	for _, u := range s.trust {
		for i := range u.uses {
			if a, err := s.next().client.Action(ctx, u.user, "signIn", fmt.Sprint("u", i)); err != nil || a.State != authsignal.StateAllow {
				s.t.Errorf("%s: an acknowledged use is %s, %v", u.user, a.State, err)
			}
		}
		if u.last == "" {
			copied++
			s.checkCopied(u)
			continue
		}
		trusted++
		if tr, err := s.tracks(ctx, u.user, "last", u.last); err != nil || tr.State != authsignal.StateAllow {
			s.t.Errorf("%s: the newest token got %s, %v", u.user, tr.State, err)
		}
		if tr, err := s.tracks(ctx, u.user, "again", u.last); err != nil || tr.State != authsignal.StateChallengeRequired {
			s.t.Errorf("%s: a used token got %s, %v", u.user, tr.State, err)
		}
	}
	return trusted, copied
}

// checkCopied checks that of two uses of one token one counted, and that the trust is
// over.
func (s *storm) checkCopied(u usesOfTrust) {
	in := 0
	for _, key := range []string{"x", "y"} {
		a, err := s.next().client.Action(s.t.Context(), u.user, "signIn", key)
		if err != nil {
			s.t.Errorf("%s: %v", u.user, err)
		}
		if a.State == authsignal.StateAllow {
			in++
		}
	}
	list, err := s.next().client.TrustedBrowsers(s.t.Context(), u.user)
	if in != 1 || err != nil || len(list) != 0 {
		s.t.Errorf("%s: a copied token let %d in; the trusted browsers are %+v, %v", u.user, in, list, err)
	}
}
