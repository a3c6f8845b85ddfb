package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// TestMain makes the test binary the server: the processes that the tests start
// are this program, with main as its entry.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// apiSecretKey is the key of the servers that the tests start.
const apiSecretKey = "test-secret-key-of-32-characters-1"

// A process is a running server.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	url    string
	client *authsignal.Client
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TEST_RUN_MAIN=1", "AUTHSIGNAL_TENANT_ID=t1", "AUTHSIGNAL_API_SECRET_KEY="+apiSecretKey,
		"AUTHSIGNAL_PUBLIC_URL=http://mfa.localhost", "AUTHSIGNAL_ENCRYPTION_KEY=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
	return cmd
}

// start starts a server on a database and waits for its ready line.
func start(t *testing.T, db string, args ...string) *process {
	t.Helper()
	return startCommand(t, command(t, append([]string{"-addr", "127.0.0.1:0", "-dev", "-db", db}, args...)...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd}
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.cmd.Wait()
		t.Fatalf("no ready line: %v\n%s", err, p.stderr.String())
	}
	p.url = strings.TrimSuffix(line, "\n")
	p.client = authsignal.New(apiSecretKey, p.url)
	return p
}

// send calls the client API as a page does. The error reports that there was no
// answer.
func (p *process) send(path, token, body string) (*http.Response, error) {
	req, err := http.NewRequest("POST", p.url+path, strings.NewReader(body))
	if err != nil {
		panic(err) // the path is a constant of the test
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultClient.Do(req)
}

// post is send, but fails the test unless the answer is a success.
func (p *process) post(path, token, body string) map[string]any {
	p.t.Helper()
	res, err := p.send(path, token, body)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil || res.StatusCode != 200 {
		p.t.Fatalf("%s: status %d, %v, %v", path, res.StatusCode, v, err)
	}
	return v
}

func (p *process) track(user, key string) authsignal.TrackResponse {
	p.t.Helper()
	r, err := p.client.Track(p.t.Context(), authsignal.TrackRequest{
		UserID: user, Action: "signIn", Attributes: authsignal.Attributes{IdempotencyKey: key},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *process) verify(token, code string) bool {
	p.t.Helper()
	return p.post("/client/verify/totp", token, `{"verificationCode":"`+code+`"}`)["isVerified"].(bool)
}

// oathtool returns the code of another implementation of TOTP.
func oathtool(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), "-")
	cmd.Stdin = strings.NewReader(secret)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oathtool (Debian package oathtool) failed: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func TestReadyLine(t *testing.T) {
	t.Parallel()
	p := start(t, storetest.Empty(t))
	if !strings.HasPrefix(p.url, "http://127.0.0.1:") || !strings.HasSuffix(p.url, "/v1") {
		t.Errorf("got %q", p.url)
	}
}

// Acknowledged changes survive a kill -9 right after the answer: the enrollment,
// the accepted step and the action.
func TestAcceptedStepsSurviveAKill(t *testing.T) {
	t.Parallel()
	db := storetest.Database(t)
	p := start(t, db)
	first := p.track("u1", "k1")
	secret := p.post("/client/user-authenticators/totp", first.Token, "")["secret"].(string)
	now := time.Now()
	code := oathtool(t, secret, now)
	if !p.verify(first.Token, code) {
		t.Fatal("the authenticator's code was refused")
	}
	kill(t, p)

	p = start(t, db)
	again := p.track("u1", "k1")
	if again.State != authsignal.StateChallengeSucceeded || !again.IsEnrolled {
		t.Errorf("after the kill: state %s, enrolled %v", again.State, again.IsEnrolled)
	}
	second := p.track("u1", "k2")
	if p.verify(second.Token, code) {
		t.Error("after the kill: a spent code was accepted")
	}
	if !p.verify(second.Token, oathtool(t, secret, now.Add(30*time.Second))) {
		t.Error("after the kill: the next code was refused")
	}
	kill(t, p)

	p = start(t, db)
	if got := p.track("u1", "k2").State; got != authsignal.StateChallengeSucceeded {
		t.Errorf("after the second kill: state %s", got)
	}
	// A token from before the kills is still good: the signing key was kept.
	v, err := p.client.ValidateChallenge(t.Context(), authsignal.ValidateRequest{Token: second.Token, UserID: "u1"})
	if err != nil || !v.IsValid {
		t.Errorf("validate: got %+v, %v", v, err)
	}
	checked(t, db)
}

// checked runs the command check on a database, which servers may be using, and
// fails the test for each of its findings.
func checked(t *testing.T, db string) {
	t.Helper()
	if out, err := command(t, "-db", db, "check").CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

func kill(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait()
}

func TestStopAnswersRequestsInProgress(t *testing.T) {
	t.Parallel()
	p := start(t, storetest.Database(t))
	address := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/v1")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request whose body ends after the stop begins. The server has accepted the
	// request when it asks for the body.
	fmt.Fprintf(conn, "POST /v1/validate HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
		base64.StdEncoding.EncodeToString([]byte(apiSecretKey+":")))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("got %q, %v", line, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// The stop has begun when new connections are refused. A pause in the body must be
	// short, however long that takes.
	eventually(t, "new connections are refused", func() bool {
		fmt.Fprint(conn, "1\r\n \r\n")
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	fmt.Fprint(conn, "d\r\n{\"token\":\"x\"}\r\n0\r\n\r\n")
	rest, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(rest), `{"isValid":false,"error":"Token is invalid."}`) {
		t.Errorf("got %q, %v", rest, err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, p.stderr.String())
	}
}

// fails runs a server that must not start and returns its standard error.
func fails(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("the server ended without an error")
		}
	case <-ctx.Done():
		cmd.Process.Kill()
		t.Error("the server started")
	}
	return stderr.String()
}

func TestStartErrorsNameTheCause(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "a.db")
	p := start(t, db)
	address := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/v1")

	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", db, "-wait-db", "0")); !strings.Contains(got, "in use by another process: "+db) {
		t.Errorf("second process: got %s", got)
	}
	if got := fails(t, command(t, "-addr", address, "-db", filepath.Join(dir, "b.db"))); !strings.Contains(got, "address already in use") {
		t.Errorf("port taken: got %s", got)
	}
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", "postgres://nobody:hunter2@127.0.0.1:1/x", "-wait-db", "0")); !strings.Contains(got, "connect to the database") || strings.Contains(got, "hunter2") {
		t.Errorf("no PostgreSQL there: got %s", got)
	}
	untouched := filepath.Join(dir, "c.db")
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", untouched, "-config", filepath.Join(dir, "none.yaml"))); !strings.Contains(got, "none.yaml") {
		t.Errorf("no configuration there: got %s", got)
	}
	if _, err := os.Stat(untouched); err == nil {
		t.Error("a start without its configuration has made a database")
	}
	if got := fails(t, command(t, "-token-ttl", "x")); !strings.Contains(got, "-token-ttl") {
		t.Errorf("bad flag: got %s", got)
	}
	kill(t, p)
	cmd := command(t, "-addr", "127.0.0.1:0", "-db", db)
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_ENCRYPTION_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if got := fails(t, cmd); !strings.Contains(got, "encryption key is not the one") {
		t.Errorf("wrong key: got %s", got)
	}
}

