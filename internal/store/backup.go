package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// Backup copies a snapshot of a SQLite database, which a server may be using, to
// a new file with mode 0600. The secrets in it are sealed, and the keys are not
// in it.
func Backup(ctx context.Context, database, file string) (err error) {
	name, err := ParseName(database)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if name.Postgres != "" {
		return errors.New("backup is for SQLite; for PostgreSQL use pg_dump")
	}
	path := name.Path
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	// VACUUM INTO accepts an empty file, and would create one that all can read.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
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
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma="+busyTimeout)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, file); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
