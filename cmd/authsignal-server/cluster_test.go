package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// sharedFolder returns a folder that the user of the database programs may use, and
// removes it after the test. Sockets are in it, whose paths must be short.
func sharedFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		uid, gid := postgresUser(t)
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// postgresUser returns the ids of the user that Debian's package postgresql brings.
func postgresUser(t *testing.T) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("%v (Debian package postgresql)", err)
	}
	id := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	return id(u.Uid), id(u.Gid)
}

// asPostgres returns a command of a database program, which refuses to run as root.
func asPostgres(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	cmd.Dir = dir
	if os.Getuid() == 0 {
		uid, gid := postgresUser(t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	return cmd
}

// A cluster is a PostgreSQL server of its own.
type cluster struct {
	t        *testing.T
	dir, bin string
}

// newCluster starts an empty primary that can have a standby.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		t.Fatalf("PostgreSQL is missing (Debian package postgresql): %v", err)
	}
	slices.Sort(found)
	c := &cluster{t: t, dir: sharedFolder(t), bin: found[len(found)-1]}
	c.run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	c.start()
	return c
}

// standby starts a copy of a primary, whose commits wait for it from now on.
func (c *cluster) standby() *cluster {
	c.t.Helper()
	s := &cluster{t: c.t, dir: sharedFolder(c.t), bin: c.bin}
	s.run("pg_basebackup", "-h", c.dir, "-U", "postgres", "-D", "data", "-R", "-c", "fast", "--no-sync")
	s.start()
	c.sql(`ALTER SYSTEM SET synchronous_standby_names TO '*'`)
	c.sql(`SELECT pg_reload_conf()`)
	// It may not have a standby of its own when it is promoted.
	s.sql(`ALTER SYSTEM SET synchronous_standby_names TO ''`)
	return s
}

func (c *cluster) run(program string, args ...string) {
	c.t.Helper()
	if out, err := asPostgres(c.t, c.dir, filepath.Join(c.bin, program), args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

func (c *cluster) start() {
	c.t.Helper()
	// What is stopped here keeps what it has written: no power is cut.
	c.run("pg_ctl", "-D", "data", "-l", "data/log", "-w", "-o", "-k "+c.dir+" -c listen_addresses='' -c fsync=off -c max_connections=60", "start")
	c.t.Cleanup(func() {
		asPostgres(c.t, c.dir, filepath.Join(c.bin, "pg_ctl"), "-D", "data", "-m", "immediate", "stop").Run()
	})
}

// stop ends the server at once, as a crash does.
func (c *cluster) stop() { c.t.Helper(); c.run("pg_ctl", "-D", "data", "-m", "immediate", "stop") }

// promote makes a standby the primary.
func (c *cluster) promote() { c.t.Helper(); c.run("pg_ctl", "-D", "data", "-w", "promote") }

// socket is the path of the server's socket.
func (c *cluster) socket() string { return filepath.Join(c.dir, ".s.PGSQL.5432") }

// sql executes a statement on the server.
func (c *cluster) sql(statement string) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), "postgres://postgres@/postgres?host="+url.QueryEscape(c.dir))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(c.t.Context()))
	if _, err := conn.Exec(c.t.Context(), statement); err != nil {
		c.t.Fatalf("%s: %v", statement, err)
	}
}

// A forwarder is an address that leads to a socket: a virtual address, or a proxy
// that keeps the connections that it has.
type forwarder struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
}

func forward(t *testing.T, to string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &forwarder{listener: l, to: to}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	return f
}

func (f *forwarder) serve(client net.Conn) {
	defer client.Close()
	f.mu.Lock()
	to := f.to
	f.mu.Unlock()
	server, err := net.Dial("unix", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	io.Copy(client, server)
}

// leadTo makes new connections lead to another socket.
func (f *forwarder) leadTo(to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to
}

func (f *forwarder) url() string {
	return "postgres://postgres@" + f.listener.Addr().String() + "/postgres?sslmode=disable"
}

// pgbouncer starts a PgBouncer in transaction mode before the server of the tests,
// and returns the URL by which it leads to a database.
func pgbouncer(t *testing.T, database string, settings ...string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // which is on the path of root only
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir := sharedFolder(t)
	const port = 6432 // of the socket in the folder
	config := fmt.Sprintf("[databases]\n* = host=%s port=5432\n[pgbouncer]\npool_mode = transaction\nlisten_addr =\nlisten_port = %d\nunix_socket_dir = %s\nauth_type = any\nlogfile = %s/log\n%s\n",
		u.Query().Get("host"), port, dir, dir, strings.Join(settings, "\n"))
	// The user is the one of the URL of the tests, which an administrator would list.
	config = strings.Replace(config, "port=5432", "port=5432 user="+u.User.Username(), 1)
	if err := os.WriteFile(filepath.Join(dir, "ini"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := asPostgres(t, dir, program, "ini")
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (Debian package pgbouncer)", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, "PgBouncer listens", func() bool {
		conn, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(port)))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	u.RawQuery = url.Values{"host": {dir}, "port": {strconv.Itoa(port)}}.Encode()
	return u.String()
}

// role creates a role that can log in, with options, and owns a database. It is
// dropped after the test.
func role(t *testing.T, database, options string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	name := "role_" + strings.TrimPrefix(strings.ReplaceAll(u.Path, "-", ""), "/test_")
	storetest.Exec(t, database, `CREATE ROLE `+name+` LOGIN `+options)
	storetest.Exec(t, database, fmt.Sprintf(`ALTER DATABASE %q OWNER TO %s`, strings.TrimPrefix(u.Path, "/"), name))
	t.Cleanup(func() {
		storetest.Exec(t, database, `REASSIGN OWNED BY `+name+` TO CURRENT_USER`)
		storetest.Exec(t, database, `DROP OWNED BY `+name)
		storetest.Exec(t, database, `DROP ROLE `+name)
	})
	u.User = url.User(name)
	return u.String()
}

// within polls until f is true, and returns how long that took.
func within(t *testing.T, limit time.Duration, what string, f func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !f() {
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond) // between polls
	}
	return time.Since(began)
}
