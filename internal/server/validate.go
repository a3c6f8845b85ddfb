package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// The errors of /validate, word for word as in the wire contract (6.2; section
// 11, row 4).
const (
	errTokenIsInvalid  = "Token is invalid."
	errUserIsInvalid   = "User is invalid."
	errActionIsInvalid = "Action is invalid."
)

// validateToken answers POST /v1/validate (wire contract, 6.2). It changes nothing,
// unless the backend asks it to trust the user's browser.
func (s *server) validateToken(r *http.Request) (any, error) {
	var in api.ValidateRequest
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if in.Token == "" {
		return nil, api.InvalidRequest("token is required.")
	}
	c, err := s.Tokens.Parse(in.Token)
	switch {
	case err != nil || c.TenantID != tenant(r).ID:
		return api.ValidateResponse{Error: errTokenIsInvalid}, nil
	case in.UserID != "" && tenant(r).UserID(in.UserID) != c.UserID:
		return api.ValidateResponse{Error: errUserIsInvalid}, nil
	case in.Action != "" && in.Action != c.Action:
		return api.ValidateResponse{Error: errActionIsInvalid}, nil
	}
	var subject mfa.Subject
	var trusted api.ValidateResponse
	if in.TrustBrowser {
		subject, trusted, err = s.trustBrowser(r.Context(), tenant(r), c)
	} else {
		subject, err = mfa.FindSubject(r.Context(), s.Store, tenant(r), c)
	}
	if errors.Is(err, mfa.ErrVoid) {
		return api.ValidateResponse{Error: errTokenIsInvalid}, nil
	}
	if err != nil {
		return nil, err
	}
	action := subject.Action
	if subject.State() != action.State {
		action.VerificationMethod = "" // of another browser
	}
	return api.ValidateResponse{
		IsValid:            subject.Valid(),
		State:              subject.State(),
		StateUpdatedAt:     &api.Time{Time: action.StateUpdatedAt},
		UserID:             c.UserID,
		Action:             c.Action,
		ActionCode:         c.Action,
		IdempotencyKey:     c.IdempotencyKey,
		VerificationMethod: action.VerificationMethod,

		DeviceToken:          trusted.DeviceToken,
		DeviceTokenExpiresAt: trusted.DeviceTokenExpiresAt,
	}, nil
}

// trustBrowser reads the subject of a token, and trusts the user's browser if the
// action was completed and its settings say that trust counts. Otherwise the response
// is empty.
func (s *server) trustBrowser(ctx context.Context, t store.Tenant, c token.Claims) (subject mfa.Subject, out api.ValidateResponse, err error) {
	err = s.Store.Update(ctx, t.ID, func(tx *store.Tx) error {
		if subject, err = mfa.LockSubject(tx, t, c); err != nil {
			return err
		}
		settings, err := manage.ActionSettings(tx, c.Action)
		if err != nil || !subject.MayTrust(settings) {
			return err
		}
		text, until, err := subject.TrustBrowser(tx, settings, s.Now())
		out = api.ValidateResponse{DeviceToken: text, DeviceTokenExpiresAt: &api.Time{Time: until}}
		return err
	})
	return subject, out, err
}
