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
	keys := func(bool) (config.Keys, error) { return config.RotateKeys(c.Given, c.DB) }
	err = withStore(ctx, c, keys, func(st *store.Store) (err error) {
		if n, err = st.RotateKey(ctx); err != nil {
			return err
		}
		return config.ForgetOldKeys(c.DB)
	})
	return n, err
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
	answer, err := askOrOpen(ctx, c, func(st *store.Store) error {
		return file.Apply(ctx, st, c.Env, time.Now(), report)
	}, controlApply, applyRequest{Name: path, File: text, Variables: variables})
	for _, change := range answer.Changes {
		report(change)
	}
	return err
}

// PortalPassword replaces the password of the portal and returns the new one. It
// ends all sessions. Servers may run at the same time, as with Apply.
func PortalPassword(ctx context.Context, c config.Config) (password string, err error) {
	c.DBMustExist = true
	answer, err := askOrOpen(ctx, c, func(st *store.Store) (err error) {
		password, err = portal.NewPassword(ctx, st, time.Now())
		return err
	}, controlPassword, struct{}{})
	return cmp.Or(password, answer.Password), err
}

// Check looks for what is wrong in a database, beside servers that may be running,
// and reports each finding; see store.Check. It changes nothing.
func Check(ctx context.Context, c config.Config, report func(finding string)) (findings int, err error) {
	c.DBMustExist = true
	if err := config.CheckFile(c); err != nil {
		return 0, err
	}
	keys, err := loadKeys(c)(false)
	if err != nil {
		return 0, err
	}
	st, err := store.OpenToCheck(ctx, c.DB, c.Store, keys.EncryptionKeys())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return st.Check(ctx, store.Inspection{Now: time.Now(), Ahead: mfa.Ahead, Report: report})
}

// Restore replaces a SQLite database by a copy, and returns where the one before is
// kept; see store.Restore.
func Restore(ctx context.Context, c config.Config, file string, report func(finding string)) (kept string, err error) {
	var keys config.Keys
	if !store.IsPostgres(c.DB) {
		if keys, err = loadKeys(c)(false); err != nil {
			return "", err
		}
	}
	kept, err = store.Restore(ctx, c.DB, file, keys.EncryptionKeys(), store.Inspection{Now: time.Now(), Ahead: mfa.Ahead, Report: report})
	return kept, stopFirst(err)
}
