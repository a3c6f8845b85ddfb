package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// PendingLife is how long an enrollment that nobody completes is kept: longer
// than any token that could complete it.
const PendingLife = 24 * time.Hour

// errNoSubject: the user or the action of a token is gone.
var errNoSubject = errors.New("the user or action of the token is gone")

// lockSubject finds the user and the action of a token, for a transaction that
// will write. A token outlives neither (wire contract, section 11, row 21), not
// even when a user of the same id is made anew.
func lockSubject(tx *store.Tx, c token.Claims) (store.Standing, error) {
	s, err := tx.LockStanding(actionID(c))
	if err == nil && (!s.HasUser || s.User.Incarnation != c.Incarnation || !s.HasAction) {
		err = errNoSubject
	}
	return s, err
}

// subject is lockSubject for a transaction that only reads, without
// authenticators.
func subject(tx *store.Tx, c token.Claims) (store.User, store.Action, error) {
	user, found, err := tx.User(c.UserID)
	if err != nil {
		return store.User{}, store.Action{}, err
	}
	if !found || user.Incarnation != c.Incarnation {
		return store.User{}, store.Action{}, errNoSubject
	}
	action, found, err := tx.Action(actionID(c))
	if err != nil {
		return store.User{}, store.Action{}, err
	}
	if !found {
		return store.User{}, store.Action{}, errNoSubject
	}
	return user, action, nil
}

func actionID(c token.Claims) store.ActionID {
	return store.ActionID{UserID: c.UserID, Action: c.Action, IdempotencyKey: c.IdempotencyKey}
}

// errSubjectGone is errNoSubject as the client API tells it.
func errSubjectGone() error {
	return unauthorized("The user or the action of this token no longer exists. Track the action again.")
}

// enroll answers POST /v1/client/user-authenticators/totp (wire contract, 5.1).
// It takes no body.
func (s *server) enroll(r *http.Request) (any, error) {
	c := claims(r)
	settings := tenant(r).Authenticator
	if !settings.Active {
		return nil, &api.Error{
			Status: http.StatusBadRequest, Code: api.CodeInvalidConfiguration,
			Description: "The tenant's authenticator app is not active.",
		}
	}
	parameters := totp.Parameters{Algorithm: totp.Algorithm(settings.Algorithm), Digits: settings.Digits, Period: settings.Period}
	secret, err := totp.NewSecret(s.Random)
	if err != nil {
		return nil, err
	}
	out := api.EnrollTOTPResponse{UserAuthenticatorID: uuid.NewString(), UserID: c.UserID, Secret: secret}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		standing, err := lockSubject(tx, c)
		if err != nil {
			return err
		}
		enrolled := verifiedOf(standing.Authenticators).enrolled()
		if enrolled && !settings.AllowMultiple {
			return invalidRequest("The user already has an authenticator, and the tenant allows one.")
		}
		if enrolled && !c.Has(api.ScopeAdd) {
			return &api.Error{
				Status: http.StatusForbidden, Code: api.CodeUnauthorized,
				Description: "The user already has an authenticator. To add another, track the action with the scope " + api.ScopeAdd +
					", or verify a code first and use the new token.",
			}
		}
		now := s.Now()
		out.URI = totp.URI(settings.Issuer, account(standing.User), secret, parameters)
		err = tx.Audit(store.AuditEvent{
			At: now, Kind: store.AuditEnrollmentBegun, ActionID: actionID(c),
			Detail: map[string]any{"userAuthenticatorId": out.UserAuthenticatorID},
		})
		if err != nil {
			return err
		}
		return tx.InsertPending(store.Authenticator{
			ID: out.UserAuthenticatorID, UserID: c.UserID, Method: api.AuthenticatorApp,
			Parameters: parameters, Began: actionID(c), CreatedAt: now,
		}, secret, now.Add(-PendingLife))
	})
	if errors.Is(err, errNoSubject) {
		return nil, errSubjectGone()
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// account is the label under which an authenticator app lists the user.
func account(u store.User) string {
	switch {
	case u.Email != "":
		return u.Email
	case u.Username != "":
		return u.Username
	}
	return u.ID
}
