package prebuilt

import (
	"fmt"
	"math"
	"strconv"
)

// Buttons have the tenant's colour itself, with black or white text on it. Links
// and focus rings on the card have a darker or lighter shade with enough
// contrast to be readable (WCAG 2.2, success criterion 1.4.3).

// readable is the minimum contrast of texts.
const readable = 4.5

// The cards of the two colour schemes, as in style.css.
var (
	lightCard = rgb{255, 255, 255}
	darkCard  = rgb{0x17, 0x1b, 0x25}
)

type rgb [3]float64 // 0 to 255

// parseHex reads six hexadecimal digits; the caller has checked them.
func parseHex(hex string) rgb {
	n, _ := strconv.ParseUint(hex, 16, 32)
	return rgb{float64(n >> 16 & 0xff), float64(n >> 8 & 0xff), float64(n & 0xff)}
}

func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(c[0])), int(math.Round(c[1])), int(math.Round(c[2])))
}

// luminance returns the relative luminance (WCAG 2.2, definitions).
func (c rgb) luminance() float64 {
	linear := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast returns the contrast ratio of two colours, 1 to 21.
func contrast(a, b rgb) float64 {
	l, m := a.luminance(), b.luminance()
	return (max(l, m) + 0.05) / (min(l, m) + 0.05)
}

// textOn returns black or white, whichever has more contrast with c. One of them
// is always readable.
func textOn(c rgb) rgb {
	black, white := rgb{0, 0, 0}, rgb{255, 255, 255}
	if contrast(c, white) >= contrast(c, black) {
		return white
	}
	return black
}

// readableOn returns the shade of c nearest to it that is readable on a ground:
// darker on a light ground, and lighter on a dark one.
func readableOn(c, ground rgb) rgb {
	end := textOn(ground)
	for i := range 101 {
		var mixed rgb
		for j := range c {
			mixed[j] = math.Round(c[j] + (end[j]-c[j])*float64(i)/100)
		}
		if contrast(mixed, ground) >= readable {
			return mixed
		}
	}
	return end
}

// accentStyle returns the stylesheet of a colour of six hexadecimal digits.
func accentStyle(hex string) string {
	c := parseHex(hex)
	rules := func(card rgb) string {
		return fmt.Sprintf(":root{--accent:%v;--on-accent:%v;--accent-text:%v}", c, textOn(c), readableOn(c, card))
	}
	return rules(lightCard) + "@media (prefers-color-scheme:dark){" + rules(darkCard) + "}\n"
}
