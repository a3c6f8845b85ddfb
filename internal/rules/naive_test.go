package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A verdict is what a condition yields: true, false, or that it fails.
type verdict int

const (
	no verdict = iota
	yes
	fails
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// A model is a condition with what it must yield, written in Go.
type model struct {
	condition string
	eval      func(Input) verdict
}

// amount is custom.amount, if it is a number.
func amount(in Input) (float64, bool) {
	f, ok := in.Custom["amount"].(float64)
	return f, ok
}

// roles is custom.roles, if it is a list that conditions may read.
func roles(in Input) ([]any, bool) {
	l, ok := in.Custom["roles"].([]any)
	for _, r := range l {
		if s, text := r.(string); text && len(s) > MaxText {
			return nil, false
		}
	}
	return l, ok
}

// userFits reports whether conditions may read the user.
func userFits(in Input) bool { return len(in.User.Locale) <= MaxText }

var models = []model{
	{`true`, func(Input) verdict { return yes }},
	{`false`, func(Input) verdict { return no }},
	{`device.isNew`, func(in Input) verdict { return verdictOf(in.Device.IsNew) }},
	{`userAgent.contains("Headless")`, func(in Input) verdict {
		if len(in.UserAgent) > MaxText {
			return fails
		}
		return verdictOf(strings.Contains(in.UserAgent, "Headless"))
	}},
	{`cidr("10.0.0.0/8").containsIP(ip)`, func(in Input) verdict {
		a, err := netip.ParseAddr(in.IP)
		if err != nil {
			return fails
		}
		return verdictOf(a.As4()[0] == 10)
	}},
	{`user.locale == "en"`, func(in Input) verdict {
		if !userFits(in) {
			return fails
		}
		return verdictOf(in.User.Locale == "en")
	}},
	{`user.isEnrolled`, func(in Input) verdict {
		if !userFits(in) {
			return fails
		}
		return verdictOf(in.User.IsEnrolled)
	}},
	{`custom.amount > 100`, func(in Input) verdict {
		f, ok := amount(in)
		if !ok {
			return fails
		}
		return verdictOf(f > 100)
	}},
	{`custom.amount + 1 > 5`, func(in Input) verdict {
		f, ok := amount(in)
		if !ok {
			return fails
		}
		return verdictOf(f+1 > 5)
	}},
	{`custom.amount % 2 == 0`, func(in Input) verdict {
		f, ok := amount(in)
		if !ok || f != math.Trunc(f) {
			return fails
		}
		return verdictOf(math.Mod(f, 2) == 0)
	}},
	{`has(custom.amount)`, func(in Input) verdict {
		_, ok := in.Custom["amount"]
		return verdictOf(ok)
	}},
	{`"admin" in custom.roles`, func(in Input) verdict {
		l, ok := roles(in)
		if !ok {
			return fails
		}
		for _, r := range l {
			if r == "admin" {
				return yes
			}
		}
		return no
	}},
	{`custom.roles.exists(r, r.startsWith("ad"))`, func(in Input) verdict {
		l, ok := roles(in)
		if !ok {
			return fails
		}
		result := no
		for _, r := range l {
			if s, ok := r.(string); !ok {
				result = fails
			} else if strings.HasPrefix(s, "ad") {
				return yes
			}
		}
		return result
	}},
	{`100 / counts.actionsLastDay > 20`, func(in Input) verdict {
		if in.Counts.ActionsLastDay == 0 {
			return fails
		}
		return verdictOf(100/in.Counts.ActionsLastDay > 20)
	}},
	{`action.createdAt.getHours("Asia/Tokyo") < 12`, func(in Input) verdict {
		// Japan is 9 hours ahead of UTC all year.
		return verdictOf((in.Action.CreatedAt.UTC().Hour()+9)%24 < 12)
	}},
}

// randomModel joins models by CEL's operators, of which && and || pass over a
// failing side where the other decides.
func randomModel(r *rand.Rand, depth int) model {
	if depth == 0 {
		return models[r.IntN(len(models))]
	}
	a, b := randomModel(r, depth-1), randomModel(r, depth-1)
	switch r.IntN(4) {
	case 0:
		return model{"(" + a.condition + " || " + b.condition + ")", func(in Input) verdict { return or(a.eval(in), b.eval(in)) }}
	case 1:
		return model{"(" + a.condition + " && " + b.condition + ")", func(in Input) verdict { return not(or(not(a.eval(in)), not(b.eval(in)))) }}
	case 2:
		return model{"!(" + a.condition + ")", func(in Input) verdict { return not(a.eval(in)) }}
	}
	return a
}

func or(a, b verdict) verdict {
	switch {
	case a == yes || b == yes:
		return yes
	case a == fails || b == fails:
		return fails
	}
	return no
}

func not(a verdict) verdict { return [...]verdict{no: yes, yes: no, fails: fails}[a] }

func randomInput(r *rand.Rand) Input {
	in := Input{Custom: map[string]any{}}
	in.IP = []string{"10.1.2.3", "192.0.2.1", "", "10.1.2.3, 192.0.2.1"}[r.IntN(4)]
	in.UserAgent = []string{"Mozilla", "Headless", strings.Repeat("é", 1112)}[r.IntN(3)]
	in.User.Locale = []string{"en", "de", strings.Repeat("x", MaxText+1)}[r.IntN(3)]
	in.User.IsEnrolled, in.Device.IsNew = r.IntN(2) == 0, r.IntN(2) == 0
	in.Counts.ActionsLastDay = int64(r.IntN(4))
	in.Action.CreatedAt = time.Unix(1_700_000_000+int64(r.IntN(100_000)), 0)
	values := []any{nil, 1.0, 4.0, 150.5, "text", true, strings.Repeat("x", MaxText+1), []any{1.0}}
	if v := values[r.IntN(len(values))]; v != nil {
		in.Custom["amount"] = v
	}
	lists := []any{nil, []any{"admin", "user"}, []any{"user", 1.0}, []any{}, []any{"adept"}, []any{"admin", strings.Repeat("x", MaxText+1)}, true}
	if v := lists[r.IntN(len(lists))]; v != nil {
		in.Custom["roles"] = v
	}
	return in
}

// A naiveRule is a rule with its model; verdict is fails if it does not
// compile.
type naiveRule struct {
	id      string
	outcome api.Outcome
	verdict verdict
}

// naiveDecide is "fail closed" by its definition: among the outcomes that count
// it looks for BLOCK, then for REVIEW, and so on.
func naiveDecide(defaultOutcome api.Outcome, rules []naiveRule) Decision {
	firstMatch := -1
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].verdict == yes {
			firstMatch = i
		}
	}
	d := Decision{RuleIDs: []string{}}
	for _, r := range rules {
		if r.verdict == yes || r.verdict == fails && r.outcome != "ALLOW" {
			d.RuleIDs = append(d.RuleIDs, r.id)
		}
	}
	for _, d.Outcome = range []api.Outcome{"BLOCK", "REVIEW", "CHALLENGE", "ALLOW"} {
		for i, r := range rules {
			if r.outcome == d.Outcome && (i == firstMatch || r.verdict == fails && r.outcome != "ALLOW") {
				d.PriorityRuleID = r.id
				return d
			}
		}
		if firstMatch < 0 && defaultOutcome == d.Outcome {
			return d
		}
	}
	panic("no outcome")
}

