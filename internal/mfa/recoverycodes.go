package mfa

import (
	"io"
	"math/big"
	"strings"
	"time"

	cryptorand "crypto/rand"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

const (
	// recoverySet is the number of recovery codes that a user gets at once.
	recoverySet = 10
	// recoveryAlphabet has digits and letters of which no two look alike: no 0, 1,
	// I, L, O or U.
	recoveryAlphabet = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
	// recoveryLength is the number of characters of a code, which has 58 bits.
	recoveryLength = 12
	// recoveryGroup is the number of characters between hyphens.
	recoveryGroup = 4
)

// newRecoveryCodes returns the codes of a set, in the form in which they are
// compared and stored.
func newRecoveryCodes(random io.Reader) ([]string, error) {
	size := big.NewInt(int64(len(recoveryAlphabet)))
	codes := make([]string, recoverySet)
	for i := range codes {
		b := make([]byte, recoveryLength)
		for j := range b {
			n, err := cryptorand.Int(random, size) // uniform
			if err != nil {
				return nil, err
			}
			b[j] = recoveryAlphabet[n.Int64()]
		}
		codes[i] = string(b)
	}
	return codes, nil
}

// shownRecoveryCode returns a code as it is shown: in groups with hyphens.
func shownRecoveryCode(code string) string {
	var groups []string
	for ; len(code) > recoveryGroup; code = code[recoveryGroup:] {
		groups = append(groups, code[:recoveryGroup])
	}
	return strings.Join(append(groups, code), "-")
}

// typedRecoveryCode returns the code that a user has typed, and whether it has the
// form of one. Spaces, hyphens and case do not matter.
func typedRecoveryCode(text string) (code string, ok bool) {
	code = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '‐', '‑', '–', '—', '\t', '\u00a0':
			return -1
		}
		return r
	}, text)
	code = strings.ToUpper(code)
	return code, len(code) == recoveryLength && strings.Trim(code, recoveryAlphabet) == ""
}

// MayMakeRecoveryCodes returns an error if the subject may not make or confirm
// recovery codes. It needs api.ScopeUpdate and a challenge that was completed, other
// than by trust in the browser: a recovery code replaces a code of the app, so the
// first factor must not make one, even where the action is ALLOW. A user without an authenticator app has nothing
// that a recovery code could replace.
func (s Subject) MayMakeRecoveryCodes() error {
	switch {
	case !s.Tenant.Authenticator.RecoveryCodes:
		return errNoRecovery
	case !s.Factors().Challengeable():
		return errNothingToRecover
	case !s.Claims.Has(api.ScopeUpdate):
		return api.Forbidden("To make recovery codes, verify a code first and use the new token.")
	case !proved(s.Action):
		return api.Forbidden("The action is " + reached(s.Action) + ". To make recovery codes, verify a code first and use the new token.")
	}
	return nil
}

var errNoRecovery error = &api.Error{Status: 400, Code: api.CodeInvalidConfiguration, Description: "The tenant allows no recovery codes."}

var errNothingToRecover error = api.InvalidRequest("The user has no authenticator app. Enroll one first.")

// MakeRecoveryCodes makes recovery codes that come into force when the user
// confirms them. It replaces codes that were not confirmed; those in force stay.
func (s Subject) MakeRecoveryCodes(tx *store.Tx, random io.Reader, now time.Time) (api.RecoveryCodesResponse, error) {
	if err := s.MayMakeRecoveryCodes(); err != nil {
		return api.RecoveryCodesResponse{}, err
	}
	_, out, err := makeRecoveryCodes(tx, s.User.ID, s.Action.ActionID, ByUser, random, now)
	return out, err
}

func makeRecoveryCodes(tx *store.Tx, userID string, action store.ActionID, by Channel, random io.Reader, now time.Time) (store.RecoverySet, api.RecoveryCodesResponse, error) {
	codes, err := newRecoveryCodes(random)
	if err != nil {
		return store.RecoverySet{}, api.RecoveryCodesResponse{}, err
	}
	set, err := tx.InsertRecoverySet(userID, codes, now)
	if err == nil {
		err = tx.Audit(store.AuditEvent{At: now, Kind: store.AuditRecoveryCodesMade, ActionID: action, Detail: map[string]any{"by": by}})
	}
	if err != nil {
		return store.RecoverySet{}, api.RecoveryCodesResponse{}, err
	}
	out := api.RecoveryCodesResponse{CreatedAt: api.Time{Time: now}}
	for _, code := range codes {
		out.RecoveryCodes = append(out.RecoveryCodes, shownRecoveryCode(code))
	}
	return set, out, nil
}

