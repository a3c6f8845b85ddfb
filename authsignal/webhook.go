package authsignal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// WebhookSignatureHeader is the HTTP header of a webhook request with the
// signature for VerifyWebhook.
const WebhookSignatureHeader = api.HeaderSignature

// DefaultWebhookTolerance is the recommended maximum age of a webhook's signature.
const DefaultWebhookTolerance = 5 * time.Minute

// The errors of VerifyWebhook. Inspect them with errors.Is. None of them contains
// the secret, a signature or the payload.
var (
	// ErrWebhookSignatureFormat reports a header that is missing or malformed.
	ErrWebhookSignatureFormat = errors.New("the signature header does not have the form t=<unix seconds>,v2=<signature>")
	// ErrWebhookSignatureMismatch reports that the payload was not signed with
	// this key, or was changed afterwards. Verify the raw body, byte for byte,
	// not a body that was decoded and encoded again.
	ErrWebhookSignatureMismatch = errors.New("no signature matches the payload and the key")
	// ErrWebhookTooOld reports a valid signature that is older than the
	// tolerance: the webhook was delayed or replayed, or a clock is wrong.
	ErrWebhookTooOld = errors.New("the signature is older than the tolerance")
	// ErrWebhookPayload reports a signed payload that is not an event of version
	// 1.
	ErrWebhookPayload = errors.New("the payload is not an event of version 1")
)

// The types of events.
const (
	EventAuthenticatorCreated    = api.EventAuthenticatorCreated
	EventAuthenticatorDeleted    = api.EventAuthenticatorDeleted
	EventAuthenticatorLocked     = api.EventAuthenticatorLocked
	EventAuthenticatorUnlocked   = api.EventAuthenticatorUnlocked
	EventAuthenticatorRenamed    = api.EventAuthenticatorRenamed
	EventRecoveryCodesCreated    = api.EventRecoveryCodesCreated
	EventRecoveryCodeUsed        = api.EventRecoveryCodeUsed
	EventRecoveryCodesRunningOut = api.EventRecoveryCodesRunningOut
	EventRecoveryCodesVoided     = api.EventRecoveryCodesVoided
	EventTrustedBrowserCreated   = api.EventTrustedBrowserCreated
	EventTrustedBrowserCopied    = api.EventTrustedBrowserCopied
	EventCodesGuessed            = api.EventCodesGuessed
	EventRecoveryLinkIssued      = api.EventRecoveryLinkIssued
	EventRecoveryLinkApproved    = api.EventRecoveryLinkApproved
	EventRecoveryLinkUsed        = api.EventRecoveryLinkUsed
	EventActionVerify            = api.EventActionVerify
)

// AuthenticatorCreated is the data of EventAuthenticatorCreated: a user completed an
// enrollment.
type AuthenticatorCreated struct {
	UserID              string             `json:"userId"`
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	CreatedAt           time.Time          `json:"createdAt"`
}

