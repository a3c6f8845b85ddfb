package server

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// enrollTOTP answers POST /v1/client/user-authenticators/totp (wire contract,
// 5.1). The body may be empty.
func (s *server) enrollTOTP(r *http.Request) (any, error) {
	var in api.EnrollTOTPRequest
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	name, err := mfa.CheckName(in.Name)
	if err != nil {
		return nil, err
	}
	secret, err := totp.NewSecret(s.Random)
	if err != nil {
		return nil, err
	}
	var out api.EnrollTOTPResponse
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		out, err = mfa.Enroll(tx, subject, secret, name, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// updateSubject runs fn in a writing transaction with the subject of the
// request's token.
func (s *server) updateSubject(r *http.Request, fn func(*store.Tx, mfa.Subject) error) error {
	return s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		subject, err := mfa.LockSubject(tx, tenant(r), claims(r))
		if err != nil {
			return err
		}
		return fn(tx, subject)
	})
}

// readSubject is the subject of the request's token.
func (s *server) readSubject(r *http.Request) (mfa.Subject, error) {
	return mfa.FindSubject(r.Context(), s.Store, tenant(r), claims(r))
}
