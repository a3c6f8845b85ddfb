// Package qr encodes a text as a QR code (ISO/IEC 18004) and draws it as SVG.
//
// The matrix comes from github.com/skip2/go-qrcode. This package draws the
// picture, so that it needs no image encoder, scans on a dark page and is allowed
// by a strict Content-Security-Policy. It runs in the browser module and in
// programs.
//
// The text is often a secret (an otpauth:// URI): neither an error nor the
// title of the picture contains it.
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

// QuietZone is the margin that the standard requires, in modules
// (ISO/IEC 18004, 5.3.8).
const QuietZone = 4

// DefaultTitle is the text for screen readers if Options.Title is empty.
const DefaultTitle = "QR code for your authenticator app"

// Limits of the numbers in Options.
const (
	MaxMargin = 100    // modules
	MaxScale  = 100    // CSS pixels
	MaxWidth  = 100000 // CSS pixels
)

// defaultScale is the width of a module in CSS pixels if neither Scale nor Width
// is set. The picture of an otpauth:// URI is then about 200 pixels wide.
const defaultScale = 4

// MaxText is the maximum length of a text in bytes: version 40-L holds
// 7,089 digits (ISO/IEC 18004, table 7). Longer texts are refused before the
// encoder spends time on them.
const MaxText = 7089

// Errors of Encode and SVG.
var (
	ErrEmpty   = errors.New("text is empty")
	ErrTooLong = errors.New("text is too long for a QR code at this error correction level")
	ErrMargin  = errors.New("margin must be a whole number of modules from 0 to " + strconv.Itoa(MaxMargin))
	ErrScale   = errors.New("scale must be a whole number of pixels from 1 to " + strconv.Itoa(MaxScale))
	ErrColor   = errors.New(`a color must be hexadecimal, such as "#000", "#000000" or "#000000ff"`)
	ErrWidth   = errors.New("width must be a whole number of pixels from 1 to " + strconv.Itoa(MaxWidth))
)

// Options are the options of a picture. Start from Default: the zero value has no
// margin.
type Options struct {
	// Level is the error correction level.
	Level Level
	// Margin is the width of the quiet zone in modules, 0 to MaxMargin. Less
	// than QuietZone is for pictures on a white background.
	Margin int
	// Scale is the width of a module in CSS pixels, 1 to MaxScale. 0 means 4.
	Scale int
	// Width is the width and height of the picture in CSS pixels, 1 to
	// MaxWidth; if 0, it follows from Scale.
	Width int
	// Dark and Light are the colors of the modules and of the background, as
	// "#rgb", "#rgba", "#rrggbb" or "#rrggbbaa"; "" means black and white. Many
	// scanners do not read modules that are lighter than the background.
	Dark, Light string
	// Title is the picture's text for screen readers; "" means DefaultTitle. It
	// must not contain the encoded text.
	Title string
}

// Default returns the options of a picture that every scanner reads.
func Default() Options {
	return Options{Level: Medium, Margin: QuietZone}
}

// A Matrix is a symbol without its quiet zone.
type Matrix struct {
	// Size is its width and height in modules, 21 to 177.
	Size int
	// Bits are the modules, row by row with no gap between rows, eight a byte
	// from the high bit down: 1 is dark.
	Bits []byte
}

// Dark reports whether the module in column x of row y is dark.
func (m Matrix) Dark(x, y int) bool {
	i := y*m.Size + x
	return m.Bits[i/8]&(0x80>>(i%8)) != 0
}

// Encode returns the symbol of text. The error is ErrEmpty or ErrTooLong.
func Encode(text string, l Level) (Matrix, error) {
	if text == "" {
		return Matrix{}, ErrEmpty
	}
	if len(text) > MaxText {
		return Matrix{}, ErrTooLong
	}
	code, err := qrcode.New(text, recovery(l))
	if err != nil {
		return Matrix{}, ErrTooLong // the library has no other error for a text that is not empty
	}
	code.DisableBorder = true
	rows := code.Bitmap()
	m := Matrix{Size: len(rows), Bits: make([]byte, (len(rows)*len(rows)+7)/8)}
	for y, row := range rows {
		for x, dark := range row {
			if dark {
				i := y*m.Size + x
				m.Bits[i/8] |= 0x80 >> (i % 8)
			}
		}
	}
	return m, nil
}

