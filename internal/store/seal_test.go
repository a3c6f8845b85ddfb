package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	a := pending(t, s, "t", "u", "a", secret)
	update(t, s, "t", func(tx *Tx) error {
		if got, err := tx.Secret(a); err != nil || got != secret {
			t.Errorf("got %q, %v", got, err)
		}
		return nil
	})
	for _, file := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s holds the secret in clear", filepath.Base(file))
		}
	}
}

// A sealed secret that is copied to another row cannot be opened there.
func TestSealedSecretIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	for name, change := range map[string]func(*Authenticator){
		"user":          func(a *Authenticator) { a.UserID = "v" },
		"authenticator": func(a *Authenticator) { a.ID = "b" },
		"shifted":       func(a *Authenticator) { a.UserID, a.ID = "ua", "" },
		"changed":       func(a *Authenticator) { a.sealed = append([]byte{}, a.sealed...); a.sealed[20] ^= 1 },
	} {
		moved := a
		change(&moved)
		update(t, s, "t", func(tx *Tx) error {
			if _, err := tx.Secret(moved); err == nil {
				t.Errorf("%s: opened", name)
			}
			return nil
		})
	}
	update(t, s, "t2", func(tx *Tx) error {
		if _, err := tx.Secret(a); err == nil {
			t.Error("tenant: opened")
		}
		return nil
	})
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	other := bytes.Repeat([]byte{2}, KeySize)
	s := mustOpen(t, database)
	a := pending(t, s, "t", "u", "a", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.PutTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		if _, err := tx.SetWebhookURL("https://hooks.test/?key=SECRET"); err != nil {
			return err
		}
		_, _, err := tx.EnsureSecret("sk", now)
		return err
	})
	update(t, s, "", func(tx *Tx) error {
		return tx.InsertSigningKey(SigningKey{ID: "k", Secret: []byte("a signing key of thirty-two bytes"), CreatedAt: now, SignsFrom: now})
	})
	before := signingKeys(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// A new key is accepted beside the old one.
	if _, err := open(t, database, other); !errors.Is(err, ErrWrongKey) {
		t.Errorf("a new key alone: got %v, want %v", err, ErrWrongKey)
	}
	s, err := open(t, database, other, key)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.RotateKey(t.Context()); err != nil || n != 4 {
		t.Errorf("got %d secrets, %v, want 4", n, err)
	}
	if n, err := s.RotateKey(t.Context()); err != nil || n != 0 {
		t.Errorf("again: got %d secrets, %v, want 0", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Afterwards the new key suffices, and the old one does not.
	if _, err := open(t, database, key); !errors.Is(err, ErrWrongKey) {
		t.Errorf("the old key: got %v, want %v", err, ErrWrongKey)
	}
	s, err = open(t, database, other)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil {
			return err
		}
		if got, err := tx.Secret(list[0]); err != nil || got != "SECRET" || list[0].ID != a.ID {
			t.Errorf("got %q, %v", got, err)
		}
		return nil
	})
	if after := signingKeys(t, s); len(after) != 1 || !reflect.DeepEqual(after, before) {
		t.Errorf("signing keys: got %d", len(after))
	}
	if got, _, err := s.Tenant(t.Context(), "t"); err != nil || got.WebhookURL != "https://hooks.test/?key=SECRET" {
		t.Errorf("webhook URL: got %q, %v", got.WebhookURL, err)
	}
}

func signingKeys(t *testing.T, s *Store) (keys []SigningKey) {
	t.Helper()
	err := s.View(t.Context(), "", func(tx *Tx) (err error) {
		keys, err = tx.SigningKeys()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
