//go:build !js

package api

// All of this file is our own addition.

// The life of a recovery link in seconds: unless given, and at least and at most.
const (
	DefaultRecoveryLinkLife = 3600
	MinRecoveryLinkLife     = 60
	MaxRecoveryLinkLife     = 24 * 3600
)

// QueryRecovery is the parameter of the pre-built UI's url that has the secret of a
// recovery link.
const QueryRecovery = "recovery"

// Paths of the pre-built UI for the holder of a recovery link, relative to the base
// URL. They take the secret of the link in the body, and no token.
const (
	PathRecoveryEnroll = "/recovery/enroll"
	PathRecoveryVerify = "/recovery/verify"
)

// A RecoveryLinkVoid names what the use of a recovery link voids.
type RecoveryLinkVoid string

// What a recovery link may void.
const (
	// VoidAuthenticators removes all other authenticators of the user.
	VoidAuthenticators RecoveryLinkVoid = "authenticators"
	// VoidRecoveryCodes voids the user's recovery codes.
	VoidRecoveryCodes RecoveryLinkVoid = "recoveryCodes"
)

// A RecoveryLinkState is the state of a recovery link.
type RecoveryLinkState string

// The states of a recovery link.
const (
	// LinkPending: it does not work until it is approved.
	LinkPending RecoveryLinkState = "PENDING_APPROVAL"
	LinkActive  RecoveryLinkState = "ACTIVE"
	LinkUsed    RecoveryLinkState = "USED"
	LinkExpired RecoveryLinkState = "EXPIRED"
)

// IssueRecoveryLinkRequest is the body of POST /users/{userId}/recovery-links, which
// may also be empty.
type IssueRecoveryLinkRequest struct {
	// ExpiresInSeconds is MinRecoveryLinkLife to MaxRecoveryLinkLife.
	ExpiresInSeconds *int64             `json:"expiresInSeconds,omitempty"`
	Void             []RecoveryLinkVoid `json:"void,omitempty"`
	// IssuedBy is the name of the person at the help desk, for the audit log.
	IssuedBy string `json:"issuedBy,omitempty"`
}

// ApproveRecoveryLinkRequest is the body of POST
// /users/{userId}/recovery-links/{id}/approve.
type ApproveRecoveryLinkRequest struct {
	// ApprovedBy is the name of the person who approves it, for the audit log. It must
	// differ from IssuedBy of the link.
	ApprovedBy string `json:"approvedBy"`
}

// A RecoveryLink is a recovery link of a user.
type RecoveryLink struct {
	RecoveryLinkID string            `json:"recoveryLinkId"`
	UserID         string            `json:"userId"`
	State          RecoveryLinkState `json:"state"`
	// URL is the link; only in the answer to the request that issues it.
	URL  string             `json:"url,omitempty"`
	Void []RecoveryLinkVoid `json:"void"`
	// IssuedBy and ApprovedBy are the names that were given.
	IssuedBy   string `json:"issuedBy,omitempty"`
	ApprovedBy string `json:"approvedBy,omitempty"`
	CreatedAt  Time   `json:"createdAt"`
	ExpiresAt  Time   `json:"expiresAt"`
	ApprovedAt *Time  `json:"approvedAt,omitempty"`
	UsedAt     *Time  `json:"usedAt,omitempty"`
}

// RecoveryLinkSettings are the settings of a tenant for recovery links.
type RecoveryLinkSettings struct {
	// Approval makes a link wait for a second operator.
	Approval bool `json:"approval"`
}

// RecoveryEnrollRequest is the body of POST /recovery/enroll.
type RecoveryEnrollRequest struct {
	Secret string `json:"secret"`
	// Name is what the user calls the new authenticator, of at most 64 characters.
	Name string `json:"name,omitempty"`
}

// RecoveryVerifyRequest is the body of POST /recovery/verify.
type RecoveryVerifyRequest struct {
	Secret           string `json:"secret"`
	VerificationCode string `json:"verificationCode"`
}
