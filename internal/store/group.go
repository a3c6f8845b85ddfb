package store

import (
	"context"
	"database/sql"
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

	mu    sync.Mutex
	busy  bool
	queue []chan *group
}

// A group is a transaction that several writers share, one after another.
type group struct {
	tx         *sql.Tx
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
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			s.leave(nil)
			return fmt.Errorf("begin transaction: %w", err)
		}
		g = &group{tx: tx, began: time.Now(), generation: generation, done: make(chan struct{})}
	}
	shared := g.members > 0
	err = s.member(g, &Tx{
		ctx: ctx, tx: g.tx, dialect: s.dialect, sealer: s.sealer, tenant: tenantID, store: s,
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
	g.tx.Rollback()
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
		if err := g.tx.Commit(); err != nil {
			g.tx.Rollback()
			g.err = fmt.Errorf("commit: %w", err)
		}
		if g.changed {
			s.cache.clear()
		}
		close(g.done)
	}
	s.writers.pass(nil)
}
