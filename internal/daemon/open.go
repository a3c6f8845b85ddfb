package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// openStore opens the database of a configuration with the keys that a function
// returns. A database that is missing or empty although there was one is not opened:
// in an empty database no user is enrolled, and the first factor alone would suffice.
func openStore(ctx context.Context, c config.Config, keys func(fresh bool) (config.Keys, error)) (*store.Store, error) {
	if err := config.CheckFile(c); err != nil {
		return nil, err
	}
	return store.OpenWith(ctx, c.DB, c.Store, func(fresh bool) ([][]byte, error) {
		if fresh && c.DBMustExist {
			return nil, fmt.Errorf("%w, and -db-must-exist or the command needs one", store.ErrMissing)
		}
		k, err := keys(fresh)
		return k.EncryptionKeys(), err
	})
}

// withStore runs a command on a database that exists. On PostgreSQL, servers may run
// at the same time; on SQLite, the server must be stopped.
func withStore(ctx context.Context, c config.Config, keys func(fresh bool) (config.Keys, error), run func(*store.Store) error) error {
	c.DBMustExist = true
	st, err := openStore(ctx, c, keys)
	if err != nil {
		return stopFirst(err)
	}
	return errors.Join(run(st), st.Close())
}

// loadKeys returns a function that loads the keys of a configuration.
func loadKeys(c config.Config) func(fresh bool) (config.Keys, error) {
	return func(fresh bool) (config.Keys, error) {
		keys, _, err := config.LoadKeys(c.Given, c.DB, fresh)
		return keys, err
	}
}