func TestDecideAgainstNaiveEvaluation(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	outcomes := []api.Outcome{api.OutcomeAllow, api.OutcomeChallenge, api.OutcomeReview, api.OutcomeBlock}
	var cache Cache
	seen := map[api.Outcome]int{}
	for range 10_000 {
		in := randomInput(r)
		var stored []api.ActionRule
		var naive []naiveRule
		wantFailures := map[string]bool{}
		for i := range r.IntN(6) {
			id, outcome, m := fmt.Sprint(i), outcomes[r.IntN(4)], randomModel(r, r.IntN(3))
			v := m.eval(in)
			if r.IntN(20) == 0 {
				m.condition, v = "no longer compiles", fails
			}
			stored = append(stored, api.ActionRule{RuleID: id, Condition: m.condition, Outcome: outcome})
			naive = append(naive, naiveRule{id, outcome, v})
			if v == fails {
				wantFailures[id] = outcome != api.OutcomeAllow
			}
		}
		defaultOutcome := outcomes[r.IntN(4)]
		failures := map[string]bool{}
		got := decide(withoutDeadline(), defaultOutcome, cache.Compile(stored), in, func(f Failure) { failures[f.RuleID] = f.Matched })
		if want := naiveDecide(defaultOutcome, naive); !reflect.DeepEqual(got, want) {
			t.Fatalf("default %s, rules %+v, %v: got %+v, want %+v", defaultOutcome, stored, naive, got, want)
		}
		if !reflect.DeepEqual(failures, wantFailures) {
			t.Fatalf("rules %+v: got failures %v, want %v", stored, failures, wantFailures)
		}
		seen[got.Outcome]++
	}
	for _, o := range outcomes {
		if seen[o] < 500 {
			t.Errorf("%s came out %d times, want 500 or more", o, seen[o])
		}
	}
}
