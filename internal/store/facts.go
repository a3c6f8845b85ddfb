package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// Facts are what a diagnosis asks of a database that OpenToCheck has opened.
type Facts struct {
	// Empty reports whether no server has used the database yet. The other facts but
	// Clock and ReadOnly are then absent.
	Empty bool
	// Version is that of the schema, and Newest the one that this program has.
	Version, Newest int64
	// ReadOnly reports whether a server of PostgreSQL accepts no changes, as a
	// standby.
	ReadOnly bool
	// Clock is the time of the database's machine; that of this one on SQLite.
	Clock time.Time
	// KeyMissing reports whether an encryption key that the database was used with
	// is not among the given ones. KeySince is when the newest one was first used.
	KeyMissing bool
	KeySince   time.Time
}

// Facts reads the facts of a database. It changes nothing.
func (s *Store) Facts(ctx context.Context) (f Facts, err error) {
	f.Clock = time.Now()
	if s.dialect != sqlite {
		var now int64
		err := s.db.QueryRowContext(ctx, `
			SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT),
				pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'`).Scan(&now, &f.ReadOnly)
		if err != nil {
			return f, fmt.Errorf("ask the database: %w", err)
		}
		f.Clock = moment(now)
	}
	if f.Empty, err = s.empty(ctx); err != nil || f.Empty {
		return f, err
	}
	if f.Version, f.Newest, err = migrations.Versions(ctx, s.db, s.dialect.migrations); err != nil {
		return f, err
	}
	rows, err := s.db.QueryContext(ctx, s.dialect.rebind(`SELECT key_id, created_at FROM encryption_keys ORDER BY created_at`))
	if err != nil {
		return f, fmt.Errorf("read encryption keys: %w", err)
	}
	err = eachRow(rows, func(rows *sql.Rows) error {
		var id string
		var created int64
		if err := rows.Scan(&id, &created); err != nil {
			return err
		}
		if _, given := s.sealer.aead[id]; !given {
			f.KeyMissing = true
		}
		f.KeySince = moment(created)
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("read encryption keys: %w", err)
	}
	return f, nil
}

// eachRow calls fn for each row, and closes the rows.
func eachRow(rows *sql.Rows, fn func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
