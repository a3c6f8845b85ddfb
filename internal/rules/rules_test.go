package rules

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// sample is an input in which every field that may be set is.
func sample() Input {
	return Input{
		User: User{
			ID: "u1", Email: "jane@example.com", EmailVerified: true, PhoneNumber: "+6421000000", PhoneNumberVerified: true,
			Username: "jane", DisplayName: "Jane Doe", Locale: "en-NZ", IsEnrolled: true,
			CreatedAt: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Custom: map[string]any{"tier": "gold"},
		},
		Action:    Action{Code: "signIn", CreatedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)},
		IP:        "10.1.2.3",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
		Device:    Device{ID: "d1", IsNew: true},
		Custom:    map[string]any{"amount": 150.5, "whole": 3.0, "currency": "NZD", "vip": true},
		Counts:    Counts{ActionsLastHour: 1, ActionsLastDay: 2, FailuresLastHour: 3, FailuresLastDay: 4},
	}
}

func compile(t testing.TB, condition string) *Condition {
	t.Helper()
	c, err := Compile(condition)
	if err != nil {
		t.Fatalf("%q: %v", condition, err)
	}
	return c
}

// judge decides a single blocking rule, and gives the reason if it fails.
func judge(t testing.TB, condition string, in Input) (matched bool, reason Reason) {
	t.Helper()
	d := Decide(api.OutcomeAllow, []CompiledRule{{ID: "r", Outcome: api.OutcomeBlock, Condition: compile(t, condition)}}, in,
		func(f Failure) { reason = f.Reason })
	return d.Outcome == api.OutcomeBlock, reason
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		condition string
		want      bool
	}{
		{`true`, true},
		{`user.id == "u1"`, true},
		{`user.email == "jane@example.com"`, true},
		{`user.emailVerified`, true},
		{`user.phoneNumber.startsWith("+64")`, true},
		{`user.phoneNumberVerified`, true},
		{`user.username == "jane"`, true},
		{`user.displayName == "Jane Doe"`, true},
		{`user.locale == "en-NZ"`, true},
		{`user.isEnrolled`, true},
		{`user.createdAt < timestamp("2026-11-21T00:00:00Z")`, true},
		{`user.custom.tier == "gold"`, true},
		{`has(user.email)`, true},
		{`has(user.custom.tier) && !has(user.custom.other)`, true},
		{`action.code == "signIn"`, true},
		{`action.code in ["signIn", "pay"]`, true},
		{`action.createdAt - user.createdAt > duration("72h")`, true},
		{`action.createdAt.getHours() == 12`, true},
		{`action.createdAt.getHours("Pacific/Auckland") == 1`, true},
		{`ip == "10.1.2.3"`, true},
		{`cidr("10.0.0.0/8").containsIP(ip)`, true},
		{`["192.168.0.0/16", "10.0.0.0/8"].exists(net, cidr(net).containsIP(ip))`, true},
		{`cidr("2001:db8::/32").containsIP(ip)`, false},
		{`ip(ip).isLoopback()`, false},
		{`userAgent.contains("Linux")`, true},
		{`userAgent.lowerAscii().matches("^mozilla/[0-9]")`, true},
		{`device.id == "d1"`, true},
		{`device.isNew`, true},
		{`custom.amount > 100`, true},
		{`custom.amount > 150.25`, true},
		{`custom.whole == 3`, true},
		{`custom.currency == "NZD"`, true},
		{`custom.vip == true`, true},
		{`custom["currency"] != "EUR"`, true},
		{`has(custom.amount)`, true},
		{`has(custom.missing)`, false},
		{`has(custom.missing) && custom.missing > 1`, false},
		{`!has(custom.missing) || custom.missing > 1`, true},
		{`counts.actionsLastHour == 1`, true},
		{`counts.actionsLastDay == 2`, true},
		{`counts.failuresLastHour == 3`, true},
		{`counts.failuresLastDay == 4`, true},
		{`user.email.split("@")[1] == "example.com"`, true},
		{"// a comment\ndevice.isNew &&\n  !user.isEnrolled", false},
	} {
		got, reason := judge(t, tt.condition, sample())
		if reason != "" || got != tt.want {
			t.Errorf("%s: got %v %q, want %v", tt.condition, got, reason, tt.want)
		}
	}
}

