package store

import (
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// putOutcome sets an action of the tenant t, which is made.
func putOutcome(t *testing.T, s *Store, o api.Outcome) {
	t.Helper()
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		_, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: o, Rules: []api.ActionRule{{RuleID: "first"}}})
		return err
	})
}

// outcome is that of the action, as anybody reads it.
func outcome(t *testing.T, s *Store) (o api.Outcome) {
	t.Helper()
	view(t, s, "t", func(tx *Tx) error {
		got, _, err := tx.ActionSettings("pay")
		o = got.DefaultOutcome
		return err
	})
	return o
}

// Who changes settings gets them as they are, whatever the cache says, and may
// change them without others seeing it.
func TestSettingsForAChangeAreFreshAndOnesOwn(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	putOutcome(t, s, api.OutcomeReview)
	if got := outcome(t, s); got != api.OutcomeReview { // it is cached now
		t.Fatalf("got %s", got)
	}
	update(t, s, "t", func(tx *Tx) error { // as another replica does
		_, err := tx.exec(`UPDATE action_settings SET settings = '{"defaultOutcome":"BLOCK","rules":[{"ruleId":"first"}]}'`)
		return err
	})
	for range 2 {
		update(t, s, "t", func(tx *Tx) error {
			got, found, err := tx.ActionSettingsForChange("pay")
			if err != nil || !found || got.DefaultOutcome != api.OutcomeBlock || len(got.Rules) != 1 || got.Rules[0].RuleID != "first" {
				t.Fatalf("got %+v, %v, %v", got, found, err)
			}
			got.Rules[0].RuleID = "changed"
			return nil
		})
	}
}
