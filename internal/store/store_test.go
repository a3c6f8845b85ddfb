package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

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

func TestFilesHaveMode0600(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pending(t, mustOpen(t, filepath.Join(dir, "a.db")), "t", "u", "a", "SECRET")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: got mode %o, want 600", f.Name(), got)
		}
	}
	if len(files) < 3 {
		t.Errorf("got %d files, want database, log and lock", len(files))
	}
}

func TestSecondProcessIsLockedOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	if _, err := open(t, path, key); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want %v and the path", err, ErrLocked)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path)
}

func TestOpenRefusesAWrongKey(t *testing.T) {
	t.Parallel()
	path := storetest.Database(t)
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path, bytes.Repeat([]byte{2}, KeySize)); !errors.Is(err, ErrWrongKey) {
		t.Errorf("got %v, want %v", err, ErrWrongKey)
	}
	if _, err := open(t, path, key[:31]); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("short key: got %v", err)
	}
	mustOpen(t, path)
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	t.Parallel()
	path := storetest.Database(t)
	s := mustOpen(t, path)
	if _, err := s.db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path, key); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v, want %v", err, ErrNewer)
	}
}

func TestOpenPathsWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%41&é.db")
	mustOpen(t, path)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOpenInAMissingDirectory(t *testing.T) {
	t.Parallel()
	if _, err := open(t, filepath.Join(t.TempDir(), "missing", "a.db"), key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestUserRoundTrip(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	var want User
	update(t, s, "t", func(tx *Tx) (err error) {
		if want, err = tx.EnsureUser("u", now); err != nil {
			return err
		}
		if want.Incarnation == "" || !reflect.DeepEqual(want, User{ID: "u", Custom: map[string]any{}, Incarnation: want.Incarnation, CreatedAt: now}) {
			t.Errorf("new: got %+v", want)
		}
		want = User{
			"u", "e@x.org", true, "123", true, "name", "Display", "de",
			api.SMS, map[string]any{"n": 1.5, "b": true}, want.Incarnation, 0, now,
		}
		return tx.PutUser(want)
	})
	update(t, s, "t", func(tx *Tx) error {
		if u, err := tx.EnsureUser("u", now.Add(time.Hour)); err != nil || !reflect.DeepEqual(u, want) {
			t.Errorf("again: got %+v, %v", u, err)
		}
		return nil
	})
	update(t, s, "t", func(tx *Tx) error {
		if got, found, err := tx.User("u"); err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
		return nil
	})
	update(t, s, "another tenant", func(tx *Tx) error {
		if _, found, err := tx.User("u"); err != nil || found {
			t.Errorf("another tenant sees the user: %v, %v", found, err)
		}
		return nil
	})
}

func TestActionRoundTrip(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	want := Action{
		ActionID: ActionID{"u", "pay", "k"}, State: api.StateAllow, CreatedAt: now, StateUpdatedAt: now,
		IPAddress: "192.0.2.1", UserAgent: "UA", DeviceID: "d", RedirectURL: "https://x", Custom: map[string]any{"n": 1.5, "b": true},
		Outcome: api.OutcomeAllow, Rules: []api.Rule{{RuleID: "r", Name: "name"}},
	}
	update(t, s, "t", func(tx *Tx) error { return tx.InsertAction(want) })
	if err := s.Update(t.Context(), "t", func(tx *Tx) error { return tx.InsertAction(want) }); err == nil {
		t.Error("the same id twice: no error")
	}
	later := now.Add(time.Second)
	for _, tt := range []struct {
		from api.State
		want error
	}{{api.StateBlock, ErrActionMoved}, {api.StateAllow, nil}, {api.StateAllow, ErrActionMoved}} {
		err := s.Update(t.Context(), "t", func(tx *Tx) error { return tx.CompleteAction(want.ActionID, tt.from, "a", 0, later) })
		if !errors.Is(err, tt.want) {
			t.Errorf("complete from %s: got %v, want %v", tt.from, err, tt.want)
		}
	}
	want.State, want.StateUpdatedAt, want.VerificationMethod, want.AuthenticatorID = api.StateChallengeSucceeded, later, api.AuthenticatorApp, "a"
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		if got, found, err := tx.Action(want.ActionID); err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	a := pending(t, s, "t", "u", "a", secret)
	update(t, s, "t", func(tx *Tx) error {
		if got, err := tx.Secret(a); err != nil || got != secret {
			t.Errorf("got %q, %v", got, err)
		}
		return nil
	})
	for _, file := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s holds the secret in clear", filepath.Base(file))
		}
	}
}

