//go:build !js

package api

// HeaderSignature is the header of a webhook request that carries its
// signatures: t=<unix seconds>,v2=<signature>, one v2 for each webhook secret in
// force, or API secret key if there is none. A signature is the HMAC-SHA256 of
// "<t>.<body>" in base64 without padding.
const HeaderSignature = "X-Signature-V2"

// EventVersion and EventSource are the same in every event.
const (
	EventVersion = 1
	EventSource  = "https://authsignal.com"
)

// The types of webhook events, each with the data of the same name.
const (
	// EventAuthenticatorCreated reports that an enrollment was completed.
	EventAuthenticatorCreated = "authenticator.created"
	// EventAuthenticatorDeleted reports that an authenticator was removed.
	EventAuthenticatorDeleted = "authenticator.deleted"
	// EventAuthenticatorLocked reports that an authenticator accepts no code, because
	// too many were wrong. It and the next event are our own additions.
	EventAuthenticatorLocked = "authenticator.locked"
	// EventAuthenticatorUnlocked reports that an operator or a backend has unlocked an
	// authenticator.
	EventAuthenticatorUnlocked = "authenticator.unlocked"
	// EventAuthenticatorRenamed reports that an authenticator has another name. It is
	// our own addition.
	EventAuthenticatorRenamed = "authenticator.renamed"
	// EventRecoveryCodesCreated reports that recovery codes came into force, in place
	// of those before. This event and the next three are our own additions.
	EventRecoveryCodesCreated = "recovery_codes.created"
	// EventRecoveryCodeUsed reports that a recovery code completed a challenge.
	EventRecoveryCodeUsed = "recovery_code.used"
	// EventRecoveryCodesRunningOut reports that a use of a recovery code has left
	// FewRecoveryCodes. It is sent once for a set of codes.
	EventRecoveryCodesRunningOut = "recovery_codes.running_out"
	// EventRecoveryCodesVoided reports that a user's recovery codes are no longer
	// accepted, and that there are no new ones.
	EventRecoveryCodesVoided = "recovery_codes.voided"
	// EventTrustedBrowserCreated reports that a user trusts a browser. This event and
	// the next are our own additions.
	EventTrustedBrowserCreated = "trusted_browser.created"
	// EventTrustedBrowserCopied reports that the token of a trusted browser was used
	// twice, so that one of the two has a copy. Neither is trusted any more.
	EventTrustedBrowserCopied = "trusted_browser.copied"
	// EventCodesGuessed reports that a hundred codes of a user were wrong within 30
	// days. It is our own addition.
	EventCodesGuessed = "codes.guessed"
	// EventRecoveryLinkIssued reports that the help desk has issued a recovery link for
	// a user. This event and the next two are our own additions.
	EventRecoveryLinkIssued = "recovery_link.issued"
	// EventRecoveryLinkApproved reports that a second operator has approved a recovery
	// link.
	EventRecoveryLinkApproved = "recovery_link.approved"
	// EventRecoveryLinkUsed reports that a user has enrolled an authenticator app by a
	// recovery link.
	EventRecoveryLinkUsed = "recovery_link.used"
	// EventActionVerify asks, after a correct code, whether the action may become
	// CHALLENGE_SUCCEEDED. A status of 200 to 299 within 5 seconds means yes.
	EventActionVerify = "action.verify"
)

// An Event is the envelope of a webhook.
type Event struct {
	Version int `json:"version"`
	// ID is the same each time an event is sent.
	ID       string `json:"id"`
	Source   string `json:"source"`
	Time     Time   `json:"time"`
	TenantID string `json:"tenantId"`
	Type     string `json:"type"`
	Data     any    `json:"data"`
}

// AuthenticatorCreated is the data of EventAuthenticatorCreated.
type AuthenticatorCreated struct {
	UserID              string             `json:"userId"`
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	CreatedAt           Time               `json:"createdAt"`
}

// AuthenticatorDeleted is the data of EventAuthenticatorDeleted.
type AuthenticatorDeleted struct {
	UserID              string             `json:"userId"`
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	CreatedAt           Time               `json:"createdAt"`
	DeletedAt           Time               `json:"deletedAt"`
}

// AuthenticatorLocked is the data of EventAuthenticatorLocked.
type AuthenticatorLocked struct {
	UserID              string `json:"userId"`
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	LockedAt            Time   `json:"lockedAt"`
	// FailuresInARow is the number of codes that were wrong since the last right one.
	FailuresInARow int `json:"failuresInARow"`
	// NeedsUnlock reports whether only an operator can end it; otherwise it ends when
	// the window of attempts has moved on.
	NeedsUnlock bool `json:"needsUnlock"`
}

// AuthenticatorUnlocked is the data of EventAuthenticatorUnlocked.
type AuthenticatorUnlocked struct {
	UserID              string `json:"userId"`
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	UnlockedAt          Time   `json:"unlockedAt"`
}

