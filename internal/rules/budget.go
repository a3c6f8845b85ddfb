package rules

import (
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

// The budget of a decision, which all conditions of an action share. It is spent
// before the work is done, so that no step begins that would exceed it.
const (
	// MaxCost is the work of a decision in units. A unit is about 100 ns on a
	// server of 2024: a step of an evaluation (a variable with its fields, an
	// operator, a call), 32 bytes of a text that is searched, or 16 bytes of a
	// text times instructions of a regular expression. The worst decisions
	// that fuzzing has found spend all of it in 7 ms.
	MaxCost = 50_000
	// MaxBytes is the memory of the texts and lists that a decision makes. The
	// steps themselves allocate a few dozen bytes a unit in addition. The worst
	// decisions that fuzzing has found allocate 6 MiB in all.
	MaxBytes = 4 << 20
	// MaxTime ends a decision on an overloaded machine. Otherwise MaxCost is spent
	// long before.
	MaxTime = 100 * time.Millisecond

	// maxMade is the longest text that an evaluation makes, in bytes.
	maxMade = 16 << 10
	// checkEvery is how many units are spent between two checks of the clock.
	checkEvery = 1_000
)

// A budget is the rest of a decision's limits.
type budget struct {
	cost, bytes int64
	// check is the cost at which the clock is checked next.
	check    int64
	deadline time.Time
	// exceeded is the limit that has been reached; empty until then.
	exceeded Reason
}

func newBudget() *budget {
	return &budget{cost: MaxCost, bytes: MaxBytes, check: MaxCost - checkEvery, deadline: time.Now().Add(MaxTime)}
}

// spend takes units and bytes from the budget. If not enough is left, it ends
// the evaluation: it panics with the error that cel-go returns from Eval.
func (b *budget) spend(units, bytes int) {
	if units := int64(units); units > b.cost {
		b.exceed(CostExceeded)
	}
	if bytes := int64(bytes); bytes > b.bytes {
		b.exceed(MemoryExceeded)
	}
	b.cost -= int64(units)
	b.bytes -= int64(bytes)
	if b.cost <= b.check {
		b.check = b.cost - checkEvery
		if time.Now().After(b.deadline) {
			b.exceed(TimeExceeded)
		}
	}
}

// exceed marks the budget as exceeded, which also ends the other evaluations of the
// decision.
func (b *budget) exceed(r Reason) {
	b.exceeded = r
	b.cost, b.bytes = 0, 0
	panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: string(r)})
}

// walk spends a unit for every element of a value and for 32 bytes of its
// texts. A value can be exponentially larger than the memory that it takes.
func (b *budget) walk(v ref.Val) {
	b.spend(1+length(v)/32, 0)
	switch v := v.(type) {
	case traits.Lister:
		n := size(v)
		for i := range n {
			b.walk(v.Get(types.Int(i)))
		}
	case traits.Mapper:
		it := v.Iterator()
		for it.HasNext() == types.True {
			key := it.Next()
			b.walk(key)
			if value, ok := v.Find(key); ok {
				b.walk(value)
			}
		}
	default:
		b.scalar(v)
	}
}

// scalar spends what it takes to compare a value that is no list or map, in
// addition to a unit.
func (b *budget) scalar(v ref.Val) {
	switch v.(type) {
	case types.Bool, types.Int, types.Uint, types.Double, types.String, types.Bytes, types.Timestamp, types.Duration, types.Null, *types.Type, ext.IP, ext.CIDR:
	default:
		// A variable as a whole: user has texts, and user.custom.
		b.spend(2_000, 0)
	}
}

// length is the length of a text in bytes; 0 if the value is not a text.
func length(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}

// made spends what making a text of n bytes takes. It reports whether the text
// may be made.
func (b *budget) made(n int) bool {
	if n > maxMade {
		return false
	}
	b.spend(n/32, n)
	return true
}
