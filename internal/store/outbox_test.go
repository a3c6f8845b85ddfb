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
	events, err := s.ClaimEvents(t.Context(), at, at.Add(time.Minute), limit, limit, nil)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return events, strings.Join(ids, " ")
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

// No tenant gets more than its share, however many of its events are due.
func TestClaimsGiveNoTenantMoreThanItsShare(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for i, tenant := range []string{"t", "t", "t", "t", "t2", "t", "t3", "t2", "t2"} {
		enqueue(t, s, tenant, fmt.Sprint("e", i), now.Add(time.Duration(i)*time.Millisecond))
	}
	claim := func(limit, share int, busy map[string]int) string {
		t.Helper()
		events, err := s.ClaimEvents(t.Context(), now.Add(time.Second), now.Add(time.Hour), limit, share, busy)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		return strings.Join(ids, " ")
	}
	busy := map[string]int{"t2": 1}
	for _, tt := range []struct {
		limit, share int
		want         string
	}{{3, 2, "e0 e1 e4"}, {9, 2, "e2 e3 e6 e7"}, {0, 2, ""}, {9, 1, "e5"}, {9, 2, "e8"}} {
		if got := claim(tt.limit, tt.share, busy); got != tt.want {
			t.Errorf("limit %d, share %d: got %q, want %q", tt.limit, tt.share, got, tt.want)
		}
	}
	if len(busy) != 1 || busy["t2"] != 1 {
		t.Errorf("the caller's map was changed: %v", busy)
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
				events, err := stores[i%len(stores)].ClaimEvents(t.Context(), now, now.Add(time.Minute), 7, 7, nil)
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
	rows, err := s.db.Query(`SELECT event_id FROM outbox ORDER BY event_id`)
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