func TestAbsentAttributes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		condition string
		want      bool
	}{
		{`has(user.email) || has(device.id) || has(custom.x) || has(user.custom.x)`, false},
		{`user.email == "" && ip == "" && userAgent == "" && device.id == ""`, true},
		{`custom.size() == 0`, true},
		{`counts.actionsLastDay > 0`, false},
	} {
		got, reason := judge(t, tt.condition, Input{})
		if reason != "" || got != tt.want {
			t.Errorf("%s: got %v %q, want %v", tt.condition, got, reason, tt.want)
		}
	}
}

func TestIPv4MappedAddressIsIPv4(t *testing.T) {
	t.Parallel()
	in := sample()
	in.IP = "::ffff:10.1.2.3"
	if got, reason := judge(t, `cidr("10.0.0.0/8").containsIP(ip) && ip == "10.1.2.3"`, in); !got || reason != "" {
		t.Errorf("got %v %q, want true", got, reason)
	}
}

func TestFirstMatchDecides(t *testing.T) {
	t.Parallel()
	yes, no := compile(t, "true"), compile(t, "false")
	for _, tt := range []struct {
		name  string
		rules []CompiledRule
		want  Decision
	}{
		{"no rules", nil, Decision{api.OutcomeChallenge, []string{}, ""}},
		{"no match", []CompiledRule{{"a", api.OutcomeBlock, no}}, Decision{api.OutcomeChallenge, []string{}, ""}},
		{"one match", []CompiledRule{{"a", api.OutcomeBlock, no}, {"b", api.OutcomeReview, yes}},
			Decision{api.OutcomeReview, []string{"b"}, "b"}},
		{"the first of two", []CompiledRule{{"a", api.OutcomeAllow, yes}, {"b", api.OutcomeBlock, yes}},
			Decision{api.OutcomeAllow, []string{"a", "b"}, "a"}},
		{"the order counts", []CompiledRule{{"b", api.OutcomeBlock, yes}, {"a", api.OutcomeAllow, yes}},
			Decision{api.OutcomeBlock, []string{"b", "a"}, "b"}},
	} {
		got := Decide(api.OutcomeChallenge, tt.rules, sample(), nil)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// costly nests ten elements five deep: 100,000 steps.
const costly = `[1,2,3,4,5,6,7,8,9,0].all(a, [1,2,3,4,5,6,7,8,9,0].all(b, [1,2,3,4,5,6,7,8,9,0].all(c, ` +
	`[1,2,3,4,5,6,7,8,9,0].all(d, [1,2,3,4,5,6,7,8,9,0].all(e, a + b + c + d + e < 100)))))`

// failing are conditions that cannot be evaluated on sample, with the reason.
var failing = []struct {
	condition string
	reason    Reason
}{
	{`custom.missing > 1`, NoSuchKey},
	{`!(custom.missing > 1)`, NoSuchKey},
	{`user.custom.missing == "x"`, NoSuchKey},
	{`custom[user.email] == 1`, NoSuchKey},
	{`custom.currency > 1`, WrongType},
	{`custom.vip && custom.amount`, WrongType},
	{`custom.currency in custom.amount`, WrongType},
	{`custom.currency.endsWith(custom.amount)`, WrongType},
	{costly, CostExceeded},
	{`int(custom.currency) == 1`, EvaluationError},
	{`cidr(custom.currency).containsIP(ip)`, EvaluationError},
	{`1 / (user.id.size() - 2) == 1`, EvaluationError},
	{`userAgent.matches(custom.currency + "(")`, EvaluationError},
	{`timestamp(int(custom.amount) + 999999999999) > action.createdAt`, EvaluationError},
	{`action.createdAt + duration("2000000h") + duration("2000000h") ` + strings.Repeat(`+ duration("2000000h")`, 40) + ` > action.createdAt`, EvaluationError},
}

func TestFailingConditions(t *testing.T) {
	t.Parallel()
	for _, tt := range failing {
		if _, got := judge(t, tt.condition, sample()); got != tt.reason {
			t.Errorf("%.60s: got %q, want %q", tt.condition, got, tt.reason)
		}
	}
}

func TestFailingRuleOpensNoDoor(t *testing.T) {
	t.Parallel()
	broken := compile(t, "custom.missing > 1")
	for _, condition := range []*Condition{broken, nil, {}} {
		for _, tt := range []struct {
			outcome api.Outcome
			matched bool
		}{
			{api.OutcomeAllow, false},
			{api.OutcomeChallenge, true},
			{api.OutcomeReview, true},
			{api.OutcomeBlock, true},
			{"", true},
		} {
			var failures []Failure
			got := Decide("DEFAULT", []CompiledRule{{"r", tt.outcome, condition}}, sample(), func(f Failure) { failures = append(failures, f) })
			want := Decision{"DEFAULT", []string{}, ""}
			if tt.matched {
				want = Decision{tt.outcome, []string{"r"}, "r"}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%q: got %+v, want %+v", tt.outcome, got, want)
			}
			if len(failures) != 1 || failures[0].RuleID != "r" || failures[0].Matched != tt.matched || failures[0].Reason == "" {
				t.Errorf("%q: reported %+v", tt.outcome, failures)
			}
		}
	}
}

// An ALLOW rule that fails is passed over; the next one decides.
func TestFailingAllowIsPassedOver(t *testing.T) {
	t.Parallel()
	rules := []CompiledRule{
		{"a", api.OutcomeAllow, compile(t, "custom.missing > 1")},
		{"b", api.OutcomeReview, compile(t, "true")},
	}
	got := Decide(api.OutcomeAllow, rules, sample(), nil)
	if want := (Decision{api.OutcomeReview, []string{"b"}, "b"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFailureHoldsNothingOfTheInput(t *testing.T) {
	t.Parallel()
	in := sample()
	in.IP, in.UserAgent, in.User.Email = "sentinel", "sentinel", "sentinel"
	in.Custom = map[string]any{"currency": "sentinel", "amount": 1.0, "vip": true}
	for _, tt := range failing {
		var got string
		Decide(api.OutcomeAllow, []CompiledRule{{"r", api.OutcomeBlock, compile(t, tt.condition)}}, in, func(f Failure) { got = fmt.Sprintf("%+v", f) })
		if got == "" || strings.Contains(got, "sentinel") {
			t.Errorf("%.60s: reported %q", tt.condition, got)
		}
	}
}

func TestLongTextFailsWhereItIsRead(t *testing.T) {
	t.Parallel()
	fits, long := strings.Repeat("x", MaxText), strings.Repeat("x", MaxText+1)
	for _, tt := range []struct {
		name      string
		set       func(*Input, string)
		condition string
	}{
		{"user agent", func(in *Input, s string) { in.UserAgent = s }, `userAgent.contains("x")`},
		{"ip", func(in *Input, s string) { in.IP = s }, `ip.contains("x")`},
		{"device", func(in *Input, s string) { in.Device.ID = s }, `device.id.contains("x")`},
		{"user", func(in *Input, s string) { in.User.Email = s }, `user.email.contains("x")`},
		{"user's custom", func(in *Input, s string) { in.User.Custom = map[string]any{"k": s} }, `user.custom.k.contains("x")`},
		{"custom", func(in *Input, s string) { in.Custom = map[string]any{"k": s} }, `custom.k.contains("x")`},
		{"key", func(in *Input, s string) { in.Custom = map[string]any{s: 1.0} }, `custom.exists(k, k.contains("x"))`},
	} {
		in := sample()
		tt.set(&in, fits)
		if matched, reason := judge(t, tt.condition, in); !matched || reason != "" {
			t.Errorf("%s of %d bytes: got %v %q, want true", tt.name, MaxText, matched, reason)
		}
		tt.set(&in, long)
		if _, reason := judge(t, tt.condition, in); reason != TextTooLong {
			t.Errorf("%s of %d bytes: got %q, want %q", tt.name, MaxText+1, reason, TextTooLong)
		}
		if _, reason := judge(t, `action.code == "signIn"`, in); reason != "" {
			t.Errorf("%s of %d bytes, not read: %s", tt.name, MaxText+1, reason)
		}
	}
}

func TestCustomOfAnotherKindFails(t *testing.T) {
	t.Parallel()
	for _, value := range []any{nil, []any{1.0}, map[string]any{}, 1, struct{}{}} {
		in := sample()
		in.Custom["odd"] = value
		if _, reason := judge(t, `custom.amount > 100`, in); reason != WrongType {
			t.Errorf("%T: got %q, want %q", value, reason, WrongType)
		}
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		condition string
		want      Lookups
	}{
		{`true`, Lookups{}},
		{`user.isEnrolled && device.id == "d1"`, Lookups{}},
		{`custom.counts == 1 || custom.isNew == true`, Lookups{}},
		{`user.isEnrolled && device.isNew`, Lookups{DeviceIsNew: true}},
		{`has(device.isNew)`, Lookups{DeviceIsNew: true}},
		{`dyn(device) == dyn(1)`, Lookups{DeviceIsNew: true}},
		{`counts.actionsLastHour > 1`, Lookups{ActionCounts: true}},
		{`counts.actionsLastDay > 1`, Lookups{ActionCounts: true}},
		{`counts.failuresLastHour > 1`, Lookups{FailureCounts: true}},
		{`[1].exists(n, counts.failuresLastDay > n)`, Lookups{FailureCounts: true}},
		{`dyn(counts) == dyn(1)`, Lookups{ActionCounts: true, FailureCounts: true}},
		{`counts.actionsLastDay + counts.failuresLastDay > 1 || device.isNew`, Lookups{true, true, true}},
	} {
		if got := Needs([]CompiledRule{{Condition: nil}, {Condition: compile(t, tt.condition)}}); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.condition, got, tt.want)
		}
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	var c Cache
	rules := []api.ActionRule{{RuleID: "a", Condition: "device.isNew", Outcome: api.OutcomeReview}, {RuleID: "b", Condition: "no such thing", Outcome: api.OutcomeBlock}}
	first, again := c.Compile(rules), c.Compile(rules)
	if first[0].ID != "a" || first[0].Outcome != api.OutcomeReview || first[0].Condition == nil {
		t.Errorf("got %+v", first[0])
	}
	if first[0].Condition != again[0].Condition {
		t.Error("compiled twice")
	}
	if first[1].Condition != nil {
		t.Error("what does not compile has a condition")
	}
	for i := range cacheSize + 1 {
		c.conditions[fmt.Sprint(i)] = nil
	}
	c.Compile([]api.ActionRule{{Condition: "true"}})
	if got := len(c.conditions); got != 1 {
		t.Errorf("a full cache then holds %d conditions, want 1", got)
	}
}

// The race detector judges. All evaluations of a condition start at once,
// because what cel-go shares between them is written by the first.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	var cache Cache
	in := sample()
	for _, tt := range failing {
		rules := cache.Compile([]api.ActionRule{
			{RuleID: "a", Condition: tt.condition, Outcome: api.OutcomeAllow},
			{RuleID: "b", Condition: `custom.amount > 100 && cidr("10.0.0.0/8").containsIP(ip) && device.isNew`, Outcome: api.OutcomeReview},
		})
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				<-start
				if got := Decide(api.OutcomeBlock, rules, in, nil); got.PriorityRuleID != "b" {
					t.Errorf("%.60s: got %+v", tt.condition, got)
				}
				cache.Compile([]api.ActionRule{{Condition: `custom.amount > 100`}})
			})
		}
		close(start)
		wg.Wait()
	}
}

