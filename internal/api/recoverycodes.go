//go:build !js

package api

// All of this file is our own addition: the routes and shapes of the hosted
// service's recovery codes are not public.

// FewRecoveryCodes is the number of codes left at which a user is warned.
const FewRecoveryCodes = 2

// RecoveryCodesResponse answers POST /client/recovery-codes and POST
// /users/{userId}/recovery-codes. The codes are in no other response.
type RecoveryCodesResponse struct {
	// RecoveryCodes are ten codes of three groups of four letters and digits,
	// such as 7KQF-2MXR-9TBA.
	RecoveryCodes []string `json:"recoveryCodes"`
	CreatedAt     Time     `json:"createdAt"`
}

// ConfirmRecoveryCodesRequest is the body of POST /client/recovery-codes/confirm:
// one of the new codes, which is not used up, or Saved.
type ConfirmRecoveryCodesRequest struct {
	RecoveryCode string `json:"recoveryCode,omitempty"`
	// Saved is the user's word for having kept the codes.
	Saved bool `json:"saved,omitempty"`
}

// ConfirmRecoveryCodesResponse answers POST /client/recovery-codes/confirm.
type ConfirmRecoveryCodesResponse struct {
	// IsConfirmed reports whether the new codes are in force, and those before
	// void. It is false if the code is not one of the new ones.
	IsConfirmed bool `json:"isConfirmed"`
}

// RecoveryCodesStatus answers GET /client/recovery-codes and GET
// /users/{userId}/recovery-codes.
type RecoveryCodesStatus struct {
	// Total is the number of codes in force when they were made, Left of those
	// that were not used. Both are 0 if no codes are in force.
	Total int `json:"total"`
	Left  int `json:"left"`
	// ConfirmedAt is when they came into force.
	ConfirmedAt *Time `json:"confirmedAt,omitempty"`
	// IsPending reports whether there are codes that the user has not confirmed.
	IsPending bool `json:"isPending"`
	// IsDisabled reports whether the tenant allows no recovery codes: none are made or
	// accepted.
	IsDisabled bool `json:"isDisabled,omitempty"`
}

// VerifyRecoveryCodeRequest is the body of POST /client/verify/recovery-code.
// Spaces, hyphens and case do not matter.
type VerifyRecoveryCodeRequest struct {
	RecoveryCode *string `json:"recoveryCode"`
}

// VerifyRecoveryCodeResponse answers POST /client/verify/recovery-code. A refused
// code is an ordinary response, not an error.
type VerifyRecoveryCodeResponse struct {
	IsVerified    bool          `json:"isVerified"`
	FailureReason FailureReason `json:"failureReason,omitempty"`
	// AccessToken is a new token with all scopes; only when IsVerified.
	AccessToken string `json:"accessToken,omitempty"`
	// RecoveryCodesLeft is the number of codes that were not used; only when
	// IsVerified.
	RecoveryCodesLeft *int `json:"recoveryCodesLeft,omitempty"`
}
