package mfa

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A RefusalReason is the reason for the refusal of a code, as the audit log names
// it. The user who entered the code learns of RefusedAhead only.
type RefusalReason string

// The reasons.
const (
	// RefusedMalformed means that the code has the wrong form for every
	// authenticator, and was compared with none.
	RefusedMalformed RefusalReason = "malformed"
	// RefusedReplayed means that the code was right, but its step is spent.
	RefusedReplayed RefusalReason = "replayed"
	// RefusedAhead means that the code was right, but a code was accepted before
	// while the clock of a server was ahead; see Ahead.
	RefusedAhead RefusalReason = "ahead"
	// RefusedLate and RefusedEarly mean that the code belongs to a step before or
	// after the tenant's drift: the clock of the user's device or of this server
	// is probably wrong.
	RefusedLate  RefusalReason = "late"
	RefusedEarly RefusalReason = "early"
	// RefusedWrong means that the code belongs to no step nearby.
	RefusedWrong RefusalReason = "wrong"
)

// A Refusal explains why a code was refused. It never has the code.
type Refusal struct {
	Reason RefusalReason
	// Steps is the distance from now of a late or an early code, or how far ahead the
	// clock was at least, in steps of the authenticator; 0 otherwise.
	Steps int
}

// Detail is the detail of the audit entry.
func (r Refusal) Detail() map[string]any {
	detail := map[string]any{"reason": r.Reason}
	if r.Steps != 0 {
		detail["steps"] = r.Steps
	}
	return detail
}

// explained is how many steps before and after now are searched to explain the
// refusal of a code: five minutes of the usual ones. A random code is found there
// by chance with odds of 2 in 100,000.
const explained = 10

// A key computes the codes of an authenticator.
type key struct {
	totp.Parameters
	secret string
}

// explain returns why a code was refused that was compared with keys; replayed
// reports whether it was right for one whose step is spent, and ahead is Ahead of
// that one. It searches
// the steps around now for every key, even if the reason is known, so that the
// time of the response reveals nothing.
func explain(compared []key, code string, now time.Time, replayed bool, ahead int64) (Refusal, error) {
	if len(compared) == 0 {
		return Refusal{Reason: RefusedMalformed}, nil
	}
	refusal := Refusal{Reason: RefusedWrong}
	for _, k := range compared {
		steps, found, err := totp.Offset(code, k.secret, k.Parameters, now, explained)
		if err != nil {
			return Refusal{}, err
		}
		if !found || refusal.Steps != 0 && max(steps, -steps) >= refusal.Steps {
			continue
		}
		if steps < 0 {
			refusal = Refusal{RefusedLate, -steps}
		} else {
			refusal = Refusal{RefusedEarly, steps}
		}
	}
	if ahead > 0 {
		return Refusal{RefusedAhead, int(ahead)}, nil
	}
	if replayed {
		return Refusal{Reason: RefusedReplayed}, nil
	}
	return refusal, nil
}
