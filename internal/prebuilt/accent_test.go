package prebuilt

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestContrast(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want float64
	}{{"000000", "ffffff", 21}, {"ffffff", "ffffff", 1}, {"777777", "ffffff", 4.48}, {"0000ff", "ffffff", 8.59}} {
		if got := contrast(parseHex(tt.a), parseHex(tt.b)); math.Abs(got-tt.want) > 0.01 {
			t.Errorf("%s on %s: got %.2f, want %.2f", tt.a, tt.b, got, tt.want)
		}
	}
}

// A sample of all colours is readable in both colour schemes.
func TestEveryAccentIsReadable(t *testing.T) {
	for n := 0; n < 1<<24; n += 0x000d31 {
		c := parseHex(fmt.Sprintf("%06x", n))
		if got := contrast(c, textOn(c)); got < readable {
			t.Fatalf("texts on %v: contrast %.2f", c, got)
		}
		for _, card := range []rgb{lightCard, darkCard} {
			if got := contrast(readableOn(c, card), card); got < readable {
				t.Fatalf("%v as text on %v: contrast %.2f", c, card, got)
			}
		}
	}
}

func TestAccentStyle(t *testing.T) {
	if got, want := accentStyle("1a6b54"), ":root{--accent:#1a6b54;--on-accent:#ffffff;--accent-text:#1a6b54}"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := accentStyle("ffffff"), "--accent:#ffffff;--on-accent:#000000;--accent-text:#7"; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}
