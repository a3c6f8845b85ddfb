package qr

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	qrcode "github.com/skip2/go-qrcode"
)

const uri = "otpauth://totp/Acme:jane%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Acme&algorithm=SHA1&digits=6&period=30"

// draw returns the SVG of a text, and fails the test on an error.
func draw(t *testing.T, text string, o Options) string {
	t.Helper()
	svg, err := SVG(text, o)
	if err != nil {
		t.Fatal(err)
	}
	return svg
}

// element is an SVG element with its children.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func parse(t *testing.T, svg string) element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	var e element
	if err := d.Decode(&e); err != nil {
		t.Fatalf("not XML: %v\n%s", err, svg)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than one element: %v", err)
	}
	return e
}

var move = regexp.MustCompile(`m(-?\d+),(-?\d+)h(\d+)v1h-(\d+)z`)

// rasterize paints the path of svg, a pixel for each unit of the viewBox, and
// fails the test if anything is painted outside it or twice.
func rasterize(t *testing.T, svg string) [][]bool {
	t.Helper()
	e := parse(t, svg)
	var size, size2 int
	if _, err := fmt.Sscanf(e.attr("viewBox"), "0 0 %d %d", &size, &size2); err != nil || size != size2 {
		t.Fatalf("got viewBox %q, want a square from 0 0", e.attr("viewBox"))
	}
	pixels := make([][]bool, size)
	for i := range pixels {
		pixels[i] = make([]bool, size)
	}
	d := e.Children[2].attr("d")
	if rest := move.ReplaceAllString(d, ""); rest != "" {
		t.Fatalf("the path has more than runs: %q", rest)
	}
	x, y := 0, 0
	for _, m := range move.FindAllStringSubmatch(d, -1) {
		n := make([]int, 4)
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1])
		}
		x, y = x+n[0], y+n[1]
		if n[2] != n[3] {
			t.Fatalf("run %s is not a rectangle", m[0])
		}
		for i := range n[2] {
			if pixels[y][x+i] {
				t.Fatalf("module %d,%d is painted twice", x+i, y)
			}
			pixels[y][x+i] = true
		}
	}
	return pixels
}

func TestStructure(t *testing.T) {
	t.Parallel()
	e := parse(t, draw(t, uri, Default()))
	if got, want := e.XMLName.Space, "http://www.w3.org/2000/svg"; got != want {
		t.Errorf("got namespace %q, want %q", got, want)
	}
	for name, want := range map[string]string{
		"role": "img", "shape-rendering": "crispEdges", "width": "212", "height": "212", "viewBox": "0 0 53 53",
	} {
		if got := e.attr(name); got != want {
			t.Errorf("got %s %q, want %q", name, got, want)
		}
	}
	var names []string
	for _, c := range e.Children {
		names = append(names, c.XMLName.Local)
	}
	if got, want := strings.Join(names, " "), "title rect path"; got != want {
		t.Fatalf("got elements %q, want %q", got, want)
	}
	rect := e.Children[1]
	if got, want := rect.attr("fill")+" "+rect.attr("width")+" "+rect.attr("height"), "#fff 53 53"; got != want {
		t.Errorf("got ground %q, want %q", got, want)
	}
	if got := e.Children[2].attr("fill"); got != "#000" {
		t.Errorf("got path fill %q, want #000", got)
	}
}

func TestSVGIsAllowedByAStrictPolicy(t *testing.T) {
	t.Parallel()
	svg := draw(t, uri, Default())
	for _, bad := range []string{"style", "class", "script", "href", "on"} {
		if strings.Contains(svg, " "+bad) || strings.Contains(svg, "<"+bad) {
			t.Errorf("the SVG has %q", bad)
		}
	}
}

func TestQuietZone(t *testing.T) {
	t.Parallel()
	for _, margin := range []int{0, 1, QuietZone, 10} {
		o := Default()
		o.Margin = margin
		pixels := rasterize(t, draw(t, uri, o))
		size := len(pixels)
		first := size
		for y, row := range pixels {
			for x, dark := range row {
				if dark {
					first = min(first, x, y, size-1-x, size-1-y)
				}
			}
		}
		if first != margin {
			t.Errorf("margin %d: got a quiet zone of %d modules", margin, first)
		}
	}
}

