package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A Tenant is an organisation whose users are authenticated; no row of one is
// seen by another.
type Tenant struct {
	ID            string
	Authenticator api.AuthenticatorSettings
	// WebhookURL takes the tenant's events; empty means that there are none,
	// and that no code waits for consent.
	WebhookURL string
	// Branding is how the pre-built UI looks.
	Branding  api.Branding
	CreatedAt time.Time
}

// tenantColumns are what readTenant scans.
const tenantColumns = `tenants.tenant_id, tenants.authenticator, tenants.webhook_url, tenants.branding, tenants.created_at`

func readTenant(row row) (t Tenant, err error) {
	var authenticator, branding string
	var created int64
	if err := row.Scan(&t.ID, &authenticator, &t.WebhookURL, &branding, &created); err != nil {
		return Tenant{}, err
	}
	t.CreatedAt = moment(created)
	err = errors.Join(json.Unmarshal([]byte(authenticator), &t.Authenticator), json.Unmarshal([]byte(branding), &t.Branding))
	// Settings that an earlier version stored lack the newer keys.
	if t.Authenticator.MaxAuthenticators == 0 {
		t.Authenticator.MaxAuthenticators = api.DefaultMaxAuthenticators
	}
	return t, err
}

func scanTenant(row row) (t Tenant, found bool, err error) {
	t, err = readTenant(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Tenant{}, false, nil
	}
	if err != nil {
		return Tenant{}, false, fmt.Errorf("read tenant: %w", err)
	}
	return t, true, nil
}

// Tenant returns a tenant; found is false when there is none.
func (s *Store) Tenant(ctx context.Context, id string) (t Tenant, found bool, err error) {
	t, err = lookUp(&s.cache, s.cache.generation.Load(), tenantKey(id), func() (t Tenant, keep bool, err error) {
		t, keep, err = scanTenant(s.db.QueryRowContext(ctx, s.dialect.rebind(`
			SELECT `+tenantColumns+` FROM tenants WHERE tenant_id = ?`), id))
		return t, keep, err
	})
	return t, t.ID != "", err
}

// The keys of the cache.
type (
	tenantKey   string
	secretKey   [sha256.Size]byte
	originKey   [sha256.Size]byte
	settingsKey struct{ tenant, action string }
)

