package store

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"
)

// An Event is a webhook event in the outbox. It is pending, then claimed by one
// process for a time, and ends delivered or dead.
type Event struct {
	TenantID string
	// ID is unique within the tenant.
	ID   string
	Type string
	// Body is the envelope as it is signed and sent. It holds no secret and is
	// not sealed.
	Body      []byte
	CreatedAt time.Time
	// Failures counts the attempts that failed.
	Failures int

	// due is the row's due_at: the end of the claim of this Event. Each claim
	// ends later than the one before it, so that due also identifies the claim.
	due int64
}

// Enqueue puts an event of the transaction's tenant into the outbox, due at once.
// It is sent if and only if the transaction is committed.
func (t *Tx) Enqueue(e Event) error {
	err := t.queue(write{query: `INSERT INTO outbox (tenant_id, event_id, type, body, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?)`,
		args: []any{t.tenant, e.ID, e.Type, e.Body, millis(e.CreatedAt), millis(e.CreatedAt)}})
	if err != nil {
		return fmt.Errorf("enqueue event: %w", err)
	}
	return nil
}

// ClaimEvents claims up to limit events of all tenants that are due at now, the
// longest due first, and no more than share of one tenant, including those that
// the caller has in progress (busy, by tenant). Until the end of the claim, which
// is after now, no other caller gets them; then they are due again unless they
// were settled.
func (s *Store) ClaimEvents(ctx context.Context, now, until time.Time, limit, share int, busy map[string]int) ([]Event, error) {
	var due []Event
	// Usually nothing is due, and a reader blocks no writer.
	err := s.View(ctx, "", func(tx *Tx) error {
		have := map[string]int{}
		maps.Copy(have, busy)
		last := Event{due: math.MinInt64}
		for len(due) < limit {
			room := limit - len(due)
			list, err := tx.dueEvents(now, last, have, share, room)
			if err != nil {
				return err
			}
			for _, e := range list {
				last = e
				if have[e.TenantID] < share {
					have[e.TenantID]++
					due = append(due, e)
				}
			}
			if len(list) < room {
				break
			}
		}
		return nil
	})
	if err != nil || len(due) == 0 {
		return nil, err
	}
	var claimed []Event
	err = s.Update(ctx, "", func(tx *Tx) error {
		for _, e := range due {
			// Of several callers that read the same row, one claims it.
			n, err := tx.exec(`UPDATE outbox SET due_at = ? WHERE tenant_id = ? AND event_id = ? AND due_at = ?`,
				millis(until), e.TenantID, e.ID, e.due)
			if err != nil {
				return fmt.Errorf("claim event: %w", err)
			}
			if n == 1 {
				e.due = millis(until)
				claimed = append(claimed, e)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// dueEvents lists events that are due, in order after last, but none of tenants
// that have their share.
func (t *Tx) dueEvents(now time.Time, last Event, have map[string]int, share, limit int) ([]Event, error) {
	where := `due_at <= ? AND (due_at, tenant_id, event_id) > (?, ?, ?)`
	args := []any{millis(now), last.due, last.TenantID, last.ID}
	for tenant, n := range have {
		if n >= share {
			where += ` AND tenant_id <> ?`
			args = append(args, tenant)
		}
	}
	list, err := collect(t, func(row row) (e Event, err error) {
		var created int64
		err = row.Scan(&e.TenantID, &e.ID, &e.Type, &e.Body, &created, &e.Failures, &e.due)
		e.CreatedAt = moment(created)
		return e, err
	}, `
		SELECT tenant_id, event_id, type, body, created_at, failures, due_at FROM outbox
		WHERE `+where+` ORDER BY due_at, tenant_id, event_id LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return list, nil
}

// EventDelivered ends a claimed event that its receiver accepted. Like EventFailed
// and EventDead it changes nothing if the claim has ended meanwhile and another
// one has begun.
func (s *Store) EventDelivered(ctx context.Context, e Event, at time.Time) error {
	return s.settle(ctx, e, `state = 'DELIVERED', due_at = NULL, ended_at = ?`, at)
}

// EventFailed counts a failed attempt of a claimed event and ends the claim; the
// event is due again at a later time.
func (s *Store) EventFailed(ctx context.Context, e Event, again time.Time) error {
	return s.settle(ctx, e, `failures = failures + 1, due_at = ?`, again)
}

// EventDead ends a claimed event that will not be sent again, and records that in
// the audit log.
func (s *Store) EventDead(ctx context.Context, e Event, at time.Time) error {
	return s.Update(ctx, e.TenantID, func(tx *Tx) error {
		settled, err := tx.settle(e, `failures = failures + 1, state = 'DEAD', due_at = NULL, ended_at = ?`, at)
		if err != nil || !settled {
			return err
		}
		return tx.Audit(AuditEvent{At: at, Kind: AuditWebhookDead, Detail: map[string]any{"eventId": e.ID, "type": e.Type}})
	})
}

func (s *Store) settle(ctx context.Context, e Event, set string, at time.Time) error {
	return s.Update(ctx, e.TenantID, func(tx *Tx) error {
		_, err := tx.settle(e, set, at)
		return err
	})
}

// settle changes a claimed event; settled is false if the claim has ended.
func (t *Tx) settle(e Event, set string, at time.Time) (settled bool, err error) {
	n, err := t.exec(`UPDATE outbox SET `+set+` WHERE tenant_id = ? AND event_id = ? AND due_at = ?`,
		millis(at), e.TenantID, e.ID, e.due)
	if err != nil {
		return false, fmt.Errorf("settle event: %w", err)
	}
	return n == 1, nil
}

// CountEvents counts the pending events of all tenants, and the dead ones that are
// still kept.
func (s *Store) CountEvents(ctx context.Context) (pending, dead int64, err error) {
	err = s.View(ctx, "", func(tx *Tx) error {
		// The conditions of the partial indexes, so that they are used.
		err := tx.queryRow(`SELECT (SELECT COUNT(*) FROM outbox WHERE due_at IS NOT NULL), (SELECT COUNT(*) FROM outbox WHERE state = 'DEAD')`).
			Scan(&pending, &dead)
		if err != nil {
			return fmt.Errorf("count events: %w", err)
		}
		return nil
	})
	return pending, dead, err
}

// CleanEvents deletes the events of all tenants that ended before a time.
func (s *Store) CleanEvents(ctx context.Context, before time.Time) error {
	return s.Update(ctx, "", func(tx *Tx) error {
		if _, err := tx.exec(`DELETE FROM outbox WHERE ended_at < ?`, millis(before)); err != nil {
			return fmt.Errorf("clean outbox: %w", err)
		}
		return nil
	})
}
