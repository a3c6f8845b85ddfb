//go:build !js

package api

import "strings"

// AuthenticatorSettings are the settings of a tenant's authenticator app. Those of
// the code itself apply to new authenticators; an enrolled one keeps its own.
type AuthenticatorSettings struct {
	// Active allows tracking and enrollment.
	Active bool `json:"active"`
	// Issuer is the name that authenticator apps show; see CheckIssuer.
	Issuer string `json:"issuer"`
	// Algorithm is SHA1, SHA256 or SHA512. Some apps ignore all but SHA1.
	Algorithm string `json:"algorithm"`
	// Digits is 6 or 8, Period 30 or 60 seconds.
	Digits int `json:"digits"`
	Period int `json:"period"`
	// Drift is how many steps a code may be early or late: 0 to MaxDrift.
	Drift int `json:"drift"`
	// AllowMultiple allows a user more than one authenticator.
	AllowMultiple bool `json:"allowMultiple"`
	// MaxAuthenticators is how many verified authenticators a user may have
	// if AllowMultiple is set: 1 to 50.
	MaxAuthenticators int `json:"maxAuthenticators"`
	// MaxFailures wrong codes within WindowSeconds block an authenticator until
	// fewer of them are in the window: 1 to 100, and 1 to 86400 seconds.
	MaxFailures   int `json:"maxFailures"`
	WindowSeconds int `json:"windowSeconds"`
	// MaxFailuresInARow without a success block it until an operator unlocks
	// it: 1 to 100 (NIST SP 800-63B, section 5.2.2).
	MaxFailuresInARow int `json:"maxFailuresInARow"`
	// RecoveryCodes allows recovery codes. Without it none are made, and those that
	// users have are refused.
	RecoveryCodes bool `json:"recoveryCodes"`
}

// MaxDrift is the highest drift of a tenant.
const MaxDrift = 2

// DefaultMaxAuthenticators is the default of MaxAuthenticators.
const DefaultMaxAuthenticators = 10

// DefaultAuthenticatorSettings are those of a new tenant (wire contract,
// section 11, rows 7, 9 and 15). The authenticator app is not active until an
// operator activates it.
func DefaultAuthenticatorSettings(issuer string) AuthenticatorSettings {
	return AuthenticatorSettings{
		Issuer:    issuer,
		Algorithm: "SHA1", Digits: 6, Period: 30, Drift: 1, AllowMultiple: true, MaxAuthenticators: DefaultMaxAuthenticators,
		MaxFailures: 10, WindowSeconds: 300, MaxFailuresInARow: 100, RecoveryCodes: true,
	}
}

// CheckIssuer returns an error unless an issuer has 1 to 256 bytes, not only spaces,
// and no colon.
func CheckIssuer(issuer string) error {
	switch {
	case strings.TrimSpace(issuer) == "" || len(issuer) > 256:
		return InvalidRequest("issuer must be 1 to 256 bytes, and not only spaces.")
	case strings.Contains(issuer, ":"):
		return InvalidRequest("issuer must not contain a colon: the label of an otpauth URI separates issuer and account by one " +
			"(Google Authenticator's Key URI Format), and authenticator apps would show the wrong name. Leave it out, or write a dash.")
	}
	return nil
}

// Validate returns an error for the first setting that is wrong. stored is the
// tenant's present issuer, or empty: an earlier version accepted a colon in it, and
// the other settings of such a tenant can still be changed.
func (s AuthenticatorSettings) Validate(stored string) error {
	bad := InvalidRequest
	if s.Issuer != stored || stored == "" {
		if err := CheckIssuer(s.Issuer); err != nil {
			return err
		}
	}
	switch {
	case s.Algorithm != "SHA1" && s.Algorithm != "SHA256" && s.Algorithm != "SHA512":
		return bad("algorithm must be SHA1, SHA256 or SHA512.")
	case s.Digits != 6 && s.Digits != 8:
		return bad("digits must be 6 or 8.")
	case s.Period != 30 && s.Period != 60:
		return bad("period must be 30 or 60 seconds.")
	case s.Drift < 0 || s.Drift > MaxDrift:
		return bad("drift must be 0 to 2 steps.")
	case s.MaxAuthenticators < 1 || s.MaxAuthenticators > 50:
		return bad("maxAuthenticators must be 1 to 50.")
	case s.MaxFailures < 1 || s.MaxFailures > 100:
		return bad("maxFailures must be 1 to 100.")
	case s.WindowSeconds < 1 || s.WindowSeconds > 86400:
		return bad("windowSeconds must be 1 to 86400.")
	case s.MaxFailuresInARow < 1 || s.MaxFailuresInARow > 100:
		return bad("maxFailuresInARow must be 1 to 100.")
	}
	return nil
}

// Branding is the look of the pre-built UI for a tenant. An empty field has a plain
// default.
type Branding struct {
	// Name is the name of the tenant's app in the pages: at most MaxBrandingName
	// bytes. Empty is the issuer.
	Name string `json:"name,omitempty"`
	// Color is the accent of buttons and links, as #rrggbb.
	Color string `json:"color,omitempty"`
	// Logo is an image as a data: URL in base64, of PNG, JPEG, WebP or SVG:
	// at most MaxLogo bytes. The pages fetch nothing from other hosts.
	Logo string `json:"logo,omitempty"`
}

