package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// Restore replaces a SQLite database, if there is one, by a copy of it, while no
// process uses it. The copy is checked first: an error leaves everything as it was.
// It migrates what it puts in place, not the copy. The files of the database before
// are kept under other names, kept followed by the usual suffixes; kept is empty if
// there was none.
//
// If it is interrupted, the database is the one before or the copy; Open completes
// or undoes what was begun.
func Restore(ctx context.Context, database, file string, keys [][]byte, i Inspection) (kept string, err error) {
	return restore(ctx, database, file, keys, i, func() {})
}

// restore is Restore, and calls step after each change of files.
func restore(ctx context.Context, database, file string, keys [][]byte, i Inspection, step func()) (kept string, err error) {
	name, err := ParseName(database)
	if err != nil {
		return "", err
	}
	if name.Postgres != "" {
		return "", errors.New("restore is for SQLite; for PostgreSQL use pg_restore, see docs/operate.md")
	}
	path, err := realPath(name.Path)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	lock, err := lockFile(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := finishRestore(path); err != nil {
		return "", err
	}
	draft := path + draftSuffix
	if err := copyDatabase(file, path, draft); err != nil {
		return "", errors.Join(fmt.Errorf("restore: %w", err), removeDatabase(draft))
	}
	step()
	if err := checkDraft(ctx, draft, keys, i); err != nil {
		return "", errors.Join(fmt.Errorf("restore: %s cannot be restored: %w", file, err), removeDatabase(draft))
	}
	if kept, err = replace(ctx, path, draft, i.Now, step); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	return kept, nil
}

const (
	// draftSuffix is that of the file that takes the place of the database.
	draftSuffix = ".restoring"
	// keptSuffix is that of the database before; the time follows.
	keptSuffix = ".before-restore-"
)

// replace puts the draft in the place of a database, which it keeps.
func replace(ctx context.Context, path, draft string, now time.Time, step func()) (kept string, err error) {
	m, err := readMark(path)
	if err != nil { // it is damaged, as the database may be
		m = mark{}
	}
	before, _, err := readHeader(path)
	if err != nil { // it is no database
		before = header{}
	}
	h, _, err := readHeader(draft)
	if err != nil {
		return "", err
	}
	if err := closeFile(ctx, draft, max(h.generation, before.generation, m.Generation)); err != nil {
		return "", err
	}
	if h, _, err = readHeader(draft); err != nil {
		return "", err
	}
	if err := errors.Join(os.Chmod(draft, 0o600), syncFile(draft)); err != nil {
		return "", err
	}
	step()
	if kept, err = keep(path, now); err != nil {
		return "", err
	}
	step()
	// From here on, the log beside the database is that of the one before.
	m.Restoring = h.database
	if err := writeMark(path, m); err != nil {
		return "", err
	}
	step()
	if err := os.Rename(draft, path); err != nil {
		return "", err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", err
	}
	step()
	if err := finishRestore(path); err != nil {
		return "", err
	}
	step()
	return kept, nil
}

// keep gives the files of a database other names beside their own, and returns that
// of the database file; it is empty if there are none.
func keep(path string, now time.Time) (kept string, err error) {
	base := path + keptSuffix + now.UTC().Format("20060102T150405Z")
	for _, suffix := range []string{"", "-wal"} {
		switch err := os.Link(path+suffix, base+suffix); {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("keep the database before: %w; try again", err)
		case err != nil: // not all file systems have links
			if err := copyFile(path+suffix, base+suffix); err != nil {
				return "", fmt.Errorf("keep the database before: %w", err)
			}
		}
		kept = base
	}
	return kept, syncDir(filepath.Dir(path))
}

// finishRestore completes a restore that was interrupted, if the database file was
// replaced, and undoes it otherwise. The caller has the lock.
func finishRestore(path string) error {
	m, err := readMark(path)
	if err != nil || m.Restoring == 0 {
		return nil // a damaged mark is found by examine
	}
	h, _, err := readHeader(path)
	if err == nil && h.database == m.Restoring {
		if err := removeCompanions(path); err != nil {
			return fmt.Errorf("complete a restore: %w", err)
		}
		return writeMark(path, mark{Database: h.database, Generation: h.generation})
	}
	if err := removeDatabase(path + draftSuffix); err != nil {
		return fmt.Errorf("undo a restore: %w", err)
	}
	if m.Database == 0 { // there was no mark before
		if err := os.Remove(markPath(path)); err != nil {
			return fmt.Errorf("undo a restore: %w", err)
		}
		return syncDir(filepath.Dir(path))
	}
	return writeMark(path, mark{Database: m.Database, Generation: m.Generation})
}

// removeCompanions removes the files beside a database that SQLite would apply to
// it.
func removeCompanions(path string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(path))
}

// removeDatabase removes a database with its companions.
func removeDatabase(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeCompanions(path)
}

// copyDatabase copies a database that is to take the place of that at path to a
// draft, with its write-ahead log if it has one.
func copyDatabase(file, path, draft string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if now, err := os.Stat(path); err == nil && os.SameFile(info, now) {
		return fmt.Errorf("%s is the database itself; move it elsewhere first", file)
	}
	if err := removeDatabase(draft); err != nil { // of a restore that was interrupted
		return err
	}
	if _, there, err := readHeader(file); err != nil || !there {
		return errors.Join(fmt.Errorf("%s is empty or not a SQLite database", file), err)
	}
	if err := copyFile(file, draft); err != nil {
		return err
	}
	if log, err := logSize(file); err != nil || log <= 0 {
		return err
	}
	return copyFile(file+"-wal", draft+"-wal")
}

// copyFile copies a file to a new one with mode 0600.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkDraft migrates the draft, and returns an error unless SQLite can read all of
// it, the keys are those of it, and all secrets open. Rows that contradict each
// other are reported and no error, since there may be no other copy.
func checkDraft(ctx context.Context, draft string, keys [][]byte, i Inspection) (err error) {
	s := &Store{dialect: sqlite}
	if err := s.open(draft); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if empty, err := s.empty(ctx); err != nil || empty {
		return errors.Join(errors.New("no server has used it"), err)
	}
	if s.sealer, err = newSealer(keys); err != nil {
		return err
	}
	var first string
	problem := func(finding string) {
		if first == "" {
			first = finding
		}
		i.Report(finding)
	}
	fatal := Inspection{Now: i.Now, Ahead: i.Ahead, Report: problem}
	n, err := s.check(ctx, fatal, (*check).file)
	if err == nil && n == 0 {
		err = migrations.Up(ctx, s.db, s.dialect.migrations)
	}
	if err != nil || n > 0 {
		return errors.Join(findings(n, first), err)
	}
	if err := s.checkKey(ctx); err != nil {
		return err
	}
	if n, err = s.check(ctx, fatal, (*check).secrets); err != nil || n > 0 {
		return errors.Join(findings(n, first), err)
	}
	_, err = s.check(ctx, i, (*check).authenticators, (*check).tenants, (*check).documents, (*check).rows, (*check).future)
	return err
}

func findings(n int, first string) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d findings, the first: %s", n, first)
}

// realPath is the path of a database file without links: all names of a file have
// one lock and one mark.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	return real, err
}

// lockFile takes the process lock of a database file.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock database: %w", err)
	case !held:
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	return lock, nil
}
