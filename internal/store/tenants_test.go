package store

import (
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestSettingsOfAnEarlierVersionHaveDefaults(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	update(t, s, "t", func(tx *Tx) error {
		_, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now)
		return err
	})
	storetest.Exec(t, database, `UPDATE tenants SET authenticator = REPLACE(authenticator, '"maxAuthenticators":10,', '')`)
	got, _, err := s.Tenant(t.Context(), "t")
	if want := api.DefaultAuthenticatorSettings("Acme"); err != nil || got.Authenticator != want {
		t.Errorf("got %+v, %v, want %+v", got.Authenticator, err, want)
	}
}