// AuthenticatorRenamed is the data of EventAuthenticatorRenamed.
type AuthenticatorRenamed struct {
	UserID              string `json:"userId"`
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	Name                string `json:"name"`
	RenamedAt           Time   `json:"renamedAt"`
}

// RecoveryCodesCreated is the data of EventRecoveryCodesCreated.
type RecoveryCodesCreated struct {
	UserID    string `json:"userId"`
	CreatedAt Time   `json:"createdAt"`
}

// RecoveryCodeUsed is the data of EventRecoveryCodeUsed.
type RecoveryCodeUsed struct {
	UserID         string `json:"userId"`
	Action         string `json:"action"`
	IdempotencyKey string `json:"idempotencyKey"`
	UsedAt         Time   `json:"usedAt"`
	// RecoveryCodesLeft is the number of codes that were not used: tell the user
	// to make new ones when it is FewRecoveryCodes or less.
	RecoveryCodesLeft int `json:"recoveryCodesLeft"`
}

// RecoveryCodesRunningOut is the data of EventRecoveryCodesRunningOut.
type RecoveryCodesRunningOut struct {
	UserID            string `json:"userId"`
	RecoveryCodesLeft int    `json:"recoveryCodesLeft"`
	NoticedAt         Time   `json:"noticedAt"`
}

// RecoveryCodesVoided is the data of EventRecoveryCodesVoided.
type RecoveryCodesVoided struct {
	UserID   string `json:"userId"`
	VoidedAt Time   `json:"voidedAt"`
}

// TrustedBrowserCreated is the data of EventTrustedBrowserCreated.
type TrustedBrowserCreated struct {
	UserID    string `json:"userId"`
	BrowserID string `json:"browserId"`
	TrustedAt Time   `json:"trustedAt"`
	// IPAddress and UserAgent are those of the action, as the backend tracked them.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// TrustedBrowserCopied is the data of EventTrustedBrowserCopied.
type TrustedBrowserCopied struct {
	UserID    string `json:"userId"`
	BrowserID string `json:"browserId"`
	NoticedAt Time   `json:"noticedAt"`
	// IPAddress and UserAgent are those of the use that was refused.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	// LastUsedAt, LastIPAddress and LastUserAgent are those of the use before.
	LastUsedAt    Time   `json:"lastUsedAt"`
	LastIPAddress string `json:"lastIpAddress,omitempty"`
	LastUserAgent string `json:"lastUserAgent,omitempty"`
}

// CodesGuessed is the data of EventCodesGuessed.
type CodesGuessed struct {
	UserID string `json:"userId"`
	// WrongCodes is the number of codes of the app and recovery codes that were wrong
	// since Since, whether or not right ones came between them.
	WrongCodes int  `json:"wrongCodes"`
	Since      Time `json:"since"`
	NoticedAt  Time `json:"noticedAt"`
}

// RecoveryLinkIssued is the data of EventRecoveryLinkIssued.
type RecoveryLinkIssued struct {
	UserID         string `json:"userId"`
	RecoveryLinkID string `json:"recoveryLinkId"`
	IssuedAt       Time   `json:"issuedAt"`
	ExpiresAt      Time   `json:"expiresAt"`
	// IssuedBy is the name that was given.
	IssuedBy string `json:"issuedBy,omitempty"`
	// Void names what its use voids.
	Void []RecoveryLinkVoid `json:"void"`
	// NeedsApproval reports whether it does not work until it is approved.
	NeedsApproval bool `json:"needsApproval"`
}

// RecoveryLinkApproved is the data of EventRecoveryLinkApproved.
type RecoveryLinkApproved struct {
	UserID         string `json:"userId"`
	RecoveryLinkID string `json:"recoveryLinkId"`
	ApprovedAt     Time   `json:"approvedAt"`
	// ApprovedBy is the name that was given.
	ApprovedBy string `json:"approvedBy,omitempty"`
}

// RecoveryLinkUsed is the data of EventRecoveryLinkUsed.
type RecoveryLinkUsed struct {
	UserID         string `json:"userId"`
	RecoveryLinkID string `json:"recoveryLinkId"`
	UsedAt         Time   `json:"usedAt"`
	// UserAuthenticatorID is the new authenticator.
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	// Void names what was voided.
	Void []RecoveryLinkVoid `json:"void"`
}

// ActionVerify is the data of EventActionVerify.
type ActionVerify struct {
	UserID         string `json:"userId"`
	Action         string `json:"action"`
	IdempotencyKey string `json:"idempotencyKey"`
	VerifiedAt     Time   `json:"verifiedAt"`
	// State is that of the action after consent: CHALLENGE_SUCCEEDED.
	State               State              `json:"state"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	UserAuthenticatorID string             `json:"userAuthenticatorId,omitempty"`
}