// Limits of Branding, in bytes.
const (
	MaxBrandingName = 100
	MaxLogo         = 64 << 10 // as a data: URL
)

// UserIDs says what a tenant does about user ids that differ only by case, space
// around them or Unicode form.
type UserIDs string

// The modes of UserIDs.
const (
	// UserIDsExact: such ids are those of different users.
	UserIDsExact UserIDs = "exact"
	// UserIDsRefuse: a new user whose id looks like another's is refused.
	UserIDsRefuse UserIDs = "refuse"
	// UserIDsFold: such ids are those of one user, in folded form.
	UserIDsFold UserIDs = "fold"
)

// MaxOrigins is the maximum number of origins of a tenant.
const MaxOrigins = 100

// Limits of an action's settings.
const (
	// MaxRules is the maximum number of rules of an action.
	MaxRules = 50
	// MaxRuleName and MaxRuleDescription are in bytes.
	MaxRuleName        = 100
	MaxRuleDescription = 500
)

// ActionSettings are the settings of an action: the outcome, and the rules that may
// change it. The first rule that matches decides.
type ActionSettings struct {
	DefaultOutcome Outcome      `json:"defaultOutcome"`
	Rules          []ActionRule `json:"rules"`
	// TrustBrowserDays is for how many days a browser that a user trusts needs no
	// code: 0, which is never, to MaxTrustBrowserDays. It replaces a CHALLENGE that
	// no rule decided.
	TrustBrowserDays int `json:"trustBrowserDays,omitempty"`
	// EnrollmentPolicy takes the place of the tenant's for this action.
	EnrollmentPolicy *EnrollmentPolicy `json:"enrollmentPolicy,omitempty"`
}

// An ActionRule is a condition in CEL and the outcome if it matches.
type ActionRule struct {
	// RuleID is derived from the name if it is empty.
	RuleID      string  `json:"ruleId"`
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	Condition   string  `json:"condition"`
	Outcome     Outcome `json:"outcome"`
}

// A Tenant is a tenant in the management API.
type Tenant struct {
	TenantID      string                `json:"tenantId"`
	Authenticator AuthenticatorSettings `json:"authenticator"`
	// WebhookURL receives the tenant's events; empty for none.
	WebhookURL string   `json:"webhookUrl"`
	Branding   Branding `json:"branding"`
	// Origins are those of the tenant's own pages.
	Origins []string `json:"origins"`
	UserIDs UserIDs  `json:"userIds"`
	// EnrollmentPolicy is absent if the tenant has none.
	EnrollmentPolicy *EnrollmentPolicy    `json:"enrollmentPolicy,omitempty"`
	RecoveryLinks    RecoveryLinkSettings `json:"recoveryLinks"`
	CreatedAt        Time                 `json:"createdAt"`
}

// An APISecret is an API secret key in the management API.
type APISecret struct {
	SecretID string `json:"secretId"`
	// APISecretKey is returned once, when the key is made.
	APISecretKey string `json:"apiSecretKey,omitempty"`
	CreatedAt    Time   `json:"createdAt"`
	// ExpiresAt is absent if the key does not expire.
	ExpiresAt *Time `json:"expiresAt,omitempty"`
}

// A WebhookSecret is a secret that signs webhooks, in the management API.
type WebhookSecret struct {
	SecretID string `json:"secretId"`
	// WebhookSecret is returned once, when the secret is made.
	WebhookSecret string `json:"webhookSecret,omitempty"`
	CreatedAt     Time   `json:"createdAt"`
	// ExpiresAt is absent if the secret does not expire.
	ExpiresAt *Time `json:"expiresAt,omitempty"`
}

// A SigningKey is a key that signs client tokens, in the management API.
type SigningKey struct {
	KeyID     string `json:"keyId"`
	CreatedAt Time   `json:"createdAt"`
	// SignsFrom is when it begins to sign.
	SignsFrom Time `json:"signsFrom"`
	// VerifiesUntil is absent while the key has no successor.
	VerifiesUntil *Time `json:"verifiesUntil,omitempty"`
}

// AuditEvent is a line of the audit log.
type AuditEvent struct {
	At             Time           `json:"at"`
	Kind           string         `json:"kind"`
	UserID         string         `json:"userId,omitempty"`
	Action         string         `json:"action,omitempty"`
	IdempotencyKey string         `json:"idempotencyKey,omitempty"`
	Detail         map[string]any `json:"detail,omitempty"`
}

// The forms that IsTenantID and IsActionCode check, for sentences.
const (
	TenantIDForm   = "1 to 64 letters, digits, dots, dashes and underscores"
	ActionCodeForm = "1 to 64 letters, digits, dashes and underscores"
)

// IsTenantID reports whether a text has TenantIDForm and may stand in tokens and
// paths.
func IsTenantID(s string) bool { return isName(s, "-_.") && s != "." && s != ".." }

// IsActionCode reports whether a text has ActionCodeForm (wire contract,
// section 6).
func IsActionCode(s string) bool { return isName(s, "-_") }

// isName reports whether a text has 1 to 64 ASCII letters, digits and marks.
func isName(s, marks string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(marks, c) >= 0) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}
