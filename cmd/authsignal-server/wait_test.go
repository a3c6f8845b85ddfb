package main

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// starting starts a server that is not ready yet, and waits for a text in its log.
func starting(t *testing.T, cmd *exec.Cmd, text string) (log *logtest.Buffer, stdout io.Reader) {
	t.Helper()
	log = &logtest.Buffer{}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, text, func() bool { return strings.Contains(log.String(), text) })
	return log, stdout
}

// A start waits for the process before it, which stops.
func TestAStartWaitsForThePreviousProcess(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	first := start(t, db, "-drain", "1s")
	cmd := command(t, "-addr", "127.0.0.1:0", "-dev", "-db", db)
	log, stdout := starting(t, cmd, "waiting for the database")
	first.signal(syscall.SIGTERM)
	first.ends()
	line := make([]byte, 64)
	if n, err := stdout.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), "http://127.0.0.1:") {
		t.Errorf("got %q, %v\n%s", line, err, log)
	}
	if got := log.String(); !strings.Contains(got, "in use by another process") || !strings.Contains(got, "the database is available") {
		t.Errorf("the log: %s", got)
	}
}

// SIGTERM ends a wait at once and without an error, and the end of the wait is an
// error that names the remedy.
func TestAWaitForTheDatabaseEnds(t *testing.T) {
	t.Parallel()
	address := free(t, 1)[0]
	with := func(args ...string) *exec.Cmd {
		return command(t, append([]string{"-addr", "127.0.0.1:0", "-db", "postgres://nobody:hunter2@" + address + "/x"}, args...)...)
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := with()
		log, _ := starting(t, cmd, "waiting for the database")
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "hunter2") {
			t.Errorf("%v: got %v\n%s", s, err, log)
		}
	}
	if got := fails(t, with("-wait-db", "1ms")); !strings.Contains(got, "-wait-db or AUTHSIGNAL_WAIT_DB") || strings.Contains(got, "hunter2") {
		t.Errorf("after the wait: got %s", got)
	}
}

// A database that is wrong is not waited for.
func TestAWrongDatabaseIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	kill(t, start(t, db))
	wrongKey := command(t, "-addr", "127.0.0.1:0", "-db", db)
	wrongKey.Env = append(wrongKey.Env, "AUTHSIGNAL_ENCRYPTION_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	cases := map[string]*exec.Cmd{"encryption key is not the one": wrongKey}
	if storetest.Postgres() {
		other := func(change func(*url.URL)) *exec.Cmd {
			u, err := url.Parse(db)
			if err != nil {
				t.Fatal(err)
			}
			change(u)
			return command(t, "-addr", "127.0.0.1:0", "-db", u.String())
		}
		cases["does not exist"] = other(func(u *url.URL) { u.Path = "/unknown" })
		cases[`role "nobody"`] = other(func(u *url.URL) { u.User = url.User("nobody") })
	}
	for want, cmd := range cases {
		if got := fails(t, cmd); !strings.Contains(got, want) || strings.Contains(got, "waiting for the database") {
			t.Errorf("%s: got %s", want, got)
		}
	}
}

// A start waits for a PostgreSQL that does not listen yet.
func TestAStartWaitsForPostgreSQL(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // TestAStartWaitsForThePreviousProcess
	}
	u, err := url.Parse(storetest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
	address := free(t, 1)[0]
	u.Host, u.RawQuery = address, ""
	cmd := command(t, "-addr", "127.0.0.1:0", "-dev", "-db", u.String())
	path, next := manager(t)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	log, stdout := starting(t, cmd, "waiting for the database")
	if got := next(); !strings.Contains(got, "STATUS=Waiting for the database") || !strings.Contains(got, "EXTEND_TIMEOUT_USEC=") {
		t.Errorf("systemd was told %q", got)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", socket)
			if err != nil {
				t.Error(err)
				c.Close()
				return
			}
			wg.Go(func() { io.Copy(to, c); to.Close() })
			wg.Go(func() { io.Copy(c, to); c.Close() })
		}
	})
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	line := make([]byte, 64)
	n, err := stdout.Read(line)
	if err != nil || !bytes.HasPrefix(line[:n], []byte("http://127.0.0.1:")) {
		t.Errorf("got %q, %v\n%s", line[:n], err, log)
	}
	if got := log.String(); !strings.Contains(got, "connection refused") || !strings.Contains(got, "the database is available") {
		t.Errorf("the log: %s", got)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(next(), "READY=1"); {
		if time.Now().After(deadline) {
			t.Fatal("systemd was not told that the server is ready")
		}
	}
}
