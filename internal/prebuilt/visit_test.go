package prebuilt

import (
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

func TestView(t *testing.T) {
	t.Parallel()
	app, sms := []api.VerificationMethod{api.AuthenticatorApp}, []api.VerificationMethod{api.SMS}
	required, allow := api.StateChallengeRequired, api.StateAllow
	inactive := func(a *api.AuthenticatorSettings) { a.Active = false }
	single := func(a *api.AuthenticatorSettings) { a.AllowMultiple = false }
	full := func(a *api.AuthenticatorSettings) { a.MaxAuthenticators = 2 }
	most := func(a *api.AuthenticatorSettings) { a.MaxAuthenticators = 1 }
	both := []api.VerificationMethod{api.AuthenticatorApp, api.SMS}
	for _, tt := range []struct {
		name     string
		state    api.State
		factors  []api.VerificationMethod
		scopes   []string
		query    string
		settings func(*api.AuthenticatorSettings)
		want     string // start>then, or a failure
	}{
		{"a user without factors", allow, nil, nil, "", nil, "enroll>finish"},
		{"an enrolled user", required, app, nil, "", nil, "challenge>finish"},
		{"an enrolled user, allowed", allow, app, nil, "", nil, "challenge>finish"},
		{"forced", required, app, nil, "&force_enrollment=true", nil, "challenge>enroll"},
		{"forced, with the scope", required, app, []string{api.ScopeAdd}, "&force_enrollment=true", nil, "challenge>enroll"},
		{"forced and allowed", allow, app, nil, "&force_enrollment=true", nil, "challenge>enroll"},
		{"forced and allowed, with the scope", allow, app, []string{api.ScopeAdd}, "&force_enrollment=true", nil, "enroll>finish"},
		{"forced, at the limit", required, both, nil, "&force_enrollment=true", full, "full"},
		{"forced, at the limit of one", required, app, nil, "&force_enrollment=true", most, "single"},
		{"forced, for a user without factors", allow, nil, nil, "&force_enrollment=true", nil, "enroll>finish"},
		{"forced, where one is allowed", required, app, nil, "&force_enrollment=true", single, "single"},
		{"other factors only", required, sms, nil, "", nil, "unavailable"},
		{"other factors only, with the scope", required, sms, []string{api.ScopeAdd}, "", nil, "enroll>finish"},
		{"other factors only, where one is allowed", required, sms, []string{api.ScopeAdd}, "", single, "unavailable"},
		{"nothing active", allow, nil, nil, "", inactive, "unavailable"},
		{"nothing active, but enrolled", required, app, nil, "", inactive, "challenge>finish"},
		{"settings of a user without factors", allow, nil, nil, "&redirect_to_settings=true", nil, "settings>settings"},
		{"settings that need a challenge", required, app, []string{api.ScopeRemove}, "&redirect_to_settings=true", nil, "challenge>settings"},
		{"settings without a challenge", allow, app, nil, "&redirect_to_settings=true", nil, "settings>settings"},
		{"settings after a challenge", api.StateChallengeSucceeded, app, nil, "&redirect_to_settings=true", nil, "settings>settings"},
		{"done", api.StateChallengeSucceeded, app, nil, "", nil, "done>"},
		{"reviewed", api.StateReviewSucceeded, app, nil, "", nil, "done>"},
		{"blocked", api.StateBlock, app, nil, "&redirect_to_settings=true", nil, "blocked"},
		{"under review", api.StateReviewRequired, app, nil, "", nil, "review"},
		{"failed", api.StateChallengeFailed, app, nil, "", nil, "refused"},
		{"refused", api.StateReviewFailed, app, nil, "", nil, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if tt.settings != nil {
				s.settings(tt.settings)
			}
			for _, m := range tt.factors {
				s.enroll(m)
			}
			a := s.get("token=" + s.track(store.Action{State: tt.state}, tt.scopes...) + tt.query)
			got := a.data("start") + ">" + a.data("then")
			if a.data("start") == "failure" {
				got = a.data("reason")
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if tt.want == "unavailable" || tt.want == "single" || tt.want == "full" {
				if a.status != 400 || a.data("code") != "invalid_configuration" {
					t.Errorf("status %d, code %s", a.status, a.data("code"))
				}
			} else if a.status != 200 || a.data("code") != "" {
				t.Errorf("status %d, code %s", a.status, a.data("code"))
			}
		})
	}
}

// The settings offer only what the client API accepts.
func TestSettingsOffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state          api.State
		method         api.VerificationMethod
		remove, verify string
	}{
		{api.StateAllow, api.AuthenticatorApp, "true", "true"},
		{api.StateChallengeSucceeded, api.AuthenticatorApp, "true", "true"},
		{api.StateReviewSucceeded, api.AuthenticatorApp, "true", "false"},
		{api.StateChallengeRequired, api.SMS, "false", "false"},
	} {
		s := newSite(t)
		s.enroll(tt.method)
		a := s.get("token=" + s.track(store.Action{State: tt.state}, api.ScopeRemove) + "&redirect_to_settings=true")
		if a.data("start") != "settings" || a.data("may-remove") != tt.remove || a.data("may-verify") != tt.verify {
			t.Errorf("%s: start %s, may remove %s, may verify %s", tt.state, a.data("start"), a.data("may-remove"), a.data("may-verify"))
		}
	}
}

