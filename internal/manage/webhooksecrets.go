package manage

import (
	"errors"
	"fmt"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// NewWebhookSecret makes a secret that signs the tenant's webhooks and returns it; it
// cannot be read later. What signed before also signs for an overlap in seconds, 0 to
// MaxOverlap: the earlier secrets, or the API secret keys if there are none.
func NewWebhookSecret(tx *store.Tx, overlap int64, now time.Time) (made store.WebhookSecret, secret string, err error) {
	if err := checkOverlap(overlap); err != nil {
		return store.WebhookSecret{}, "", err
	}
	secret = newKey()
	made, _, err = addWebhookSecret(tx, secret, overlap, now)
	return made, secret, err
}

// EnsureWebhookSecret adds a secret of webhooks that an operator chose, unless the
// tenant has it; made is then false. What signed before also signs for DefaultOverlap.
func EnsureWebhookSecret(tx *store.Tx, secret string, now time.Time) (made bool, err error) {
	if err := CheckKey(secret); err != nil {
		return false, fmt.Errorf("the webhook secret %w", err)
	}
	s, made, err := addWebhookSecret(tx, secret, DefaultOverlap, now)
	if err == nil && !s.InForce(now) {
		err = errors.New("the webhook secret was revoked or replaced before; make another one with: openssl rand -hex 32")
	}
	return made, err
}

func addWebhookSecret(tx *store.Tx, secret string, overlap int64, now time.Time) (store.WebhookSecret, bool, error) {
	s, made, err := tx.EnsureWebhookSecret(secret, now.Add(time.Duration(overlap)*time.Second), now)
	if err != nil || !made {
		return s, false, err
	}
	return s, true, tx.Audit(store.Configured(store.ChangeWebhookSecretMade, map[string]any{"secretId": s.ID, "overlapSeconds": overlap}, now))
}

// RevokeWebhookSecret makes a secret of webhooks invalid, at once and permanently. If
// it was the last one, the API secret keys sign again.
func RevokeWebhookSecret(tx *store.Tx, id string, now time.Time) error {
	revoked, err := tx.RevokeWebhookSecret(id, now)
	if err == nil && !revoked {
		err = api.NotFound("The tenant has no such webhook secret in force.")
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.Configured(store.ChangeWebhookSecretRevoked, map[string]any{"secretId": id}, now))
}
