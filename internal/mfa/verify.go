package mfa

import (
	"bytes"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// Verify judges a code, and completes the enrollment or the challenge that it is
// right for. A refused code is not an error. If the tenant's webhook must
// consent, the state of the action does not change, and the caller must not
// return the response before Consent.Complete has succeeded. Otherwise the
// consent is nil.
//
// It writes in the caller's transaction: if anything fails, no attempt is counted
// and no code is used up.
func Verify(tx *store.Tx, tokens *token.Issuer, s Subject, code string, now time.Time) (api.VerifyTOTPResponse, *Consent, error) {
	candidates := s.candidates()
	if len(candidates) == 0 {
		if !accepts(s.Action.State, codeAccepted) {
			return api.VerifyTOTPResponse{}, nil, notVerifiable(s.Action.State)
		}
		return api.VerifyTOTPResponse{}, nil, api.InvalidRequest("The user has no authenticator app to verify. Enroll one first.")
	}
	v, err := judge(tx, candidates, code, now, s.Tenant)
	if err != nil {
		return api.VerifyTOTPResponse{}, nil, err
	}
	if v.accepted == nil {
		out, err := v.refuse(tx, store.AuditEvent{ActionID: s.Action.ActionID}, now)
		if err == nil {
			err = s.countGuess(tx, v.refusal, now)
		}
		return out, nil, err
	}
	return s.complete(tx, tokens, *v.accepted, now)
}

// refuse records a refused code, and returns the response. e has what the audit entry
// says of its cause.
func (v verdict) refuse(tx *store.Tx, e store.AuditEvent, now time.Time) (api.VerifyTOTPResponse, error) {
	e.At, e.Kind = now, store.AuditCodeRefused
	if v.reason == api.MaxAttemptsExceeded {
		e.Kind = store.AuditCodeUnseen
	} else {
		for key, value := range v.refusal.Detail() {
			e.Detail = with(e.Detail, key, value)
		}
	}
	out := api.VerifyTOTPResponse{FailureReason: v.reason}
	if v.refusal.Reason == RefusedAhead { // only for a right code
		out.FailureDetail = api.ServerClockWasAhead
	}
	if v.clockOff != 0 {
		seconds := int(v.clockOff.Seconds())
		out.FailureDetail, out.ClockOffSeconds = api.DeviceClockIsOff, &seconds
	}
	return out, tx.Audit(e)
}

// complete changes the state of the action after an accepted code, and returns a
// response with a token of all scopes. For a recovery code, a has only the user and
// the method.
func (s Subject) complete(tx *store.Tx, tokens *token.Issuer, a store.Authenticator, now time.Time) (api.VerifyTOTPResponse, *Consent, error) {
	on, kind, detail := codeAccepted, store.AuditCodeAccepted, map[string]any{"userAuthenticatorId": a.ID}
	switch {
	case a.Method == api.RecoveryCode:
		kind, detail = store.AuditRecoveryCodeAccepted, nil
	case !a.Verified():
		on, kind = enrollmentEnded, store.AuditEnrollmentCompleted
	}
	var consent *Consent
	// What a trusted browser has completed, a code completes again, for its rights.
	if to, _ := next(s.Action.State, on); to != s.Action.State || s.Action.Trusted {
		if s.Tenant.WebhookURL != "" {
			consent = &Consent{Subject: s, Authenticator: a, VerifiedAt: now, on: on}
		} else if err := tx.CompleteAction(s.Action.ActionID, s.Action.State, a, s.User.Epoch, now); err != nil {
			return api.VerifyTOTPResponse{}, nil, err
		}
	}
	// This is before the commit: if no token can be issued, the code must not be
	// used up.
	claims := s.Claims
	claims.Scopes, claims.ExpiresAt, claims.Browser = token.AllScopes, time.Time{}, false
	accessToken, err := tokens.Issue(claims)
	if err != nil {
		return api.VerifyTOTPResponse{}, nil, err
	}
	err = tx.Audit(store.AuditEvent{
		At: now, Kind: kind, ActionID: s.Action.ActionID, Detail: detail,
	})
	if err != nil {
		return api.VerifyTOTPResponse{}, nil, err
	}
	out := api.VerifyTOTPResponse{IsVerified: true, AccessToken: accessToken}
	if !a.Verified() {
		a.VerifiedAt, a.LastVerifiedAt = now, now
		shown := shownNew(a, s.Authenticators, s.User)
		out.UserAuthenticator = &shown
		if err := created(tx, s.Tenant, a, now); err != nil {
			return api.VerifyTOTPResponse{}, nil, err
		}
	}
	return out, consent, nil
}

// shownNew returns the API's form of an authenticator that was verified by now, and is
// pending in a list of the user's.
func shownNew(a store.Authenticator, list []store.Authenticator, u store.User) api.UserAuthenticator {
	all := slices.Clone(list)
	all[slices.IndexFunc(all, func(b store.Authenticator) bool { return b.ID == a.ID })] = a
	return Shown(a, FactorsOf(all).Preferred(u.DefaultMethod))
}

// A Consent is an accepted code, or a trusted browser, that needs the consent of the
// tenant's webhook before the state of the action changes.
type Consent struct {
	Subject       Subject
	Authenticator store.Authenticator
	VerifiedAt    time.Time
	on            event
	// browser is the trusted browser after its use, if that is what was accepted.
	browser store.TrustedBrowser
}

// Question returns the data of the event for the webhook.
func (c Consent) Question() api.ActionVerify {
	id := c.Subject.Action.ActionID
	return api.ActionVerify{
		UserID: id.UserID, Action: id.Action, IdempotencyKey: id.IdempotencyKey,
		VerifiedAt: api.Time{Time: c.VerifiedAt}, State: api.StateChallengeSucceeded,
		VerificationMethod: c.Authenticator.Method, UserAuthenticatorID: c.Authenticator.ID,
	}
}

// Remedy says what the user can do if there is no consent.
func (c Consent) Remedy() string {
	if c.on == browserAccepted {
		return "Verify a code."
	}
	return "The code is used up; enter a new one to try again."
}

// Complete changes the state of the action in a transaction after the webhook's
// consent. It fails with store.ErrChanged, here or at the end of the
// transaction, if the action has changed since the code was accepted.
func (c Consent) Complete(tx *store.Tx, now time.Time) error {
	s, err := LockSubject(tx, c.Subject.Tenant, c.Subject.Claims)
	if err != nil {
		return err
	}
	if c.on == browserAccepted {
		b, err := tx.TrustedBrowser(s.User.ID, c.browser.ID)
		if err != nil {
			return err
		}
		if b == nil || !bytes.Equal(b.TurnHash, c.browser.TurnHash) { // the trust has ended, or was used again
			return store.ErrChanged
		}
	}
	before := c.Subject.Action
	switch to, _ := next(before.State, c.on); {
	case s.Action.State == to && (proved(s.Action) || c.on == browserAccepted): // by another right code
		return nil
	case s.Action.State == to && s.Action.Trusted: // by a browser; the code gives more rights
	case s.Action.State != before.State || !s.Action.StateUpdatedAt.Equal(before.StateUpdatedAt):
		return store.ErrChanged
	}
	return tx.CompleteAction(s.Action.ActionID, s.Action.State, c.Authenticator, s.User.Epoch, now)
}
