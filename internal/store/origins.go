package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Origins lists the origins of the tenant's own pages, sorted.
func (t *Tx) Origins() ([]string, error) {
	list, err := collect(t, scanValue[string], `SELECT origin FROM tenant_origins WHERE tenant_id = ? ORDER BY origin`, t.tenant)
	if err != nil {
		return nil, fmt.Errorf("read origins: %w", err)
	}
	if list == nil {
		list = []string{} // in JSON [], not null
	}
	return list, nil
}

// SetOrigins replaces the origins of the tenant's own pages, each as origin.Parse
// writes it; changed is false if they are the same as before.
func (t *Tx) SetOrigins(origins []string) (changed bool, err error) {
	t.changed = true
	current, err := t.Origins()
	if err != nil {
		return false, err
	}
	for _, o := range current {
		if !slices.Contains(origins, o) {
			if _, err := t.exec(`DELETE FROM tenant_origins WHERE tenant_id = ? AND origin = ?`, t.tenant, o); err != nil {
				return false, fmt.Errorf("store origins: %w", err)
			}
			changed = true
		}
	}
	for _, o := range origins {
		n, err := t.exec(`INSERT INTO tenant_origins (tenant_id, origin) VALUES (?, ?) ON CONFLICT DO NOTHING`, t.tenant, o)
		if err != nil {
			return false, fmt.Errorf("store origins: %w", err)
		}
		changed = changed || n == 1
	}
	return changed, nil
}

// HasOrigin reports whether any tenant has an origin. It is for preflights (Fetch,
// "CORS-preflight fetch"), which carry no token and so name no tenant. Unknown
// origins are cached too.
func (s *Store) HasOrigin(ctx context.Context, origin string) (bool, error) {
	// By its hash: an unknown one may be as long as a header.
	key := originKey(sha256.Sum256([]byte(origin)))
	return lookUp(&s.cache, s.cache.generation.Load(), key, func() (has, keep bool, err error) {
		var n int
		err = s.queryRow(ctx, `SELECT COUNT(*) FROM tenant_origins WHERE origin = ?`, origin).Scan(&n)
		if err != nil {
			return false, false, fmt.Errorf("read origins: %w", err)
		}
		return n > 0, true, nil
	})
}
