package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver, for PostgreSQL
	_ "modernc.org/sqlite"             // the "sqlite" driver, in pure Go

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// A dialect is all in which the databases differ; migrations and queries are
// the same text.
type dialect struct {
	migrations migrations.Dialect
	// forUpdate makes a SELECT lock its rows until the end of a writing
	// transaction. SQLite has one writer and needs none.
	forUpdate string
	// snapshot makes a transaction that only reads see one moment. SQLite's
	// always do.
	snapshot sql.IsolationLevel
	// alone keeps other processes from starting on the database until the end
	// of the transaction; SQLite's process lock does.
	alone string
	// prepare keeps statements prepared. SQLite would parse each one anew
	// every time; pgx keeps them by itself.
	prepare bool
	// binary makes the column before it compare by its bytes, whatever the
	// collation of the database. SQLite's texts do.
	binary string
	// indexedBy makes a query read by an index. SQLite guesses badly how many
	// rows lie between two parameters; PostgreSQL plans with their values.
	indexedBy func(index string) string
	// shard spreads transactions that count the same thing.
	shard string
	// rebind writes the ? of a query as the database wants them.
	rebind func(query string) string
}

var sqlite = &dialect{
	migrations: migrations.SQLite,
	prepare:    true,
	indexedBy:  func(index string) string { return " INDEXED BY " + index },
	shard:      "0",
	rebind:     func(query string) string { return query },
}

var postgres = &dialect{
	migrations: migrations.Postgres,
	forUpdate:  " FOR UPDATE",
	snapshot:   sql.LevelRepeatableRead,
	alone:      `LOCK TABLE encryption_keys IN EXCLUSIVE MODE`,
	binary:     ` COLLATE "C"`,
	indexedBy:  func(string) string { return "" },
	// Each connection is a process of its own there.
	shard:  "pg_backend_pid() % 16",
	rebind: numbered,
}

// rebound keeps what numbered made of each query; there are a few dozen.
var rebound sync.Map

// numbered writes each ? as $1, $2 and so on. No query has a ? in a literal.
func numbered(query string) string {
	if q, ok := rebound.Load(query); ok {
		return q.(string)
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	rebound.Store(query, b.String())
	return b.String()
}

// IsPostgres reports whether a database is named by a PostgreSQL URL; anything
// else is the path of a SQLite file.
func IsPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// Open opens a database: the path of a SQLite file or a postgres:// URL. It
// migrates the schema, and asks for the encryption keys when it holds a SQLite
// file's lock, so that of two processes only one can make a new key; for a
// database that is not fresh, a new key would be a wrong one. Each has KeySize
// bytes; the first one seals, the others only open what was sealed before a
// rotation.
func Open(ctx context.Context, database string, keys func(fresh bool) ([][]byte, error)) (*Store, error) {
	s := &Store{dialect: sqlite}
	connect := s.connectSQLite
	if IsPostgres(database) {
		s.dialect, connect = postgres, func(url string) error { return s.connectPostgres(ctx, url) }
	}
	err := connect(database)
	if err == nil {
		err = s.prepare(ctx, keys)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// busyTimeout is how long a statement waits for another process or connection,
// in milliseconds.
const busyTimeout = "busy_timeout(5000)"

// maxReaders is how many transactions read a SQLite file at once.
const maxReaders = 6

// connectSQLite makes the file with mode 0600 if it is not there, and takes
// the process lock (path + ".lock").
func (s *Store) connectSQLite(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("database path: %w", err)
	}
	// The lock is the file's, by whatever name it is called.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	s.lock = flock.New(path+".lock", flock.SetPermissions(0o600))
	switch held, err := s.lock.TryLock(); {
	case err != nil:
		return fmt.Errorf("lock database: %w", err)
	case !held:
		return fmt.Errorf("%w: %s", ErrLocked, path)
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
		// secure_delete overwrites what is deleted; see EmptyLog.
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)", busyTimeout},
		// A transaction that will write says so at its start, or two could
		// read and then both fail to write.
		"_txlock": {"immediate"},
	}.Encode()
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	// One for the writer, one to prepare a statement, the rest for readers
	// and single queries.
	s.db.SetMaxOpenConns(maxReaders + 4)
	s.db.SetMaxIdleConns(maxReaders + 4)
	s.readers, s.writers.life = make(chan struct{}, maxReaders), groupLife
	return nil
}

func (s *Store) connectPostgres(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		// The driver's text may quote the password of the URL.
		return errors.New("the database URL is not one of PostgreSQL: postgres://user:password@host:port/name")
	}
	s.db = db
	s.db.SetMaxOpenConns(16)
	s.db.SetMaxIdleConns(16)
	if err := db.PingContext(ctx); err != nil { // it names user and host, not the password
		return fmt.Errorf("connect to the database: %w", err)
	}
	return nil
}

func (s *Store) prepare(ctx context.Context, keys func(fresh bool) ([][]byte, error)) error {
	if err := migrations.Up(ctx, s.db, s.dialect.migrations); err != nil {
		return err
	}
	fresh, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	k, err := keys(fresh)
	if err != nil {
		return err
	}
	if s.sealer, err = newSealer(k); err != nil {
		return err
	}
	if err := s.checkKey(ctx); err != nil {
		return err
	}
	return s.sealWebhooks(ctx)
}
