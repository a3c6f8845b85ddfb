package manage

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// How long an API secret key stays in force beside its successor, in seconds: at
// most 90 days, by default an hour.
const (
	MaxOverlap     = 90 * 24 * 60 * 60
	DefaultOverlap = 60 * 60
)

// MinKey is the minimum length of an API secret key or a management key, in
// characters. 32 hexadecimal digits hold 128 bits, the minimum of NIST SP 800-57
// part 1, table 4, after 2030.
const MinKey = 32

// CheckKey returns an error for an API secret key or a management key that is too
// short or has a colon: either is the user name of Basic authentication, which
// has none (RFC 7617, section 2). The text of the error continues a sentence that
// begins with the name of the key, and does not quote the key.
func CheckKey(key string) error {
	if utf8.RuneCountInString(key) < MinKey || strings.Contains(key, ":") {
		return fmt.Errorf("must have %d characters or more and no colon; make one with: openssl rand -hex 32", MinKey)
	}
	return nil
}

// NewSecret makes an API secret key and returns it; it cannot be read later. The
// earlier keys stay in force for an overlap in seconds, 0 to MaxOverlap.
func NewSecret(tx *store.Tx, overlap int64, now time.Time) (made store.APISecret, key string, err error) {
	if err := checkOverlap(overlap); err != nil {
		return store.APISecret{}, "", err
	}
	key = newKey()
	if err := tx.ExpireSecrets(now.Add(time.Duration(overlap) * time.Second)); err != nil {
		return store.APISecret{}, "", err
	}
	made, _, err = addSecret(tx, key, map[string]any{"overlapSeconds": overlap}, now)
	return made, key, err
}

// checkOverlap returns an error if an overlap in seconds is out of range.
func checkOverlap(seconds int64) error {
	if seconds < 0 || seconds > MaxOverlap {
		return api.InvalidRequest(fmt.Sprintf("overlapSeconds must be 0 to %d (%d days).", MaxOverlap, MaxOverlap/(24*60*60)))
	}
	return nil
}

// newKey returns a random key of 256 bits.
func newKey() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// EnsureSecret adds an API secret key that an operator chose, unless the tenant has
// it; made is then false. The other keys stay in force.
func EnsureSecret(tx *store.Tx, key string, now time.Time) (made bool, err error) {
	if err := CheckKey(key); err != nil {
		return false, fmt.Errorf("the API secret key %w", err)
	}
	_, made, err = addSecret(tx, key, map[string]any{}, now)
	return made, err
}

// addSecret stores an API secret key and writes the audit line, with detail and
// the id of the key.
func addSecret(tx *store.Tx, key string, detail map[string]any, now time.Time) (s store.APISecret, made bool, err error) {
	s, made, err = tx.EnsureSecret(key, now)
	if err != nil || !made {
		return s, false, err
	}
	detail["secretId"] = s.ID
	return s, true, tx.Audit(store.Configured(store.ChangeSecretMade, detail, now))
}

// RevokeShortSecrets revokes API secret keys that are too short, which an earlier
// version accepted. It returns how many there were.
func RevokeShortSecrets(tx *store.Tx, now time.Time) (n int, err error) {
	list, err := tx.ActiveSecrets(now)
	if err != nil {
		return 0, err
	}
	for _, s := range list {
		if CheckKey(s.Key) == nil {
			continue
		}
		if err := RevokeSecret(tx, s.ID, now); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// RevokeSecret makes an API secret key invalid, at once and permanently.
func RevokeSecret(tx *store.Tx, id string, now time.Time) error {
	revoked, err := tx.RevokeSecret(id, now)
	if err == nil && !revoked {
		err = api.NotFound("The tenant has no such API secret key in force.")
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.Configured(store.ChangeSecretRevoked, map[string]any{"secretId": id}, now))
}