// AuthenticatorDeleted is the data of EventAuthenticatorDeleted: an authenticator was
// removed.
type AuthenticatorDeleted struct {
	UserID              string             `json:"userId"`
	UserAuthenticatorID string             `json:"userAuthenticatorId"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	CreatedAt           time.Time          `json:"createdAt"`
	DeletedAt           time.Time          `json:"deletedAt"`
}

// AuthenticatorLocked is the data of EventAuthenticatorLocked: an authenticator accepts
// no code, because too many were wrong. If it was not the user, somebody else knows
// the first factor.
type AuthenticatorLocked struct {
	UserID              string    `json:"userId"`
	UserAuthenticatorID string    `json:"userAuthenticatorId"`
	LockedAt            time.Time `json:"lockedAt"`
	// FailuresInARow is the number of codes that were wrong since the last right one.
	FailuresInARow int `json:"failuresInARow"`
	// NeedsUnlock reports whether only an operator can end it; otherwise it ends when
	// the window of attempts has moved on.
	NeedsUnlock bool `json:"needsUnlock"`
}

// AuthenticatorUnlocked is the data of EventAuthenticatorUnlocked: an operator or a
// backend has unlocked an authenticator.
type AuthenticatorUnlocked struct {
	UserID              string    `json:"userId"`
	UserAuthenticatorID string    `json:"userAuthenticatorId"`
	UnlockedAt          time.Time `json:"unlockedAt"`
}

// AuthenticatorRenamed is the data of EventAuthenticatorRenamed: an authenticator has
// another name.
type AuthenticatorRenamed struct {
	UserID              string    `json:"userId"`
	UserAuthenticatorID string    `json:"userAuthenticatorId"`
	Name                string    `json:"name"`
	RenamedAt           time.Time `json:"renamedAt"`
}

// RecoveryCodesCreated is the data of EventRecoveryCodesCreated: recovery codes came
// into force, in place of those before.
type RecoveryCodesCreated struct {
	UserID    string    `json:"userId"`
	CreatedAt time.Time `json:"createdAt"`
}

// RecoveryCodeUsed is the data of EventRecoveryCodeUsed: a recovery code completed a
// challenge.
type RecoveryCodeUsed struct {
	UserID         string    `json:"userId"`
	Action         string    `json:"action"`
	IdempotencyKey string    `json:"idempotencyKey"`
	UsedAt         time.Time `json:"usedAt"`
	// RecoveryCodesLeft is the number of codes that were not used: tell the user
	// to make new ones when it is FewRecoveryCodes or less.
	RecoveryCodesLeft int `json:"recoveryCodesLeft"`
}

// RecoveryCodesRunningOut is the data of EventRecoveryCodesRunningOut: a use of a
// recovery code has left FewRecoveryCodes, so the user should make new ones. It is
// sent once for a set of codes.
type RecoveryCodesRunningOut struct {
	UserID            string    `json:"userId"`
	RecoveryCodesLeft int       `json:"recoveryCodesLeft"`
	NoticedAt         time.Time `json:"noticedAt"`
}

// RecoveryCodesVoided is the data of EventRecoveryCodesVoided: a user's recovery
// codes are no longer accepted, and there are no new ones.
type RecoveryCodesVoided struct {
	UserID   string    `json:"userId"`
	VoidedAt time.Time `json:"voidedAt"`
}

// TrustedBrowserCreated is the data of EventTrustedBrowserCreated: a user trusts a
// browser.
type TrustedBrowserCreated struct {
	UserID    string    `json:"userId"`
	BrowserID string    `json:"browserId"`
	TrustedAt time.Time `json:"trustedAt"`
	// IPAddress and UserAgent are those of the action, as the backend tracked them.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// TrustedBrowserCopied is the data of EventTrustedBrowserCopied: the token of a trusted
// browser was used twice, so that one of the two has a copy. Neither is trusted any
// more. Tell the user.
type TrustedBrowserCopied struct {
	UserID    string    `json:"userId"`
	BrowserID string    `json:"browserId"`
	NoticedAt time.Time `json:"noticedAt"`
	// IPAddress and UserAgent are those of the use that was refused.
	IPAddress string `json:"ipAddress,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	// LastUsedAt, LastIPAddress and LastUserAgent are those of the use before.
	LastUsedAt    time.Time `json:"lastUsedAt"`
	LastIPAddress string    `json:"lastIpAddress,omitempty"`
	LastUserAgent string    `json:"lastUserAgent,omitempty"`
}

// CodesGuessed is the data of EventCodesGuessed: a hundred codes of a user were wrong
// within 30 days. If it was not the user, another person knows the first factor: tell
// the user to change the password.
type CodesGuessed struct {
	UserID string `json:"userId"`
	// WrongCodes is the number of codes of the app and recovery codes that were wrong
	// since Since, whether or not right ones came between them.
	WrongCodes int       `json:"wrongCodes"`
	Since      time.Time `json:"since"`
	NoticedAt  time.Time `json:"noticedAt"`
}

