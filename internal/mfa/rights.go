package mfa

import (
	"fmt"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// Succeeded reports whether the challenge of an action was completed: what
// validate answers.
func Succeeded(a store.Action) bool { return a.State == api.StateChallengeSucceeded }

// settled reports whether an action asks for nothing more. An ALLOW that was
// given because the user was not enrolled asks for a code once the user is.
func settled(a store.Action, f Factors) bool {
	switch a.State {
	case api.StateAllow:
		return !(a.Newcomer && f.Enrolled())
	case api.StateChallengeSucceeded, api.StateReviewSucceeded:
		return true
	}
	return false
}

// MayAdd reports why the subject may not begin or complete an enrollment; nil
// means that it may.
func (s Subject) MayAdd() error {
	switch s.Limit() {
	case NotActive:
		return &api.Error{Status: 400, Code: api.CodeInvalidConfiguration, Description: "The tenant's authenticator app is not active."}
	case OnlyOne:
		return api.InvalidRequest("The user already has an authenticator, and the tenant allows one.")
	case TooMany:
		return tooMany(s.Tenant.Authenticator)
	}
	return s.RightToAdd()
}

// RightToAdd is MayAdd without the limits of the tenant. A user without a factor
// needs no scope. Others need api.ScopeAdd and, if they can be challenged here,
// an action that asks for nothing more: a first factor and a generous scope do
// not replace the second factor (wire contract, section 4.2).
func (s Subject) RightToAdd() error {
	f := s.Factors()
	switch {
	case !takes(s.Action.State, enrollmentBegun):
		return api.InvalidRequest("The action is " + string(s.Action.State) + " and takes no enrollment.")
	case !f.Enrolled():
		return nil
	case !s.Claims.Has(api.ScopeAdd):
		return api.Forbidden("The user already has an authenticator. To add another, track the action with the scope " + api.ScopeAdd +
			", or verify a code first and use the new token.")
	case f.Challengeable() && !settled(s.Action, f):
		return owed("add", s.Action)
	}
	return nil
}

// MayAddVerified is MayAdd for the same user with a token of all scopes after a
// right code of a factor.
func (s Subject) MayAddVerified() error {
	after, ok := next(s.Action.State, codeAccepted)
	if !ok {
		return notVerifiable(s.Action.State)
	}
	s.Action.State, s.Claims.Scopes = after, token.AllScopes
	return s.MayAdd()
}

// A Limit is why a user may not have another authenticator, whatever the rights
// of a token.
type Limit int

const (
	// NoLimit: the user may.
	NoLimit Limit = iota
	// NotActive: the tenant's authenticator app is not active.
	NotActive
	// OnlyOne: the user has one, and the tenant allows one.
	OnlyOne
	// TooMany: the user has as many as the tenant allows.
	TooMany
)

// Limit is that of the subject's user.
func (s Subject) Limit() Limit {
	settings, f := s.Tenant.Authenticator, s.Factors()
	switch {
	case !settings.Active:
		return NotActive
	case f.Enrolled() && (!settings.AllowMultiple || settings.MaxAuthenticators == 1):
		return OnlyOne
	case full(settings, f):
		return TooMany
	}
	return NoLimit
}

// full reports whether a user with some factors has as many as the tenant
// allows. The number is limited, because each authenticator app is one more code
// that is right at the same time.
func full(settings api.AuthenticatorSettings, f Factors) bool {
	return len(f) >= settings.MaxAuthenticators
}

func tooMany(settings api.AuthenticatorSettings) error {
	return api.InvalidRequest(fmt.Sprintf("The user has as many authenticators as the tenant allows (%d). Remove one first, or raise the tenant's maxAuthenticators.",
		settings.MaxAuthenticators))
}

// MayRemove reports why the subject may not remove authenticators; nil means
// that it may: with api.ScopeRemove, and not while a code is owed, which the
// removal would spare.
func (s Subject) MayRemove() error {
	switch {
	case !s.Claims.Has(api.ScopeRemove):
		return api.Forbidden("To remove an authenticator, track the action with the scope " + api.ScopeRemove +
			", or verify a code first and use the new token.")
	case !settled(s.Action, s.Factors()):
		return owed("remove", s.Action)
	}
	return nil
}

// MayVerify reports whether a right code of one of the subject's factors would
// be accepted.
func (s Subject) MayVerify() bool {
	return s.Factors().Challengeable() && takes(s.Action.State, codeAccepted)
}

// Owed reports whether a code of one of the subject's factors is asked for
// before anything else.
func (s Subject) Owed() bool {
	f := s.Factors()
	return s.MayVerify() && !settled(s.Action, f)
}

// owed is the refusal of what an action does not allow as it stands.
func owed(what string, a store.Action) error {
	return api.Forbidden(fmt.Sprintf("The action is %s. To %s an authenticator, the action must ask for nothing more: verify a code first and use the new token.",
		a.State, what))
}

func notVerifiable(state api.State) error {
	return api.InvalidRequest("The action is " + string(state) + " and takes no challenge.")
}

// AddressScopes are those of a track token that may stand in an address, which
// histories and access logs keep: the read scope, and others only if they give
// a right as the action stands. What a code will give, the new token has (wire
// contract, section 11, row 29).
func AddressScopes(scopes []string, a store.Action, f Factors) []string {
	if f.Enrolled() && (settled(a, f) || !f.Challengeable() && takes(a.State, enrollmentBegun)) {
		return scopes
	}
	return []string{api.ScopeRead}
}
