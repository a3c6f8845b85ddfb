package store

import (
	"context"
	"fmt"
)

// Deleted secrets leave the files of a SQLite database in three steps. The
// pragma secure_delete overwrites what is deleted with zeros. The write-ahead
// log still holds the pages as they were: EmptyLog, which the daemon calls
// every minute, moves them into the database file and truncates it. When
// SQLite moves rows between pages, a copy may stay in the unused part of a page
// that deletion does not reach: vacuum rewrites the file.
//
// PostgreSQL keeps deleted rows until it vacuums their table, and its
// write-ahead log for as long as it is configured to.

// EmptyLog empties the write-ahead log of a SQLite file, unless a transaction
// blocks it for 200 ms. On PostgreSQL it does nothing.
func (s *Store) EmptyLog(ctx context.Context) error {
	if s.dialect != sqlite {
		return nil
	}
	if size, err := logSize(s.path); err != nil || size <= 0 {
		return err
	}
	s.recording.Lock()
	defer s.recording.Unlock()
	if s.identity.database == 0 {
		_, err := s.checkpoint(ctx)
		return err
	}
	s.identity.generation += 2
	return s.record(ctx)
}

// checkpoint is EmptyLog; complete reports whether nothing blocked it.
func (s *Store) checkpoint(ctx context.Context) (complete bool, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("empty the write-ahead log: %w", err)
	}
	defer conn.Close()
	// Writers wait meanwhile, so this is shorter than busyTimeout.
	if _, err := conn.ExecContext(ctx, `PRAGMA busy_timeout(200)`); err != nil {
		return false, fmt.Errorf("empty the write-ahead log: %w", err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA `+busyTimeout)
	var busy, pages, moved int
	if err := conn.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return false, fmt.Errorf("empty the write-ahead log: %w", err)
	}
	return busy == 0, nil
}

// vacuum rewrites a SQLite file without what was deleted or replaced. On
// PostgreSQL it frees the rows of the sealed tables that no transaction sees any
// more; a role that does not own them gets a warning, not an error.
func (s *Store) vacuum(ctx context.Context) error {
	if s.dialect == sqlite {
		if _, err := s.db.ExecContext(ctx, `VACUUM`); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
		return s.EmptyLog(ctx)
	}
	conn, err := s.conn(ctx)
	if err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	defer conn.Close()
	for _, table := range sealedTables {
		if _, err := conn.ExecContext(ctx, s.dialect.rebind(`VACUUM `+table.name)); err != nil {
			return fmt.Errorf("vacuum %s: %w", table.name, err)
		}
	}
	return nil
}
