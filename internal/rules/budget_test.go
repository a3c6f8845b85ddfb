package rules

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// worst is an input in which all texts have their maximum length: repetitions of
// unit. custom has 256 keys and 64 KiB.
func worst(unit string) Input {
	if unit == "" || len(unit) > MaxText {
		unit = "a"
	}
	long := strings.Repeat(unit, MaxText/len(unit))
	in := sample()
	in.IP, in.UserAgent, in.Device.ID, in.Action.Code = long, long, long, long
	in.User.Email, in.User.ID, in.User.Locale, in.User.DisplayName = long, long, long, long
	custom := map[string]any{"text": long, "number": 3.0, "currency": "NZD", "vip": true, "amount": 150.5}
	var numbers, texts []any
	for i := range 5_000 {
		numbers = append(numbers, float64(i%10))
		texts = append(texts, unit[:min(len(unit), 4)])
	}
	custom["numbers"], custom["texts"] = numbers, texts
	for i := len(custom); i < 256; i++ {
		custom[fmt.Sprintf("k%03d%.60s", i, long)] = long[:min(len(long), 100)]
	}
	in.Custom, in.User.Custom = custom, custom
	return in
}

func chain(start, link string, n int, end string) string {
	return start + strings.Repeat(link, n) + end
}

// nested nests a macro over list n deep.
func nested(list, macro string, n int, body string) string {
	for i := range n {
		body = fmt.Sprintf("%s.%s(v%d, %s)", list, macro, i, body)
	}
	return body
}

const ten = "[0,1,2,3,4,5,6,7,8,9]"

