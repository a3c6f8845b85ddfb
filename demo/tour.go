package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/qr"
)

// tour prints the address to open, as a QR code too where a phone can open it
// and w is a terminal, and a line for each thing to try. The portal's first
// password is the only secret in it: the QR code holds the address alone.
func (d *demo) tour(w io.Writer, kind outputKind) error {
	var b strings.Builder
	note := ""
	if d.api == nil {
		note = "; it must allow this origin"
	}
	fmt.Fprintf(&b, "Open %s (the API is at %s%s)\n", d.url, d.tenant.apiURL, note)
	if d.network && kind == terminal {
		code, err := terminalQR(d.url)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n%s\n", code)
	}
	b.WriteString("\nThings to try:\n")
	for _, thing := range d.things() {
		fmt.Fprintf(&b, "  %-13s %s\n", thing[0], thing[1])
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// things lists the things to try, each with its steps.
func (d *demo) things() [][2]string {
	list := [][2]string{
		{"Enroll", "sign in with any user name, scan the QR code with an authenticator app, enter its code"},
		{"No phone?", "press Copy beside the secret; go run ./cmd/authsignal-server code SECRET prints its code"},
		{"Sign in", "sign out and in again: now a code is asked for, and each works once"},
		{"Remember", "check the box beside the code: the next sign-in in this browser needs none, but a payment does"},
		{"Lost phone", "make recovery codes after enrolling or on the account page; sign in with one, set up a new app, remove the lost one"},
		{"Notices", "what a real app would mail to its users is printed below and shown on the account page"},
		{"Payment", "on the account page, pay something: the amount is part of the action, and a code confirms it"},
		{"Settings", "on the account page, rename, add and remove authenticator apps, there or in the settings of the pre-built UI"},
		{"Pre-built UI", `sign in with "Pre-built UI" as the second step: a popup, a redirect or a window`},
	}
	switch {
	case d.api == nil:
		list = append(list, [2]string{"Webhook", "for the notices, the API has to send its events to " + d.url + webhookPath})
	case d.api.PortalURL == "":
		list = append(list, [2]string{"Portal", "is served on this machine alone: start the demo without DEMO_ADDR"})
	default:
		password := "with the password that was shown at the first start (lost: stop the demo, then go run ./cmd/authsignal-server -db " +
			filepath.Join(d.data, config.DefaultDB) + " portal-password)"
		if d.api.PortalPassword != "" {
			password = "with the password " + d.api.PortalPassword + " (shown this once)"
		}
		list = append(list,
			[2]string{"Portal", d.api.PortalURL + " " + password},
			[2]string{"Help desk", "portal, Users, a user, Issue a recovery link: opened, it sets up a new app"},
			[2]string{"Deadline", "portal, Settings, Enrollment policy, a date to come: a new user may sign in without an app until then"},
			[2]string{"Rules", `portal, Actions, signIn, Add a rule, outcome Block, condition user.id == "ada": now ada is kept out`},
			[2]string{"", "payment, default outcome Allow, and a rule, outcome Challenge, condition custom.amount > 100.0"},
		)
	}
	if d.network {
		return append(list, [2]string{"Phone", "in the same network, open the address above; all that it sends crosses the network in plain text"})
	}
	return append(list, [2]string{"Phone", "DEMO_ADDR=0.0.0.0:" + d.port() + " make demo serves phones in the same network, with a QR code of the address"})
}

func (d *demo) port() string {
	u, err := url.Parse(d.url)
	if err != nil || u.Port() == "" {
		return "80"
	}
	return u.Port()
}

// halves are the characters of two modules, one above the other: light is the
// ground, dark is drawn.
var halves = map[[2]bool]rune{{false, false}: ' ', {true, false}: '▀', {false, true}: '▄', {true, true}: '█'}

// terminalQR draws the QR code of a text in a terminal, two modules a character,
// with its quiet zone. Its black and white are of the 6×6×6 cube of colors,
// which no theme changes: it scans on dark and on light terminals.
func terminalQR(text string) (string, error) {
	m, err := qr.Encode(text, qr.Medium)
	if err != nil {
		return "", err
	}
	dark := func(x, y int) bool {
		x, y = x-qr.QuietZone, y-qr.QuietZone
		return 0 <= x && x < m.Size && 0 <= y && y < m.Size && m.Dark(x, y)
	}
	size := m.Size + 2*qr.QuietZone
	var b strings.Builder
	for y := 0; y < size; y += 2 {
		b.WriteString("\x1b[38;5;16;48;5;231m")
		for x := range size {
			b.WriteRune(halves[[2]bool{dark(x, y), dark(x, y+1)}])
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// outputKind is the kind of file that a text goes to: a QR code in a file or a log
// is of no use.
type outputKind int

const (
	plainFile outputKind = iota
	terminal
)

func kindOf(w io.Writer) outputKind {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return terminal
		}
	}
	return plainFile
}
