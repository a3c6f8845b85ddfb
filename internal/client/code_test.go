package client

import (
	"testing"
	"unicode"
)

func TestCleanCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ code, want string }{
		{"123456", "123456"},
		{"1234567", "1234567"},
		{"12345678", "12345678"},
		{"000000", "000000"},
		{" 123 456\n", "123456"},
		{"123-456", "123456"},
		{"123\u2013456", "123456"},             // en dash
		{"123\u2212456", "123456"},             // minus sign
		{"123\u00a0456", "123456"},             // no-break space
		{"123\u2009456", "123456"},             // thin space
		{"\u200e123456\u200f", "123456"},       // direction marks
		{"\ufeff123\u200b456", "123456"},       // byte order mark, zero-width space
		{"\u202a123456\u202c", "123456"},       // embedding, as phones copy numbers
		{"１２３４５６", "123456"},                   // full width
		{"١٢٣٤٥٦", "123456"},                   // Arabic-Indic
		{"۱۲۳۴۵۶", "123456"},                   // Persian
		{"१२३४५६", "123456"},                   // Devanagari
		{"\U0001d7ce\U0001d7d72345", "092345"}, // mathematical bold
		{"", ""},
		{"12345", ""},
		{"123456789", ""},
		{"12345a", ""},
		{"1e5000", ""},
		{"123.456", ""},
		{"+123456", ""},
		{"①②③④⑤⑥", ""}, // numbers, but not decimal digits
		{"²²²²²²", ""},
		{"\xff123456", ""},
	} {
		if got := cleanCode(test.code); got != test.want {
			t.Errorf("cleanCode(%q): got %q, want %q", test.code, got, test.want)
		}
	}
}

// TestDecimalRuns checks what decimal relies on: the ranges of category Nd are
// whole runs from zero to nine.
func TestDecimalRuns(t *testing.T) {
	t.Parallel()
	for _, r := range unicode.Nd.R16 {
		if n := r.Hi - r.Lo + 1; r.Stride != 1 || n%10 != 0 {
			t.Errorf("range %U has %d characters", r.Lo, n)
		}
	}
	for _, r := range unicode.Nd.R32 {
		if n := r.Hi - r.Lo + 1; r.Stride != 1 || n%10 != 0 {
			t.Errorf("range %U has %d characters", r.Lo, n)
		}
	}
}

func FuzzCleanCode(f *testing.F) {
	f.Add("123 456")
	f.Add("１２３-４５６")
	f.Add("\xff\u202e12345678")
	f.Fuzz(func(t *testing.T, code string) {
		got := cleanCode(code)
		if got == "" {
			return
		}
		if len(got) < 6 || len(got) > 8 {
			t.Errorf("cleanCode(%q): got %d digits", code, len(got))
		}
		for _, c := range got {
			if c < '0' || c > '9' {
				t.Errorf("cleanCode(%q): got %q", code, got)
			}
		}
		if again := cleanCode(got); again != got {
			t.Errorf("cleanCode(%q): got %q, want it unchanged", got, again)
		}
	})
}