// A sealed secret that is copied to another row cannot be opened there.
func TestSealedSecretIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	for name, change := range map[string]func(*Authenticator){
		"user":          func(a *Authenticator) { a.UserID = "v" },
		"authenticator": func(a *Authenticator) { a.ID = "b" },
		"shifted":       func(a *Authenticator) { a.UserID, a.ID = "ua", "" },
		"changed":       func(a *Authenticator) { a.sealed = append([]byte{}, a.sealed...); a.sealed[20] ^= 1 },
	} {
		moved := a
		change(&moved)
		update(t, s, "t", func(tx *Tx) error {
			if _, err := tx.Secret(moved); err == nil {
				t.Errorf("%s: opened", name)
			}
			return nil
		})
	}
	update(t, s, "t2", func(tx *Tx) error {
		if _, err := tx.Secret(a); err == nil {
			t.Error("tenant: opened")
		}
		return nil
	})
}

func TestAcceptStepOnlyGrows(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	for _, tt := range []struct {
		step int64
		want bool
	}{{10, true}, {10, false}, {9, false}, {11, true}, {0, false}} {
		update(t, s, "t", func(tx *Tx) error {
			got, err := tx.AcceptStep(a, tt.step, now)
			if got != tt.want {
				t.Errorf("step %d: got %v, want %v", tt.step, got, tt.want)
			}
			return err
		})
	}
}

func TestAcceptStepIsGuardedByItsWrite(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET") // read once, by all
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := s.Update(context.Background(), "t", func(tx *Tx) error {
				ok, err := tx.AcceptStep(a, 5, now)
				if ok {
					accepted.Add(1)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := accepted.Load(); got != 1 {
		t.Errorf("accepted %d times", got)
	}
}

func TestFailuresAreCountedAndDeleted(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	count := func(after time.Time) (n int) {
		update(t, s, "t", func(tx *Tx) (err error) { n, err = tx.FailuresSince(a, after); return err })
		return n
	}
	for i := range 3 {
		update(t, s, "t", func(tx *Tx) error { return tx.Fail(a, now.Add(time.Duration(i)*time.Minute)) })
	}
	if got := count(now.Add(-time.Second)); got != 3 {
		t.Errorf("got %d failures, want 3", got)
	}
	if got := count(now); got != 2 {
		t.Errorf("got %d failures after the first, want 2", got)
	}
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil || len(list) != 1 || list[0].Failures != 3 {
			t.Fatalf("got %+v, %v", list, err)
		}
		_, err = tx.AcceptStep(list[0], 1, now)
		return err
	})
	if got := count(time.Time{}); got != 0 {
		t.Errorf("after a success: got %d failures, want 0", got)
	}
}

func TestStalePendingEnrollmentsAreDeleted(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	pending(t, s, "t", "u", "old", "SECRET")
	pending(t, s, "t", "u2", "theirs", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		later := now.Add(time.Hour)
		replaced, err := tx.InsertPending(Authenticator{
			ID: "new", UserID: "u", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters,
			Began: ActionID{"u", "enroll", "new"}, CreatedAt: later,
		}, "SECRET", later.Add(-time.Minute))
		if replaced {
			t.Error("a stale one of another action counts as replaced")
		}
		return err
	})
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if len(list) != 1 || list[0].ID != "new" {
			t.Errorf("got %v", list)
		}
		if list, err := tx.Authenticators("u2"); err != nil || len(list) != 1 {
			t.Errorf("another user's: got %v, %v", list, err)
		}
		return err
	})
}

func TestPendingEnrollmentOfTheSameActionIsReplaced(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	enroll := func(id string, began ActionID, at time.Time) (replaced bool) {
		t.Helper()
		update(t, s, "t", func(tx *Tx) (err error) {
			replaced, err = tx.InsertPending(Authenticator{
				ID: id, UserID: began.UserID, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters,
				Began: began, CreatedAt: at,
			}, "SECRET", at.Add(-time.Hour))
			return err
		})
		return replaced
	}
	for _, user := range []string{"u", "u2"} {
		update(t, s, "t", func(tx *Tx) error { _, err := tx.EnsureUser(user, now); return err })
	}
	for _, tt := range []struct {
		id    string
		began ActionID
		at    time.Time
		want  bool
	}{
		{"first", ActionID{"u", "enroll", "k"}, now, false},
		{"another key", ActionID{"u", "enroll", "k2"}, now, false},
		{"another action", ActionID{"u", "signIn", "k"}, now, false},
		{"another user", ActionID{"u2", "enroll", "k"}, now, false},
		{"second", ActionID{"u", "enroll", "k"}, now, true},
		{"third", ActionID{"u", "enroll", "k"}, now, true},
		// A newer token of the action could have completed it until now.
		{"after a day, with stale ones", ActionID{"u", "enroll", "k"}, now.Add(24 * time.Hour), true},
	} {
		if got := enroll(tt.id, tt.began, tt.at); got != tt.want {
			t.Errorf("%s: got replaced %v, want %v", tt.id, got, tt.want)
		}
	}
	// One that is verified is not replaced.
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil || len(list) != 1 {
			t.Fatalf("got %+v, %v, want one that is pending", list, err)
		}
		_, err = tx.AcceptStep(list[0], 1, now)
		return err
	})
	if enroll("beside one that is verified", ActionID{"u", "enroll", "k"}, now) {
		t.Error("a verified one counts as replaced")
	}
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
			return tx.CompleteAction(ActionID{UserID: "there", Action: "a", IdempotencyKey: "none"}, api.StateAllow, "", 0, now)
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

