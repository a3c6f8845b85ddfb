package daemon

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/mfa"
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
		return 0, stopFirst(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if n, err = st.RotateKey(ctx); err != nil {
		return n, err
	}
	return n, config.ForgetOldKeys(c.DB)
}

// Apply applies a declarative configuration to a database, and reports each
// change. Servers may run at the same time: on SQLite, the one that has the
// database open does it.
func Apply(ctx context.Context, c config.Config, path string, report func(change string)) error {
	text, file, err := config.LoadFile(path)
	if err != nil {
		return err
	}
	variables, err := file.Variables(c.Env)
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil { // the server may be in another folder
		return err
	}
	answer, err := askOrOpen(ctx, c, loadKeys(c), func(st *store.Store) error {
		return file.Apply(ctx, st, c.Env, time.Now(), report)
	}, controlApply, applyRequest{Name: path, File: text, Variables: variables})
	for _, change := range answer.Changes {
		report(change)
	}
	return err
}

// loadKeys returns the keys for a database that a command opens.
func loadKeys(c config.Config) func(fresh bool) ([][]byte, error) {
	return func(fresh bool) ([][]byte, error) {
		keys, _, err := config.LoadKeys(c.Given, c.DB, fresh)
		return keys.EncryptionKeys(), err
	}
}

// PortalPassword replaces the password of the portal and returns the new one. It
// ends all sessions. Servers may run at the same time, as with Apply.
func PortalPassword(ctx context.Context, c config.Config) (password string, err error) {
	answer, err := askOrOpen(ctx, c, loadKeys(c), func(st *store.Store) (err error) {
		password, err = portal.NewPassword(ctx, st, time.Now())
		return err
	}, controlPassword, struct{}{})
	return cmp.Or(password, answer.Password), err
}

// Check looks for what is wrong in a database, beside servers that may be running,
// and reports each finding; see store.Check. It changes nothing.
func Check(ctx context.Context, c config.Config, report func(finding string)) (findings int, err error) {
	keys, _, err := config.LoadKeys(c.Given, c.DB, false)
	if err != nil {
		return 0, err
	}
	st, err := store.OpenToCheck(ctx, c.DB, keys.EncryptionKeys())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return st.Check(ctx, store.Inspection{Now: time.Now(), Ahead: mfa.Ahead, Report: report})
}
