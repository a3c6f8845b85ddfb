package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

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
