package mfa

import (
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
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
	// RefusedDisabled means that the tenant allows no recovery codes. The code was
	// compared with none.
	RefusedDisabled RefusalReason = "disabled"
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

// A comparison is that of a code with an authenticator for which it was not right:
// near reports whether it is that of a step nearby, and steps is its distance from
// now, negative if it is late.
type comparison struct {
	authenticator store.Authenticator
	steps         int
	near          bool
}

// miss returns the comparison as it is kept, the zero value if the code is that of no
// step nearby.
func (c comparison) miss(now time.Time) store.Miss {
	if !c.near {
		return store.Miss{}
	}
	by := int64(c.steps)
	return store.Miss{By: by, Step: c.authenticator.Step(now) + by, At: now}
}

// explain returns why a code was refused; replayed reports whether it was right for an
// authenticator whose step is spent, and ahead is Ahead of that one.
func explain(compared []comparison, replayed bool, ahead int64) Refusal {
	switch {
	case len(compared) == 0:
		return Refusal{Reason: RefusedMalformed}
	case ahead > 0:
		return Refusal{RefusedAhead, int(ahead)}
	case replayed:
		return Refusal{Reason: RefusedReplayed}
	}
	refusal := Refusal{Reason: RefusedWrong}
	for _, c := range compared {
		if !c.near || refusal.Steps != 0 && max(c.steps, -c.steps) >= refusal.Steps {
			continue
		}
		if c.steps < 0 {
			refusal = Refusal{RefusedLate, -c.steps}
		} else {
			refusal = Refusal{RefusedEarly, c.steps}
		}
	}
	return refusal
}

// offWindow is the longest time between two refused codes that tell that a clock is
// off.
const offWindow = 10 * time.Minute

// clockOff returns by how much the clock of the user's device is off, if a refused code
// and the one before it agree: negative if it is behind. They are codes of different
// steps, so that a single code, which may be seen or guessed, tells nothing, and their
// distances from the time differ by one step at most.
func clockOff(a store.Authenticator, miss store.Miss) (off time.Duration, ok bool) {
	before := a.Miss
	if miss.At.IsZero() || before.At.IsZero() || miss.Step == before.Step || miss.By < before.By-1 || miss.By > before.By+1 {
		return 0, false
	}
	if age := miss.At.Sub(before.At); age < 0 || age > offWindow {
		return 0, false
	}
	return time.Duration(miss.By) * time.Duration(a.Period) * time.Second, true
}
