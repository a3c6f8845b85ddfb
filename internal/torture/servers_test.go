package torture

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	// The packages of the program, so that the Go command does not use a cached
	// result of these tests after a change of them.
	_ "github.com/authsignal-wasm/sdk/internal/daemon"
)

const (
	secretKey     = "test-secret-key-of-32-characters-1"
	managementKey = "test-management-key-of-32-chars-1"
	encryptionKey = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
)

var backendKey, operatorKey = basic(secretKey), basic(managementKey)

func basic(key string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":")) }

// A build is a server that is built from changed sources: the text of a file is
// replaced once. The sources themselves are not changed, so nothing of this can get
// into what is shipped.
type build struct {
	// steps reports whether the clock can be stepped: time.Now adds the seconds in
	// the file that the variable TORTURE_CLOCK names.
	steps bool
	// faults are further changes.
	faults []fault
}

// A fault is a planted one.
type fault struct{ file, old, new string }

const clockFile = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// step is the number of seconds by which the wall clock is stepped, in memory that
// another process writes to.
var step = new(int64)

func init() {
	name, found := syscall.Getenv("TORTURE_CLOCK")
	if !found {
		return
	}
	fd, err := open(name)
	if err != nil {
		panic("TORTURE_CLOCK: " + err.Error())
	}
	memory, err := syscall.Mmap(int(fd), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("TORTURE_CLOCK: " + err.Error())
	}
	step = (*int64)(unsafe.Pointer(&memory[0]))
}

