package prebuilt

import (
	"fmt"
	"math"
	"strconv"
)

// A tenant's colour is taken for buttons as it is, with black or white on it;
// for links and rings on the card it is made as dark or as light as reading
// asks for. Contrast is that of WCAG 2.2, success criterion 1.4.3.

// readable is the contrast of texts.
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

// luminance is the relative luminance (WCAG 2.2, definitions).
func (c rgb) luminance() float64 {
	linear := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is from 1 to 21.
func contrast(a, b rgb) float64 {
	l, m := a.luminance(), b.luminance()
	return (max(l, m) + 0.05) / (min(l, m) + 0.05)
}

// on is the colour of texts on c: one of the two is always readable.
func on(c rgb) rgb {
	black, white := rgb{0, 0, 0}, rgb{255, 255, 255}
	if contrast(c, white) >= contrast(c, black) {
		return white
	}
	return black
}

// against moves c towards black on a light ground, and towards white on a dark
// one, until it can be read there.
func against(c, ground rgb) rgb {
	end := on(ground)
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

// accentStyle is the stylesheet of a colour of six hexadecimal digits.
func accentStyle(hex string) string {
	c := parseHex(hex)
	rules := func(card rgb) string {
		return fmt.Sprintf(":root{--accent:%v;--on-accent:%v;--accent-text:%v}", c, on(c), against(c, card))
	}
	return rules(lightCard) + "@media (prefers-color-scheme:dark){" + rules(darkCard) + "}\n"
}
