package rules

import (
	"errors"
	"fmt"
	"go/build"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, condition string
		line, column    int
		message         string
	}{
		{"unknown name", `foo == 1`, 1, 1, "undeclared reference to 'foo'"},
		{"unknown field", `user.emial == ""`, 1, 5, "undefined field 'emial'"},
		{"second line", "device.isNew ||\n  bogus(1)", 2, 8, "undeclared reference to 'bogus'"},
		{"wrong type", `user.email > 1`, 1, 12, "no matching overload"},
		{"the column counts characters", `"日本" == 1`, 1, 6, "no matching overload"},
		{"the first of two", "foo &&\nbar", 1, 1, "'foo'"},
		{"syntax", `user.isEnrolled &&`, 1, 19, "Syntax error"},
		{"unclosed", `[1, 2`, 1, 6, "Syntax error"},
		{"not a boolean", `user.email`, 1, 1, "must be a boolean, not string"},
		{"perhaps a boolean", `custom.vip`, 1, 1, "must be a boolean, not dyn"},
		{"regular expression", `userAgent.matches("[")`, 1, 19, "invalid matches argument"},
		{"regular expression of the function", `matches(userAgent, "[")`, 1, 20, "invalid matches argument"},
		{"regular expression in a list", `["a", "["].exists(p, userAgent.matches(p))`, 1, 7, "invalid matches argument"},
		{"a large regular expression", `userAgent.matches("(a?){100}b")`, 1, 19, "exceeds limit of 250"},
		{"a huge regular expression", `userAgent.matches("` + strings.Repeat("x{1000}", 500) + `")`, 1, 19, "exceeds limit of 250"},
		{"many regular expressions", `userAgent.matches("a{240}")` + strings.Repeat(` || userAgent.matches("a{240}")`, 4), 1, 143, "exceeds limit of 1000"},
		{"many Unicode classes", `userAgent.matches(r"` + strings.Repeat(`\pL`, 9) + `")`, 1, 19, "more than 8 Unicode classes"},
		{"many Unicode ranges", `userAgent.matches("(?i)[а-я][а-я][а-я]")`, 1, 19, "more than 8 Unicode classes"},
		{"regular expression of the input", `userAgent.matches(custom.pattern)`, 1, 25, "must be a literal; join alternatives"},
		{"regular expression that is made", `userAgent.matches("a" + "b")`, 1, 23, "must be a literal"},
		{"network", `cidr("10.0.0.0").containsIP(ip)`, 1, 6, `invalid cidr argument: it must be a network such as "10.0.0.0/8"`},
		{"network in a list", `["10.0.0.0/8", "10.0.0.0/33"].exists(n, cidr(n).containsIP(ip))`, 1, 16, "invalid cidr argument"},
		{"network as an argument", `cidr("10.0.0.0/8").containsCIDR("10.0.0.0/33")`, 1, 33, "invalid containsCIDR argument"},
		{"network as a question", `isCIDR("10.0.0.0/33")`, 1, 8, "invalid isCIDR argument"},
		{"address", `ip("192.0.2.256").isLoopback()`, 1, 4, `invalid ip argument: it must be an IP address such as "192.0.2.1"`},
		{"address as an argument", `cidr("10.0.0.0/8").containsIP("10.0.0.256")`, 1, 31, "invalid containsIP argument"},
		{"address as a question", `isIP("192.0.2.256")`, 1, 6, "invalid isIP argument"},
		{"IPv4-mapped address", `cidr("10.0.0.0/8").containsIP("::ffff:10.0.0.1")`, 1, 31, "invalid containsIP argument"},
		{"time zone", "true &&\n action.createdAt.getHours(\"Europe/Berln\") > 1", 2, 28, `invalid getHours argument: it must be a time zone such as "Europe/Berlin" or "+02:00"`},
		{"time zone of the machine", `action.createdAt.getDayOfWeek("Local") > 1`, 1, 31, "invalid getDayOfWeek argument"},
		{"time zone in lower case", `action.createdAt.getDate("europe/berlin") > 1`, 1, 26, "invalid getDate argument"},
		{"offset", `action.createdAt.getMinutes("+25:00") > 1`, 1, 29, "invalid getMinutes argument"},
		{"number", `int("1O") == 1`, 1, 5, "invalid int argument"},
		{"decimal", `double("1,5") == 1.5`, 1, 8, "invalid double argument"},
		{"value of a type", `User{id: "u1"} == user`, 1, 5, "cannot make a value of type User"},
		{"format", `"%s".format([ip]) == ""`, 1, 12, "the function format is not available"},
		{"deep macros", nested("[1]", "all", maxLoops+1, "true"), 1, 104, "macros such as exists nest deeper than 8"},
		{"chained macros", `[1]` + strings.Repeat(`.map(a, a)`, maxLoops+1) + ` == []`, 1, 8, "macros such as exists nest deeper than 8"},
		{"deep lists and maps", `[[[[{"a": [[[[1]]]]}]]]] == []`, 1, 14, "lists and maps nest deeper than 8"},
		{"time", `user.createdAt > timestamp("today")`, 1, 28, "invalid timestamp argument"},
		{"duration", `duration("1d") < duration("1h")`, 1, 10, "invalid duration argument"},
		{"empty", ``, 0, 0, "empty"},
		{"blank", " \n", 0, 0, "empty"},
		{"not UTF-8", "\"\xff\" == ip", 0, 0, "not UTF-8"},
		{"parentheses", strings.Repeat("(", maxDepth+1) + "true" + strings.Repeat(")", maxDepth+1), 0, 0, "recursion"},
		{"a deep sum", "1" + strings.Repeat("+1", 1000) + " == 1", 0, 0, "recursion"},
		{"very deep lists", strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + " == []", 0, 0, "recursion"},
	} {
		c, err := Compile(tt.condition)
		var got *Error
		if !errors.As(err, &got) || c != nil {
			t.Errorf("%s: got %v, %v, want an *Error", tt.name, c, err)
			continue
		}
		if got.Line != tt.line || got.Column != tt.column || !strings.Contains(got.Message, tt.message) {
			t.Errorf("%s: got %d:%d %q, want %d:%d %q", tt.name, got.Line, got.Column, got.Message, tt.line, tt.column, tt.message)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	if got, want := (&Error{Line: 2, Column: 3, Message: "m"}).Error(), "line 2, column 3: m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&Error{Message: "m"}).Error(), "m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLengthIsCheckedBeforeParsing(t *testing.T) {
	t.Parallel()
	fits := "true // " + strings.Repeat("x", MaxLength-len("true // "))
	if _, err := Compile(fits); err != nil {
		t.Errorf("%d bytes: %v", len(fits), err)
	}
	// Its syntax is wrong too, but it is not parsed.
	_, err := Compile(strings.Repeat("(", MaxLength+1))
	if err == nil || !strings.Contains(err.Error(), "longer than 4096 bytes") {
		t.Errorf("%d bytes: got %v", MaxLength+1, err)
	}
}

func TestLongListsAndChainsCompile(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{
		`user.email in [` + strings.Repeat(`"somebody@example.com", `, 150) + `""]`,
		strings.Repeat(`user.id == "x" || `, 200) + `true`,
		strings.Repeat("!", 4000) + "true",
	} {
		if _, err := Compile(condition); err != nil {
			t.Errorf("%.40s: %v", condition, err)
		}
	}
}

func TestErrorQuotesNoLiteral(t *testing.T) {
	t.Parallel()
	for _, format := range []string{
		`cidr(%q).containsIP(ip)`, `ip(%q).isLoopback()`, `isIP(%q)`, `cidr("10.0.0.0/8").containsIP(%q)`, `duration(%q) > duration("1h")`,
		`timestamp(%q) > action.createdAt`, `action.createdAt.getHours(%q) == 1`, `userAgent.matches(%q)`, `int(%q) == 1`,
	} {
		_, err := Compile(fmt.Sprintf(format, "(sentinel"))
		if err == nil || strings.Contains(err.Error(), "sentinel") {
			t.Errorf("%s: got %v", format, err)
		}
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "Pacific/Auckland", "America/Argentina/Buenos_Aires", "UTC", "", "+05:30", "-03:00"} {
		compile(t, fmt.Sprintf(`action.createdAt.getHours(%q) == 1`, zone))
	}
}

// The host may have no zone files.
func TestZonesAreEmbedded(t *testing.T) {
	t.Parallel()
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(p.Imports, "time/tzdata") {
		t.Errorf("got imports %q, want time/tzdata among them", p.Imports)
	}
}

// Every function of the environment can be called, or is excluded on purpose.
func TestFunctionTable(t *testing.T) {
	t.Parallel()
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"format": true, "in": true, "_in_": true, "__not_strictly_false__": true} // the last three are older names
	for name := range env.Functions() {
		if _, ok := functionTable[name]; ok == left[name] {
			t.Errorf("%s: in the table %v, left out on purpose %v", name, ok, left[name])
		}
	}
	for name := range functionTable {
		if env.Functions()[name] == nil {
			t.Errorf("%s: not a function of the environment", name)
		}
	}
}

// FuzzCompile holds that no condition panics, that an error stands within the
// text, and that rules fail closed.
func FuzzCompile(f *testing.F) {
	f.Fuzz(func(t *testing.T, condition, text string, number float64) {
		c, err := Compile(condition)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("got %#v, want an *Error", err)
			}
			lines := strings.Split(condition, "\n")
			if e.Line < 0 || e.Line > len(lines) {
				t.Fatalf("line %d of %d", e.Line, len(lines))
			}
			if e.Line > 0 && (e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1) {
				t.Fatalf("column %d of %q", e.Column, lines[e.Line-1])
			}
			return
		}
		in := sample()
		in.IP, in.UserAgent = text, text
		in.Custom = map[string]any{"text": text, "number": number, text: true}
		failed := false
		d := Decide(api.OutcomeAllow, []CompiledRule{{"r", api.OutcomeBlock, c}}, in, func(f Failure) {
			failed = true
			if f.Reason == Panicked {
				t.Errorf("%q panicked", condition)
			}
		})
		if failed && d.Outcome != api.OutcomeBlock {
			t.Errorf("%q failed and let the action through", condition)
		}
		d = Decide(api.OutcomeBlock, []CompiledRule{{"r", api.OutcomeAllow, c}}, in, nil)
		if failed && d.Outcome != api.OutcomeBlock {
			t.Errorf("%q failed and let the action through", condition)
		}
	})
}

// cel-go creates what checks share in a new environment. The race detector finds
// faults.
func TestConcurrentChecksInANewEnvironment(t *testing.T) {
	t.Parallel()
	if _, err := environment(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		env, err := newEnvironment()
		if err != nil {
			t.Fatal(err)
		}
		start := make(chan struct{})
		var done sync.WaitGroup
		for _, condition := range []string{"unknown", "[1].exists(x, x == 1)", "usr.isEnrolled", "[[1]].all(x, x.all(y, y > 0))"} {
			parsed, issues := env.Parse(condition)
			if issues.Err() != nil {
				t.Fatal(issues.Err())
			}
			done.Go(func() {
				<-start
				env.Check(parsed)
			})
		}
		close(start)
		done.Wait()
	}
}
