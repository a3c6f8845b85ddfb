package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A table with rows of a tenant is part of an export, or is named as one that is
// not.
func TestExportsKnowEveryTable(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	known := append(slices.Clone(exported), notExported...)
	for _, table := range tenantTables(t, s) {
		if !slices.Contains(known, table) {
			t.Errorf("%s is neither in exported nor in notExported", table)
		}
	}
}

// An export and its import take as long as the tenant is large: the time-out of other
// transactions does not end them.
func TestExportMayTakeLong(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite's transactions have no time-out
	}
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		_, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now)
		return err
	})
	s.pool.timeout = time.Nanosecond
	if err := s.View(t.Context(), "t", func(tx *Tx) error { _, _, err := tx.User("u"); return err }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("another transaction: got %v", err)
	}
	var tenant Row
	found, err := s.ExportTenant(t.Context(), "t", func(_ string, row Row) error {
		tenant = row
		return nil
	})
	if err != nil || !found {
		t.Fatalf("export: got %v, %v", found, err)
	}
	tenant["tenant_id"] = "t2"
	table := "tenants"
	_, err = s.ImportTenant(t.Context(), "t2", func() (string, Row, error) {
		defer func() { table = "" }()
		return table, tenant, nil
	}, now)
	if err != nil {
		t.Errorf("import: %v", err)
	}
}

// An export is that of one moment: rows that others write meanwhile, which belong to
// rows that were read before, are not in it.
func TestExportHasOneStateOfTheDatabase(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		_, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now)
		return err
	})
	pending(t, s, "t", "before", "a", "SECRET")
	var users []any
	_, err := s.ExportTenant(t.Context(), "t", func(table string, row Row) error {
		switch table {
		case "tenants":
			update(t, s, "t", func(tx *Tx) error {
				if _, err := tx.EnsureUser("after", now); err != nil {
					return err
				}
				_, _, err := tx.EndTokens("before")
				return err
			})
		case "users":
			users = append(users, row["user_id"], row["epoch"])
		}
		return nil
	})
	if want := []any{"before", int64(0)}; err != nil || !slices.Equal(users, want) {
		t.Errorf("got %v, %v, want %v", users, err, want)
	}
}
