package manage

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// The signing keys belong to the whole server. They sign one after another, and
// each stops verifying when its successor has signed for the life of a token: all
// tokens that it signed have expired then. Once its successor signs, the end of a
// key does not change any more, even if the successor is withdrawn.

// Signer returns the index of the key that signs at a time, of one or more keys in
// the order of store.SigningKeys: the last one that has begun to sign. If that one
// no longer verifies, because the clocks of replicas differ, it is the next.
func Signer(keys []store.SigningKey, now time.Time) int {
	signer := 0
	for i, k := range keys {
		if !k.SignsFrom.After(now) {
			signer = i
		}
	}
	if !keys[signer].Verifies(now) && signer+1 < len(keys) {
		signer++
	}
	return signer
}

// NewSigningKey creates a signing key that signs after a delay, or at once if there
// is no other. life is that of a token.
func NewSigningKey(tx *store.Tx, delay, life time.Duration, now time.Time) error {
	keys, err := tx.SigningKeysForChange()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return addSigningKey(tx, now, now)
	}
	if err := addSigningKey(tx, now.Add(delay), now); err != nil {
		return err
	}
	return setEnds(tx, Signer(keys, now), life)
}

// WithdrawSigningKey deletes a signing key: the tokens that it has signed are void.
// If it is the one that signs, a new key is created that signs at once. life is
// that of a token.
func WithdrawSigningKey(tx *store.Tx, id string, life time.Duration, now time.Time) error {
	keys, err := tx.SigningKeysForChange()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(k store.SigningKey) bool { return k.ID == id })
	if i < 0 {
		return api.NotFound("The signing key does not exist.")
	}
	if err := deleteSigningKey(tx, id, store.ChangeSigningKeyWithdrawn, now); err != nil {
		return err
	}
	signer := Signer(keys, now)
	if i < signer {
		return nil
	}
	if i == signer {
		if err := addSigningKey(tx, now, now); err != nil {
			return err
		}
	}
	return setEnds(tx, signer, life)
}

// DeleteRetiredSigningKeys deletes the signing keys that no longer verify, and
// returns how many there were.
func DeleteRetiredSigningKeys(tx *store.Tx, now time.Time) (n int, err error) {
	keys, err := tx.SigningKeysForChange()
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	for _, k := range keys[:Signer(keys, now)] {
		if k.Verifies(now) {
			continue
		}
		if err := deleteSigningKey(tx, k.ID, store.ChangeSigningKeyRetired, now); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func addSigningKey(tx *store.Tx, signsFrom, now time.Time) error {
	k := store.SigningKey{ID: uuid.NewString(), Secret: make([]byte, 32), CreatedAt: now, SignsFrom: signsFrom}
	rand.Read(k.Secret) // never fails
	if err := tx.InsertSigningKey(k); err != nil {
		return err
	}
	return tx.Audit(store.Configured(store.ChangeSigningKeyMade, map[string]any{"keyId": k.ID}, now))
}

func deleteSigningKey(tx *store.Tx, id string, what store.Change, now time.Time) error {
	if err := tx.DeleteSigningKey(id); err != nil {
		return err
	}
	return tx.Audit(store.Configured(what, map[string]any{"keyId": id}, now))
}

// setEnds sets when the signer and the keys after it stop verifying. The ends of
// the keys before it do not change any more.
func setEnds(tx *store.Tx, signer int, life time.Duration) error {
	keys, err := tx.SigningKeys()
	if err != nil {
		return err
	}
	for i := signer; i < len(keys); i++ {
		var until time.Time
		if i+1 < len(keys) {
			until = keys[i+1].SignsFrom.Add(life)
		}
		if until.Equal(keys[i].VerifiesUntil) {
			continue
		}
		if err := tx.SetVerifiesUntil(keys[i].ID, until); err != nil {
			return err
		}
	}
	return nil
}
