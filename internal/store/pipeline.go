package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A round trip to PostgreSQL costs more than most statements. So reads that belong
// together are sent together, and writes whose result is not needed at once are
// sent with the next statement, or with COMMIT. Statements are executed in their
// order: what follows a lock sees what the lock waited for. Of the writes that are
// pending, those of different tables are composed to one statement. SQLite runs in
// the process, and executes one statement at a time.

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

// A write is a statement that changes rows of a table: an INSERT, UPDATE or DELETE
// without RETURNING, which reads no other table.
type write struct {
	table string
	query string
	args  []any
	// guarded reports whether the write must change a row. If it does not, the
	// transaction fails with ErrChanged, here or at its end.
	guarded bool
	// rows, if not nil, receives the number of changed rows.
	rows *int64
}

// ErrChanged: a guarded write found that what it rests on has changed since it was
// read, or was deleted. The transaction has changed nothing.
var ErrChanged = errors.New("what the transaction rests on was changed meanwhile")

// readAll executes reads in their order.
func (t *Tx) readAll(reads ...read) error {
	if t.pipeline != nil {
		return t.send(reads)
	}
	for _, r := range reads {
		if err := t.readOne(r); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) readOne(r read) error {
	if t.pipeline != nil {
		return t.send([]read{r})
	}
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
	if w.rows != nil {
		*w.rows = n
	}
	if err == nil && w.guarded && n == 0 {
		err = ErrChanged
	}
	return err
}

// A statement is what the pipeline sends: SQL in the syntax of PostgreSQL.
type statement struct {
	sql  string
	args []any
	// rows, if not nil, receives the number of rows of the statement.
	rows *int64
}

// compose adds pending writes to a pipeline. Consecutive ones of different tables
// become one statement, each in a WITH of its own (PostgreSQL manual, 7.8.4), save
// those whose rows are counted.
//
// A guard that misses is an error of the database, a division by zero. So COMMIT may
// follow in the same pipeline: PostgreSQL skips what follows an error, and the
// transaction can only be rolled back.
func (t *Tx) compose(writes []write) []statement {
	var list []statement
	for len(writes) > 0 {
		n := 1
		for n < len(writes) && n < maxComposed && writes[0].rows == nil && writes[n].rows == nil &&
			!slices.ContainsFunc(writes[:n], func(w write) bool { return w.table == writes[n].table }) {
			n++
		}
		list = append(list, t.composed(writes[:n]))
		writes = writes[n:]
	}
	return list
}

// maxComposed is the maximum number of writes in a statement.
const maxComposed = 8

// A composition identifies the SQL of a composed statement, which compositions
// caches; there are a few dozen.
type composition struct {
	dialect *dialect
	queries [maxComposed]string
	guards  [maxComposed]bool
}

var compositions sync.Map

// composed returns writes of different tables as one statement.
func (t *Tx) composed(writes []write) statement {
	if len(writes) == 1 && !writes[0].guarded {
		return statement{t.dialect.rebind(writes[0].query), writes[0].args, writes[0].rows}
	}
	of := composition{dialect: t.dialect}
	var args []any
	for i, w := range writes {
		of.queries[i], of.guards[i] = w.query, w.guarded
		args = append(args, w.args...)
	}
	if sql, ok := compositions.Load(of); ok {
		return statement{sql: sql.(string), args: args}
	}
	var with, guard strings.Builder
	for i, w := range writes {
		fmt.Fprintf(&with, ", w%d AS (%s RETURNING 1)", i, w.query)
		if w.guarded {
			fmt.Fprintf(&guard, ", 1 / (SELECT COUNT(*) FROM w%d)", i)
		}
	}
	sql := t.dialect.rebind("WITH" + with.String()[1:] + " SELECT 1" + guard.String())
	compositions.Store(of, sql)
	return statement{sql: sql, args: args}
}

// flush executes the writes that are pending, and then some statements, in one
// round trip.
func (t *Tx) flush(then ...statement) error { return t.transmit(nil, then) }

// send executes the writes that are pending, and reads, in one round trip.
func (t *Tx) send(reads []read) error { return t.transmit(reads, nil) }

// transmit executes what is pending, then reads, and then statements, in one round
// trip.
func (t *Tx) transmit(reads []read, then []statement) error {
	if t.ended {
		return errors.New("the transaction has ended")
	}
	var before []statement
	if t.begin != "" {
		before = append(before, statement{sql: t.begin})
		t.begin = ""
	}
	before = append(before, t.compose(t.pending)...)
	t.pending = nil
	if len(before)+len(reads)+len(then) == 0 {
		return nil
	}
	var batch pgx.Batch
	for _, s := range before {
		batch.Queue(s.sql, s.args...)
	}
	for _, r := range reads {
		batch.Queue(t.dialect.rebind(r.query), r.args...)
	}
	for _, s := range then {
		batch.Queue(s.sql, s.args...)
	}
	err := t.pipeline(func(c *pgx.Conn) (err error) {
		results := c.SendBatch(t.ctx, &batch)
		defer func() {
			if closeErr := results.Close(); err == nil {
				err = closeErr
			}
		}()
		if err := executed(results, before); err != nil {
			return err
		}
		for _, r := range reads {
			rows, err := results.Query()
			if err != nil {
				return err
			}
			err = r.scan(rows)
			rows.Close()
			// A query that fails has no rows either: that comes first, so that scan
			// does not take a failure for a row that does not exist.
			if failed := rows.Err(); failed != nil {
				err = failed
			}
			if err != nil {
				return err
			}
		}
		return executed(results, then)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.failed = true
	}
	return guardError(err)
}

// executed reads the results of statements.
func executed(results pgx.BatchResults, list []statement) error {
	for _, s := range list {
		tag, err := results.Exec()
		if err == nil && s.sql == commit && tag.String() == "ROLLBACK" { // the answer to COMMIT after a statement has failed
			err = pgx.ErrTxCommitRollback
		}
		if err != nil {
			return err
		}
		if s.rows != nil {
			*s.rows = tag.RowsAffected()
		}
	}
	return nil
}

// guardError returns ErrChanged for the error of a guard. No other statement
// divides.
func guardError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "22012" { // division_by_zero (PostgreSQL manual, appendix A)
		return ErrChanged
	}
	return err
}

// pipelined runs fn in a transaction of PostgreSQL. BEGIN goes with the first
// statements, and COMMIT with the last writes: database/sql's own transactions
// take a round trip for each.
func (s *Store) pipelined(ctx context.Context, tenantID, begin string, fn func(*Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.pool.timeout)
	defer cancel()
	return s.unbounded(ctx, tenantID, begin, fn)
}

// unbounded is pipelined for a transaction that may take any time.
func (s *Store) unbounded(ctx context.Context, tenantID, begin string, fn func(*Tx) error) error {
	conn, err := s.conn(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// A connection whose transaction is still open is not used again: the driver
	// closes it.
	defer conn.Close()
	t := &Tx{
		ctx: ctx, tx: conn, dialect: s.dialect, sealer: s.sealer, tenant: tenantID, store: s,
		generation: s.cache.generation.Load(), begin: begin,
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

// The statements that begin and end transactions.
const (
	begin = `BEGIN`
	// beginSnapshot begins one that only reads, and sees one state of the
	// database.
	beginSnapshot = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	commit        = `COMMIT`
	// rollbackTime bounds a rollback. A connection that takes longer is closed.
	rollbackTime = 5 * time.Second
)

// commit ends a transaction of PostgreSQL, unless it has ended or not begun.
func (t *Tx) commit() error {
	switch {
	case t.failed: // perhaps even BEGIN
		return errors.New("commit: a statement has failed")
	case t.ended || t.begin != "" && len(t.pending) == 0:
		return nil
	}
	if err := t.flush(statement{sql: commit}); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// readLast is readAll for the last reads of a transaction that only reads: it ends
// the transaction in the same round trip.
func (t *Tx) readLast(reads ...read) error {
	if t.pipeline == nil {
		return t.readAll(reads...)
	}
	err := t.transmit(reads, []statement{{sql: commit}})
	t.ended = err == nil
	return err
}

// rollback undoes what was executed, even after the context has ended.
func (t *Tx) rollback() {
	if t.begin != "" || t.ended {
		return
	}
	t.pending = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTime)
	defer cancel()
	t.tx.ExecContext(ctx, `ROLLBACK`) // if it fails, the connection is closed
}
