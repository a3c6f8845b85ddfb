package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// stop ends a server as systemd does, and waits until it has.
func stop(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("stop: %v\n%s", err, p.stderr.String())
	}
}

const acmeSecret = "test-secret-key-of-32-characters-2"

// applied runs apply on a database, with the key of a tenant in its environment.
func applied(t *testing.T, db, file string) string {
	t.Helper()
	cmd := command(t, "-db", db, "apply", file)
	cmd.Env = append(cmd.Env, "ACME_KEY="+acmeSecret+"\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	return string(out)
}

// On SQLite the running server does what apply and portal-password ask for.
func TestCommandsBesideARunningServer(t *testing.T) {
	t.Parallel()
	// The path of the socket would be too long for a system call.
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	db, file := filepath.Join(dir, "a.db"), filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("tenants:\n- tenantId: acme\n  apiSecretKeyEnv: ACME_KEY\n  authenticator: {active: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, db)
	info, err := os.Stat(db + ".sock")
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("the socket: %v, %v", info, err)
	}
	if got, want := applied(t, db, file), "tenant acme: made\ntenant acme: API secret key added\n"; got != want {
		t.Errorf("apply: got %q, want %q", got, want)
	}
	if got := applied(t, db, file); got != "nothing to change\n" {
		t.Errorf("apply again: got %q", got)
	}
	_, err = authsignal.New(acmeSecret, p.url).Track(t.Context(), authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
	if err != nil {
		t.Errorf("with the key of the new tenant: %v", err)
	}
	if err := os.WriteFile(file, []byte("tenants:\n- tenantId: acme\n  apiSecretKeyEnv: MISSING\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fails(t, command(t, "-db", db, "apply", file)); !strings.Contains(got, "config.yaml:3:20: tenant acme: the variable MISSING") {
		t.Errorf("without the variable: got %s", got)
	}
	password, err := command(t, "-db", db, "portal-password").Output()
	if err != nil || len(strings.TrimSpace(string(password))) != 23 {
		t.Errorf("portal-password: got %q, %v", password, err)
	}
	if got := fails(t, command(t, "-db", db, "rotate-key")); !strings.Contains(got, "stop the server first") {
		t.Errorf("rotate-key: got %s", got)
	}
	// A socket that a killed server left is replaced.
	kill(t, p)
	if _, err := os.Stat(db + ".sock"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("tenants:\n- tenantId: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := applied(t, db, file); got != "tenant other: made\n" {
		t.Errorf("apply without a server: got %q", got)
	}
	p = start(t, db)
	if got := applied(t, db, file); got != "nothing to change\n" {
		t.Errorf("apply beside the next server: got %q", got)
	}
	stop(t, p)
	if left, err := filepath.Glob(filepath.Join(dir, "*.sock*")); err != nil || left != nil {
		t.Errorf("left after a stop: %q, %v", left, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || left != nil {
		t.Errorf("left after a stop: %q, %v", left, err)
	}
}

// The control socket is not part of the API.
func TestTheAPIHasNoControlPaths(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "a.db"))
	for _, path := range []string{"/apply", "/portal-password"} {
		res, err := http.Post(strings.TrimSuffix(p.url, "/v1")+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d %s, %v", path, res.StatusCode, body, err)
		}
	}
}
