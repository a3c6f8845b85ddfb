package main

import (
	"bufio"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A portalProcess is a server and its output when it was ready.
type portalProcess struct {
	cmd      *exec.Cmd
	log      *strings.Builder
	base     string
	password string
	rest     chan string
}

// startPortal starts a server without a public URL and reads a number of lines of
// its output.
func startPortal(t *testing.T, lines int, db string, args ...string) *portalProcess {
	t.Helper()
	p := &portalProcess{cmd: command(t, append([]string{"-db", db}, args...)...), log: &strings.Builder{}}
	p.cmd.Env = append(p.cmd.Env, "AUTHSIGNAL_PUBLIC_URL=")
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	output := bufio.NewScanner(stdout)
	for range lines {
		if !output.Scan() {
			t.Fatalf("the server ended:\n%s", p.log)
		}
		line := output.Text()
		if p.base == "" {
			p.base = strings.TrimSuffix(line, "/v1")
		} else if at, ok := strings.CutPrefix(line, "portal: "); ok && at != p.base+"/portal" {
			t.Errorf("the portal is at %s", at)
		} else if password, ok := strings.CutPrefix(line, "portal password, shown this once: "); ok {
			p.password = password
		}
	}
	// The rest of the output until the stop.
	p.rest = make(chan string, 1)
	go func() {
		var rest strings.Builder
		for output.Scan() {
			rest.WriteString(output.Text())
		}
		p.rest <- rest.String()
	}()
	return p
}

func (p *portalProcess) signIn(t *testing.T, password string) int {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.PostForm(p.base+"/portal/sign-in", url.Values{"password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode
}

func (p *portalProcess) stop(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if rest := <-p.rest; rest != "" {
		t.Errorf("the server also printed %q", rest)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("stop: %v\n%s", err, p.log)
	}
}

// The first start prints a password, once and not in the log. The command
// portal-password replaces a lost one.
func TestThePortalsPassword(t *testing.T) {
	t.Parallel()
	db := storetest.Empty(t)
	p := startPortal(t, 3, db, "-addr", "127.0.0.1:0")
	if got := p.signIn(t, p.password); got != http.StatusSeeOther {
		t.Errorf("the first password: got %d", got)
	}
	if got := p.signIn(t, "another"); got != http.StatusForbidden {
		t.Errorf("another password: got %d", got)
	}
	p.stop(t)
	if strings.Contains(p.log.String(), p.password) {
		t.Error("the log holds the password")
	}
	out, err := command(t, "-db", db, "portal-password").Output()
	if err != nil {
		t.Fatal(err)
	}
	fresh := strings.TrimSpace(string(out))
	second := startPortal(t, 2, db, "-addr", "127.0.0.1:0")
	if old, now := second.signIn(t, p.password), second.signIn(t, fresh); old != http.StatusForbidden || now != http.StatusSeeOther {
		t.Errorf("the old password: got %d; the new one: got %d", old, now)
	}
	second.stop(t) // it has shown no password
}

func TestThePortalDoesNotStartOverPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-portal", "on", "-addr", "0.0.0.0:0"},
		{"-portal", "on", "-addr", "127.0.0.1:0", "-public-url", "http://mfa.test"},
		{"-dev", "-addr", "127.0.0.1:0", "-public-url", "https://mfa.test"},
	} {
		db := filepath.Join(t.TempDir(), "a.db")
		if got := fails(t, command(t, append(args, "-db", db)...)); !strings.Contains(got, args[0]) || !strings.Contains(got, "-public-url") {
			t.Errorf("%v: got %s", args, got)
		}
		if _, err := os.Stat(db); err == nil {
			t.Errorf("%v: it has made a database", args)
		}
	}
}

// At an address that other machines reach, and with a public URL, the portal is
// off unless it is turned on.
func TestThePortalIsOffInPublic(t *testing.T) {
	t.Parallel()
	status := func(base string) int {
		r, err := http.Get(base + "/portal")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	p := startPortal(t, 1, storetest.Database(t), "-addr", "0.0.0.0:0")
	if got := status(p.base); got != http.StatusNotFound {
		t.Errorf("at every address: got %d", got)
	}
	p.stop(t)
	cmd := command(t, "-addr", "127.0.0.1:0", "-db", storetest.Database(t))
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_PUBLIC_URL=http://mfa.test")
	named := startCommand(t, cmd)
	if got := status(strings.TrimSuffix(named.url, "/v1")); got != http.StatusNotFound {
		t.Errorf("under another name: got %d", got)
	}
	// Its log is complete when it has ended.
	if err := named.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := named.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.log.String()+named.stderr.String(), `"msg":"portal"`) {
		t.Error("the log speaks of a portal")
	}
}
