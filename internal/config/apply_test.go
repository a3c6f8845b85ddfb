package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

const example = `
tenants:
  - tenantId: acme
    apiSecretKeyEnv: ACME_KEY
    authenticator: {issuer: Acme, digits: 8}
    webhookUrl: https://hooks.test/acme
    branding: {name: Acme, color: "#1a6b54"}
    origins: ["https://app.acme.test"]
    actions:
      createPayment:
        defaultOutcome: ALLOW
        rules:
          - name: large amounts
            condition: has(custom.amount) && custom.amount > 1000.0
            outcome: CHALLENGE
      signIn: {defaultOutcome: CHALLENGE}
  - tenantId: other
`

const acmeKey = "test-secret-key-of-32-characters-1"

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestApplyReportsChangesAndIsIdempotent(t *testing.T) {
	t.Parallel()
	st := storetest.Open(t, storetest.Database(t), store.Open)
	now := time.Unix(1_700_000_000, 0)
	apply := func(text string) []string {
		t.Helper()
		file, err := ReadFile(write(t, text))
		if err != nil {
			t.Fatal(err)
		}
		var changes []string
		err = file.Apply(t.Context(), st, env("ACME_KEY", acmeKey), now, func(c string) { changes = append(changes, c) })
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	want := []string{
		"tenant acme: made", "tenant acme: webhook changed", "tenant acme: branding changed", "tenant acme: origins changed", "tenant acme: API secret key added", "tenant acme: action createPayment set", "tenant acme: action signIn set",
		"tenant other: made",
	}
	if got := apply(example); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := apply(example); got != nil {
		t.Errorf("twice: got %q", got)
	}
	want = []string{"tenant acme: authenticator changed", "tenant acme: action signIn set"}
	got := apply("tenants: [{tenantId: acme, authenticator: {drift: 2}, actions: {signIn: {defaultOutcome: BLOCK}}}]")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("changed: got %q, want %q", got, want)
	}

	tenant, found, err := st.TenantOfSecret(t.Context(), acmeKey, now)
	settings := api.DefaultAuthenticatorSettings("Acme")
	settings.Digits, settings.Drift = 8, 2
	if err != nil || !found || tenant.ID != "acme" || tenant.Authenticator != settings {
		t.Errorf("got %+v, %v, %v", tenant, found, err)
	}
	err = st.View(t.Context(), "acme", func(tx *store.Tx) error {
		all, err := tx.AllActionSettings()
		if len(all) != 2 || all["signIn"].DefaultOutcome != api.OutcomeBlock || len(all["createPayment"].Rules) != 1 || all["createPayment"].Rules[0].RuleID == "" {
			t.Errorf("got %+v", all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// A secret cannot belong to two tenants.
	file, err := ReadFile(write(t, "tenants: [{tenantId: other, apiSecretKeyEnv: ACME_KEY}]"))
	if err != nil {
		t.Fatal(err)
	}
	err = file.Apply(t.Context(), st, env("ACME_KEY", acmeKey), now, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "tenant other: the variable ACME_KEY, which apiSecretKeyEnv names: the API secret key belongs to another tenant") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"hunter2", strings.Repeat("hunter:", 5)} {
		err = file.Apply(t.Context(), st, env("ACME_KEY", bad), now, func(string) {})
		if err == nil || !strings.Contains(err.Error(), "ACME_KEY") || !strings.Contains(err.Error(), "32 characters or more and no colon") ||
			!strings.Contains(err.Error(), "openssl") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("got %v", err)
		}
	}
	err = file.Apply(t.Context(), st, env(), now, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "ACME_KEY") {
		t.Errorf("got %v", err)
	}
}

func TestReadFileErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tenants: [{tenantId: a/b}]":                                                                                            "tenants[0]: tenantId",
		"tenants: [{tenantId: a}, {tenantId: a}]":                                                                               "tenants[1]: a occurs twice",
		"tenants: [{tenantId: a, authenticator: {digits: 7}}]":                                                                  "tenants[0]: authenticator: digits",
		"tenants: [{tenantId: a, authenticator: {digit: 6}}]":                                                                   "digit",
		"tenants: [{tenantId: a, authenticator: {issuer: 'Acme: Pay'}}]":                                                        "tenants[0]: authenticator: issuer must not contain a colon",
		"tenants: [{tenantId: a, actions: {'sign in': {}}}]":                                                                    `actions: "sign in"`,
		"tenants: [{tenantId: a, actions: {x: {defaultOutcome: MAYBE}}}]":                                                       "actions: x: defaultOutcome",
		"tenants: [{tenantId: a, actions: {x: {defaultOutcome: ALLOW, rules: [{name: n, outcome: BLOCK, condition: 'usr'}]}}}]": "actions: x: rules[0]: condition, line 1, column 1",
		"tenants: [{tenantId: a, webhookUrl: 'ftp://x'}]":                                                                       "tenants[0]: webhookUrl",
		"tenant: []":  "tenant",
		"tenants: {":  "yaml",
		"tenants: 42": "tenants",
	} {
		if _, err := ReadFile(write(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", text, err, want)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}
