// Package qr draws a text as a QR code (ISO/IEC 18004) in SVG.
//
// The matrix comes from github.com/skip2/go-qrcode; the picture is drawn here,
// so that it needs no image encoder, scans on a dark page and passes a strict
// Content-Security-Policy. It runs in the browser module and anywhere else.
//
// The text is often a secret (an otpauth:// URI): neither an error nor the
// title of the picture ever quotes it.
package qr

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	qrcode "github.com/skip2/go-qrcode"
)

// A Level is how much of a symbol may be damaged before it stops scanning
// (ISO/IEC 18004, 6.5.1). More recovery makes a larger symbol.
type Level int

// The four levels, with the share of codewords that each can recover.
const (
	Medium   Level = iota // about 15 %
	Low                   // about 7 %
	Quartile              // about 25 %
	High                  // about 30 %
)

// QuietZone is the margin that the standard asks for, in modules
// (ISO/IEC 18004, 5.3.8).
const QuietZone = 4

// DefaultTitle is read out by screen readers where no title is given.
const DefaultTitle = "QR code for your authenticator app"

// Limits of the numbers in Options.
const (
	MaxMargin = 100    // modules
	MaxWidth  = 100000 // CSS pixels
)

// modulePixels is the width of a module where no width is given, in CSS
// pixels: an otpauth:// URI comes out at about 200.
const modulePixels = 4

// maxText is the length that no symbol can hold, in bytes: version 40-L holds
// 7,089 digits (ISO/IEC 18004, table 7). Longer texts are refused before the
// encoder spends time on them.
const maxText = 7089

// Errors of SVG.
var (
	ErrEmpty   = errors.New("text is empty")
	ErrTooLong = errors.New("text is too long for a QR code at this error correction level")
	ErrMargin  = errors.New("margin must be a whole number of modules from 0 to " + strconv.Itoa(MaxMargin))
	ErrWidth   = errors.New("width must be a whole number of pixels from 1 to " + strconv.Itoa(MaxWidth))
)

// Options say how to draw. Start from Default; the zero value has no margin.
type Options struct {
	// Level is the error correction level.
	Level Level
	// Margin is the width of the quiet zone in modules, 0 to MaxMargin. Less
	// than QuietZone is for pictures that stand on white anyway.
	Margin int
	// Width is the width and height of the picture in CSS pixels, 1 to
	// MaxWidth; 0 gives every module 4 pixels.
	Width int
	// Title is the picture's text for screen readers; "" is DefaultTitle. It
	// must not hold the text.
	Title string
}

// Default gives the options of a picture that scans everywhere.
func Default() Options {
	return Options{Level: Medium, Margin: QuietZone}
}

// SVG draws text as one SVG element: a path of black modules on an opaque
// white ground that includes the quiet zone. The same text and options give
// the same bytes. The errors are the Err variables of this package.
func SVG(text string, o Options) (string, error) {
	switch {
	case text == "":
		return "", ErrEmpty
	case len(text) > maxText:
		return "", ErrTooLong
	case o.Margin < 0 || o.Margin > MaxMargin:
		return "", ErrMargin
	case o.Width < 0 || o.Width > MaxWidth:
		return "", ErrWidth
	}
	code, err := qrcode.New(text, recovery(o.Level))
	if err != nil {
		return "", ErrTooLong // the text is not empty: the library has no other error
	}
	code.DisableBorder = true
	matrix := code.Bitmap()

	size := strconv.Itoa(len(matrix) + 2*o.Margin)
	width := strconv.Itoa(o.Width)
	if o.Width == 0 {
		width = strconv.Itoa(modulePixels * (len(matrix) + 2*o.Margin))
	}
	if o.Title == "" {
		o.Title = DefaultTitle
	}
	// Presentation attributes, never style: a Content-Security-Policy
	// without 'unsafe-inline' drops style attributes.
	return `<svg xmlns="http://www.w3.org/2000/svg" width="` + width + `" height="` + width +
		`" viewBox="0 0 ` + size + ` ` + size + `" shape-rendering="crispEdges" role="img">` +
		`<title>` + escape(o.Title) + `</title>` +
		`<rect width="` + size + `" height="` + size + `" fill="#fff"/>` +
		`<path fill="#000" d="` + path(matrix, o.Margin) + `"/></svg>`, nil
}

// Fit is SVG, but a text that is too long for o.Level is drawn at Low, the
// level that holds most: up to 2,953 bytes instead of Medium's 2,331
// (ISO/IEC 18004, table 7).
func Fit(text string, o Options) (string, error) {
	svg, err := SVG(text, o)
	if err == ErrTooLong && o.Level != Low {
		o.Level = Low
		svg, err = SVG(text, o)
	}
	return svg, err
}

// recovery gives the library's name of a level.
func recovery(l Level) qrcode.RecoveryLevel {
	switch l {
	case Low:
		return qrcode.Low
	case Quartile:
		return qrcode.High
	case High:
		return qrcode.Highest
	}
	return qrcode.Medium
}

// path draws each run of dark modules in a row as one closed rectangle. After
// z the pen is back where the rectangle began, so each m is relative to the
// start of the run before it.
func path(matrix [][]bool, margin int) string {
	var b strings.Builder
	penX, penY := 0, 0
	for y, row := range matrix {
		for x := 0; x < len(row); x++ {
			if !row[x] {
				continue
			}
			run := 1
			for x+run < len(row) && row[x+run] {
				run++
			}
			w := strconv.Itoa(run)
			b.WriteString("m" + strconv.Itoa(x+margin-penX) + "," + strconv.Itoa(y+margin-penY) +
				"h" + w + "v1h-" + w + "z")
			penX, penY = x+margin, y+margin
			x += run
		}
	}
	return b.String()
}

// escape makes s safe as XML character data. What XML 1.0 cannot carry at all
// (section 2.2: most control characters) becomes U+FFFD.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0xfffe, r == 0xffff:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// DataURL gives svg as a data: URL (RFC 2397) that is safe in an attribute, in
// CSS and in srcset. Percent-encoding, not base64: the URL stays readable, and
// decodeURIComponent gives the SVG back. All but RFC 3986's unreserved
// characters and four harmless ones is encoded, so that no "#" ends it early.
func DataURL(svg string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString("data:image/svg+xml,")
	for i := 0; i < len(svg); i++ {
		c := svg[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~',
			c == '/', c == ':', c == '=', c == ',':
			b.WriteByte(c)
		default:
			b.WriteString("%" + hex[c>>4:c>>4+1] + hex[c&15:c&15+1])
		}
	}
	return b.String()
}
