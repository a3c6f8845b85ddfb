package torture

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// number returns a number from the environment, or otherwise if it is not set.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s must be a number from 1", name)
	}
	return n
}

// seed returns the seed of a run.
func seed(t *testing.T) uint64 {
	t.Helper()
	return uint64(number(t, "AUTHSIGNAL_TEST_SEED", int(time.Now().UnixNano()%1_000_000)+1))
}

// short is the number of operations unless AUTHSIGNAL_TEST_OPERATIONS is set.
const short = 2_000

func TestHistoriesOnSQLiteAreLinearizable(t *testing.T) {
	n := number(t, "AUTHSIGNAL_TEST_OPERATIONS", short)
	r := history(t, build{steps: n > short}, n, false)
	if n <= short && !t.Failed() {
		changed(t, r.users)
	}
}

func TestHistoriesOnPostgreSQLAreLinearizable(t *testing.T) {
	n := number(t, "AUTHSIGNAL_TEST_OPERATIONS", 0)
	if n == 0 {
		return // make test-all runs it: a pair of databases takes its time
	}
	history(t, build{steps: true}, n, true)
}

// history records a history of n operations and checks it.
func history(t *testing.T, b build, n int, postgres bool) *run {
	t.Helper()
	seed := seed(t)
	t.Logf("AUTHSIGNAL_TEST_SEED=%d", seed)
	r, err := recorded(t, b, seed, n, postgres)
	if err != nil {
		t.Fatalf("AUTHSIGNAL_TEST_SEED=%d: %v", seed, err)
	}
	began := time.Now()
	bad := r.check(t)
	t.Logf("the checker took %.1f s", time.Since(began).Seconds())
	for _, u := range bad {
		t.Errorf("AUTHSIGNAL_TEST_SEED=%d: %s", seed, u)
	}
	t.Logf("the faults:\n%s", strings.Join(r.faults, "\n"))
	return r
}

// recorded starts servers, makes the calls and the faults of a plan, and returns
// what was recorded.
func recorded(t *testing.T, b build, seed uint64, n int, postgres bool) (*run, error) {
	t.Helper()
	ctx := t.Context()
	// t.TempDir has a path that is too long for a socket.
	dir, err := os.MkdirTemp("", "torture-")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := b.build(ctx, t.TempDir())
	if err != nil {
		return nil, err
	}
	var databases *pair
	if postgres {
		databases, err = newPair(ctx, dir)
		if databases != nil {
			t.Cleanup(databases.stop)
		}
		if err != nil {
			return nil, err
		}
	}
	c, err := newCluster(dir, program, b.steps, databases)
	t.Cleanup(c.stop)
	if err != nil {
		return nil, err
	}
	r := &run{cluster: c, seed: seed, began: time.Now()}
	users := max(teams, n/perUser)
	mishaps := plan(seed, min(3+n/4_000, 150), postgres, b.steps)
	done := make(chan struct{})
	var faults sync.WaitGroup
	faults.Go(func() {
		planned := int64(users * members * perMember)
		for i, m := range mishaps {
			at := planned * int64(i+1) / int64(len(mishaps)+1)
			for r.calls.Load() < at {
				select {
				case <-done:
					return
				case <-time.After(pause): // between polls
				}
			}
			if r.err() != nil {
				return
			}
			from := time.Since(r.began)
			err := c.happen(ctx, m)
			r.faults = append(r.faults, fmt.Sprintf("%9.0f to %9.0f ms: %s", float64(from)/1e6, float64(time.Since(r.began))/1e6, m))
			if err != nil {
				r.fail(fmt.Errorf("%s: %w", m, err))
				return
			}
			if r.count("fault: " + m.kind); m.both {
				r.count("fault: replica killed meanwhile")
			}
		}
	})
	r.start(users)
	close(done)
	faults.Wait()
	took := time.Since(r.began)
	r.readBack()
	if err := r.err(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.logged())
	}
	if len(b.faults) == 0 {
		if err := c.check(ctx); err != nil {
			return nil, err
		}
	}
	r.report(t, users, took, len(mishaps))
	return r, nil
}

// report logs the figures of a run.
func (r *run) report(t *testing.T, users int, took time.Duration, mishaps int) {
	t.Helper()
	t.Logf("%d operations of %d users in %.0f s, %.0f a second; %d without an answer; %d codes accepted; %d faults; after a call without an answer, a client waited for a success for at most %.1f s, until %.0f ms",
		r.calls.Load(), users, time.Since(r.began).Seconds(), float64(users*members*perMember)/took.Seconds(), r.unknowns.Load(),
		r.counted("verify: 200 accepted"), mishaps, r.longest.Seconds(), float64(r.longestAt)/1e6)
	var counts []string
	r.counts.Range(func(what, n any) bool {
		counts = append(counts, what.(string))
		return true
	})
	slices.Sort(counts)
	for _, what := range counts {
		t.Logf("%8d %s", r.counted(what), what)
	}
}

// checkTime bounds the check of one user. A check that takes longer fails.
const checkTime = 30 * time.Second

// check checks the history of each user and returns a description of each that no
// sequence of calls explains.
func (r *run) check(t *testing.T) (bad []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				result := porcupine.CheckOperationsTimeout(model, r.users[i].history, checkTime)
				if result == porcupine.Ok {
					continue
				}
				mu.Lock()
				if len(bad) < 5 {
					bad = append(bad, describe(t.Context(), r.users[i], result))
				} else {
					bad = append(bad, r.users[i].id)
				}
				mu.Unlock()
			}
		})
	}
	for i := range r.users {
		next <- i
	}
	close(next)
	wg.Wait()
	return bad
}

// describe prints a history and draws it into bin.
func describe(ctx context.Context, u *subject, result porcupine.CheckResult) string {
	var s strings.Builder
	_, info := porcupine.CheckOperationsVerbose(model, u.history, checkTime)
	file := filepath.Join("..", "..", "bin", "torture-"+u.id+".html")
	err := os.MkdirAll(filepath.Dir(file), 0o777)
	if err == nil {
		err = porcupine.VisualizePath(model, info, file)
	}
	fmt.Fprintf(&s, "%s: %v, drawn in bin/%s (%v)\n", u.id, result, filepath.Base(file), err)
	slices.SortFunc(u.history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, op := range u.history {
		fmt.Fprintf(&s, "%9.3f %9.3f ms, client %2d: %v -> %v\n", float64(op.Call)/1e6, float64(op.Return)/1e6, op.ClientId, op.Input, op.Output)
	}
	return s.String()
}
