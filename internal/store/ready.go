package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// readyAge is how long the result of a check is used.
	readyAge = time.Second
	// readyTimeout is how long a check may take.
	readyTimeout = 2 * time.Second
	// commitAge is how old the last commit to a SQLite file may be before a check
	// writes to it.
	commitAge = 10 * time.Second
)

// readiness is the result of the last check.
type readiness struct {
	mu      sync.Mutex
	at      time.Time
	err     error
	running chan struct{} // closed at the end of a check that runs; nil if none does
}

// Ready returns an error, which is for the log, if users cannot sign in by this
// database: it cannot be written to, its schema is not that of this program, or
// it has secrets that the server's keys do not open. At most one check a second is
// made, whatever number of calls there are.
func (s *Store) Ready(ctx context.Context) error {
	r := &s.readiness
	r.mu.Lock()
	if r.running == nil {
		if time.Since(r.at) < readyAge {
			defer r.mu.Unlock()
			return r.err
		}
		done := make(chan struct{})
		r.running = done
		go func() { // for all callers; that of one may end
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
			defer cancel()
			err := s.canSignIn(ctx)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.at, r.err, r.running = time.Now(), err, nil
			close(done)
		}()
	}
	running := r.running
	r.mu.Unlock()
	select {
	case <-running:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("the database has not answered: %w", ctx.Err())
	}
}

// canSignIn is Ready without its cache.
func (s *Store) canSignIn(ctx context.Context) error {
	reads := `'off'`
	keys := `(SELECT group_concat(key_id, ' ') FROM encryption_keys)`
	if s.pool != nil {
		// On a standby this is on (PostgreSQL manual, 27.4.1).
		reads, keys = `current_setting('transaction_read_only')`, `(SELECT string_agg(key_id, ' ') FROM encryption_keys)`
	}
	var version int64
	var readOnly, ids string
	err := s.queryRow(ctx, `SELECT `+reads+`, (`+s.dialect.migrations.Version()+`), `+keys).Scan(&readOnly, &version, &ids)
	if err != nil {
		return err
	}
	if readOnly != "off" {
		s.pool.discard()
		return errReadOnly
	}
	if err := s.dialect.migrations.Compare(version); err != nil {
		return err
	}
	for id := range strings.FieldsSeq(ids) {
		if _, ok := s.sealer.aead[id]; !ok {
			return fmt.Errorf("%w: key %s is missing", ErrWrongKey, id)
		}
	}
	if s.pool != nil {
		return nil
	}
	return s.written.check(s.probe)
}

// probe commits a change to a SQLite file that changes nothing.
func (s *Store) probe() error {
	return s.Update(context.Background(), "", func(tx *Tx) error {
		_, err := tx.exec(`UPDATE encryption_keys SET created_at = created_at WHERE key_id = ?`, s.sealer.id)
		return err
	})
}

// written is what is known of writes to a SQLite file, so that a check writes only
// where no call has shown that it is possible: the disk may be full, or have become
// read-only.
type written struct {
	// at is when the last commit succeeded, in Unix nanoseconds; 0 if a write has
	// failed since.
	at atomic.Int64
}

// note notes the result of a commit, or the error of another write.
func (w *written) note(err error, committed bool) {
	var fault *sqlitedriver.Error
	switch {
	case err == nil && committed:
		w.at.Store(time.Now().UnixNano())
	case errors.As(err, &fault):
		switch fault.Code() & 0xff { // the primary code (sqlite.org/rescode.html)
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			w.at.Store(0)
		}
	}
}

// check calls write unless the last commit was not long ago.
func (w *written) check(write func() error) error {
	if time.Since(time.Unix(0, w.at.Load())) < commitAge {
		return nil
	}
	return write()
}
