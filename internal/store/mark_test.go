package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// filesOf copies all files of a folder to a new one, as they are when a process is
// killed, and returns its path.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func replaceFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func user(t *testing.T, s *Store, id string) {
	t.Helper()
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureTenant(defaults, now); err != nil {
			return err
		}
		_, err := tx.EnsureUser(id, now)
		return err
	})
}

func users(t *testing.T, s *Store) string {
	t.Helper()
	var ids []string
	err := s.View(t.Context(), "t", func(tx *Tx) (err error) {
		ids, err = collect(tx, scanValue[string], `SELECT user_id FROM users ORDER BY user_id`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(ids, " ")
}

// Wherever a process is killed, the files that it leaves are those of one database:
// the next start has no doubt about them and finds all that was committed.
func TestFilesOfAKilledProcessRaiseNoDoubt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []string
	killed := func(when string) {
		t.Helper()
		path := filepath.Join(filesOf(t, dir), "a.db")
		s, err := open(t, path, key)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			return
		}
		if got := users(t, s); got != strings.Join(want, " ") || len(s.Doubts()) != 0 {
			t.Errorf("%s: users %q, doubts %q", when, got, s.Doubts())
		}
	}
	path := filepath.Join(dir, "a.db")
	killed("before the first start")
	for run := range 3 {
		s, err := open(t, path, key)
		if err != nil {
			t.Fatal(err)
		}
		killed(fmt.Sprintf("start %d", run))
		for i := range 3 {
			id := fmt.Sprintf("u%d-%d", run, i)
			user(t, s, id)
			want = append(want, id)
			killed(id)
			if i == 1 {
				if err := s.EmptyLog(t.Context()); err != nil {
					t.Fatal(err)
				}
				killed("empty log")
			}
		}
		if run == 1 {
			if err := s.vacuum(t.Context()); err != nil {
				t.Fatal(err)
			}
			killed("vacuum")
		}
		if err := Backup(t.Context(), path, filepath.Join(t.TempDir(), "backup.db")); err != nil {
			t.Fatal(err)
		}
		killed("backup")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		killed(fmt.Sprintf("stop %d", run))
	}
}

// A process that is killed while a reader keeps its log from being emptied.
func TestAMarkIsNeverNewerThanItsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "a.db"))
	user(t, s, "u")
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		if _, _, err := tx.User("u"); err != nil {
			return err
		}
		user(t, s, "v")
		return s.EmptyLog(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := open(t, filepath.Join(filesOf(t, dir), "a.db"), key); err != nil || users(t, s) != "u v" {
		t.Errorf("got %v", err)
	}
}

// An inUse is the folder of a database that a process had open when it was killed,
// with a log, and a backup of a time before.
func inUse(t *testing.T) (path, backup string) {
	t.Helper()
	dir := t.TempDir()
	backup = filepath.Join(t.TempDir(), "backup.db")
	s := mustOpen(t, filepath.Join(dir, "a.db"))
	user(t, s, "before")
	if err := Backup(t.Context(), filepath.Join(dir, "a.db"), backup); err != nil {
		t.Fatal(err)
	}
	user(t, s, "after")
	if err := s.EmptyLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	user(t, s, "last")
	return filepath.Join(filesOf(t, dir), "a.db"), backup
}

func TestABackupBesideAnotherLogIsRefused(t *testing.T) {
	t.Parallel()
	path, backup := inUse(t)
	replaceFile(t, backup, path)
	_, err := open(t, path, key)
	if !errors.Is(err, ErrReplaced) || !strings.Contains(err.Error(), "restore FILE") || !strings.Contains(err.Error(), path+"-wal") {
		t.Errorf("got %v", err)
	}
	for name, err := range map[string]error{
		"check":  func() error { _, err := OpenToCheck(t.Context(), path, Options{}, [][]byte{key}); return err }(),
		"backup": Backup(t.Context(), path, filepath.Join(t.TempDir(), "b.db")),
	} {
		if !errors.Is(err, ErrReplaced) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	remove(t, path+"-wal", path+"-shm") // as the error says
	s := mustOpen(t, path)
	if got := users(t, s); got != "before" || len(s.Doubts()) != 1 {
		t.Errorf("users %q, doubts %q", got, s.Doubts())
	}
}

// An older copy of the file itself, made by hand.
func TestAnOlderCopyBesideALogIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "a.db"), filepath.Join(t.TempDir(), "copy.db")
	s := mustOpen(t, path)
	user(t, s, "u")
	replaceFile(t, path, copied)
	if err := s.EmptyLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	user(t, s, "v")
	path = filepath.Join(filesOf(t, dir), "a.db")
	replaceFile(t, copied, path)
	if _, err := open(t, path, key); !errors.Is(err, ErrReplaced) {
		t.Errorf("got %v", err)
	}
	remove(t, path+"-wal", path+"-shm")
	if _, err := open(t, path, key); !errors.Is(err, ErrReplaced) || !strings.Contains(err.Error(), "older copy") {
		t.Errorf("without the log: got %v", err)
	}
}