func TestBackupAndRotateKey(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db, copied := filepath.Join(dir, "a.db"), filepath.Join(dir, "copy.db")
	without := func(cmd *exec.Cmd) *exec.Cmd { // with the key in the key file
		cmd.Env = append(cmd.Env, "AUTHSIGNAL_ENCRYPTION_KEY=")
		return cmd
	}
	p := startCommand(t, without(command(t, "-addr", "127.0.0.1:0", "-dev", "-db", db)))
	tr := p.track("u1", "k1")
	secret := p.post("/client/user-authenticators/totp", tr.Token, "")["secret"].(string)
	if !p.verify(tr.Token, codeAt(secret, 0)) {
		t.Fatal("the enrollment's code was refused")
	}
	if out, err := without(command(t, "-db", db, "backup", copied)).CombinedOutput(); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	if got := fails(t, without(command(t, "-db", db, "rotate-key"))); !strings.Contains(got, "in use") {
		t.Errorf("rotate-key while the server runs: got %s", got)
	}
	kill(t, p)
	before, err := os.ReadFile(db + ".keys.json")
	if err != nil {
		t.Fatal(err)
	}
	// The authenticator's secret, the API secret and the signing key.
	out, err := without(command(t, "-db", db, "rotate-key")).CombinedOutput()
	if err != nil || string(out) != "sealed 3 secrets with the new key\n" {
		t.Fatalf("rotate-key: %v\n%s", err, out)
	}
	after, err := os.ReadFile(db + ".keys.json")
	if err != nil || bytes.Equal(before, after) || bytes.Contains(after, []byte("old")) {
		t.Errorf("the file of keys: %v", err)
	}
	p = startCommand(t, without(command(t, "-addr", "127.0.0.1:0", "-dev", "-db", db)))
	if !p.verify(p.track("u1", "k2").Token, codeAt(secret, 1)) {
		t.Error("after the rotation the next code is refused")
	}
	// The copy opens with the keys at the time of the backup.
	if err := os.WriteFile(copied+".keys.json", before, 0o600); err != nil {
		t.Fatal(err)
	}
	p = startCommand(t, without(command(t, "-addr", "127.0.0.1:0", "-dev", "-db", copied)))
	if u, err := p.client.User(t.Context(), "u1"); err != nil || !u.IsEnrolled {
		t.Errorf("the copy: got %+v, %v", u, err)
	}
	if got := fails(t, command(t, "serve")); !strings.Contains(got, `"serve" is not a command`) {
		t.Errorf("got %s", got)
	}
}

