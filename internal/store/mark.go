package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// A SQLite database is several files that belong together, and SQLite does not
// notice if one of them is replaced: it applies a write-ahead log to any database
// file beside it, and creates an empty database in place of a missing one. So two
// fields of the header of the database file (sqlite.org/fileformat2.html, section
// 1.3), which belong to the application, identify it:
//
//   - application_id is a random number. A backup and a restored database get
//     another one.
//   - user_version is a generation that grows: it is odd while a process uses the
//     database, and even when it was closed. EmptyLog makes it grow too.
//
// A mark beside the database, with the suffix .mark, has both. It is written after
// they have reached the database file, so that the file is never older than its
// mark, whenever the process or the machine stops.

// Errors of Open that a replaced or missing file causes.
var (
	// ErrMissing: a database was used, and is not there or is empty.
	ErrMissing = errors.New("the database is missing or empty, although there was one")
	// ErrReplaced: the database file is not the one to which the write-ahead log
	// beside it belongs, or an incomplete copy.
	ErrReplaced = errors.New("the database file was replaced")
)

// A mark is what is known of a database file beside it.
type mark struct {
	Database   uint32 `json:"database"`
	Generation uint32 `json:"generation"`
	// Restoring identifies the file with which a restore is about to replace the
	// database; 0 if there is none.
	Restoring uint32 `json:"restoring,omitempty"`
}

func markPath(path string) string { return path + ".mark" }

// readMark reads the mark of a database; it is the zero mark if there is none.
func readMark(path string) (m mark, err error) {
	b, err := os.ReadFile(markPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, fmt.Errorf("read the mark of the database: %w", err)
	}
	if json.Unmarshal(b, &m) != nil || m.Database == 0 && m.Restoring == 0 {
		return mark{}, fmt.Errorf("the mark of the database, %s, is damaged; if the database is the right one, remove that file", markPath(path))
	}
	return m, nil
}

func writeMark(path string, m mark) error {
	b, err := json.Marshal(m)
	if err == nil {
		err = ReplaceFile(markPath(path), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the mark of the database: %w", err)
	}
	return nil
}

// ReplaceFile writes a file with mode 0600 in one step: after a crash it has the old
// content or the new.
func ReplaceFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes changes of a folder's entries survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A header is the part of a database file's header that identifies it.
type header struct{ database, generation uint32 }

// used reports whether the database was not closed: a process uses it, or did when
// it was killed or the file was copied.
func (h header) used() bool { return h.generation%2 == 1 }

// readHeader reads the header of a database file; there is false if there is no file
// or an empty one.
func readHeader(path string) (h header, there bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return header{}, false, nil
	}
	if err != nil {
		return header{}, false, fmt.Errorf("open database: %w", err)
	}
	defer f.Close()
	b := make([]byte, 100)
	switch n, err := io.ReadFull(f, b); {
	case err == io.EOF:
		return header{}, false, nil
	case err != nil && n == 0:
		return header{}, false, fmt.Errorf("open database: %w", err)
	case string(b[:16]) != "SQLite format 3\x00":
		return header{}, false, fmt.Errorf("open database: %s is not a SQLite database", path)
	}
	return header{database: binary.BigEndian.Uint32(b[68:]), generation: binary.BigEndian.Uint32(b[60:])}, true, nil
}

// logSize returns the size of the write-ahead log of a database, or -1 if there is
// none.
func logSize(path string) (int64, error) {
	info, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open database: %w", err)
	}
	return info.Size(), nil
}

// A fileState is what the files of a database say before it is opened.
type fileState struct {
	// there reports whether the database file exists and is not empty.
	there bool
	// unclean reports whether the database was not closed: the process was killed, or
	// the files were copied.
	unclean bool
	// doubtful reports whether the file may be an incomplete copy: it was in use, but
	// has no log.
	doubtful bool
	// restored reports whether the file took the place of a newer one.
	restored bool
}

