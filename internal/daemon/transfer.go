package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/transfer"
)

// Import imports the authenticator apps of a file into a tenant, which may be
// empty if there is only one. A file of "-" is stdin, which is kept in memory,
// since an import reads its file twice.
func Import(ctx context.Context, c config.Config, tenantID, file string, stdin io.Reader, o transfer.ImportOptions) (result transfer.ImportResult, err error) {
	var in io.ReadSeeker
	if file == "-" {
		b, err := io.ReadAll(stdin)
		if err != nil {
			return result, fmt.Errorf("read standard input: %w", err)
		}
		in = bytes.NewReader(b)
	} else {
		f, err := os.Open(file)
		if err != nil {
			return result, err
		}
		defer f.Close()
		in = f
	}
	err = withStore(ctx, c, loadKeys(c), func(st *store.Store) error {
		t, err := chooseTenant(ctx, st, tenantID)
		if err != nil {
			return err
		}
		result, err = transfer.Import(ctx, st, t, in, o)
		return err
	})
	return result, err
}

// chooseTenant returns the tenant with an id, or the only one if the id is empty.
func chooseTenant(ctx context.Context, st *store.Store, id string) (store.Tenant, error) {
	list, err := st.Tenants(ctx)
	if err != nil {
		return store.Tenant{}, err
	}
	if id == "" && len(list) == 1 {
		return list[0], nil
	}
	for _, t := range list {
		if t.ID == id {
			return t, nil
		}
	}
	if id == "" {
		return store.Tenant{}, fmt.Errorf("the database has %d tenants; name one with -tenant", len(list))
	}
	return store.Tenant{}, fmt.Errorf("there is no tenant %s", id)
}

// ExportTenant writes a tenant to a new file, sealed with a passphrase. It returns
// the number of rows by table.
func ExportTenant(ctx context.Context, c config.Config, tenantID, file, passphrase string) (rows map[string]int64, err error) {
	if err := transfer.CheckPassphrase(passphrase); err != nil {
		return nil, err
	}
	err = withStore(ctx, c, loadKeys(c), func(st *store.Store) (err error) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, private)
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		defer func() {
			if err == nil {
				err = f.Sync()
			}
			err = errors.Join(err, f.Close())
			if err != nil {
				err = errors.Join(err, os.Remove(file))
			}
		}()
		w, err := transfer.Seal(f, passphrase)
		if err != nil {
			return err
		}
		if rows, err = transfer.ExportTenant(ctx, st, tenantID, w, time.Now()); err != nil {
			return err
		}
		return w.Close()
	})
	return rows, err
}

// ImportTenant creates the tenant of an export, and returns its id and the number of
// rows by table.
func ImportTenant(ctx context.Context, c config.Config, file, passphrase string) (tenantID string, rows map[string]int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	r, err := transfer.Open(f, passphrase)
	if err != nil {
		return "", nil, err
	}
	err = withStore(ctx, c, loadKeys(c), func(st *store.Store) error {
		tenantID, rows, err = transfer.ImportTenant(ctx, st, r, time.Now())
		return err
	})
	return tenantID, rows, err
}

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
