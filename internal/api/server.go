//go:build !js

package api

import "time"

// A Time is a time in the format of the API: ISO 8601 in UTC with exactly three
// decimals, such as 2024-07-11T22:03:39.037Z.
type Time struct{ time.Time }

// MarshalJSON writes t with milliseconds; time.Time drops trailing zeros.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// ActionHistory is how far back the API lists actions (wire contract, 6.5).
const ActionHistory = 30 * 24 * time.Hour

// Attributes describe an action when it is tracked. All are optional; in JSON
// a null counts as absent. Email, PhoneNumber and Username have at most 256
// characters, RedirectURL 2,048 bytes. Texts about the device are cut at their
// limit and never refused for their length (wire contract, section 11, row 32).
type Attributes struct {
	// IdempotencyKey names this instance of the action: 1 to 256 characters.
	// Tracking it again returns the stored action.
	IdempotencyKey string `json:"idempotencyKey,omitempty"`
	// RedirectURL is where the pre-built UI returns to in redirect mode.
	RedirectURL string `json:"redirectUrl,omitempty"`
	// RedirectToSettings opens the settings of the pre-built UI: the url that
	// track answers then has QuerySettings.
	RedirectToSettings *bool `json:"redirectToSettings,omitempty"`
	// Email, PhoneNumber, Username and Locale are stored with the user; of Locale
	// the first 256 bytes.
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
	Username    string `json:"username,omitempty"`
	Locale      string `json:"locale,omitempty"`
	// IPAddress, UserAgent and DeviceID describe the user's device. IPAddress may
	// have a port, brackets or a zone, and of a list the first address counts;
	// one that is no address counts as absent. Of UserAgent the first 2,048 bytes
	// count, of DeviceID 256.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	DeviceID  string `json:"deviceId,omitempty"`
	// Scope adds rights to the token: Scope values separated by spaces.
	Scope string `json:"scope,omitempty"`
	// DeviceToken is that of a browser that the user trusts. Each use voids it, and
	// the response has the next one. It is our own addition.
	DeviceToken string `json:"deviceToken,omitempty"`
	// Custom holds strings, numbers, booleans and lists of these for rules: at
	// most 256 keys and 64 KiB of JSON. A number of 2^53 or more is refused;
	// send it as a string.
	Custom map[string]any `json:"custom,omitempty"`
}

// TrackResponse answers POST /users/{userId}/actions/{action}.
type TrackResponse struct {
	IdempotencyKey string `json:"idempotencyKey"`
	State          State  `json:"state"`
	// URL opens the pre-built UI. It carries the token in its query.
	URL string `json:"url"`
	// Token is the client token for the browser SDK.
	Token string `json:"token"`
	// IsEnrolled says whether the user has a verified authenticator.
	IsEnrolled                  bool                 `json:"isEnrolled"`
	AllowedVerificationMethods  []VerificationMethod `json:"allowedVerificationMethods"`
	EnrolledVerificationMethods []VerificationMethod `json:"enrolledVerificationMethods"`
	DefaultVerificationMethod   VerificationMethod   `json:"defaultVerificationMethod,omitempty"`
	RuleIDs                     []string             `json:"ruleIds"`
	// DeviceToken is the next token of the browser, if the one of the request was
	// valid. It and IsTrusted are our own additions.
	DeviceToken string `json:"deviceToken,omitempty"`
	// IsTrusted reports whether the state is ALLOW because the browser is trusted.
	IsTrusted bool `json:"isTrusted,omitempty"`
	// EnrollmentRequired reports whether the user had to enroll until
	// EnrollmentDeadline, and has not. Both are our own additions, and absent if the
	// user is enrolled or the action has no EnrollmentPolicy.
	EnrollmentRequired *bool `json:"enrollmentRequired,omitempty"`
	EnrollmentDeadline *Time `json:"enrollmentDeadline,omitempty"`
}

// ValidateRequest is the body of POST /validate.
type ValidateRequest struct {
	// Token is the one that the browser SDK returned; the token of the tracked
	// action is accepted too.
	Token string `json:"token"`
	// UserID and Action, where given, must be those of the token.
	UserID string `json:"userId,omitempty"`
	Action string `json:"action,omitempty"`
	// TrustBrowser asks for the token of a trusted browser, if the action succeeded
	// and its settings have TrustBrowserDays. It is our own addition.
	TrustBrowser bool `json:"trustBrowser,omitempty"`
}

