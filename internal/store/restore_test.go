package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

var defaults = api.DefaultAuthenticatorSettings("Acme")

// inspection reports nothing.
var inspection = Inspection{Now: now, Ahead: noneAhead, Report: func(string) {}}

func TestRestore(t *testing.T) {
	t.Parallel()
	path, backup := inUse(t)
	kept, err := Restore(t.Context(), path, backup, [][]byte{key}, inspection)
	if err != nil {
		t.Fatal(err)
	}
	if want := path + ".before-restore-20231114T221320Z"; kept != want {
		t.Errorf("got %s, want %s", kept, want)
	}
	s := mustOpen(t, path)
	if got := users(t, s); got != "before" || len(s.Doubts()) != 0 {
		t.Errorf("users %q, doubts %q", got, s.Doubts())
	}
	// The database before, with its log, can be restored in turn, elsewhere too.
	elsewhere := filepath.Join(t.TempDir(), "b.db")
	if again, err := Restore(t.Context(), elsewhere, kept, [][]byte{key}, inspection); err != nil || again != "" {
		t.Fatalf("got %q, %v", again, err)
	}
	if s := mustOpen(t, elsewhere); users(t, s) != "after before last" {
		t.Errorf("users %q", users(t, s))
	}
	// The backup is as it was.
	if _, err := Restore(t.Context(), filepath.Join(t.TempDir(), "c.db"), backup, [][]byte{key}, inspection); err != nil {
		t.Error(err)
	}
	for _, file := range []string{path, path + ".mark"} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A restore that is killed leaves the database before or the one restored, each with
// everything of it, and the next start raises no doubt.
func TestRestoreMayBeKilled(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} { // whether there is a database before
		path, backup := inUse(t)
		if gone {
			remove(t, path, path+"-wal", path+"-shm", path+".mark")
		}
		dir := filepath.Dir(path)
		var states []string
		_, err := restore(t.Context(), path, backup, [][]byte{key}, inspection, func() { states = append(states, filesOf(t, dir)) })
		if err != nil {
			t.Fatal(err)
		}
		replaced := 0
		for i, state := range states {
			path := filepath.Join(state, "a.db")
			later := inspection
			later.Now = now.Add(time.Second)
			if again, err := Restore(t.Context(), filepath.Join(filesOf(t, state), "a.db"), backup, [][]byte{key}, later); err != nil {
				t.Errorf("step %d: again: %q, %v", i, again, err)
			}
			s, err := open(t, path, key)
			if err != nil {
				t.Errorf("step %d: %v", i, err)
				continue
			}
			got := users(t, s)
			if got == "before" {
				replaced++
			} else if want := map[bool]string{false: "after before last", true: ""}[gone]; got != want {
				t.Errorf("step %d: users %q", i, got)
			}
			if len(s.Doubts()) != 0 {
				t.Errorf("step %d: doubts %q", i, s.Doubts())
			}
			if _, err := os.Stat(path + ".restoring"); !gone && i >= 3 && err == nil {
				t.Errorf("step %d: the draft was not removed", i)
			}
		}
		if len(states) != 6 || replaced != 2 {
			t.Errorf("%d of %d states have the database restored", replaced, len(states))
		}
	}
}

func TestRestoreRefusesWhatIsNoWholeDatabase(t *testing.T) {
	t.Parallel()
	path, backup := inUse(t)
	dir := t.TempDir()
	file := func(name string, change func([]byte) []byte) string {
		b, err := os.ReadFile(backup)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, change(b), 0o600); err != nil {
			t.Fatal(err)
		}
		return to
	}
	whole := func(b []byte) []byte { return b }
	newer := file("newer", whole)
	storetest.Exec(t, newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`)
	sealed := file("sealed", whole)
	storetest.Exec(t, sealed, `INSERT INTO api_secrets (tenant_id, secret_id, secret_sum, secret, key_id, created_at) SELECT 't', 's', 'x', 'y', key_id, 1 FROM encryption_keys`)
	before := filesOf(t, filepath.Dir(path))
	for name, tt := range map[string]struct {
		file string
		key  []byte
		want string
	}{
		"no file":           {filepath.Join(dir, "none"), key, "no such file"},
		"empty":             {file("empty", func([]byte) []byte { return nil }), key, "empty or not a SQLite database"},
		"another file":      {file("text", func([]byte) []byte { return []byte(strings.Repeat("x", 200)) }), key, "not a SQLite database"},
		"cut off":           {file("cut", func(b []byte) []byte { return b[:len(b)/2] }), key, "cannot be restored"},
		"a damaged page":    {file("damaged", func(b []byte) []byte { clear(b[5*4096 : 6*4096]); return b }), key, "the file is damaged"},
		"the database":      {path, key, "is the database itself"},
		"another key":       {backup, bytes.Repeat([]byte{2}, KeySize), "is not the one"},
		"newer":             {newer, key, "newer version"},
		"a sealed secret":   {sealed, key, "does not open"},
		"no server used it": {storetest.Database(t), key, "no server has used it"},
	} {
		if storetest.Postgres() && name == "no server used it" {
			continue
		}
		_, err := Restore(t.Context(), path, tt.file, [][]byte{tt.key}, inspection)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := Restore(t.Context(), "postgres://h/x", backup, nil, inspection); err == nil || !strings.Contains(err.Error(), "pg_restore") {
		t.Errorf("PostgreSQL: got %v", err)
	}
	// Nothing has changed.
	names := func(dir string) (names []string) {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			names = append(names, e.Name())
		}
		return names
	}
	if got, want := names(filepath.Dir(path)), names(before); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("files: got %v, want %v", got, want)
	}
	s := mustOpen(t, path)
	if got := users(t, s); got != "after before last" {
		t.Errorf("users %q", got)
	}
	if _, err := Restore(t.Context(), path, backup, [][]byte{key}, inspection); !errors.Is(err, ErrLocked) {
		t.Errorf("while a process uses the database: got %v", err)
	}
}

// Rows that contradict each other are reported, but there may be no other copy.
func TestRestoreReportsFindings(t *testing.T) {
	t.Parallel()
	path, backup := inUse(t)
	storetest.Exec(t, backup, `UPDATE users SET incarnation = ''`)
	i := inspection
	var got []string
	i.Report = func(finding string) { got = append(got, finding) }
	if _, err := Restore(t.Context(), path, backup, [][]byte{key}, i); err != nil || len(got) != 1 || !strings.Contains(got[0], "no incarnation") {
		t.Errorf("got %q, %v", got, err)
	}
}
