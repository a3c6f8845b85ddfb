package daemon

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

const (
	// reload is how often a replica looks for signing keys that another one
	// has made.
	reload = 30 * time.Second
	// spread is how old a key is when it begins to sign: by then every
	// replica knows it.
	spread = 2 * reload
)

// A keyring holds the signing keys as they stand in the database.
type keyring struct {
	store *store.Store
	now   func() time.Time
	keys  atomic.Pointer[[]token.Key]
}

func newKeyring(ctx context.Context, st *store.Store, now func() time.Time) (*keyring, error) {
	k := &keyring{store: st, now: now}
	return k, k.load(ctx)
}

// load reads the keys; the first one signs.
func (k *keyring) load(ctx context.Context) error {
	stored, err := k.store.SigningKeys(ctx, newSigningKey, k.now())
	if err != nil {
		return err
	}
	k.keys.Store(inOrder(stored, k.now()))
	return nil
}

// rotate makes a new key, which signs after spread.
func (k *keyring) rotate(ctx context.Context) error {
	err := k.store.Update(ctx, "", func(tx *store.Tx) error {
		key := store.SigningKey{ID: uuid.NewString(), Secret: newSigningKey(), CreatedAt: k.now()}
		if err := tx.InsertSigningKey(key); err != nil {
			return err
		}
		return tx.Audit(store.AuditEvent{At: key.CreatedAt, Kind: store.AuditConfiguration, Detail: map[string]any{
			"what": "signing key made", "kid": key.ID,
		}})
	})
	if err != nil {
		return err
	}
	return k.load(ctx)
}

// inOrder puts the key that signs first: the newest that every replica knows,
// or else the oldest.
func inOrder(newestFirst []store.SigningKey, now time.Time) *[]token.Key {
	signer := len(newestFirst) - 1
	for i, k := range newestFirst {
		if now.Sub(k.CreatedAt) >= spread {
			signer = i
			break
		}
	}
	keys := []token.Key{{ID: newestFirst[signer].ID, Secret: newestFirst[signer].Secret}}
	for i, k := range newestFirst {
		if i != signer {
			keys = append(keys, token.Key{ID: k.ID, Secret: k.Secret})
		}
	}
	return &keys
}

// watch reloads the keys until ctx ends. A failure leaves those in use.
func (k *keyring) watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(reload)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := k.load(ctx); err != nil && ctx.Err() == nil {
				log.Warn("reload signing keys", "error", err)
			}
		}
	}
}

func newSigningKey() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return b
}
