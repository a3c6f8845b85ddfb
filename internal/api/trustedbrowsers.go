//go:build !js

package api

// All of this file is our own addition.

// MaxTrustBrowserDays is the maximum of ActionSettings.TrustBrowserDays.
const MaxTrustBrowserDays = 90

// A TrustedBrowser is an item of GET /users/{userId}/trusted-browsers and of GET
// /client/trusted-browsers.
type TrustedBrowser struct {
	BrowserID  string `json:"browserId"`
	TrustedAt  Time   `json:"trustedAt"`
	LastUsedAt Time   `json:"lastUsedAt"`
	// IPAddress and UserAgent are those of its last use, as the backend tracked them. In
	// the pre-built UI, the browser's own user agent takes the place of one that the
	// backend did not send.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// TrustBrowserResponse answers POST /client/trusted-browsers.
type TrustBrowserResponse struct {
	// ExpiresAt is when the trust ends for the action.
	ExpiresAt Time `json:"expiresAt"`
}

// VerifyTrustedBrowserResponse answers POST /client/verify/trusted-browser. A browser
// that is not trusted is an ordinary response, not an error.
type VerifyTrustedBrowserResponse struct {
	IsVerified bool `json:"isVerified"`
	// AccessToken is the token for which validate is valid, with the scopes of the
	// token before it.
	AccessToken string `json:"accessToken,omitempty"`
}
