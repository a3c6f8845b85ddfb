// Package store keeps what the server knows in a SQL database: tenants with
// their settings and keys, users, authenticators, recovery codes, trusted browsers,
// actions, the audit log, the outbox of webhooks and the portal's sessions. It has
// one implementation over database/sql, with embedded migrations, for SQLite and
// PostgreSQL 15 or newer, and seals secrets before they are stored.
//
// It stores and guards; it does not decide. What a code, a state or a right means
// is decided in internal/mfa, and what an operator may set in internal/manage.
// The other rooms of the server call it directly, and read from it by
// themselves.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"
)

// A Store is an open database. Its methods may be called from several
// goroutines.
type Store struct {
	db      *sql.DB
	dialect *dialect
	// pool fills db on PostgreSQL, and migrateDB is Options.MigrateDB; nil and empty
	// on SQLite.
	pool      *pool
	migrateDB string
	sealer    *sealer
	// lock excludes other processes from a SQLite file; nil on PostgreSQL.
	lock *flock.Flock
	// path is that of the SQLite file, and files what was found there. identity is
	// what the header has after begin; recording is held while it changes.
	path      string
	files     fileState
	identity  header
	recording sync.Mutex
	// writers admits one writing transaction at a time. With SQLite alone the
	// others would poll for its lock; here they queue. Not used on PostgreSQL,
	// which locks rows.
	writers writers
	// readers limits the reading transactions, so that a connection is left to
	// prepare a statement: they hold theirs while they wait for that. Nil on
	// PostgreSQL.
	readers chan struct{}
	// prepared holds prepared statements by their query; preparing is held while
	// one is prepared.
	prepared  sync.Map
	preparing sync.Mutex
	cache     cache
	readiness readiness
	written   written // not used on PostgreSQL
}

// Close closes the database and releases the process lock.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		s.end()
		err = errors.Join(s.writers.close(), s.db.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Doubts returns what was noticed about a SQLite file when it was opened, and is no
// error.
func (s *Store) Doubts() (doubts []string) {
	if s.files.restored {
		doubts = append(doubts, "the database file took the place of a newer one or of another one, as after a restore by hand")
	}
	if s.files.doubtful {
		doubts = append(doubts, "the database file was copied while a server used it, or its write-ahead log was removed: it is whole, but its newest changes may be missing")
	}
	return doubts
}

// A Tx is a transaction within one tenant. It is for one goroutine, and ends when
// the function that received it returns.
type Tx struct {
	ctx     context.Context
	tx      statements
	writer  *writer // on SQLite, of a transaction that writes
	dialect *dialect
	sealer  *sealer
	tenant  string
	store   *Store
	// changed reports whether the transaction, or one that shares its commit,
	// changes what the cache may hold.
	changed bool
	// generation is that of the cache before the beginning of the transaction.
	generation int64
	// pipeline sends statements to PostgreSQL together; nil on SQLite. begin, if not
	// empty, and pending are for the next pipeline. ended reports whether the
	// transaction was committed before its function returned, and failed whether a
	// statement has failed, after which it cannot be.
	pipeline func(func(*pgx.Conn) error) error
	begin    string
	pending  []write
	ended    bool
	failed   bool
}

// TenantID is the id of the transaction's tenant.
func (t *Tx) TenantID() string { return t.tenant }

// Update runs fn in a writing transaction, which it commits unless fn returns an
// error. SQLite runs writers one after another; on PostgreSQL fn must begin with
// LockUser, so that the writers of one user run one after another.
func (s *Store) Update(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	if s.pool != nil {
		return s.pipelined(ctx, tenantID, begin, fn)
	}
	return s.updateGrouped(ctx, tenantID, fn)
}

// View runs fn in a transaction that only reads, and sees one state of the
// database.
func (s *Store) View(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	if s.pool != nil {
		return s.pipelined(ctx, tenantID, beginSnapshot, fn)
	}
	if s.readers != nil {
		select {
		case s.readers <- struct{}{}:
			defer func() { <-s.readers }()
		case <-ctx.Done():
			return fmt.Errorf("wait for the database: %w", ctx.Err())
		}
	}
	generation := s.cache.generation.Load()
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := fn(&Tx{ctx: ctx, tx: tx, dialect: s.dialect, sealer: s.sealer, tenant: tenantID, store: s, generation: generation}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
