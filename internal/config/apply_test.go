package config

import (
	"bytes"
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
    userIds: refuse
    enrollmentPolicy: {requiredFrom: 2027-03-01, graceDays: 14}
    actions:
      createPayment:
        defaultOutcome: ALLOW
        rules:
          - name: large amounts
            condition: has(custom.amount) && custom.amount > 1000.0
            outcome: CHALLENGE
      signIn: {defaultOutcome: CHALLENGE, enrollmentPolicy: {requiredFrom: never}}
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
		"tenant acme: made", "tenant acme: webhook changed", "tenant acme: branding changed", "tenant acme: origins changed", "tenant acme: enrollment policy changed", "tenant acme: user ids: refuse", "tenant acme: API secret key added", "tenant acme: action createPayment set", "tenant acme: action signIn set",
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
	policy := api.EnrollmentPolicy{RequiredFrom: "2027-03-01T00:00:00Z", GraceDays: 14}
	if err != nil || !found || tenant.ID != "acme" || tenant.Authenticator != settings || tenant.Enrollment == nil || *tenant.Enrollment != policy {
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
	for _, tt := range []struct{ text, want string }{
		{"tenants: [{tenantId: a/b}]", `1:22: tenants[0]: tenantId must be`},
		{"tenants: [{tenantId: a}, {tenantId: a}]", "1:37: tenants[1].tenantId a occurs twice; the first one is in line 1"},
		{"tenants:\n  - tenantId: a\n---\ntenants:\n  - tenantId: a\n", "5:15: tenants[0].tenantId a occurs twice; the first one is in line 2"},
		{"tenants: [{tenantId: a, authenticator: {digits: 7}}]", "1:49: tenants[0].authenticator: digits must be 6 or 8"},
		{"tenants: [{tenantId: a, authenticator: {digit: 6}}]", `1:41: tenants[0].authenticator has the unknown key "digit"; the nearest one is "digits"`},
		{"tenants: [{tenantId: a, authenticator: {Digits: 6}}]", `the nearest one is "digits"`},
		{"tenants: [{tenantId: a, authenticator: {issuer: 'Acme: Pay'}}]", "1:49: tenants[0].authenticator: issuer must not contain a colon"},
		{"tenants: [{tenantId: a, actions: {'sign in': {}}}]", "1:46: tenants[0].actions.sign in: the action must be"},
		{"tenants: [{tenantId: a, actions: {x: {defaultOutcome: MAYBE}}}]", "1:55: tenants[0].actions.x: defaultOutcome"},
		{"tenants: [{tenantId: a, enrollmentPolicy: {requiredFrom: soon}}]", "1:58: tenants[0]: enrollmentPolicy: requiredFrom must be a date"},
		{"tenants: [{tenantId: a, enrollmentPolicy: {requiredFrom: 2027-03-01, graceDays: 400}}]", "1:81: tenants[0]: enrollmentPolicy: graceDays must be 0 to 365"},
		{"tenants: [{tenantId: a, actions: {x: {defaultOutcome: ALLOW, enrollmentPolicy: {graceDays: 1}}}}]", "1:80: tenants[0].actions.x: enrollmentPolicy: requiredFrom must be a date"},
		{"tenants: [{tenantId: a, actions: {x: {defaultOutcome: ALLOW, trustBrowserDays: 91}}}]", "1:80: tenants[0].actions.x: trustBrowserDays must be 0 to 90"},
		{"tenants:\n- tenantId: a\n  actions:\n    x:\n      defaultOutcome: ALLOW\n      rules:\n      - name: n\n        outcome: BLOCK\n        condition: usr", "9:20: tenants[0].actions.x: rules[0]: condition, line 1, column 1"},
		{"tenants: [{tenantId: a, webhookUrl: 'ftp://x'}]", "1:37: tenants[0]: webhookUrl"},
		{"tenants: [{tenantId: a, branding: {color: red}}]", "1:43: tenants[0]: branding.color must be"},
		{"tenants: [{tenantId: a, webhookUrl: }]", `1:37: tenants[0].webhookUrl is empty or null; write ""`},
		{"tenants: [{}]", "1:11: tenants[0]: tenantId must be"},
		{"tenants: [{tenantId: a, apiSecretKeyEnv: 'hunter2 hunter2'}]", "1:42: tenants[0]: apiSecretKeyEnv must be the name of a variable"},
		{"tenant: []", `1:1: has the unknown key "tenant"; the nearest one is "tenants"`},
		{"other: []\n---\ntenants: []", `1:1: has the unknown key "other"`},
		{"tenants: []\n---\n{}", `3:1: the document has no tenants`},
		{"tenants: {", ":2:1: did not find"},
		{"\ntenants: [\x01]", "2:11: the control character U+0001"},
		{"tenants: [\xff]", "1:11: the file must be UTF-8"},
		{"tenants:\n\t- a", "2:1: found character"},
		{"tenants: 42", "1:10: tenants must be a list"},
		{"tenants:", "1:9: tenants must be a list"},
		{"tenants: {a: b}", "1:10: tenants must be a list"},
		{"tenants: [a]", "1:11: tenants[0] must be a mapping"},
		{"tenants: [{tenantId: [a]}]", "1:22: tenants[0].tenantId must be a text"},
		{"", "the file is empty"},
		{"# nothing\n---\n~\n", "the file is empty"},
		{"tenants: []\ntenants: []", `2:1: has the key "tenants" twice; the first one is in line 1`},
		{"tenants: [{tenantId: a, actions: {x: {defaultOutcome: ALLOW}, 'x': {defaultOutcome: BLOCK}}}]", `1:63: tenants[0].actions has the key "x" twice`},
		{"tenants: [{? [a] : b}]", "must be a text"},
		{"tenants: [{<<: {tenantId: a}}]", "1:12: tenants[0] has a merge key (<<)"},
		{"tenants: [!x {tenantId: a}]", "1:11: tenants[0] has the tag !x"},
		{"tenants: [{tenantId: !!int 1}]", "1:22: tenants[0].tenantId has the tag !!int"},
		{"tenants: &a [*a]", "contains itself"},
		{"tenants: [*b]", "unknown anchor"},
		// Numbers and Booleans are those of JSON.
		{"tenants: [{tenantId: a, authenticator: {period: 30s}}]", "1:49: tenants[0].authenticator.period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: 036}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: 0x1e}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: 3_0}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: 3e1}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: 30.0}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: '30'}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: ~}}]", "period must be a whole number"},
		{"tenants: [{tenantId: a, authenticator: {period: 99999999999999999999}}]", "period is out of range"},
		{"tenants: [{tenantId: a, authenticator: {active: yes}}]", "1:49: tenants[0].authenticator.active must be true or false"},
		{"tenants: [{tenantId: a, authenticator: {active: on}}]", "active must be true or false"},
		{"tenants: [{tenantId: a, authenticator: {active: 1}}]", "active must be true or false"},
		{"tenants: [{tenantId: a, authenticator: {active: 'true'}}]", "active must be true or false"},
	} {
		_, err := ParseFile("config.yaml", []byte(tt.text))
		if err == nil || !strings.HasPrefix(err.Error(), "config.yaml:") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.text, err, tt.want)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file: no error")
	}
}

