package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// audited returns the kinds in a tenant's audit log, each once.
func audited(t *testing.T, s *Store) map[AuditKind]bool {
	t.Helper()
	kinds := map[AuditKind]bool{}
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		list, err := tx.AuditEvents("", 1000)
		for _, e := range list {
			if kinds[e.Kind] {
				t.Errorf("%s was written twice", e.Kind)
			}
			kinds[e.Kind] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// A writer that fails or panics leaves nothing behind, and those that share its
// commit are not affected: what Update reported as stored is stored.
func TestWritersThatShareACommitFailAlone(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	failed := errors.New("failed")
	write := func(i int) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = failed
			}
		}()
		return s.Update(t.Context(), "t", func(tx *Tx) error {
			if err := tx.Audit(AuditEvent{At: now, Kind: AuditKind(fmt.Sprint(i))}); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return failed
			case 2:
				panic("in the midst")
			}
			return nil
		})
	}
	const n = 200
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = write(i) })
	}
	wg.Wait()
	there := audited(t, s)
	for i, err := range errs {
		if wantErr := i%4 == 1 || i%4 == 2; (err != nil) != wantErr || there[AuditKind(fmt.Sprint(i))] == wantErr {
			t.Errorf("writer %d: got %v, written %v", i, err, there[AuditKind(fmt.Sprint(i))])
		}
	}
}

// A canceled writer stops waiting at any time, and never keeps the turn.
func TestCanceledWritersBlockNoOthers(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	var wg sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%20)*time.Millisecond)
			defer cancel()
			errs[i] = s.Update(ctx, "t", func(tx *Tx) error { return tx.Audit(AuditEvent{At: now, Kind: AuditKind(fmt.Sprint(i))}) })
		})
	}
	wg.Wait()
	there := audited(t, s)
	for i, err := range errs {
		if err == nil && !there[AuditKind(fmt.Sprint(i))] {
			t.Errorf("Update of writer %d succeeded, but its line is missing", i)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Update(ctx, "t", func(tx *Tx) error { return tx.Audit(AuditEvent{At: now, Kind: "last"}) }); err != nil {
		t.Errorf("the turn is lost: %v", err)
	}
}

// awaitWriter returns when another writer waits for its turn.
func awaitWriter(s *Store) {
	for {
		s.writers.mu.Lock()
		n := len(s.writers.queue)
		s.writers.mu.Unlock()
		if n > 0 {
			return
		}
		runtime.Gosched()
	}
}

// A writer that fails because of what another one of its group has written returns
// after the commit: what its error tells of can then be read by all.
func TestErrorsOfSharedChangesWaitForTheCommit(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // its writers share nothing
	}
	s := mustOpen(t, storetest.Database(t))
	s.writers.life = time.Hour // however slow the machine is, the others join
	failed := errors.New("it is there")
	queued := func(n int) bool {
		s.writers.mu.Lock()
		defer s.writers.mu.Unlock()
		return len(s.writers.queue) == n
	}
	seen := make(chan bool, 1)
	errs := make(chan error, 2)
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		go func() {
			errs <- s.Update(t.Context(), "t", func(tx *Tx) error {
				list, err := tx.AuditEvents("", 1)
				if err != nil || len(list) != 1 {
					return fmt.Errorf("got %v, %w", list, err)
				}
				return failed
			})
			seen <- audited(t, s)["first"]
		}()
		for !queued(1) {
			runtime.Gosched()
		}
		go func() {
			errs <- s.Update(t.Context(), "t", func(*Tx) error {
				// The group is not committed before the other one has returned, or has
				// had the time to.
				select {
				case there := <-seen:
					seen <- there
				case <-time.After(100 * time.Millisecond):
				}
				return nil
			})
		}()
		for !queued(2) {
			runtime.Gosched()
		}
		return tx.Audit(AuditEvent{At: now, Kind: "first"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := <-errs, <-errs; !errors.Is(errors.Join(a, b), failed) || a != nil && b != nil {
		t.Errorf("got %v and %v", a, b)
	}
	if !<-seen {
		t.Error("Update returned an error because of a change that others could not read yet")
	}
}

// If the whole transaction is undone, Update fails for all that share it.
func TestUndoneGroupFailsForAllMembers(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // its writers share nothing
	}
	s := mustOpen(t, storetest.Database(t))
	s.writers.life = time.Hour // however slow the machine is, the second one joins
	first, second := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		once.Do(func() {
			go func() {
				close(first)
				second <- s.Update(t.Context(), "t", func(tx *Tx) error {
					_, err := tx.exec(`ROLLBACK`) // as SQLite does by itself when the disk is full
					return errors.Join(err, errors.New("disk full"))
				})
			}()
			<-first
			awaitWriter(s)
		})
		return tx.Audit(AuditEvent{At: now, Kind: "first"})
	})
	if other := <-second; err == nil || other == nil {
		t.Errorf("got %v and %v, want two errors", err, other)
	}
	if audited(t, s)["first"] {
		t.Error("the first one is there")
	}
	update(t, s, "t", func(tx *Tx) error { return tx.Audit(AuditEvent{At: now, Kind: "after"}) })
}

