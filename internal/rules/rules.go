// Package rules decides the outcome of an action: ALLOW, CHALLENGE, REVIEW or
// BLOCK. A rule is a condition in CEL (https://cel.dev) over what is known of
// the user, the action and the device, and an outcome. Rules fail closed, and
// all rules of an action together have one budget of time and memory.
//
// It has no store and no HTTP, and uses the clock only to end a decision that
// takes too long. internal/server gathers the Input and calls Decide;
// internal/manage and internal/config call Check before settings are stored; the
// portal tries rules on a sample.
package rules

import (
	"net/netip"
	"sync"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A CompiledRule is a rule that Decide can evaluate.
type CompiledRule struct {
	ID      string
	Outcome api.Outcome
	// Condition is nil when the rule's condition does not compile; such a
	// rule fails to evaluate.
	Condition *Condition
}

// A Decision is the result of the rules of an action.
type Decision struct {
	Outcome api.Outcome
	// RuleIDs are the rules that match and the failed rules that count as
	// matched, in the order of the rules. Never nil.
	RuleIDs []string
	// PriorityRuleID is the rule that decided Outcome: the first with that outcome
	// among those that Decide compares. It is empty if the default decided.
	PriorityRuleID string
}

// A Failure is a rule that could not be evaluated. It contains nothing of the input,
// so that it can be logged.
type Failure struct {
	RuleID string
	Reason Reason
	// Matched reports whether the rule counts as matched.
	Matched bool
}

// Decide evaluates every rule. If none fails, the outcome is that of the first
// rule that matches, or defaultOutcome if none does.
//
// Rules fail closed: the outcome is the strictest of that outcome and those of
// all rules that cannot be evaluated, in the order ALLOW, CHALLENGE, REVIEW, BLOCK.
// So a rule that fails never hides a stricter one. A failed rule whose outcome is
// ALLOW does not count. log, which may be nil, is called with each failure.
//
// All conditions together have one budget: MaxCost, MaxBytes and MaxTime. Rules fail
// that would exceed it.
//
// Needs returns the parts of the input that Decide reads.
func Decide(defaultOutcome api.Outcome, rules []CompiledRule, in Input, log func(Failure)) Decision {
	return decide(newBudget(), defaultOutcome, rules, in, log)
}

func decide(b *budget, defaultOutcome api.Outcome, rules []CompiledRule, in Input, log func(Failure)) Decision {
	d := Decision{RuleIDs: []string{}}
	in.IP = canonicalIP(in.IP)
	vars := &activation{in: &in, budget: b}
	decided := false // by a rule that matched without failing
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
		d.RuleIDs = append(d.RuleIDs, r.ID)
		if reason == "" {
			if decided {
				continue
			}
			decided = true
		}
		if len(d.RuleIDs) == 1 || strictness(r.Outcome) > strictness(d.Outcome) {
			d.Outcome, d.PriorityRuleID = r.Outcome, r.ID
		}
	}
	if len(d.RuleIDs) == 0 || !decided && strictness(defaultOutcome) > strictness(d.Outcome) {
		d.Outcome, d.PriorityRuleID = defaultOutcome, ""
	}
	return d
}

// strictness orders the outcomes. An unknown outcome is the strictest.
func strictness(o api.Outcome) int {
	switch o {
	case api.OutcomeAllow:
		return 0
	case api.OutcomeChallenge:
		return 1
	case api.OutcomeReview:
		return 2
	case api.OutcomeBlock:
		return 3
	}
	return 4
}

// Needs returns the look-ups that the conditions of rules use. The caller may omit
// the others from the Input.
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

// canonicalIP returns the canonical form of an address, so that 10.0.0.1 and
// ::ffff:10.0.0.1, which a dual-stack socket reports, are the same in conditions. It
// returns any other text unchanged.
func canonicalIP(s string) string {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	return addr.WithZone("").Unmap().String()
}

// Limits of a Cache. A node of a condition takes about 150 bytes, all of them about
// 30 MB.
const (
	cacheSize  = 1024
	cacheNodes = 200_000
)

// A Cache keeps compiled conditions by their text, also those that do not compile:
// at most cacheSize conditions and cacheNodes nodes of their syntax trees. To make
// room it removes conditions at random. The zero value is an empty cache. It is safe
// for concurrent use.
type Cache struct {
	mu         sync.Mutex
	conditions map[string]*Condition
	nodes      int
}

// Compile compiles the stored rules of an action for Decide. The Condition of a rule
// that no longer compiles is nil.
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
		condition = nil
	}
	return c.keep(text, condition)
}

// keep stores a condition, and returns the one that is stored for its text.
func (c *Cache) keep(text string, condition *Condition) *Condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil {
		c.conditions = make(map[string]*Condition)
	}
	if other, ok := c.conditions[text]; ok {
		return other
	}
	for old, dropped := range c.conditions {
		if len(c.conditions) < cacheSize && c.nodes+condition.nodes() <= cacheNodes {
			break
		}
		c.nodes -= dropped.nodes()
		delete(c.conditions, old)
	}
	c.conditions[text] = condition
	c.nodes += condition.nodes()
	return condition
}
