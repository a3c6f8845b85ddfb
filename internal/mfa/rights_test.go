package mfa

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

var verifiedAt = time.Unix(1_700_000_000, 0)

// subjectOf returns a subject with an action, some factors and scopes.
func subjectOf(action store.Action, methods []api.VerificationMethod, scopes ...string) Subject {
	settings := api.DefaultAuthenticatorSettings("Acme")
	settings.Active = true
	s := Subject{Tenant: store.Tenant{Authenticator: settings}, Claims: token.Claims{Scopes: append([]string{api.ScopeRead}, scopes...)}}
	s.Action = action
	for _, m := range methods {
		s.Authenticators = append(s.Authenticators, store.Authenticator{Method: m, VerifiedAt: verifiedAt})
	}
	// A pending authenticator is not a factor.
	s.Authenticators = append(s.Authenticators, store.Authenticator{Method: api.AuthenticatorApp})
	return s
}

// status returns the status of a refusal, or 0 for nil.
func status(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var refused *api.Error
	if !errors.As(err, &refused) || len(refused.Description) < 20 {
		t.Errorf("a refusal without an explanation: %v", err)
		return -1
	}
	return refused.Status
}

var (
	none = []api.VerificationMethod{}
	app  = []api.VerificationMethod{api.AuthenticatorApp}
	sms  = []api.VerificationMethod{api.SMS}
)

// Every state, for users without a factor, with an app and with another factor:
// the statuses of adding without and with the scope, and of removing with it.
func TestRights(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state                     api.State
		newcomer                  bool
		methods                   []api.VerificationMethod
		plain, add, remove, after int
	}{
		{api.StateAllow, false, none, 0, 0, 0, 0},
		{api.StateAllow, true, none, 0, 0, 0, 0},
		{api.StateChallengeRequired, false, none, 0, 0, 403, 0},
		{api.StateChallengeSucceeded, false, none, 0, 0, 0, 0},
		{api.StateReviewSucceeded, false, none, 0, 0, 0, 400},
		{api.StateBlock, false, none, 400, 400, 403, 400},
		{api.StateReviewRequired, false, none, 400, 400, 403, 400},
		{api.StateChallengeFailed, false, none, 400, 400, 403, 400},
		{api.StateReviewFailed, false, none, 400, 400, 403, 400},

		{api.StateAllow, false, app, 403, 0, 0, 0},
		{api.StateAllow, true, app, 403, 403, 403, 0},
		{api.StateChallengeRequired, false, app, 403, 403, 403, 0},
		{api.StateChallengeSucceeded, false, app, 403, 0, 0, 0},
		{api.StateChallengeSucceeded, true, app, 403, 0, 0, 0},
		{api.StateReviewSucceeded, false, app, 403, 0, 0, 400},
		{api.StateBlock, false, app, 400, 400, 403, 400},
		{api.StateReviewRequired, false, app, 400, 400, 403, 400},
		{api.StateChallengeFailed, false, app, 400, 400, 403, 400},
		{api.StateReviewFailed, false, app, 400, 400, 403, 400},

		{api.StateAllow, false, sms, 403, 0, 0, 0},
		{api.StateAllow, true, sms, 403, 0, 403, 0},
		{api.StateChallengeRequired, false, sms, 403, 0, 403, 0},
		{api.StateChallengeRequired, false, slices.Concat(sms, app), 403, 403, 403, 0},
		{api.StateReviewRequired, false, sms, 400, 400, 403, 400},
	} {
		plain := subjectOf(store.Action{State: tt.state, Newcomer: tt.newcomer}, tt.methods)
		if got := status(t, plain.MayAdd()); got != tt.plain {
			t.Errorf("%s %v %v, add: got %d, want %d", tt.state, tt.newcomer, tt.methods, got, tt.plain)
		}
		if got := status(t, plain.MayRemove()); got != 403 {
			t.Errorf("%s %v %v, remove: got %d, want 403", tt.state, tt.newcomer, tt.methods, got)
		}
		if got := status(t, plain.MayAddVerified()); got != tt.after {
			t.Errorf("%s %v %v, add after a code: got %d, want %d", tt.state, tt.newcomer, tt.methods, got, tt.after)
		}
		full := subjectOf(store.Action{State: tt.state, Newcomer: tt.newcomer}, tt.methods, api.ScopeAdd, api.ScopeRemove)
		if got := status(t, full.MayAdd()); got != tt.add {
			t.Errorf("%s %v %v, add with the scope: got %d, want %d", tt.state, tt.newcomer, tt.methods, got, tt.add)
		}
		if got := status(t, full.MayRemove()); got != tt.remove {
			t.Errorf("%s %v %v, remove with the scope: got %d, want %d", tt.state, tt.newcomer, tt.methods, got, tt.remove)
		}
	}
}

