// Package rules decides what happens to an action when it is tracked: the
// first of its rules whose condition holds gives the outcome, or else the
// default does. Conditions are written in CEL (cel.dev).
//
// It reads no store and no clock; the server gathers an Input and calls it, and
// whoever saves rules checks them here first.
package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
)

const (
	// MaxCondition is the longest condition in bytes; a longer one is not
	// even parsed.
	MaxCondition = 2000
	// maxDepth bounds how deep a condition nests.
	maxDepth = 32
	// maxCost bounds the evaluation of a condition, in the units of CEL's cost
	// model: a look-up is 1, a match is as long as its strings.
	maxCost = 20_000
)

// An Input is what a condition sees.
type Input struct {
	User   User
	Action string
	// IP and UserAgent are those that the backend told; empty if it did not.
	IP, UserAgent string
	Device        Device
	// Custom holds the strings, numbers and booleans of the tracked action.
	Custom map[string]any
	Counts Counts
}

// A User is the one who does the action, as user.
type User struct {
	ID            string    `cel:"id"`
	Email         string    `cel:"email"`
	EmailVerified bool      `cel:"emailVerified"`
	PhoneNumber   string    `cel:"phoneNumber"`
	Username      string    `cel:"username"`
	Locale        string    `cel:"locale"`
	IsEnrolled    bool      `cel:"isEnrolled"`
	CreatedAt     time.Time `cel:"createdAt"`
}

// A Device is where the user does it, as device.
type Device struct {
	// ID is the deviceId that the backend told; empty if it did not.
	ID string `cel:"id"`
	// IsNew says that no earlier action of the user came from it. A device
	// without an id is new.
	IsNew bool `cel:"isNew"`
}

// Counts are of the same user in the time before, as counts.
type Counts struct {
	// ActionsLastHour and ActionsLastDay count tracked actions of any code.
	ActionsLastHour int64 `cel:"actionsLastHour"`
	ActionsLastDay  int64 `cel:"actionsLastDay"`
	// FailuresLastHour and FailuresLastDay count refused codes since the last
	// accepted one.
	FailuresLastHour int64 `cel:"failuresLastHour"`
	FailuresLastDay  int64 `cel:"failuresLastDay"`
}

// environment is made at the first use: most programs that link this package
// never need it.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		ext.NativeTypes(reflect.TypeFor[User](), reflect.TypeFor[Device](), reflect.TypeFor[Counts](), ext.ParseStructTags(true)),
		ext.Strings(), ext.Network(),
		cel.CrossTypeNumericComparisons(true), // custom.amount > 1000 compares a double with an int
		cel.ParserExpressionSizeLimit(MaxCondition),
		cel.ParserRecursionLimit(maxDepth),
		cel.Variable("user", cel.ObjectType("rules.User")),
		cel.Variable("action", cel.StringType),
		cel.Variable("ip", cel.StringType),
		cel.Variable("userAgent", cel.StringType),
		cel.Variable("device", cel.ObjectType("rules.Device")),
		cel.Variable("custom", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("counts", cel.ObjectType("rules.Counts")),
	)
})

// A ConditionError says what is wrong with a condition, and where.
type ConditionError struct {
	// Line counts from 1, Column from 0 in characters; both are 0 for the
	// condition as a whole.
	Line, Column int
	Message      string
}

func (e *ConditionError) Error() string {
	if e.Line == 0 {
		return "condition: " + e.Message
	}
	return fmt.Sprintf("condition, line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// A Condition is one that was parsed and type-checked. It may be used by
// several goroutines.
type Condition struct{ program cel.Program }

// Compile parses and checks a condition, which must give a boolean. Its error
// is a *ConditionError.
func Compile(condition string) (*Condition, error) {
	if len(condition) > MaxCondition {
		return nil, &ConditionError{Message: fmt.Sprintf("is longer than %d bytes", MaxCondition)}
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	ast, issues := env.Compile(condition)
	if issues.Err() != nil {
		e := &ConditionError{Message: "is not a CEL expression"}
		if all := issues.Errors(); len(all) > 0 {
			e = &ConditionError{all[0].Location.Line(), all[0].Location.Column(), all[0].Message}
		}
		return nil, e
	}
	if ast.OutputType() != cel.BoolType {
		return nil, &ConditionError{Message: fmt.Sprintf("must be true or false, not %s", ast.OutputType())}
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return nil, &ConditionError{Message: "cannot be run: " + err.Error()}
	}
	return &Condition{program}, nil
}

// Holds evaluates the condition. An error says that it could not be: a key of
// custom that is not there, a comparison of a text with a number, too much
// work. The error quotes nothing of the input.
func (c *Condition) Holds(in Input) (holds bool, err error) {
	defer func() {
		if recover() != nil {
			holds, err = false, errors.New("the evaluation crashed")
		}
	}()
	custom := in.Custom
	if custom == nil {
		custom = map[string]any{}
	}
	v, _, err := c.program.Eval(map[string]any{
		"user": in.User, "action": in.Action, "ip": in.IP, "userAgent": in.UserAgent,
		"device": in.Device, "custom": custom, "counts": in.Counts,
	})
	if err != nil {
		return false, reason(err)
	}
	holds, ok := v.Value().(bool)
	if !ok {
		return false, errors.New("it gave no boolean")
	}
	return holds, nil
}

// reason keeps of an evaluation error what may be logged: a function's own
// text may quote the user's data.
func reason(err error) error {
	for _, r := range []struct{ in, out string }{
		{"no such key", "a key of custom is missing; ask with has(custom.key) first"},
		{"no such overload", "a value has another type than the condition expects"},
		{"cost limit", "it takes too much work"},
	} {
		if strings.Contains(err.Error(), r.in) {
			return errors.New(r.out)
		}
	}
	return errors.New("a function failed")
}
