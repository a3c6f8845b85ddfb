package server

import (
	"errors"
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
)

// The errors of /validate, word for word as in the wire contract (6.2; section
// 11, row 4).
const (
	errTokenIsInvalid  = "Token is invalid."
	errUserIsInvalid   = "User is invalid."
	errActionIsInvalid = "Action is invalid."
)

// validateToken answers POST /v1/validate (wire contract, 6.2). It changes nothing.
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
	case in.UserID != "" && in.UserID != c.UserID:
		return api.ValidateResponse{Error: errUserIsInvalid}, nil
	case in.Action != "" && in.Action != c.Action:
		return api.ValidateResponse{Error: errActionIsInvalid}, nil
	}
	subject, err := mfa.FindSubject(r.Context(), s.Store, tenant(r), c)
	if errors.Is(err, mfa.ErrVoid) {
		return api.ValidateResponse{Error: errTokenIsInvalid}, nil
	}
	if err != nil {
		return nil, err
	}
	action := subject.Action
	return api.ValidateResponse{
		IsValid:            mfa.Succeeded(action),
		State:              action.State,
		StateUpdatedAt:     &api.Time{Time: action.StateUpdatedAt},
		UserID:             c.UserID,
		Action:             c.Action,
		ActionCode:         c.Action,
		IdempotencyKey:     c.IdempotencyKey,
		VerificationMethod: action.VerificationMethod,
	}, nil
}
