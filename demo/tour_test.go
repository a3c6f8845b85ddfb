package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/daemon"
	"github.com/authsignal-wasm/sdk/internal/rules"
)

// screen draws what a terminal of a ground and an ink shows of a text: each
// character is two squares of 4 pixels, one above the other. It knows what a QR
// code needs: the 6×6×6 cube of colors (of xterm's 256, 16 is black and 231 white), the
// reset, and four characters.
func screen(t *testing.T, text string, ground, ink color.Gray) image.Image {
	t.Helper()
	const side, margin = 4, 40
	palette := map[int]color.Gray{16: {0}, 231: {255}}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	width := 0
	for _, line := range lines {
		width = max(width, len([]rune(line)))
	}
	img := image.NewGray(image.Rect(0, 0, width*side+2*margin, 2*len(lines)*side+2*margin))
	for i := range img.Pix {
		img.Pix[i] = ground.Y
	}
	square := func(x, y int, c color.Gray) {
		for i := range side * side {
			img.SetGray(margin+x*side+i%side, margin+y*side+i/side, c)
		}
	}
	escapes := regexp.MustCompile(`^\x1b\[([\d;]*)m`)
	for row, line := range lines {
		fore, back := ink, ground
		for x := 0; line != ""; {
			if m := escapes.FindStringSubmatch(line); m != nil {
				line = line[len(m[0]):]
				var colors [2]int
				if _, err := fmt.Sscanf(m[1], "38;5;%d;48;5;%d", &colors[0], &colors[1]); err == nil {
					fore, back = palette[colors[0]], palette[colors[1]]
				} else if m[1] == "0" {
					fore, back = ink, ground
				} else {
					t.Fatalf("an escape sequence that no QR code needs: %q", m[0])
				}
				continue
			}
			r := []rune(line)[0]
			line = line[len(string(r)):]
			upper, lower, known := back, back, true
			switch r {
			case '▀':
				upper = fore
			case '▄':
				lower = fore
			case '█':
				upper, lower = fore, fore
			default:
				known = r == ' '
			}
			if !known {
				t.Fatalf("row %d has the character %q", row, r)
			}
			square(x, 2*row, upper)
			square(x, 2*row+1, lower)
			x++
		}
	}
	return img
}

// zbar is a decoder of another maker.
func zbar(t *testing.T, img image.Image) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "zbarimg", "--raw", "--quiet", "-")
	cmd.Stdin = &b
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zbarimg (Debian package zbar-tools) reads no code: %v", err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func TestTerminalQRScansOnDarkAndLightTerminals(t *testing.T) {
	for _, text := range []string{
		"http://10.0.0.2:3000", "http://192.168.178.123:65535", "http://[fd00:1234:5678:9abc:def0:1234:5678:9abc]:3000",
		"http://a-machine-with-a-long-name-of-its-own.local:3000",
	} {
		code, err := terminalQR(text)
		if err != nil {
			t.Fatal(err)
		}
		for name, colors := range map[string][2]color.Gray{"dark": {{0}, {255}}, "light": {{255}, {0}}, "gray": {{128}, {128}}} {
			if got := zbar(t, screen(t, code, colors[0], colors[1])); got != text {
				t.Errorf("on a %s terminal: got %q, want %q", name, got, text)
			}
		}
	}
}

// The code of a terminal has its quiet zone within.
func TestTerminalQRHasItsQuietZone(t *testing.T) {
	code, err := terminalQR("http://10.0.0.2:3000")
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`\x1b\[[\d;]*m`).ReplaceAllString(code, "")
	lines := strings.Split(strings.TrimSuffix(plain, "\n"), "\n")
	blank := strings.Repeat(" ", len([]rune(lines[0])))
	for i, line := range lines {
		edge := i < 2 || i >= len(lines)-2
		if edge && line != blank || !strings.HasPrefix(line, "    ") || !strings.HasSuffix(line, "    ") {
			t.Errorf("row %d: %q", i, line)
		}
	}
}

