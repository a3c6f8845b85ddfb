package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func enqueue(t *testing.T, s *Store, tenant, id string, at time.Time) {
	t.Helper()
	update(t, s, tenant, func(tx *Tx) error {
		return tx.Enqueue(Event{ID: id, Type: "x", Body: []byte(`{"id":"` + id + `"}`), CreatedAt: at})
	})
}

// claim claims events for a minute and returns their ids.
func claim(t *testing.T, s *Store, at time.Time, limit int) ([]Event, string) {
	t.Helper()
	events, err := s.ClaimEvents(t.Context(), at, at.Add(time.Minute), upTo(limit))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return events, strings.Join(ids, " ")
}

// upTo claims up to a number of events of each of as many tenants, the longest due.
func upTo(limit int) func([]Due) []Claim {
	return func(due []Due) (claims []Claim) {
		for _, d := range due[:min(limit, len(due))] {
			claims = append(claims, Claim{d.TenantID, limit})
		}
		return claims
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEventsAreClaimedInTurn(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for i, tenant := range []string{"t", "t2", "t"} {
		enqueue(t, s, tenant, fmt.Sprint("e", i), now.Add(time.Duration(i)*time.Second))
	}
	later := now.Add(time.Second)
	events, got := claim(t, s, later, 10)
	if got != "e0 e1" {
		t.Fatalf("got %q: what is due, the oldest first", got)
	}
	e := events[1]
	if e.TenantID != "t2" || e.Type != "x" || string(e.Body) != `{"id":"e1"}` || !e.CreatedAt.Equal(later) || e.Failures != 0 {
		t.Errorf("got %+v", e)
	}
	if _, got := claim(t, s, later.Add(time.Second), 10); got != "e2" {
		t.Errorf("got %q, want the unclaimed ones", got)
	}
	// The claims end one after the other.
	if _, got := claim(t, s, later.Add(time.Minute), 1); got != "e0" {
		t.Errorf("got %q", got)
	}
	if _, got := claim(t, s, later.Add(time.Minute), 10); got != "e1" {
		t.Errorf("got %q", got)
	}
}

// The caller chooses among the tenants with due events, and gets the longest due
// events of each.
func TestClaimsAreChosenByTenant(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for i, tenant := range []string{"t", "t", "t", "t", "t2", "t", "t3", "t2", "t2"} {
		enqueue(t, s, tenant, fmt.Sprint("e", i), now.Add(time.Duration(i)*time.Millisecond))
	}
	enqueue(t, s, "later", "e9", now.Add(time.Hour))
	for _, tt := range []struct {
		due    string
		claims []Claim
		want   string
	}{
		{"t+0 t2+4 t3+6", []Claim{{"t3", 1}, {"t", 2}}, "e0 e1 e6"},
		{"t+2 t2+4", nil, ""},
		{"t+2 t2+4", []Claim{{"t2", 9}, {"t", 1}, {"t3", 1}, {"later", 1}, {"none", 1}}, "e2 e4 e7 e8"},
		{"t+3", []Claim{{"t", 9}}, "e3 e5"},
		{"", nil, ""},
	} {
		var due, ids []string
		events, err := s.ClaimEvents(t.Context(), now.Add(time.Second), now.Add(time.Hour), func(list []Due) []Claim {
			for _, d := range list {
				due = append(due, fmt.Sprintf("%s+%d", d.TenantID, d.Since.Sub(now).Milliseconds()))
			}
			return tt.claims
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		if got := strings.Join(due, " "); got != tt.due {
			t.Errorf("due: got %q, want %q", got, tt.due)
		}
		if got := strings.Join(ids, " "); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.claims, got, tt.want)
		}
	}
}

// Many tenants are claimed in several claims.
func TestClaimsOfManyTenants(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for i := range MaxClaims + 1 {
		enqueue(t, s, fmt.Sprint("t", i), "e", now)
	}
	for _, want := range []int{MaxClaims, 1, 0} {
		events, err := s.ClaimEvents(t.Context(), now, now.Add(time.Hour), upTo(MaxClaims+1))
		if err != nil || len(events) != want {
			t.Errorf("got %d events, %v, want %d", len(events), err, want)
		}
	}
}

func TestEventOfAFailedTransactionIsNotSent(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	stop := errors.New("stop")
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		if err := tx.Enqueue(Event{ID: "e", Type: "x", CreatedAt: now, Body: []byte("{}")}); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if _, got := claim(t, s, now.Add(time.Hour), 10); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestEventsAreSettled(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for _, id := range []string{"dead", "delivered", "failed"} {
		enqueue(t, s, "t", id, now)
	}
	events, _ := claim(t, s, now, 10)
	ctx := t.Context()
	must(t, s.EventDead(ctx, events[0], now))
	must(t, s.EventDelivered(ctx, events[1], now))
	must(t, s.EventFailed(ctx, events[2], now.Add(30*time.Second)))
	if _, got := claim(t, s, now.Add(30*time.Second-1), 10); got != "" {
		t.Errorf("before its time: got %q", got)
	}
	events, got := claim(t, s, now.Add(30*time.Second), 10)
	if got != "failed" || events[0].Failures != 1 {
		t.Errorf("got %q, %+v", got, events)
	}
}

// Settling after the end of a claim does not undo what the next claimer did.
func TestEndedClaimSettlesNothing(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	enqueue(t, s, "t", "e", now)
	slow, _ := claim(t, s, now, 1)
	later := now.Add(time.Minute)
	if _, got := claim(t, s, later, 1); got != "e" {
		t.Fatalf("got %q", got)
	}
	for _, settle := range []func() error{
		func() error { return s.EventDead(t.Context(), slow[0], later) },
		func() error { return s.EventFailed(t.Context(), slow[0], later) },
		func() error { return s.EventDelivered(t.Context(), slow[0], later) },
	} {
		must(t, settle())
	}
	events, got := claim(t, s, later.Add(time.Minute), 1)
	if got != "e" || events[0].Failures != 0 {
		t.Errorf("got %q, %+v", got, events)
	}
}

func TestConcurrentClaimsShareTheEvents(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	stores := []*Store{mustOpen(t, database)}
	if storetest.Postgres() { // SQLite's file has one process
		stores = append(stores, mustOpen(t, database))
	}
	const n = 60
	update(t, stores[0], "t", func(tx *Tx) error {
		for i := range n {
			if err := tx.Enqueue(Event{ID: fmt.Sprint(i), Type: "x", CreatedAt: now, Body: []byte("{}")}); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	claims := map[string]int{}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for range n {
				events, err := stores[i%len(stores)].ClaimEvents(t.Context(), now, now.Add(time.Minute), upTo(7))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, e := range events {
					claims[e.ID]++
				}
				done := len(claims) == n
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(claims) != n {
		t.Errorf("%d of %d events were claimed", len(claims), n)
	}
	for id, times := range claims {
		if times != 1 {
			t.Errorf("event %s was claimed %d times", id, times)
		}
	}
}

func TestCleanEventsDeletesOldEvents(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for _, id := range []string{"dead", "delivered", "new", "waiting"} {
		enqueue(t, s, "t", id, now)
	}
	events, _ := claim(t, s, now, 3)
	must(t, s.EventDead(t.Context(), events[0], now))
	must(t, s.EventDelivered(t.Context(), events[1], now))
	must(t, s.EventDelivered(t.Context(), events[2], now.Add(time.Second)))
	must(t, s.CleanEvents(t.Context(), now.Add(time.Second)))
	var ids string
	rows, err := s.db.Query(s.dialect.rebind(`SELECT event_id FROM outbox ORDER BY event_id`))
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		must(t, rows.Scan(&id))
		ids += id + " "
	}
	if must(t, rows.Err()); ids != "new waiting " {
		t.Errorf("got %q", ids)
	}
}
