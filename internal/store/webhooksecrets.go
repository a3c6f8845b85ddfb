package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A WebhookSecret is a secret that signs a tenant's webhooks, without the secret.
type WebhookSecret struct {
	ID        string
	CreatedAt time.Time
	// ExpiresAt is zero if it does not expire.
	ExpiresAt time.Time
}

// InForce reports whether the secret signs at a time.
func (s WebhookSecret) InForce(now time.Time) bool {
	return s.ExpiresAt.IsZero() || s.ExpiresAt.After(now)
}

// webhookSecret is a WebhookSecret with the secret, and until when the API secret
// keys sign too: a receiver that verifies by one of them is to have time to take the
// tenant's first secret of webhooks.
type webhookSecret struct {
	WebhookSecret
	secret     string
	apiKeysToo time.Time
}

// webhookSecretBinding ties a sealed secret to its table; the ids of the tenant and
// the secret follow.
const webhookSecretBinding = "webhook secret"

func (t *Tx) webhookSecrets() ([]webhookSecret, error) {
	list, err := collect(t, func(row row) (s webhookSecret, err error) {
		var created int64
		var expires, apiKeys sql.NullInt64
		var sealed []byte
		var keyID string
		if err := row.Scan(&s.ID, &sealed, &keyID, &created, &expires, &apiKeys); err != nil {
			return webhookSecret{}, err
		}
		s.CreatedAt = moment(created)
		if expires.Valid {
			s.ExpiresAt = moment(expires.Int64)
		}
		if apiKeys.Valid {
			s.apiKeysToo = moment(apiKeys.Int64)
		}
		s.secret, err = t.sealer.open(keyID, sealed, bind(webhookSecretBinding, t.tenant, s.ID))
		return s, err
	}, `
		SELECT secret_id, secret, key_id, created_at, expires_at, api_keys_until FROM webhook_secrets
		WHERE tenant_id = ? ORDER BY created_at DESC, secret_id`, t.tenant)
	if err != nil {
		return nil, fmt.Errorf("read webhook secrets: %w", err)
	}
	return list, nil
}

// WebhookSecrets lists the secrets of the tenant's webhooks, newest first, those that
// have expired too.
func (t *Tx) WebhookSecrets() (list []WebhookSecret, err error) {
	all, err := t.webhookSecrets()
	for _, s := range all {
		list = append(list, s.WebhookSecret)
	}
	return list, err
}

// SigningSecrets returns the secrets that sign a tenant's webhooks at a time: those of
// its webhooks that are in force, or its API secret keys if there are none. Both sign
// for a time after the first one was made.
func (s *Store) SigningSecrets(ctx context.Context, tenantID string, now time.Time) (secrets []string, err error) {
	err = s.View(ctx, tenantID, func(tx *Tx) error {
		secrets, err = tx.signingSecrets(now)
		return err
	})
	return secrets, err
}

func (t *Tx) signingSecrets(now time.Time) (secrets []string, err error) {
	all, err := t.webhookSecrets()
	if err != nil {
		return nil, err
	}
	apiKeys := false
	for _, s := range all {
		if s.InForce(now) {
			secrets = append(secrets, s.secret)
		}
		apiKeys = apiKeys || s.apiKeysToo.After(now)
	}
	if len(secrets) > 0 && !apiKeys {
		return secrets, nil
	}
	list, err := t.ActiveSecrets(now)
	for _, s := range list {
		secrets = append(secrets, s.Key)
	}
	return secrets, err
}

// EnsureWebhookSecret stores a secret of the tenant's webhooks, sealed, unless the
// tenant has it; made is then false, and its expiry unchanged. The earlier ones in
// force expire at a time, unless they expire sooner; if there are none, the API secret
// keys sign until then.
func (t *Tx) EnsureWebhookSecret(secret string, until, now time.Time) (s WebhookSecret, made bool, err error) {
	all, err := t.webhookSecrets()
	if err != nil {
		return WebhookSecret{}, false, err
	}
	for _, old := range all {
		if subtle.ConstantTimeCompare([]byte(old.secret), []byte(secret)) == 1 {
			return old.WebhookSecret, false, nil
		}
	}
	apiKeys := sql.NullInt64{Int64: millis(until), Valid: true}
	if slices.ContainsFunc(all, func(old webhookSecret) bool { return old.InForce(now) }) {
		apiKeys = sql.NullInt64{}
	}
	_, err = t.exec(`UPDATE webhook_secrets SET expires_at = ? WHERE tenant_id = ? AND (expires_at IS NULL OR expires_at > ?)`,
		millis(until), t.tenant, millis(until))
	if err != nil {
		return WebhookSecret{}, false, fmt.Errorf("expire webhook secrets: %w", err)
	}
	s = WebhookSecret{ID: uuid.NewString(), CreatedAt: now}
	_, err = t.exec(`
		INSERT INTO webhook_secrets (tenant_id, secret_id, secret, key_id, created_at, api_keys_until) VALUES (?, ?, ?, ?, ?, ?)`,
		t.tenant, s.ID, t.sealer.seal(secret, bind(webhookSecretBinding, t.tenant, s.ID)), t.sealer.id, millis(now), apiKeys)
	if err != nil {
		return WebhookSecret{}, false, fmt.Errorf("store webhook secret: %w", err)
	}
	return s, true, nil
}

// RevokeWebhookSecret makes a secret of webhooks expire at once; revoked is false if
// the tenant has none of that id in force. The row stays: otherwise a configuration
// that names the secret would store it again.
func (t *Tx) RevokeWebhookSecret(id string, now time.Time) (revoked bool, err error) {
	n, err := t.exec(`UPDATE webhook_secrets SET expires_at = ? WHERE tenant_id = ? AND secret_id = ? AND (expires_at IS NULL OR expires_at > ?)`,
		millis(now), t.tenant, id, millis(now))
	if err != nil {
		return false, fmt.Errorf("revoke webhook secret: %w", err)
	}
	return n == 1, nil
}
