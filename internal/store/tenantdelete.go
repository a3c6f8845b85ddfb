package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A tenant is deleted in two steps. DeleteTenant removes its settings and keys in
// one transaction, and records it in deleted_tenants: from then on the tenant does
// not exist, and all its keys and tokens are refused. EraseDeleted then removes the
// rest in batches, and may be interrupted at any time.

// A DeletedTenant is the record of a tenant that was deleted.
type DeletedTenant struct {
	ID        string
	DeletedAt time.Time
	// ErasedAt is zero until all rows of the tenant are erased.
	ErasedAt time.Time
}

// A TenantDeletedError reports that a tenant cannot be created because one with
// its id was deleted.
type TenantDeletedError struct{ DeletedTenant }

func (e *TenantDeletedError) Error() string {
	return fmt.Sprintf("the tenant %s was deleted at %s", e.ID, e.DeletedAt.Format(time.RFC3339))
}

// DeleteTenant deletes the transaction's tenant: its settings, origins, actions'
// settings and API secret keys now, and all else with EraseDeleted. found is false
// if it does not exist.
func (t *Tx) DeleteTenant(now time.Time) (found bool, err error) {
	t.changed = true
	// The lock excludes operators who change the tenant.
	if _, found, err = t.Tenant(); err != nil || !found {
		return false, err
	}
	// The record of an earlier tenant of the id, which an export has brought back.
	_, err = t.exec(`
		INSERT INTO deleted_tenants (tenant_id, deleted_at) VALUES (?, ?)
		ON CONFLICT (tenant_id) DO UPDATE SET deleted_at = excluded.deleted_at, erased_at = NULL`, t.tenant, millis(now))
	for _, table := range []string{"api_secrets", "webhook_secrets", "tenant_origins", "action_settings", "tenants"} {
		if err == nil {
			_, err = t.exec(`DELETE FROM `+table+` WHERE tenant_id = ?`, t.tenant)
		}
	}
	if err != nil {
		return false, fmt.Errorf("delete tenant: %w", err)
	}
	return true, nil
}

const deletedColumns = `tenant_id, deleted_at, erased_at`

func scanDeleted(row row) (d DeletedTenant, err error) {
	var deleted int64
	var erased sql.NullInt64
	if err := row.Scan(&d.ID, &deleted, &erased); err != nil {
		return DeletedTenant{}, err
	}
	d.DeletedAt = moment(deleted)
	if erased.Valid {
		d.ErasedAt = moment(erased.Int64)
	}
	return d, nil
}

// Deleted returns the record of the transaction's tenant if it was deleted; found
// is false otherwise.
func (t *Tx) Deleted() (d DeletedTenant, found bool, err error) {
	d, err = scanDeleted(t.queryRow(`SELECT `+deletedColumns+` FROM deleted_tenants WHERE tenant_id = ?`, t.tenant))
	if errors.Is(err, sql.ErrNoRows) {
		return DeletedTenant{}, false, nil
	}
	if err != nil {
		return DeletedTenant{}, false, fmt.Errorf("read deleted tenants: %w", err)
	}
	return d, true, nil
}

// checkNotDeleted returns a *TenantDeletedError if a tenant with the id of the
// transaction's was deleted. It is called after the tenant was inserted: that
// waits for the end of a deletion.
func (t *Tx) checkNotDeleted() error {
	d, found, err := t.Deleted()
	if err == nil && found {
		err = &TenantDeletedError{d}
	}
	return err
}

// erased are the tables with rows of a tenant beside those of DeleteTenant, and
// their primary keys, in the order in which they are erased. The rows of failures
// go with their authenticators, and those of recovery codes, trusted browsers and
// recovery links with their users.
var erased = []struct{ table, key string }{
	{"outbox", "tenant_id, event_id"},
	{"authenticators", "tenant_id, user_authenticator_id"},
	{"users", "tenant_id, user_id"},
	{"actions", "tenant_id, user_id, action, idempotency_key"},
	{"action_counts", "tenant_id, hour, action, state, shard"},
	{"audit", "tenant_id, audit_id"},
}

// underway is how long a request that began before its tenant was deleted may
// still write, with the time that another process uses its cache.
const underway = time.Minute

// EraseDeleted erases the rows of deleted tenants, a batch in a transaction. It
// returns how many rows it erased, by tenant. Requests that were under way when
// their tenant was deleted may still have written rows, so that a tenant's record
// says that it is erased only when a minute has passed: EraseDeleted is to be
// called again until left is 0. Replicas may call it at the same time.
func (s *Store) EraseDeleted(ctx context.Context, now time.Time) (rows map[string]int64, left int, err error) {
	var list []DeletedTenant
	err = s.View(ctx, "", func(tx *Tx) (err error) {
		list, err = collect(tx, scanDeleted, `SELECT `+deletedColumns+` FROM deleted_tenants WHERE erased_at IS NULL ORDER BY tenant_id`)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read deleted tenants: %w", err)
	}
	rows = map[string]int64{}
	for _, d := range list {
		n, err := s.erase(ctx, d.ID)
		if n > 0 {
			rows[d.ID] = n
		}
		if err != nil {
			return rows, len(list), err
		}
		if now.Sub(d.DeletedAt) < underway {
			left++
			continue
		}
		err = s.Update(ctx, d.ID, func(tx *Tx) error {
			_, err := tx.exec(`UPDATE deleted_tenants SET erased_at = ? WHERE tenant_id = ? AND deleted_at = ?`, millis(now), d.ID, millis(d.DeletedAt))
			return err
		})
		if err != nil {
			return rows, len(list), fmt.Errorf("erase tenant: %w", err)
		}
	}
	return rows, left, nil
}

func (s *Store) erase(ctx context.Context, tenantID string) (total int64, err error) {
	for _, e := range erased {
		for {
			if err := ctx.Err(); err != nil {
				return total, err
			}
			var n int64
			err := s.Update(ctx, tenantID, func(tx *Tx) error {
				// The lock excludes other replicas, and the import of an export of
				// the tenant, whose rows are not to be erased.
				still, err := collect(tx, scanValue[string], `SELECT tenant_id FROM deleted_tenants WHERE tenant_id = ? AND erased_at IS NULL`+s.dialect.forUpdate, tenantID)
				if err != nil || len(still) == 0 {
					return err
				}
				n, err = tx.exec(`DELETE FROM `+e.table+` WHERE (`+e.key+`) IN (
					SELECT `+e.key+` FROM `+e.table+` WHERE tenant_id = ? LIMIT ?)`, tenantID, cleanBatch)
				return err
			})
			if err != nil {
				return total, fmt.Errorf("erase tenant: %s: %w", e.table, err)
			}
			total += n
			if n < cleanBatch {
				break
			}
		}
	}
	return total, nil
}