// What YAML reads as a number, a Boolean, a date or a null is the text that it is
// written as where a text is expected, or it is refused.
func TestIdentifiersAreTexts(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		"on", "off", "y", "n", "yes", "no", "true", "False", "007", "0755", "0o14", "0x10", "0b1", "1e3", "1.0", "1_000", "-1", ".5", "5.", "-.inf", ".nan",
		"2026-11-27", "190-20", "_", "-", "--", "null-", "NaN", "123456789012345678901234567890",
	} {
		f, err := ParseFile("config.yaml", []byte("tenants:\n  - tenantId: "+word+"\n    authenticator: {issuer: "+word+"}\n"))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "config.yaml:2:") {
				t.Errorf("%s: got %v", word, err)
			}
			continue
		}
		settings, err := f.Tenants[0].over(api.DefaultAuthenticatorSettings("x"))
		if got := f.Tenants[0].TenantID; got != word || settings.Issuer != word || err != nil {
			t.Errorf("%s: got %q, %q, %v", word, got, settings.Issuer, err)
		}
		if !api.IsActionCode(word) {
			continue
		}
		f, err = ParseFile("config.yaml", []byte("tenants: [{tenantId: a, actions: {"+word+": {defaultOutcome: BLOCK}}}]"))
		if err != nil || f.Tenants[0].Actions[word].DefaultOutcome != api.OutcomeBlock {
			t.Errorf("the action %s: got %+v, %v", word, f.Tenants, err)
		}
	}
	for _, word := range []string{"null", "Null", "NULL", "~"} {
		for _, text := range []string{"tenants: [{tenantId: " + word + "}]", "tenants: [{tenantId: a, actions: {" + word + ": {defaultOutcome: BLOCK}}}]"} {
			if _, err := ParseFile("config.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "config.yaml:1:") || !strings.Contains(err.Error(), "empty or null") {
				t.Errorf("%s: got %v", text, err)
			}
		}
	}
	for _, quoted := range []string{"'null'", `"null"`, "!!str null"} {
		if f, err := ParseFile("config.yaml", []byte("tenants: [{tenantId: "+quoted+"}]")); err != nil || f.Tenants[0].TenantID != "null" {
			t.Errorf("%s: got %+v, %v", quoted, f.Tenants, err)
		}
	}
}

