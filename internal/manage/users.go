package manage

import (
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// Unlock forgets the failures of an authenticator: the one way past the hard
// stop.
func Unlock(tx *store.Tx, userID, authenticatorID string, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	found, err := tx.Unlock(userID, authenticatorID)
	if err == nil && !found {
		err = notFound("The user has no such authenticator.")
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditAuthenticatorUnlock, ActionID: store.ActionID{UserID: userID},
		Detail: map[string]any{"userAuthenticatorId": authenticatorID},
	})
}

// By whom a user or an authenticator was removed, or tokens were ended, in the
// audit log.
const (
	ByBackend  = "backend"
	ByUser     = "user"
	ByOperator = "operator"
)

// MayRemove reports whether the user of an action in a state may remove
// authenticators: not while a code is owed, which the removal would spare, nor
// when the answer was no.
func MayRemove(state api.State) bool {
	return state == api.StateAllow || state == api.StateChallengeSucceeded || state == api.StateReviewSucceeded
}

// DeleteAuthenticator removes a verified authenticator of a user of t, the
// transaction's tenant.
func DeleteAuthenticator(tx *store.Tx, t store.Tenant, userID, authenticatorID, by string, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	list, err := tx.Authenticators(userID)
	if err != nil {
		return err
	}
	deleted, err := tx.DeleteAuthenticator(userID, authenticatorID)
	if err == nil && !deleted {
		err = notFound("The user has no such authenticator.")
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(a store.Authenticator) bool { return a.ID == authenticatorID })
	if err := authenticatorDeleted(tx, t, list[i], now); err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditAuthenticatorDeleted, ActionID: store.ActionID{UserID: userID},
		Detail: map[string]any{"userAuthenticatorId": authenticatorID, "by": by},
	})
}

// DeleteUser removes a user of t, the transaction's tenant, and all
// authenticators; with actions, the actions too. Tokens of the user are void
// from then on. A user who is not there is a success.
func DeleteUser(tx *store.Tx, t store.Tenant, userID string, actions bool, by string, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	if actions {
		if err := tx.DeleteActions(userID); err != nil {
			return err
		}
	}
	list, err := tx.Authenticators(userID)
	if err != nil {
		return err
	}
	for _, a := range list {
		if !a.Verified() {
			continue
		}
		if err := authenticatorDeleted(tx, t, a, now); err != nil {
			return err
		}
	}
	if err := tx.DeleteUser(userID); err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditUserDeleted, ActionID: store.ActionID{UserID: userID},
		Detail: map[string]any{"actions": actions, "by": by},
	})
}

// EndTokens voids all client tokens that a user has now, those of completed
// challenges included. Authenticators stay.
func EndTokens(tx *store.Tx, userID, by string, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	found, err := tx.EndTokens(userID)
	if err == nil && !found {
		err = notFound("The user does not exist.")
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditTokensEnded, ActionID: store.ActionID{UserID: userID}, Detail: map[string]any{"by": by},
	})
}

// authenticatorDeleted tells the tenant's webhook of a verified authenticator
// that the transaction removes.
func authenticatorDeleted(tx *store.Tx, t store.Tenant, a store.Authenticator, now time.Time) error {
	if t.WebhookURL == "" {
		return nil
	}
	e, err := webhook.NewEvent(t.ID, api.EventAuthenticatorDeleted, api.AuthenticatorDeleted{
		UserID: a.UserID, UserAuthenticatorID: a.ID, VerificationMethod: a.Method, CreatedAt: api.Time{Time: a.CreatedAt},
		DeletedAt: api.Time{Time: now},
	}, now)
	if err != nil {
		return err
	}
	return tx.Enqueue(e)
}
