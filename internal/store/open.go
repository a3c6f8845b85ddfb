package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// Errors of Open with a remedy.
var (
	// ErrLocked: another process has the database file open.
	ErrLocked = errors.New("the database is in use by another process")
	// ErrWrongKey: the secrets in the database were sealed with another key.
	ErrWrongKey = errors.New("the encryption key is not the one that this database was made with")
	// ErrNewer: a newer version of the server has migrated the database.
	ErrNewer = migrations.ErrNewer
)

// Open opens the database with a name that ParseName accepts. It migrates the
// schema, and calls keys for the encryption keys while it holds a SQLite file's lock,
// so that of two processes only one can make a new key. A key may be new only if the
// database is fresh. Each has KeySize bytes; the first one
// seals, the others only open what was sealed before a rotation.
func Open(ctx context.Context, database string, keys func(fresh bool) ([][]byte, error)) (*Store, error) {
	return OpenWith(ctx, database, Options{}, keys)
}

// OpenWith is Open with options.
func OpenWith(ctx context.Context, database string, o Options, keys func(fresh bool) ([][]byte, error)) (*Store, error) {
	name, err := ParseName(database)
	if err != nil {
		return nil, err
	}
	s := &Store{dialect: sqlite}
	if name.Postgres != "" {
		err = s.connectPostgres(ctx, name.Postgres, o)
	} else {
		err = s.connectSQLite(name)
	}
	if err == nil {
		err = s.prepare(ctx, keys)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenToCheck opens the database with a name that ParseName accepts for Check, Facts
// and other methods that only read: it migrates and changes nothing, and a server may
// be running. The keys need not be those of the database.
func OpenToCheck(ctx context.Context, database string, o Options, keys [][]byte) (*Store, error) {
	name, err := ParseName(database)
	if err != nil {
		return nil, err
	}
	s := &Store{dialect: sqlite}
	if name.Postgres != "" {
		err = s.connectPostgres(ctx, name.Postgres, o)
	} else {
		err = s.connectReadOnly(name.Path)
	}
	if err == nil {
		s.sealer, err = newSealer(keys)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.Close())
	}
	return s, nil
}

// connectReadOnly opens a SQLite file that exists. It takes no lock, and leaves the
// write-ahead log as it is.
func (s *Store) connectReadOnly(path string) error {
	path, err := realPath(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if files, err := examine(path); err != nil {
		return err
	} else if !files.there {
		return fmt.Errorf("%w: %s", ErrMissing, path)
	}
	s.db, err = sql.Open("sqlite", fileURI(path, url.Values{"mode": {"ro"}, "_pragma": {busyTimeout}}))
	return err
}

// fileURI is the name of a SQLite file for its driver.
func fileURI(path string, parameters url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + parameters.Encode()
}

// busyTimeout is how long a statement waits for another process or connection,
// in milliseconds.
const busyTimeout = "busy_timeout(5000)"

// maxReaders is how many transactions read a SQLite file at once.
const maxReaders = 6

// connectSQLite creates the file with mode 0600 if it may and it does not exist,
// and takes the process lock (path + ".lock").
func (s *Store) connectSQLite(name Name) error {
	path, err := realPath(name.Path)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if name.MustExist {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("open database: %w", err)
		}
	}
	if s.lock, err = lockFile(path); err != nil {
		return err
	}
	s.path = path
	if err := finishRestore(path); err != nil {
		return err
	}
	if s.files, err = examine(path); err != nil {
		return err
	}
	// SQLite would create the file readable for all; its companions get the mode
	// of the file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := s.open(path); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	return nil
}

// open opens a SQLite file for writing.
func (s *Store) open(path string) (err error) {
	s.db, err = sql.Open("sqlite", fileURI(path, url.Values{
		// FULL syncs the log at every commit, so that a commit survives a power
		// cut.
		// secure_delete overwrites what is deleted; see EmptyLog.
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)", busyTimeout},
		// A writing transaction takes its lock at its start: otherwise two could
		// read and then both fail to write.
		"_txlock": {"immediate"},
	}))
	if err != nil {
		return err
	}
	// One for the writer, one to prepare a statement, the others for readers and
	// single queries.
	s.db.SetMaxOpenConns(maxReaders + 4)
	s.db.SetMaxIdleConns(maxReaders + 4)
	s.readers, s.writers.life = make(chan struct{}, maxReaders), groupLife
	return nil
}

func (s *Store) prepare(ctx context.Context, keys func(fresh bool) ([][]byte, error)) error {
	migrate := s.migratePostgres
	if s.pool == nil {
		migrate = func(ctx context.Context) error { return migrations.Up(ctx, s.db, s.dialect.migrations) }
	}
	if err := migrate(ctx); err != nil {
		return err
	}
	fresh, err := s.fresh(ctx)
	if err != nil {
		return err
	}
	if m, err := readMark(s.path); s.path != "" && fresh && (err != nil || m.Database != 0) {
		return errors.Join(fmt.Errorf("%w: %s; remove %s if a new database is wanted, in which no user is enrolled", ErrMissing, s.path, markPath(s.path)), err)
	}
	k, err := keys(fresh)
	if err != nil {
		return err
	}
	if s.sealer, err = newSealer(k); err != nil {
		return err
	}
	if fresh && s.pool != nil {
		if err := s.checkElsewhere(ctx); err != nil {
			return err
		}
	}
	if err := s.checkKey(ctx); err != nil {
		return err
	}
	if s.files.doubtful {
		if err := s.examineCopy(ctx); err != nil {
			return err
		}
	}
	if err := s.sealWebhooks(ctx); err != nil || s.dialect != sqlite {
		return err
	}
	return s.begin(ctx)
}

// empty reports whether the database has no record of a key, and possibly no
// tables. It changes nothing.
func (s *Store) empty(ctx context.Context) (bool, error) {
	fresh, err := s.fresh(ctx)
	if err == nil || !s.dialect.noTable(err) {
		return fresh, err
	}
	return true, nil
}

// fresh reports whether the database is new: it has no record of a key.
func (s *Store) fresh(ctx context.Context) (fresh bool, err error) {
	err = s.queryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM encryption_keys)`).Scan(&fresh)
	if err != nil {
		return false, fmt.Errorf("look for encryption keys: %w", err)
	}
	return fresh, nil
}

// checkKey records the sealing key's id, and compares all recorded ids with the
// given keys, so that a missing key fails at the start and not at the first user.
// A new sealing key is accepted only beside the recorded ones.
func (s *Store) checkKey(ctx context.Context) error {
	return s.Update(ctx, "", func(tx *Tx) error {
		if s.dialect.alone != "" {
			if _, err := tx.exec(s.dialect.alone); err != nil {
				return fmt.Errorf("check encryption key: %w", err)
			}
		}
		ids, err := collect(tx, scanValue[string], `SELECT key_id FROM encryption_keys`)
		if err != nil {
			return fmt.Errorf("check encryption key: %w", err)
		}
		for _, id := range ids {
			if _, ok := s.sealer.aead[id]; !ok {
				return fmt.Errorf("%w: key %s is missing", ErrWrongKey, id)
			}
		}
		_, err = tx.exec(`INSERT INTO encryption_keys (key_id, created_at) VALUES (?, ?) ON CONFLICT (key_id) DO NOTHING`,
			s.sealer.id, time.Now().UnixMilli())
		if err != nil {
			return fmt.Errorf("check encryption key: %w", err)
		}
		return nil
	})
}
