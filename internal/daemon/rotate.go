package daemon

import (
	"context"
	"errors"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// RotateKey seals all secrets of a database with a new encryption key, and
// returns how many there were. If it does not end, it can be run again: at
// every moment the keys on record open everything. On PostgreSQL the servers
// may run meanwhile, when they have both keys; SQLite's must be stopped.
func RotateKey(ctx context.Context, c config.Config) (n int, err error) {
	st, err := store.Open(ctx, c.DB, func() ([][]byte, error) {
		keys, err := config.RotateKeys(c.Given, c.DB)
		return keys.EncryptionKeys(), err
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if n, err = st.RotateKey(ctx); err != nil {
		return n, err
	}
	return n, config.ForgetOldKeys(c.DB)
}