// RecoveryLinkIssued is the data of EventRecoveryLinkIssued: the help desk has issued a
// recovery link for a user. Tell the user.
type RecoveryLinkIssued struct {
	UserID         string    `json:"userId"`
	RecoveryLinkID string    `json:"recoveryLinkId"`
	IssuedAt       time.Time `json:"issuedAt"`
	ExpiresAt      time.Time `json:"expiresAt"`
	// IssuedBy is the name that was given.
	IssuedBy string `json:"issuedBy,omitempty"`
	// Void names what its use voids.
	Void []RecoveryLinkVoid `json:"void"`
	// NeedsApproval reports whether it does not work until it is approved.
	NeedsApproval bool `json:"needsApproval"`
}

// RecoveryLinkApproved is the data of EventRecoveryLinkApproved: a second operator has
// approved a recovery link, which works from then on.
type RecoveryLinkApproved struct {
	UserID         string    `json:"userId"`
	RecoveryLinkID string    `json:"recoveryLinkId"`
	ApprovedAt     time.Time `json:"approvedAt"`
	// ApprovedBy is the name that was given.
	ApprovedBy string `json:"approvedBy,omitempty"`
}

// RecoveryLinkUsed is the data of EventRecoveryLinkUsed: an authenticator app was
// enrolled by a recovery link. Tell the user.
type RecoveryLinkUsed struct {
	UserID         string    `json:"userId"`
	RecoveryLinkID string    `json:"recoveryLinkId"`
	UsedAt         time.Time `json:"usedAt"`
	// UserAuthenticatorID is the new authenticator.
	UserAuthenticatorID string `json:"userAuthenticatorId"`
	// Void names what was voided.
	Void []RecoveryLinkVoid `json:"void"`
}

// ActionVerify is the data of EventActionVerify, which asks whether an action may
// become CHALLENGE_SUCCEEDED: the code was right, and the server waits up to 5
// seconds for the answer. A status of 200 to 299 consents; any other leaves the
// action unchanged. The event does not prove success, and an action may have
// several: only ValidateChallenge reports whether it succeeded.
type ActionVerify struct {
	UserID         string    `json:"userId"`
	Action         string    `json:"action"`
	IdempotencyKey string    `json:"idempotencyKey"`
	VerifiedAt     time.Time `json:"verifiedAt"`
	// State is that of the action after consent: CHALLENGE_SUCCEEDED.
	State               State              `json:"state"`
	VerificationMethod  VerificationMethod `json:"verificationMethod"`
	UserAuthenticatorID string             `json:"userAuthenticatorId,omitempty"`
}

// An Event is a verified webhook.
type Event struct {
	// Type is one of the Event constants, or one that this package does not
	// know.
	Type string
	// ID identifies the event. An event may arrive more than once, with the same
	// ID.
	ID string
	// Source is the URL of the service that sent the event.
	Source string
	// Time is the time of the event. Events may arrive in another order.
	Time     time.Time
	TenantID string
	// Data is an AuthenticatorCreated or another of the types above, according to
	// Type; for an unknown type it is a json.RawMessage.
	Data any
}

// VerifyWebhook checks that a webhook comes from the server that shares the
// client's key, and decodes it. The key is an API secret key, or the tenant's webhook
// secret if there is one: New(webhookSecret, ""). The payload is the raw request body,
// the signature the value of its WebhookSignatureHeader. It sends no request.
//
// A signature older than the tolerance is refused, so that a recorded webhook
// cannot be replayed later; 0 or less allows any age. Within the tolerance the same
// event may arrive again: if that matters, keep Event.ID for that time.
func (c *Client) VerifyWebhook(payload []byte, signature string, tolerance time.Duration) (Event, error) {
	e, err := verifyWebhook(c.secret, payload, signature, tolerance, time.Now())
	if err != nil {
		return Event{}, fmt.Errorf("authsignal: verify webhook: %w", err)
	}
	return e, nil
}

