package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// diagnosed runs doctor -json and returns the exit status and the findings, by the
// level and the check.
func diagnosed(t *testing.T, variables []string, flags ...string) (status int, findings map[string]string) {
	t.Helper()
	cmd := command(t, append(flags, "doctor", "-json")...)
	cmd.Env = append(append(cmd.Env, "AUTHSIGNAL_PUBLIC_URL="), variables...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), apiSecretKey) || strings.Contains(string(out), "hunter2") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	findings = map[string]string{}
	for line := range strings.Lines(string(out)) {
		var f struct{ Level, Check, Text, Remedy string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if f.Level != "ok" && f.Remedy == "" {
			t.Errorf("no remedy: %s", line)
		}
		findings[f.Level+" "+f.Check] += f.Text + "\n"
	}
	return status, findings
}

func TestDoctorFindsNothingBesideAHealthyServer(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	cmd := command(t, "-addr", "127.0.0.1:0", "-dev", "-db", db)
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_PUBLIC_URL=")
	p := startCommand(t, cmd)
	addr := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/v1")
	status, findings := diagnosed(t, nil, "-addr", addr, "-dev", "-db", db)
	for key := range findings {
		if !strings.HasPrefix(key, "ok ") && key != "warning disk" {
			t.Errorf("%s: %s", key, findings[key])
		}
	}
	if status > 1 || !strings.Contains(findings["ok addr"], "a server of version") || !strings.Contains(findings["ok database"], "it answers") ||
		!strings.Contains(findings["ok setting"], "-db is "+db+", from the flag") || !strings.Contains(findings["ok setting"], "AUTHSIGNAL_API_SECRET_KEY is not shown") {
		t.Errorf("status %d, %q", status, findings)
	}
}

func TestDoctorNamesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, key := filepath.Join(dir, "a.db"), filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("hunter2-hunter2-hunter2-hunter2-hunter2"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, db)
	stop(t, p)
	if err := os.Chmod(db, 0o644); err != nil {
		t.Fatal(err)
	}
	status, findings := diagnosed(t, []string{"AUTHSIGNAL_ORIGIN=x", "AUTHSIGNAL_MANAGEMENT_KEY_FILE=" + key, "AUTHSIGNAL_WEBHOOK_URL=http://127.0.0.1:1/?key=hunter2"},
		"-addr", "0.0.0.0:0", "-db", db, "-origins", "http://app.test", "-rate-limit", "0", "-metrics-addr", "0.0.0.0:0", "-public-url", "https://127.0.0.1:1")
	if status != 1 {
		t.Errorf("got the status %d", status)
	}
	for key, want := range map[string]string{
		"warning variables": "AUTHSIGNAL_ORIGIN ", "warning origins": "http://app.test", "warning rate-limit": "not limited", "warning metrics-addr": "without a key",
		"warning trusted-proxies": "a proxy that is not named", "warning public-url": "does not answer at https://127.0.0.1:1", "warning permissions": "a.db has the mode -rw-r--r--",
		"warning webhook": "the receiver at http://127.0.0.1:1 cannot be reached",
	} {
		if !strings.Contains(findings[key], want) {
			t.Errorf("%s: got %q, want %q", key, findings[key], want)
		}
	}
	if !strings.Contains(findings["warning permissions"], "AUTHSIGNAL_MANAGEMENT_KEY_FILE") {
		t.Errorf("got %q", findings["warning permissions"])
	}
	// The log of a start has the same.
	p = start(t, db, "-rate-limit", "0")
	stop(t, p)
	if got := p.stderr.String(); !strings.Contains(got, `"level":"WARN","msg":"requests are not limited","check":"rate-limit","remedy":"`) || !strings.Contains(got, `"msg":"settings"`) {
		t.Errorf("the log: %s", got)
	}
}

func TestDoctorSaysWhyTheServerCannotServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "a.db")
	stop(t, start(t, db))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		flags, variables []string
		key, want        string
	}{
		{[]string{"-db", db}, []string{"AUTHSIGNAL_ENCRYPTION_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "failure keys", "not the one"},
		{[]string{"-db", "postgres://u:hunter2@127.0.0.1:1/x"}, nil, "failure database", "127.0.0.1"},
		{[]string{"-db", filepath.Join(dir, "none", "a.db"), "-db-must-exist"}, nil, "failure database", "no such file"},
		{[]string{"-db", db, "-addr", "192.0.2.1:1", "-portal", "on"}, nil, "failure exposure", "plain text"},
		{[]string{"-db", db, "-addr", "127.0.0.1:x"}, nil, "failure addr", ""},
	} {
		status, findings := diagnosed(t, tt.variables, tt.flags...)
		if text, found := findings[tt.key]; status != 2 || !found || !strings.Contains(text, tt.want) {
			t.Errorf("%q: got the status %d and %q, want %s %q", tt.flags, status, findings, tt.key, tt.want)
		}
	}
	if status, _ := diagnosed(t, nil, "-token-ttl", "x"); status != 2 {
		t.Errorf("a wrong flag: got the status %d", status)
	}
}