// TenantOfSecret returns the tenant of an API secret key that is in force. The
// key is looked up by its SHA-256, so that the time of the look-up tells
// nothing of the key.
func (s *Store) TenantOfSecret(ctx context.Context, secret string, now time.Time) (t Tenant, found bool, err error) {
	sum := sha256.Sum256([]byte(secret))
	type owner struct {
		id      string
		expires sql.NullInt64
	}
	o, err := lookUp(&s.cache, s.cache.generation.Load(), secretKey(sum), func() (o owner, keep bool, err error) {
		err = s.db.QueryRowContext(ctx, s.dialect.rebind(`SELECT tenant_id, expires_at FROM api_secrets WHERE secret_sum = ?`), sum[:]).
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

// Tenants lists all tenants by their id.
func (s *Store) Tenants(ctx context.Context) ([]Tenant, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+tenantColumns+` FROM tenants ORDER BY tenant_id`)
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	defer rows.Close()
	var list []Tenant
	for rows.Next() {
		t, err := readTenant(rows)
		if err != nil {
			return nil, fmt.Errorf("read tenants: %w", err)
		}
		list = append(list, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	return list, nil
}

// Tenant returns the transaction's own tenant, locked for a change; found is
// false when there is none.
func (t *Tx) Tenant() (Tenant, bool, error) {
	return scanTenant(t.queryRow(`
		SELECT `+tenantColumns+` FROM tenants WHERE tenant_id = ?`+t.dialect.forUpdate, t.tenant))
}

// PutTenant stores the settings of the transaction's tenant, which is made if
// there is none; changed is false when they were so already.
func (t *Tx) PutTenant(settings api.AuthenticatorSettings, now time.Time) (changed bool, err error) {
	return t.putTenant(settings, now, `DO UPDATE SET authenticator = excluded.authenticator
		WHERE tenants.authenticator <> excluded.authenticator`)
}

// EnsureTenant makes the transaction's tenant with these settings, unless it
// is there.
func (t *Tx) EnsureTenant(settings api.AuthenticatorSettings, now time.Time) (made bool, err error) {
	return t.putTenant(settings, now, `DO NOTHING`)
}

func (t *Tx) putTenant(settings api.AuthenticatorSettings, now time.Time, onConflict string) (bool, error) {
	b, err := json.Marshal(settings)
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	t.changed = true
	n, err := t.exec(`
		INSERT INTO tenants (tenant_id, authenticator, created_at) VALUES (?, ?, ?)
		ON CONFLICT (tenant_id) `+onConflict, t.tenant, string(b), millis(now))
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	return n == 1, nil
}

// ErrSecretTaken: the API secret key is another tenant's.
var ErrSecretTaken = errors.New("the API secret key belongs to another tenant")

// EnsureSecret stores an API secret key of the transaction's tenant, sealed,
// unless it is there; made is then false. One that is there keeps its end.
func (t *Tx) EnsureSecret(secret string, now time.Time) (made bool, err error) {
	t.changed = true
	sum := sha256.Sum256([]byte(secret))
	id := uuid.NewString()
	n, err := t.exec(`
		INSERT INTO api_secrets (tenant_id, secret_id, secret_sum, secret, key_id, created_at)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (secret_sum) DO NOTHING`,
		t.tenant, id, sum[:], t.sealer.seal(secret, bind("api secret", t.tenant, id)), t.sealer.id, millis(now))
	if err != nil {
		return false, fmt.Errorf("store API secret: %w", err)
	}
	var owner string
	if err := t.queryRow(`SELECT tenant_id FROM api_secrets WHERE secret_sum = ?`, sum[:]).Scan(&owner); err != nil {
		return false, fmt.Errorf("store API secret: %w", err)
	}
	if owner != t.tenant {
		return false, ErrSecretTaken
	}
	return n == 1, nil
}

// SetWebhookURL sets where the events of the transaction's tenant go; changed
// is false when it was so already.
func (t *Tx) SetWebhookURL(url string) (changed bool, err error) {
	t.changed = true
	n, err := t.exec(`UPDATE tenants SET webhook_url = ? WHERE tenant_id = ? AND webhook_url <> ?`, url, t.tenant, url)
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	return n == 1, nil
}

// SetBranding sets how the pre-built UI looks; changed is false when it was so
// already.
func (t *Tx) SetBranding(b api.Branding) (changed bool, err error) {
	t.changed = true
	text, err := json.Marshal(b)
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	n, err := t.exec(`UPDATE tenants SET branding = ? WHERE tenant_id = ? AND branding <> ?`, string(text), t.tenant, string(text))
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	return n == 1, nil
}

// ActiveSecrets returns the API secret keys of a tenant that are in force,
// newest first.
func (s *Store) ActiveSecrets(ctx context.Context, tenantID string, now time.Time) (secrets []string, err error) {
	err = s.View(ctx, tenantID, func(tx *Tx) error {
		rows, err := tx.query(`
			SELECT secret_id, secret, key_id FROM api_secrets
			WHERE tenant_id = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY created_at DESC, secret_id`, tenantID, millis(now))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, keyID string
			var sealed []byte
			if err := rows.Scan(&id, &sealed, &keyID); err != nil {
				return err
			}
			secret, err := s.sealer.open(keyID, sealed, bind("api secret", tenantID, id))
			if err != nil {
				return err
			}
			secrets = append(secrets, secret)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read API secrets: %w", err)
	}
	return secrets, nil
}

// A SigningKey signs client tokens.
type SigningKey struct {
	ID        string
	Secret    []byte
	CreatedAt time.Time
}

// SigningKeys returns the signing keys, newest first, of the whole server. It
// makes the first one.
func (s *Store) SigningKeys(ctx context.Context, fresh func() []byte, now time.Time) ([]SigningKey, error) {
	var keys []SigningKey
	read := func(tx *Tx) (err error) {
		keys, err = tx.signingKeys()
		return err
	}
	// Mostly they are there, and a reader locks nobody out.
	err := s.View(ctx, "", read)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if len(keys) > 0 {
		return keys, nil
	}
	err = s.Update(ctx, "", func(tx *Tx) error {
		if s.dialect.alone != "" { // of replicas that start together, one makes it
			if _, err := tx.exec(s.dialect.alone); err != nil {
				return err
			}
		}
		if err := read(tx); err != nil || len(keys) > 0 {
			return err
		}
		k := SigningKey{ID: uuid.NewString(), Secret: fresh(), CreatedAt: now}
		keys = []SigningKey{k}
		return tx.InsertSigningKey(k)
	})
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	return keys, nil
}

func (t *Tx) signingKeys() ([]SigningKey, error) {
	rows, err := t.query(`SELECT kid, secret, key_id, created_at FROM signing_keys ORDER BY created_at DESC, kid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []SigningKey
	for rows.Next() {
		var k SigningKey
		var sealed []byte
		var keyID string
		var created int64
		if err := rows.Scan(&k.ID, &sealed, &keyID, &created); err != nil {
			return nil, err
		}
		secret, err := t.sealer.open(keyID, sealed, bind("signing key", k.ID))
		if err != nil {
			return nil, err
		}
		k.Secret, k.CreatedAt = []byte(secret), moment(created)
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// InsertSigningKey stores a signing key, sealed.
func (t *Tx) InsertSigningKey(k SigningKey) error {
	_, err := t.exec(`INSERT INTO signing_keys (kid, secret, key_id, created_at) VALUES (?, ?, ?, ?)`,
		k.ID, t.sealer.seal(string(k.Secret), bind("signing key", k.ID)), t.sealer.id, millis(k.CreatedAt))
	return err
}
