package rules

import (
	"errors"
	"strings"
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
		{"a large regular expression", `userAgent.matches("(a?){100}b")`, 1, 19, "exceeds limit of 250"},
		{"network", `cidr("10.0.0.0").containsIP(ip)`, 1, 6, "invalid cidr argument"},
		{"time", `user.createdAt > timestamp("today")`, 1, 28, "invalid timestamp argument"},
		{"duration", `duration("1d") < duration("1h")`, 1, 10, "invalid duration argument"},
		{"empty", ``, 0, 0, "empty"},
		{"blank", " \n", 0, 0, "empty"},
		{"not UTF-8", "\"\xff\" == ip", 0, 0, "not UTF-8"},
		{"parentheses", strings.Repeat("(", maxDepth+1) + "true" + strings.Repeat(")", maxDepth+1), 0, 0, "recursion"},
		{"a deep sum", "1" + strings.Repeat("+1", 1000) + " == 1", 0, 0, "recursion"},
		{"deep lists", strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + " == []", 0, 0, "recursion"},
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

func TestLengthIsHeldBeforeParsing(t *testing.T) {
	t.Parallel()
	fits := "true // " + strings.Repeat("x", MaxLength-len("true // "))
	if _, err := Compile(fits); err != nil {
		t.Errorf("%d bytes: %v", len(fits), err)
	}
	// Its syntax is wrong too, which nobody comes to see.
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

// FuzzCompile holds that no condition panics, that an error stands within the
// text, and that no rule that fails opens a door.
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
