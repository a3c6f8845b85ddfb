// Package api holds the words of the wire: paths, headers, codes, and the
// shapes of requests and answers, with checks of names and settings that the
// management API documents. It imports no codec, and the files that the browser
// module links import nothing, so that the module stays small. The server and
// both SDKs share it.
//
// Its source is the public Authsignal API for authenticator-app (TOTP) MFA.
package api

// A State is the state of an action.
type State string

// The states of an action.
const (
	StateAllow              State = "ALLOW"
	StateBlock              State = "BLOCK"
	StateChallengeRequired  State = "CHALLENGE_REQUIRED"
	StateChallengeSucceeded State = "CHALLENGE_SUCCEEDED"
	StateChallengeFailed    State = "CHALLENGE_FAILED"
	StateReviewRequired     State = "REVIEW_REQUIRED"
	StateReviewSucceeded    State = "REVIEW_SUCCEEDED"
	StateReviewFailed       State = "REVIEW_FAILED"
)

// States are all states of an action.
var States = []State{
	StateAllow, StateBlock, StateChallengeRequired, StateChallengeSucceeded, StateChallengeFailed,
	StateReviewRequired, StateReviewSucceeded, StateReviewFailed,
}

// An Outcome is the decision of an action's rules when it is tracked. It never
// changes; the state does.
type Outcome string

// The outcomes.
const (
	OutcomeAllow     Outcome = "ALLOW"
	OutcomeChallenge Outcome = "CHALLENGE"
	OutcomeReview    Outcome = "REVIEW"
	OutcomeBlock     Outcome = "BLOCK"
)

// A VerificationMethod names a way to prove an identity.
type VerificationMethod string

// The verification methods that a user may be enrolled with. AuthenticatorApp
// is the only one that this project challenges; the others are kept for
// backends that challenge them.
const (
	AuthenticatorApp VerificationMethod = "AUTHENTICATOR_APP"
	SMS              VerificationMethod = "SMS"
	WhatsApp         VerificationMethod = "WHATSAPP"
	EmailOTP         VerificationMethod = "EMAIL_OTP"
	EmailMagicLink   VerificationMethod = "EMAIL_MAGIC_LINK"
)

// RecoveryCode is the method of a challenge that a recovery code has completed. It
// is our own addition, and no user is enrolled with it.
const RecoveryCode VerificationMethod = "RECOVERY_CODE"

// ByTrustedBrowser is the method of a challenge that was completed because the user
// trusts the browser. It is our own addition, and no user is enrolled with it.
const ByTrustedBrowser VerificationMethod = "TRUSTED_BROWSER"

// A FailureReason says why a code was refused.
type FailureReason string

// The two reasons for isVerified: false.
const (
	CodeInvalidOrExpired FailureReason = "CODE_INVALID_OR_EXPIRED"
	MaxAttemptsExceeded  FailureReason = "MAX_ATTEMPTS_EXCEEDED"
)

// A FailureDetail says why a code was refused that is right, or was at another time.
type FailureDetail string

const (
	// ServerClockWasAhead means that an earlier code was accepted while the clock of a
	// server was ahead: codes are refused until that time, or until an operator
	// unlocks the authenticator.
	ServerClockWasAhead FailureDetail = "SERVER_CLOCK_WAS_AHEAD"
	// DeviceClockIsOff means that this code and the refused one before it, of another
	// step, are right for a clock that is off by the same time.
	DeviceClockIsOff FailureDetail = "DEVICE_CLOCK_IS_OFF"
)

// Scopes of a client token, sent as one space-separated string.
const (
	ScopeRead   = "read:authenticators"
	ScopeAdd    = "add:authenticators"
	ScopeUpdate = "update:authenticators"
	ScopeRemove = "remove:authenticators"
)

// Error codes that the API sends in both "error" and "errorCode".
const (
	CodeUnauthorized    = "unauthorized"
	CodeInvalidRequest  = "invalid_request"
	CodeExpiredToken    = "expired_token"
	CodeTooManyRequests = "too_many_requests"
	CodeNotFound        = "not_found"
	CodeInternalError   = "internal_error"
	// CodeInvalidConfiguration: the tenant lacks a setting.
	CodeInvalidConfiguration = "invalid_configuration"
	// CodeAuthenticatorNotFound: the tenant has no active authenticator.
	CodeAuthenticatorNotFound = "AUTHENTICATOR_NOT_FOUND"
)

// Error codes that an SDK creates itself; no server sends them.
const (
	CodeTokenNotSet     = "token_not_set"
	CodeNetworkError    = "network_error"
	CodeTimeout         = "timeout"
	CodeAborted         = "aborted"
	CodeInvalidResponse = "invalid_response"
	CodeSDKCrashed      = "sdk_crashed"
)

// Paths of the client API, relative to the base URL, which ends in /v1.
const (
	PathClientEnrollTOTP         = "/client/user-authenticators/totp"
	PathClientVerifyTOTP         = "/client/verify/totp"
	PathClientUserAuthenticators = "/client/user-authenticators"
	PathClientAuthenticators     = "/client/authenticators"
	PathClientInit               = "/client/init"
	PathClientToken              = "/client/token"

	// Our own additions.
	PathClientRecoveryCodes        = "/client/recovery-codes"
	PathClientConfirmRecoveryCodes = "/client/recovery-codes/confirm"
	PathClientVerifyRecoveryCode   = "/client/verify/recovery-code"
	PathClientTrustedBrowsers      = "/client/trusted-browsers"
	PathClientVerifyTrustedBrowser = "/client/verify/trusted-browser"
)

// DescriptionUnauthorized is the exact text for a bad API secret; the suites
// of the official SDKs compare it.
const DescriptionUnauthorized = "The request is unauthorized. Check that your API key and region base URL are correctly configured."

// An Error is an error response of the API. The server writes it; both SDKs read
// it. Inspect it with errors.As.
type Error struct {
	// Status is the HTTP status, 400 to 599; 0 if no response arrived.
	Status int
	// Code is the stable machine code, such as "invalid_request".
	Code string
	// Description is a sentence for the developer. It never holds a secret,
	// a code or a token.
	Description string
}

// Error returns the code and the description.
func (e *Error) Error() string {
	if e.Description == "" {
		return e.Code
	}
	return e.Code + ": " + e.Description
}

// InvalidRequest returns the error for a wrong input: 400.
func InvalidRequest(description string) *Error {
	return &Error{Status: 400, Code: CodeInvalidRequest, Description: description}
}

// Unauthorized returns the error for a missing or void key or token: 401.
func Unauthorized(description string) *Error {
	return &Error{Status: 401, Code: CodeUnauthorized, Description: description}
}

// Forbidden returns the error for a missing right: 403, with a documented code.
func Forbidden(description string) *Error {
	return &Error{Status: 403, Code: CodeUnauthorized, Description: description}
}

// NotFound returns the error for something that does not exist: 404.
func NotFound(description string) *Error {
	return &Error{Status: 404, Code: CodeNotFound, Description: description}
}

// ErrorBody is the JSON of an Error. Both keys carry the same code, because
// the official SDKs disagree on which of them to read.
type ErrorBody struct {
	Error            string `json:"error"`
	ErrorCode        string `json:"errorCode"`
	ErrorDescription string `json:"errorDescription"`
}
