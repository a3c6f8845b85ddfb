//go:build !js

package api

// Parameters in the query of the pre-built UI's url, beside token and mode.
const (
	// QuerySettings opens the settings.
	QuerySettings = "redirect_to_settings"
	// QueryForceEnrollment starts with an enrollment; SDKs append it.
	QueryForceEnrollment = "force_enrollment"
)

// EnrollTOTPRequest is the body of POST /client/user-authenticators/totp, which may
// also be empty.
type EnrollTOTPRequest struct {
	// Name is what the user calls the authenticator, of at most 64 characters. It is
	// our own addition.
	Name string `json:"name,omitempty"`
}

// EnrollTOTPResponse answers POST /client/user-authenticators/totp.
type EnrollTOTPResponse struct {
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	UserID              string `json:"userId"`
	// URI is the otpauth:// URI to show as a QR code.
	URI string `json:"uri"`
	// Secret is the same secret in unpadded base32, to type by hand.
	Secret string `json:"secret"`
	// Replaced reports whether the same action began an enrollment before,
	// whose secret no longer works. It is our own addition.
	Replaced bool `json:"replaced,omitempty"`
}

// VerifyTOTPResponse answers POST /client/verify/totp. A refused code is an ordinary
// response, not an error.
type VerifyTOTPResponse struct {
	IsVerified    bool          `json:"isVerified"`
	FailureReason FailureReason `json:"failureReason,omitempty"`
	// FailureDetail says more about the refusal of a code that was right. It is our
	// own addition.
	FailureDetail FailureDetail `json:"failureDetail,omitempty"`
	// ClockOffSeconds is by how much the clock of the user's device is off, with
	// DeviceClockIsOff: negative if it is behind. It is our own addition.
	ClockOffSeconds *int `json:"clockOffSeconds,omitempty"`
	// AccessToken is a new token with all scopes; only when IsVerified.
	AccessToken string `json:"accessToken,omitempty"`
	// UserAuthenticator is present only when the code completed an enrollment.
	UserAuthenticator *UserAuthenticator `json:"userAuthenticator,omitempty"`
}

// TokenRequest is the body of POST /client/token.
type TokenRequest struct {
	// Scope holds some of the scopes of the request's token, separated by
	// spaces.
	Scope string `json:"scope"`
}

// TokenResponse answers POST /client/token.
type TokenResponse struct {
	// AccessToken expires when the request's token does.
	AccessToken string `json:"accessToken"`
}

// RemovedResponse answers DELETE /client/user-authenticators/{id}.
type RemovedResponse struct {
	Success bool `json:"success"`
	// AccessToken replaces the request's token, which is void. It has the same
	// scopes and expires at the same time.
	AccessToken string `json:"accessToken"`
}

// An AuthenticatorType is the kind of an authenticator in the client API.
type AuthenticatorType string

// The types of the methods that a user may be enrolled with.
const (
	TypeOTP AuthenticatorType = "OTP" // an authenticator app
	TypeOOB AuthenticatorType = "OOB" // a code or link sent out of band
)

// A ClientUserAuthenticator is an item of GET /client/user-authenticators: a
// verified authenticator, as its user's page may see it.
type ClientUserAuthenticator struct {
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	AuthenticatorType   AuthenticatorType  `json:"authenticatorType"`
	CreatedAt           Time               `json:"createdAt"`
	VerifiedAt          *Time              `json:"verifiedAt,omitempty"`
	LastVerifiedAt      *Time              `json:"lastVerifiedAt,omitempty"`
	IsDefault           bool               `json:"isDefault"`
	// Email and PhoneNumber are masked.
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
	// Name is what the user calls it. It, LastUsedIPAddress and LastUsedUserAgent
	// are our own additions.
	Name string `json:"name,omitempty"`
	// LastUsedIPAddress and LastUsedUserAgent are those of the newest action that it
	// completed.
	LastUsedIPAddress string `json:"lastUsedIpAddress,omitempty"`
	LastUsedUserAgent string `json:"lastUsedUserAgent,omitempty"`
}

// ClientUserAuthenticatorName answers PATCH /client/user-authenticators/{id}.
type ClientUserAuthenticatorName struct {
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	Name                string `json:"name,omitempty"`
}

// A TenantAuthenticator is an item of GET /client/authenticators: a method
// that the tenant has configured.
type TenantAuthenticator struct {
	AuthenticatorID    string             `json:"authenticatorId"`
	VerificationMethod VerificationMethod `json:"verificationMethod"`
	IsActive           bool               `json:"isActive"`
}

// InitResponse answers POST /client/init.
type InitResponse struct {
	ChallengeOptions ChallengeOptions `json:"challengeOptions"`
}

// ChallengeOptions say what a page may challenge its user with.
type ChallengeOptions struct {
	// Token is that of the request.
	Token                     string               `json:"token"`
	DefaultVerificationMethod VerificationMethod   `json:"defaultVerificationMethod,omitempty"`
	VerificationMethods       []VerificationMethod `json:"verificationMethods"`
	User                      ChallengeUser        `json:"user"`
}

// A ChallengeUser holds the masked attributes of a page's user.
type ChallengeUser struct {
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
}
