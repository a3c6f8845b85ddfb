package store

import (
	"errors"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// putOutcome sets the outcome of an action of the tenant t, which it creates.
func putOutcome(t *testing.T, s *Store, o api.Outcome) {
	t.Helper()
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		_, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: o, Rules: []api.ActionRule{{RuleID: "first"}}})
		return err
	})
}

// outcome returns that of the action, through the cache.
func outcome(t *testing.T, s *Store) (o api.Outcome) {
	t.Helper()
	view(t, s, "t", func(tx *Tx) error {
		got, _, err := tx.ActionSettings("pay")
		o = got.DefaultOutcome
		return err
	})
	return o
}

// A caller that changes settings gets a copy from the database, not from the cache.
func TestActionSettingsForChangeIsAnUncachedCopy(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	putOutcome(t, s, api.OutcomeReview)
	if got := outcome(t, s); got != api.OutcomeReview { // it is cached now
		t.Fatalf("got %s", got)
	}
	update(t, s, "t", func(tx *Tx) error { // as another replica does
		_, err := tx.exec(`UPDATE action_settings SET settings = '{"defaultOutcome":"BLOCK","rules":[{"ruleId":"first"}]}'`)
		return err
	})
	for range 2 {
		update(t, s, "t", func(tx *Tx) error {
			got, found, err := tx.ActionSettingsForChange("pay")
			if err != nil || !found || got.DefaultOutcome != api.OutcomeBlock || len(got.Rules) != 1 || got.Rules[0].RuleID != "first" {
				t.Fatalf("got %+v, %v, %v", got, found, err)
			}
			got.Rules[0].RuleID = "changed"
			return nil
		})
	}
}

// A later writer of the same commit sees the changes of an earlier one, but the
// cache does not keep them: the commit may fail.
func TestUncommittedChangesAreNotCached(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // its writers share nothing
	}
	s := mustOpen(t, storetest.Database(t))
	s.writers.life = time.Hour // however slow the machine is, the second one joins
	putOutcome(t, s, api.OutcomeReview)
	var seen api.Outcome
	second := make(chan error, 1)
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		go func() {
			second <- s.Update(t.Context(), "t", func(tx *Tx) error {
				got, _, err := tx.ActionSettings("pay")
				seen = got.DefaultOutcome
				if err == nil {
					_, err = tx.exec(`ROLLBACK`) // as SQLite does by itself when the disk is full
				}
				return errors.Join(err, errors.New("disk full"))
			})
		}()
		awaitWriter(s)
		_, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeAllow})
		return err
	})
	if other := <-second; err == nil || other == nil {
		t.Fatalf("got %v and %v, want two errors", err, other)
	}
	if seen != api.OutcomeAllow {
		t.Errorf("the second one saw %s", seen)
	}
	if got := outcome(t, s); got != api.OutcomeReview {
		t.Errorf("got %s, which was undone", got)
	}
}

// A commit may reach the database although its answer is lost.
func TestFailedCommitClearsTheCache(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	putOutcome(t, s, api.OutcomeReview)
	if got := outcome(t, s); got != api.OutcomeReview { // it is cached now
		t.Fatalf("got %s", got)
	}
	before := s.cache.generation.Load()
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		_, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeBlock})
		if err == nil {
			_, err = tx.exec(`COMMIT`)
		}
		return err
	})
	if err == nil && !storetest.Postgres() { // which only warns of the second commit
		t.Error("the commit did not fail")
	}
	if got := outcome(t, s); got != api.OutcomeBlock || s.cache.generation.Load() == before {
		t.Errorf("got %s", got)
	}
}

// A transaction sees the database as it was at its beginning, and must not put
// that into the cache after a change.
func TestReadsOfAnOlderTransactionAreNotCached(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	putOutcome(t, s, api.OutcomeReview)
	view(t, s, "t", func(tx *Tx) error {
		if _, err := tx.Origins(); err != nil { // the view is as of now
			return err
		}
		putOutcome(t, s, api.OutcomeBlock)
		got, _, err := tx.ActionSettings("pay")
		if got.DefaultOutcome != api.OutcomeReview && !storetest.Postgres() {
			t.Errorf("the view is not an old one: %s", got.DefaultOutcome)
		}
		return err
	})
	if got := outcome(t, s); got != api.OutcomeBlock {
		t.Errorf("got %s, want what was set last", got)
	}
}

// Every preflight looks an origin up, an unknown one too.
func TestUnknownOriginsAreCached(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	putOutcome(t, s, api.OutcomeReview) // makes the tenant
	const origin = "https://shop.test"
	has := func() bool {
		t.Helper()
		has, err := s.HasOrigin(t.Context(), origin)
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	if has() {
		t.Error("an unknown origin was found")
	}
	if n := len(s.cache.entries); n != 1 {
		t.Errorf("%d entries in the cache, want 1", n)
	}
	for _, origins := range [][]string{{origin}, {}} {
		update(t, s, "t", func(tx *Tx) error { _, err := tx.SetOrigins(origins); return err })
		for range 2 { // read, and from the cache
			if got, want := has(), len(origins) > 0; got != want {
				t.Errorf("%v: got %v", origins, got)
			}
		}
	}
}