// BenchmarkDecide judges ten rules of the usual kind, of which the last
// matches.
func BenchmarkDecide(b *testing.B) {
	var rules []CompiledRule
	for i, condition := range []string{
		`user.email.endsWith("@blocked.example")`,
		`cidr("192.168.0.0/16").containsIP(ip)`,
		`has(custom.missing) && custom.missing > 1`,
		`counts.failuresLastHour > 10`,
		`counts.actionsLastDay > 100 && !user.emailVerified`,
		`action.createdAt - user.createdAt < duration("24h")`,
		`userAgent.lowerAscii().contains("curl")`,
		`action.code in ["pay", "delete"] && device.isNew`,
		`user.custom.tier == "silver"`,
		`custom.amount > 100 && custom.currency == "NZD"`,
	} {
		rules = append(rules, CompiledRule{fmt.Sprint(i), api.OutcomeReview, compile(b, condition)})
	}
	in := sample()
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(api.OutcomeAllow, rules, in, nil); d.PriorityRuleID != "9" {
			b.Fatal(d)
		}
	}
}

// BenchmarkCostExceeded is the longest that one rule may take.
func BenchmarkCostExceeded(b *testing.B) {
	rules := []CompiledRule{{"r", api.OutcomeReview, compile(b, costly)}}
	in := sample()
	for b.Loop() {
		Decide(api.OutcomeAllow, rules, in, nil)
	}
}

// BenchmarkCompile is what a condition takes that the cache does not hold.
func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		compile(b, `custom.amount > 100 && cidr("10.0.0.0/8").containsIP(ip) && device.isNew`)
	}
}
