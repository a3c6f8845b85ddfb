package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// tenantTables lists the tables with rows of tenants, as the database has them.
func tenantTables(t *testing.T, s *Store) []string {
	t.Helper()
	query := `SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant_id'`
	if s.pool != nil {
		query = `SELECT table_name::text FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = '` + DefaultSchema + `'`
	}
	var tables []string
	err := s.View(t.Context(), "", func(tx *Tx) (err error) {
		tables, err = collect(tx, scanValue[string], query)
		return err
	})
	if err != nil || len(tables) < 10 {
		t.Fatalf("got %q, %v", tables, err)
	}
	return tables
}

// tenantRows counts the rows of a tenant by table, without those that are 0.
func tenantRows(t *testing.T, s *Store, tenant string) map[string]int {
	t.Helper()
	rows := map[string]int{}
	for _, table := range tenantTables(t, s) {
		err := s.View(t.Context(), "", func(tx *Tx) error {
			var n int
			if err := tx.queryRow(`SELECT COUNT(*) FROM `+table+` WHERE tenant_id = ?`, tenant).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				rows[table] = n
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// whole stores a tenant that has rows in every table.
func whole(t *testing.T, s *Store, database, tenant string, users int) {
	t.Helper()
	storetest.Fill(t, database, tenant, users, now)
	for _, id := range []string{tenant, tenant + "-other"} {
		a := pending(t, s, id, "someone", "a-of-"+id, "GEZDGNBVGY3TQOJQ")
		update(t, s, id, func(tx *Tx) error {
			_, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now)
			if err == nil {
				_, err = tx.SetOrigins([]string{"https://" + id + ".example.com"})
			}
			if err == nil {
				_, err = tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{}})
			}
			if err == nil {
				_, _, err = tx.EnsureSecret("a secret key of the tenant "+id, now)
			}
			if err == nil {
				_, _, err = tx.EnsureWebhookSecret("a webhook secret of the tenant "+id, now, now)
			}
			if err == nil {
				_, err = tx.InsertRecoverySet("someone", []string{"code-1", "code-2"}, now)
			}
			if err == nil {
				err = tx.InsertTrustedBrowser(TrustedBrowser{ID: "b", UserID: "someone", TrustedAt: now, LastUsedAt: now, FixedHash: []byte("f"), TurnHash: []byte("t")})
			}
			if err == nil {
				err = tx.InsertRecoveryLink(RecoveryLink{ID: "l", UserID: "someone", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, "secret of "+id)
			}
			if err == nil {
				err = tx.Enqueue(Event{ID: "e", Type: "t", Body: []byte("{}"), CreatedAt: now})
			}
			if err == nil {
				err = tx.Fail(a, now)
			}
			return err
		})
	}
}

func deleteTenant(t *testing.T, s *Store, tenant string) {
	t.Helper()
	update(t, s, tenant, func(tx *Tx) error {
		found, err := tx.DeleteTenant(now)
		if err == nil && !found {
			err = errors.New("the tenant does not exist")
		}
		return err
	})
}

func eraseDeleted(t *testing.T, s *Store, at time.Time) (rows map[string]int64, left int) {
	t.Helper()
	rows, left, err := s.EraseDeleted(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return rows, left
}

func TestDeletedTenantLeavesNoRows(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	whole(t, s, database, "acme", 2500) // more than two batches
	if got, want := len(tenantRows(t, s, "acme")), len(tenantTables(t, s))-1; got != want {
		t.Fatalf("rows in %d tables, want %d: %v", got, want, tenantRows(t, s, "acme"))
	}
	others := tenantRows(t, s, "acme-other")
	if _, found, err := s.TenantOfSecret(t.Context(), "a secret key of the tenant acme", now); err != nil || !found {
		t.Fatalf("before: %v, %v", found, err)
	}

	deleteTenant(t, s, "acme")
	// Keys and tokens end with the commit.
	if _, found, err := s.TenantOfSecret(t.Context(), "a secret key of the tenant acme", now); err != nil || found {
		t.Errorf("the key of the deleted tenant: %v, %v", found, err)
	}
	if _, found, err := s.Tenant(t.Context(), "acme"); err != nil || found {
		t.Errorf("the deleted tenant: %v, %v", found, err)
	}
	if list, err := s.Tenants(t.Context()); err != nil || len(list) != 1 || list[0].ID != "acme-other" {
		t.Errorf("the tenants: %+v, %v", list, err)
	}

	rows, left := eraseDeleted(t, s, now.Add(time.Second))
	if rows["acme"] < 4*2500 || len(rows) != 1 || left != 1 {
		t.Errorf("erased %v, left %d", rows, left)
	}
	if got := tenantRows(t, s, "acme"); len(got) != 1 || got["deleted_tenants"] != 1 {
		t.Errorf("left behind: %v", got)
	}
	if got := tenantRows(t, s, "acme-other"); fmt.Sprint(got) != fmt.Sprint(others) {
		t.Errorf("the other tenant: got %v, want %v", got, others)
	}

	// A request that was under way has stored a user.
	pending(t, s, "acme", "late", "a-late", "GEZDGNBVGY3TQOJQ")
	if _, left := eraseDeleted(t, s, now.Add(time.Minute)); left != 0 {
		t.Errorf("left %d", left)
	}
	if got := tenantRows(t, s, "acme"); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
	if rows, left := eraseDeleted(t, s, now.Add(time.Hour)); len(rows) != 0 || left != 0 {
		t.Errorf("once more: %v, %d", rows, left)
	}
}

// An erasure that is interrupted goes on where it was.
func TestErasureIsResumed(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	whole(t, s, database, "acme", 2500)
	deleteTenant(t, s, "acme")
	all := tenantRows(t, s, "acme")["users"]
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil { // until some users are erased
			if err := s.View(t.Context(), "acme", func(tx *Tx) error {
				var n int
				if err := tx.queryRow(`SELECT COUNT(*) FROM users WHERE tenant_id = 'acme'`).Scan(&n); err != nil || n < all {
					cancel()
				}
				return nil
			}); err != nil {
				cancel()
			}
		}
	}()
	s.EraseDeleted(ctx, now.Add(time.Hour)) // may even end before it is interrupted
	cancel()
	s.Close()
	s = mustOpen(t, database)
	if _, left := eraseDeleted(t, s, now.Add(time.Hour)); left != 0 {
		t.Errorf("left %d", left)
	}
	if got := tenantRows(t, s, "acme"); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

func TestDeletedTenantIsNotCreatedAgain(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	whole(t, s, database, "acme", 1)
	deleteTenant(t, s, "acme")
	for _, at := range []time.Time{now, now.Add(time.Hour)} {
		eraseDeleted(t, s, at)
		err := s.Update(t.Context(), "acme", func(tx *Tx) error {
			_, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now)
			return err
		})
		var deleted *TenantDeletedError
		if !errors.As(err, &deleted) || deleted.ID != "acme" || !deleted.DeletedAt.Equal(now) {
			t.Errorf("got %v", err)
		}
	}
	if list, err := s.Tenants(t.Context()); err != nil || slices.ContainsFunc(list, func(t Tenant) bool { return t.ID == "acme" }) {
		t.Errorf("got %+v, %v", list, err)
	}
	update(t, s, "acme", func(tx *Tx) error {
		if found, err := tx.DeleteTenant(now); err != nil || found {
			t.Errorf("deleting it twice: %v, %v", found, err)
		}
		return nil
	})
}