// hostile are conditions of which the evaluation is as costly as possible.
var hostile = []string{
	costly,
	chain(`[userAgent]`, `.map(a, a + a)`, 20, `.exists(a, a.replace("", a).size() > 1)`),
	chain(`[userAgent]`, `.map(a, a + a)`, 3, `.exists(a, a.replace("", a).size() > 1)`),
	chain(`[userAgent.split("")]`, `.map(a, a + a)`, 4, `.exists(a, a.join(userAgent).size() > 1)`),
	`userAgent.split("").join(userAgent).size() > 1`,
	`userAgent.split("").join("aaaaaaa").size() > 1 && ` + nested(ten, "all", 4, `userAgent.split("").join("aaaaaaa").size() > 1`),
	chain(`[[1]]`, `.map(a, [a, a])`, 60, `.map(a, a == a)[0]`),
	chain(`[[1]]`, `.map(a, [a, a])`, 60, `.exists(a, a in [a])`),
	chain(`[{"a": 1}]`, `.map(a, {"a": a, "b": a})`, 60, `.exists(a, a == a)`),
	chain(`[[1]]`, `.map(a, a + a)`, 60, `.exists(a, a.size() == 1)`),
	chain(`[[1]]`, `.map(a, a + [1])`, 200, `.exists(a, a.all(b, a.all(c, c == 1)))`),
	chain(`userAgent`, `.replace("a", "aa")`, 20, `.size() == 1`),
	chain(`userAgent`, `.replace("", "a")`, 20, `.size() == 1`),
	chain(`userAgent`, `.lowerAscii()`, 300, ` == ""`),
	chain(`userAgent`, `.reverse()`, 300, ` == ""`),
	nested(ten, "all", 4, `userAgent.lowerAscii() != ""`),
	nested(ten, "all", 4, `userAgent.indexOf(device.id) == 0`),
	nested(ten, "all", 4, `userAgent.lastIndexOf(device.id + "b") == -1`),
	nested(ten, "all", 4, `(userAgent + "a").indexOf(userAgent.substring(1024) + "b") == -1`),
	nested(ten, "all", 4, `userAgent.contains(device.id.substring(1024) + "b") == false`),
	nested(ten, "all", 4, `userAgent + device.id != ""`),
	nested(ten, "all", 4, `userAgent.split("").size() > 1`),
	nested(ten, "all", 4, `strings.quote(userAgent) != ""`),
	nested(ten, "all", 4, `bytes(userAgent) != b""`),
	nested(ten, "all", 4, `string(bytes(userAgent)) != ""`),
	nested(ten, "all", 4, `userAgent.charAt(2000) != ""`),
	nested(ten, "all", 4, `userAgent.matches("(a?){60}b") == false`),
	nested(ten, "all", 4, `userAgent.matches("(?i:[a-z]|\\pL){40}9") == false`),
	nested(ten, "all", 4, `userAgent.matches("[^x]{200}y") == false`),
	nested(ten, "all", 4, `userAgent.matches("(\\b|a|\\B){30}c") == false`),
	nested(ten, "all", 4, `"a".matches("a")`),
	nested(ten, "all", 4, `"a".matches("(a*)*b") == false`),
	nested(ten, "all", 4, `action.createdAt.getHours("Europe/Berlin") == 13`),
	nested(ten, "all", 4, `action.createdAt.getHours("+02:00") == 14`),
	nested(ten, "exists", 4, `action.createdAt.getHours(custom.currency) == 14`),
	nested(ten, "exists", 4, `action.createdAt.getHours(v0 == 0 ? "a" : "b") == 14`),
	nested(ten, "exists", 4, `custom.currency > 1`),
	nested(ten, "exists", 4, `custom.missing == 1`),
	nested(ten, "exists", 4, `custom[userAgent + device.id] == 1`),
	nested(ten, "exists", 4, `int(userAgent) == 1`),
	nested(ten, "exists", 4, `int(custom.currency) == 1`),
	nested(ten, "exists", 4, `timestamp(custom.currency) == action.createdAt`),
	nested(ten, "exists", 4, `double(custom.currency) == 1.0`),
	nested(ten, "exists", 4, `ip(custom.currency) == ip(ip)`),
	nested(ten, "exists", 4, `isIP(userAgent.substring(0, 256))`),
	nested(ten, "exists", 4, `custom.texts == custom.numbers`),
	nested(ten, "all", 4, `custom.texts == custom.texts`),
	nested(ten, "all", 4, `custom == custom`),
	nested(ten, "all", 4, `user == user`),
	nested(ten, "all", 4, `dyn(user) == dyn(user)`),
	nested(ten, "all", 4, `user in [user]`),
	nested(ten, "all", 4, `user.custom == custom`),
	nested(ten, "all", 4, `[user, user, user, user] == [user, user, user, user]`),
	nested(ten, "exists", 4, `user in custom.texts`),
	nested(ten, "exists", 4, `dyn(user) in [dyn(1), device, action, counts, 1, 2, 3]`),
	nested(ten, "all", 4, `user.custom.texts == custom.texts`),
	nested(ten, "exists", 4, `"z" in custom.texts`),
	nested(ten, "exists", 4, `11 in custom.numbers`),
	nested(ten, "exists", 4, `custom.texts in [custom.texts.map(a, a + "z")]`),
	nested(ten, "exists", 4, `[] in custom.texts`),
	nested(ten, "all", 4, `[1, 2, 3, 4, 5, 6, 7, 8, v0, v1].size() == 10`),
	nested(ten, "all", 4, `{v0: 1, v1: 2, "a": 3, "b": 4}.size() >= 2`),
	nested(ten, "all", 4, `{userAgent: 1, userAgent + device.id: 2}[userAgent] == 1`),
	nested(ten, "all", 4, `v0 + v1 * v2 - v3 <= 100`),
	nested(ten, "all", 4, `duration("1h") + duration("1h") > duration("1s")`),
	nested(ten, "all", 4, `string(duration("1h")) != ""`),
	nested(ten, "all", 4, `string(action.createdAt) != ""`),
	nested(ten, "all", 4, `string(custom.amount) != ""`),
	nested(ten, "all", 4, `cidr("10.0.0.0/8").containsIP("10.0.0.1")`),
	nested(ten, "all", 4, `cidr(v0 == 0 ? "10.0.0.0/8" : "2001:db8::/32").masked().prefixLength() > 1`),
	nested(ten, "all", 4, `string(cidr("2001:db8::/32")) != ""`),
	nested(ten, "exists_one", 8, `false`),
	nested(ten, "filter", 1, `false`) + `.size() == 1 || custom.texts.filter(a, custom.texts.filter(b, false).size() == 1).size() == 1`,
	`custom.texts.exists(a, custom.texts.exists(b, a + b == "z"))`,
	`custom.texts.all(a, custom.texts.all(b, a == b))`,
	`custom.texts.map(a, custom.texts).size() == 1`,
	`custom.texts.map(a, custom.texts.map(b, a)).size() == 1`,
	`custom.texts.map(a, userAgent.split("")).size() == 1`,
	`custom.all(k, custom.all(l, custom[k] == custom[l] || true))`,
	`custom.all(k, custom.all(l, custom.all(m, true)))`,
	`custom.texts.join(userAgent).size() == 1`,
	`custom.numbers.map(n, n + 1).exists(n, custom.numbers.exists(m, m == n * 1000))`,
	`userAgent.split("").map(a, userAgent.split("")).map(a, a.join("")).size() == 1`,
	`userAgent.split("").all(a, userAgent.split(a).size() > 0)`,
	`userAgent.split("").all(a, userAgent.replace(a, "bb").size() > 0)`,
	`userAgent.split("").map(a, a + userAgent).size() == 1`,
	nested("custom.texts", "map", 8, `v0`) + `.size() == 1`,
	nested(ten, "map", 8, `[v0, v1, v2, v3]`) + `.size() == 1`,
	`true` + strings.Repeat(` && custom.texts.size() > 0`, 140),
	strings.Repeat("!", 4000) + "true",
	`custom` + strings.Repeat(`[custom.currency]`, 50) + ` == 1`,
	nested(ten, "exists", 4, `custom`+strings.Repeat(`[custom.currency]`, 20)+` == 1`),
	nested(ten, "exists", 4, `(v0 == 1 ? custom[userAgent] : custom[device.id]) == 1`),
	nested(ten, "all", 4, strings.Repeat(`v0 == 11 ? true : `, 50)+`true`),
}