// ConfirmRecoveryCodes puts the pending codes in force, in place of those before,
// if text is one of them or the user says that they are saved. Such a code is not
// used up. A wrong one is not an error and has no limit: a subject that may confirm
// codes may make them too, so guessing gains nothing.
func (s Subject) ConfirmRecoveryCodes(tx *store.Tx, text string, saved bool, now time.Time) (confirmed bool, err error) {
	if err := s.MayMakeRecoveryCodes(); err != nil {
		return false, err
	}
	_, pending, err := tx.RecoverySets(s.User.ID)
	if err != nil {
		return false, err
	}
	if pending == nil {
		return false, api.InvalidRequest("There are no recovery codes to confirm. Make them first.")
	}
	if !saved {
		code, ok := typedRecoveryCode(text)
		if !ok {
			return false, nil
		}
		if has, err := tx.HasRecoveryCode(*pending, code); err != nil || !has {
			return false, err
		}
	}
	return true, confirmRecoveryCodes(tx, s.Tenant, *pending, s.Action.ActionID, ByUser, now)
}

func confirmRecoveryCodes(tx *store.Tx, t store.Tenant, set store.RecoverySet, action store.ActionID, by Channel, now time.Time) error {
	if err := tx.ConfirmRecoverySet(set, now); err != nil {
		return err
	}
	err := tx.Audit(store.AuditEvent{At: now, Kind: store.AuditRecoveryCodesInForce, ActionID: action, Detail: map[string]any{"by": by}})
	if err != nil {
		return err
	}
	return enqueue(tx, t, api.EventRecoveryCodesCreated, api.RecoveryCodesCreated{UserID: set.UserID, CreatedAt: api.Time{Time: now}}, now)
}

// IssueRecoveryCodes makes recovery codes for a backend, which are in force at once
// in place of those before.
func IssueRecoveryCodes(tx *store.Tx, t store.Tenant, userID string, random io.Reader, now time.Time) (api.RecoveryCodesResponse, error) {
	if !t.Authenticator.RecoveryCodes {
		return api.RecoveryCodesResponse{}, errNoRecovery
	}
	if _, _, err := tx.LockUser(userID); err != nil {
		return api.RecoveryCodesResponse{}, err
	}
	f, err := ReadFactors(tx, userID)
	if err != nil {
		return api.RecoveryCodesResponse{}, err
	}
	if !f.Challengeable() {
		return api.RecoveryCodesResponse{}, errNothingToRecover
	}
	user := store.ActionID{UserID: userID}
	set, out, err := makeRecoveryCodes(tx, userID, user, ByBackend, random, now)
	if err == nil {
		err = confirmRecoveryCodes(tx, t, set, user, ByBackend, now)
	}
	return out, err
}

// VoidRecoveryCodes deletes all recovery codes of a user. It succeeds if there are
// none.
func VoidRecoveryCodes(tx *store.Tx, t store.Tenant, userID string, by Channel, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	return voidRecoveryCodes(tx, t, userID, by, now)
}

func voidRecoveryCodes(tx *store.Tx, t store.Tenant, userID string, by Channel, now time.Time) error {
	deleted, err := tx.DeleteRecoverySets(userID)
	if err != nil || !deleted {
		return err
	}
	err = tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditRecoveryCodesVoided, ActionID: store.ActionID{UserID: userID}, Detail: map[string]any{"by": by},
	})
	if err != nil {
		return err
	}
	return enqueue(tx, t, api.EventRecoveryCodesVoided, api.RecoveryCodesVoided{UserID: userID, VoidedAt: api.Time{Time: now}}, now)
}

// RecoveryCodesOf returns the status of the recovery codes of a user of t. If the
// tenant allows none, there are none in force.
func RecoveryCodesOf(tx *store.Tx, t store.Tenant, userID string) (api.RecoveryCodesStatus, error) {
	if !t.Authenticator.RecoveryCodes {
		return api.RecoveryCodesStatus{IsDisabled: true}, nil
	}
	inForce, pending, err := tx.RecoverySets(userID)
	if err != nil {
		return api.RecoveryCodesStatus{}, err
	}
	out := api.RecoveryCodesStatus{IsPending: pending != nil}
	if inForce != nil {
		out.Total, out.Left, out.ConfirmedAt = inForce.Total, inForce.Left, &api.Time{Time: inForce.ConfirmedAt}
	}
	return out, nil
}

// MayRecover reports whether one of the subject's recovery codes, whose status is c,
// would be accepted.
func (s Subject) MayRecover(c api.RecoveryCodesStatus) bool {
	return s.MayVerify() && c.Left > 0
}

