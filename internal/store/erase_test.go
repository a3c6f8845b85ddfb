package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// holds reports whether a file of a SQLite database, which has a folder of its own,
// contains some bytes.
func holds(t *testing.T, database string, secret []byte) bool {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(database))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(database), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, secret) {
			return true
		}
	}
	return false
}

func TestDeletedSecretIsInNoFile(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(tx *Tx, a Authenticator) error{
		"a user": func(tx *Tx, a Authenticator) error { return tx.DeleteUser(a.UserID) },
		"an authenticator": func(tx *Tx, a Authenticator) error {
			if err := tx.AcceptStep(a, 1, now); err != nil {
				return err
			}
			_, err := tx.DeleteAuthenticator(a.UserID, a.ID)
			return err
		},
		"a pending authenticator that is replaced": func(tx *Tx, a Authenticator) error {
			stale := a.CreatedAt.Add(1)
			a.ID = "another"
			_, err := tx.InsertPending(a, "ANOTHER", stale)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "a.db")
			s := mustOpen(t, database)
			a := pending(t, s, "t", "u", "a", "SECRET")
			pending(t, s, "t", "u2", "b", "SECRET")
			if !holds(t, database, a.sealed) {
				t.Fatal("the secret is in no file before it is deleted")
			}
			update(t, s, "t", func(tx *Tx) error { return remove(tx, a) })
			if err := s.EmptyLog(t.Context()); err != nil {
				t.Fatal(err)
			}
			if holds(t, database, a.sealed) {
				t.Error("a file holds the deleted secret")
			}
		})
	}
}

func TestRotationLeavesNothingOfTheOldKeyInAFile(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "a.db")
	other := bytes.Repeat([]byte{2}, KeySize)
	s := mustOpen(t, database)
	var old [][]byte
	for i := range 200 {
		id := string(rune('A'+i%26)) + string(rune('a'+i/26))
		old = append(old, pending(t, s, "t", "u"+id, "a"+id, "SECRET").sealed)
	}
	for i := range 100 { // some were deleted before
		id := string(rune('A'+i%26)) + string(rune('a'+i/26))
		update(t, s, "t", func(tx *Tx) error { return tx.DeleteUser("u" + id) })
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := open(t, database, other, key)
	if err != nil {
		t.Fatal(err)
	}
	if !holds(t, database, old[199]) {
		t.Fatal("the secret is in no file before the rotation")
	}
	if n, err := s.RotateKey(t.Context()); err != nil || n != 100 {
		t.Fatalf("got %d secrets, %v, want 100", n, err)
	}
	for i, sealed := range old {
		if holds(t, database, sealed) {
			t.Errorf("secret %d: a file holds it as the old key sealed it", i)
		}
	}
}

// EmptyLog does nothing while a reader blocks it, and does not fail.
func TestEmptyLogBesideAReader(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, filepath.Join(t.TempDir(), "a.db"))
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		if _, _, err := tx.User("u"); err != nil {
			return err
		}
		pending(t, s, "t", "u", "a", "SECRET")
		return s.EmptyLog(t.Context())
	})
	if err != nil {
		t.Error(err)
	}
}

func tenantWithWebhook(t *testing.T, s *Store, tenant, url string) {
	t.Helper()
	update(t, s, tenant, func(tx *Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		_, err := tx.SetWebhookURL(url)
		return err
	})
}

func webhookOf(t *testing.T, s *Store, tenant string) string {
	t.Helper()
	got, found, err := s.Tenant(t.Context(), tenant)
	if err != nil || !found {
		t.Fatalf("got %v, %v", found, err)
	}
	return got.WebhookURL
}

func TestSetWebhookURLReportsAChange(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	tenantWithWebhook(t, s, "t", "")
	for _, step := range []struct {
		url  string
		want bool
	}{{"", false}, {"https://a.test", true}, {"https://a.test", false}, {"https://b.test", true}, {"", true}, {"", false}} {
		update(t, s, "t", func(tx *Tx) error {
			if got, err := tx.SetWebhookURL(step.url); err != nil || got != step.want {
				t.Errorf("%q: got %v, %v, want %v", step.url, got, err, step.want)
			}
			return nil
		})
		if got := webhookOf(t, s, "t"); got != step.url {
			t.Errorf("got %q, want %q", got, step.url)
		}
	}
	update(t, s, "none", func(tx *Tx) error {
		if changed, err := tx.SetWebhookURL("https://a.test"); err != nil || changed {
			t.Errorf("a tenant that does not exist: got %v, %v", changed, err)
		}
		return nil
	})
}

func TestWebhookURLIsSealedAndBoundToItsTenant(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	tenantWithWebhook(t, s, "t", "https://hooks.test/?key=SECRET")
	tenantWithWebhook(t, s, "other", "https://other.test")
	var plain string
	var sealed []byte
	if err := s.queryRow(t.Context(), `SELECT webhook_url, webhook_sealed FROM tenants WHERE tenant_id = 't'`).Scan(&plain, &sealed); err != nil {
		t.Fatal(err)
	}
	if plain != "" || bytes.Contains(sealed, []byte("hooks")) {
		t.Errorf("the database holds the URL in plain text: %q", plain)
	}
	storetest.Exec(t, database, `UPDATE tenants SET webhook_sealed = (SELECT webhook_sealed FROM tenants WHERE tenant_id = 't') WHERE tenant_id = 'other'`)
	update(t, s, "other", func(tx *Tx) error {
		if got, _, err := tx.Tenant(); err == nil {
			t.Errorf("a URL of another tenant opens: %q", got.WebhookURL)
		}
		return nil
	})
}

// An earlier version stored webhook URLs in plain text.
func TestOpenSealsPlainWebhookURLs(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	tenantWithWebhook(t, s, "t", "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const url = "https://hooks.test/?key=SECRET"
	storetest.Exec(t, database, `UPDATE tenants SET webhook_url = '`+url+`' WHERE tenant_id = 't'`)
	if !storetest.Postgres() && !holds(t, database, []byte(url)) {
		t.Fatal("the URL is in no file before the start")
	}
	s = mustOpen(t, database)
	if got := webhookOf(t, s, "t"); got != url {
		t.Errorf("got %q, want %q", got, url)
	}
	var plain int
	if err := s.queryRow(t.Context(), `SELECT COUNT(*) FROM tenants WHERE webhook_url <> ''`).Scan(&plain); err != nil || plain != 0 {
		t.Errorf("got %d plain URLs, %v", plain, err)
	}
	if !storetest.Postgres() && holds(t, database, []byte(url)) {
		t.Error("a file holds the URL in plain text")
	}
}
