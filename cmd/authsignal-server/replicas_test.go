package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A fleet is the server processes on one database: two on PostgreSQL, one on
// SQLite. Requests go to them in turn, as behind a round-robin.
type fleet struct {
	t        *testing.T
	database string
	args     []string
	turn     atomic.Uint64

	mu        sync.Mutex
	processes []*process
}

func newFleet(t *testing.T, args ...string) *fleet {
	f := &fleet{t: t, database: storetest.Empty(t), args: append([]string{"-rate-limit", "0"}, args...)}
	n := 1
	if storetest.Postgres() {
		n = 2
		f.args = append(f.args, "-db-wait", "1m")
	}
	f.processes = make([]*process, n)
	var wg sync.WaitGroup // at once, as an orchestrator starts them
	for i := range f.processes {
		wg.Go(func() { f.processes[i] = f.start() })
	}
	wg.Wait()
	return f
}

// start starts a process. Its clients and it have the time that hundreds of calls at once
// take on a slow machine.
func (f *fleet) start() *process {
	f.t.Helper()
	p := start(f.t, f.database, f.args...)
	p.client.Timeout = time.Minute
	return p
}

// next returns the process whose turn it is.
func (f *fleet) next() *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[f.turn.Add(1)%uint64(len(f.processes))]
}

// killAndReplace ends a process without warning and starts another one.
func (f *fleet) killAndReplace(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kill(f.t, f.processes[i])
	f.processes[i] = f.start()
}

// try is post for a server that may be killed. ok reports whether there was an
// answer of success.
func (p *process) try(path, token, body string) (v map[string]any, ok bool) {
	res, err := p.send(path, token, body)
	if err != nil {
		return nil, false
	}
	defer res.Body.Close()
	if json.NewDecoder(res.Body).Decode(&v) != nil || res.StatusCode != http.StatusOK {
		return nil, false
	}
	return v, true
}

func (f *fleet) enrolled(user string) (secret string) {
	f.t.Helper()
	tr := f.next().track(user, "enroll")
	secret = f.next().post("/client/user-authenticators/totp", tr.Token, "")["secret"].(string)
	if !f.next().verify(tr.Token, codeAt(secret, 0)) {
		f.t.Fatal("the enrollment's code was refused")
	}
	return secret
}

func codeAt(secret string, offset int64) string {
	p := totp.DefaultParameters
	c, err := totp.Code(secret, p.Step(time.Now())+offset, p)
	if err != nil {
		panic(err)
	}
	return c
}

func TestTheSameCodeTwoHundredTimesAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	secret := f.enrolled("u1")
	tr, code := f.next().track("u1", "k"), codeAt(secret, 1)
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if f.next().verify(tr.Token, code) {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	if got := accepted.Load(); got != 1 {
		t.Errorf("accepted %d times", got)
	}
}

func TestTheLimitIsNeverExceeded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	secret := f.enrolled("u1")
	tr := f.next().track("u1", "k")
	right := map[string]bool{}
	for o := int64(-3); o <= 3; o++ {
		right[codeAt(secret, o)] = true
	}
	var judged atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		guess := fmt.Sprintf("%06d", i)
		if right[guess] {
			continue
		}
		wg.Go(func() {
			v := f.next().post("/client/verify/totp", tr.Token, `{"verificationCode":"`+guess+`"}`)
			if v["failureReason"] == "CODE_INVALID_OR_EXPIRED" {
				judged.Add(1)
			}
		})
	}
	wg.Wait()
	if got := judged.Load(); got != 10 {
		t.Errorf("%d guesses were judged, want 10", got)
	}
}

func TestConcurrentFirstTracksMakeOneAction(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var mu sync.Mutex
	created := map[time.Time]bool{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			f.next().track("u1", "k")
			a, err := f.next().client.Action(t.Context(), "u1", "signIn", "k")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			created[a.CreatedAt] = true
		})
	}
	wg.Wait()
	if len(created) != 1 {
		t.Errorf("the action was created at %d times", len(created))
	}
}

// An acknowledgement is a change that a client received a success for. It must be
// in the database, even if the process was killed after the answer.
type acknowledgement struct {
	user, key, token, code string
	enrolled               bool
}

// enroll tracks an action of a new user and enrolls an authenticator. ok reports
// whether the action was acknowledged.
func (f *fleet) enroll(ctx context.Context, user string) (a acknowledgement, ok bool) {
	a = acknowledgement{user: user, key: "k"}
	tr, err := f.next().client.Track(ctx, authsignal.TrackRequest{
		UserID: a.user, Action: "signIn", Attributes: authsignal.Attributes{IdempotencyKey: a.key},
	})
	if err != nil {
		return a, false
	}
	a.token = tr.Token
	if v, ok := f.next().try("/client/user-authenticators/totp", tr.Token, ""); ok {
		code := codeAt(v["secret"].(string), 0)
		if v, ok := f.next().try("/client/verify/totp", tr.Token, `{"verificationCode":"`+code+`"}`); ok && v["isVerified"] == true {
			a.enrolled, a.code = true, code
		}
	}
	return a, true
}

// kept fails the test unless everything that was acknowledged is in the database,
// once, and nothing is wrong there. It returns how many enrollments there are, and
// how many changes are lost.
func (f *fleet) kept(acknowledged []acknowledgement) (enrolled, lost int) {
	f.t.Helper()
	p := f.processes[0]
	for _, a := range acknowledged {
		state, err := p.client.Action(f.t.Context(), a.user, "signIn", a.key)
		if err != nil {
			f.t.Errorf("%s: the action is lost: %v", a.user, err)
			lost++
			continue
		}
		if !a.enrolled {
			continue
		}
		enrolled++
		list, err := p.client.Authenticators(f.t.Context(), a.user)
		if err != nil || len(list) != 1 || state.State != authsignal.StateChallengeSucceeded {
			f.t.Errorf("%s: got %d authenticators, state %s, %v", a.user, len(list), state.State, err)
			lost++
		}
		if p.verify(a.token, a.code) {
			f.t.Errorf("%s: the code was accepted twice", a.user)
		}
	}
	checked(f.t, f.database)
	return enrolled, lost
}

// Processes are killed repeatedly under load. Changes that were not acknowledged
// may be lost, acknowledged ones must not be.
func TestAKillInMidLoadLosesNoAcknowledgement(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	const workers, perKill = 8, 25
	kills := 4
	if s := os.Getenv("AUTHSIGNAL_TEST_KILLS"); s != "" { // make test-all sets more
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal("AUTHSIGNAL_TEST_KILLS must be a number")
		}
	}
	var mu sync.Mutex
	var acknowledged []acknowledgement
	enough := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a, ok := f.enroll(ctx, fmt.Sprintf("u%d-%d", w, i))
				if !ok {
					continue
				}
				mu.Lock()
				acknowledged = append(acknowledged, a)
				n := len(acknowledged)
				mu.Unlock()
				if n%perKill == 0 {
					select {
					case enough <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	await := func() {
		select {
		case <-enough:
		case <-time.After(2 * time.Minute):
			t.Fatal("no load: no change was acknowledged for two minutes")
		}
	}
	for i := range kills {
		await()
		f.killAndReplace(i % len(f.processes))
	}
	await()
	stop()
	wg.Wait()

	enrolled, lost := f.kept(acknowledged)
	t.Logf("%d actions and %d enrollments were acknowledged over %d kills, %d lost", len(acknowledged), enrolled, kills, lost)
	if enrolled < perKill {
		t.Errorf("only %d enrollments: the load was too light for a result", enrolled)
	}
}
