package rules

import (
	"maps"
	"time"

	"cel.dev/cel-go/cel"
)

// MaxText is the longest text of an Input that a condition may read, in
// bytes. A condition that reads a variable with a longer one, or an attribute
// of custom with one, fails. E-mail addresses end at 254 bytes (RFC 5321, section 4.5.3.1.3),
// and user agents seldom pass 500.
const MaxText = 2048

// An Input is what conditions see of an action that is being tracked. The
// names of the variables and of their fields are the keys of the tags; what is
// absent is empty. As JSON it has the same names.
type Input struct {
	// User is the variable user.
	User User `json:"user"`
	// Action is the variable action.
	Action Action `json:"action"`
	// IP is the variable ip: the address of the user's device. Conditions see
	// it in canonical form (RFC 5952), an IPv4-mapped one as IPv4.
	IP string `json:"ip"`
	// UserAgent is the variable userAgent.
	UserAgent string `json:"userAgent"`
	// Device is the variable device.
	Device Device `json:"device"`
	// Custom is the variable custom: the custom attributes of the tracked
	// action. Values are string, float64, bool, or a []any of these; a
	// condition that reads another one fails.
	Custom map[string]any `json:"custom"`
	// Counts is the variable counts.
	Counts Counts `json:"counts"`
}

// A User is the user of the action, as described after this track's
// attributes have been stored.
type User struct {
	ID                  string `cel:"id" json:"id"`
	Email               string `cel:"email" json:"email"`
	EmailVerified       bool   `cel:"emailVerified" json:"emailVerified"`
	PhoneNumber         string `cel:"phoneNumber" json:"phoneNumber"`
	PhoneNumberVerified bool   `cel:"phoneNumberVerified" json:"phoneNumberVerified"`
	Username            string `cel:"username" json:"username"`
	DisplayName         string `cel:"displayName" json:"displayName"`
	Locale              string `cel:"locale" json:"locale"`
	// IsEnrolled says whether there is a verified authenticator.
	IsEnrolled bool `cel:"isEnrolled" json:"isEnrolled"`
	// CreatedAt is when the user was created on the server.
	CreatedAt time.Time `cel:"createdAt" json:"createdAt"`
	// Custom holds the custom attributes of the user, of the same kinds as
	// Input.Custom.
	Custom map[string]any `cel:"custom" json:"custom"`
}

// An Action is the one being tracked.
type Action struct {
	// Code is its name, such as "signIn".
	Code string `cel:"code" json:"code"`
	// CreatedAt is the moment of this track: the only clock of a condition.
	CreatedAt time.Time `cel:"createdAt" json:"createdAt"`
}

// A Device is what the user does the action with.
type Device struct {
	// ID is the tracked deviceId; empty when the backend sent none.
	ID string `cel:"id" json:"id"`
	// IsNew is true unless the user has an earlier action of the same device
	// id, whatever its code, in the state CHALLENGE_SUCCEEDED. Without a
	// device id it is true. Having merely been seen does not make a device
	// known: a second try would then pass.
	IsNew bool `cel:"isNew" json:"isNew"`
	// IsTrusted is true if the backend sent the token of a browser that the user
	// trusts, for as long as the action's settings say that trust counts.
	IsTrusted bool `cel:"isTrusted" json:"isTrusted"`
}

// Counts are how often something has happened to the user lately. An hour is
// the 3,600 seconds, a day the 86,400, that end at Action.CreatedAt: what
// happened at t counts when CreatedAt-3600s < t <= CreatedAt.
type Counts struct {
	// ActionsLastHour and ActionsLastDay are the user's earlier actions of
	// the same code, in whatever state, by their creation. The action being
	// tracked is not among them: on a user's first action they are 0.
	ActionsLastHour int64 `cel:"actionsLastHour" json:"actionsLastHour"`
	ActionsLastDay  int64 `cel:"actionsLastDay" json:"actionsLastDay"`
	// FailuresLastHour and FailuresLastDay are the user's refused codes, on
	// whatever action and authenticator, whether or not a right one followed.
	// Those that were refused unseen because of the limit of attempts are not
	// among them.
	FailuresLastHour int64 `cel:"failuresLastHour" json:"failuresLastHour"`
	FailuresLastDay  int64 `cel:"failuresLastDay" json:"failuresLastDay"`
}

// Lookups names the parts of an Input that take a query.
type Lookups struct {
	// DeviceIsNew is Device.IsNew.
	DeviceIsNew bool
	// ActionCounts are Counts.ActionsLastHour and ActionsLastDay.
	ActionCounts bool
	// FailureCounts are Counts.FailuresLastHour and FailuresLastDay.
	FailureCounts bool
}

// An activation provides CEL with the variables of one Input, and with an error
// instead of a value that a condition must not read. It is for one decision.
type activation struct {
	in     *Input
	budget *budget
	// user and custom are checked when first resolved; nil until then.
	user, custom any
}

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case budgetName:
		return a.budget, true
	case "user":
		if a.user == nil {
			u := a.in.User
			custom, reason := checkCustom(u.Custom)
			u.Custom = custom
			a.user = checkTexts(&u, u.ID, u.Email, u.PhoneNumber, u.Username, u.DisplayName, u.Locale)
			if reason != "" {
				a.user = failed(reason)
			}
		}
		return a.user, true
	case "action":
		return checkTexts(&a.in.Action, a.in.Action.Code), true
	case "ip":
		return checkTexts(a.in.IP, a.in.IP), true
	case "userAgent":
		return checkTexts(a.in.UserAgent, a.in.UserAgent), true
	case "device":
		return checkTexts(&a.in.Device, a.in.Device.ID), true
	case "custom":
		if a.custom == nil {
			custom, reason := checkCustom(a.in.Custom)
			a.custom = custom
			if reason != "" {
				a.custom = failed(reason)
			}
		}
		return a.custom, true
	case "counts":
		return &a.in.Counts, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (*activation) Parent() cel.Activation { return nil }

// checkTexts returns value, or an error value if one of its texts is too long.
func checkTexts(value any, texts ...string) any {
	for _, s := range texts {
		if len(s) > MaxText {
			return failed(TextTooLong)
		}
	}
	return value
}

// checkCustom returns custom with errors instead of values that a condition must not
// read. It returns a reason if conditions must not read custom at all, because a
// key is too long.
func checkCustom(custom map[string]any) (map[string]any, Reason) {
	checked, copied := custom, false
	for key, value := range custom {
		if len(key) > MaxText {
			return nil, TextTooLong
		}
		if reason := checkValue(value); reason != "" {
			if !copied {
				checked, copied = maps.Clone(custom), true
			}
			checked[key] = failed(reason)
		}
	}
	return checked, ""
}

// checkValue returns why conditions must not read a value of custom, or nothing.
func checkValue(value any) Reason {
	list, ok := value.([]any)
	if !ok {
		return checkScalar(value)
	}
	for _, element := range list {
		if r := checkScalar(element); r != "" {
			return r
		}
	}
	return ""
}

func checkScalar(value any) Reason {
	switch v := value.(type) {
	case string:
		if len(v) > MaxText {
			return TextTooLong
		}
		return ""
	case float64, bool:
		return ""
	}
	return WrongType
}
