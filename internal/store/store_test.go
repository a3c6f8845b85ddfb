package store

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

var key = storetest.Key

func open(t *testing.T, database string, keys ...[]byte) (*Store, error) {
	t.Helper()
	s, err := Open(t.Context(), database, func(bool) ([][]byte, error) { return keys, nil })
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func mustOpen(t *testing.T, database string) *Store {
	t.Helper()
	return storetest.Open(t, database, Open)
}

func update(t *testing.T, s *Store, tenant string, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), tenant, fn); err != nil {
		t.Fatal(err)
	}
}

var now = time.UnixMilli(1_700_000_000_123).UTC()

// pending stores a user with a pending authenticator and returns it as stored.
func pending(t *testing.T, s *Store, tenant, user, id, secret string) Authenticator {
	t.Helper()
	var out Authenticator
	update(t, s, tenant, func(tx *Tx) error {
		if _, err := tx.EnsureUser(user, now); err != nil {
			return err
		}
		_, err := tx.InsertPending(Authenticator{
			ID: id, UserID: user, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters,
			Began: ActionID{user, "enroll", id}, CreatedAt: now,
		}, secret, now.Add(-time.Hour))
		if err != nil {
			return err
		}
		list, err := tx.Authenticators(user)
		for _, a := range list {
			if a.ID == id {
				out = a
			}
		}
		return err
	})
	return out
}

func TestErrorRollsBack(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	stop := errors.New("stop")
	err := s.Update(t.Context(), "t", func(tx *Tx) error {
		if _, err := tx.EnsureUser("u", now); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	update(t, s, "t", func(tx *Tx) error {
		if _, found, err := tx.User("u"); err != nil || found {
			t.Errorf("got %v, %v", found, err)
		}
		return nil
	})
}

// However a transaction ends, no connection of PostgreSQL keeps it open, and the
// next transaction sees nothing of it.
func TestNoTransactionStaysOpen(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	update(t, s, "t", func(tx *Tx) error { _, err := tx.EnsureUser("there", now); return err })
	stop := errors.New("stop")
	broken := func(tx *Tx) error { return tx.queryRow(`SELECT no_such_column FROM users`).Scan(new(int)) }
	for name, tt := range map[string]struct {
		fn func(*Tx, context.CancelFunc) error
		ok bool
	}{
		"nothing is done":        {func(*Tx, context.CancelFunc) error { return nil }, true},
		"nothing is done, badly": {func(*Tx, context.CancelFunc) error { return stop }, false},
		"it is only read":        {func(tx *Tx, _ context.CancelFunc) error { _, _, err := tx.User("there"); return err }, true},
		"a statement fails":      {func(tx *Tx, _ context.CancelFunc) error { return broken(tx) }, false},
		"the caller gives up": {func(tx *Tx, cancel context.CancelFunc) error {
			if _, err := tx.EnsureUser("u", now); err != nil {
				return err
			}
			cancel()
			return stop
		}, false},
		"the last writes fail": {func(tx *Tx, _ context.CancelFunc) error {
			return tx.CompleteAction(ActionID{UserID: "there", Action: "a", IdempotencyKey: "none"}, api.StateAllow, Authenticator{}, 0, now)
		}, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Update(ctx, "t", func(tx *Tx) error { return tt.fn(tx, cancel) })
		cancel()
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if storetest.Postgres() {
		// A failed statement leaves nothing to commit, even if its error is ignored.
		err := s.Update(t.Context(), "t", func(tx *Tx) error {
			broken(tx)
			return nil
		})
		if err == nil {
			t.Error("a transaction that has failed was committed")
		}
		var open int
		err = s.db.QueryRow(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&open)
		if err != nil || open != 0 {
			t.Errorf("%d transactions are open, %v", open, err)
		}
	}
	update(t, s, "t", func(tx *Tx) error {
		if _, found, err := tx.User("u"); err != nil || found {
			t.Errorf("got %v, %v", found, err)
		}
		_, err := tx.EnsureUser("next", now)
		return err
	})
}

func TestWaitingWriterStopsWithItsContext(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, filepath.Join(t.TempDir(), "a.db"))
	update(t, s, "t", func(*Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Update(ctx, "t", func(*Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		return nil
	})
}

// Readers hold a connection while a statement is prepared on another: one must be
// free, however many readers there are.
func TestManyReadersOfAFreshStore(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			err := s.View(ctx, "t", func(tx *Tx) error {
				var n int
				// A query that is not prepared yet.
				return tx.queryRow(`SELECT COUNT(*) + `+strconv.Itoa(i)+` FROM users WHERE tenant_id = ?`, "t").Scan(&n)
			})
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, _, err := s.TenantOfSecret(ctx, "sk", now); err != nil {
				t.Error(err)
			}
		})
		if i%10 == 0 {
			wg.Go(func() {
				if err := s.Update(ctx, "t", func(tx *Tx) error { _, err := tx.EnsureUser("u", now); return err }); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}