// What a trusted browser has completed gives the rights of an action that asks for a
// code, and no others.
func TestTrustGivesNoRights(t *testing.T) {
	t.Parallel()
	settings := api.ActionSettings{TrustBrowserDays: 30}
	all := []string{api.ScopeAdd, api.ScopeUpdate, api.ScopeRemove}
	for _, state := range []api.State{api.StateAllow, api.StateChallengeSucceeded} {
		for _, trusted := range []bool{false, true} {
			s := subjectOf(store.Action{State: state, Trusted: trusted}, app, all...)
			want := 0
			if trusted {
				want = 403
			}
			for name, err := range map[string]error{"add": s.MayAdd(), "remove": s.MayRemove(), "rename": s.MayRename()} {
				if got := status(t, err); got != want {
					t.Errorf("%s %v, %s: got %d, want %d", state, trusted, name, got, want)
				}
			}
			if s.Owed() != trusted {
				t.Errorf("%s %v: owed %v", state, trusted, s.Owed())
			}
			proved := state == api.StateChallengeSucceeded && !trusted
			if got := s.MayMakeRecoveryCodes() == nil; got != proved {
				t.Errorf("%s %v: may make recovery codes: %v", state, trusted, got)
			}
			if got := s.MayTrust(settings); got != proved {
				t.Errorf("%s %v: may trust: %v", state, trusted, got)
			}
			if got := len(AddressScopes(append(all, api.ScopeRead), s.Action, s.Factors())) == 1; got != trusted {
				t.Errorf("%s %v: the url has one scope: %v", state, trusted, got)
			}
			if !s.MayVerify() || s.MayAddVerified() != nil {
				t.Errorf("%s %v: a code gives no rights", state, trusted)
			}
		}
	}
}