func TestModulesAreTheLibrarys(t *testing.T) {
	t.Parallel()
	for _, level := range []Level{Low, Medium, Quartile, High} {
		code, err := qrcode.New(uri, recovery(level))
		if err != nil {
			t.Fatal(err)
		}
		want := code.Bitmap() // with the library's own quiet zone of 4
		got := rasterize(t, draw(t, uri, Options{Level: level, Margin: 4}))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("level %d: the modules differ", level)
		}
	}
}

func TestLevelsGrow(t *testing.T) {
	t.Parallel()
	last := 0
	for _, level := range []Level{Low, Medium, Quartile, High} {
		size := len(rasterize(t, draw(t, uri, Options{Level: level})))
		if size <= last {
			t.Errorf("level %d: got %d modules, want more than %d", level, size, last)
		}
		last = size
	}
}

func TestDeterminism(t *testing.T) {
	t.Parallel()
	want := draw(t, uri, Default())
	if got := draw(t, uri, Default()); got != want {
		t.Errorf("got another picture for the same text:\n%s\n%s", got, want)
	}
}

func TestWidth(t *testing.T) {
	t.Parallel()
	o := Default()
	o.Width = 300
	e := parse(t, draw(t, uri, o))
	if got := e.attr("width") + " " + e.attr("height") + " " + e.attr("viewBox"); got != "300 300 0 0 53 53" {
		t.Errorf("got %s, want 300 300 0 0 53 53", got)
	}
}

func TestTitle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ title, want string }{
		{"", DefaultTitle},
		{`Scan <me> & "go" ]]>`, `Scan <me> & "go" ]]>`},
		{"a\x00b\x1bc", "a\ufffdb\ufffdc"},
		{"a\xffb", "a\ufffdb"},
		{"日本 😀", "日本 😀"},
	} {
		o := Default()
		o.Title = test.title
		if got := parse(t, draw(t, uri, o)).Children[0].Text; got != test.want {
			t.Errorf("title %q: got %q, want %q", test.title, got, test.want)
		}
	}
}

func TestSVGDoesNotContainTheText(t *testing.T) {
	t.Parallel()
	svg := draw(t, uri, Default())
	for _, secret := range []string{"otpauth", "JBSWY3DP", "jane"} {
		if strings.Contains(svg, secret) {
			t.Errorf("the SVG holds %q", secret)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		o    Options
		want error
	}{
		{"", Default(), ErrEmpty},
		{strings.Repeat("a", 2332), Default(), ErrTooLong},
		{strings.Repeat("a", 2954), Options{Level: Low}, ErrTooLong},
		{strings.Repeat("1", 7090), Options{Level: Low}, ErrTooLong},
		{strings.Repeat("a", 10_000_000), Default(), ErrTooLong},
		{"a", Options{Margin: -1}, ErrMargin},
		{"a", Options{Margin: MaxMargin + 1}, ErrMargin},
		{"a", Options{Scale: -1}, ErrScale},
		{"a", Options{Scale: MaxScale + 1}, ErrScale},
		{"a", Options{Dark: "black"}, ErrColor},
		{"a", Options{Dark: "#12"}, ErrColor},
		{"a", Options{Light: "#12345g"}, ErrColor},
		{"a", Options{Light: `#fff" x="`}, ErrColor},
		{"a", Options{Width: -1}, ErrWidth},
		{"a", Options{Width: MaxWidth + 1}, ErrWidth},
	} {
		svg, err := SVG(test.text, test.o)
		if !errors.Is(err, test.want) || svg != "" {
			t.Errorf("%d bytes, %+v: got error %v, want %v", len(test.text), test.o, err, test.want)
		}
	}
}

// A long account reduces the error correction, unless no symbol can hold it.
func TestFit(t *testing.T) {
	t.Parallel()
	long := strings.Replace(uri, "jane", strings.Repeat("j", 2400), 1)
	for text, level := range map[string]Level{uri: Medium, long: Low} {
		got, err := Fit(text, Default())
		if err != nil {
			t.Fatal(err)
		}
		o := Default()
		o.Level = level
		if got != draw(t, text, o) {
			t.Errorf("%d bytes: not drawn at level %d", len(text), level)
		}
	}
	if _, err := Fit(strings.Repeat("a", 2954), Default()); err != ErrTooLong {
		t.Errorf("got error %v, want ErrTooLong", err)
	}
	if _, err := Fit("", Default()); err != ErrEmpty {
		t.Errorf("got error %v, want ErrEmpty", err)
	}
}

// TestCapacity draws the longest texts of ISO/IEC 18004, table 7.
func TestCapacity(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		char  string
		n     int
		level Level
	}{
		{"a", 2953, Low}, {"a", 2331, Medium}, {"a", 1663, Quartile}, {"a", 1273, High},
		{"1", 7089, Low}, {"A", 4296, Low},
	} {
		pixels := rasterize(t, draw(t, strings.Repeat(test.char, test.n), Options{Level: test.level}))
		if got, want := len(pixels), 177; got != want {
			t.Errorf("%d times %s at level %d: got %d modules, want %d", test.n, test.char, test.level, got, want)
		}
	}
}