// rulesOf returns the maximum number of rules of an action, all with one condition.
func rulesOf(c *Condition) []CompiledRule {
	rules := make([]CompiledRule, api.MaxRules)
	for i := range rules {
		rules[i] = CompiledRule{fmt.Sprint(i), api.OutcomeReview, c}
	}
	return rules
}

// measure returns the memory that f allocates and the processor time that it takes.
func measure(t testing.TB, f func()) (bytes uint64, took time.Duration) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := processorTime(t)
	f()
	took = processorTime(t) - start
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, took
}

// processorTime is the processor time of the process.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// slow are conditions of which the compilation is as slow as possible.
var slow = []string{
	chain("", "dyn(", 60, "1"+strings.Repeat(")", 60)+" == 1"),
	chain("", "type(", 60, "1"+strings.Repeat(")", 60)+" == int"),
	chain("true", " || custom.a < custom.b", 180, ""),
	chain("true", " || custom.a+custom.b-custom.c*custom.d<1", 95, ""),
	chain("true", " || custom.a[custom.b[custom.c]] in custom.d", 90, ""),
	chain("true", ` || [1,"a",1.0,b"",true,null,[],{}] == []`, 95, ""),
	chain("true", " || [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]==[]", 100, ""),
	chain("true", ` || {1:{1:{1:{1:{1:{1:{1:{1:1}}}}}}}}=={}`, 95, ""),
	chain("", "{1:", 60, "1"+strings.Repeat("}", 60)+" == {}"),
	chain(`[[1]]`, `.map(a, [[[[a, a]]]])`, 7, ` == []`),
	chain(`[{"a": 1}]`, `.map(a, {"a": a, "b": [a]})`, 7, `.exists(a, a == a)`),
	chain(`[{"a": 1}]`, `.map(a, {"a": a, "b": a})`, 60, `.exists(a, a == a)`),
	chain(`[custom]`, `.map(a, [a, custom, user])`, 7, ` == []`),
	chain("true", "?true:false", 300, ""),
	chain("true", "?custom.a:custom.b", 60, ""),
	chain("", "(", 60, "true"+strings.Repeat(")", 60)),
	chain("true", " || duration('1h') == duration('1h')", 110, ""),
	chain("true", " || timestamp('2026-01-01T00:00:00Z') == action.createdAt", 70, ""),
	chain("true", " || action.createdAt.getHours('Europe/Berlin')==1", 80, ""),
	chain("true", " || action.createdAt.getHours('Europe/Berln')==1", 80, ""),
	chain("true", " || ip.matches('(?i)[!-𞥂]')", 4, ""),
	chain("true", " || ip.matches('(?i)[!-𞥂]')", 100, ""),
	chain("true", ` || ip.matches('(?i)[\\pL\\pN]')`, 8, ""),
	`ip.matches('(?i)[` + strings.Repeat("!-𞥂", 500) + `]')`,
	`ip.matches('(?i)[` + strings.Repeat(`\\pL`, 900) + `]')`,
	`ip.matches('` + strings.Repeat(`x{1000}`, 500) + `')`,
	`ip.matches('` + strings.Repeat(`((a{10}){10}){10}`, 200) + `')`,
	`ip.matches('` + strings.Repeat(`(`, 900) + strings.Repeat(`)`, 900) + `')`,
	chain("true", " || ip.matches('a{245}')", 160, ""),
	chain("true", " || ip.matches('^a{245}$')", 160, ""),
	chain("[", "'a{240}',", 400, "''].exists(p, ip.matches(p))"),
	chain("[", "'10.0.0.0/8',", 300, "''].exists(p, cidr(p).containsIP(ip))"),
	strings.Repeat(")", 4000), strings.Repeat("(", 4000), strings.Repeat("[", 4000), strings.Repeat("a.", 2000), strings.Repeat("a?", 2000),
	strings.Repeat("1+", 2000), strings.Repeat("-", 4000) + "1", strings.Repeat("\"", 4001), strings.Repeat("@", 4000), strings.Repeat("f(", 2000),
	strings.Repeat("a ", 2000), strings.Repeat("a,", 2000), strings.Repeat("{a:", 1300), strings.Repeat("[a,", 1300), strings.Repeat("user.x||", 500) + "true",
	"custom" + strings.Repeat(".a", 1900) + " == 1", strings.Repeat("a && b || ", 400) + "c", nested("custom", "exists_one", 8, "true"),
	chain("true", " || [1].exists(a, true)", 170, ""), chain("[1", ", 1", 1300, "] == []"), chain("[true", " || true", 500, "] == []"),
	"has(custom" + strings.Repeat(".a", 1900) + ")",
	chain("true", " || [1].map(a, [2].map(b, [3].map(c, [a,b,c]))) == []", 70, ""),
}

