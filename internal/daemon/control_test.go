package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/authsignal-wasm/sdk/internal/config"
)

// A command that finds a locked database and no server at its socket says what to
// do.
func TestCommandsWithoutASocketSayWhatToDo(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(db, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(db + ".lock")
	if held, err := lock.TryLock(); err != nil || !held {
		t.Fatal(held, err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := PortalPassword(ctx, config.Config{DB: db})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), "or stop the server first") {
		t.Errorf("got %v", err)
	}
}

func TestSocketNamesAreShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for base, want := range map[string]string{"a.db": "a.db.sock", strings.Repeat("x", 46): ""} {
		at, err := socketOf(filepath.Join(dir, base))
		if err != nil {
			t.Fatal(err)
		}
		if want != "" && at.base != want || len(at.base) > 50 {
			t.Errorf("%s: got %q", base, at.base)
		}
		if l, err := at.listen(); err != nil {
			t.Error(err)
		} else if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := at.folder.Close(); err != nil {
			t.Error(err)
		}
	}
}
