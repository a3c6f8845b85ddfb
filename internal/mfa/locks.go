package mfa

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// fail counts a refused code of an authenticator, and stores a webhook event if the
// authenticator is blocked from now on.
func fail(tx *store.Tx, t store.Tenant, a store.Authenticator, now time.Time) error {
	if err := tx.Fail(a, now); err != nil || t.WebhookURL == "" {
		return err
	}
	a.Failures++
	settings := t.Authenticator
	stopped := a.Failures == settings.MaxFailuresInARow
	if !stopped {
		if a.Failures < settings.MaxFailures {
			return nil
		}
		n, err := tx.FailuresSince(a, now.Add(-window(settings)))
		if err != nil || n != settings.MaxFailures {
			return err
		}
	}
	return enqueue(tx, t, api.EventAuthenticatorLocked, api.AuthenticatorLocked{
		UserID: a.UserID, UserAuthenticatorID: a.ID, LockedAt: api.Time{Time: now}, FailuresInARow: a.Failures, NeedsUnlock: stopped,
	}, now)
}

// A user gets a notice when guessed codes of the user were wrong within guessedWindow.
const (
	guessed       = 100
	guessedWindow = 30 * 24 * time.Hour
)

// countGuess counts a code that was wrong and not that of a step nearby, and stores a
// webhook event for the last of guessed: it is likely that another person knows the
// first factor. Right codes do not end the count, so that patient guessing between the
// user's sign-ins is noticed too. Without a webhook, nothing is counted.
func (s Subject) countGuess(tx *store.Tx, r Refusal, now time.Time) error {
	if r.Reason != RefusedWrong || s.Tenant.WebhookURL == "" {
		return nil
	}
	u := s.User
	if age := now.Sub(u.WrongCodesSince); u.WrongCodes == 0 || age < 0 || age >= guessedWindow {
		u.WrongCodes, u.WrongCodesSince = 0, now
	}
	u.WrongCodes++
	if err := tx.PutWrongCodes(u); err != nil || u.WrongCodes != guessed {
		return err
	}
	return enqueue(tx, s.Tenant, api.EventCodesGuessed, api.CodesGuessed{
		UserID: u.ID, WrongCodes: u.WrongCodes, Since: api.Time{Time: u.WrongCodesSince}, NoticedAt: api.Time{Time: now},
	}, now)
}

// window is the time in which wrong codes are counted.
func window(settings api.AuthenticatorSettings) time.Duration {
	return time.Duration(settings.WindowSeconds) * time.Second
}

// Unlocked stores the audit entry and the webhook event of an authenticator that was
// unlocked, or whose newest accepted step was only reset. ahead is the result of
// Unlock.
func Unlocked(tx *store.Tx, t store.Tenant, userID, authenticatorID string, by Channel, ahead int64, now time.Time) error {
	detail := map[string]any{"userAuthenticatorId": authenticatorID, "by": by}
	if ahead > 0 {
		detail["stepsAhead"] = ahead
	}
	err := tx.Audit(store.AuditEvent{At: now, Kind: store.AuditAuthenticatorUnlock, ActionID: store.ActionID{UserID: userID}, Detail: detail})
	if err != nil {
		return err
	}
	return enqueue(tx, t, api.EventAuthenticatorUnlocked, api.AuthenticatorUnlocked{
		UserID: userID, UserAuthenticatorID: authenticatorID, UnlockedAt: api.Time{Time: now},
	}, now)
}
