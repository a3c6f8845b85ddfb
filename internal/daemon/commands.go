package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/portal"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// RotateKey encrypts all secrets of a database with a new encryption key, and
// returns their number. If it is interrupted, it can be run again: at any time,
// the stored keys can decrypt everything. On PostgreSQL, servers that have both
// keys may run at the same time; on SQLite, the server must be stopped.
func RotateKey(ctx context.Context, c config.Config) (n int, err error) {
	st, err := store.Open(ctx, c.DB, func(bool) ([][]byte, error) {
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

// Apply applies a declarative configuration to a database, and reports each
// change. On PostgreSQL, servers may run at the same time; on SQLite, the server
// must be stopped, or started with -config.
func Apply(ctx context.Context, c config.Config, path string, report func(change string)) (err error) {
	file, err := config.ReadFile(path)
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, c.DB, func(fresh bool) ([][]byte, error) {
		keys, _, err := config.LoadKeys(c.Given, c.DB, fresh)
		return keys.EncryptionKeys(), err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return file.Apply(ctx, st, c.Env, time.Now(), report)
}

// PortalPassword replaces the password of the portal and returns the new one. It
// ends all sessions. On PostgreSQL, servers may run at the same time; on SQLite,
// the server must be stopped.
func PortalPassword(ctx context.Context, c config.Config) (password string, err error) {
	st, err := store.Open(ctx, c.DB, func(fresh bool) ([][]byte, error) {
		keys, _, err := config.LoadKeys(c.Given, c.DB, fresh)
		return keys.EncryptionKeys(), err
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return portal.NewPassword(ctx, st, time.Now())
}
