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
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// Errors of Open that a person can act on.
var (
	// ErrLocked: another process has the database file open.
	ErrLocked = errors.New("the database is in use by another process")
	// ErrWrongKey: the encryption key is not the one that the secrets in the
	// database were sealed with.
	ErrWrongKey = errors.New("the encryption key is not the one that this database was made with")
	// ErrNewer: a newer version of the server has migrated the database.
	ErrNewer = migrations.ErrNewer
)

// A Store is an open database. Its methods may be called from several
// goroutines.
type Store struct {
	db      *sql.DB
	dialect *dialect
	sealer  *sealer
	// lock keeps other processes off a SQLite file; nil on PostgreSQL.
	lock *flock.Flock
	// writers admits one writing transaction at a time. SQLite would make the
	// others poll for its lock; here they queue. Not used on PostgreSQL, which
	// locks rows.
	writers writers
	// readers admits as many reading transactions as leave a connection for
	// preparing a statement: they hold theirs while they wait for it. Nil on
	// PostgreSQL.
	readers chan struct{}
	// prepared keeps statements by their query; preparing admits one at a
	// time that makes one.
	prepared  sync.Map
	preparing sync.Mutex
	cache     cache
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
	tx      statements
	dialect *dialect
	sealer  *sealer
	tenant  string
	store   *Store
	// changed: the transaction changes what the store's cache may hold, or one
	// did that it shares the commit with.
	changed bool
	// generation is that of the cache before the transaction began.
	generation int64
	// pipeline sends statements to PostgreSQL together; nil on SQLite and
	// where nothing is written. pending are writes that go with the next.
	pipeline func(func(*pgx.Conn) error) error
	pending  []write
}

// statements is what executes them: a *sql.Tx, or a connection in which a
// transaction is open.
type statements interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// TenantID is the tenant that the transaction is of.
func (t *Tx) TenantID() string { return t.tenant }

// Update runs fn in a writing transaction: all of it is kept, or, when fn
// returns an error, nothing. SQLite runs writers one after another; on
// PostgreSQL fn begins with LockUser, so that the writers of one user do.
func (s *Store) Update(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	if s.dialect == postgres {
		return s.updatePipelined(ctx, tenantID, fn)
	}
	return s.updateGrouped(ctx, tenantID, fn)
}

// View runs fn in a transaction that only reads, the database as it was at one
// moment.
func (s *Store) View(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	if s.readers != nil {
		select {
		case s.readers <- struct{}{}:
			defer func() { <-s.readers }()
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w", ctx.Err())
		}
	}
	generation := s.cache.generation.Load()
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.dialect.snapshot})
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if err := fn(&Tx{ctx: ctx, tx: tx, dialect: s.dialect, sealer: s.sealer, tenant: tenantID, store: s, generation: generation}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	stmt, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	var r sql.Result
	if stmt != nil {
		r, err = stmt.ExecContext(t.ctx, args...)
	} else {
		r, err = t.tx.ExecContext(t.ctx, t.dialect.rebind(query), args...)
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// A row is what a query for one row gives.
type row interface{ Scan(...any) error }

// failedRow is the row of a query that could not be made.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

func (t *Tx) queryRow(query string, args ...any) row {
	if err := t.flush(); err != nil {
		return failedRow{err}
	}
	stmt, err := t.stmt(query)
	switch {
	case err != nil:
		return failedRow{err}
	case stmt != nil:
		return stmt.QueryRowContext(t.ctx, args...)
	}
	return t.tx.QueryRowContext(t.ctx, t.dialect.rebind(query), args...)
}

func (t *Tx) query(query string, args ...any) (*sql.Rows, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	stmt, err := t.stmt(query)
	switch {
	case err != nil:
		return nil, err
	case stmt != nil:
		return stmt.QueryContext(t.ctx, args...)
	}
	return t.tx.QueryContext(t.ctx, t.dialect.rebind(query), args...)
}

// stmt is the prepared statement of a query within the transaction, or nil
// where none is kept. There are a few dozen queries; lists in them have
// bounded lengths.
func (t *Tx) stmt(query string) (*sql.Stmt, error) {
	if !t.dialect.prepare {
		return nil, nil
	}
	stmt, err := t.store.statement(t.ctx, query)
	if err != nil {
		return nil, err
	}
	return t.tx.(*sql.Tx).StmtContext(t.ctx, stmt), nil
}

func (s *Store) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.prepared.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if stmt, ok := s.prepared.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.prepared.Store(query, stmt)
	return stmt, nil
}

// millis and moment turn times into the columns' Unix milliseconds and back.
func millis(t time.Time) int64  { return t.UnixMilli() }
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