func TestReplicasMayStartTogether(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite's file has one process
	}
	database := storetest.Empty(t)
	var wg sync.WaitGroup
	var wrong atomic.Int32
	for i := range 6 {
		wg.Go(func() {
			// One has another key: it, or all the others, must not start.
			k := key
			if i == 3 {
				k = bytes.Repeat([]byte{2}, KeySize)
			}
			s, err := Open(t.Context(), database, func(bool) ([][]byte, error) { return [][]byte{k}, nil })
			switch {
			case errors.Is(err, ErrWrongKey):
				wrong.Add(1)
			case err != nil:
				t.Error(err)
			default:
				s.Close()
			}
		})
	}
	wg.Wait()
	if got := wrong.Load(); got != 1 && got != 5 {
		t.Errorf("%d replicas found the key wrong, want 1 or 5", got)
	}
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	if got, want := numbered(`a = ? AND b IN (?, ?)`), `a = $1 AND b IN ($2, $3)`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	other := bytes.Repeat([]byte{2}, KeySize)
	s := mustOpen(t, database)
	a := pending(t, s, "t", "u", "a", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.PutTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		if _, err := tx.SetWebhookURL("https://hooks.test/?key=SECRET"); err != nil {
			return err
		}
		_, _, err := tx.EnsureSecret("sk", now)
		return err
	})
	update(t, s, "", func(tx *Tx) error {
		return tx.InsertSigningKey(SigningKey{ID: "k", Secret: []byte("a signing key of thirty-two bytes"), CreatedAt: now, SignsFrom: now})
	})
	before := signingKeys(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// A new key is accepted beside the old one.
	if _, err := open(t, database, other); !errors.Is(err, ErrWrongKey) {
		t.Errorf("a new key alone: got %v, want %v", err, ErrWrongKey)
	}
	s, err := open(t, database, other, key)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.RotateKey(t.Context()); err != nil || n != 4 {
		t.Errorf("got %d secrets, %v, want 4", n, err)
	}
	if n, err := s.RotateKey(t.Context()); err != nil || n != 0 {
		t.Errorf("again: got %d secrets, %v, want 0", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Afterwards the new key suffices, and the old one does not.
	if _, err := open(t, database, key); !errors.Is(err, ErrWrongKey) {
		t.Errorf("the old key: got %v, want %v", err, ErrWrongKey)
	}
	s, err = open(t, database, other)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil {
			return err
		}
		if got, err := tx.Secret(list[0]); err != nil || got != "SECRET" || list[0].ID != a.ID {
			t.Errorf("got %q, %v", got, err)
		}
		return nil
	})
	if after := signingKeys(t, s); len(after) != 1 || !reflect.DeepEqual(after, before) {
		t.Errorf("signing keys: got %d", len(after))
	}
	if got, _, err := s.Tenant(t.Context(), "t"); err != nil || got.WebhookURL != "https://hooks.test/?key=SECRET" {
		t.Errorf("webhook URL: got %q, %v", got.WebhookURL, err)
	}
}

func signingKeys(t *testing.T, s *Store) (keys []SigningKey) {
	t.Helper()
	err := s.View(t.Context(), "", func(tx *Tx) (err error) {
		keys, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if err := tx.Fail(a, now); err != nil {
			return err
		}
		if found, err := tx.Unlock("another", "a"); err != nil || found {
			t.Errorf("another user's: got %v, %v", found, err)
		}
		found, err := tx.Unlock("u", "a")
		if err != nil || !found {
			t.Errorf("got %v, %v", found, err)
		}
		if n, err := tx.FailuresSince(a, time.Time{}); err != nil || n != 0 {
			t.Errorf("got %d failures, %v", n, err)
		}
		list, err := tx.Authenticators("u")
		if list[0].Failures != 0 {
			t.Errorf("got %d in a row", list[0].Failures)
		}
		return err
	})
}

