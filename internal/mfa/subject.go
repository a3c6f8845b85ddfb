package mfa

import (
	"context"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// ErrVoid reports that a token is no longer valid, although it has not expired: its
// user or action does not exist, or the user's tokens were ended (wire contract,
// section 11, rows 21 and 33).
var ErrVoid error = api.Unauthorized("The token is no longer valid: its user or action was deleted, an authenticator of the user was removed or unlocked, " +
	"or the user's tokens were ended. Track the action again.")

// A Subject is the user and the action of a client token, with the user's
// authenticators.
type Subject struct {
	store.Standing
	Tenant store.Tenant
	Claims token.Claims
}

// LockSubject reads the subject of a token in a transaction that writes. It fails
// with ErrVoid if the token is no longer valid.
func LockSubject(tx *store.Tx, t store.Tenant, c token.Claims) (Subject, error) {
	standing, err := tx.LockStanding(ActionID(c))
	return subject(standing, err, t, c)
}

// ReadSubject is LockSubject in a transaction that only reads.
func ReadSubject(tx *store.Tx, t store.Tenant, c token.Claims) (Subject, error) {
	standing, err := tx.Standing(ActionID(c))
	return subject(standing, err, t, c)
}

// FindSubject is ReadSubject for a caller that reads nothing else.
func FindSubject(ctx context.Context, st *store.Store, t store.Tenant, c token.Claims) (Subject, error) {
	standing, err := st.Standing(ctx, t.ID, ActionID(c))
	return subject(standing, err, t, c)
}

func subject(standing store.Standing, err error, t store.Tenant, c token.Claims) (Subject, error) {
	if err != nil {
		return Subject{}, err
	}
	s := Subject{standing, t, c}
	if !s.HasUser || !Counts(c, s.User) || !s.HasAction || !Current(s.Action, s.User) {
		return Subject{}, ErrVoid
	}
	return s, nil
}

// Counts reports whether a token is that of the present incarnation and epoch of
// its user.
func Counts(c token.Claims, u store.User) bool {
	return c.UserID == u.ID && c.Incarnation == u.Incarnation && c.Epoch == u.Epoch
}

// Current reports whether an action was tracked for the present incarnation of
// its user, and not for a deleted user with the same id (wire contract, section
// 11, row 33).
func Current(a store.Action, u store.User) bool { return a.Incarnation == u.Incarnation }

// ActionID returns the id of a token's action.
func ActionID(c token.Claims) store.ActionID {
	return store.ActionID{UserID: c.UserID, Action: c.Action, IdempotencyKey: c.IdempotencyKey}
}

// Valid reports whether the challenge of the action was completed, as validate tells
// the holder of the token. What a trusted browser has completed is valid for the token
// that it got then, and for no other: an attacker with the first factor has a token of
// the action too, and can make the user's browser open its url.
func (s Subject) Valid() bool {
	return proved(s.Action) || Succeeded(s.Action) && s.Claims.Browser
}

// State returns the state of the action for the holder of the token.
func (s Subject) State() api.State {
	if s.Valid() {
		return s.Action.State
	}
	return StateWithoutToken(s.Action)
}

// Factors returns the verified authenticators of the subject.
func (s Subject) Factors() Factors { return FactorsOf(s.Authenticators) }
