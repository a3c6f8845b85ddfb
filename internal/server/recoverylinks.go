package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// All of this file is our own addition to the API (wire contract, section 13).

// listRecoveryLinks answers GET /v1/users/{userId}/recovery-links. A user who does not
// exist has none.
func (s *server) listRecoveryLinks(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	out := []api.RecoveryLink{}
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) (err error) {
		out, err = mfa.RecoveryLinks(tx, userID, s.Now())
		return err
	})
	return out, err
}

// issueRecoveryLink answers POST /v1/users/{userId}/recovery-links. Only its response
// has the link.
func (s *server) issueRecoveryLink(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var in api.IssueRecoveryLinkRequest
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	request := mfa.LinkRequest{Seconds: api.DefaultRecoveryLinkLife, Void: in.Void}
	if in.ExpiresInSeconds != nil {
		request.Seconds = *in.ExpiresInSeconds
	}
	var out api.RecoveryLink
	var secret string
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		out, secret, err = mfa.IssueRecoveryLink(tx, userID, request, mfa.Agent{By: mfa.ByBackend, Name: in.IssuedBy}, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	out.URL = mfa.RecoveryURL(s.PublicURL, secret)
	return out, nil
}

// approveRecoveryLink answers POST /v1/users/{userId}/recovery-links/{id}/approve.
func (s *server) approveRecoveryLink(r *http.Request) (any, error) {
	userID, id, err := pathLink(r)
	if err != nil {
		return nil, err
	}
	var in api.ApproveRecoveryLinkRequest
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	var out api.RecoveryLink
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		out, err = mfa.ApproveRecoveryLink(tx, tenant(r), userID, id, mfa.Agent{By: mfa.ByBackend, Name: in.ApprovedBy}, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// revokeRecoveryLink answers DELETE /v1/users/{userId}/recovery-links/{id}.
func (s *server) revokeRecoveryLink(r *http.Request) (any, error) {
	userID, id, err := pathLink(r)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return mfa.RevokeRecoveryLink(tx, userID, id, mfa.Agent{By: mfa.ByBackend}, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

func pathLink(r *http.Request) (userID, id string, err error) {
	if userID, err = pathUserID(r); err != nil {
		return "", "", err
	}
	id, err = identifier("recoveryLinkId", r.PathValue("id"))
	return userID, id, err
}

// resetUser answers POST /v1/users/{userId}/reset.
func (s *server) resetUser(r *http.Request) (any, error) {
	if err := noBody(r); err != nil {
		return nil, err
	}
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return mfa.Reset(tx, tenant(r), userID, mfa.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// enrollByLink answers POST /v1/recovery/enroll. The link is not used up, so that an
// answer may be lost.
func (s *server) enrollByLink(r *http.Request) (any, error) {
	var in api.RecoveryEnrollRequest
	if err := readStrict(r, &in); err != nil {
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
	err = s.updateRecovery(r.Context(), in.Secret, func(tx *store.Tx, link mfa.Recovery) (err error) {
		out, err = link.Enroll(tx, secret, name, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// verifyByLink answers POST /v1/recovery/verify: a right code completes the enrollment
// and uses the link up. A refused code is an ordinary answer.
func (s *server) verifyByLink(r *http.Request) (any, error) {
	var in api.RecoveryVerifyRequest
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	// A guess counts even if its client does not wait for the response.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), settleTimeout)
	defer cancel()
	var out api.VerifyTOTPResponse
	err := s.updateRecovery(ctx, in.Secret, func(tx *store.Tx, link mfa.Recovery) (err error) {
		out, err = link.Verify(tx, strings.Trim(in.VerificationCode, " "), s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	s.metrics.verified(out.IsVerified, out.FailureReason)
	return out, nil
}

// updateRecovery runs fn in a writing transaction with the recovery of the secret of a
// link.
func (s *server) updateRecovery(ctx context.Context, secret string, fn func(*store.Tx, mfa.Recovery) error) error {
	t, err := mfa.TenantOfLink(ctx, s.Store, secret)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, t.ID, func(tx *store.Tx) error {
		link, err := mfa.LockRecovery(tx, t, secret, s.Now())
		if err != nil {
			return err
		}
		return fn(tx, link)
	})
}
