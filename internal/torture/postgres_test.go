package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
)

// A pair is a PostgreSQL with a standby. A commit is acknowledged when the standby
// has it, so that a switch-over loses none. The servers reach the primary through
// the proxy.
type pair struct {
	dir, bin string
	proxy    *proxy
	// servers are the first processes of the two. They are children of the test,
	// which so learns when they have ended.
	servers [2]*exec.Cmd
	// primary is the number of the primary, 0 or 1.
	primary int
	// user is that of the programs if it is not the test's own: initdb refuses root,
	// and Debian's package brings a user.
	user *syscall.Credential
}

// newPair makes the two. The database is called torture.
func newPair(ctx context.Context, dir string) (*pair, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return nil, errors.New("PostgreSQL is missing (Debian package postgresql)")
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	p := &pair{dir: dir, bin: found[len(found)-1]}
	if os.Getuid() == 0 {
		postgres, err := osuser.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, err := strconv.ParseUint(postgres.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(uid), -1); err != nil {
			return nil, err
		}
		p.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), NoSetGroups: true}
	}
	if p.proxy, err = newProxy(p.socket(0)); err != nil {
		return nil, err
	}
	if err := p.run("initdb", "-D", p.data(0), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return p, err
	}
	for _, step := range []func() error{
		func() error { return p.start(ctx, 0) },
		func() error { return p.exec(ctx, `CREATE DATABASE torture`) },
		func() error { return p.addStandby(ctx) },
	} {
		if err := step(); err != nil {
			return p, err
		}
	}
	return p, nil
}

// version returns the version in the path of PostgreSQL's programs.
func version(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return n
}

func (p *pair) data(i int) string   { return filepath.Join(p.dir, fmt.Sprint("data-", i)) }
func (p *pair) folder(i int) string { return filepath.Join(p.dir, fmt.Sprint("socket-", i)) }
func (p *pair) socket(i int) string { return filepath.Join(p.folder(i), ".s.PGSQL.5432") }

// url is the database as the servers reach it.
func (p *pair) url() string {
	return "postgres://postgres@" + p.proxy.listener.Addr().String() + "/torture?sslmode=disable"
}

// command returns one of PostgreSQL's programs.
func (p *pair) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	return cmd
}

func (p *pair) run(program string, args ...string) error {
	if text, err := p.command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, text)
	}
	return nil
}