func FuzzIdentifiersAreTexts(f *testing.F) {
	for _, word := range []string{"on", "007", "1e3", "2026-11-27", "~", "a.b"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		file, err := ParseFile("f", []byte("tenants:\n- tenantId: "+word+"\n"))
		if err == nil && api.IsTenantID(word) && file.Tenants[0].TenantID != word {
			t.Errorf("%q: got %q", word, file.Tenants[0].TenantID)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%q: got %v", word, err)
		}
		if err != nil && api.IsTenantID(word) && !strings.EqualFold(word, "null") && strings.Trim(word, "-.") != "" {
			t.Errorf("%q: got %v", word, err)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add(example)
	f.Add("a: &a [*a]\n---\n? {}\n: !!int 'x'")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseFile("f", []byte(text))
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("got %v", err)
		}
		for _, tenant := range file.Tenants {
			if !api.IsTenantID(tenant.TenantID) {
				t.Errorf("accepted the tenant %q", tenant.TenantID)
			}
			for action := range tenant.Actions {
				if !api.IsActionCode(action) {
					t.Errorf("accepted the action %q", action)
				}
			}
		}
	})
}

func TestDocumentsAreAllRead(t *testing.T) {
	t.Parallel()
	f, err := ParseFile("config.yaml", []byte("---\ntenants: [{tenantId: a}]\n---\n# empty\n---\ntenants: [{tenantId: b}, {tenantId: c}]\n...\n---\n"))
	if err != nil || len(f.Tenants) != 3 || f.Tenants[2].TenantID != "c" {
		t.Errorf("got %+v, %v", f.Tenants, err)
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	f, err := ParseFile("config.yaml", []byte("tenants:\n- tenantId: a\n  authenticator: &s {digits: 8}\n- tenantId: b\n  authenticator: *s\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := f.Tenants[1].over(api.DefaultAuthenticatorSettings("x")); err != nil || s.Digits != 8 {
		t.Errorf("got %+v, %v", s, err)
	}
	bomb := "tenants:\n- tenantId: a\n  origins: &o [" + strings.Repeat("'https://a.test',", 500) + "]\n" + strings.Repeat("- {tenantId: a, origins: *o}\n", 500)
	if _, err := ParseFile("config.yaml", []byte(bomb)); err == nil || !strings.Contains(err.Error(), "more than 100000 values") {
		t.Errorf("aliases without end: got %.200v", err)
	}
	if _, err := ParseFile("config.yaml", bytes.Repeat([]byte("#\n"), maxFile)); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a large file: got %v", err)
	}
}

// webhookSecretEnv names a secret that signs the tenant's webhooks. Another value
// follows it.
func TestApplyAddsAWebhookSecret(t *testing.T) {
	t.Parallel()
	st := storetest.Open(t, storetest.Database(t), store.Open)
	now := time.Unix(1_700_000_000, 0)
	file, err := ReadFile(write(t, "tenants: [{tenantId: acme, webhookSecretEnv: ACME_HOOK}]"))
	if err != nil {
		t.Fatal(err)
	}
	apply := func(value string) (changes []string, err error) {
		err = file.Apply(t.Context(), st, env("ACME_HOOK", value), now, func(c string) { changes = append(changes, c) })
		return changes, err
	}
	first, second := strings.Repeat("1", 32), strings.Repeat("2", 32)
	for _, tt := range []struct {
		value string
		want  []string
	}{{first, []string{"tenant acme: made", "tenant acme: webhook secret added"}}, {first, nil}, {second, []string{"tenant acme: webhook secret added"}}} {
		if got, err := apply(tt.value); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.value, got, err, tt.want)
		}
	}
	if got, err := st.SigningSecrets(t.Context(), "acme", now); err != nil || !reflect.DeepEqual(got, []string{second, first}) && !reflect.DeepEqual(got, []string{first, second}) {
		t.Errorf("got %q, %v", got, err)
	}
	now = now.Add(time.Hour)
	for value, want := range map[string]string{"": "is empty", "hunter2": "32 characters or more", first: "revoked or replaced"} {
		if _, err := apply(value); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ACME_HOOK") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", value, err)
		}
	}
	if _, err := ReadFile(write(t, "tenants: [{tenantId: acme, webhookSecretEnv: a-b}]")); err == nil || !strings.Contains(err.Error(), "webhookSecretEnv must be the name of a variable") {
		t.Errorf("got %v", err)
	}
}
