package store

import (
	"context"
	"fmt"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// Retention says how long rows are kept.
type Retention struct {
	// Actions and Audit are the ages at which actions and audit lines are
	// deleted.
	Actions, Audit time.Duration
	// Pending is the age at which an incomplete enrollment is deleted.
	Pending time.Duration
}

// linkKept is how long a recovery link is kept after its end, so that its holder and
// the help desk are told what became of it.
const linkKept = 30 * 24 * time.Hour

// cleanBatch is how many rows one transaction deletes, so that others do not wait
// long for it.
const cleanBatch = 1000

// Clean deletes rows of all tenants and of the server itself that are older than
// the retention. It returns how many. Replicas may clean at the same time.
func (s *Store) Clean(ctx context.Context, r Retention, now time.Time) (int64, error) {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return 0, err
	}
	// The audit lines of the server itself have an empty tenant id.
	tenants = append(tenants, Tenant{})
	var total int64
	for _, tenant := range tenants {
		for _, c := range []struct {
			table, key, where string
			before            time.Time
		}{
			{"actions", "tenant_id, user_id, action, idempotency_key", "created_at < ?", now.Add(-r.Actions)},
			{"action_counts", "tenant_id, hour, action, state, shard", "hour < ?", now.Add(-r.Actions)},
			{"audit", "tenant_id, audit_id", "at < ?", now.Add(-r.Audit)},
			{"trusted_browsers", "tenant_id, browser_id", "trusted_at < ?", now.Add(-api.MaxTrustBrowserDays * 24 * time.Hour)},
			{"recovery_links", "tenant_id, link_id", "expires_at < ?", now.Add(-linkKept)},
			{"authenticators", "tenant_id, user_authenticator_id", "verified_at IS NULL AND created_at < ?", now.Add(-r.Pending)},
		} {
			for {
				var n int64
				err := s.Update(ctx, tenant.ID, func(tx *Tx) (err error) {
					n, err = tx.exec(`DELETE FROM `+c.table+` WHERE (`+c.key+`) IN (
						SELECT `+c.key+` FROM `+c.table+` WHERE tenant_id = ? AND `+c.where+` LIMIT ?)`, tenant.ID, millis(c.before), cleanBatch)
					return err
				})
				if err != nil {
					return total, fmt.Errorf("clean %s: %w", c.table, err)
				}
				total += n
				if n < cleanBatch {
					break
				}
			}
		}
	}
	return total, nil
}
