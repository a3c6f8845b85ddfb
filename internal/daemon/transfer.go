package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// DeleteTenant deletes a tenant and erases its rows, whose number it returns. If it
// is interrupted, the next start of a server erases the rest.
func DeleteTenant(ctx context.Context, c config.Config, tenantID string) (rows int64, err error) {
	err = withStore(ctx, c, loadKeys(c), func(st *store.Store) error {
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