// A restart without a setting must not lose the enrollments: all users would sign
// in without a code.
func TestARestartWithLessConfigurationKeepsTheUsers(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "a.db")
	p := start(t, db)
	secret := (&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	kill(t, p)
	with := func(variables ...string) *exec.Cmd {
		cmd := command(t, "-addr", "127.0.0.1:0", "-db", db)
		cmd.Env = append(cmd.Env, variables...)
		return cmd
	}
	p = startCommand(t, with("AUTHSIGNAL_TENANT_ID=", "AUTHSIGNAL_API_SECRET_KEY="))
	if got := p.track("u1", "k").State; got != authsignal.StateChallengeRequired {
		t.Errorf("without a tenant: state %s", got)
	}
	if !p.verify(p.track("u1", "k").Token, codeAt(secret, 1)) {
		t.Error("without a tenant: the code was refused")
	}
	kill(t, p)
	if got := fails(t, with("AUTHSIGNAL_TENANT_ID=mistyped")); !strings.Contains(got, "belongs to another tenant") {
		t.Errorf("another tenant: got %s", got)
	}
	got := fails(t, with("AUTHSIGNAL_ENCRYPTION_KEY="))
	if !strings.Contains(got, "AUTHSIGNAL_ENCRYPTION_KEY") || strings.Contains(got, "created new keys") {
		t.Errorf("without the encryption key: got %s", got)
	}
}

func TestTwoNamesOfOneFile(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // of SQLite files: the run on SQLite has it
	}
	dir := t.TempDir()
	db, link := filepath.Join(dir, "a.db"), filepath.Join(dir, "link.db")
	start(t, db)
	if err := os.Symlink(db, link); err != nil {
		t.Fatal(err)
	}
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", link, "-wait-db", "0")); !strings.Contains(got, "in use") {
		t.Errorf("got %s", got)
	}
}

const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func TestCodeCommand(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	uri := totp.URI("Acme", "jane", secret, totp.Parameters{Algorithm: totp.SHA512, Digits: 8, Period: 60})
	of := func(p totp.Parameters, offset int64) string {
		c, err := totp.Code(secret, p.Step(now)+offset, p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	long := totp.Parameters{Algorithm: totp.SHA512, Digits: 8, Period: 60}
	for _, tt := range []struct {
		args  string
		stdin string
		want  string
	}{
		{secret, "", oathtool(t, secret, now)},
		{secret + " -step +1", "", oathtool(t, secret, now.Add(30*time.Second))},
		{"-step -1 " + secret, "", of(totp.DefaultParameters, -1)},
		{secret[:4] + " " + secret[4:8] + " " + secret[8:] + " -step 1", "", of(totp.DefaultParameters, 1)},
		{"-step=1 " + uri, "", of(long, 1)},
		{"-", strings.ToLower(secret) + "\n", of(totp.DefaultParameters, 0)},
		{"- -step 1", uri + "\n", of(long, 1)},
	} {
		var out bytes.Buffer
		err := code(strings.Fields(tt.args), now, strings.NewReader(tt.stdin), &out)
		if err != nil || out.String() != tt.want+"\n" {
			t.Errorf("%s: got %q, %v, want %q", tt.args, out.String(), err, tt.want)
		}
	}
	for args, want := range map[string]string{
		"":                                      "usage",
		secret + " 1":                           "base32",
		secret + " -step x":                     "usage",
		"not-base32!":                           "base32",
		"https://example.com/?secret=" + secret: "otpauth",
	} {
		err := code(strings.Fields(args), now, strings.NewReader(""), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: got %v, want it to say %q", args, err, want)
		}
	}
}
