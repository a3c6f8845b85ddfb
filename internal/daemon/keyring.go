package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

const (
	// reload is the interval at which a replica reads the signing keys, which
	// others may have created or withdrawn.
	reload = 30 * time.Second
	// spread is the age at which a key begins to sign: by then every replica
	// has read it.
	spread = 2 * reload
)

// A keyring caches the signing keys of the database.
type keyring struct {
	store *store.Store
	now   func() time.Time
	life  time.Duration // of a token
	// mu makes sure that keys that were read before a change do not replace
	// those after it.
	mu   sync.Mutex
	keys atomic.Pointer[[]store.SigningKey]
}

// newKeyring reads the signing keys, and creates the first one if there is none.
// life is the lifetime of a token.
func newKeyring(ctx context.Context, st *store.Store, life time.Duration, now func() time.Time) (*keyring, error) {
	k := &keyring{store: st, now: now, life: life}
	if err := k.load(ctx); err != nil {
		return nil, err
	}
	if len(*k.keys.Load()) > 0 {
		return k, nil
	}
	return k, k.change(ctx, func(tx *store.Tx) error {
		// Of replicas that start at the same time, one creates it.
		if keys, err := tx.SigningKeysForChange(); err != nil || len(keys) > 0 {
			return err
		}
		return manage.NewSigningKey(tx, 0, k.life, k.now())
	})
}

func (k *keyring) load(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []store.SigningKey
	err := k.store.View(ctx, "", func(tx *store.Tx) (err error) {
		keys, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		return err
	}
	k.keys.Store(&keys)
	return nil
}

// change runs fn in a transaction, and then uses the changed keys.
func (k *keyring) change(ctx context.Context, fn func(*store.Tx) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []store.SigningKey
	err := k.store.Update(ctx, "", func(tx *store.Tx) (err error) {
		if err := fn(tx); err != nil {
			return err
		}
		keys, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		return err
	}
	k.keys.Store(&keys)
	return nil
}

// Rotate creates a new key, which signs after spread.
func (k *keyring) Rotate(ctx context.Context) error {
	return k.change(ctx, func(tx *store.Tx) error { return manage.NewSigningKey(tx, spread, k.life, k.now()) })
}

// Withdraw removes a key, here immediately and on other replicas within reload.
func (k *keyring) Withdraw(ctx context.Context, id string) error {
	return k.change(ctx, func(tx *store.Tx) error { return manage.WithdrawSigningKey(tx, id, k.life, k.now()) })
}

// clean deletes the keys that no longer verify, and returns their number.
func (k *keyring) clean(ctx context.Context) (n int, err error) {
	retired := func(key store.SigningKey) bool { return !key.Verifies(k.now()) }
	if !slices.ContainsFunc(*k.keys.Load(), retired) { // the usual case, which takes no lock
		return 0, nil
	}
	err = k.change(ctx, func(tx *store.Tx) (err error) {
		n, err = manage.DeleteRetiredSigningKeys(tx, k.now())
		return err
	})
	return n, err
}

// current returns the keys that verify. The first one is the key that signs.
func (k *keyring) current() []token.Key {
	keys, now := *k.keys.Load(), k.now()
	if len(keys) == 0 { // they were deleted manually
		return nil
	}
	signer := manage.Signer(keys, now)
	list := []token.Key{{ID: keys[signer].ID, Secret: keys[signer].Secret}}
	for i, key := range keys {
		if i != signer && key.Verifies(now) {
			list = append(list, token.Key{ID: key.ID, Secret: key.Secret})
		}
	}
	return list
}

// watch reloads the keys until ctx ends. After a failure, the present keys are
// still used.
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
