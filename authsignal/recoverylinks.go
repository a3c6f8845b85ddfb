package authsignal

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A RecoveryLinkVoid names what the use of a recovery link voids.
type RecoveryLinkVoid = api.RecoveryLinkVoid

// What a recovery link may void.
const (
	// VoidAuthenticators removes all other authenticators of the user.
	VoidAuthenticators = api.VoidAuthenticators
	// VoidRecoveryCodes voids the user's recovery codes.
	VoidRecoveryCodes = api.VoidRecoveryCodes
)

// A RecoveryLinkState is the state of a recovery link.
type RecoveryLinkState = api.RecoveryLinkState

// The states of a recovery link.
const (
	// LinkPending: it does not work until it is approved.
	LinkPending = api.LinkPending
	LinkActive  = api.LinkActive
	// LinkUsed: it has been used.
	LinkUsed    = api.LinkUsed
	LinkExpired = api.LinkExpired
)

// A RecoveryLink is a recovery link of a user. Its holder may enroll one authenticator
// app for the user, and nothing else.
type RecoveryLink struct {
	RecoveryLinkID string            `json:"recoveryLinkId"`
	UserID         string            `json:"userId"`
	State          RecoveryLinkState `json:"state"`
	// URL is the link; only IssueRecoveryLink returns it. It is a secret.
	URL  string             `json:"url,omitempty"`
	Void []RecoveryLinkVoid `json:"void"`
	// IssuedBy and ApprovedBy are the names that were given.
	IssuedBy   string     `json:"issuedBy,omitempty"`
	ApprovedBy string     `json:"approvedBy,omitempty"`
	CreatedAt  time.Time  `json:"createdAt"`
	ExpiresAt  time.Time  `json:"expiresAt"`
	ApprovedAt *time.Time `json:"approvedAt,omitempty"`
	UsedAt     *time.Time `json:"usedAt,omitempty"`
}

// An IssueRecoveryLinkRequest is what IssueRecoveryLink takes.
type IssueRecoveryLinkRequest struct {
	UserID string
	// ExpiresIn is a minute to 24 hours, in whole seconds; if zero, an hour.
	ExpiresIn time.Duration
	// Void names what the use of the link voids: nothing unless given. Trusted browsers
	// are not trusted afterwards in any case.
	Void []RecoveryLinkVoid
	// IssuedBy is the name of the person at the help desk, for the audit log.
	IssuedBy string
}

// IssueRecoveryLink issues a recovery link for a user, for a help desk that has checked
// the identity of the caller. It takes the place of the user's link before. If the
// tenant requires an approval, the link does not work until it is approved in the
// portal. Recovery links are an addition of this project's server.
//
// It is not retried: each call issues another link.
func (c *Client) IssueRecoveryLink(ctx context.Context, in IssueRecoveryLinkRequest) (RecoveryLink, error) {
	var out RecoveryLink
	if err := need("issue recovery link", "UserID", in.UserID); err != nil {
		return out, err
	}
	body := api.IssueRecoveryLinkRequest{Void: in.Void, IssuedBy: in.IssuedBy}
	if in.ExpiresIn != 0 {
		if in.ExpiresIn%time.Second != 0 {
			return out, fmt.Errorf("authsignal: issue recovery link: ExpiresIn must be whole seconds, not %s", in.ExpiresIn)
		}
		seconds := int64(in.ExpiresIn / time.Second)
		body.ExpiresInSeconds = &seconds
	}
	err := c.do(ctx, call{
		name: "issue recovery link", method: http.MethodPost, path: path("users", in.UserID, "recovery-links"), body: body,
	}, &out)
	return out, err
}

// RecoveryLinks lists the recovery links of a user, without their URLs. There is at
// most one.
func (c *Client) RecoveryLinks(ctx context.Context, userID string) ([]RecoveryLink, error) {
	var out []RecoveryLink
	if err := need("recovery links", "userID", userID); err != nil {
		return nil, err
	}
	err := c.do(ctx, call{
		name: "recovery links", method: http.MethodGet, path: path("users", userID, "recovery-links"), repeatable: true,
	}, &out)
	return out, err
}

// ApproveRecoveryLink approves a recovery link that was issued in the portal and waits
// for it. approvedBy is the name of the person who approves it. It is not retried: after
// a success whose answer was lost, a retry would return an error.
func (c *Client) ApproveRecoveryLink(ctx context.Context, userID, recoveryLinkID, approvedBy string) (RecoveryLink, error) {
	var out RecoveryLink
	if err := need("approve recovery link", "userID", userID, "recoveryLinkID", recoveryLinkID, "approvedBy", approvedBy); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: "approve recovery link", method: http.MethodPost, path: path("users", userID, "recovery-links", recoveryLinkID, "approve"),
		body: api.ApproveRecoveryLinkRequest{ApprovedBy: approvedBy},
	}, &out)
	return out, err
}

// RevokeRecoveryLink revokes a recovery link of a user. It is not retried: after a
// success whose answer was lost, a retry would return not_found.
func (c *Client) RevokeRecoveryLink(ctx context.Context, userID, recoveryLinkID string) error {
	if err := need("revoke recovery link", "userID", userID, "recoveryLinkID", recoveryLinkID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{
		name: "revoke recovery link", method: http.MethodDelete, path: path("users", userID, "recovery-links", recoveryLinkID),
	}, &out)
}

// ResetUser removes all authenticators of a user, voids the recovery codes, trusted
// browsers and recovery links, and ends all tokens. The user is kept. Afterwards the
// first factor alone enrolls a new app, so that IssueRecoveryLink is the safer way.
//
// It is not retried: the user may have enrolled in the meantime.
func (c *Client) ResetUser(ctx context.Context, userID string) error {
	if err := need("reset user", "userID", userID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{name: "reset user", method: http.MethodPost, path: path("users", userID, "reset")}, &out)
}
