package authsignal

import (
	"context"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A TrustedBrowser is a browser that a user trusts. See Attributes.DeviceToken and
// ValidateRequest.TrustBrowser; the hosted service has no such browsers.
type TrustedBrowser struct {
	BrowserID  string    `json:"browserId"`
	TrustedAt  time.Time `json:"trustedAt"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	// IPAddress and UserAgent are those of its last use, as they were tracked.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// TrustedBrowsers lists the browsers that a user trusts, the newest first.
func (c *Client) TrustedBrowsers(ctx context.Context, userID string) ([]TrustedBrowser, error) {
	var out []TrustedBrowser
	if err := need("trusted browsers", "userID", userID); err != nil {
		return nil, err
	}
	err := c.do(ctx, call{
		name: "trusted browsers", method: http.MethodGet, path: path("users", userID, "trusted-browsers"), repeatable: true,
	}, &out)
	return out, err
}

// RevokeTrustedBrowser ends the trust in a browser of a user. It is not retried: after
// a success whose answer was lost, a retry would return not_found.
func (c *Client) RevokeTrustedBrowser(ctx context.Context, userID, browserID string) error {
	if err := need("revoke trusted browser", "userID", userID, "browserID", browserID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{
		name: "revoke trusted browser", method: http.MethodDelete, path: path("users", userID, "trusted-browsers", browserID),
	}, &out)
}

// RevokeTrustedBrowsers ends the trust in all browsers of a user.
func (c *Client) RevokeTrustedBrowsers(ctx context.Context, userID string) error {
	if err := need("revoke trusted browsers", "userID", userID); err != nil {
		return err
	}
	var out api.Success
	return c.do(ctx, call{
		name: "revoke trusted browsers", method: http.MethodDelete, path: path("users", userID, "trusted-browsers"), repeatable: true,
	}, &out)
}
