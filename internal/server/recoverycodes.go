package server

import (
	"context"
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// All of this file is our own addition to the API (wire contract, section 13).

// getClientRecoveryCodes answers GET /v1/client/recovery-codes: how many codes are
// left.
func (s *server) getClientRecoveryCodes(r *http.Request) (any, error) {
	var out api.RecoveryCodesStatus
	err := s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		subject, err := mfa.ReadSubject(tx, tenant(r), claims(r))
		if err != nil {
			return err
		}
		out, err = mfa.RecoveryCodesOf(tx, tenant(r), subject.User.ID)
		return err
	})
	return out, err
}

// makeClientRecoveryCodes answers POST /v1/client/recovery-codes: new codes, which
// come into force when they are confirmed. It takes no body.
func (s *server) makeClientRecoveryCodes(r *http.Request) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	var out api.RecoveryCodesResponse
	err := s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) (err error) {
		out, err = subject.MakeRecoveryCodes(tx, s.Random, s.Now())
		return err
	})
	return out, err
}

// confirmClientRecoveryCodes answers POST /v1/client/recovery-codes/confirm.
func (s *server) confirmClientRecoveryCodes(r *http.Request) (any, error) {
	var in api.ConfirmRecoveryCodesRequest
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	if in.Saved == (in.RecoveryCode != "") {
		return nil, api.InvalidRequest("Either recoveryCode, one of the new codes, or saved: true is required.")
	}
	var out api.ConfirmRecoveryCodesResponse
	err := s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) (err error) {
		out.IsConfirmed, err = subject.ConfirmRecoveryCodes(tx, in.RecoveryCode, in.Saved, s.Now())
		return err
	})
	return out, err
}

// verifyRecoveryCode answers POST /v1/client/verify/recovery-code. A refused code is
// an ordinary answer.
func (s *server) verifyRecoveryCode(r *http.Request) (any, error) {
	var in api.VerifyRecoveryCodeRequest
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	if in.RecoveryCode == nil {
		return nil, api.InvalidRequest("recoveryCode is required and must be a string.")
	}
	// A guess counts even if its client does not wait for the response.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), settleTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	var out api.VerifyRecoveryCodeResponse
	var consent *mfa.Consent
	err := s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) (err error) {
		out, consent, err = mfa.VerifyRecoveryCode(tx, s.Tokens, subject, *in.RecoveryCode, s.Now())
		return err
	})
	if err == nil && consent != nil {
		err = s.requestConsent(r.Context(), *consent)
	}
	if err != nil {
		return nil, err
	}
	s.metrics.verified(out.IsVerified, out.FailureReason)
	return out, nil
}

// getRecoveryCodes answers GET /v1/users/{userId}/recovery-codes. A user who does
// not exist has none.
func (s *server) getRecoveryCodes(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var out api.RecoveryCodesStatus
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) (err error) {
		out, err = mfa.RecoveryCodesOf(tx, tenant(r), userID)
		return err
	})
	return out, err
}

// makeRecoveryCodes answers POST /v1/users/{userId}/recovery-codes: new codes, in
// force at once. It takes no body.
func (s *server) makeRecoveryCodes(r *http.Request) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var out api.RecoveryCodesResponse
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) (err error) {
		out, err = mfa.IssueRecoveryCodes(tx, tenant(r), userID, s.Random, s.Now())
		return err
	})
	return out, err
}

// deleteRecoveryCodes answers DELETE /v1/users/{userId}/recovery-codes.
func (s *server) deleteRecoveryCodes(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return mfa.VoidRecoveryCodes(tx, tenant(r), userID, mfa.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}
