package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// The command check says what is wrong, one line each, and its exit status is 1.
func TestCheckOfADamagedDatabase(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	(&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	checked(t, db)
	storetest.Exec(t, db, `UPDATE authenticators SET failures = 3`)
	out, err := command(t, "-db", db, "check").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `user_id "u1"`) || lines[1] != "authsignal-server: check: 1 finding" {
		t.Errorf("got %s", out)
	}
}

// Memory does not grow with the rows, and a server beside it serves on.
func TestCheckAmongManyUsers(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	rows := storetest.Rows(t)
	storetest.Fill(t, db, "t1", rows, time.Now())
	storetest.Exec(t, db, `INSERT INTO tenants (tenant_id, authenticator, created_at) VALUES ('t1-other', '{}', 1)`)
	began := time.Now()
	cmd := command(t, "-db", db, "check")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	memory := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("checked %d users in %v with %d MiB", rows, time.Since(began), memory>>20)
	if memory > 512<<20 { // most of it is the race detector's
		t.Errorf("it took %d MiB", memory>>20)
	}
	p.track("u1", "k")
}