func TestSettingsOfAnEarlierVersionHaveDefaults(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	update(t, s, "t", func(tx *Tx) error {
		_, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now)
		return err
	})
	storetest.Exec(t, database, `UPDATE tenants SET authenticator = REPLACE(authenticator, '"maxAuthenticators":10,', '')`)
	got, _, err := s.Tenant(t.Context(), "t")
	if want := api.DefaultAuthenticatorSettings("Acme"); err != nil || got.Authenticator != want {
		t.Errorf("got %+v, %v, want %+v", got.Authenticator, err, want)
	}
}

func TestEndTokensBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureUser("u", now); err != nil {
			return err
		}
		for id, want := range map[string]bool{"u": true, "another": false} {
			epoch, found, err := tx.EndTokens(id)
			if err != nil || found != want || found && epoch != 1 {
				t.Errorf("%s: got %v, epoch %d, %v, want %v", id, found, epoch, err, want)
			}
		}
		return nil
	})
}

func TestCleanKeepsRecentRows(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	pending(t, s, "t", "u", "pending", "SECRET")
	verified := pending(t, s, "t", "u2", "verified", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		if _, err := tx.AcceptStep(verified, 1, now); err != nil {
			return err
		}
		for i := range 2500 {
			at := now.Add(-time.Duration(i) * time.Hour)
			err := tx.InsertAction(Action{ActionID: ActionID{"u", "pay", strconv.Itoa(i)}, State: api.StateAllow, CreatedAt: at, StateUpdatedAt: at})
			if err != nil {
				return err
			}
			if err := tx.Audit(AuditEvent{At: at, Kind: AuditCodeAccepted}); err != nil {
				return err
			}
		}
		return nil
	})
	n, err := s.Clean(t.Context(), Retention{Actions: 100 * time.Hour, Audit: 200 * time.Hour, Pending: time.Hour}, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(2400 + 2400 + 2300); n != want { // actions, their counts, and audit lines
		t.Errorf("got %d rows, want %d", n, want)
	}
	n, err = s.Clean(t.Context(), Retention{Actions: 100 * time.Hour, Audit: 200 * time.Hour, Pending: time.Minute}, now.Add(30*time.Minute))
	if err != nil || n != 1 {
		t.Errorf("pending: got %d rows, %v, want 1", n, err)
	}
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u2")
		if len(list) != 1 {
			t.Error("the verified authenticator went")
		}
		return err
	})
}

// Audit lines of the whole server are kept as long as those of a tenant.
func TestCleanDeletesTheServersOwnAuditLines(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "", func(tx *Tx) error {
		return errors.Join(tx.Audit(AuditEvent{At: now.Add(-2 * time.Hour), Kind: AuditConfiguration}),
			tx.Audit(AuditEvent{At: now, Kind: AuditConfiguration}))
	})
	n, err := s.Clean(t.Context(), Retention{Actions: time.Hour, Audit: time.Hour, Pending: time.Hour}, now)
	if err != nil || n != 1 {
		t.Errorf("got %d rows, %v, want 1", n, err)
	}
	view(t, s, "", func(tx *Tx) error {
		list, err := tx.AuditEvents("", 10)
		if len(list) != 1 || !list[0].At.Equal(now) {
			t.Errorf("got %+v", list)
		}
		return err
	})
}

func TestAuditLogIsNewestFirst(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		for i, user := range []string{"u1", "u2", "u1"} {
			err := tx.Audit(AuditEvent{
				At: now.Add(time.Duration(i) * time.Second), Kind: AuditCodeRefused, ActionID: ActionID{user, "signIn", "k"},
				Detail: map[string]any{"n": float64(i)},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.AuditEvents("u1", 10)
		if err != nil || len(list) != 2 || list[0].Detail["n"] != 2.0 || list[1].Detail["n"] != 0.0 || !list[0].At.Equal(now.Add(2*time.Second)) {
			t.Errorf("got %+v, %v", list, err)
		}
		list, err = tx.AuditEvents("", 2)
		if len(list) != 2 || list[1].UserID != "u2" {
			t.Errorf("got %+v", list)
		}
		return err
	})
}

func TestBackupWhileInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "a.db"), filepath.Join(dir, "copy.db")
	s := mustOpen(t, path)
	pending(t, s, "t", "u", "a", "SECRET")
	if err := Backup(t.Context(), path, file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if err := Backup(t.Context(), path, file); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: got %v", err)
	}
	if err := Backup(t.Context(), filepath.Join(dir, "none.db"), filepath.Join(dir, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no database: got %v", err)
	}
	copied := mustOpen(t, file)
	update(t, copied, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil || len(list) != 1 {
			t.Fatalf("got %d, %v", len(list), err)
		}
		if got, err := tx.Secret(list[0]); err != nil || got != "SECRET" {
			t.Errorf("got %q, %v", got, err)
		}
		return nil
	})
}

