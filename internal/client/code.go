package client

import (
	"strings"
	"unicode"
)

// Codes have 6 or 8 digits, depending on the server's settings. Those of 7 are
// left to the server.
const (
	minDigits = 6
	maxDigits = 8
)

// cleanCode returns the digits of a code as people type and paste it: without
// spaces, dashes and invisible marks, and with the decimal digits of every
// script converted to ASCII. It returns "" if the result does not have 6 to 8
// digits.
func cleanCode(code string) string {
	var b strings.Builder
	for _, r := range code {
		switch {
		case '0' <= r && r <= '9':
			b.WriteByte(byte(r))
		case isFiller(r):
		default:
			d, ok := decimal(r)
			if !ok {
				return ""
			}
			b.WriteByte(d)
		}
		if b.Len() > maxDigits {
			return ""
		}
	}
	if b.Len() < minDigits {
		return ""
	}
	return b.String()
}

// isFiller reports whether r is a space, a dash (or the minus sign U+2212, which
// is not among Unicode's dashes) or an invisible mark, such as those that phones
// add around a copied number.
func isFiller(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf) || r == '\u2212'
}

// decimal returns the ASCII digit for a decimal digit of any script. The
// characters of category Nd come in runs from zero to nine, which Unicode
// guarantees (section 4.6 of the standard).
func decimal(r rune) (byte, bool) {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + byte((r-rune(t.Lo))%10), true
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return '0' + byte((r-rune(t.Lo))%10), true
		}
	}
	return 0, false
}
