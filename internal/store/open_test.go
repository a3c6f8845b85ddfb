package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

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

// versionTable returns the name of the table of the steps that have run.
func versionTable() string {
	if storetest.Postgres() {
		return "authsignal_migrations"
	}
	return "goose_db_version"
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	t.Parallel()
	path := storetest.Database(t)
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, path, `INSERT INTO `+versionTable()+` (version_id, is_applied) VALUES (999, TRUE)`)
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