func tourOf(t *testing.T, d *demo, kind outputKind) string {
	t.Helper()
	var b strings.Builder
	if err := d.tour(&b, kind); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTour(t *testing.T) {
	d, _ := startDemo(t)
	first, _, _ := strings.Cut(tourOf(t, d, terminal), "\n")
	if want := "Open " + d.url + " (the API is at " + d.tenant.apiURL + ")"; first != want {
		t.Errorf("the first line is %q, want %q", first, want)
	}
	got := tourOf(t, d, terminal)
	for _, thing := range []string{
		"Enroll", "No phone?", "Sign in", "Remember", "Lost phone", "Notices", "Payment", "Settings", "Pre-built UI", "Help desk", "Deadline", "Rules",
		"Portal        " + d.api.PortalURL + " with the password " + d.api.PortalPassword + " (shown this once)\n",
		"Phone         DEMO_ADDR=0.0.0.0:" + d.port() + " make demo",
	} {
		if !strings.Contains(got, "\n  "+thing) {
			t.Errorf("the tour lacks %q:\n%s", thing, got)
		}
	}
	if strings.Contains(got, "\x1b") || strings.Contains(got, d.tenant.secretKey) {
		t.Error("a tour of this machine alone has a QR code, or the API secret key")
	}

	d.api.PortalPassword = ""
	if got := tourOf(t, d, plainFile); !strings.Contains(got, "-db "+filepath.Join(d.data, "authsignal.db")+" portal-password") {
		t.Errorf("at a second start it does not say how to get a new password:\n%s", got)
	}
}

func TestConditionsOfTheTourCanBeSaved(t *testing.T) {
	d := &demo{url: "http://127.0.0.1:3000", api: &daemon.Server{PortalURL: "http://127.0.0.1:4000/portal"}}
	conditions := regexp.MustCompile(`condition (.+?)(: now.*)?\n`).FindAllStringSubmatch(tourOf(t, d, plainFile), -1)
	if len(conditions) != 2 {
		t.Fatalf("got %q", conditions)
	}
	for _, c := range conditions {
		if _, err := rules.Compile(c[1]); err != nil {
			t.Errorf("%s: %v", c[1], err)
		}
	}
}

func TestTourOfAnOutsideAPI(t *testing.T) {
	d := &demo{url: "http://127.0.0.1:3000", tenant: tenant{"https://api.example.com/v1", "the-secret", "t"}}
	got := tourOf(t, d, terminal)
	if !strings.HasPrefix(got, "Open http://127.0.0.1:3000 (the API is at https://api.example.com/v1; it must allow this origin)\n") {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(got, "http://127.0.0.1:3000/webhooks") {
		t.Errorf("it does not say where notices come from:\n%s", got)
	}
	if strings.Contains(got, "Portal") || strings.Contains(got, "Rules") || strings.Contains(got, "the-secret") {
		t.Errorf("it names a portal that the demo does not have, or the key:\n%s", got)
	}
}

// The QR code holds the address and nothing else.
func TestTourInANetworkHasAQRCodeOfTheAddress(t *testing.T) {
	d := &demo{
		url: "http://192.168.1.2:3000", network: true,
		tenant: tenant{"http://192.168.1.2:4000/v1", "the-secret", "t"},
		api:    &daemon.Server{},
	}
	got := tourOf(t, d, terminal)
	begin, end := strings.Index(got, "\x1b["), strings.LastIndex(got, "\x1b[0m\n")
	if begin < 0 {
		t.Fatalf("no QR code:\n%s", got)
	}
	if read := zbar(t, screen(t, got[begin:end], color.Gray{0}, color.Gray{255})); read != d.url {
		t.Errorf("the QR code says %q, want %q", read, d.url)
	}
	for _, want := range []string{"Portal        is served on this machine alone", "Phone         in the same network, open the address above"} {
		if !strings.Contains(got, want) {
			t.Errorf("the tour lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "the-secret") {
		t.Error("the tour holds the API secret key")
	}
	if strings.Contains(tourOf(t, d, plainFile), "\x1b") {
		t.Error("what is no terminal gets a QR code")
	}
}

// At an unspecified address the demo and its API are opened at an address of
// this machine that others in its network reach.
func TestUnspecifiedAddressIsOpenedInTheNetwork(t *testing.T) {
	ip, err := networkIP()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"DEMO_ADDR": "0.0.0.0:0", "DEMO_DATA": t.TempDir()}
	d, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error("stop:", err)
		}
	})
	if !strings.HasPrefix(d.url, "http://"+ip.String()+":") || !strings.HasPrefix(d.tenant.apiURL, "http://"+ip.String()+":") || !d.network {
		t.Errorf("it is opened at %s, its API at %s", d.url, d.tenant.apiURL)
	}
	if d.api.PortalURL != "" || d.api.PortalPassword != "" {
		t.Error("the portal is served to a network in plain text")
	}
	newBrowser(t, d).enroll("jane")
	// The page may be opened on this machine too.
	here := &demo{url: "http://127.0.0.1:" + d.port(), tenant: d.tenant}
	newBrowser(t, here).enroll("john")
}

func TestPort(t *testing.T) {
	for url, want := range map[string]int{"http://127.0.0.1:3000": 3000, "http://[::1]:8080": 8080, "http://127.0.0.1": 80} {
		if got := (&demo{url: url}).port(); got != strconv.Itoa(want) {
			t.Errorf("%s: got %s, want %d", url, got, want)
		}
	}
}