// VerifyRecoveryCode judges a recovery code, and completes the challenge if it is
// right. See Verify for refused codes, the consent and errors.
//
// A wrong code counts as a failure of each of the user's authenticator apps, so
// that it is no way to more guesses. While they are blocked, no failure is
// counted, and a right recovery code is accepted nevertheless: its 58 bits cannot
// be guessed online, and otherwise an attacker with the first factor could keep
// the user out by wrong codes. A used code does not count, because it
// proves knowledge of the set, and neither does a malformed one.
func VerifyRecoveryCode(tx *store.Tx, tokens *token.Issuer, s Subject, text string, now time.Time) (api.VerifyRecoveryCodeResponse, *Consent, error) {
	var none api.VerifyRecoveryCodeResponse
	if !accepts(s.Action.State, codeAccepted) {
		return none, nil, notVerifiable(s.Action.State)
	}
	if !s.Factors().Challengeable() {
		return none, nil, errNothingToRecover
	}
	if !s.Tenant.Authenticator.RecoveryCodes {
		return s.refuseRecoveryCode(tx, Refusal{Reason: RefusedDisabled}, now)
	}
	set, _, err := tx.RecoverySets(s.User.ID)
	if err != nil {
		return none, nil, err
	}
	if set == nil {
		return none, nil, api.InvalidRequest("The user has no recovery codes.")
	}
	code, ok := typedRecoveryCode(text)
	if !ok {
		return s.refuseRecoveryCode(tx, Refusal{Reason: RefusedMalformed}, now)
	}
	spent, err := tx.SpendRecoveryCode(*set, code, now)
	if err != nil {
		return none, nil, err
	}
	if !spent {
		return s.refuseUnspent(tx, *set, code, now)
	}
	// A user who needs a recovery code may have lost a browser with the phone.
	if _, err := tx.DeleteTrustedBrowsers(s.User.ID); err != nil {
		return none, nil, err
	}
	left := set.Left - 1
	verified, consent, err := s.complete(tx, tokens, store.Authenticator{UserID: s.User.ID, Method: api.RecoveryCode, VerifiedAt: now}, now)
	if err == nil {
		err = enqueue(tx, s.Tenant, api.EventRecoveryCodeUsed, api.RecoveryCodeUsed{
			UserID: s.User.ID, Action: s.Action.Action, IdempotencyKey: s.Action.IdempotencyKey,
			UsedAt: api.Time{Time: now}, RecoveryCodesLeft: left,
		}, now)
	}
	if err == nil && left == api.FewRecoveryCodes { // each use leaves one less
		err = enqueue(tx, s.Tenant, api.EventRecoveryCodesRunningOut, api.RecoveryCodesRunningOut{
			UserID: s.User.ID, RecoveryCodesLeft: left, NoticedAt: api.Time{Time: now},
		}, now)
	}
	if err != nil {
		return none, nil, err
	}
	return api.VerifyRecoveryCodeResponse{IsVerified: true, AccessToken: verified.AccessToken, RecoveryCodesLeft: &left}, consent, nil
}

// refuseUnspent refuses a well-formed code that the set does not have, or no longer.
func (s Subject) refuseUnspent(tx *store.Tx, set store.RecoverySet, code string, now time.Time) (api.VerifyRecoveryCodeResponse, *Consent, error) {
	used, err := tx.HasRecoveryCode(set, code)
	if err != nil {
		return api.VerifyRecoveryCodeResponse{}, nil, err
	}
	if used {
		return s.refuseRecoveryCode(tx, Refusal{Reason: RefusedReplayed}, now)
	}
	blocked := true
	for _, a := range s.Factors() {
		if a.Method != api.AuthenticatorApp {
			continue
		}
		block, err := BlockOf(tx, a, now, s.Tenant.Authenticator)
		if err != nil {
			return api.VerifyRecoveryCodeResponse{}, nil, err
		}
		if block != NotBlocked {
			continue
		}
		blocked, a.Miss = false, store.Miss{}
		if err := fail(tx, s.Tenant, a, now); err != nil {
			return api.VerifyRecoveryCodeResponse{}, nil, err
		}
	}
	out, consent, err := s.refuseRecoveryCode(tx, Refusal{Reason: RefusedWrong}, now)
	if blocked {
		out.FailureReason = api.MaxAttemptsExceeded
	}
	return out, consent, err
}

func (s Subject) refuseRecoveryCode(tx *store.Tx, r Refusal, now time.Time) (api.VerifyRecoveryCodeResponse, *Consent, error) {
	detail := r.Detail()
	detail["verificationMethod"] = api.RecoveryCode
	err := tx.Audit(store.AuditEvent{At: now, Kind: store.AuditCodeRefused, ActionID: s.Action.ActionID, Detail: detail})
	if err == nil {
		err = s.countGuess(tx, r, now)
	}
	return api.VerifyRecoveryCodeResponse{FailureReason: api.CodeInvalidOrExpired}, nil, err
}