// ValidateResponse answers POST /validate.
type ValidateResponse struct {
	// IsValid is true only when State is CHALLENGE_SUCCEEDED.
	IsValid bool `json:"isValid"`
	// Error says why a token is refused; the other fields are then empty. This
	// is the only response with an "error" key that is not an error.
	Error          string `json:"error,omitempty"`
	State          State  `json:"state,omitempty"`
	StateUpdatedAt *Time  `json:"stateUpdatedAt,omitempty"`
	UserID         string `json:"userId,omitempty"`
	Action         string `json:"action,omitempty"`
	// ActionCode repeats Action under its deprecated name, which older
	// official SDKs read.
	ActionCode         string             `json:"actionCode,omitempty"`
	IdempotencyKey     string             `json:"idempotencyKey,omitempty"`
	VerificationMethod VerificationMethod `json:"verificationMethod,omitempty"`
	// DeviceToken is the token of the browser that is trusted now, to be kept in an
	// HttpOnly cookie until DeviceTokenExpiresAt. Both are our own additions.
	DeviceToken          string `json:"deviceToken,omitempty"`
	DeviceTokenExpiresAt *Time  `json:"deviceTokenExpiresAt,omitempty"`
}

// Action answers GET /users/{userId}/actions/{action}/{idempotencyKey}.
type Action struct {
	State              State              `json:"state"`
	CreatedAt          Time               `json:"createdAt"`
	StateUpdatedAt     Time               `json:"stateUpdatedAt"`
	VerificationMethod VerificationMethod `json:"verificationMethod,omitempty"`
	RuleIDs            []string           `json:"ruleIds"`
	Rules              []Rule             `json:"rules"`
	// PriorityRuleID is the rule that decided; absent if the default did.
	PriorityRuleID string `json:"priorityRuleId,omitempty"`
	// Output is never null: the official Go and Python suites require it.
	Output ActionOutput `json:"output"`
}

// UpdateActionRequest is the body of PATCH
// /users/{userId}/actions/{action}/{idempotencyKey}.
type UpdateActionRequest struct {
	State State `json:"state"`
}

// A ListedAction is an item of GET /users/{userId}/actions.
type ListedAction struct {
	ActionCode     string `json:"actionCode"`
	IdempotencyKey string `json:"idempotencyKey"`
	CreatedAt      Time   `json:"createdAt"`
	UpdatedAt      Time   `json:"updatedAt"`
	State          State  `json:"state"`
	StateUpdatedAt Time   `json:"stateUpdatedAt"`
	// VerificationMethod and VerifiedByAuthenticatorID say what completed
	// the challenge.
	VerificationMethod        VerificationMethod `json:"verificationMethod,omitempty"`
	VerifiedByAuthenticatorID string             `json:"verifiedByAuthenticatorId,omitempty"`
	UserAgent                 string             `json:"userAgent,omitempty"`
	IPAddress                 string             `json:"ipAddress,omitempty"`
}