func TestTheTenantsLimitsOfAuthenticators(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*api.AuthenticatorSettings)
		says   string
	}{
		"not active": {func(a *api.AuthenticatorSettings) { a.Active = false }, "not active"},
		"one":        {func(a *api.AuthenticatorSettings) { a.AllowMultiple = false }, "allows one"},
		"as many":    {func(a *api.AuthenticatorSettings) { a.MaxAuthenticators = 2 }, "(2)"},
	} {
		s := subjectOf(store.Action{State: api.StateAllow}, slices.Concat(app, sms), api.ScopeAdd)
		tt.change(&s.Tenant.Authenticator)
		if err := s.MayAdd(); status(t, err) != 400 || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// URLs keep a scope only if it grants a right in the state of the action.
func TestAddressScopes(t *testing.T) {
	t.Parallel()
	all := token.AllScopes
	for _, tt := range []struct {
		state    api.State
		newcomer bool
		methods  []api.VerificationMethod
		kept     bool
	}{
		{api.StateAllow, false, none, false},
		{api.StateAllow, true, none, false},
		{api.StateAllow, false, app, true},
		{api.StateAllow, true, app, false},
		{api.StateChallengeRequired, false, app, false},
		{api.StateChallengeRequired, false, sms, true},
		{api.StateChallengeSucceeded, false, app, true},
		{api.StateReviewSucceeded, false, app, true},
		{api.StateReviewRequired, false, sms, false},
		{api.StateBlock, false, app, false},
	} {
		s := subjectOf(store.Action{State: tt.state, Newcomer: tt.newcomer}, tt.methods)
		want := []string{api.ScopeRead}
		if tt.kept {
			want = all
		}
		if got := AddressScopes(all, s.Action, s.Factors()); !slices.Equal(got, want) {
			t.Errorf("%s %v %v: got %v, want %v", tt.state, tt.newcomer, tt.methods, got, want)
		}
	}
}

func TestTrackedAgain(t *testing.T) {
	t.Parallel()
	const epoch = 3
	for _, tt := range []struct {
		name     string
		a        store.Action
		methods  []api.VerificationMethod
		want     api.State
		newcomer bool
		// late is the state after the deadline of an enrollment policy.
		late api.State
	}{
		{"a success of these tokens", store.Action{State: api.StateChallengeSucceeded, Epoch: epoch}, app, api.StateChallengeSucceeded, false, api.StateChallengeSucceeded},
		{"a success of tokens that ended", store.Action{State: api.StateChallengeSucceeded, Epoch: epoch - 1}, app, api.StateChallengeRequired, false, api.StateChallengeRequired},
		{"the same, without a factor since", store.Action{State: api.StateChallengeSucceeded, Epoch: epoch - 1}, none, api.StateAllow, true, api.StateChallengeRequired},
		{"a newcomer", store.Action{State: api.StateAllow, Newcomer: true, Epoch: epoch}, none, api.StateAllow, true, api.StateChallengeRequired},
		{"a newcomer with a factor since", store.Action{State: api.StateAllow, Newcomer: true, Epoch: epoch}, sms, api.StateChallengeRequired, false, api.StateChallengeRequired},
		{"an outcome of the rules", store.Action{State: api.StateAllow, Epoch: epoch - 1}, app, api.StateAllow, false, api.StateAllow},
		{"the same, without a factor", store.Action{State: api.StateAllow, Epoch: epoch - 1}, none, api.StateAllow, false, api.StateAllow},
		{"a block", store.Action{State: api.StateBlock, Epoch: epoch - 1}, app, api.StateBlock, false, api.StateBlock},
		{"a failure", store.Action{State: api.StateChallengeFailed, Epoch: epoch - 1}, app, api.StateChallengeFailed, false, api.StateChallengeFailed},
		{"a challenge after the deadline", store.Action{State: api.StateChallengeRequired, Epoch: epoch}, none, api.StateChallengeRequired, false, api.StateChallengeRequired},
	} {
		f := subjectOf(store.Action{State: tt.a.State}, tt.methods).Factors()
		tt.a.AuthenticatorID = "a"
		for _, late := range []bool{false, true} {
			want, newcomer := tt.want, tt.newcomer
			if late {
				want, newcomer = tt.late, false
			}
			got, changed := TrackedAgain(tt.a, store.User{Epoch: epoch}, f, EnrollmentDuty{Applies: !f.Enrolled(), Required: late && !f.Enrolled()})
			if got.State != want || got.Newcomer != newcomer {
				t.Errorf("%s, late %v: got %s, newcomer %v", tt.name, late, got.State, got.Newcomer)
			}
			if moved := tt.a.State != want; changed != moved || moved && (got.Epoch != epoch || got.AuthenticatorID != "") {
				t.Errorf("%s, late %v: changed %v, got %+v", tt.name, late, changed, got)
			}
		}
	}
}

// A drift of one step is 30 seconds either way, whatever the period of an
// imported authenticator; the tenant's own period has the tenant's own steps.
func TestDriftIsBoundedInSeconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ tenant, drift, period, want int }{
		{30, 1, 30, 1}, {30, 2, 30, 2}, {60, 1, 60, 1}, {30, 1, 60, 0}, {30, 2, 60, 1}, {30, 1, 15, 2}, {60, 2, 30, 2},
		{30, 2, 3600, 0}, {30, 0, 10, 0},
	} {
		settings := api.AuthenticatorSettings{Period: tt.tenant, Drift: tt.drift}
		a := store.Authenticator{Parameters: totp.Parameters{Period: tt.period}}
		if got := drift(a, settings); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
}