func TestDataURL(t *testing.T) {
	t.Parallel()
	o := Default()
	o.Title = `50 % of #1 "日本" 'x' & <b>`
	svg := draw(t, uri, o)
	got := DataURL(svg)
	rest, ok := strings.CutPrefix(got, "data:image/svg+xml,")
	if !ok {
		t.Fatalf("got %.40q", got)
	}
	if i := strings.IndexFunc(rest, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("#<>\"'`\\()&?{}|^[]", r)
	}); i >= 0 {
		t.Errorf("unsafe character %q", rest[i])
	}
	if back, err := url.PathUnescape(rest); err != nil || back != svg {
		t.Errorf("the URL does not decode to the SVG (error %v)", err)
	}
}

func TestColors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ color, fill, opacity string }{
		{"", "#000", ""},
		{"#1aF", "#1aF", ""},
		{"#1aFf", "#1aF", ""},
		{"#1aF0", "#1aF", "0.000"},
		{"#123456", "#123456", ""},
		{"#123456ff", "#123456", ""},
		{"#123456FE", "#123456", "0.996"},
		{"#12345601", "#123456", "0.004"},
	} {
		e := parse(t, draw(t, "a", Options{Dark: test.color, Light: "#eee"}))
		if got := e.Children[1].attr("fill"); got != "#eee" {
			t.Errorf("%s: got ground %s", test.color, got)
		}
		if got, opacity := e.Children[2].attr("fill"), e.Children[2].attr("fill-opacity"); got != test.fill || opacity != test.opacity {
			t.Errorf("%s: got %s and opacity %q, want %s and %q", test.color, got, opacity, test.fill, test.opacity)
		}
	}
}

func TestEncodeIsWhatIsDrawn(t *testing.T) {
	t.Parallel()
	m, err := Encode(uri, High)
	if err != nil {
		t.Fatal(err)
	}
	pixels := rasterize(t, draw(t, uri, Options{Level: High}))
	if len(pixels) != m.Size || len(m.Bits) != (m.Size*m.Size+7)/8 {
		t.Fatalf("got size %d and %d bytes, want %d", m.Size, len(m.Bits), len(pixels))
	}
	for y, row := range pixels {
		for x, dark := range row {
			if m.Dark(x, y) != dark {
				t.Fatalf("module %d, %d: got dark %t", x, y, m.Dark(x, y))
			}
		}
	}
	for text, want := range map[string]error{"": ErrEmpty, strings.Repeat("a", 3000): ErrTooLong} {
		if _, err := Encode(text, Low); err != want {
			t.Errorf("%d bytes: got error %v, want %v", len(text), err, want)
		}
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		scale, width int
		want         string
	}{{0, 0, "84"}, {1, 0, "21"}, {10, 0, "210"}, {10, 99, "99"}} {
		if got := parse(t, draw(t, "a", Options{Scale: test.scale, Width: test.width})).attr("width"); got != test.want {
			t.Errorf("scale %d, width %d: got %s, want %s", test.scale, test.width, got, test.want)
		}
	}
}

func FuzzSVG(f *testing.F) {
	f.Add(uri, int(Medium), 4, 0, 0, "", "", "")
	f.Add("0123456789ABC日本\xff😀", int(High), 0, 3, 200, "#012", "#fedcba98", "<&>\x00")
	f.Add(strings.Repeat("1A a", 400), int(Low), 2, 0, 1, "#ffff", "#", "t")
	f.Fuzz(func(t *testing.T, text string, level, margin, scale, width int, dark, light, title string) {
		svg, err := SVG(text, Options{Level(level), margin, scale, width, dark, light, title})
		if err != nil {
			if text != "" && len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("the error quotes the text: %v", err)
			}
			return
		}
		rasterize(t, svg)
		DataURL(svg)
	})
}
