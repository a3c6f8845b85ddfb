package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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
	err := t.queue(write{table: "outbox", query: `INSERT INTO outbox (tenant_id, event_id, type, body, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?)`,
		args: []any{t.tenant, e.ID, e.Type, e.Body, millis(e.CreatedAt), millis(e.CreatedAt)}})
	if err != nil {
		return fmt.Errorf("enqueue event: %w", err)
	}
	return nil
}

// A Due is a tenant with events that are due.
type Due struct {
	TenantID string
	// Since is when the first of them was due.
	Since time.Time
}

// A Claim is how many events of a tenant are to be claimed.
type Claim struct {
	TenantID string
	Events   int
}

// MaxClaims is the maximum number of tenants whose events are claimed at once.
const MaxClaims = 64

// ClaimEvents claims events that are due at now. It calls choose with all tenants
// that have any, the longest due first, and claims what choose returns, for up to
// MaxClaims tenants: of each, the events that are longest due. Until the end of the
// claim, which is after now, no other caller gets them; then they are due again
// unless they were settled.
func (s *Store) ClaimEvents(ctx context.Context, now, until time.Time, choose func([]Due) []Claim) ([]Event, error) {
	var due []Event
	// Usually nothing is due, and a reader blocks no writer.
	err := s.View(ctx, "", func(tx *Tx) error {
		tenants, err := tx.dueTenants(now)
		if err != nil || len(tenants) == 0 {
			return err
		}
		claims := choose(tenants)
		if len(claims) == 0 {
			return nil
		}
		due, err = tx.dueEvents(now, claims[:min(MaxClaims, len(claims))])
		return err
	})
	if err != nil || len(due) == 0 {
		return nil, err
	}
	// Of one order for all callers, so that none waits for the other.
	slices.SortFunc(due, func(a, b Event) int { return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.ID, b.ID)) })
	changed := make([]int64, len(due))
	err = s.Update(ctx, "", func(tx *Tx) error {
		for i, e := range due {
			// Of several callers that read the same row, one claims it.
			err := tx.queue(write{
				table: "outbox",
				query: `UPDATE outbox SET due_at = ? WHERE tenant_id = ? AND event_id = ? AND due_at = ?`,
				args:  []any{millis(until), e.TenantID, e.ID, e.due},
				rows:  &changed[i],
			})
			if err != nil {
				return fmt.Errorf("claim event: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var claimed []Event
	for i, e := range due {
		if changed[i] == 1 {
			claimed = append(claimed, e)
		}
	}
	slices.SortStableFunc(claimed, func(a, b Event) int { return cmp.Compare(a.due, b.due) })
	for i := range claimed {
		claimed[i].due = millis(until)
	}
	return claimed, nil
}

// dueTenants lists the tenants with events that are due, the longest due first. It
// takes one step in an index for each tenant with pending events, however many
// events that has.
func (t *Tx) dueTenants(now time.Time) ([]Due, error) {
	list, err := collect(t, func(row row) (d Due, err error) {
		var since int64
		err = row.Scan(&d.TenantID, &since)
		d.Since = moment(since)
		return d, err
	}, `
		WITH RECURSIVE waiting (tenant_id) AS (
			SELECT (SELECT tenant_id FROM outbox WHERE due_at IS NOT NULL ORDER BY tenant_id LIMIT 1)
			UNION ALL
			SELECT (SELECT o.tenant_id FROM outbox o WHERE o.due_at IS NOT NULL AND o.tenant_id > waiting.tenant_id ORDER BY o.tenant_id LIMIT 1)
			FROM waiting WHERE waiting.tenant_id IS NOT NULL
		), firsts AS (
			SELECT tenant_id, (
				SELECT o.due_at FROM outbox o WHERE o.tenant_id = waiting.tenant_id AND o.due_at IS NOT NULL ORDER BY o.due_at LIMIT 1
			) AS since
			FROM waiting WHERE tenant_id IS NOT NULL
		)
		SELECT tenant_id, since FROM firsts WHERE since <= ? ORDER BY since, tenant_id`, millis(now))
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return list, nil
}

// dueEvents lists the events of claims that are due.
func (t *Tx) dueEvents(now time.Time, claims []Claim) ([]Event, error) {
	const columns = `tenant_id, event_id, type, body, created_at, failures, due_at`
	var query []string
	var args []any
	for _, c := range claims {
		query = append(query, `SELECT * FROM (
			SELECT `+columns+` FROM outbox WHERE tenant_id = ? AND due_at <= ? ORDER BY due_at, event_id LIMIT ?) AS e`)
		args = append(args, c.TenantID, millis(now), c.Events)
	}
	list, err := collect(t, func(row row) (e Event, err error) {
		var created int64
		err = row.Scan(&e.TenantID, &e.ID, &e.Type, &e.Body, &created, &e.Failures, &e.due)
		e.CreatedAt = moment(created)
		return e, err
	}, strings.Join(query, " UNION ALL "), args...)
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