// A queued write that fails makes the transaction fail.
func TestFailedQueuedWriteRollsBack(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := Action{ActionID: ActionID{"u", "pay", "k"}, State: api.StateAllow, CreatedAt: now, StateUpdatedAt: now}
	update(t, s, "t", func(tx *Tx) error { return tx.InsertAction(a) })
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		if err := tx.Audit(AuditEvent{At: now, Kind: "gone"}); err != nil {
			return err
		}
		if err := tx.InsertAction(a); err != nil { // on PostgreSQL the next statement's
			return err
		}
		_, err := tx.EnsureUser("u", now)
		return err
	})
	if err == nil {
		t.Error("no error")
	}
	if audited(t, s)["gone"] {
		t.Error("the rest was kept")
	}
	// The statements after a write see it.
	update(t, s, "t", func(tx *Tx) error {
		if err := tx.Audit(AuditEvent{At: now, Kind: "seen"}); err != nil {
			return err
		}
		list, err := tx.AuditEvents("", 1)
		if err != nil || len(list) != 1 || list[0].Kind != "seen" {
			t.Errorf("got %v, %v", list, err)
		}
		return nil
	})
}

// A change clears the cache, and another replica sees it within cacheAge.
func TestChangesReachTheCache(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	other := s
	if storetest.Postgres() {
		other = mustOpen(t, database)
	}
	settings := api.DefaultAuthenticatorSettings("Acme")
	update(t, s, "t", func(tx *Tx) error { _, err := tx.PutTenant(settings, now); return err })
	var key APISecret
	update(t, s, "t", func(tx *Tx) (err error) { key, _, err = tx.EnsureSecret("secret", now); return err })
	found := func(s *Store, at time.Time) bool {
		t.Helper()
		tenant, found, err := s.TenantOfSecret(t.Context(), "secret", at)
		if err != nil || found && tenant.ID != "t" {
			t.Fatalf("got %+v, %v", tenant, err)
		}
		return found
	}
	for _, st := range []*Store{s, other} {
		if !found(st, now) {
			t.Fatal("the secret is not known")
		}
	}
	// A new key makes it expire, at its time.
	update(t, s, "t", func(tx *Tx) error {
		if err := tx.ExpireSecrets(now.Add(time.Hour)); err != nil {
			return err
		}
		_, _, err := tx.EnsureSecret("next", now)
		return err
	})
	if !found(s, now.Add(time.Hour-1)) || found(s, now.Add(time.Hour)) {
		t.Error("the overlap is not kept")
	}
	// A failed change revokes nothing, a revocation takes effect at once.
	update(t, s, "t", func(tx *Tx) error { _, err := tx.RevokeSecret(key.ID, now); return err })
	if found(s, now) {
		t.Error("a revoked secret is in force")
	}
	deadline := time.Now().Add(time.Minute)
	for found(other, now) {
		if time.Now().After(deadline) {
			t.Fatal("another replica never hears of it")
		}
		time.Sleep(10 * time.Millisecond) // between polls
	}
	update(t, s, "t", func(tx *Tx) error {
		for _, want := range []api.Outcome{api.OutcomeBlock, api.OutcomeReview} {
			if _, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: want}); err != nil {
				return err
			}
		}
		return nil
	})
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		if got, found, err := tx.ActionSettings("pay"); err != nil || !found || got.DefaultOutcome != api.OutcomeReview {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
