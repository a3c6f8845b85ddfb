package rules

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

var input = Input{
	User: User{
		ID: "u1", Email: "jane@acme.com", EmailVerified: true, PhoneNumber: "123", Username: "jane", Locale: "de",
		IsEnrolled: true, CreatedAt: time.Unix(1_700_000_000, 0),
	},
	Action: "createPayment", IP: "10.1.2.3", UserAgent: "Mozilla/5.0 (X11; Linux)",
	Device: Device{ID: "d1", IsNew: true},
	Custom: map[string]any{"amount": 1500.5, "country": "NZ", "vip": true},
	Counts: Counts{ActionsLastHour: 3, ActionsLastDay: 30, FailuresLastHour: 1, FailuresLastDay: 2},
}

func TestConditionsSeeTheInput(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]bool{
		`true`:            true,
		`user.id == "u1"`: true,
		`user.email.endsWith("@acme.com") && user.emailVerified`: true,
		`user.phoneNumber == "123" && user.username == "jane"`:   true,
		`user.locale == "en"`: false,
		`!user.isEnrolled`:    false,
		`user.createdAt < timestamp("2024-01-01T00:00:00Z")`:         true,
		`action == "createPayment"`:                                  true,
		`cidr("10.0.0.0/8").containsIP(ip)`:                          true,
		`cidr("192.168.0.0/16").containsIP(ip)`:                      false,
		`userAgent.contains("Linux")`:                                true,
		`userAgent.lowerAscii().matches("^mozilla/[0-9.]+")`:         true,
		`device.isNew && device.id == "d1"`:                          true,
		`custom.amount > 1000`:                                       true,
		`custom.amount > 1500.5`:                                     false,
		`has(custom.amount) && custom.amount > 1000.0`:               true,
		`has(custom.missing) && custom.missing > 1`:                  false,
		`custom.country in ["AU", "NZ"] && custom.vip`:               true,
		`custom["country"] == "NZ"`:                                  true,
		`counts.actionsLastHour >= 3 && counts.actionsLastDay == 30`: true,
		`counts.failuresLastHour > 1 || counts.failuresLastDay > 2`:  false,
		`[1, 2, 3].exists(x, x == counts.actionsLastHour)`:           true,
	} {
		c, err := Compile(condition)
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if got, err := c.Holds(input); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", condition, got, err, want)
		}
	}
}

func TestCompileSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		condition    string
		line, column int
		want         string
	}{
		{``, 1, 0, ""},
		{`user.nickname == "x"`, 1, 4, "undefined field 'nickname'"},
		{"true &&\n  usr.id == \"x\"", 2, 2, "undeclared reference to 'usr'"},
		{`counts.actionsLastHour == "3"`, 1, 23, "no matching overload"},
		{`user.id`, 0, 0, "must be true or false, not string"},
		{`custom.amount`, 0, 0, "must be true or false, not dyn"},
		{`true &&`, 1, 7, "Syntax error"},
		{strings.Repeat("x", MaxCondition+1), 0, 0, "longer than 2000 bytes"},
		{strings.Repeat("(", 900) + "true" + strings.Repeat(")", 900), 0, 0, ""},
	} {
		_, err := Compile(tt.condition)
		var e *ConditionError
		if !errors.As(err, &e) {
			t.Errorf("%.30s: got %v", tt.condition, err)
			continue
		}
		if e.Line != tt.line && tt.want != "" || e.Column != tt.column && tt.want != "" || !strings.Contains(e.Message, tt.want) {
			t.Errorf("%.30s: got %+v, want line %d, column %d, %q", tt.condition, e, tt.line, tt.column, tt.want)
		}
	}
}

func settings(def api.Outcome, rules ...api.ActionRule) api.ActionSettings {
	return api.ActionSettings{DefaultOutcome: def, Rules: rules}
}

func rule(name, condition string, o api.Outcome) api.ActionRule {
	return api.ActionRule{Name: name, Condition: condition, Outcome: o}
}

func none(t *testing.T) func(api.ActionRule, error) {
	return func(r api.ActionRule, err error) { t.Errorf("rule %s: %v", r.Name, err) }
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	t.Parallel()
	s := settings(api.OutcomeAllow,
		rule("no", `custom.amount > 5000`, api.OutcomeBlock),
		rule("first", `custom.amount > 1000`, api.OutcomeReview),
		rule("second", `true`, api.OutcomeBlock))
	d := Decide(s, input, none(t))
	if d.Outcome != api.OutcomeReview || d.Rule == nil || d.Rule.Name != "first" {
		t.Errorf("got %+v", d)
	}
	if d := Decide(settings(api.OutcomeChallenge), input, none(t)); d.Outcome != api.OutcomeChallenge || d.Rule != nil {
		t.Errorf("no rule: got %+v", d)
	}
}

// A rule that fails to evaluate must not open a door.
func TestARuleThatFails(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{
		`custom.missing > 1`,          // no such key
		`custom.country > 1`,          // a text and a number
		`ip(userAgent).family() == 4`, // not an address
		`[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, a+b+c+d > 0))))`, // too much work
		`no longer compiles`,
	} {
		for outcome, matched := range map[api.Outcome]bool{
			api.OutcomeAllow: false, api.OutcomeChallenge: true, api.OutcomeReview: true, api.OutcomeBlock: true,
		} {
			def := api.OutcomeAllow
			if outcome == api.OutcomeAllow {
				def = api.OutcomeBlock
			}
			reported := 0
			d := Decide(settings(def, rule("r", condition, outcome)), input, func(r api.ActionRule, err error) {
				reported++
				if err == nil || r.Name != "r" || strings.Contains(err.Error(), "Mozilla") || strings.Contains(err.Error(), "NZ") || err.Error() == "" {
					t.Errorf("reported %v", err)
				}
			})
			if got := d.Rule != nil; got != matched || reported != 1 {
				t.Errorf("%.30s with %s: matched %v, reported %d times", condition, outcome, got, reported)
			}
		}
	}
}

func TestConditionsRunConcurrently(t *testing.T) {
	t.Parallel()
	s := settings(api.OutcomeAllow, rule("r", `custom.amount > 1000 && cidr("10.0.0.0/8").containsIP(ip)`, api.OutcomeBlock))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				if d := Decide(s, input, none(t)); d.Outcome != api.OutcomeBlock {
					t.Errorf("got %+v", d)
				}
			}
		})
	}
	wg.Wait()
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

func FuzzCompile(f *testing.F) {
	f.Add(`user.id == "u1" && counts.actionsLastHour > 3`)
	f.Add(`cidr("10.0.0.0/8").containsIP(ip)`)
	f.Add(`[1,2].map(x, [1,2].map(y, x * y)).exists(z, z == [1])`)
	f.Add(`"a".matches("(a*)*b")`)
	f.Add(`custom["\u0000"] ? true : !false`)
	f.Fuzz(func(t *testing.T, condition string) {
		c, err := Compile(condition)
		if err != nil {
			var e *ConditionError
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			return
		}
		c.Holds(input)
		c.Holds(Input{})
	})
}

func BenchmarkDecide(b *testing.B) {
	s := settings(api.OutcomeAllow,
		rule("a", `custom.amount > 5000`, api.OutcomeBlock),
		rule("b", `cidr("192.168.0.0/16").containsIP(ip)`, api.OutcomeBlock),
		rule("c", `counts.failuresLastHour > 5 && device.isNew`, api.OutcomeReview))
	for b.Loop() {
		Decide(s, input, func(r api.ActionRule, err error) { b.Fatal(err) })
	}
}