func TestRecreatedUserHasAnotherIncarnation(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	first := pending(t, s, "t", "u", "a", "SECRET")
	seen := map[string]bool{}
	for range 3 {
		update(t, s, "t", func(tx *Tx) error {
			u, err := tx.EnsureUser("u", now)
			if err != nil {
				return err
			}
			seen[u.Incarnation] = true
			return tx.DeleteUser("u")
		})
	}
	if len(seen) != 3 {
		t.Errorf("got incarnations %v", seen)
	}
	update(t, s, "t", func(tx *Tx) error {
		if list, err := tx.Authenticators(first.UserID); err != nil || len(list) != 0 {
			t.Errorf("authenticators outlive their user: %v, %v", list, err)
		}
		return nil
	})
}

func TestEnsureUserWhileOthersDelete(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				err := s.Update(context.Background(), "t", func(tx *Tx) error {
					if i%2 == 0 {
						if _, _, err := tx.LockUser("u"); err != nil {
							return err
						}
						return tx.DeleteUser("u")
					}
					if _, err := tx.EnsureUser("u", now); err != nil {
						return err
					}
					// Not without the user's row.
					return tx.InsertVerified(Authenticator{
						ID: uuid.NewString(), UserID: "u", Method: api.SMS, PhoneNumber: "1", CreatedAt: now, VerifiedAt: now,
					}, "")
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestVerifiedAuthenticatorRoundTrip(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	sms := Authenticator{
		ID: "a", UserID: "u", Method: api.SMS, PhoneNumber: "123", Email: "e", CreatedAt: now, VerifiedAt: now, LastStep: -1,
		Began: ActionID{UserID: "u"},
	}
	app := Authenticator{
		ID: "b", UserID: "u", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: now, VerifiedAt: now,
		LastStep: -1, Began: ActionID{UserID: "u"},
	}
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureUser("u", now); err != nil {
			return err
		}
		if err := tx.InsertVerified(sms, ""); err != nil {
			return err
		}
		return tx.InsertVerified(app, "SECRET")
	})
	for _, chosen := range []*Authenticator{&app, &sms} {
		sms.IsDefault, app.IsDefault = false, false
		chosen.IsDefault = true
		update(t, s, "t", func(tx *Tx) error {
			if err := tx.SetDefault(*chosen); err != nil {
				return err
			}
			list, err := tx.Authenticators("u")
			if err != nil || len(list) != 2 {
				t.Fatalf("got %v, %v", list, err)
			}
			if secret, err := tx.Secret(list[1]); err != nil || secret != "SECRET" {
				t.Errorf("secret: got %q, %v", secret, err)
			}
			list[1].sealed, list[1].keyID = nil, ""
			if want := []Authenticator{sms, app}; !reflect.DeepEqual(list, want) {
				t.Errorf("got  %+v\nwant %+v", list, want)
			}
			return nil
		})
	}
}

// The lists must stay fast with many users: each filter uses an index.
func TestListsUseTheirIndexes(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // its planner reads small tables whole, whatever there is
	}
	s := mustOpen(t, storetest.Database(t))
	for query, index := range map[string]string{
		`SELECT * FROM users WHERE tenant_id = ? AND email = ? AND email <> '' ORDER BY user_id`:                       "users_email",
		`SELECT * FROM users WHERE tenant_id = ? AND phone_number = ? AND phone_number <> '' ORDER BY user_id`:         "users_phone_number",
		`SELECT * FROM users WHERE tenant_id = ? AND username = ? AND username <> '' AND user_id > ? ORDER BY user_id`: "users_username",
		`SELECT * FROM actions WHERE tenant_id = ? AND user_id = ? AND created_at >= ? ORDER BY created_at DESC`:       "actions_newest",
	} {
		rows, err := s.db.Query(`EXPLAIN QUERY PLAN `+query, "t", "x", "x", "x")
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(detail + "; ")
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if got := plan.String(); !strings.Contains(got, index) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s: got %s", query, got)
		}
	}
}

// Readers hold a connection while a statement is prepared on another: one must be
// free, however many readers there are.
func TestManyReadersOfAFreshStore(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
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
