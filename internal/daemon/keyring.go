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
	// reload is how often a replica looks for signing keys that another one
	// has made or withdrawn.
	reload = 30 * time.Second
	// spread is how old a key is when it begins to sign: by then every
	// replica knows it.
	spread = 2 * reload
)

// A keyring holds the signing keys as they stand in the database.
type keyring struct {
	store *store.Store
	now   func() time.Time
	life  time.Duration // of a token
	// mu orders what is read: keys that were read before a change are not
	// stored after it.
	mu   sync.Mutex
	keys atomic.Pointer[[]store.SigningKey]
}

// newKeyring reads the signing keys, and makes the first one. life is that of
// a token.
func newKeyring(ctx context.Context, st *store.Store, life time.Duration, now func() time.Time) (*keyring, error) {
	k := &keyring{store: st, now: now, life: life}
	if err := k.load(ctx); err != nil {
		return nil, err
	}
	if len(*k.keys.Load()) > 0 {
		return k, nil
	}
	return k, k.change(ctx, func(tx *store.Tx) error {
		// Of replicas that start together, one makes it.
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

// change runs fn in a transaction; what it makes of the keys is in force here
// when change returns.
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

// Rotate makes a new key, which signs after spread.
func (k *keyring) Rotate(ctx context.Context) error {
	return k.change(ctx, func(tx *store.Tx) error { return manage.NewSigningKey(tx, spread, k.life, k.now()) })
}

// Withdraw removes a key at once here, and within reload from other replicas.
func (k *keyring) Withdraw(ctx context.Context, id string) error {
	return k.change(ctx, func(tx *store.Tx) error { return manage.WithdrawSigningKey(tx, id, k.life, k.now()) })
}

// clean deletes the keys that no longer verify, and returns how many there
// were.
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

// current returns the keys that verify, the one that signs first.
func (k *keyring) current() []token.Key {
	keys, now := *k.keys.Load(), k.now()
	if len(keys) == 0 { // they were deleted by hand
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