// What the page offers beside codes of the app is what the API would accept.
func TestOffers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state   api.State
		scope   string
		codes   int // recovery codes left; negative: made, and not confirmed
		trusted bool
		want    string // may recover, rename, make codes, see browsers
	}{
		{api.StateChallengeRequired, api.ScopeUpdate, 0, false, "false false false false"},
		{api.StateChallengeRequired, api.ScopeUpdate, -2, false, "false false false false"},
		{api.StateChallengeRequired, api.ScopeUpdate, 2, false, "true false false false"},
		{api.StateAllow, api.ScopeUpdate, 2, false, "true true false true"},
		{api.StateAllow, api.ScopeUpdate, 2, true, "true false false false"},
		{api.StateAllow, api.ScopeRead, 2, false, "true false false true"},
		{api.StateChallengeSucceeded, api.ScopeUpdate, 2, false, "true true true true"},
		{api.StateChallengeSucceeded, api.ScopeRead, 2, false, "true false false true"},
		{api.StateReviewSucceeded, api.ScopeUpdate, 2, false, "false true false true"},
	} {
		s := newSite(t)
		s.enroll(api.AuthenticatorApp)
		s.update(func(tx *store.Tx) error {
			if tt.codes == 0 {
				return nil
			}
			set, err := tx.InsertRecoverySet("u1", []string{"AAAABBBBCCCC", "DDDDEEEEFFFF"}, s.now)
			if err == nil && tt.codes > 0 {
				err = tx.ConfirmRecoverySet(set, s.now)
			}
			return err
		})
		a := s.get("token=" + s.track(store.Action{State: tt.state, Trusted: tt.trusted}, tt.scope) + "&redirect_to_settings=true")
		got := strings.Join([]string{a.data("may-recover"), a.data("may-rename"), a.data("may-make-codes"), a.data("may-see-browsers")}, " ")
		if got != tt.want || a.data("few") != "2" {
			t.Errorf("%s, %s, %d codes, trusted %v: got %s, want %s (few: %s)", tt.state, tt.scope, tt.codes, tt.trusted, got, tt.want, a.data("few"))
		}
		if strings.Contains(a.body, "AAAA") {
			t.Error("the page has a recovery code")
		}
	}
}

func TestInvalidLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := s.track(store.Action{})
	deleted := s.track(store.Action{ActionID: store.ActionID{UserID: "u2"}})
	s.update(func(tx *store.Tx) error { return tx.DeleteUser("u2") })
	recreated := s.track(store.Action{ActionID: store.ActionID{UserID: "u3"}})
	s.update(func(tx *store.Tx) error {
		if err := tx.DeleteUser("u3"); err != nil {
			return err
		}
		_, err := tx.EnsureUser("u3", s.now)
		return err
	})
	untracked := s.track(store.Action{ActionID: store.ActionID{UserID: "u4"}})
	s.update(func(tx *store.Tx) error { return tx.DeleteActions("u4") })
	foreign, err := (&token.Issuer{Keys: s.tokens.Keys, BaseURL: "https://elsewhere.test", TTL: time.Hour, Now: s.tokens.Now}).Issue(token.Claims{TenantID: "t1", UserID: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"": "missing", "token=": "missing", "mode=popup": "missing",
		"token=x": "invalid", "token=" + good[:len(good)-2]: "invalid", "token=" + foreign: "invalid",
		"token=" + deleted: "invalid", "token=" + recreated: "invalid", "token=" + untracked: "invalid",
	} {
		a := s.get(query)
		if a.status != 401 || a.data("reason") != want || a.data("code") != "unauthorized" || a.data("start") != "failure" {
			t.Errorf("%s: status %d, reason %s, want %s", want, a.status, a.data("reason"), want)
		}
	}
	s.now = s.now.Add(10 * time.Minute)
	a := s.get("token=" + good + "&mode=popup")
	if a.status != 401 || a.data("reason") != "expired" || a.data("code") != "expired_token" || a.data("status") != "401" {
		t.Errorf("expired: status %d, reason %s, code %s", a.status, a.data("reason"), a.data("code"))
	}
	// The tenant's pages may still show it in a frame.
	if got := a.directive("frame-ancestors"); !strings.Contains(got, "https://app.test") {
		t.Errorf("expired: frame-ancestors %s", got)
	}
	if strings.Contains(s.log.String(), good[:20]) {
		t.Errorf("the log has a token: %s", s.log.String())
	}
}

// The page of an enrollment says from when on a policy requires it.
func TestThePageNamesTheDeadline(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const now = "Acme now requires an authenticator app."
	policy := func(p *api.EnrollmentPolicy, own *api.EnrollmentPolicy) {
		s.update(func(tx *store.Tx) error {
			if _, err := tx.SetEnrollmentPolicy(p); err != nil {
				return err
			}
			_, err := tx.PutActionSettings("signIn", api.ActionSettings{DefaultOutcome: api.OutcomeChallenge, EnrollmentPolicy: own})
			return err
		})
	}
	page := func(deadline string, required bool) {
		t.Helper()
		a := s.get("token=" + s.track(store.Action{Newcomer: true}))
		if got := a.data("deadline"); got != deadline || strings.Contains(a.body, now) != required {
			t.Errorf("the deadline is %q, want %q; required %v, want %v", got, deadline, strings.Contains(a.body, now), required)
		}
	}
	in := func(d time.Duration) *api.EnrollmentPolicy {
		return &api.EnrollmentPolicy{RequiredFrom: s.now.Add(d).UTC().Format(time.RFC3339)}
	}
	page("", false)
	policy(in(time.Hour), nil)
	page(in(time.Hour).RequiredFrom, false)
	policy(in(-time.Hour), nil)
	page("", true)
	policy(in(-time.Hour), in(2*time.Hour))
	page(in(2*time.Hour).RequiredFrom, false)
	policy(in(-time.Hour), &api.EnrollmentPolicy{RequiredFrom: api.Never})
	page("", false)
	policy(in(time.Hour), nil)
	s.enroll(api.AuthenticatorApp)
	page("", false)
}
