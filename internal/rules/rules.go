// Package rules decides what an action's rules make of it: ALLOW, CHALLENGE,
// REVIEW or BLOCK. A rule is a condition in CEL (https://cel.dev) over what is
// known of the user, the action and the device, and an outcome.
//
// It is pure: it knows no store, no HTTP and no clock. The server gathers the
// Input and calls Decide; the management API calls Compile before it saves.
package rules

import (
	"net/netip"
	"sync"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A CompiledRule is a rule that Decide can judge.
type CompiledRule struct {
	ID      string
	Outcome api.Outcome
	// Condition is nil when the rule's condition does not compile; such a
	// rule fails to evaluate.
	Condition *Condition
}

// A Decision is what the rules make of an action.
type Decision struct {
	// Outcome is that of the first rule that matches, else the default.
	Outcome api.Outcome
	// RuleIDs are all rules that match, in the order of the rules: the first
	// of them has decided, the others say what else would have. Never nil.
	RuleIDs []string
	// PriorityRuleID is the rule that has decided; empty when none matches.
	PriorityRuleID string
}

// A Failure is a rule that could not be evaluated. It holds nothing of the
// input, so that it can be logged.
type Failure struct {
	RuleID string
	Reason Reason
	// Matched says whether the rule counts as matched all the same.
	Matched bool
}

// Decide judges every rule. The first that matches decides; when none does,
// the outcome is defaultOutcome.
//
// A rule that cannot be evaluated must not open a door: it counts as matched,
// unless its outcome is ALLOW. Each is reported to log, which may be nil.
//
// Needs says which parts of the input Decide will look at.
func Decide(defaultOutcome api.Outcome, rules []CompiledRule, in Input, log func(Failure)) Decision {
	d := Decision{Outcome: defaultOutcome, RuleIDs: []string{}}
	in.IP = canonicalIP(in.IP)
	vars := &activation{in: &in}
	for _, r := range rules {
		matched, reason := r.Condition.eval(vars)
		if reason != "" {
			matched = r.Outcome != api.OutcomeAllow
			if log != nil {
				log(Failure{RuleID: r.ID, Reason: reason, Matched: matched})
			}
		}
		if !matched {
			continue
		}
		if len(d.RuleIDs) == 0 {
			d.Outcome, d.PriorityRuleID = r.Outcome, r.ID
		}
		d.RuleIDs = append(d.RuleIDs, r.ID)
	}
	return d
}

// Needs says which look-ups the conditions of rules mention. The caller may
// leave the others out of the Input.
func Needs(rules []CompiledRule) Lookups {
	var l Lookups
	for _, r := range rules {
		if r.Condition != nil {
			l.DeviceIsNew = l.DeviceIsNew || r.Condition.needs.DeviceIsNew
			l.ActionCounts = l.ActionCounts || r.Condition.needs.ActionCounts
			l.FailureCounts = l.FailureCounts || r.Condition.needs.FailureCounts
		}
	}
	return l
}

// canonicalIP writes an address in one way, so that 10.0.0.1 and
// ::ffff:10.0.0.1, which a dual-stack socket reports, are the same to every
// condition. What is no address stays as it is.
func canonicalIP(s string) string {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	return addr.WithZone("").Unmap().String()
}

// cacheSize is the number of conditions that a Cache holds; one takes some
// ten kilobytes.
const cacheSize = 1024

// A Cache keeps compiled conditions by their text, at most 1024; when it is
// full it starts afresh. The zero value is ready, and safe for concurrent use.
type Cache struct {
	mu         sync.Mutex
	conditions map[string]*Condition
}

// Compile makes the stored rules of an action ready for Decide. A condition
// that no longer compiles is left nil.
func (c *Cache) Compile(rules []api.ActionRule) []CompiledRule {
	compiled := make([]CompiledRule, len(rules))
	for i, r := range rules {
		compiled[i] = CompiledRule{ID: r.RuleID, Outcome: r.Outcome, Condition: c.condition(r.Condition)}
	}
	return compiled
}

func (c *Cache) condition(text string) *Condition {
	c.mu.Lock()
	condition, ok := c.conditions[text]
	c.mu.Unlock()
	if ok {
		return condition
	}
	condition, err := Compile(text)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil || len(c.conditions) >= cacheSize {
		c.conditions = make(map[string]*Condition)
	}
	c.conditions[text] = condition
	return condition
}
