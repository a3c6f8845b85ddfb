package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A round trip to PostgreSQL costs more than most statements do. So reads that
// belong together go there together, and writes whose result nobody waits for
// go with what comes next. Each statement is still executed by itself, after
// those before it: what follows a lock sees what the lock waited for. SQLite is
// in the process, and takes one at a time.

// A read is a query, and what to make of its rows.
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

// A write is a statement that changes something. check judges the number of
// rows; nil accepts any.
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

// later executes a write now, or on PostgreSQL before the next statement or the
// commit; its error is then that one's.
func (t *Tx) later(w write) error {
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
			if err == nil && tag.String() == "ROLLBACK" { // the answer to COMMIT when a statement has failed
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
	// A connection whose transaction is still open is not used again: the
	// driver throws it away.
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
	// rollbackTime bounds how long a connection is waited for before it is
	// thrown away.
	rollbackTime = 5 * time.Second
)

// untouched reports whether nothing was executed yet, BEGIN included.
func (t *Tx) untouched() bool { return len(t.pending) > 0 && t.pending[0].query == begin }

// commit ends a transaction of PostgreSQL. Writes that are judged go before it,
// by themselves: what is committed cannot be undone.
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

// rollback undoes what was executed, whatever has become of the context.
func (t *Tx) rollback() {
	if t.untouched() {
		return
	}
	t.pending = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTime)
	defer cancel()
	t.tx.ExecContext(ctx, `ROLLBACK`) // where it fails, the connection goes
}
