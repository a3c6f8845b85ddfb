package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// SQLite has one writer at a time, and syncs its log at every commit. Writers
// that wait for their turn share a commit: each works in a savepoint of the same
// transaction, which is rolled back if the writer fails, and Update returns after
// the commit, with an error too. If the commit fails, all fail. PostgreSQL groups
// commits itself.

const (
	// maxGroup and groupLife bound how long the first of a group waits for
	// the commit.
	maxGroup  = 64
	groupLife = 10 * time.Millisecond
)

// writers is the queue of writing transactions.
type writers struct {
	life time.Duration // groupLife; another in tests

	// writer is the connection of all of them; nil before the first. It belongs to
	// the turn.
	writer *writer

	mu    sync.Mutex
	busy  bool
	queue []chan *group
}

// A writer is a connection to a SQLite file that is kept, with its prepared
// statements. A sql.Tx would start a goroutine for each transaction and for each
// query, and prepare its statements from those of the pool.
type writer struct {
	*sql.Conn
	prepared map[string]*sql.Stmt
}

// begin begins a transaction on the writer.
func (w *writers) begin(ctx context.Context, db *sql.DB) error {
	if w.writer == nil {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		w.writer = &writer{conn, map[string]*sql.Stmt{}}
	}
	// It takes its lock now: otherwise two could read and then both fail to write.
	err := w.writer.execute(ctx, `BEGIN IMMEDIATE`)
	if err != nil {
		w.discard()
	}
	return err
}

// commit ends the transaction; if that fails, it is undone.
func (w *writers) commit(ctx context.Context) error {
	err := w.writer.execute(ctx, `COMMIT`)
	if err != nil {
		w.rollback(ctx)
	}
	return err
}

// rollback undoes the transaction. Where SQLite has done that by itself, because a
// disk is full for example, it fails.
func (w *writers) rollback(ctx context.Context) {
	if err := w.writer.execute(ctx, `ROLLBACK`); err != nil {
		w.discard()
	}
}

// discard closes the connection, with a transaction that may be open. The next
// writer opens another one.
func (w *writers) discard() {
	_ = w.writer.closeStatements()
	_ = w.writer.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
	w.writer = nil
}

// close gives the connection back.
func (w *writers) close() error {
	if w.writer == nil {
		return nil
	}
	err := errors.Join(w.writer.closeStatements(), w.writer.Close())
	w.writer = nil
	return err
}

func (w *writer) closeStatements() (err error) {
	for _, stmt := range w.prepared {
		err = errors.Join(err, stmt.Close())
	}
	return err
}

func (w *writer) execute(ctx context.Context, query string) error {
	stmt, err := w.statement(ctx, query)
	if err == nil {
		_, err = stmt.ExecContext(ctx)
	}
	return err
}

// statement returns the prepared statement of a query.
func (w *writer) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := w.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := w.PrepareContext(ctx, query)
	if err == nil {
		w.prepared[query] = stmt
	}
	return stmt, err
}

// A group is a transaction that several writers share, one after another.
type group struct {
	began      time.Time
	members    int   // that succeeded so far
	changed    bool  // by one of them: Tx.changed
	generation int64 // Tx.generation
	done       chan struct{}
	err        error // of the commit; set before done is closed
}

// enter waits for the turn, and returns the open group to join, or nil. If ctx ends
// first, the error is errNoTurn; with another error, the caller has the turn.
func (w *writers) enter(ctx context.Context) (*group, error) {
	w.mu.Lock()
	if !w.busy {
		w.busy = true
		w.mu.Unlock()
		return nil, nil
	}
	turn := make(chan *group, 1)
	w.queue = append(w.queue, turn)
	w.mu.Unlock()
	select {
	case g := <-turn:
		return g, nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	i := slices.Index(w.queue, turn)
	if i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
	}
	w.mu.Unlock()
	if i < 0 { // the turn came meanwhile, perhaps with a group to commit
		return <-turn, ctx.Err()
	}
	return nil, errNoTurn
}

