package authsignal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

type (
	// State is the state of an action, such as "CHALLENGE_REQUIRED".
	State = api.State
	// VerificationMethod names a way to prove an identity, such as
	// "AUTHENTICATOR_APP".
	VerificationMethod = api.VerificationMethod
)

// The states of an action.
const (
	StateAllow              = api.StateAllow
	StateBlock              = api.StateBlock
	StateChallengeRequired  = api.StateChallengeRequired
	StateChallengeSucceeded = api.StateChallengeSucceeded
	StateChallengeFailed    = api.StateChallengeFailed
	StateReviewRequired     = api.StateReviewRequired
	StateReviewSucceeded    = api.StateReviewSucceeded
	StateReviewFailed       = api.StateReviewFailed
)

// The verification methods that a user may be enrolled with. AuthenticatorApp
// is that of TOTP codes; the others are for backends that challenge them.
const (
	AuthenticatorApp = api.AuthenticatorApp
	SMS              = api.SMS
	WhatsApp         = api.WhatsApp
	EmailOTP         = api.EmailOTP
	EmailMagicLink   = api.EmailMagicLink
)

// RecoveryCode is the verification method of a challenge that a recovery code has
// completed.
const RecoveryCode = api.RecoveryCode

// ByTrustedBrowser is the verification method of a challenge that the pre-built UI
// completed without a code, because the user trusts the browser.
const ByTrustedBrowser = api.ByTrustedBrowser

// Scopes that Attributes.Scope may add to a token, with spaces between them.
const (
	ScopeRead   = api.ScopeRead
	ScopeAdd    = api.ScopeAdd
	ScopeUpdate = api.ScopeUpdate
	ScopeRemove = api.ScopeRemove
)

// Attributes describe an action when it is tracked. All are optional. Texts
// about the device are cut at their limit and never refused for their length.
type Attributes struct {
	// IdempotencyKey names this instance of the action: 1 to 256 characters.
	// Tracking it again returns the stored action.
	IdempotencyKey string
	// RedirectURL is where the pre-built UI returns to in redirect mode: at most
	// 2,048 bytes.
	RedirectURL string
	// RedirectToSettings opens the settings of the pre-built UI.
	RedirectToSettings *bool
	// Email, PhoneNumber, Username and Locale are stored with the user. The
	// first three have at most 256 characters; of Locale the first 256 bytes
	// count.
	Email       string
	PhoneNumber string
	Username    string
	Locale      string
	// IPAddress, UserAgent and DeviceID describe the user's device. IPAddress may
	// have a port, brackets or a zone, and of a list the first address counts;
	// one that is no address counts as absent. Of UserAgent the first 2,048 bytes
	// count, of DeviceID 256.
	IPAddress string
	UserAgent string
	DeviceID  string
	// Scope adds rights to the token: Scope values with spaces between them.
	Scope string
	// DeviceToken is that of a browser that the user trusts, from the cookie in which
	// the backend keeps it. Each use voids it: keep TrackResponse.DeviceToken in its
	// place. Only this project's server knows it.
	DeviceToken string
	// Custom holds strings, numbers, booleans and lists of these for rules: at
	// most 256 keys and 64 KiB of JSON. A number of 2^53 or more is refused;
	// send it as a string.
	Custom map[string]any
}

// A TrackRequest names a user and an action.
type TrackRequest struct {
	// UserID is your own identifier of the user: 1 to 256 characters.
	UserID string
	// Action names what the user does, such as signIn: 1 to 64 letters,
	// digits, dashes and underscores.
	Action string
	// Attributes are optional. Without an idempotency key Track creates one,
	// so that a retry does not track the action twice.
	Attributes Attributes
}