// Check returns the error of the first option that is out of its range.
func (o Options) Check() error {
	switch {
	case o.Margin < 0 || o.Margin > MaxMargin:
		return ErrMargin
	case o.Scale < 0 || o.Scale > MaxScale:
		return ErrScale
	case o.Width < 0 || o.Width > MaxWidth:
		return ErrWidth
	case o.Dark != "" && !isColor(o.Dark) || o.Light != "" && !isColor(o.Light):
		return ErrColor
	}
	return nil
}

// SVG draws text as one SVG element: a path of black modules on an opaque
// white background that includes the quiet zone. The same text and options result
// in the same bytes. The errors are the Err variables of this package.
func SVG(text string, o Options) (string, error) {
	if err := o.Check(); err != nil {
		return "", err
	}
	matrix, err := Encode(text, o.Level)
	if err != nil {
		return "", err
	}
	if o.Scale == 0 {
		o.Scale = defaultScale
	}
	if o.Width == 0 {
		o.Width = o.Scale * (matrix.Size + 2*o.Margin)
	}
	if o.Title == "" {
		o.Title = DefaultTitle
	}
	if o.Dark == "" {
		o.Dark = "#000"
	}
	if o.Light == "" {
		o.Light = "#fff"
	}
	size, width := strconv.Itoa(matrix.Size+2*o.Margin), strconv.Itoa(o.Width)
	// Presentation attributes, never style: a Content-Security-Policy
	// without 'unsafe-inline' drops style attributes.
	return `<svg xmlns="http://www.w3.org/2000/svg" width="` + width + `" height="` + width +
		`" viewBox="0 0 ` + size + ` ` + size + `" shape-rendering="crispEdges" role="img">` +
		`<title>` + escape(o.Title) + `</title>` +
		`<rect width="` + size + `" height="` + size + `"` + fill(o.Light) + `/>` +
		`<path` + fill(o.Dark) + ` d="` + path(matrix, o.Margin) + `"/></svg>`, nil
}

// isColor reports whether s is "#" with 3, 4, 6 or 8 hexadecimal digits.
func isColor(s string) bool {
	switch len(s) {
	case 4, 5, 7, 9:
	default:
		return false
	}
	for i := 1; i < len(s); i++ {
		if _, ok := digit(s[i]); !ok {
			return false
		}
	}
	return s[0] == '#'
}

// digit returns the value of a hexadecimal digit.
func digit(c byte) (int, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10, true
	}
	return 0, false
}

// fill returns the attributes of a color. The alpha is an attribute of its own,
// since SVG 1.1 has none in a color and some programs support only that.
func fill(color string) string {
	rgb, alpha := color, 255
	switch len(color) {
	case 5:
		rgb = color[:4]
		a, _ := digit(color[4])
		alpha = a * 0x11
	case 9:
		rgb = color[:7]
		high, _ := digit(color[7])
		low, _ := digit(color[8])
		alpha = high<<4 | low
	}
	attributes := ` fill="` + rgb + `"`
	if alpha < 255 {
		// In thousandths, without formatting a float, which adds some kilobytes to
		// the browser module.
		thousandths := strconv.Itoa(1000 + (alpha*1000+127)/255)
		attributes += ` fill-opacity="0.` + thousandths[1:] + `"`
	}
	return attributes
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

// recovery returns the library's name of a level.
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
func path(matrix Matrix, margin int) string {
	var b strings.Builder
	penX, penY := 0, 0
	for y := range matrix.Size {
		for x := 0; x < matrix.Size; x++ {
			if !matrix.Dark(x, y) {
				continue
			}
			run := 1
			for x+run < matrix.Size && matrix.Dark(x+run, y) {
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

// escape makes s safe as XML character data. Characters that XML 1.0 does
// not allow (section 2.2: most control characters) become U+FFFD.
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

// DataURL returns svg as a data: URL (RFC 2397) that is safe in an attribute, in
// CSS and in srcset. It is percent-encoded, not base64, so that the URL stays
// readable and decodeURIComponent returns the SVG. All characters except RFC
// 3986's unreserved ones and four harmless ones are encoded: a "#" would end it.
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
