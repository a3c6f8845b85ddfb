package rules

import (
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

func settings(def api.Outcome, rules ...api.ActionRule) api.ActionSettings {
	return api.ActionSettings{DefaultOutcome: def, Rules: rules}
}

func rule(name, condition string, o api.Outcome) api.ActionRule {
	return api.ActionRule{Name: name, Condition: condition, Outcome: o}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := settings(api.OutcomeAllow, rule("a", "true", api.OutcomeBlock), api.ActionRule{RuleID: "mine", Name: "b", Condition: "false", Outcome: api.OutcomeReview})
	got, err := Check(good)
	if err != nil || len(got.Rules[0].RuleID) != 36 || got.Rules[1].RuleID != "mine" || good.Rules[0].RuleID != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	if again, err := Check(good); err != nil || again.Rules[0].RuleID != got.Rules[0].RuleID {
		t.Errorf("a rule changes its id: %v", err)
	}
	if got, err := Check(settings(api.OutcomeAllow)); err != nil || got.Rules == nil {
		t.Errorf("no rules: got %+v, %v", got, err)
	}
	for want, s := range map[string]api.ActionSettings{
		"defaultOutcome":              settings("MAYBE"),
		"rules[0]: outcome":           settings(api.OutcomeAllow, rule("a", "true", "")),
		"rules[0]: name":              settings(api.OutcomeAllow, rule(" ", "true", api.OutcomeBlock)),
		"rules[1]: the name":          settings(api.OutcomeAllow, rule("a", "true", api.OutcomeBlock), rule("a", "false", api.OutcomeBlock)),
		"rules[0]: condition, line 1": settings(api.OutcomeAllow, rule("a", "1 +", api.OutcomeBlock)),
		"51 rules":                    settings(api.OutcomeAllow, make([]api.ActionRule, 51)...),
	} {
		if _, err := Check(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