// A Rule is a rule that matched an action.
type Rule struct {
	RuleID      string `json:"ruleId"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// ActionOutput is the output of an action's rules.
type ActionOutput struct {
	Custom map[string]any `json:"custom"`
}

// User answers GET /users/{userId}. An unknown user is not enrolled, and no error.
type User struct {
	UserID                      string               `json:"userId"`
	IsEnrolled                  bool                 `json:"isEnrolled"`
	Email                       string               `json:"email,omitempty"`
	EmailVerified               bool                 `json:"emailVerified"`
	PhoneNumber                 string               `json:"phoneNumber,omitempty"`
	PhoneNumberVerified         bool                 `json:"phoneNumberVerified"`
	Username                    string               `json:"username,omitempty"`
	DisplayName                 string               `json:"displayName,omitempty"`
	Locale                      string               `json:"locale,omitempty"`
	AllowedVerificationMethods  []VerificationMethod `json:"allowedVerificationMethods"`
	EnrolledVerificationMethods []VerificationMethod `json:"enrolledVerificationMethods"`
	DefaultVerificationMethod   VerificationMethod   `json:"defaultVerificationMethod,omitempty"`
	Custom                      map[string]any       `json:"custom,omitempty"`
}

// UserAttributes is the body of PATCH /users/{userId}. A nil attribute is omitted
// and does not change; an empty text or, in JSON, a null clears it. Custom replaces
// the whole object; an empty one clears it.
type UserAttributes struct {
	// Email, PhoneNumber and Username have at most 256 characters, DisplayName
	// 2,048 bytes, Locale 256 bytes.
	Email               *string `json:"email,omitempty"`
	EmailVerified       *bool   `json:"emailVerified,omitempty"`
	PhoneNumber         *string `json:"phoneNumber,omitempty"`
	PhoneNumberVerified *bool   `json:"phoneNumberVerified,omitempty"`
	Username            *string `json:"username,omitempty"`
	DisplayName         *string `json:"displayName,omitempty"`
	Locale              *string `json:"locale,omitempty"`
	// DefaultVerificationMethod is the one that the user prefers. It applies as
	// long as the user is enrolled with it.
	DefaultVerificationMethod *VerificationMethod `json:"defaultVerificationMethod,omitempty"`
	// Custom holds the same as that of Attributes.
	Custom map[string]any `json:"custom,omitzero"`
}

// UpdatedUser answers PATCH /users/{userId}: all attributes as they are now.
type UpdatedUser struct {
	UserID                    string             `json:"userId"`
	Email                     string             `json:"email,omitempty"`
	EmailVerified             bool               `json:"emailVerified"`
	PhoneNumber               string             `json:"phoneNumber,omitempty"`
	PhoneNumberVerified       bool               `json:"phoneNumberVerified"`
	Username                  string             `json:"username,omitempty"`
	DisplayName               string             `json:"displayName,omitempty"`
	Locale                    string             `json:"locale,omitempty"`
	DefaultVerificationMethod VerificationMethod `json:"defaultVerificationMethod,omitempty"`
	Custom                    map[string]any     `json:"custom,omitempty"`
}

// QueryUsersResponse answers GET /users.
type QueryUsersResponse struct {
	// Users are sorted by their ids.
	Users []ListedUser `json:"users"`
	// LastEvaluatedUserID is set if there are more users; a query with it returns
	// those after it.
	LastEvaluatedUserID string `json:"lastEvaluatedUserId,omitempty"`
}

// A ListedUser is an item of QueryUsersResponse.
type ListedUser struct {
	UserID                      string               `json:"userId"`
	Email                       string               `json:"email,omitempty"`
	EmailVerified               bool                 `json:"emailVerified"`
	PhoneNumber                 string               `json:"phoneNumber,omitempty"`
	PhoneNumberVerified         bool                 `json:"phoneNumberVerified"`
	Username                    string               `json:"username,omitempty"`
	DisplayName                 string               `json:"displayName,omitempty"`
	IsEnrolled                  bool                 `json:"isEnrolled"`
	EnrolledVerificationMethods []VerificationMethod `json:"enrolledVerificationMethods"`
	CreatedAt                   Time                 `json:"createdAt"`
}

// EnrollVerifiedRequest is the body of POST /users/{userId}/authenticators.
type EnrollVerifiedRequest struct {
	VerificationMethod VerificationMethod `json:"verificationMethod"`
	// OTPURI is the otpauth:// URI of an AUTHENTICATOR_APP.
	OTPURI string `json:"otpUri,omitempty"`
	// PhoneNumber is that of SMS and WHATSAPP, Email that of EMAIL_OTP and
	// EMAIL_MAGIC_LINK.
	PhoneNumber string `json:"phoneNumber,omitempty"`
	Email       string `json:"email,omitempty"`
	// IsDefault makes it the user's default.
	IsDefault bool `json:"isDefault,omitempty"`
	// Name is what the user calls it, of at most 64 characters. It is our own
	// addition.
	Name string `json:"name,omitempty"`
	// RecoveryCodes asks for recovery codes in the response, in force at once in place
	// of those before. It is our own addition.
	RecoveryCodes bool `json:"recoveryCodes,omitempty"`
}

// EnrollVerifiedResponse answers POST /users/{userId}/authenticators.
type EnrollVerifiedResponse struct {
	Authenticator UserAuthenticator `json:"authenticator"`
	RecoveryCodes []string          `json:"recoveryCodes,omitempty"`
}

// A UserAuthenticator is a verified authenticator of a user.
type UserAuthenticator struct {
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	UserID              string             `json:"userId,omitempty"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	CreatedAt           Time               `json:"createdAt"`
	VerifiedAt          *Time              `json:"verifiedAt,omitempty"`
	LastVerifiedAt      *Time              `json:"lastVerifiedAt,omitempty"`
	IsDefault           bool               `json:"isDefault"`
	Email               string             `json:"email,omitempty"`
	PhoneNumber         string             `json:"phoneNumber,omitempty"`
	// Name is what the user calls it. It, LastUsedIPAddress and LastUsedUserAgent
	// are our own additions.
	Name string `json:"name,omitempty"`
	// LastUsedIPAddress and LastUsedUserAgent are those of the newest action that it
	// completed; only in lists.
	LastUsedIPAddress string `json:"lastUsedIpAddress,omitempty"`
	LastUsedUserAgent string `json:"lastUsedUserAgent,omitempty"`
}

// RenameRequest is the body of PATCH /users/{userId}/authenticators/{id} and of PATCH
// /client/user-authenticators/{id}. It is our own addition.
type RenameRequest struct {
	// Name has at most 64 characters; an empty one removes the name.
	Name *string `json:"name"`
}

// Success answers a deletion.
type Success struct {
	Success bool `json:"success"`
}
