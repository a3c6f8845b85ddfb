package store

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// ready is Ready without the result of an earlier check.
func ready(t *testing.T, s *Store) error {
	t.Helper()
	s.readiness.mu.Lock()
	s.readiness.at = time.Time{}
	s.readiness.mu.Unlock()
	return s.Ready(t.Context())
}

func TestReadyIsAboutSigningIn(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	if err := ready(t, s); err != nil {
		t.Fatal(err)
	}
	versions := versionTable()
	for _, tt := range []struct{ change, back, want string }{
		{`INSERT INTO ` + versions + ` (version_id, is_applied) VALUES (999, TRUE)`, `DELETE FROM ` + versions + ` WHERE version_id = 999`, "newer version"},
		{`UPDATE ` + versions + ` SET version_id = -version_id WHERE version_id > 2`, `UPDATE ` + versions + ` SET version_id = -version_id WHERE version_id < 0`, "is at version 2"},
		{`INSERT INTO encryption_keys (key_id, created_at) VALUES ('of-another', 1)`, `DELETE FROM encryption_keys WHERE key_id = 'of-another'`, "key of-another is missing"},
		{`ALTER TABLE encryption_keys RENAME TO other`, `ALTER TABLE other RENAME TO encryption_keys`, "encryption_keys"},
	} {
		storetest.Exec(t, database, tt.change)
		if err := ready(t, s); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", tt.change, err, tt.want)
		}
		storetest.Exec(t, database, tt.back)
		if err := ready(t, s); err != nil {
			t.Errorf("%s: %v", tt.back, err)
		}
	}
}

func TestReadyAsksOnceASecond(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.readiness.mu.Lock()
	s.readiness.at = time.Now().Add(time.Hour) // the second lasts
	s.readiness.mu.Unlock()
	storetest.Exec(t, database, `INSERT INTO encryption_keys (key_id, created_at) VALUES ('of-another', 1)`)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("the result of the check is not kept: %v", err)
	}
	s.readiness.mu.Lock()
	s.readiness.at = time.Time{}
	s.readiness.mu.Unlock()
	var failed atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := s.Ready(t.Context()); errors.Is(err, ErrWrongKey) {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if got := failed.Load(); got != 50 {
		t.Errorf("%d of 50 calls got the result of the check", got)
	}
}

// A check writes to a SQLite file only if no commit was made for a time, or a write
// has failed since.
func TestReadyWritesSeldom(t *testing.T) {
	t.Parallel()
	w := &written{}
	writes := 0
	check := func() {
		t.Helper()
		if err := w.check(func() error { writes++; w.note(nil, true); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	check()
	check()
	if writes != 1 {
		t.Errorf("wrote %d times, want once after the start", writes)
	}
	w.note(errors.New("no fault of the disk"), false)
	w.note(nil, false)
	check()
	if writes != 1 {
		t.Errorf("wrote %d times after writes that were refused for other reasons", writes)
	}
	w.at.Store(time.Now().Add(-commitAge).UnixNano())
	check()
	if writes != 2 {
		t.Errorf("wrote %d times, want twice: the last commit is old", writes)
	}
}