// errNoTurn: the context ended before the turn came.
var errNoTurn = errors.New("no turn")

// pass gives the turn to the next writer that waits, with a group or without. It
// returns false if no writer waits: the turn then ends if there is no group, and
// stays with the caller if there is one.
func (w *writers) pass(g *group) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		if g == nil {
			w.busy = false
		}
		return false
	}
	next := w.queue[0]
	w.queue = w.queue[1:]
	next <- g
	return true
}

// updateGrouped is Update for SQLite.
func (s *Store) updateGrouped(ctx context.Context, tenantID string, fn func(*Tx) error) error {
	g, err := s.writers.enter(ctx)
	if errors.Is(err, errNoTurn) {
		return fmt.Errorf("wait for the database: %w", ctx.Err())
	}
	if err == nil {
		err = ctx.Err()
	}
	// From here on every path must give the turn up, a panic too.
	if err != nil {
		s.leave(g)
		return fmt.Errorf("wait for the database: %w", err)
	}
	// Interrupting a write would undo the whole transaction, with the work of
	// other members; each statement is short.
	ctx = context.WithoutCancel(ctx)
	if g == nil {
		generation := s.cache.generation.Load()
		if err := s.writers.begin(ctx, s.db); err != nil {
			s.leave(nil)
			return fmt.Errorf("begin transaction: %w", err)
		}
		g = &group{began: time.Now(), generation: generation, done: make(chan struct{})}
	}
	shared := g.members > 0
	err = s.member(g, &Tx{
		ctx: ctx, tx: s.writers.writer, writer: s.writers.writer, dialect: s.dialect, sealer: s.sealer, tenant: tenantID, store: s,
		// The changes of the other members are visible, and may still be undone.
		changed: g.changed, generation: g.generation,
	}, fn)
	if err == nil {
		<-g.done
		return g.err
	}
	if shared {
		// The error may be due to changes of other members, which still may be
		// undone: no answer may tell of them before the commit.
		<-g.done
		if g.err != nil {
			return fmt.Errorf("%w; before that: %v", g.err, err)
		}
	}
	return err
}

// member runs a writer within a group and gives the turn up.
func (s *Store) member(g *group, t *Tx, fn func(*Tx) error) (err error) {
	savepoint := g.members > 0 // the first member is undone with the transaction
	kept := false
	defer func() { // after a panic too
		if !kept {
			g = s.undo(g, t, savepoint)
		}
		s.leave(g)
	}()
	if savepoint {
		if _, err := t.exec(`SAVEPOINT member`); err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
	}
	if err := fn(t); err != nil {
		s.written.note(err, false)
		return err
	}
	if savepoint {
		if _, err := t.exec(`RELEASE member`); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	kept = true
	g.members++
	g.changed = g.changed || t.changed
	return nil
}

// undo rolls a member back, and returns the group, or nil if all of it was undone.
func (s *Store) undo(g *group, t *Tx, savepoint bool) *group {
	if savepoint {
		_, err := t.exec(`ROLLBACK TO member`)
		if err == nil {
			_, err = t.exec(`RELEASE member`)
		}
		if err == nil {
			return g
		}
		// Some faults, such as a full disk, make SQLite undo the whole transaction.
		g.err = fmt.Errorf("commit: the transaction was undone: %w", err)
	}
	s.writers.rollback(t.ctx)
	close(g.done)
	return nil
}

// leave gives the turn up: with the group as long as that may grow, otherwise
// after the commit.
func (s *Store) leave(g *group) {
	if g != nil {
		if g.members < maxGroup && time.Since(g.began) < s.writers.life && s.writers.pass(g) {
			return
		}
		err := s.writers.commit(context.Background())
		s.written.note(err, true)
		if err != nil {
			g.err = fmt.Errorf("commit: %w", err)
		}
		if g.changed {
			s.cache.clear()
		}
		close(g.done)
	}
	s.writers.pass(nil)
}
