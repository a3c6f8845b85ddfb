package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A File is a declarative configuration, in YAML:
//
//	tenants:
//	  - tenantId: acme
//	    apiSecretKeyEnv: ACME_API_SECRET_KEY
//	    authenticator: {active: true, issuer: Acme, digits: 6}
//	    actions:
//	      createPayment:
//	        defaultOutcome: ALLOW
//	        rules:
//	          - name: large amounts
//	            condition: has(custom.amount) && custom.amount > 1000.0
//	            outcome: CHALLENGE
//
// It changes nothing that it does not name; the settings of an action are replaced
// as a whole.
type File struct {
	Tenants []FileTenant `json:"tenants"`
}

// A FileTenant is what a file sets for a tenant, which is created if it does not
// exist.
type FileTenant struct {
	TenantID string `json:"tenantId"`
	// APISecretKeyEnv names the variable that holds an API secret key; a key must
	// not be in the file.
	APISecretKeyEnv string `json:"apiSecretKeyEnv,omitempty"`
	// WebhookURL receives the tenant's events; empty for none.
	WebhookURL *string `json:"webhookUrl,omitempty"`
	// Authenticator holds some of api.AuthenticatorSettings.
	Authenticator json.RawMessage `json:"authenticator,omitempty"`
	// Branding is the look of the pre-built UI; Origins are those of the tenant's
	// own pages. Both are replaced as a whole.
	Branding *api.Branding `json:"branding,omitempty"`
	Origins  *[]string     `json:"origins,omitempty"`
	// Actions are settings by action code.
	Actions map[string]api.ActionSettings `json:"actions,omitempty"`
}

// ReadFile reads and checks a declarative configuration. An error names the place
// in the file.
func ReadFile(path string) (File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("configuration: %w", err)
	}
	var f File
	if err := yaml.UnmarshalStrict(b, &f); err != nil {
		return File{}, fmt.Errorf("configuration: %s: %w", path, err)
	}
	seen := map[string]bool{}
	for i, t := range f.Tenants {
		if err := t.check(); err != nil {
			return File{}, fmt.Errorf("configuration: %s: tenants[%d]: %w", path, i, err)
		}
		if seen[t.TenantID] {
			return File{}, fmt.Errorf("configuration: %s: tenants[%d]: %s occurs twice", path, i, t.TenantID)
		}
		seen[t.TenantID] = true
	}
	return f, nil
}

func (t FileTenant) check() error {
	if !api.IsTenantID(t.TenantID) {
		return errors.New("tenantId must be " + api.TenantIDForm)
	}
	if _, err := t.over(api.DefaultAuthenticatorSettings(t.TenantID)); err != nil {
		return err
	}
	change := manage.TenantChange{WebhookURL: t.WebhookURL, Branding: t.Branding, Origins: t.Origins}
	if err := change.Check(); err != nil {
		return errors.New(manage.Text(err))
	}
	for action, settings := range t.Actions {
		if !api.IsActionCode(action) {
			return fmt.Errorf("actions: %q must be %s", action, api.ActionCodeForm)
		}
		checked, err := rules.Check(settings)
		if err != nil {
			return fmt.Errorf("actions: %s: %w", action, err)
		}
		t.Actions[action] = checked
	}
	return nil
}

// over returns the stored settings s with those of the file.
func (t FileTenant) over(s api.AuthenticatorSettings) (api.AuthenticatorSettings, error) {
	stored := s.Issuer
	if t.Authenticator != nil {
		d := json.NewDecoder(bytes.NewReader(t.Authenticator))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			return s, fmt.Errorf("authenticator: %w", err)
		}
	}
	if err := s.Validate(stored); err != nil {
		return s, fmt.Errorf("authenticator: %s", manage.Text(err))
	}
	return s, nil
}

// Apply stores the settings of the file in a database, a tenant at a time, and
// reports each change. If all is the same as before it changes nothing.
func (f File) Apply(ctx context.Context, st *store.Store, env *Env, now time.Time, report func(change string)) error {
	for _, t := range f.Tenants {
		checked := map[string]manage.CheckedAction{}
		for action, settings := range t.Actions {
			var err error
			if checked[action], err = manage.CheckAction(action, settings); err != nil {
				return fmt.Errorf("configuration: tenant %s: action %s: %w", t.TenantID, action, err)
			}
		}
		var changes []string
		err := st.Update(ctx, t.TenantID, func(tx *store.Tx) (err error) {
			changes, err = t.apply(tx, checked, env, now)
			return err
		})
		if err != nil {
			return fmt.Errorf("configuration: tenant %s: %w", t.TenantID, err)
		}
		for _, c := range changes {
			report("tenant " + t.TenantID + ": " + c)
		}
	}
	return nil
}

func (t FileTenant) apply(tx *store.Tx, checked map[string]manage.CheckedAction, env *Env, now time.Time) (changes []string, err error) {
	current, found, err := tx.Tenant()
	if err != nil {
		return nil, err
	}
	if !found {
		current.Authenticator = api.DefaultAuthenticatorSettings(t.TenantID)
	}
	settings, err := t.over(current.Authenticator)
	if err != nil {
		return nil, err
	}
	changes, err = manage.Tenant(tx, manage.TenantChange{
		Authenticator: &settings, WebhookURL: t.WebhookURL, Branding: t.Branding, Origins: t.Origins,
	}, now)
	if err != nil {
		return nil, err
	}
	if t.APISecretKeyEnv != "" {
		secret, err := env.Secret(t.APISecretKeyEnv)
		if err != nil {
			return nil, fmt.Errorf("apiSecretKeyEnv: %w", err)
		}
		if secret == "" {
			return nil, fmt.Errorf("the variable %s, which apiSecretKeyEnv names, is empty", t.APISecretKeyEnv)
		}
		made, err := manage.EnsureSecret(tx, secret, now)
		if err != nil {
			return nil, fmt.Errorf("the variable %s, which apiSecretKeyEnv names: %w", t.APISecretKeyEnv, err)
		}
		if made {
			changes = append(changes, "API secret key added")
		}
	}
	for _, action := range slices.Sorted(maps.Keys(t.Actions)) {
		changed, err := manage.SetAction(tx, checked[action], now)
		if err != nil {
			return nil, err
		}
		if changed {
			changes = append(changes, "action "+action+" set")
		}
	}
	return changes, nil
}
