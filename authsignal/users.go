package authsignal

import (
	"context"
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
)

type (
	// User is what Client.User returns.
	User = api.User
	// UserAuthenticator is a verified authenticator of a user.
	UserAuthenticator = api.UserAuthenticator
)

// User returns a user. One who was never tracked is returned too: not
// enrolled, and without attributes.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	var out User
	if err := need("user", "userID", userID); err != nil {
		return out, err
	}
	err := c.do(ctx, call{name: "user", method: http.MethodGet, path: path("users", userID), repeatable: true}, &out)
	return out, err
}

// Authenticators lists the verified authenticators of a user, oldest first.
func (c *Client) Authenticators(ctx context.Context, userID string) ([]UserAuthenticator, error) {
	var out []UserAuthenticator
	if err := need("authenticators", "userID", userID); err != nil {
		return nil, err
	}
	err := c.do(ctx, call{
		name: "authenticators", method: http.MethodGet, path: path("users", userID, "authenticators"), repeatable: true,
	}, &out)
	return out, err
}

// DeleteAuthenticator removes an authenticator of a user. It is not retried: a
// second deletion would report not_found for what the first one did.
func (c *Client) DeleteAuthenticator(ctx context.Context, userID, authenticatorID string) error {
	if err := need("delete authenticator", "userID", userID, "authenticatorID", authenticatorID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{
		name: "delete authenticator", method: http.MethodDelete,
		path: path("users", userID, "authenticators", authenticatorID),
	}, &out)
}
