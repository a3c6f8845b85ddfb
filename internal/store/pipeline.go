package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A round trip to PostgreSQL costs more than most statements. So reads that belong
// together are sent together, and writes whose result is not needed at once are
// sent with the next statement. Each statement is still executed by itself and in
// order: what follows a lock sees what the lock waited for. SQLite runs in the
// process, and executes one statement at a time.

// A read is a query, and a function that reads its rows.
type read struct {
	query string
	args  []any
	scan  func(rows) error
}

// rows are those of either driver.
type rows interface {
	Next() bool
	Scan(...any) error
}

// A write is a statement that changes rows. check returns an error if their number
// is wrong; nil accepts any.
type write struct {
	query string
	args  []any
	check func(rows int64) error
}

// readAll executes reads in their order.
func (t *Tx) readAll(reads ...read) error {
	if t.pipeline == nil {
		for _, r := range reads {
			if err := t.readOne(r); err != nil {
				return err
			}
		}
		return nil
	}
	return t.send(reads)
}

func (t *Tx) readOne(r read) error {
	rows, err := t.query(r.query, r.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := r.scan(rows); err != nil {
		return err
	}
	return rows.Err()
}

// queue executes a write: on SQLite now, on PostgreSQL together with the next
// statement or the commit, which then returns its error.
func (t *Tx) queue(w write) error {
	if t.pipeline != nil {
		t.pending = append(t.pending, w)
		return nil
	}
	n, err := t.exec(w.query, w.args...)
	if err != nil || w.check == nil {
		return err
	}
	return w.check(n)
}

// flush executes the writes that are pending.
func (t *Tx) flush() error {
	if len(t.pending) == 0 {
		return nil
	}
	return t.send(nil)
}

// send executes the writes that are pending, and reads, in one round trip.
func (t *Tx) send(reads []read) error {
	writes := t.pending
	t.pending = nil
	var batch pgx.Batch
	for _, w := range writes {
		batch.Queue(t.dialect.rebind(w.query), w.args...)
	}
	for _, r := range reads {
		batch.Queue(t.dialect.rebind(r.query), r.args...)
	}
	return t.pipeline(func(c *pgx.Conn) (err error) {
		results := c.SendBatch(t.ctx, &batch)
		defer func() {
			if closeErr := results.Close(); err == nil {
				err = closeErr
			}
		}()
		for _, w := range writes {
			tag, err := results.Exec()
			if err == nil && tag.String() == "ROLLBACK" { // the answer to COMMIT after a statement has failed
				err = pgx.ErrTxCommitRollback
			}
			if err == nil && w.check != nil {
				err = w.check(tag.RowsAffected())
			}
			if err != nil {
				return err
			}
		}
		for _, r := range reads {
			rows, err := results.Query()
			if err != nil {
				return err
			}
			err = r.scan(rows)
			rows.Close()
			if err == nil {
				err = rows.Err()
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// updatePipelined is Update for PostgreSQL. BEGIN goes with the first
// statements, and COMMIT with the last writes: database/sql's own transactions
// take a round trip for each.
func (s *Store) updatePipelined(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// A connection whose transaction is still open is not used again: the driver
	// closes it.
	defer conn.Close()
	t := &Tx{
		ctx: ctx, tx: conn, dialect: s.dialect, sealer: s.sealer, tenant: tenantID, store: s,
		generation: s.cache.generation.Load(), pending: []write{{query: begin}},
	}
	t.pipeline = func(f func(*pgx.Conn) error) error {
		return conn.Raw(func(driver any) error { return f(driver.(*stdlib.Conn).Conn()) })
	}
	if err := fn(t); err != nil {
		t.rollback()
		return err
	}
	err = t.commit()
	if t.changed {
		s.cache.clear()
	}
	if err != nil {
		t.rollback()
	}
	return err
}

const (
	begin = `BEGIN`
	// rollbackTime bounds a rollback. A connection that takes longer is closed.
	rollbackTime = 5 * time.Second
)

// untouched reports whether nothing was executed yet, not even BEGIN.
func (t *Tx) untouched() bool { return len(t.pending) > 0 && t.pending[0].query == begin }

// commit ends a transaction of PostgreSQL. If a pending write has a check, the
// writes are sent before COMMIT, which cannot be undone.
func (t *Tx) commit() error {
	if t.untouched() && len(t.pending) == 1 {
		return nil
	}
	if slices.ContainsFunc(t.pending, func(w write) bool { return w.check != nil }) {
		if err := t.flush(); err != nil {
			return err
		}
	}
	t.pending = append(t.pending, write{query: `COMMIT`})
	if err := t.flush(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// rollback undoes what was executed, even after the context has ended.
func (t *Tx) rollback() {
	if t.untouched() {
		return
	}
	t.pending = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTime)
	defer cancel()
	t.tx.ExecContext(ctx, `ROLLBACK`) // if it fails, the connection is closed
}
