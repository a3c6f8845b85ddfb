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
	// IPAddress and UserAgent are those of its last use, as the backend tracked them.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}
