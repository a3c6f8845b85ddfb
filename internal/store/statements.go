package store

import (
	"context"
	"database/sql"
	"time"
)

// statements executes SQL: a *sql.Tx, or a connection with an open transaction.
type statements interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (t *Tx) exec(query string, args ...any) (int64, error) {
	if t.pipeline != nil {
		var n int64
		err := t.flush(statement{t.dialect.rebind(query), args, &n})
		return n, err
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

// A row is the result of a query for one row, or one row of several.
type row interface{ Scan(...any) error }

// failedRow is the row of a query that failed.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// A pipelinedRow is the row of a query that its Scan sends.
type pipelinedRow struct {
	tx    *Tx
	query string
	args  []any
}

// Scan returns sql.ErrNoRows if there is no row.
func (r pipelinedRow) Scan(dest ...any) error {
	return r.tx.readOne(read{r.query, r.args, func(rows rows) error {
		if !rows.Next() {
			return sql.ErrNoRows
		}
		return rows.Scan(dest...)
	}})
}

func (t *Tx) queryRow(query string, args ...any) row {
	if t.pipeline != nil {
		return pipelinedRow{t, query, args}
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

// query executes a query whose rows are read one by one. On PostgreSQL it is in the
// transaction too, and sees the writes that were pending.
func (t *Tx) query(query string, args ...any) (*sql.Rows, error) {
	if t.pipeline != nil {
		if err := t.flush(); err != nil {
			return nil, err
		}
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

// collect executes a query and returns what scan makes of each row.
func collect[T any](t *Tx, scan func(row) (T, error), query string, args ...any) (list []T, err error) {
	if err := t.readOne(read{query, args, appendTo(&list, scan)}); err != nil {
		return nil, err
	}
	return list, nil
}

// appendTo returns a read.scan that appends what scan makes of each row to a
// list.
func appendTo[T any](list *[]T, scan func(row) (T, error)) func(rows) error {
	return func(r rows) error {
		for r.Next() {
			v, err := scan(r)
			if err != nil {
				return err
			}
			*list = append(*list, v)
		}
		return nil
	}
}

// scanValue scans the only column of a row.
func scanValue[T any](r row) (v T, err error) {
	err = r.Scan(&v)
	return v, err
}

// stmt returns the prepared statement of a query within the transaction, or nil if
// the dialect keeps none. There are a few dozen queries; lists in them have bounded
// lengths.
func (t *Tx) stmt(query string) (*sql.Stmt, error) {
	if !t.dialect.prepare {
		return nil, nil
	}
	if t.writer != nil {
		return t.writer.statement(t.ctx, query)
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

// millis and moment convert times to the columns' Unix milliseconds and back.
func millis(t time.Time) int64  { return t.UnixMilli() }
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