// withoutDeadline returns a budget without a deadline.
func withoutDeadline() *budget {
	b := newBudget()
	b.deadline = time.Now().Add(time.Hour)
	return b
}

func TestRulesShareABudget(t *testing.T) {
	t.Parallel()
	one := compile(t, nested(ten, "all", 3, "v0 + v1 + v2 < 100"))
	b := withoutDeadline()
	decide(b, api.OutcomeAllow, []CompiledRule{{"r", api.OutcomeReview, one}}, sample(), nil)
	spent := MaxCost - b.cost
	if spent < 1000 || spent > MaxCost/4 {
		t.Fatalf("one rule costs %d", spent)
	}
	var failures []Failure
	b = withoutDeadline()
	decide(b, api.OutcomeAllow, rulesOf(one), sample(), func(f Failure) { failures = append(failures, f) })
	if want := api.MaxRules - int(MaxCost/spent); len(failures) != want {
		t.Errorf("got %d failures, want %d: all rules that the budget does not suffice for", len(failures), want)
	}
	for _, f := range failures {
		if f.Reason != CostExceeded || !f.Matched {
			t.Errorf("got %+v, want %q", f, CostExceeded)
		}
	}
	if b.cost != 0 {
		t.Errorf("%d units are left", b.cost)
	}
}

func TestMemoryExceeded(t *testing.T) {
	t.Parallel()
	c := compile(t, `userAgent.split("").map(a, userAgent.split("")).size() > 0`)
	in := worst("a")
	b := withoutDeadline()
	b.cost, b.check = 1<<40, 0
	var got Reason
	decide(b, api.OutcomeAllow, []CompiledRule{{"r", api.OutcomeReview, c}}, in, func(f Failure) { got = f.Reason })
	if got != MemoryExceeded {
		t.Errorf("got %q, want %q", got, MemoryExceeded)
	}
}

func TestTimeExceeded(t *testing.T) {
	t.Parallel()
	b := newBudget()
	b.deadline = time.Now().Add(-time.Second)
	var got []Reason
	rules := []CompiledRule{{"cheap", api.OutcomeReview, compile(t, "device.isNew")}, {"costly", api.OutcomeReview, compile(t, costly)}, {"next", api.OutcomeReview, compile(t, "true")}}
	d := decide(b, api.OutcomeAllow, rules, sample(), func(f Failure) { got = append(got, f.Reason) })
	if want := []Reason{TimeExceeded, TimeExceeded}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if d.Outcome != api.OutcomeReview {
		t.Errorf("got %s", d.Outcome)
	}
}

