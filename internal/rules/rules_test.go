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

// sample is an input in which all fields are set.
func sample() Input {
	return Input{
		User: User{
			ID: "u1", Email: "jane@example.com", EmailVerified: true, PhoneNumber: "+6421000000", PhoneNumberVerified: true,
			Username: "jane", DisplayName: "Jane Doe", Locale: "en-NZ", IsEnrolled: true,
			CreatedAt: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Custom: map[string]any{"tier": "gold", "groups": []any{"staff"}},
		},
		Action:    Action{Code: "signIn", CreatedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)},
		IP:        "10.1.2.3",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
		Device:    Device{ID: "d1", IsNew: true},
		Custom: map[string]any{
			"amount": 150.5, "whole": 3.0, "currency": "NZD", "vip": true,
			"roles": []any{"admin", "user"}, "scores": []any{1.0, 2.5}, "flags": []any{true, false}, "none": []any{},
		},
		Counts: Counts{ActionsLastHour: 1, ActionsLastDay: 2, FailuresLastHour: 3, FailuresLastDay: 4},
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

// judge evaluates a rule, and returns the reason if it fails.
func judge(t testing.TB, condition string, in Input) (matched bool, reason Reason) {
	t.Helper()
	rules := []CompiledRule{{ID: "r", Outcome: api.OutcomeBlock, Condition: compile(t, condition)}}
	d := decide(withoutDeadline(), api.OutcomeAllow, rules, in, func(f Failure) { reason = f.Reason })
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
		// Numbers of custom are doubles, literals such as 1 are integers.
		{`custom.amount + 1 > 151`, true},
		{`1 + custom.amount == 151.5`, true},
		{`custom.amount - 1 == 149.5`, true},
		{`custom.amount * 100 > 5`, true},
		{`custom.amount / 2 == 75.25`, true},
		{`custom.whole % 2 == 1`, true},
		{`7 % custom.whole == 1`, true},
		{`custom.whole % custom.whole == 0`, true},
		{`-custom.whole == -3`, true},
		{`custom.whole + 1u == 4 && 1.5 * counts.actionsLastDay == 3.0 && custom.amount + 1 + 0.5 == 152`, true},
		{`custom.whole + counts.actionsLastDay == 5`, true},
		{`counts.actionsLastDay * custom.amount == 301`, true},
		{`custom.whole == 3 && custom.whole != 4 && 3 == custom.whole`, true},
		{`custom.whole in [1, 2, 3]`, true},
		{`custom.whole in [1.0, 2.0]`, false},
		{`custom.currency in [1, "NZD"]`, true},
		{`custom.amount < 151 && custom.amount > counts.actionsLastDay`, true},
		{`"abcd".substring(custom.whole) == "d" && "abcd".charAt(custom.whole) == "d"`, true},
		{`"a-b-c".split("-", custom.whole - 1).size() == 2`, true},
		{`[10, 20, 30, 40][custom.whole] == 40`, true},
		{`{3: "three"}[custom.whole] == "three"`, true},
		{`timestamp(custom.whole) < action.createdAt`, true},
		// Lists.
		{`"admin" in custom.roles`, true},
		{`"root" in custom.roles`, false},
		{`custom.roles.exists(r, r.startsWith("adm"))`, true},
		{`custom.roles.all(r, r in ["admin", "user"])`, true},
		{`custom.roles.size() == 2 && custom.roles[1] == "user"`, true},
		{`custom.roles.join(",") == "admin,user"`, true},
		{`custom.roles == ["admin", "user"]`, true},
		{`custom.roles + ["x"] == ["admin", "user", "x"]`, true},
		{`custom.roles.filter(r, r != "user") == ["admin"]`, true},
		{`1 in custom.scores && 2.5 in custom.scores && !(3 in custom.scores)`, true},
		{`"1" in custom.scores || 1 in custom.roles`, false},
		{`custom.scores.map(n, n + 1) == [2, 3.5]`, true},
		{`true in custom.flags && custom.flags[0]`, true},
		{`custom.none == [] && !("x" in custom.none)`, true},
		{`user.custom.groups.exists(g, g == "staff")`, true},
		// What macros and functions make.
		{`["a", "b"].map(x, x + x) == ["aa", "bb"] && {"a": 1, "b": 2}["b"] == 2`, true},
		{`"abc".replace("", "-") == "-a-b-c-" && "aaa".replace("a", "b", 2) == "bba"`, true},
		{`"ab".split("") == ["a", "b"] && ["a", "b"].join() == "ab"`, true},
		{`"aXbX".lowerAscii().indexOf("x") == 1 && "aXbX".lastIndexOf("X") == 3`, true},
		{`["bot", "linux"].exists(p, userAgent.lowerAscii().matches(p))`, true},
		{`matches(userAgent, "^Mozilla") && !userAgent.matches("(?i)curl|wget")`, true},
		{`action.createdAt.getHours("-01:30") == 10 && action.createdAt.getDayOfWeek("Asia/Tokyo") == 1`, true},
		{`[[1, 2], [3]].exists(l, l == [3]) && [3] in [[1, 2], [3]]`, true},
		{`dyn(user) == dyn(user) && type(custom.roles) == list`, true},
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

// A rule that fails never hides a stricter one.
func TestFailedRuleHidesNoStricterOne(t *testing.T) {
	t.Parallel()
	challenge := CompiledRule{"headless", api.OutcomeChallenge, compile(t, `userAgent.contains("Headless")`)}
	block := CompiledRule{"network", api.OutcomeBlock, compile(t, `cidr("10.0.0.0/8").containsIP(ip)`)}
	for _, tt := range []struct {
		name  string
		set   func(*Input)
		rules []CompiledRule
	}{
		{"a long user agent", func(in *Input) { in.UserAgent = strings.Repeat("é", 1112) }, []CompiledRule{challenge, block}},
		{"a list of addresses", func(in *Input) { in.IP = "10.1.2.3, 192.0.2.1" }, []CompiledRule{challenge, block}},
		{"a long locale", func(in *Input) { in.User.Locale = strings.Repeat("x", MaxText+1) },
			[]CompiledRule{{"locale", api.OutcomeChallenge, compile(t, `user.locale == "en"`)}, block}},
		{"a missing custom key", func(*Input) {}, []CompiledRule{{"missing", api.OutcomeChallenge, compile(t, `custom.missing > 1`)}, block}},
		{"what does not compile", func(*Input) {}, []CompiledRule{{"broken", api.OutcomeChallenge, nil}, block}},
		{"what costs too much", func(*Input) {}, []CompiledRule{{"costly", api.OutcomeChallenge, compile(t, costly)}, block}},
	} {
		in := sample()
		tt.set(&in)
		for _, rules := range [][]CompiledRule{tt.rules, {tt.rules[1], tt.rules[0]}} {
			got := Decide(api.OutcomeAllow, rules, in, nil)
			if got.Outcome != api.OutcomeBlock || got.PriorityRuleID != "network" {
				t.Errorf("%s: got %+v, want BLOCK of network", tt.name, got)
			}
		}
	}
}

func TestFailedRulesAndTheDefault(t *testing.T) {
	t.Parallel()
	yes, no, fails := compile(t, "true"), compile(t, "false"), compile(t, "custom.missing > 1")
	for _, tt := range []struct {
		name       string
		defaultOut api.Outcome
		rules      []CompiledRule
		want       Decision
	}{
		{"a failed ALLOW does not count", api.OutcomeChallenge, []CompiledRule{{"a", api.OutcomeAllow, fails}},
			Decision{api.OutcomeChallenge, []string{}, ""}},
		{"a stricter default", api.OutcomeBlock, []CompiledRule{{"a", api.OutcomeReview, fails}},
			Decision{api.OutcomeBlock, []string{"a"}, ""}},
		{"a default that is as strict", api.OutcomeReview, []CompiledRule{{"a", api.OutcomeReview, fails}},
			Decision{api.OutcomeReview, []string{"a"}, "a"}},
		{"a milder default", api.OutcomeAllow, []CompiledRule{{"a", api.OutcomeReview, fails}},
			Decision{api.OutcomeReview, []string{"a"}, "a"}},
		{"a match takes the default's place", api.OutcomeBlock, []CompiledRule{{"a", api.OutcomeReview, fails}, {"b", api.OutcomeAllow, yes}},
			Decision{api.OutcomeReview, []string{"a", "b"}, "a"}},
		{"a stricter match", api.OutcomeAllow, []CompiledRule{{"a", api.OutcomeChallenge, fails}, {"b", api.OutcomeBlock, yes}},
			Decision{api.OutcomeBlock, []string{"a", "b"}, "b"}},
		{"a second match does not count", api.OutcomeAllow, []CompiledRule{{"a", api.OutcomeChallenge, fails}, {"b", api.OutcomeAllow, yes}, {"c", api.OutcomeBlock, yes}},
			Decision{api.OutcomeChallenge, []string{"a", "b", "c"}, "a"}},
		{"a failed rule behind the match", api.OutcomeAllow, []CompiledRule{{"a", api.OutcomeAllow, yes}, {"b", api.OutcomeBlock, fails}},
			Decision{api.OutcomeBlock, []string{"a", "b"}, "b"}},
		{"the strictest of two failed rules", api.OutcomeAllow, []CompiledRule{{"a", api.OutcomeChallenge, fails}, {"b", api.OutcomeReview, fails}, {"c", api.OutcomeBlock, no}},
			Decision{api.OutcomeReview, []string{"a", "b"}, "b"}},
		{"the first of two as strict", api.OutcomeAllow, []CompiledRule{{"a", api.OutcomeReview, fails}, {"b", api.OutcomeReview, yes}},
			Decision{api.OutcomeReview, []string{"a", "b"}, "a"}},
	} {
		if got := Decide(tt.defaultOut, tt.rules, sample(), nil); !reflect.DeepEqual(got, tt.want) {
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
	{`int(custom.currency) == 1`, NotParsed},
	{`duration(custom.currency) > duration("1s")`, NotParsed},
	{`timestamp(custom.currency) > action.createdAt`, NotParsed},
	{`cidr(custom.currency).containsIP(ip)`, NotParsed},
	{`cidr("10.0.0.0/8").containsIP(custom.currency)`, NotParsed},
	{`ip(custom.currency).isLoopback()`, NotParsed},
	{`action.createdAt.getHours(custom.currency) == 1`, UnknownZone},
	{`action.createdAt.getHours(custom.currency + ":") == 1`, UnknownZone},
	{`action.createdAt.getHours("Local" + "") == 1`, UnknownZone},
	{`1 / (user.id.size() - 2) == 1`, DividedByZero},
	{`1 % (user.id.size() - 2) == 1`, DividedByZero},
	{`custom.amount % 2 == 1`, NotWhole},
	{`custom.amount + 9007199254740993 > 1`, NumberTooLarge},
	{`9223372036854775807 + user.id.size() > 1`, NumberTooLarge},
	{`timestamp(int(custom.amount) + 999999999999) > action.createdAt`, NumberTooLarge},
	{`action.createdAt + duration("2000000h") + duration("2000000h") ` + strings.Repeat(`+ duration("2000000h")`, 40) + ` > action.createdAt`, NumberTooLarge},
	{`user.email.split("@")[2] == ""`, OutOfRange},
	{`custom.roles[7] == ""`, OutOfRange},
	{`user.email.substring(100) == ""`, OutOfRange},
	{`user.email.charAt(100) == ""`, OutOfRange},
	{`[userAgent]` + strings.Repeat(`.map(a, a + a + a + a + a + a + a + a)`, 4) + `[0].size() > 1`, ValueTooLong},
	{`"admin" in custom.currency`, WrongType},
	{`custom.roles + custom.currency == []`, WrongType},
	{`custom.amount + custom.currency == 1`, WrongType},
	{`custom.roles + 1 == 1`, WrongType},
	{`custom.scores.join(",") == ""`, WrongType},
	{`{dyn(b"x"): 1}.size() == 1`, WrongType},
	{`dyn(b"x") in {"x": 1}`, WrongType},
}

func TestFailingConditions(t *testing.T) {
	t.Parallel()
	for _, tt := range failing {
		if _, got := judge(t, tt.condition, sample()); got != tt.reason {
			t.Errorf("%.60s: got %q, want %q", tt.condition, got, tt.reason)
		}
	}
}

func TestFailedRuleCountsUnlessItAllows(t *testing.T) {
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
			got := Decide(api.OutcomeAllow, []CompiledRule{{"r", tt.outcome, condition}}, sample(), func(f Failure) { failures = append(failures, f) })
			want := Decision{api.OutcomeAllow, []string{}, ""}
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

// An ALLOW rule that fails is skipped; the next one decides.
func TestFailingAllowIsSkipped(t *testing.T) {
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

func TestFailureHasNothingOfTheInput(t *testing.T) {
	t.Parallel()
	in := sample()
	in.IP, in.UserAgent, in.User.Email = "sentinel", "sentinel", "sentinel"
	in.Custom = map[string]any{"currency": "sentinel", "amount": 1.5, "vip": true, "roles": []any{"sentinel"}, "scores": []any{1.0}}
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
		{"list in custom", func(in *Input, s string) { in.Custom = map[string]any{"k": []any{"a", s}} }, `custom.k[1].contains("x")`},
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
	for _, value := range []any{nil, map[string]any{}, 1, struct{}{}, []string{"a"}, []any{nil}, []any{"a", 1}, []any{[]any{1.0}}, []any{map[string]any{}}} {
		in := sample()
		in.Custom["odd"], in.User.Custom["odd"] = value, value
		for _, condition := range []string{`custom.odd == 1`, `user.custom.odd == 1`, `custom.exists(k, custom[k] == "missing")`} {
			if _, reason := judge(t, condition, in); reason != WrongType {
				t.Errorf("%s, %T: got %q, want %q", condition, value, reason, WrongType)
			}
		}
		if matched, reason := judge(t, `custom.amount > 100 && has(custom.odd) && user.custom.tier == "gold"`, in); !matched || reason != "" {
			t.Errorf("%T, not read: got %v %q", value, matched, reason)
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
	if _, ok := c.conditions["no such thing"]; !ok {
		t.Error("what does not compile is compiled again each time")
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c Cache
	for i := range cacheSize + 10 {
		c.Compile([]api.ActionRule{{Condition: fmt.Sprintf("%d", i)}}) // does not compile
	}
	if got := len(c.conditions); got != cacheSize {
		t.Errorf("got %d conditions, want %d", got, cacheSize)
	}
	if c.nodes != cacheSize {
		t.Errorf("got %d nodes of %d conditions that do not compile", c.nodes, cacheSize)
	}
	large := &Condition{size: cacheNodes / 10}
	for i := range 30 {
		c.keep(fmt.Sprint("large ", i), large)
		nodes := 0
		for _, kept := range c.conditions {
			nodes += kept.nodes()
		}
		if c.nodes != nodes || nodes > cacheNodes {
			t.Fatalf("got %d nodes, counted as %d, want at most %d", nodes, c.nodes, cacheNodes)
		}
	}
	if got := c.keep("large 29", nil); got != large {
		t.Error("the last one is not kept")
	}
}

// For the race detector. All evaluations of a condition start at once, because the
// first one writes what cel-go shares between them.
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
				got := Decide(api.OutcomeAllow, rules, in, nil)
				if got.PriorityRuleID != "b" {
					t.Errorf("%.60s: got %+v", tt.condition, got)
				}
				cache.Compile([]api.ActionRule{{Condition: `custom.amount > 100`}})
			})
		}
		close(start)
		wg.Wait()
	}
}

// BenchmarkDecide evaluates ten usual rules, of which the last
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

// BenchmarkCompile measures a condition that is not in the cache.
func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		compile(b, `custom.amount > 100 && cidr("10.0.0.0/8").containsIP(ip) && device.isNew`)
	}
}
