package manage

import (
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// MaxOverlap is how long an API secret key may stay in force beside its
// successor, in seconds: 90 days. DefaultOverlap is an hour.
const (
	MaxOverlap     = 90 * 24 * 60 * 60
	DefaultOverlap = 60 * 60
)

// NewSecret makes an API secret key, which is returned this once. Those before
// it stay in force for an overlap in seconds, 0 to MaxOverlap.
func NewSecret(tx *store.Tx, overlap int64, now time.Time) (made store.APISecret, key string, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return store.APISecret{}, "", invalid("overlapSeconds must be 0 to 7776000 (90 days).")
	}
	b := make([]byte, 32)
	rand.Read(b) // never fails
	key = base64.RawURLEncoding.EncodeToString(b)
	made, err = tx.InsertSecret(key, now, now.Add(time.Duration(overlap)*time.Second))
	if err != nil {
		return store.APISecret{}, "", err
	}
	return made, key, tx.Audit(store.AuditEvent{At: now, Kind: store.AuditConfiguration, Detail: map[string]any{
		"what": "API secret made", "secretId": made.ID, "overlapSeconds": overlap,
	}})
}

// RevokeSecret takes an API secret key out of force at once and for good.
func RevokeSecret(tx *store.Tx, id string, now time.Time) error {
	revoked, err := tx.RevokeSecret(id, now)
	if err == nil && !revoked {
		err = notFound("The tenant has no such API secret key in force.")
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{At: now, Kind: store.AuditConfiguration, Detail: map[string]any{
		"what": "API secret revoked", "secretId": id,
	}})
}
