package server

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// verify answers POST /v1/client/verify/totp (wire contract, 5.2): it completes
// an enrollment or a challenge. A refused code is an ordinary answer.
func (s *server) verify(r *http.Request) (any, error) {
	c := claims(r)
	var in struct {
		VerificationCode *string `json:"verificationCode"`
	}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if in.VerificationCode == nil {
		return nil, invalidRequest("verificationCode is required and must be a string.")
	}
	code := strings.Trim(*in.VerificationCode, " ")
	// One transaction reads, judges and writes: whatever fails, no attempt is
	// spent and no code is used up without its answer. Only where a webhook
	// has to consent, a second one moves the action.
	var out api.VerifyTOTPResponse
	var ask *question
	err := s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		standing, err := lockSubject(tx, c)
		if err != nil {
			return err
		}
		action, all := standing.Action, standing.Authenticators
		if ok, _ := verifiable(action.State); !ok {
			return notVerifiable(action.State)
		}
		candidates := candidates(all, c, tenant(r).Authenticator)
		if len(candidates) == 0 {
			return invalidRequest("The user has no authenticator app to verify. Enroll one first.")
		}
		now := s.Now()
		v, err := judge(tx, candidates, code, now, tenant(r).Authenticator)
		if err != nil {
			return err
		}
		if v.accepted == nil {
			out = api.VerifyTOTPResponse{FailureReason: v.reason}
			kind := store.AuditCodeRefused
			if v.reason == api.MaxAttemptsExceeded {
				kind = store.AuditCodeUnseen
			}
			return tx.Audit(store.AuditEvent{At: now, Kind: kind, ActionID: action.ActionID})
		}
		out, ask, err = s.complete(tx, c, tenant(r), standing, *v.accepted, now)
		return err
	})
	if err == nil && ask != nil {
		err = s.ask(r.Context(), tenant(r), c, *ask)
	}
	if errors.Is(err, errNoSubject) {
		return nil, errSubjectGone()
	}
	if err != nil {
		return nil, err
	}
	s.metrics.verified(out)
	return out, nil
}

func notVerifiable(state api.State) error {
	return invalidRequest("The action is " + string(state) + " and takes no challenge.")
}

// candidates are the authenticator apps that a code may belong to: the pending
// one that this token's action began, then the verified ones. A pending one
// counts only as long as enroll would still begin it: if the user has become
// enrolled meanwhile, only with the scope to add, and where the tenant allows
// several.
func candidates(all []store.Authenticator, c token.Claims, settings api.AuthenticatorSettings) []store.Authenticator {
	mayAdd := settings.Active && (!verifiedOf(all).enrolled() || settings.AllowMultiple && c.Has(api.ScopeAdd))
	var pending, verified []store.Authenticator
	for _, a := range all {
		switch {
		case a.Method != api.AuthenticatorApp:
		case a.Verified():
			verified = append(verified, a)
		case mayAdd && a.Began == actionID(c):
			pending = append(pending, a)
		}
	}
	return append(pending, verified...)
}

// A verdict is what judge makes of a code: an authenticator that accepted it,
// or the reason why none did.
type verdict struct {
	accepted *store.Authenticator
	reason   api.FailureReason
}

// judge tries a code on each candidate that is not blocked and spends the step
// of the first that it fits. A wrong code counts as a failure of every
// candidate that it was compared with. A replayed one does not: it proves
// knowledge of the secret and guesses nothing. Nor does one of the wrong form.
func judge(tx *store.Tx, candidates []store.Authenticator, code string, now time.Time, settings api.AuthenticatorSettings) (verdict, error) {
	var open, wrong []store.Authenticator
	for _, a := range candidates {
		blocked, err := blocked(tx, a, now, settings)
		if err != nil {
			return verdict{}, err
		}
		if !blocked {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return verdict{reason: api.MaxAttemptsExceeded}, nil
	}
	refused := verdict{reason: api.CodeInvalidOrExpired}
	replayed := false
	for _, a := range open {
		if !wellFormed(code, a.Digits) {
			continue
		}
		secret, err := tx.Secret(a)
		if err != nil {
			return verdict{}, err
		}
		step, match, err := totp.Match(code, secret, a.Parameters, now, settings.Drift, a.LastStep)
		if err != nil {
			return verdict{}, err
		}
		switch match {
		case totp.Matched:
			accepted, err := tx.AcceptStep(a, step, now)
			if err != nil {
				return verdict{}, err
			}
			if accepted {
				return verdict{accepted: &a}, nil
			}
			replayed = true
		case totp.Replayed:
			replayed = true
		case totp.Mismatch:
			wrong = append(wrong, a)
		}
	}
	if replayed {
		return refused, nil
	}
	for _, a := range wrong {
		if err := tx.Fail(a, now); err != nil {
			return verdict{}, err
		}
	}
	return refused, nil
}

// blocked reports whether too many codes were refused. While it is, even the
// right code is (wire contract, section 11, row 7).
func blocked(tx *store.Tx, a store.Authenticator, now time.Time, settings api.AuthenticatorSettings) (bool, error) {
	if a.Failures >= settings.MaxFailuresInARow {
		return true, nil
	}
	if a.Failures < settings.MaxFailures {
		return false, nil
	}
	n, err := tx.FailuresSince(a, now.Add(-time.Duration(settings.WindowSeconds)*time.Second))
	return n >= settings.MaxFailures, err
}

// wellFormed reports whether a code could be one at all.
func wellFormed(code string, digits int) bool {
	return len(code) == digits && strings.Trim(code, "0123456789") == ""
}

// complete moves the action after an accepted code and answers with a token of
// full scope. If a webhook has to consent, the action stays, and there is a
// question to ask before the answer is given.
func (s *server) complete(tx *store.Tx, c token.Claims, t store.Tenant, standing store.Standing, a store.Authenticator, now time.Time) (api.VerifyTOTPResponse, *question, error) {
	user, action, all := standing.User, standing.Action, standing.Authenticators
	var q *question
	if _, moves := verifiable(action.State); moves {
		if t.WebhookURL != "" {
			q = &question{action.ActionID, a, now}
		} else if err := tx.CompleteAction(action.ActionID, action.State, a.ID, now); err != nil {
			return api.VerifyTOTPResponse{}, nil, err
		}
	}
	c.Scopes = token.AllScopes
	// Before the commit: a token that cannot be made must not use up a code.
	accessToken, err := s.Tokens.Issue(c)
	if err != nil {
		return api.VerifyTOTPResponse{}, nil, err
	}
	kind := store.AuditCodeAccepted
	if !a.Verified() {
		kind = store.AuditEnrollmentCompleted
	}
	err = tx.Audit(store.AuditEvent{
		At: now, Kind: kind, ActionID: action.ActionID, Detail: map[string]any{"userAuthenticatorId": a.ID},
	})
	if err != nil {
		return api.VerifyTOTPResponse{}, nil, err
	}
	out := api.VerifyTOTPResponse{IsVerified: true, AccessToken: accessToken}
	if !a.Verified() {
		a.VerifiedAt, a.LastVerifiedAt = now, now
		for i := range all {
			if all[i].ID == a.ID {
				all[i] = a
			}
		}
		preferred := verifiedOf(all).preferred(user.DefaultMethod)
		shown := userAuthenticator(a, preferred.ID == a.ID)
		out.UserAuthenticator = &shown
		if err := s.authenticatorCreated(tx, t, a, now); err != nil {
			return api.VerifyTOTPResponse{}, nil, err
		}
	}
	return out, q, nil
}
