// Package store keeps users, authenticators and actions in a SQL database: one
// implementation over database/sql, with embedded migrations. SQLite is the
// dialect so far; queries keep to what PostgreSQL understands too.
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
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the "sqlite" driver, in pure Go
)

// Errors of OpenSQLite that a person can act on.
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
	db     *sql.DB
	sealer *sealer
	lock   *flock.Flock
	// writer admits one writing transaction at a time. SQLite would make the
	// others poll for its lock; here they queue.
	writer chan struct{}
}

// OpenSQLite opens the database file, makes it with mode 0600 if it is not
// there, takes the process lock (path + ".lock"), and migrates. It asks for the
// encryption key, KeySize bytes, when it holds the lock, so that of two
// processes only one can make a new key.
func OpenSQLite(ctx context.Context, path string, key func() ([]byte, error)) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database path: %w", err)
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	switch held, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock database: %w", err)
	case !held:
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	s := &Store{lock: lock, writer: make(chan struct{}, 1)}
	if err := s.open(ctx, path, key); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string, key func() ([]byte, error)) error {
	k, err := key()
	if err != nil {
		return err
	}
	if s.sealer, err = newSealer(k); err != nil {
		return err
	}
	// SQLite makes the file readable for all unless it is there; its
	// companions take the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{
		// FULL syncs the log at every commit: what was answered survives a
		// power cut.
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)"},
		// A transaction that will write says so at its start, or two could
		// read and then both fail to write.
		"_txlock": {"immediate"},
	}.Encode()
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.db.SetMaxOpenConns(8)
	s.db.SetMaxIdleConns(8)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.checkKey(ctx)
}

func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, dir, goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewer, current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// checkKey records the key's id in a new database and compares it in an old
// one, so that a wrong key fails at start and not at the first user.
func (s *Store) checkKey(ctx context.Context) error {
	return s.Update(ctx, "", func(tx *Tx) error {
		var id string
		switch err := tx.queryRow(`SELECT key_id FROM encryption_keys`).Scan(&id); {
		case errors.Is(err, sql.ErrNoRows):
			_, err := tx.exec(`INSERT INTO encryption_keys (key_id, created_at) VALUES (?, ?)`,
				s.sealer.id, time.Now().UnixMilli())
			return err
		case err != nil:
			return fmt.Errorf("check encryption key: %w", err)
		case id != s.sealer.id:
			return ErrWrongKey
		}
		return nil
	})
}

// Close closes the database and gives up the process lock.
func (s *Store) Close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, s.lock.Close())
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// A Tx is a transaction within one tenant. It is for one goroutine, and ends
// with the function it was given to.
type Tx struct {
	ctx    context.Context
	tx     *sql.Tx
	sealer *sealer
	tenant string
}

// Update runs fn in a writing transaction: all of it is kept, or, when fn
// returns an error, nothing. Writers run one after another.
func (s *Store) Update(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the database: %w", ctx.Err())
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
	if err := fn(&Tx{ctx, tx, s.sealer, tenantID}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *Tx) queryRow(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, query, args...)
}

// millis and moment turn times into the columns' Unix milliseconds and back.
func millis(t time.Time) int64  { return t.UnixMilli() }
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
