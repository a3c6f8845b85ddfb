package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// A mishap is a fault of a plan.
type mishap struct {
	kind    string
	replica int
	// long is how long a pause takes, and seconds by how much a clock is then ahead.
	long    time.Duration
	seconds int64
	// both reports whether the replica is killed during a fault of the database.
	both bool
}

func (m mishap) String() string {
	switch m.kind {
	case "database connections reset":
		return m.kind
	case "switch-over", "fail-over", "database killed", "database paused":
		return fmt.Sprintf("%s: for %v, replica %d killed %v", m.kind, m.long, m.replica, m.both)
	case "clock stepped":
		return fmt.Sprintf("%s: replica %d is %+d s", m.kind, m.replica, m.seconds)
	case "replica paused", "standby paused":
		return fmt.Sprintf("%s: %d for %v", m.kind, m.replica, m.long)
	}
	return fmt.Sprintf("%s: %d", m.kind, m.replica)
}

// plan returns the faults of a run in their order: each kind once, then any.
func plan(seed uint64, n int, postgres, steps bool) []mishap {
	rng := rand.New(rand.NewPCG(seed, 1<<63)) // no user has this number
	kinds := []string{"replica killed", "replica paused", "client connections reset", "replica killed"}
	if steps {
		kinds = append(kinds, "clock stepped", "clock stepped")
	}
	if postgres {
		kinds = append(kinds, "switch-over", "fail-over", "database killed", "database connections reset", "database paused", "standby paused")
	}
	all := make([]mishap, n)
	for i := range all {
		if i%len(kinds) == 0 {
			rng.Shuffle(len(kinds), func(a, b int) { kinds[a], kinds[b] = kinds[b], kinds[a] })
		}
		all[i] = mishap{
			kind: kinds[i%len(kinds)], replica: rng.IntN(2),
			long: time.Duration(200+rng.IntN(2_000)) * time.Millisecond, seconds: rng.Int64N(2*maxStep+1) - maxStep,
		}
		both := rng.IntN(2) == 0
		all[i].both = both && slices.Contains(long, all[i].kind)
	}
	return all
}

// long are the faults of the database that take some time.
var long = []string{"switch-over", "fail-over", "database killed", "database paused"}

// happen makes a fault happen, and returns when it is over.
func (c *cluster) happen(ctx context.Context, m mishap) error {
	if !m.both {
		return c.single(ctx, m)
	}
	killed := make(chan error, 1)
	go func() { killed <- c.single(ctx, mishap{kind: "replica killed", replica: m.replica}) }()
	return errors.Join(c.single(ctx, m), <-killed)
}

func (c *cluster) single(ctx context.Context, m mishap) error {
	r := c.replicas[m.replica%len(c.replicas)]
	switch m.kind {
	case "replica killed":
		r.kill()
		return r.start()
	case "replica paused":
		return paused(m.long, r.signal)
	case "client connections reset":
		r.reset()
		return nil
	case "clock stepped":
		return r.step(m.seconds)
	case "switch-over", "fail-over":
		return c.postgres.switchOver(ctx, m.kind == "switch-over", m.long/2)
	case "database killed":
		return c.postgres.restart(ctx)
	case "database connections reset":
		c.postgres.proxy.reset()
		return nil
	case "database paused":
		return paused(m.long, func(s syscall.Signal) error { return c.postgres.signal(c.postgres.primary, s) })
	case "standby paused":
		return paused(m.long, func(s syscall.Signal) error { return c.postgres.signal(1-c.postgres.primary, s) })
	}
	panic("unknown fault " + m.kind)
}

// paused stops processes for a time.
func paused(long time.Duration, signal func(syscall.Signal) error) error {
	if err := signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(long) // that is the fault
	return signal(syscall.SIGCONT)
}
