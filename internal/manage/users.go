package manage

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Unlock deletes the failures of an authenticator: only that ends the hard stop. If
// the clock of a server was ahead when it accepted a code, codes are accepted again
// from the next step on; see mfa.Unlock for the risk. It voids the user's tokens,
// since another person may hold the one with which the failures were made.
func Unlock(tx *store.Tx, t store.Tenant, userID, authenticatorID string, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	ahead, err := mfa.Unlock(tx, userID, authenticatorID, now)
	if err != nil {
		return err
	}
	if _, _, err := tx.EndTokens(userID); err != nil {
		return err
	}
	return mfa.Unlocked(tx, t, userID, authenticatorID, mfa.ByOperator, ahead, now)
}

// EndTokens voids all tokens of a user that have been issued, and the recovery link; by
// is mfa.ByBackend or mfa.ByOperator.
func EndTokens(tx *store.Tx, userID string, by mfa.Channel, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	_, found, err := tx.EndTokens(userID)
	if err == nil && !found {
		err = api.NotFound("The user does not exist.")
	}
	if err == nil {
		err = mfa.VoidRecoveryLink(tx, userID, by, now)
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditTokensEnded, ActionID: store.ActionID{UserID: userID}, Detail: map[string]any{"by": by},
	})
}

// DeleteUser deletes a user of t, the transaction's tenant, with all authenticators
// and, if actions is true, with all actions. It voids the user's tokens. If the
// user does not exist, it succeeds.
func DeleteUser(tx *store.Tx, t store.Tenant, userID string, actions bool, by mfa.Channel, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	if actions {
		if err := tx.DeleteActions(userID); err != nil {
			return err
		}
	}
	factors, err := mfa.ReadFactors(tx, userID)
	if err != nil {
		return err
	}
	for _, a := range factors {
		if err := mfa.Removed(tx, t, a, now); err != nil {
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