// start starts a server and waits until it answers.
func (p *pair) start(ctx context.Context, i int) error {
	if err := os.MkdirAll(p.folder(i), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(p.folder(i), 0o777); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(p.dir, fmt.Sprint("log-", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// What is killed are processes, so the files need not survive a power cut.
	cmd := p.command("postgres", "-D", p.data(i), "-k", p.folder(i), "-c", "listen_addresses=",
		"-c", "max_connections=100", "-c", "fsync=off", "-c", "wal_keep_size=512MB", "-c", "wal_retrieve_retry_interval=100ms")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p.servers[i] = cmd
	db, err := p.open(i)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := eventually("PostgreSQL answers", func() bool { return db.PingContext(ctx) == nil }); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, tail(string(text)))
	}
	return nil
}

// open connects to a server, past the proxy.
func (p *pair) open(i int) (*sql.DB, error) {
	return sql.Open("pgx", "postgres://postgres@/postgres?host="+url.QueryEscape(p.folder(i)))
}

func (p *pair) exec(ctx context.Context, statement string) error {
	db, err := p.open(p.primary)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// synchronous makes commits wait for the standby, or not.
func (p *pair) synchronous(ctx context.Context, names string) error {
	if err := p.exec(ctx, `ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`); err != nil {
		return err
	}
	return p.exec(ctx, `SELECT pg_reload_conf()`)
}

// addStandby makes a new standby of the primary, and commits wait for it from then
// on.
func (p *pair) addStandby(ctx context.Context) error {
	i := 1 - p.primary
	if p.servers[i] != nil {
		return errors.New("the former primary still runs")
	}
	if err := os.RemoveAll(p.data(i)); err != nil {
		return err
	}
	if err := p.run("pg_basebackup", "-h", p.folder(p.primary), "-U", "postgres", "-D", p.data(i), "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return err
	}
	if err := p.start(ctx, i); err != nil {
		return err
	}
	if err := p.synchronous(ctx, "*"); err != nil {
		return err
	}
	return p.settled(ctx)
}

// settled waits until the standby has all that the primary has, and commits wait for
// it.
func (p *pair) settled(ctx context.Context) error {
	db, err := p.open(p.primary)
	if err != nil {
		return err
	}
	defer db.Close()
	return eventually("the standby is synchronous", func() bool {
		var n int
		err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'`).Scan(&n)
		return err == nil && n == 1
	})
}

// processes returns the processes of a server, the first one first.
func (p *pair) processes(i int) ([]int, error) {
	first := p.servers[i].Process.Pid
	pids := []int{first}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		// The name of the program is in parentheses; state and parent follow.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(first) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// signal sends a signal to all processes of a server.
func (p *pair) signal(i int, s syscall.Signal) error {
	pids, err := p.processes(i)
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil && err != syscall.ESRCH {
			return err
		}
	}
	return err
}

// kill kills a server and waits until no process of it is left.
func (p *pair) kill(i int) error {
	pids, err := p.processes(i)
	if err != nil {
		return err
	}
	if err := p.signal(i, syscall.SIGKILL); err != nil {
		return err
	}
	p.servers[i].Wait()
	p.servers[i] = nil
	return eventually("the processes of PostgreSQL end", func() bool {
		return !slices.ContainsFunc(pids, alive)
	})
}

// shutDown ends a server as an operator does: its connections are closed, and the
// standby gets the whole log.
func (p *pair) shutDown(i int) error {
	if err := p.servers[i].Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	late := time.AfterFunc(patience, func() { p.signal(i, syscall.SIGKILL) })
	err := p.servers[i].Wait()
	p.servers[i] = nil
	if !late.Stop() {
		return errors.New("PostgreSQL does not end")
	}
	return err
}

// alive reports whether a process is there and has not ended.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return len(fields) > 0 && fields[0] != "Z"
}

// switchOver stops the primary, leads the address to the standby, promotes that and
// adds a new standby. For a time, the servers reach a standby that is read-only.
// A planned switch-over lets the primary send all that it has; otherwise it is
// killed.
func (p *pair) switchOver(ctx context.Context, planned bool, readOnly time.Duration) error {
	stop := p.kill
	if planned {
		stop = p.shutDown
	}
	if err := stop(p.primary); err != nil {
		return err
	}
	p.primary = 1 - p.primary
	p.proxy.redirect(p.socket(p.primary))
	time.Sleep(readOnly) // that is a part of the fault
	if err := p.exec(ctx, `SELECT pg_promote()`); err != nil {
		return err
	}
	// It has the settings of the primary when that was copied.
	if err := p.synchronous(ctx, ""); err != nil {
		return err
	}
	return p.addStandby(ctx)
}

// restart kills the primary and starts it again: it recovers from its log.
func (p *pair) restart(ctx context.Context) error {
	if err := p.kill(p.primary); err != nil {
		return err
	}
	if err := p.start(ctx, p.primary); err != nil {
		return err
	}
	return p.settled(ctx)
}

// stop kills both.
func (p *pair) stop() {
	for i, server := range p.servers {
		if server != nil {
			p.kill(i)
		}
	}
	p.proxy.close()
}

// A proxy accepts TCP connections and forwards them to a Unix socket.
type proxy struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	conns  map[net.Conn]bool
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, conns: map[net.Conn]bool{}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			go p.serve(conn)
		}
	}()
	return p, nil
}

func (p *proxy) serve(conn net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	to, err := net.Dial("unix", target)
	if err != nil {
		conn.Close()
		return
	}
	p.mu.Lock()
	if p.target != target { // it was redirected meanwhile
		p.mu.Unlock()
		conn.Close()
		to.Close()
		return
	}
	p.conns[conn] = true
	p.mu.Unlock()
	var once sync.Once
	end := func() {
		once.Do(func() {
			p.mu.Lock()
			delete(p.conns, conn)
			p.mu.Unlock()
			conn.Close()
			to.Close()
		})
	}
	go func() { io.Copy(to, conn); end() }()
	io.Copy(conn, to)
	end()
}

// reset resets all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		conn.(*net.TCPConn).SetLinger(0) // closing sends RST
		conn.Close()
	}
}

// redirect leads all new connections elsewhere, and resets the others.
func (p *proxy) redirect(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.reset()
}

func (p *proxy) close() {
	p.listener.Close()
	p.reset()
}
