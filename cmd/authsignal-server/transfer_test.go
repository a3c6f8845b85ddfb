package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// succeeds runs a command and returns what it prints.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestDeleteTenantCommand(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	p.track("jane", "k")
	if !storetest.Postgres() {
		if got := fails(t, command(t, "-db", db, "delete-tenant", "t1")); !strings.Contains(got, "in use") {
			t.Errorf("while the server runs: got %s", got)
		}
	}
	stopped(t, p)
	if got := fails(t, command(t, "-db", db, "delete-tenant", "t2")); !strings.Contains(got, "The tenant does not exist.") {
		t.Errorf("an unknown tenant: got %s", got)
	}
	if got := succeeds(t, "-db", db, "delete-tenant", "t1"); !strings.Contains(got, "deleted the tenant t1 and ") {
		t.Errorf("got %s", got)
	}
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", db)); !strings.Contains(got, "was deleted at") {
		t.Errorf("the next start: got %s", got)
	}
}

// A wrong name does not create a database.
func TestCommandsNeedADatabaseThatExists(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "typo.db")
	for _, args := range [][]string{{"delete-tenant", "t1"}} {
		if got := fails(t, command(t, append([]string{"-db", db}, args...)...)); !strings.Contains(got, "no such file") {
			t.Errorf("%q: got %s", args, got)
		}
	}
	if files, err := filepath.Glob(db + "*"); err != nil || len(files) != 0 {
		t.Errorf("left behind %q, %v", files, err)
	}
}

// stopped stops a server gracefully.
func stopped(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, p.stderr.String())
	}
}
