package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A Tenant is an organisation whose users are authenticated. No tenant sees the
// rows of another.
type Tenant struct {
	ID            string
	Authenticator api.AuthenticatorSettings
	// WebhookURL receives the tenant's events. If empty, no events are sent, and
	// verifications ask for no consent.
	WebhookURL string
	// Branding is the look of the pre-built UI.
	Branding api.Branding
	// UserIDs says what is done about user ids that look alike.
	UserIDs api.UserIDs
	// Enrollment is the policy for the tenant's users; nil for none.
	Enrollment *api.EnrollmentPolicy
	// RecoveryLinks are the settings for recovery links.
	RecoveryLinks api.RecoveryLinkSettings
	CreatedAt     time.Time
}

// tenantColumns are what readTenant scans.
const tenantColumns = `tenants.tenant_id, tenants.authenticator, tenants.webhook_sealed, tenants.webhook_key_id, tenants.branding, tenants.user_ids, tenants.enrollment_policy, tenants.recovery_links, tenants.created_at`

func (s *sealer) readTenant(row row) (t Tenant, err error) {
	var authenticator, branding, enrollment, links string
	var webhook []byte
	var keyID sql.NullString
	var created int64
	if err := row.Scan(&t.ID, &authenticator, &webhook, &keyID, &branding, &t.UserIDs, &enrollment, &links, &created); err != nil {
		return Tenant{}, err
	}
	if webhook != nil {
		if t.WebhookURL, err = s.open(keyID.String, webhook, bind(webhookBinding, t.ID)); err != nil {
			return Tenant{}, fmt.Errorf("webhook URL: %w", err)
		}
	}
	t.CreatedAt = moment(created)
	// Settings that were stored before these existed lack them.
	t.Authenticator.MaxAuthenticators, t.Authenticator.RecoveryCodes = api.DefaultMaxAuthenticators, true
	err = errors.Join(json.Unmarshal([]byte(authenticator), &t.Authenticator), json.Unmarshal([]byte(branding), &t.Branding), json.Unmarshal([]byte(links), &t.RecoveryLinks))
	if enrollment != "" {
		err = errors.Join(err, json.Unmarshal([]byte(enrollment), &t.Enrollment))
	}
	return t, err
}

// webhookBinding ties the sealed URL of a webhook to its column; the tenant's
// id follows.
const webhookBinding = "webhook url"

func (s *sealer) scanTenant(row row) (t Tenant, found bool, err error) {
	t, err = s.readTenant(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Tenant{}, false, nil
	}
	if err != nil {
		return Tenant{}, false, fmt.Errorf("read tenant: %w", err)
	}
	return t, true, nil
}

const selectTenant = `SELECT ` + tenantColumns + ` FROM tenants WHERE tenant_id = ?`

// Tenant returns a tenant; found is false if it does not exist.
func (s *Store) Tenant(ctx context.Context, id string) (t Tenant, found bool, err error) {
	t, err = lookUp(&s.cache, s.cache.generation.Load(), tenantKey(id), func() (t Tenant, keep bool, err error) {
		t, keep, err = s.sealer.scanTenant(s.queryRow(ctx, selectTenant, id))
		return t, keep, err
	})
	return t, t.ID != "", err
}

// Tenants lists all tenants in the order of their ids.
func (s *Store) Tenants(ctx context.Context) ([]Tenant, error) {
	conn, err := s.conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	defer conn.Close()
	rows, err := conn.QueryContext(ctx, s.dialect.rebind(`SELECT `+tenantColumns+` FROM tenants ORDER BY tenant_id`))
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	defer rows.Close()
	var list []Tenant
	err = appendTo(&list, s.sealer.readTenant)(rows)
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	return list, nil
}

// Tenant returns the transaction's tenant, locked for a change; found is false if
// it does not exist.
func (t *Tx) Tenant() (Tenant, bool, error) {
	return t.sealer.scanTenant(t.queryRow(selectTenant+t.dialect.forUpdate, t.tenant))
}

// PutTenant stores the settings of the transaction's tenant, which it creates if it
// does not exist; changed is false if they are the same as before. The error is a
// *TenantDeletedError if the tenant was deleted.
func (t *Tx) PutTenant(settings api.AuthenticatorSettings, now time.Time) (changed bool, err error) {
	return t.putTenant(settings, now, `DO UPDATE SET authenticator = excluded.authenticator
		WHERE tenants.authenticator <> excluded.authenticator`)
}

// EnsureTenant creates the transaction's tenant with these settings unless it
// exists; made is then false. The error is a *TenantDeletedError if the tenant was
// deleted.
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
	if n == 0 {
		return false, nil
	}
	return true, t.checkNotDeleted()
}

// SetWebhookURL sets the URL that receives the events of the transaction's tenant;
// changed is false if it is the same as before.
func (t *Tx) SetWebhookURL(url string) (changed bool, err error) {
	t.changed = true
	current, found, err := t.Tenant()
	if err != nil || !found || current.WebhookURL == url {
		return false, err
	}
	if err := t.sealWebhook(t.tenant, url); err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	return true, nil
}

// sealWebhook stores the webhook URL of a tenant, sealed, or none if it is
// empty.
func (t *Tx) sealWebhook(tenantID, url string) error {
	var sealed []byte
	var keyID sql.NullString
	if url != "" {
		sealed = t.sealer.seal(url, bind(webhookBinding, tenantID))
		keyID = sql.NullString{String: t.sealer.id, Valid: true}
	}
	_, err := t.exec(`UPDATE tenants SET webhook_sealed = ?, webhook_key_id = ?, webhook_url = '' WHERE tenant_id = ?`, sealed, keyID, tenantID)
	return err
}

// SetBranding sets the look of the pre-built UI; changed is false if it is the same
// as before.
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

// SetEnrollmentPolicy sets the policy for the tenant's users, nil for none; changed is
// false if it is the same as before.
func (t *Tx) SetEnrollmentPolicy(p *api.EnrollmentPolicy) (changed bool, err error) {
	t.changed = true
	text := ""
	if p != nil {
		b, err := json.Marshal(p)
		if err != nil {
			return false, fmt.Errorf("store tenant: %w", err)
		}
		text = string(b)
	}
	n, err := t.exec(`UPDATE tenants SET enrollment_policy = ? WHERE tenant_id = ? AND enrollment_policy <> ?`, text, t.tenant, text)
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	return n == 1, nil
}

// sealWebhooks seals the webhook URLs that an earlier version stored in plain
// text.
func (s *Store) sealWebhooks(ctx context.Context) error {
	n := 0
	err := s.Update(ctx, "", func(tx *Tx) error {
		type webhook struct{ tenantID, url string }
		plain, err := collect(tx, func(row row) (w webhook, err error) {
			err = row.Scan(&w.tenantID, &w.url)
			return w, err
		}, `SELECT tenant_id, webhook_url FROM tenants WHERE webhook_url <> ''`+s.dialect.forUpdate)
		if err != nil {
			return err
		}
		n = len(plain)
		for _, w := range plain {
			if err := tx.sealWebhook(w.tenantID, w.url); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && n > 0 {
		err = s.vacuum(ctx)
	}
	if err != nil {
		return fmt.Errorf("seal webhook URLs: %w", err)
	}
	return nil
}
