package rules

import (
	"errors"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// MaxText is the longest text of an Input that a condition may read, in
// bytes. A condition that reads a variable with a longer one fails to
// evaluate: what a step of CEL costs is known only after it, so its input has
// to be small. E-mail addresses end at 254 bytes (RFC 5321, section 4.5.3.1.3),
// and user agents seldom pass 500.
const MaxText = 2048

// An Input is what conditions see of an action that is being tracked. The
// names of the variables and of their fields are the keys of the tags; what is
// absent is empty.
type Input struct {
	// User is the variable user.
	User User
	// Action is the variable action.
	Action Action
	// IP is the variable ip: the address of the user's device. Conditions see
	// it in canonical form (RFC 5952), an IPv4-mapped one as IPv4.
	IP string
	// UserAgent is the variable userAgent.
	UserAgent string
	// Device is the variable device.
	Device Device
	// Custom is the variable custom: the custom attributes of the tracked
	// action. Values are string, float64 or bool; a condition that reads
	// custom fails to evaluate where there is another.
	Custom map[string]any
	// Counts is the variable counts.
	Counts Counts
}

// A User is whoever does the action, as described after this track's
// attributes have been stored.
type User struct {
	ID                  string `cel:"id"`
	Email               string `cel:"email"`
	EmailVerified       bool   `cel:"emailVerified"`
	PhoneNumber         string `cel:"phoneNumber"`
	PhoneNumberVerified bool   `cel:"phoneNumberVerified"`
	Username            string `cel:"username"`
	DisplayName         string `cel:"displayName"`
	Locale              string `cel:"locale"`
	// IsEnrolled says whether there is a verified authenticator.
	IsEnrolled bool `cel:"isEnrolled"`
	// CreatedAt is when the server first heard of the user.
	CreatedAt time.Time `cel:"createdAt"`
	// Custom holds the custom attributes of the user, of the same kinds as
	// Input.Custom.
	Custom map[string]any `cel:"custom"`
}

// An Action is the one being tracked.
type Action struct {
	// Code is its name, such as "signIn".
	Code string `cel:"code"`
	// CreatedAt is the moment of this track: the only clock of a condition.
	CreatedAt time.Time `cel:"createdAt"`
}

// A Device is what the user does the action with.
type Device struct {
	// ID is the tracked deviceId; empty when the backend sent none.
	ID string `cel:"id"`
	// IsNew is true unless the user has an earlier action of the same device
	// id, whatever its code, in the state CHALLENGE_SUCCEEDED. Without a
	// device id it is true. Having merely been seen does not make a device
	// known: a second try would then pass.
	IsNew bool `cel:"isNew"`
}

// Counts are how often something has happened to the user lately. An hour is
// the 3,600 seconds, a day the 86,400, that end at Action.CreatedAt: what
// happened at t counts when CreatedAt-3600s < t <= CreatedAt.
type Counts struct {
	// ActionsLastHour and ActionsLastDay are the user's earlier actions of
	// the same code, in whatever state, by their creation. The action being
	// tracked is not among them: on a user's first action they are 0.
	ActionsLastHour int64 `cel:"actionsLastHour"`
	ActionsLastDay  int64 `cel:"actionsLastDay"`
	// FailuresLastHour and FailuresLastDay are the user's refused codes, on
	// whatever action and authenticator, whether or not a right one followed.
	// Those that were refused unseen because of the limit of attempts are not
	// among them.
	FailuresLastHour int64 `cel:"failuresLastHour"`
	FailuresLastDay  int64 `cel:"failuresLastDay"`
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

var (
	errTooLong = errors.New("a text is too long")
	errKind    = errors.New("a custom value is neither string, number nor boolean")
)

// An activation gives CEL the variables of one Input, and an error in the
// place of one that it must not work on.
type activation struct {
	in *Input
	// user and custom are checked when first resolved; nil until then.
	user, custom any
}

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "user":
		if a.user == nil {
			u := &a.in.User
			err := checkTexts(u.ID, u.Email, u.PhoneNumber, u.Username, u.DisplayName, u.Locale)
			if err == nil {
				err = checkCustom(u.Custom)
			}
			a.user = valueOr(err, u)
		}
		return a.user, true
	case "action":
		return valueOr(checkTexts(a.in.Action.Code), &a.in.Action), true
	case "ip":
		return valueOr(checkTexts(a.in.IP), a.in.IP), true
	case "userAgent":
		return valueOr(checkTexts(a.in.UserAgent), a.in.UserAgent), true
	case "device":
		return valueOr(checkTexts(a.in.Device.ID), &a.in.Device), true
	case "custom":
		if a.custom == nil {
			a.custom = valueOr(checkCustom(a.in.Custom), a.in.Custom)
		}
		return a.custom, true
	case "counts":
		return &a.in.Counts, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (*activation) Parent() cel.Activation { return nil }

func valueOr(err error, value any) any {
	if err != nil {
		// A new one each time: CEL writes into it.
		return types.WrapErr(err)
	}
	return value
}

func checkTexts(texts ...string) error {
	for _, s := range texts {
		if len(s) > MaxText {
			return errTooLong
		}
	}
	return nil
}

func checkCustom(custom map[string]any) error {
	for key, value := range custom {
		text := ""
		switch v := value.(type) {
		case string:
			text = v
		case float64, bool:
		default:
			return errKind
		}
		if err := checkTexts(key, text); err != nil {
			return err
		}
	}
	return nil
}
