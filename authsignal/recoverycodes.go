package authsignal

import (
	"context"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// FewRecoveryCodes is the number of recovery codes left at which a user should make
// new ones.
const FewRecoveryCodes = api.FewRecoveryCodes

// RecoveryCodesStatus is what RecoveryCodes returns.
type RecoveryCodesStatus struct {
	// Total is the number of codes in force when they were made, Left of those
	// that were not used. Both are 0 if no codes are in force.
	Total int `json:"total"`
	Left  int `json:"left"`
	// ConfirmedAt is when they came into force.
	ConfirmedAt *time.Time `json:"confirmedAt,omitempty"`
	// IsPending reports whether there are codes that the user has not confirmed.
	IsPending bool `json:"isPending"`
	// IsDisabled reports whether the tenant allows no recovery codes: none are made or
	// accepted.
	IsDisabled bool `json:"isDisabled,omitempty"`
}

// RecoveryCodes returns how many recovery codes a user has left. A user who does
// not exist has none. Recovery codes are an addition of this project's server; the
// hosted service does not answer this call.
func (c *Client) RecoveryCodes(ctx context.Context, userID string) (RecoveryCodesStatus, error) {
	var out RecoveryCodesStatus
	if err := need("recovery codes", "userID", userID); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: "recovery codes", method: http.MethodGet, path: path("users", userID, "recovery-codes"), repeatable: true,
	}, &out)
	return out, err
}

// MakeRecoveryCodes makes ten recovery codes for a user, for a help desk that hands
// them over. They are in force at once, and those before are void. A user without
// an authenticator app is an *Error with Code "invalid_request".
//
// It is not retried: each call makes other codes.
func (c *Client) MakeRecoveryCodes(ctx context.Context, userID string) ([]string, error) {
	if err := need("make recovery codes", "userID", userID); err != nil {
		return nil, err
	}
	var out api.RecoveryCodesResponse
	err := c.do(ctx, call{name: "make recovery codes", method: http.MethodPost, path: path("users", userID, "recovery-codes")}, &out)
	return out.RecoveryCodes, err
}

// VoidRecoveryCodes voids all recovery codes of a user. It succeeds if there are
// none.
//
// It is not retried: the user may have made new codes in the meantime.
func (c *Client) VoidRecoveryCodes(ctx context.Context, userID string) error {
	if err := need("void recovery codes", "userID", userID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{name: "void recovery codes", method: http.MethodDelete, path: path("users", userID, "recovery-codes")}, &out)
}