func verifyWebhook(secret string, payload []byte, signature string, tolerance time.Duration, now time.Time) (Event, error) {
	// Anyone can sign with an empty key.
	if secret == "" {
		return Event{}, errors.New("the client has no API secret key")
	}
	at, signatures, err := parseSignature(signature)
	if err != nil {
		return Event{}, err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(strconv.FormatInt(at, 10) + "."))
	mac.Write(payload)
	want := []byte(base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	matches := false
	for _, s := range signatures {
		if hmac.Equal([]byte(s), want) {
			matches = true
		}
	}
	if !matches {
		return Event{}, ErrWebhookSignatureMismatch
	}
	if tolerance > 0 && time.Unix(at, 0).Before(now.Add(-tolerance)) {
		return Event{}, ErrWebhookTooOld
	}
	return parseEvent(payload)
}

// parseSignature reads t=<unix seconds>,v2=<signature>[,v2=<signature>...].
// Parts with other names are ignored, for future versions.
func parseSignature(header string) (at int64, signatures []string, err error) {
	at = -1
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 || at >= 0 {
				return 0, nil, ErrWebhookSignatureFormat
			}
			at = n
		case "v2":
			signatures = append(signatures, value)
		}
	}
	if at < 0 || len(signatures) == 0 {
		return 0, nil, ErrWebhookSignatureFormat
	}
	return at, signatures, nil
}

func parseEvent(payload []byte) (Event, error) {
	var in struct {
		Version  int             `json:"version"`
		ID       string          `json:"id"`
		Source   string          `json:"source"`
		Time     time.Time       `json:"time"`
		TenantID string          `json:"tenantId"`
		Type     string          `json:"type"`
		Data     json.RawMessage `json:"data"`
	}
	// The decoder's errors may quote the payload.
	if json.Unmarshal(payload, &in) != nil || in.Version != api.EventVersion {
		return Event{}, ErrWebhookPayload
	}
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"id", in.ID == ""}, {"source", in.Source == ""}, {"time", in.Time.IsZero()}, {"tenantId", in.TenantID == ""},
		{"type", in.Type == ""}, {"data", len(in.Data) == 0 || string(in.Data) == "null"},
	} {
		if field.missing {
			return Event{}, fmt.Errorf("%w: %s is missing", ErrWebhookPayload, field.name)
		}
	}
	e := Event{Type: in.Type, ID: in.ID, Source: in.Source, Time: in.Time, TenantID: in.TenantID}
	var err error
	switch in.Type {
	case EventAuthenticatorCreated:
		e.Data, err = decode[AuthenticatorCreated](in.Data)
	case EventAuthenticatorDeleted:
		e.Data, err = decode[AuthenticatorDeleted](in.Data)
	case EventAuthenticatorLocked:
		e.Data, err = decode[AuthenticatorLocked](in.Data)
	case EventAuthenticatorUnlocked:
		e.Data, err = decode[AuthenticatorUnlocked](in.Data)
	case EventAuthenticatorRenamed:
		e.Data, err = decode[AuthenticatorRenamed](in.Data)
	case EventRecoveryCodesCreated:
		e.Data, err = decode[RecoveryCodesCreated](in.Data)
	case EventRecoveryCodeUsed:
		e.Data, err = decode[RecoveryCodeUsed](in.Data)
	case EventRecoveryCodesRunningOut:
		e.Data, err = decode[RecoveryCodesRunningOut](in.Data)
	case EventRecoveryCodesVoided:
		e.Data, err = decode[RecoveryCodesVoided](in.Data)
	case EventTrustedBrowserCreated:
		e.Data, err = decode[TrustedBrowserCreated](in.Data)
	case EventTrustedBrowserCopied:
		e.Data, err = decode[TrustedBrowserCopied](in.Data)
	case EventCodesGuessed:
		e.Data, err = decode[CodesGuessed](in.Data)
	case EventRecoveryLinkIssued:
		e.Data, err = decode[RecoveryLinkIssued](in.Data)
	case EventRecoveryLinkApproved:
		e.Data, err = decode[RecoveryLinkApproved](in.Data)
	case EventRecoveryLinkUsed:
		e.Data, err = decode[RecoveryLinkUsed](in.Data)
	case EventActionVerify:
		e.Data, err = decode[ActionVerify](in.Data)
	default:
		e.Data = in.Data
	}
	if err != nil {
		return Event{}, fmt.Errorf("%w: data is not that of its type", ErrWebhookPayload)
	}
	return e, nil
}

func decode[T any](data json.RawMessage) (T, error) {
	var v T
	err := json.Unmarshal(data, &v)
	return v, err
}
