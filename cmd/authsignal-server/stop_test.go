package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// get requests a path beside /v1 on a connection of its own, unless the client keeps
// connections.
func (p *process) get(client *http.Client, path string) (*http.Response, error) {
	res, err := client.Get(strings.TrimSuffix(p.url, "/v1") + path)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	return res, err
}

// fresh is a client whose requests have a connection each.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the end of a process, which must have no error.
func (p *process) ends() {
	p.t.Helper()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("exit: %v\n%s", err, p.stderr.String())
	}
}

// After SIGTERM a server that a proxy follows says that it is not ready, and serves
// requests until the drain ends; their connections are closed.
func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	p := start(t, storetest.Database(t), "-drain", "5s") // in which a slow machine makes the calls below
	kept := &http.Client{Transport: &http.Transport{}}
	if res, err := p.get(kept, "/readyz"); err != nil || res.StatusCode != 200 || res.Close {
		t.Fatalf("before: got %v, %v", res, err)
	}
	p.signal(syscall.SIGTERM)
	eventually(t, "not ready", func() bool {
		res, err := p.get(fresh, "/readyz")
		return err == nil && res.StatusCode == 503
	})
	for _, client := range []*http.Client{kept, fresh} {
		if res, err := p.get(client, "/healthz"); err != nil || res.StatusCode != 200 || !res.Close {
			t.Errorf("in the drain: got %+v, %v", res, err)
		}
	}
	if tr := p.track("u1", "k"); tr.Token == "" {
		t.Errorf("in the drain: got %+v", tr)
	}
	p.ends()
	if _, err := p.get(fresh, "/healthz"); err == nil {
		t.Error("after the drain, the server answers")
	}
}

