package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
)

// Backup copies a snapshot of a SQLite database, which a server may be using, to
// a new file with mode 0600. The secrets in it are sealed, and the keys are not
// in it.
func Backup(ctx context.Context, database, file string) error {
	name, err := ParseName(database)
	if err == nil && name.Postgres != "" {
		return errors.New("backup is for SQLite; for PostgreSQL use pg_dump")
	}
	s := &Store{dialect: sqlite}
	if err == nil {
		err = s.connectReadOnly(name.Path)
	}
	if err == nil {
		err = errors.Join(s.copyTo(ctx, file), s.Close())
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// copyTo copies a snapshot of the database to a new file.
func (s *Store) copyTo(ctx context.Context, file string) (err error) {
	// VACUUM INTO accepts an empty file, and would create one that all can read.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(file))
		}
	}()
	if _, err := s.db.ExecContext(ctx, `VACUUM INTO ?`, file); err != nil {
		return err
	}
	h, _, err := readHeader(file)
	if err != nil {
		return err
	}
	return closeFile(ctx, file, h.generation)
}

// closeFile gives a database file, which nothing has open, another identity and a
// generation after one, as of a database that was closed. The file has no
// write-ahead log afterwards.
func closeFile(ctx context.Context, path string, after uint32) (err error) {
	db, err := sql.Open("sqlite", fileURI(path, url.Values{"_pragma": {"synchronous(FULL)", busyTimeout}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	id := rand.Uint32() | 1 // not 0
	generation := after + 2 - after%2
	_, err = db.ExecContext(ctx, fmt.Sprintf(`BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT`, int32(id), int32(generation)))
	return err
}
