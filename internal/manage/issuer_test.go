package manage

import (
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

func TestIssuerWithAColonIsRefused(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	settings := api.DefaultAuthenticatorSettings("Acme: Pay")
	update(t, st, func(tx *store.Tx) error {
		_, ensured := EnsureTenant(tx, settings, now)
		_, made := Tenant(tx, TenantChange{Authenticator: &settings}, now)
		if _, err := EnsureTenant(tx, api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		_, changed := Tenant(tx, TenantChange{Authenticator: &settings}, now)
		for how, err := range map[string]error{"made at the start": ensured, "made": made, "changed": changed} {
			if err == nil || !strings.Contains(Text(err), "colon") || !strings.Contains(Text(err), "Key URI Format") || !strings.Contains(Text(err), "Leave it out") {
				t.Errorf("%s: got %v", how, err)
			}
		}
		return nil
	})
}

// An earlier version accepted it: the tenant's other settings can be changed
// without a change of the issuer, and another issuer with a colon is refused.
func TestStoredIssuerWithAColonIsKept(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	settings := api.DefaultAuthenticatorSettings("Acme: Pay")
	update(t, st, func(tx *store.Tx) error {
		_, err := tx.EnsureTenant(settings, now)
		return err
	})
	for issuer, accepted := range map[string]bool{"Acme: Pay": true, "Acme: Bank": false} {
		settings.Issuer, settings.Active = issuer, true
		update(t, st, func(tx *store.Tx) error {
			changes, err := Tenant(tx, TenantChange{Authenticator: &settings}, now)
			if (err == nil) != accepted || (len(changes) == 1) != accepted {
				t.Errorf("%s: got %q, %v", issuer, changes, err)
			}
			return nil
		})
	}
}
