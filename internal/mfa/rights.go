package mfa

import (
	"fmt"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// Succeeded reports whether the challenge of an action was completed. Whether it is
// valid for a token is Subject.Valid.
func Succeeded(a store.Action) bool { return a.State == api.StateChallengeSucceeded }

// proved reports whether the challenge of an action was completed by a code or by the
// backend, and not by trust in the browser: that lets the user in, and gives no right
// to change factors.
func proved(a store.Action) bool { return Succeeded(a) && !a.Trusted }

// settled reports whether an action requires no code. An ALLOW because the user was
// not enrolled requires one when the user is enrolled. So does an action to change
// factors that asked for none only because the browser is trusted.
func settled(a store.Action, f Factors) bool {
	switch a.State {
	case api.StateAllow:
		return !a.Trusted && !(a.Newcomer && f.Enrolled())
	case api.StateChallengeSucceeded:
		return proved(a)
	case api.StateReviewSucceeded:
		return true
	}
	return false
}

// MayAdd returns an error if the subject may not begin or complete an enrollment.
func (s Subject) MayAdd() error {
	switch s.Limit() {
	case NotActive:
		return errNotActive
	case OnlyOne:
		return api.InvalidRequest("The user already has an authenticator, and the tenant allows one.")
	case TooMany:
		return tooMany(s.Tenant.Authenticator)
	}
	return s.RightToAdd()
}

var errNotActive error = &api.Error{Status: 400, Code: api.CodeInvalidConfiguration, Description: "The tenant's authenticator app is not active."}

// RightToAdd is MayAdd without the limits of the tenant. A user without a factor
// needs no scope. Others need api.ScopeAdd and, if they can be challenged here, an
// action that requires no code: a first factor with the scope must not replace
// the second factor (wire contract, section 4.2).
func (s Subject) RightToAdd() error {
	f := s.Factors()
	switch {
	case !accepts(s.Action.State, enrollmentBegun):
		return api.InvalidRequest("The action is " + string(s.Action.State) + " and does not allow an enrollment.")
	case !f.Enrolled():
		return nil
	case !s.Claims.Has(api.ScopeAdd):
		return api.Forbidden("The user already has an authenticator. To add another, track the action with the scope " + api.ScopeAdd +
			", or verify a code first and use the new token.")
	case f.Challengeable() && !settled(s.Action, f):
		return codeRequired("add an authenticator", s.Action)
	}
	return nil
}

// MayAddVerified is MayAdd for the token that the subject would get for a right code
// of a factor.
func (s Subject) MayAddVerified() error {
	after, ok := next(s.Action.State, codeAccepted)
	if !ok {
		return notVerifiable(s.Action.State)
	}
	s.Action.State, s.Action.Trusted, s.Claims.Scopes = after, false, token.AllScopes
	return s.MayAdd()
}

// A Limit is the reason why a user may not have another authenticator, regardless
// of the rights of a token.
type Limit int

const (
	// NoLimit means that the user may.
	NoLimit Limit = iota
	// NotActive means that the tenant's authenticator app is not active.
	NotActive
	// OnlyOne means that the user has one, and the tenant allows one.
	OnlyOne
	// TooMany means that the user has as many as the tenant allows.
	TooMany
)

// Limit returns the limit that the subject's user has reached.
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

// full reports whether a user has as many factors as the tenant allows. The number
// is limited because each authenticator app is one more code that is right at the
// same time.
func full(settings api.AuthenticatorSettings, f Factors) bool {
	return len(f) >= settings.MaxAuthenticators
}

func tooMany(settings api.AuthenticatorSettings) error {
	return api.InvalidRequest(fmt.Sprintf("The user has as many authenticators as the tenant allows (%d). Remove one first, or raise the tenant's maxAuthenticators.",
		settings.MaxAuthenticators))
}

// MayRemove returns an error if the subject may not remove authenticators. It needs
// api.ScopeRemove and an action that requires no code: a removal must not replace
// the code.
func (s Subject) MayRemove() error {
	switch {
	case !s.Claims.Has(api.ScopeRemove):
		return api.Forbidden("To remove an authenticator, track the action with the scope " + api.ScopeRemove +
			", or verify a code first and use the new token.")
	case !settled(s.Action, s.Factors()):
		return codeRequired("remove an authenticator", s.Action)
	}
	return nil
}

// MayRename returns an error if the subject may not rename authenticators. It needs
// api.ScopeUpdate and an action that requires no code: a name tells the user which
// authenticator to remove.
func (s Subject) MayRename() error {
	switch {
	case !s.Claims.Has(api.ScopeUpdate):
		return api.Forbidden("To rename an authenticator, track the action with the scope " + api.ScopeUpdate +
			", or verify a code first and use the new token.")
	case !settled(s.Action, s.Factors()):
		return codeRequired("rename an authenticator", s.Action)
	}
	return nil
}

// MayVerify reports whether a right code of one of the subject's factors would
// be accepted.
func (s Subject) MayVerify() bool {
	return s.Factors().Challengeable() && accepts(s.Action.State, codeAccepted)
}

// Owed reports whether the action requires a code of one of the subject's factors
// before anything else.
func (s Subject) Owed() bool {
	f := s.Factors()
	return s.MayVerify() && !settled(s.Action, f)
}

// codeRequired returns the error of an action that requires a code first.
func codeRequired(what string, a store.Action) error {
	return api.Forbidden(fmt.Sprintf("The action is %s. To %s, the action must require no code: verify a code first and use the new token.",
		reached(a), what))
}

// reached returns the state of an action for an error.
func reached(a store.Action) string {
	if a.Trusted {
		return string(a.State) + " because the browser is trusted"
	}
	return string(a.State)
}

func notVerifiable(state api.State) error {
	return api.InvalidRequest("The action is " + string(state) + " and does not allow a challenge.")
}

// AddressScopes returns the scopes of a track token in a URL, which histories and
// access logs keep: the scope to read, and others only if they grant a right in
// the action's state. Rights that need a code are those of the new token (wire
// contract, section 11, row 29).
func AddressScopes(scopes []string, a store.Action, f Factors) []string {
	if f.Enrolled() && (settled(a, f) || !f.Challengeable() && accepts(a.State, enrollmentBegun)) {
		return scopes
	}
	return []string{api.ScopeRead}
}
