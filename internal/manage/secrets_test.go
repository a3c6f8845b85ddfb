package manage

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

var now = time.UnixMilli(1_700_000_000_000).UTC()

func newStore(t *testing.T) *store.Store {
	t.Helper()
	return storetest.Open(t, storetest.Database(t), store.Open)
}

func update(t *testing.T, st *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := st.Update(t.Context(), "t", fn); err != nil {
		t.Fatal(err)
	}
}

// lines returns the details of the audit log's lines about a change, newest first.
func lines(t *testing.T, st *store.Store, what string) (details []map[string]any) {
	t.Helper()
	update(t, st, func(tx *store.Tx) error {
		list, err := tx.AuditEvents("", 100)
		for _, e := range list {
			if e.Detail["what"] == what {
				details = append(details, e.Detail)
			}
		}
		return err
	})
	return details
}

const chosen = "test-secret-key-of-32-characters-1"

func TestCheckKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		strings.Repeat("x", 31): false, strings.Repeat("x", 32): true, strings.Repeat("é", 31): false, strings.Repeat("x", 32) + ":": false, "": false,
	} {
		if got := CheckKey(key); (got == nil) != want {
			t.Errorf("%q: got %v", key, got)
		}
	}
}

func TestEnsureSecretRefusesAShortKey(t *testing.T) {
	t.Parallel()
	// Refused before the transaction is used.
	made, err := EnsureSecret(nil, "hunter2", now)
	if err == nil || made || !strings.HasPrefix(err.Error(), "the API secret key must have 32 characters or more") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, %v", made, err)
	}
}

// A key that an operator chose leaves the others in force; a key that the server
// makes lets them expire. Either writes one line to the audit log, with its id.
func TestSecretsAreAuditedAlike(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	var first, second string
	update(t, st, func(tx *store.Tx) error {
		if _, err := EnsureTenant(tx, api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		if made, err := EnsureSecret(tx, chosen, now); err != nil || !made {
			t.Errorf("got %v, %v", made, err)
		}
		if made, err := EnsureSecret(tx, chosen, now); err != nil || made {
			t.Errorf("again: got %v, %v", made, err)
		}
		list, err := tx.APISecrets()
		if err != nil || len(list) != 1 || !list[0].ExpiresAt.IsZero() {
			t.Fatalf("got %v, %v", list, err)
		}
		first = list[0].ID
		made, key, err := NewSecret(tx, 60, now.Add(time.Second))
		if err != nil || CheckKey(key) != nil || !made.ExpiresAt.IsZero() {
			t.Errorf("got %+v, %v", made, err)
		}
		second = made.ID
		list, err = tx.APISecrets()
		if err != nil || len(list) != 2 || list[0].ID != second || !list[1].ExpiresAt.Equal(now.Add(61*time.Second)) {
			t.Errorf("got %v, %v", list, err)
		}
		return nil
	})
	got := lines(t, st, "API secret made")
	if len(got) != 2 || got[0]["secretId"] != second || got[0]["overlapSeconds"] != json.Number("60") && got[0]["overlapSeconds"] != 60.0 || got[1]["secretId"] != first {
		t.Errorf("got %v", got)
	}
}

func TestEnsureSecretOfAnotherTenant(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	for _, tenant := range []string{"t", "other"} {
		err := st.Update(t.Context(), tenant, func(tx *store.Tx) error {
			if _, err := EnsureTenant(tx, api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
				return err
			}
			_, err := EnsureSecret(tx, chosen, now)
			return err
		})
		if tenant == "other" && !errors.Is(err, store.ErrSecretTaken) || tenant == "t" && err != nil {
			t.Errorf("%s: got %v", tenant, err)
		}
	}
}

func TestTenantIsCreatedOnce(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	url := "https://hooks.test/?key=SECRET"
	update(t, st, func(tx *store.Tx) error {
		changes, err := Tenant(tx, TenantChange{WebhookURL: &url}, now)
		if strings.Join(changes, ", ") != "made, webhook changed" {
			t.Errorf("got %q", changes)
		}
		return err
	})
	update(t, st, func(tx *store.Tx) error {
		made, err := EnsureTenant(tx, api.DefaultAuthenticatorSettings("Another"), now)
		if made {
			t.Error("made again")
		}
		return err
	})
	if got := lines(t, st, "tenant"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