// Without a probe, and after Ctrl-C, there is no drain; a second signal ends one.
func TestStopsWithoutADrain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		probed  bool
		args    []string
		signals []os.Signal
		drain   string // in the log
		killed  bool
	}{
		{"without a probe", false, nil, []os.Signal{syscall.SIGTERM}, `"drain":"0s"`, false},
		{"with a probe, but -drain 0", true, []string{"-drain", "0"}, []os.Signal{syscall.SIGTERM}, `"drain":"0s"`, false},
		{"with a probe, and Ctrl-C", true, nil, []os.Signal{os.Interrupt}, "", false},
		{"with a probe, and twice", true, []string{"-drain", "10m"}, []os.Signal{syscall.SIGTERM, syscall.SIGTERM}, `"drain":"10m0s"`, true},
		{"with a probe, and Ctrl-C after it", true, nil, []os.Signal{syscall.SIGTERM, os.Interrupt}, `"drain":"5s"`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, storetest.Database(t), tt.args...)
			if tt.probed {
				if _, err := p.get(fresh, "/readyz"); err != nil {
					t.Fatal(err)
				}
			}
			for i, s := range tt.signals {
				if i > 0 { // the first one has arrived
					eventually(t, "not ready", func() bool {
						res, err := p.get(fresh, "/readyz")
						return err == nil && res.StatusCode == 503
					})
				}
				p.signal(s)
			}
			err := p.cmd.Wait()
			if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() != tt.killed {
				t.Errorf("exit: %v\n%s", err, p.stderr.String())
			}
			if log := p.stderr.String(); !strings.Contains(log, tt.drain) || tt.drain == "" && strings.Contains(log, `"drain"`) {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

// A balancer is a reverse proxy that sends requests to those of its backends whose
// /readyz answers 200, in turn, as nginx, Caddy and Kubernetes do.
type balancer struct {
	url      string
	backends []*balanced
	turn     atomic.Uint64
}

type balanced struct {
	proxy *httputil.ReverseProxy
	ready atomic.Bool
}

func newBalancer(t *testing.T, addresses []string) *balancer {
	t.Helper()
	b := &balancer{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, address := range addresses {
		u := &url.URL{Scheme: "http", Host: address}
		// Connections to the backend are kept.
		proxy := httputil.NewSingleHostReverseProxy(u)
		proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
		backend := &balanced{proxy: proxy}
		b.backends = append(b.backends, backend)
		wg.Go(func() {
			for tick := time.Tick(100 * time.Millisecond); ; {
				res, err := fresh.Get(u.JoinPath("readyz").String())
				if err == nil {
					res.Body.Close()
				}
				backend.ready.Store(err == nil && res.StatusCode == 200)
				select {
				case <-ctx.Done():
					return
				case <-tick:
				}
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: b}
	go s.Serve(l)
	t.Cleanup(func() { cancel(); s.Close(); wg.Wait() })
	b.url = "http://" + l.Addr().String()
	return b
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := b.turn.Add(1) // once: others take turns meanwhile, and each backend must be asked
	for i := range b.backends {
		if backend := b.backends[(turn+uint64(i))%uint64(len(b.backends))]; backend.ready.Load() {
			backend.proxy.ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no backend is ready", http.StatusServiceUnavailable)
}

// free returns addresses that nothing listens on. Until the end of the test they are
// bound, so that they are given to no other program that asks for a free one; a
// program that asks for them may listen on them, because it too has SO_REUSEADDR.
func free(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		bound, err := syscall.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, fmt.Sprint("127.0.0.1:", bound.(*syscall.SockaddrInet4).Port))
	}
	return addresses
}

// Under the load of 32 clients, a rolling restart of two replicas behind a proxy that
// follows /readyz loses no request, and every acknowledged verification counts.
func TestARollingRestartLosesNoRequest(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // one process: TestASocketRestartRefusesNoConnection
	}
	addresses := free(t, 2)
	database := storetest.Database(t)
	run := func(i int) *process {
		return startCommand(t, command(t, "-addr", addresses[i], "-dev", "-db", database, "-rate-limit", "0", "-drain", "4s")) // many probes, on a slow machine too
	}
	replicas := []*process{run(0), run(1)}
	b := newBalancer(t, addresses)
	for _, backend := range b.backends {
		eventually(t, "ready", backend.ready.Load)
	}

	stop := make(chan struct{})
	acknowledged := make([][]string, 32) // users, by client
	var requests atomic.Int64
	var wg sync.WaitGroup
	for client := range acknowledged {
		wg.Go(func() {
			through := &process{t: t, url: b.url + "/v1", client: authsignal.New(apiSecretKey, b.url+"/v1")}
			through.client.Timeout = time.Minute
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				user := fmt.Sprintf("u%d-%d", client, i)
				a, err := through.client.EnrollVerifiedAuthenticator(t.Context(), user, authsignal.EnrollVerifiedRequest{
					VerificationMethod: authsignal.AuthenticatorApp, OTPURI: "otpauth://totp/x?secret=" + secret,
				})
				if err != nil || a.UserAuthenticatorID == "" {
					t.Errorf("import: %v", err)
					return
				}
				tr, err := through.client.Track(t.Context(), authsignal.TrackRequest{
					UserID: user, Action: "signIn", Attributes: authsignal.Attributes{IdempotencyKey: "k"},
				})
				if err != nil {
					t.Errorf("track: %v", err)
					return
				}
				answer, ok := through.try("/client/verify/totp", tr.Token, `{"verificationCode":"`+codeAt(secret, 0)+`"}`)
				if !ok || answer["isVerified"] != true {
					t.Errorf("verify: %v, %v", answer, ok)
					return
				}
				requests.Add(3)
				acknowledged[client] = append(acknowledged[client], user)
			}
		})
	}
	for i := range replicas {
		before := requests.Load()
		eventually(t, "requests", func() bool { return requests.Load() > before+100 })
		replicas[i].signal(syscall.SIGTERM)
		replicas[i].ends()
		replicas[i] = run(i)
		eventually(t, "ready again", b.backends[i].ready.Load)
	}
	close(stop)
	wg.Wait()
	all := slices.Concat(acknowledged...)
	for _, user := range all {
		a, err := replicas[0].client.Action(t.Context(), user, "signIn", "k")
		if err != nil || a.State != authsignal.StateChallengeSucceeded {
			t.Errorf("%s: got %+v, %v", user, a, err)
		}
	}
	t.Logf("%d requests, %d verifications", requests.Load(), len(all))
}

// withSocket makes a command one whose sockets systemd has passed.
func withSocket(t *testing.T, cmd *exec.Cmd, listeners map[string]*net.TCPListener) *exec.Cmd {
	t.Helper()
	var names []string
	for name, l := range listeners {
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		names = append(names, name)
	}
	// The process must have the number that the variable names.
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{shell, "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	return cmd
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// With a socket of systemd, a restart of a single process refuses no connection: they
// wait in the socket.
func TestASocketRestartRefusesNoConnection(t *testing.T) {
	t.Parallel()
	l := listen(t)
	db := storetest.Database(t)
	run := func() *process {
		return startCommand(t, withSocket(t, command(t, "-dev", "-db", db, "-rate-limit", "0"), map[string]*net.TCPListener{"authsignal.socket": l}))
	}
	p := run()
	if want := "http://" + l.Addr().String() + "/v1"; p.url != want {
		t.Fatalf("got %s, want %s", p.url, want)
	}
	stop := make(chan struct{})
	var requests atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := p.get(client, "/healthz")
				if err != nil || res.StatusCode != 200 {
					t.Errorf("got %v, %v", res, err)
					return
				}
				requests.Add(1)
			}
		})
	}
	for range 3 {
		before := requests.Load()
		eventually(t, "requests", func() bool { return requests.Load() > before+50 || t.Failed() })
		p.signal(syscall.SIGTERM)
		p.ends()
		next := run()
		p.cmd = next.cmd
	}
	close(stop)
	wg.Wait()
}

// A socket with the name metrics is for the metrics. Others that the server does not
// know are refused.
func TestPassedSockets(t *testing.T) {
	t.Parallel()
	api, metrics := listen(t), listen(t)
	db := storetest.Database(t)
	p := startCommand(t, withSocket(t, command(t, "-dev", "-db", db, "-metrics-addr", "127.0.0.1:1"),
		map[string]*net.TCPListener{"": api, "metrics": metrics}))
	res, err := fresh.Get("http://" + metrics.Addr().String() + "/metrics")
	if err != nil || res.StatusCode != 200 || !strings.Contains(p.url, api.Addr().String()) {
		t.Errorf("got %v, %v; the API is at %s", res, err, p.url)
	}
	kill(t, p)
	for want, listeners := range map[string]map[string]*net.TCPListener{
		"one TCP socket for the API": {"a": api, "b": metrics},
		"-metrics-addr turns on":     {"a": api, "metrics": metrics},
	} {
		if got := fails(t, withSocket(t, command(t, "-dev", "-db", db), listeners)); !strings.Contains(got, want) {
			t.Errorf("%v: got %s", listeners, got)
		}
	}
	// A portal on an address of the network is refused for a passed socket too.
	open, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if got := fails(t, withSocket(t, command(t, "-db", db, "-portal", "on"), map[string]*net.TCPListener{"a": open.(*net.TCPListener)})); !strings.Contains(got, "-portal on") {
		t.Errorf("got %s", got)
	}
}

// Debian's systemd-socket-activate passes sockets as systemd does.
func TestSystemdSocketActivate(t *testing.T) {
	t.Parallel()
	address := free(t, 1)[0]
	cmd := command(t, "-dev", "-db", storetest.Database(t))
	args := []string{"-l", address, "--fdname=api"}
	for _, v := range cmd.Env {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AUTHSIGNAL_") || name == "TEST_RUN_MAIN" {
			args = append(args, "-E", v)
		}
	}
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Fatalf("%v (Debian package systemd)", err)
	}
	cmd.Args = append(append([]string{activate}, args...), cmd.Args...)
	cmd.Path = activate
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// The first connection starts the server, and waits for it.
	var res *http.Response
	eventually(t, "the socket", func() bool {
		res, err = fresh.Get("http://" + address + "/healthz")
		return err == nil
	})
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("got %v\n%s", res, stderr.String())
	}
}

// A manager is the socket on which systemd receives the states of a unit.
func manager(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func() string {
		t.Helper()
		b := make([]byte, 4096)
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// systemd learns when the server is ready, that it runs, and that it stops.
func TestNotifiesSystemd(t *testing.T) {
	t.Parallel()
	path, next := manager(t)
	cmd := command(t, "-addr", "127.0.0.1:0", "-dev", "-db", storetest.Database(t), "-drain", "1s")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=200000")
	p := startCommand(t, cmd)
	until := func(want string) (states string) {
		t.Helper()
		for {
			if states = next(); strings.Contains(states, want) {
				return states
			}
		}
	}
	if got := until("READY=1"); !strings.Contains(got, "STATUS=Serving "+p.url) {
		t.Errorf("got %q", got)
	}
	for range 3 {
		until("WATCHDOG=1")
	}
	p.signal(syscall.SIGTERM)
	// The drain, 20 seconds for requests and 5 for the rest.
	if got := until("STOPPING=1"); !strings.Contains(got, "EXTEND_TIMEOUT_USEC=26000000") {
		t.Errorf("got %q", got)
	}
	until("WATCHDOG=1") // in the drain too
	p.ends()
}
