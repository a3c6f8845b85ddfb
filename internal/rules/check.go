package rules

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// ruleSpace is the namespace in which the ids of rules are derived from their names
// (RFC 9562, version 5), so that a rule keeps its id if the settings are stored
// again.
var ruleSpace = uuid.MustParse("6f1c6a5e-3a55-4a7c-9f64-6e1f0c5f0a53")

// Check checks the settings of an action and returns them with an id for each rule.
// An error names the rule and what is wrong with it.
func Check(s api.ActionSettings) (api.ActionSettings, error) {
	if !isOutcome(s.DefaultOutcome) {
		return s, fmt.Errorf("defaultOutcome must be ALLOW, CHALLENGE, REVIEW or BLOCK")
	}
	if len(s.Rules) > api.MaxRules {
		return s, fmt.Errorf("there are %d rules, an action may have %d", len(s.Rules), api.MaxRules)
	}
	checked := make([]api.ActionRule, 0, len(s.Rules))
	names, ids := map[string]bool{}, map[string]bool{}
	for i, r := range s.Rules {
		switch {
		case strings.TrimSpace(r.Name) == "" || len(r.Name) > api.MaxRuleName:
			return s, fmt.Errorf("rules[%d]: name must be 1 to %d bytes", i, api.MaxRuleName)
		case names[r.Name]:
			return s, fmt.Errorf("rules[%d]: the name is used by another rule; give each rule its own", i)
		case len(r.Description) > api.MaxRuleDescription:
			return s, fmt.Errorf("rules[%d]: description must be at most %d bytes", i, api.MaxRuleDescription)
		case len(r.RuleID) > 64:
			return s, fmt.Errorf("rules[%d]: ruleId must be at most 64 bytes", i)
		case !isOutcome(r.Outcome):
			return s, fmt.Errorf("rules[%d]: outcome must be ALLOW, CHALLENGE, REVIEW or BLOCK", i)
		}
		if _, err := Compile(r.Condition); err != nil {
			return s, fmt.Errorf("rules[%d]: condition, %w", i, err)
		}
		if r.RuleID == "" {
			r.RuleID = uuid.NewSHA1(ruleSpace, []byte(r.Name)).String()
		}
		if ids[r.RuleID] {
			return s, fmt.Errorf("rules[%d]: the ruleId is used by another rule; leave it out or give each rule its own", i)
		}
		names[r.Name], ids[r.RuleID] = true, true
		checked = append(checked, r)
	}
	s.Rules = checked
	return s, nil
}

func isOutcome(o api.Outcome) bool {
	switch o {
	case api.OutcomeAllow, api.OutcomeChallenge, api.OutcomeReview, api.OutcomeBlock:
		return true
	}
	return false
}