// examine compares the files of a database. It returns an error if SQLite would open
// something else than what was there.
func examine(path string) (fileState, error) {
	// The file is never older than its mark, so the mark is read first.
	m, err := readMark(path)
	if err != nil {
		return fileState{}, err
	}
	h, there, err := readHeader(path)
	if err != nil {
		return fileState{}, err
	}
	log, err := logSize(path)
	if err != nil {
		return fileState{}, err
	}
	switch known := m.Database != 0; {
	case m.Restoring != 0:
		return fileState{}, errors.New("a restore of the database was interrupted; start the server, or restore again")
	case !there && (known || log > 0):
		return fileState{}, fmt.Errorf("%w: %s; restore it with authsignal-server restore FILE. If a new database is wanted, in which no user is enrolled, remove %s and %s", ErrMissing, path, markPath(path), path+"-wal")
	case !there:
		return fileState{}, nil
	case log > 0 && known && (h.database != m.Database || h.generation < m.Generation):
		return fileState{}, fmt.Errorf("%w: %s is not the file to which the write-ahead log %s-wal belongs, which would damage it; a backup is put in place by authsignal-server restore FILE. If the file is the right one, remove %s-wal and %s-shm", ErrReplaced, path, path, path, path)
	case log < 0 && h.used() && h.database == m.Database && h.generation < m.Generation:
		return fileState{}, fmt.Errorf("%w: %s is an older copy of itself that was made while a server used it, without its write-ahead log; move it elsewhere and put it or, better, a backup in place with authsignal-server restore FILE", ErrReplaced, path)
	default:
		return fileState{
			there: true, unclean: h.used(), doubtful: log < 0 && h.used(),
			restored: known && (h.database != m.Database || h.generation < m.Generation),
		}, nil
	}
}

// begin records that the database is in use, and marks it.
func (s *Store) begin(ctx context.Context) error {
	var h header
	var err error
	if h.database, err = s.pragma(ctx, "application_id"); err == nil {
		h.generation, err = s.pragma(ctx, "user_version")
	}
	if err != nil {
		return err
	}
	for h.database == 0 {
		h.database = rand.Uint32()
	}
	h.generation += 1 + h.generation%2 // the next odd one
	s.identity = h
	return s.record(ctx)
}

// pragma returns the value of a pragma.
func (s *Store) pragma(ctx context.Context, name string) (uint32, error) {
	var value int32
	if err := s.db.QueryRowContext(ctx, `PRAGMA `+name).Scan(&value); err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return uint32(value), nil
}

// record stores the identity in the database and, when it has reached the file, in
// the mark.
func (s *Store) record(ctx context.Context) error {
	if err := s.storeIdentity(ctx); err != nil {
		return err
	}
	complete, err := s.checkpoint(ctx)
	if err != nil || !complete { // then the mark stays behind the file
		return err
	}
	return writeMark(s.path, mark{Database: s.identity.database, Generation: s.identity.generation})
}

func (s *Store) storeIdentity(ctx context.Context) error {
	return s.Update(ctx, "", func(tx *Tx) error {
		for name, value := range map[string]uint32{"application_id": s.identity.database, "user_version": s.identity.generation} {
			if _, err := tx.tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA %s = %d`, name, int32(value))); err != nil {
				return fmt.Errorf("store %s: %w", name, err)
			}
		}
		return nil
	})
}

// end records that the database was closed. If that fails, the next start takes a
// closer look at it.
func (s *Store) end() {
	if !s.recording.TryLock() { // something still runs
		return
	}
	defer s.recording.Unlock()
	if s.identity.database == 0 { // it was not opened completely
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.identity.generation++
	_ = s.storeIdentity(ctx)
}

// examineCopy looks closely at a database that may be an incomplete copy, and returns
// an error unless it is whole.
func (s *Store) examineCopy(ctx context.Context) error {
	var first string
	n, err := s.check(ctx, Inspection{
		Now:   time.Unix(1<<40, 0), // so that no time is wrong
		Ahead: func(Authenticator, time.Time) int64 { return 0 },
		Report: func(finding string) {
			if first == "" {
				first = finding
			}
		},
	}, (*check).file, (*check).keys, (*check).secrets, (*check).authenticators, (*check).tenants, (*check).documents, (*check).rows)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: %s was copied while a server used it, or lost its write-ahead log, and is damaged (%d findings, the first: %s); restore a backup with authsignal-server restore FILE",
			ErrReplaced, s.path, n, first)
	}
	return err
}

// CheckUnclean has SQLite look at a file that was not closed, and returns an error if
// it is damaged, as a folder that was copied while a process used it may be. A kill
// damages nothing. It takes a few seconds for a million users, while the database is
// in use.
func (s *Store) CheckUnclean(ctx context.Context) error {
	if !s.files.unclean {
		return nil
	}
	var found string
	if err := s.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return fmt.Errorf("check the database file: %w", err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s is damaged, as by a copy that was made while a server used it (%s); restore a backup with authsignal-server restore FILE", ErrReplaced, s.path, found)
	}
	return nil
}