// TrackResponse is what Track returns.
type TrackResponse struct {
	IdempotencyKey string `json:"idempotencyKey"`
	State          State  `json:"state"`
	// URL opens the pre-built UI. It carries the token in its query.
	URL string `json:"url"`
	// Token is the client token for the browser SDK.
	Token string `json:"token"`
	// IsEnrolled reports whether the user has a verified authenticator.
	IsEnrolled                  bool                 `json:"isEnrolled"`
	AllowedVerificationMethods  []VerificationMethod `json:"allowedVerificationMethods"`
	EnrolledVerificationMethods []VerificationMethod `json:"enrolledVerificationMethods"`
	DefaultVerificationMethod   VerificationMethod   `json:"defaultVerificationMethod,omitempty"`
	// RuleIDs are the rules that matched.
	RuleIDs []string `json:"ruleIds"`
	// DeviceToken is the next token of the user's browser. If Attributes had one and
	// this is empty, the browser is not trusted: delete the cookie.
	DeviceToken string `json:"deviceToken,omitempty"`
	// IsTrusted reports whether the state is ALLOW because the browser is trusted.
	IsTrusted bool `json:"isTrusted,omitempty"`
	// EnrollmentRequired reports whether the user had to enroll until
	// EnrollmentDeadline, and has not: a challenge is then completed only by an
	// enrollment. Both are nil if the user is enrolled or no enrollment policy
	// applies. Only this project's server knows them.
	EnrollmentRequired *bool      `json:"enrollmentRequired,omitempty"`
	EnrollmentDeadline *time.Time `json:"enrollmentDeadline,omitempty"`
}

// Track records an action of a user. It returns the state that the rules decide,
// and a token for the browser SDK.
func (c *Client) Track(ctx context.Context, r TrackRequest) (TrackResponse, error) {
	var out TrackResponse
	if err := need("track", "UserID", r.UserID, "Action", r.Action); err != nil {
		return out, err
	}
	if r.Attributes.IdempotencyKey == "" {
		r.Attributes.IdempotencyKey = newKey()
	}
	err := c.do(ctx, call{
		name: "track", method: http.MethodPost, path: path("users", r.UserID, "actions", r.Action),
		body: api.Attributes(r.Attributes), repeatable: true,
	}, &out)
	return out, err
}

// A ValidateRequest is what ValidateChallenge takes. Set all fields: a token alone
// proves only that some user completed some action recently.
type ValidateRequest struct {
	// Token is the token that the page sent back. If the page lost it, the token
	// of Track for the same action can be used too.
	Token string
	// UserID and Action are those that were tracked. The API refuses a token
	// of another user or action; if empty, they are not compared.
	UserID, Action string
	// IdempotencyKey is that of TrackResponse, as the backend kept it in the
	// user's session. Client.ValidateChallenge compares it with that of the
	// token, so that a token of an earlier sign-in of the same user does not
	// complete this one; if empty, it is not compared.
	IdempotencyKey string
	// TrustBrowser asks for the token of a trusted browser, because the user wants
	// to be remembered. Only this project's server knows it.
	TrustBrowser bool
}

// ValidateResponse is what ValidateChallenge returns.
type ValidateResponse struct {
	// IsValid is true only when State is CHALLENGE_SUCCEEDED.
	IsValid bool `json:"isValid"`
	// Error is the reason if the token is refused; the other fields are then
	// empty.
	Error          string     `json:"error,omitempty"`
	State          State      `json:"state,omitempty"`
	StateUpdatedAt *time.Time `json:"stateUpdatedAt,omitempty"`
	UserID         string     `json:"userId,omitempty"`
	Action         string     `json:"action,omitempty"`
	// ActionCode is Action under the name that older official SDKs read.
	ActionCode         string             `json:"actionCode,omitempty"`
	IdempotencyKey     string             `json:"idempotencyKey,omitempty"`
	VerificationMethod VerificationMethod `json:"verificationMethod,omitempty"`
	// DeviceToken is the token of the user's browser, if TrustBrowser was set, the
	// action succeeded by a code of an app, and its settings have trustBrowserDays.
	// Keep it in a cookie that is HttpOnly, Secure and SameSite=Lax or Strict until
	// DeviceTokenExpiresAt, and give it to Track.
	DeviceToken          string     `json:"deviceToken,omitempty"`
	DeviceTokenExpiresAt *time.Time `json:"deviceTokenExpiresAt,omitempty"`
}

// ErrOtherAction reports that a token belongs to another instance of the
// action than ValidateRequest.IdempotencyKey names. Inspect it with errors.Is.
var ErrOtherAction = errors.New("the token belongs to another instance of the action: its idempotency key differs from the tracked one")