// Fifty usual rules stay within the budget.
func TestBudgetSufficesForUsualRules(t *testing.T) {
	t.Parallel()
	networks := make([]string, 100)
	for i := range networks {
		networks[i] = fmt.Sprintf(`"192.168.%d.0/24"`, i)
	}
	in := sample()
	in.UserAgent = strings.Repeat("Mozilla/5.0 (X11; Linux x86_64) ", 10)
	for _, condition := range []string{
		`["192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12"].exists(n, cidr(n).containsIP(ip))`,
		`userAgent.matches("(?i)bot|crawler|spider|curl|wget")`,
		`user.email.split("@")[1] in ["example.com", "example.org"] && custom.roles.exists(r, r.startsWith("adm"))`,
		`action.createdAt.getHours("Europe/Berlin") < 6 || action.createdAt.getDayOfWeek("Europe/Berlin") == 0`,
	} {
		b := withoutDeadline()
		decide(b, api.OutcomeAllow, rulesOf(compile(t, condition)), in, func(f Failure) { t.Errorf("%s: %+v", condition, f) })
		if b.cost < MaxCost/4 {
			t.Errorf("%s: %d units are left", condition, b.cost)
		}
	}
	b := withoutDeadline()
	decide(b, api.OutcomeAllow, rulesOf(compile(t, "["+strings.Join(networks, ", ")+"].exists(n, cidr(n).containsIP(ip))"))[:20], in,
		func(f Failure) { t.Errorf("100 networks: %+v", f) })
}

// FuzzDecide holds a decision with as many rules as an action may have, on
// inputs as large as they may be, to its budget. Without a condition it makes
// one from the seed.
func FuzzDecide(f *testing.F) {
	for _, condition := range slices.Concat(hostile, slow) {
		f.Add(condition, uint64(0), "a", 1.5)
	}
	for _, condition := range []string{`strings.quote(userAgent) != ""`, `userAgent.lowerAscii() != ""`, `userAgent.reverse() != ""`} {
		f.Add(nested(ten, "all", 4, condition), uint64(0), "\xcc", 1.5)
	}
	for seed := range uint64(200) {
		f.Add("", seed, "é", 3.0)
	}
	// A test depends neither on the machine's speed nor on how often the race
	// detector empties the pools of regexp.
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true"
	f.Fuzz(func(t *testing.T, condition string, seed uint64, unit string, number float64) {
		if condition == "" {
			condition = generate(seed)
		}
		var c *Condition
		var err error
		bytes, took := measure(t, func() { c, err = Compile(condition) })
		if bytes > 32<<20 || fuzzing && took > 2*time.Second {
			t.Errorf("compiling %q allocates %d bytes and takes %v", condition, bytes, took)
		}
		if err != nil {
			return
		}
		in := worst(unit)
		in.Custom["number"] = number
		rules, failures := rulesOf(c), 0
		var d Decision
		b := withoutDeadline()
		bytes, took = measure(t, func() {
			d = decide(b, api.OutcomeAllow, rules, in, func(f Failure) {
				failures++
				if f.Reason == Panicked {
					t.Errorf("%q panicked", condition)
				}
			})
		})
		// 10 ms, and twenty times as much for the counting of coverage.
		limit := uint64(64 << 20)
		if fuzzing {
			limit = 16 << 20
		}
		if bytes > limit || fuzzing && took > 200*time.Millisecond {
			t.Errorf("%q allocates %d bytes and takes %v", condition, bytes, took)
		}
		if b.cost < 0 || b.bytes < 0 {
			t.Errorf("%q overspends: %d units and %d bytes are left", condition, b.cost, b.bytes)
		}
		if failures > 0 && d.Outcome != api.OutcomeReview {
			t.Errorf("%q failed and let the action through", condition)
		}
	})
}

// BenchmarkWorstDecision measures the decisions that take longest or allocate
// most.
func BenchmarkWorstDecision(b *testing.B) {
	for i, condition := range hostile {
		c, err := Compile(condition)
		if err != nil {
			continue
		}
		rules, in := rulesOf(c), worst("a")
		b.Run(fmt.Sprint(i), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide(withoutDeadline(), api.OutcomeAllow, rules, in, nil)
			}
		})
	}
}
