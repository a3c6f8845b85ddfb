// Package store keeps users, authenticators and actions in a SQL database: one
// implementation over database/sql, with embedded migrations, for SQLite and
// PostgreSQL 15 or newer.
//
// It stores and guards; it does not decide. What a code or a state means is
// for the server, which is the only caller besides the binaries that open it.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// Errors of Open that a person can act on.
var (
	// ErrLocked: another process has the database file open.
	ErrLocked = errors.New("the database is in use by another process")
	// ErrWrongKey: the encryption key is not the one that the secrets in the
	// database were sealed with.
	ErrWrongKey = errors.New("the encryption key is not the one that this database was made with")
	// ErrNewer: a newer version of the server has migrated the database.
	ErrNewer = errors.New("the database was made by a newer version of this program")
)

//go:embed migrations
var migrations embed.FS

// A Store is an open database. Its methods may be called from several
// goroutines.
type Store struct {
	db      *sql.DB
	dialect *dialect
	sealer  *sealer
	// lock keeps other processes off a SQLite file; nil on PostgreSQL.
	lock *flock.Flock
	// writer admits one writing transaction at a time. SQLite would make the
	// others poll for its lock; here they queue. Nil on PostgreSQL, which
	// locks rows.
	writer chan struct{}
}

// Close closes the database and gives up the process lock.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// A Tx is a transaction within one tenant. It is for one goroutine, and ends
// with the function it was given to.
type Tx struct {
	ctx     context.Context
	tx      *sql.Tx
	dialect *dialect
	sealer  *sealer
	tenant  string
}

// TenantID is the tenant that the transaction is of.
func (t *Tx) TenantID() string { return t.tenant }

// Update runs fn in a writing transaction: all of it is kept, or, when fn
// returns an error, nothing. SQLite runs writers one after another; on
// PostgreSQL fn begins with LockUser, so that the writers of one user do.
func (s *Store) Update(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	if s.writer != nil {
		select {
		case s.writer <- struct{}{}:
			defer func() { <-s.writer }()
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w", ctx.Err())
		}
	}
	return s.run(ctx, tenantID, nil, fn)
}

// View runs fn in a transaction that only reads.
func (s *Store) View(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	return s.run(ctx, tenantID, &sql.TxOptions{ReadOnly: true}, fn)
}

func (s *Store) run(ctx context.Context, tenantID string, opts *sql.TxOptions, fn func(*Tx) error) error {
	tx, err := s.db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := fn(&Tx{ctx, tx, s.dialect, s.sealer, tenantID}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(t.ctx, t.dialect.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *Tx) queryRow(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.dialect.rebind(query), args...)
}

func (t *Tx) query(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, t.dialect.rebind(query), args...)
}

// millis and moment turn times into the columns' Unix milliseconds and back.
func millis(t time.Time) int64  { return t.UnixMilli() }
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
