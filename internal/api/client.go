package api

// EnrollTOTPResponse answers POST /client/user-authenticators/totp.
type EnrollTOTPResponse struct {
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	UserID              string `json:"userId"`
	// URI is the otpauth:// URI to show as a QR code.
	URI string `json:"uri"`
	// Secret is the same secret in unpadded base32, to type by hand.
	Secret string `json:"secret"`
}

// VerifyTOTPResponse answers POST /client/verify/totp. A refused code is an
// ordinary answer, not an error.
type VerifyTOTPResponse struct {
	IsVerified    bool          `json:"isVerified"`
	FailureReason FailureReason `json:"failureReason,omitempty"`
	// AccessToken is a new token with all scopes; only when IsVerified.
	AccessToken string `json:"accessToken,omitempty"`
	// UserAuthenticator is present only when the code completed an enrollment.
	UserAuthenticator *UserAuthenticator `json:"userAuthenticator,omitempty"`
}
