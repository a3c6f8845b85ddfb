package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// withStore runs a command on a database that exists. A wrong name must not create
// one: an empty database lets everybody in. On PostgreSQL, servers may run at the
// same time; on SQLite, the server must be stopped.
func withStore(ctx context.Context, c config.Config, run func(*store.Store) error) (err error) {
	if !store.IsPostgres(c.DB) {
		if _, err := os.Stat(store.FilePath(c.DB)); err != nil {
			return fmt.Errorf("open database: %w; -db or AUTHSIGNAL_DB names another one", err)
		}
	}
	st, err := store.Open(ctx, c.DB, func(fresh bool) ([][]byte, error) {
		if fresh {
			return nil, errors.New("the database is empty; start the server once, or run apply, before this command")
		}
		keys, _, err := config.LoadKeys(c.Given, c.DB, fresh)
		return keys.EncryptionKeys(), err
	})
	if err != nil {
		return stopFirst(err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return run(st)
}

// DeleteTenant deletes a tenant and erases its rows, whose number it returns. If it
// is interrupted, the next start of a server erases the rest.
func DeleteTenant(ctx context.Context, c config.Config, tenantID string) (rows int64, err error) {
	err = withStore(ctx, c, func(st *store.Store) error {
		now := time.Now()
		err := st.Update(ctx, tenantID, func(tx *store.Tx) error { return manage.DeleteTenant(tx, mfa.ByOperator, now) })
		if err != nil {
			return errors.New(manage.Text(err))
		}
		erased, _, err := st.EraseDeleted(ctx, now)
		rows = erased[tenantID]
		return err
	})
	return rows, err
}
