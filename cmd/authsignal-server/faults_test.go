package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// address returns the host:port of a server.
func (p *process) address() string {
	return strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/v1")
}

// memory returns the resident memory of a process in bytes.
func (p *process) memory() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kB << 10
		}
	}
	p.t.Fatal("no VmRSS")
	return 0
}

// eventually polls until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(10 * time.Millisecond) // between polls
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestABodyOfAGibibyteIsRefusedInLittleMemory(t *testing.T) {
	t.Parallel()
	p := start(t, storetest.Database(t))
	before := p.memory()
	req, err := http.NewRequest("POST", p.url+"/validate", io.LimitReader(zeros{}, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 1 << 30
	req.SetBasicAuth(apiSecretKey, "")
	// The server may answer and close the connection before all is sent.
	if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got status %d", res.StatusCode)
		}
		res.Body.Close()
	}
	if grown := p.memory() - before; grown > 64<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	p.track("u1", "k") // it still serves
}

func TestASlowClientIsCutOff(t *testing.T) {
	t.Parallel()
	p := start(t, storetest.Database(t))
	conn, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A header that never ends.
	fmt.Fprint(conn, "POST /v1/validate HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the server waits on: %v", err)
	}
}

func TestTenThousandIdleConnections(t *testing.T) {
	t.Parallel()
	const n = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n+1000 {
		t.Fatalf("this test needs %d open files, the limit is %d (ulimit -n)", n+1000, limit.Max)
	}
	p := start(t, storetest.Database(t))
	secret := (&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	for i := range n {
		conn, err := net.Dial("tcp", p.address())
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
	}
	if !p.verify(p.track("u1", "k").Token, codeAt(secret, 1)) {
		t.Error("the code was refused")
	}
	// Most of it is the race detector's.
	if m := p.memory(); m > 1<<30 {
		t.Errorf("the server takes %d MiB", m>>20)
	}
}

// status returns the status of the answer to a verification.
func (p *process) status(token, code string) int {
	p.t.Helper()
	res, err := p.send("/client/verify/totp", token, `{"verificationCode":"`+code+`"}`)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) == 0 || body[0] != '{' {
		p.t.Errorf("the answer is no JSON object: %q, %v", body, err)
	}
	return res.StatusCode
}

// ready returns the status of /readyz.
func (p *process) ready() int {
	p.t.Helper()
	res, err := http.Get(strings.TrimSuffix(p.url, "/v1") + "/readyz")
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// While the database is down, answers are 5xx and no attempt is spent. When it is
// back, the server works without a restart.
func TestTheDatabaseStopsAndRestarts(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite runs in the process
	}
	database := storetest.Database(t)
	p := start(t, database)
	secret := (&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	tr := p.track("u1", "k")

	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	storetest.Exec(t, u.String(), fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS false`, name))
	storetest.Exec(t, u.String(), fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'`, name))
	for range 12 { // more than the limit of attempts
		if got := p.status(tr.Token, "000000"); got != http.StatusInternalServerError {
			t.Errorf("database gone: got status %d", got)
		}
	}
	if got := p.ready(); got != http.StatusServiceUnavailable {
		t.Errorf("database gone: /readyz is %d", got)
	}
	storetest.Exec(t, u.String(), fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS true`, name))
	eventually(t, "ready again", func() bool { return p.ready() == http.StatusOK })
	if !p.verify(tr.Token, codeAt(secret, 1)) {
		t.Error("database back: the code was refused")
	}
	checked(t, database)
}

// While the disk is full, calls that write are answered with 5xx and spend no
// attempt. When there is space again, they work.
func TestAFullDiskUnderSQLite(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	db := filepath.Join(t.TempDir(), "a.db")
	p := start(t, db)
	secret := (&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	tr := p.track("u1", "k")
	code := codeAt(secret, 1)

	// No file of the process may grow past one byte: every write to the log
	// of the database fails, as on a full disk.
	limit := func(bytes string) {
		t.Helper()
		pid := strconv.Itoa(p.cmd.Process.Pid)
		if out, err := exec.CommandContext(t.Context(), "prlimit", "--pid", pid, "--fsize="+bytes+":unlimited").CombinedOutput(); err != nil {
			t.Fatalf("prlimit (util-linux): %v: %s", err, out)
		}
	}
	limit("1")
	for range 12 {
		if got := p.status(tr.Token, "000000"); got != http.StatusInternalServerError {
			t.Errorf("disk full: got status %d", got)
		}
	}
	if got := p.status(tr.Token, code); got != http.StatusInternalServerError {
		t.Errorf("disk full: the right code got status %d", got)
	}
	eventually(t, "not ready", func() bool { return p.ready() == http.StatusServiceUnavailable })
	limit("unlimited")
	eventually(t, "ready again", func() bool { return p.ready() == http.StatusOK })
	if !p.verify(tr.Token, code) {
		t.Error("room again: the code was refused")
	}
	kill(t, p)
	p = start(t, db)
	if got := p.track("u1", "k").State; got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("after all that: state %s", got)
	}
	checked(t, db)
}

func TestMalformedHTTPIsAnswered(t *testing.T) {
	t.Parallel()
	p := start(t, storetest.Database(t))
	for _, request := range []string{
		"GARBAGE\r\n\r\n",
		"GET /v1/users/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/validate HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 100_000) + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", p.address())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, request)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 4") {
			t.Errorf("%.20q: got %q, %v", request, line, err)
		}
		conn.Close()
	}
	p.track("u1", "k")
}