func stepped() int64 { return atomic.LoadInt64(step) }
`

// build builds the server into a folder and returns its path.
func (b build) build(ctx context.Context, dir string) (string, error) {
	faults := b.faults
	replace := map[string]string{}
	if b.steps {
		root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return "", err
		}
		std := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
		faults = append(faults, fault{filepath.Join(std, "time.go"),
			"func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += stepped()\n"})
		file := filepath.Join(dir, "step.go")
		if err := os.WriteFile(file, []byte(clockFile), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(std, "step_torture.go")] = file
	}
	for i, f := range faults {
		path, err := filepath.Abs(f.file)
		if err != nil {
			return "", err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if strings.Count(string(text), f.old) != 1 {
			return "", fmt.Errorf("%s does not contain once what is to be changed:\n%s", f.file, f.old)
		}
		file := filepath.Join(dir, fmt.Sprint("changed-", i, ".go"))
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), f.old, f.new, 1)), 0o600); err != nil {
			return "", err
		}
		replace[path] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	const source = "../../cmd/authsignal-server"
	// The cache of the Go command depends on the files that a test reads.
	files, err := filepath.Glob(source + "/*.go")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if _, err := os.ReadFile(file); err != nil {
			return "", err
		}
	}
	out := filepath.Join(dir, "authsignal-server")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-o", out, source)
	if flags := os.Getenv("AUTHSIGNAL_TEST_GOFLAGS"); flags != "" {
		cmd.Env = append(os.Environ(), "GOFLAGS="+flags)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, text)
	}
	return out, nil
}

// A cluster is the replicas and their database.
type cluster struct {
	dir, program, database string
	postgres               *pair // nil on SQLite
	replicas               []*replica
	log                    *os.File
}

// A replica is a server process, which is restarted at the same address.
type replica struct {
	cluster *cluster
	address string
	clock   *os.File // nil if the clock cannot be stepped
	cmd     *exec.Cmd

	mu    sync.Mutex
	conns map[net.Conn]bool
	// offsets are the steps of the clock.
	offsets []offset
}

// An offset is the number of seconds by which a clock is ahead for a time.
type offset struct {
	seconds     int64
	from, until time.Time // until is zero for the present one
}

// anyPort is the address of a server that has not been started yet.
const anyPort = "127.0.0.1:0"

// newCluster starts the replicas, on PostgreSQL if there is a pair.
func newCluster(dir, program string, steps bool, postgres *pair) (*cluster, error) {
	c := &cluster{dir: dir, program: program, database: filepath.Join(dir, "authsignal.db"), postgres: postgres}
	var err error
	if c.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
		return c, err
	}
	n := 1
	if postgres != nil {
		c.database = postgres.url()
		n = 2
	}
	for i := range n {
		r := &replica{cluster: c, address: anyPort, conns: map[net.Conn]bool{}, offsets: []offset{{}}}
		if steps {
			if r.clock, err = os.Create(filepath.Join(dir, fmt.Sprint("clock-", i))); err != nil {
				return c, err
			}
			if err := r.step(0); err != nil {
				return c, err
			}
		}
		c.replicas = append(c.replicas, r)
		if err := r.start(); err != nil {
			return c, err
		}
		if i == 0 { // before another replica can remember other settings
			if err := r.configure(); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// stop kills the replicas.
func (c *cluster) stop() {
	for _, r := range c.replicas {
		r.kill()
		if r.clock != nil {
			r.clock.Close()
		}
	}
	c.log.Close()
}

// logged returns the end of the servers' log.
func (c *cluster) logged() string {
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		return err.Error()
	}
	return tail(string(text))
}

// start starts the server and waits until it answers.
func (r *replica) start() error {
	cmd := exec.Command(r.cluster.program, "-addr", r.address, "-dev", "-rate-limit", "0", "-token-ttl", "24h", "-db", r.cluster.database)
	cmd.Dir = r.cluster.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.cluster.dir,
		"AUTHSIGNAL_TENANT_ID=t1", "AUTHSIGNAL_API_SECRET_KEY=" + secretKey, "AUTHSIGNAL_PUBLIC_URL=http://mfa.localhost",
		"AUTHSIGNAL_MANAGEMENT_KEY=" + managementKey, "AUTHSIGNAL_ENCRYPTION_KEY=" + encryptionKey,
	}
	if r.clock != nil {
		cmd.Env = append(cmd.Env, "TORTURE_CLOCK="+r.clock.Name())
	}
	cmd.Stderr = r.cluster.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	output := bufio.NewReader(stdout)
	line, err := output.ReadString('\n')
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("the server ended: %w\n%s", err, r.cluster.logged())
	}
	go io.Copy(io.Discard, output)
	r.cmd = cmd
	if r.address == anyPort { // clients read it while a server is restarted
		r.address = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "http://"), "/v1")
	}
	return nil
}

// tail returns the end of a log.
func tail(text string) string { return text[max(0, len(text)-5_000):] }

func (r *replica) kill() {
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Kill()
	r.cmd.Wait()
	r.cmd = nil
}

// configure gives the tenant the settings of the model.
func (r *replica) configure() error {
	body := fmt.Sprintf(`{"authenticator":{"digits":%d,"drift":2,"maxAuthenticators":%d,"maxFailures":%d,"windowSeconds":86400,"maxFailuresInARow":100}}`,
		digits, maxAuthenticators, maxFailures)
	req, err := http.NewRequest("PUT", "http://"+r.address+"/v1/management/tenants/t1", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", operatorKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != 200 {
		err = fmt.Errorf("settings: status %d %s", res.StatusCode, text)
	}
	return err
}

// dial connects to the replica. reset closes the connection.
func (r *replica) dial() (net.Conn, error) {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[conn] = true
	return conn, nil
}

// hangUp closes a connection.
func (r *replica) hangUp(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
	conn.Close()
}

// reset resets the connections of all clients.
func (r *replica) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		conn.(*net.TCPConn).SetLinger(0) // closing sends RST
		conn.Close()
	}
}

func (r *replica) signal(s syscall.Signal) error { return r.cmd.Process.Signal(s) }

// maxStep is the number of seconds by which a clock may be wrong at most.
const maxStep = 60

// step steps the clock: it is then ahead by a number of seconds.
func (r *replica) step(seconds int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := time.Now()
	if _, err := r.clock.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(seconds)), 0); err != nil {
		return err
	}
	r.offsets[len(r.offsets)-1].until = time.Now()
	r.offsets = append(r.offsets, offset{seconds: seconds, from: from})
	return nil
}

// steps returns the steps of a secret at which the replica's clock may have been
// between a time and now. A call that was not answered may happen later, at any
// time.
func (r *replica) steps(from time.Time, unanswered bool, s *secret) (all span) {
	const slack = 100 * time.Millisecond // the clock of the test and that of the server are read one after another
	until := time.Now()
	if unanswered {
		from, until = from.Add(-2*maxStep*time.Second), until.Add((2*maxStep+60)*time.Second)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.offsets {
		if !o.until.IsZero() && o.until.Before(from) || o.from.After(until) {
			continue
		}
		ahead := time.Duration(o.seconds) * time.Second
		all = append(all, struct{ low, high int64 }{s.params.Step(from.Add(ahead - slack)), s.params.Step(until.Add(ahead + slack))})
	}
	return all
}

// check runs the command that opens every secret and checks what must hold in the
// database. If the clocks were stepped, it may find that one was ahead.
func (c *cluster) check(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.program, "-db", c.database, "check")
	cmd.Env = []string{"HOME=" + c.dir, "AUTHSIGNAL_ENCRYPTION_KEY=" + encryptionKey}
	text, err := cmd.CombinedOutput()
	if err == nil || c.replicas[0].clock != nil && onlyAhead.Match(text) {
		return nil
	}
	return fmt.Errorf("check: %w\n%s", err, tail(string(text)))
}

var onlyAhead = regexp.MustCompile(`^(the newest accepted step of .*, because the clock of a server was ahead.*\n)+(authenticators with a step in the future: \d+ more\n)?authsignal-server: check: \d+ findings?\n$`)

// eventually waits until f is true.
func eventually(what string, f func() bool) error {
	for deadline := time.Now().Add(patience); !f(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			return errors.New("never: " + what)
		}
	}
	return nil
}