// The file alone, copied elsewhere while a process used it.
func TestACopyWithoutItsLogIsExamined(t *testing.T) {
	t.Parallel()
	path, _ := inUse(t)
	copied := filepath.Join(t.TempDir(), "copy.db")
	replaceFile(t, path, copied)
	s := mustOpen(t, copied)
	if got := users(t, s); got != "after before" || len(s.Doubts()) != 1 || !strings.Contains(s.Doubts()[0], "newest changes may be missing") {
		t.Errorf("users %q, doubts %q", got, s.Doubts())
	}
	for name, damage := range map[string]func([]byte){
		"a page of another time": func(b []byte) { copy(b[5*4096:6*4096], b[7*4096:8*4096]) },
		"an empty page":          func(b []byte) { clear(b[6*4096 : 7*4096]) },
	} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damage(b)
		damaged := filepath.Join(t.TempDir(), "damaged.db")
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, damaged, key); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
}

// A process of another program that is the last one to close a database removes its
// log, which is complete then.
func TestALogThatAnotherProgramMovedIntoTheFile(t *testing.T) {
	t.Parallel()
	path, _ := inUse(t)
	storetest.Exec(t, path, `SELECT 1 FROM users`)
	if size, err := logSize(path); size != -1 || err != nil {
		t.Fatalf("the log has %d bytes, %v", size, err)
	}
	if s := mustOpen(t, path); users(t, s) != "after before last" {
		t.Errorf("users %q", users(t, s))
	}
}

// A copy of a database that was closed is complete, and so is a backup.
func TestACompleteCopyTakesThePlaceOfADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "a.db"), filepath.Join(t.TempDir(), "copy.db")
	s, err := open(t, path, key)
	if err != nil {
		t.Fatal(err)
	}
	user(t, s, "u")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, path, copied)
	if s, err = open(t, path, key); err != nil {
		t.Fatal(err)
	}
	user(t, s, "v")
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := errors.Join(Backup(t.Context(), path, backup), s.Close()); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{copied: "u", backup: "u v"} {
		path := filepath.Join(filesOf(t, dir), "a.db")
		if err := os.Rename(from, path); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, path)
		if got := users(t, s); got != want || len(s.Doubts()) != 1 || !strings.Contains(s.Doubts()[0], "took the place") {
			t.Errorf("%s: users %q, doubts %q", from, got, s.Doubts())
		}
	}
}

func TestADatabaseThatIsGoneIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, path string){
		"removed":         func(t *testing.T, path string) { remove(t, path, path+"-wal", path+"-shm") },
		"beside its log":  func(t *testing.T, path string) { remove(t, path, path+".mark") },
		"empty":           func(t *testing.T, path string) { truncate(t, path) },
		"a file of zeros": func(t *testing.T, path string) { zeros(t, path) },
		"another, which no server has used": func(t *testing.T, path string) {
			remove(t, path, path+"-wal", path+"-shm")
			storetest.Exec(t, path, `CREATE TABLE x (y INTEGER)`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := inUse(t)
			change(t, path)
			for range 2 { // the refusal makes nothing
				if _, err := open(t, path, key); err == nil || name != "a file of zeros" && !errors.Is(err, ErrMissing) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

func zeros(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedMarkIsNamed(t *testing.T) {
	t.Parallel()
	path, _ := inUse(t)
	if err := os.WriteFile(path+".mark", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path, key); err == nil || !strings.Contains(err.Error(), path+".mark, is damaged") {
		t.Errorf("got %v", err)
	}
	remove(t, path+".mark") // as the error says
	if s := mustOpen(t, path); users(t, s) != "after before last" {
		t.Errorf("users %q", users(t, s))
	}
}