// ValidateChallenge reports whether the action of a token was completed.
//
// A token that the API refuses is not an error: IsValid is false and Error is the
// reason. A token of another instance of the action is ErrOtherAction with an
// empty response. In both cases the user has to sign in again.
func (c *Client) ValidateChallenge(ctx context.Context, r ValidateRequest) (ValidateResponse, error) {
	const name = "validate challenge"
	var out ValidateResponse
	if err := need(name, "Token", r.Token); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: name, method: http.MethodPost, path: path("validate"),
		body: api.ValidateRequest{Token: r.Token, UserID: r.UserID, Action: r.Action, TrustBrowser: r.TrustBrowser}, repeatable: true,
	}, &out)
	if err != nil {
		return ValidateResponse{}, err
	}
	// An answer about a refused token names no action.
	refused := !out.IsValid && out.Error != ""
	if r.IdempotencyKey != "" && out.IdempotencyKey != r.IdempotencyKey && !refused {
		return ValidateResponse{}, fmt.Errorf("authsignal: %s: %w", name, ErrOtherAction)
	}
	return out, nil
}

// An Action is what Client.Action returns.
type Action struct {
	State              State              `json:"state"`
	CreatedAt          time.Time          `json:"createdAt"`
	StateUpdatedAt     time.Time          `json:"stateUpdatedAt"`
	VerificationMethod VerificationMethod `json:"verificationMethod,omitempty"`
	RuleIDs            []string           `json:"ruleIds"`
	Rules              []Rule             `json:"rules"`
	// PriorityRuleID is the rule that decided; empty if the default did.
	PriorityRuleID string       `json:"priorityRuleId,omitempty"`
	Output         ActionOutput `json:"output"`
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

// Action returns one tracked action.
func (c *Client) Action(ctx context.Context, userID, action, idempotencyKey string) (Action, error) {
	var out Action
	if err := need("action", "userID", userID, "action", action, "idempotencyKey", idempotencyKey); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: "action", method: http.MethodGet, path: path("users", userID, "actions", action, idempotencyKey),
		repeatable: true,
	}, &out)
	return out, err
}

// UpdateAction sets the state of an action, from any state to any other. It is
// not retried: a retry would undo changes of the action in the meantime.
func (c *Client) UpdateAction(ctx context.Context, userID, action, idempotencyKey string, state State) (Action, error) {
	var out Action
	if err := need("update action", "userID", userID, "action", action, "idempotencyKey", idempotencyKey, "state", string(state)); err != nil {
		return out, err
	}
	err := c.do(ctx, call{
		name: "update action", method: http.MethodPatch, path: path("users", userID, "actions", action, idempotencyKey),
		body: api.UpdateActionRequest{State: state},
	}, &out)
	return out, err
}

// An ActionFilter selects the actions that QueryActions lists. Zero fields are
// ignored.
type ActionFilter struct {
	// FromDate excludes older actions. Actions older than 30 days are always
	// excluded.
	FromDate time.Time
	// Actions are names of actions, at most 100.
	Actions []string
	State   State
}

// A ListedAction is an item of what QueryActions returns.
type ListedAction struct {
	ActionCode     string    `json:"actionCode"`
	IdempotencyKey string    `json:"idempotencyKey"`
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`
	State          State     `json:"state"`
	StateUpdatedAt time.Time `json:"stateUpdatedAt"`
	// VerificationMethod and VerifiedByAuthenticatorID name what completed
	// the challenge.
	VerificationMethod        VerificationMethod `json:"verificationMethod,omitempty"`
	VerifiedByAuthenticatorID string             `json:"verifiedByAuthenticatorId,omitempty"`
	UserAgent                 string             `json:"userAgent,omitempty"`
	IPAddress                 string             `json:"ipAddress,omitempty"`
}

// QueryActions lists the actions of a user in the last 30 days, newest first and
// at most 500.
func (c *Client) QueryActions(ctx context.Context, userID string, f ActionFilter) ([]ListedAction, error) {
	if err := need("query actions", "userID", userID); err != nil {
		return nil, err
	}
	q := url.Values{}
	if !f.FromDate.IsZero() {
		q.Set("fromDate", f.FromDate.UTC().Format(time.RFC3339Nano))
	}
	if len(f.Actions) > 0 {
		q.Set("codes", strings.Join(f.Actions, ","))
	}
	if f.State != "" {
		q.Set("state", string(f.State))
	}
	var out []ListedAction
	err := c.do(ctx, call{
		name: "query actions", method: http.MethodGet, path: path("users", userID, "actions") + query(q), repeatable: true,
	}, &out)
	return out, err
}
