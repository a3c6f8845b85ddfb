package portal

import (
	"fmt"
	"html/template"
	"iter"
	"strings"
	"unicode"
)

// shown returns a text from outside, such as a user id, as HTML for the body of
// a page. A <bdi> isolates it, so that its direction does not reorder the text
// beside it; invisible characters are escaped as in plain. In an attribute,
// html/template removes the elements.
func shown(s string) template.HTML { return isolated(s, oneLine) }

// shownLines is shown for a text with line ends, tabs and indentation, in a
// <pre>.
func shownLines(s string) template.HTML { return isolated(s, manyLines) }

// A layout says which white space of a text is visible where it is shown.
type layout int

const (
	// oneLine: HTML shows single spaces between other characters only.
	oneLine layout = iota
	// manyLines: a <pre> shows spaces, tabs and line ends.
	manyLines
)

func isolated(s string, l layout) template.HTML {
	var b strings.Builder
	b.WriteString("<bdi>")
	for r, escaped := range characters(s, l) {
		if escaped {
			b.WriteString(`<span class="escaped">` + notation(r) + `</span>`)
		} else {
			b.WriteString(template.HTMLEscapeString(string(r)))
		}
	}
	b.WriteString("</bdi>")
	return template.HTML(b.String())
}

// plain returns a text from outside for a place that takes no elements, such as
// <title> and <option>. Characters that are invisible, or that change the order
// of others, are written in the form \u{202E}.
func plain(s string) string {
	var b strings.Builder
	for r, escaped := range characters(s, oneLine) {
		if escaped {
			b.WriteString(notation(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hides reports whether a text has characters that plain escapes.
func hides(s string) bool { return plain(s) != s }

// notation returns the ECMAScript escape of a code point (ECMA-262, section
// 12.9.4).
func notation(r rune) string { return fmt.Sprintf(`\u{%X}`, r) }

// characters yields each character of a text, in order, and whether it is to be
// escaped: if it is not visible by itself (controls, formats, private and
// unassigned code points, separators other than a single space, variation
// selectors, blank letters), if it is a mark without a base, or if it is the
// backslash of what looks like an escape.
func characters(s string, l layout) iter.Seq2[rune, bool] {
	return func(yield func(r rune, escaped bool) bool) {
		runes := []rune(s)
		var before rune // 0 at the beginning and after an escaped character
		for i, r := range runes {
			last := i == len(runes)-1
			var escaped bool
			switch {
			case l == manyLines && (r == '\n' || r == '\t' || r == ' '):
			case r == ' ':
				// HTML drops spaces at the edges and collapses others.
				escaped = i == 0 || last || before == ' '
			case r == '\\':
				escaped = i+2 < len(runes) && runes[i+1] == 'u' && runes[i+2] == '{'
			case unicode.Is(unicode.M, r):
				escaped = before == 0 || unicode.IsSpace(before) || blank(r)
			default:
				escaped = !unicode.IsPrint(r) || blank(r)
			}
			if !yield(r, escaped) {
				return
			}
			if before = r; escaped {
				before = 0
			}
		}
	}
}

// blank reports whether a character counts as printable in Unicode's general
// categories, but is not visible (Unicode 15, section 5.21, and U+2800).
func blank(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}
