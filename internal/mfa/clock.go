package mfa

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Ahead returns how many steps the newest accepted step of an authenticator is
// after any that can be accepted now, whatever the tenant's drift: the clock of a
// server was ahead when it accepted a code. The right codes of the authenticator
// are refused until the clock has caught up. It returns 0 for all others.
func Ahead(a store.Authenticator, now time.Time) int64 {
	if a.Method != api.AuthenticatorApp || a.LastStep < 0 {
		return 0
	}
	reach := int64(max(api.MaxDrift, api.MaxDrift*driftStep/a.Period))
	return max(0, a.LastStep-a.Step(now)-reach)
}

// Unlock deletes the failures of an authenticator. If its newest accepted step is
// in the future, the present step takes its place: codes of the past and the
// present stay refused, but one that was accepted while the clock was ahead can be
// accepted once more when its time comes. Ahead is that of before. The caller has
// locked the user.
func Unlock(tx *store.Tx, userID, authenticatorID string, now time.Time) (ahead int64, err error) {
	list, err := tx.Authenticators(userID)
	if err != nil {
		return 0, err
	}
	for _, a := range list {
		if a.ID == authenticatorID {
			ahead, err := resetAhead(tx, a, now)
			if err != nil {
				return 0, err
			}
			_, err = tx.Unlock(userID, a.ID)
			return ahead, err
		}
	}
	return 0, ErrNoAuthenticator
}

// resetAhead makes the present step the newest accepted one of an authenticator
// whose own is in the future.
func resetAhead(tx *store.Tx, a store.Authenticator, now time.Time) (ahead int64, err error) {
	if ahead = Ahead(a, now); ahead == 0 {
		return 0, nil
	}
	return ahead, tx.ResetStep(a, a.Step(now))
}
