package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// An APISecret is an API secret key of a tenant, without the key.
type APISecret struct {
	ID        string
	CreatedAt time.Time
	// ExpiresAt is zero if the key does not expire.
	ExpiresAt time.Time
}

// InForce reports whether the key is accepted at a time.
func (s APISecret) InForce(now time.Time) bool {
	return s.ExpiresAt.IsZero() || s.ExpiresAt.After(now)
}

// apiSecretColumns are what scanAPISecret scans.
const apiSecretColumns = `secret_id, tenant_id, created_at, expires_at`

func scanAPISecret(row row) (s APISecret, tenantID string, err error) {
	var created int64
	var expires sql.NullInt64
	if err := row.Scan(&s.ID, &tenantID, &created, &expires); err != nil {
		return APISecret{}, "", err
	}
	s.CreatedAt = moment(created)
	if expires.Valid {
		s.ExpiresAt = moment(expires.Int64)
	}
	return s, tenantID, nil
}

// APISecrets lists the API secret keys of the tenant, newest first.
func (t *Tx) APISecrets() ([]APISecret, error) {
	scan := func(row row) (APISecret, error) {
		s, _, err := scanAPISecret(row)
		return s, err
	}
	list, err := collect(t, scan, `
		SELECT `+apiSecretColumns+` FROM api_secrets
		WHERE tenant_id = ? ORDER BY created_at DESC, secret_id`, t.tenant)
	if err != nil {
		return nil, fmt.Errorf("read API secrets: %w", err)
	}
	return list, nil
}

const selectOwner = `SELECT tenant_id, expires_at FROM api_secrets WHERE secret_sum = ?`

// TenantOfSecret returns the tenant of an API secret key that is in force. The key
// is looked up by its SHA-256, so that the time of the look-up reveals nothing of
// it.
func (s *Store) TenantOfSecret(ctx context.Context, secret string, now time.Time) (t Tenant, found bool, err error) {
	sum := sha256.Sum256([]byte(secret))
	type owner struct {
		id      string
		expires sql.NullInt64
	}
	o, err := lookUp(&s.cache, s.cache.generation.Load(), secretKey(sum), func() (o owner, keep bool, err error) {
		err = s.queryRow(ctx, selectOwner, sum[:]).
			Scan(&o.id, &o.expires)
		if errors.Is(err, sql.ErrNoRows) {
			return owner{}, false, nil
		}
		if err != nil {
			return owner{}, false, fmt.Errorf("read API secret: %w", err)
		}
		return o, true, nil
	})
	if err != nil || o.id == "" || o.expires.Valid && o.expires.Int64 <= millis(now) {
		return Tenant{}, false, err
	}
	return s.Tenant(ctx, o.id)
}

// ActiveSecrets returns the API secret keys of a tenant that are in force,
// newest first.
func (s *Store) ActiveSecrets(ctx context.Context, tenantID string, now time.Time) (secrets []string, err error) {
	err = s.View(ctx, tenantID, func(tx *Tx) error {
		list, err := tx.ActiveSecrets(now)
		for _, active := range list {
			secrets = append(secrets, active.Key)
		}
		return err
	})
	return secrets, err
}

// An ActiveSecret is an API secret key in force, with the key.
type ActiveSecret struct{ ID, Key string }

// ActiveSecrets returns the API secret keys of the tenant that are in force,
// newest first.
func (t *Tx) ActiveSecrets(now time.Time) ([]ActiveSecret, error) {
	scan := func(row row) (s ActiveSecret, err error) {
		var keyID string
		var sealed []byte
		if err := row.Scan(&s.ID, &sealed, &keyID); err != nil {
			return ActiveSecret{}, err
		}
		s.Key, err = t.sealer.open(keyID, sealed, bind("api secret", t.tenant, s.ID))
		return s, err
	}
	list, err := collect(t, scan, `
		SELECT secret_id, secret, key_id FROM api_secrets
		WHERE tenant_id = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY created_at DESC, secret_id`, t.tenant, millis(now))
	if err != nil {
		return nil, fmt.Errorf("read API secrets: %w", err)
	}
	return list, nil
}

// ErrSecretTaken: the API secret key is another tenant's.
var ErrSecretTaken = errors.New("the API secret key belongs to another tenant")

// EnsureSecret stores an API secret key of the transaction's tenant, sealed,
// unless the tenant has it; made is then false, and the key's expiry unchanged.
func (t *Tx) EnsureSecret(secret string, now time.Time) (s APISecret, made bool, err error) {
	t.changed = true
	sum := sha256.Sum256([]byte(secret))
	id := uuid.NewString()
	n, err := t.exec(`
		INSERT INTO api_secrets (tenant_id, secret_id, secret_sum, secret, key_id, created_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (secret_sum) DO NOTHING`,
		t.tenant, id, sum[:], t.sealer.seal(secret, bind("api secret", t.tenant, id)), t.sealer.id, millis(now))
	if err != nil {
		return APISecret{}, false, fmt.Errorf("store API secret: %w", err)
	}
	s, owner, err := scanAPISecret(t.queryRow(`SELECT `+apiSecretColumns+` FROM api_secrets WHERE secret_sum = ?`, sum[:]))
	if err != nil {
		return APISecret{}, false, fmt.Errorf("store API secret: %w", err)
	}
	if owner != t.tenant {
		return APISecret{}, false, ErrSecretTaken
	}
	return s, n == 1, nil
}

// ExpireSecrets makes the API secret keys of the tenant expire at a time, unless
// they expire sooner.
func (t *Tx) ExpireSecrets(at time.Time) error {
	t.changed = true
	_, err := t.exec(`UPDATE api_secrets SET expires_at = ? WHERE tenant_id = ? AND (expires_at IS NULL OR expires_at > ?)`,
		millis(at), t.tenant, millis(at))
	if err != nil {
		return fmt.Errorf("expire API secrets: %w", err)
	}
	return nil
}

// RevokeSecret makes an API secret key expire at once; revoked is false if the
// tenant has none of that id in force. The row stays: otherwise EnsureSecret would
// store the key again at the next start.
func (t *Tx) RevokeSecret(id string, now time.Time) (revoked bool, err error) {
	t.changed = true
	n, err := t.exec(`UPDATE api_secrets SET expires_at = ? WHERE tenant_id = ? AND secret_id = ? AND (expires_at IS NULL OR expires_at > ?)`,
		millis(now), t.tenant, id, millis(now))
	if err != nil {
		return false, fmt.Errorf("revoke API secret: %w", err)
	}
	return n == 1, nil
}
