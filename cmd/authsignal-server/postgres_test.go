package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// recovery is the time within which the first call succeeds after the address of
// the database leads to a primary again. On a machine without other load it takes a
// second or two; the log of a test says how long it took.
const recovery = 20 * time.Second

// After a switch-over the server goes on without a restart: the first call succeeds
// soon, nothing that was acknowledged is lost, and calls that failed have spent no
// attempt.
func TestSwitchOver(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite runs in the process
	}
	for name, play := range map[string]func(t *testing.T, primary, standby *cluster) (database string, switchOver func()){
		// The old primary lives on, but only reads, and the address keeps the
		// connections that it has.
		"the address moves": func(t *testing.T, primary, standby *cluster) (string, func()) {
			f := forward(t, primary.socket())
			return f.url(), func() {
				primary.sql(`ALTER SYSTEM SET default_transaction_read_only TO on`)
				primary.sql(`SELECT pg_reload_conf()`)
				standby.promote()
				f.leadTo(standby.socket())
			}
		},
		"the primary crashes, and both are in the URL": func(t *testing.T, primary, standby *cluster) (string, func()) {
			return "postgres://postgres@/postgres?host=" + url.QueryEscape(primary.dir+","+standby.dir), func() {
				primary.stop()
				standby.promote()
			}
		},
		// Connections to the standby are refused as long as it is one.
		"the address moves before the promotion": func(t *testing.T, primary, standby *cluster) (string, func()) {
			f := forward(t, primary.socket())
			return f.url(), func() {
				f.leadTo(standby.socket())
				primary.stop()
				standby.promote()
			}
		},
	} {
		if name != "the address moves" && os.Getenv("AUTHSIGNAL_TEST_SWITCH_OVERS") != "all" { // make test-all sets it
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := newCluster(t)
			standby := primary.standby()
			database, switchOver := play(t, primary, standby)
			p := start(t, database, "-rate-limit", "0")
			f := &fleet{t: t, database: database, processes: []*process{p}}
			secret := f.enrolled("u1")
			tr := p.track("u1", "k")

			l := f.load(8)
			l.await(50)
			switchOver()
			took := within(t, recovery, "a success after the switch-over", func() bool {
				_, ok := f.enroll(t.Context(), "after")
				return ok
			})
			within(t, recovery, "ready", func() bool { return p.ready() == http.StatusOK })
			l.await(50)
			enrolled, _ := f.kept(l.stop())
			t.Logf("the first success came %s after the switch-over; %d enrollments were acknowledged, %d calls failed", took.Round(time.Millisecond), enrolled, l.failed.Load())
			if !p.verify(tr.Token, codeAt(secret, 1)) {
				t.Error("the right code was refused")
			}
		})
	}
}

// While there is no primary, wrong codes spend no attempt, and /readyz says so.
func TestAStandbyAloneSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	primary := newCluster(t)
	standby := primary.standby()
	address := forward(t, primary.socket())
	p := start(t, address.url())
	secret := (&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	tr := p.track("u1", "k")
	address.leadTo(standby.socket())
	primary.stop()
	for range 12 { // more than the limit of attempts
		if got := p.status(tr.Token, "000000"); got != http.StatusInternalServerError {
			t.Errorf("a standby alone: got status %d", got)
		}
	}
	eventually(t, "not ready", func() bool { return p.ready() == http.StatusServiceUnavailable })
	standby.promote()
	within(t, recovery, "ready", func() bool { return p.ready() == http.StatusOK })
	if !p.verify(tr.Token, codeAt(secret, 1)) {
		t.Error("after the promotion the right code was refused")
	}
}

// Replicas start at once on an empty database behind PgBouncer in transaction mode,
// which has one connection to it, and nothing of it shows.
func TestBehindPgBouncer(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	for _, size := range []int{1, 8} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			database := storetest.Empty(t)
			pooled := pgbouncer(t, database, fmt.Sprintf("default_pool_size = %d", size))
			f := &fleet{t: t, database: pooled, processes: make([]*process, 3)}
			var wg sync.WaitGroup
			for i := range f.processes {
				wg.Go(func() { f.processes[i] = start(t, pooled, "-rate-limit", "0") })
			}
			wg.Wait()
			l := f.load(8)
			l.await(100)
			acknowledged := l.stop()
			if n := l.failed.Load(); n != 0 {
				t.Errorf("%d calls failed", n)
			}
			f.kept(acknowledged)
			for _, p := range f.processes {
				if got := p.ready(); got != http.StatusOK {
					t.Errorf("/readyz is %d", got)
				}
			}
			db := storetest.Connect(t, database)
			var locks, tables int
			err := db.QueryRow(`SELECT (SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
				(SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public')`).Scan(&locks, &tables)
			if err != nil || locks != 0 || tables != 0 {
				t.Errorf("left behind: %d locks, %d tables in public, %v", locks, tables, err)
			}
		})
	}
}

// A pooler that comes before a server that runs is recognised by the connections
// that are made then.
func TestPgBouncerComesLater(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	database := storetest.Empty(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	address := forward(t, filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
	direct, err := url.Parse(address.url())
	if err != nil {
		t.Fatal(err)
	}
	direct.Path = u.Path
	p := start(t, direct.String(), "-rate-limit", "0", "-db-connection-life", "1s")
	f := &fleet{t: t, database: database, processes: []*process{p}}
	l := f.load(8)
	l.await(25)
	pooled, err := url.Parse(pgbouncer(t, database, "default_pool_size = 2"))
	if err != nil {
		t.Fatal(err)
	}
	address.leadTo(filepath.Join(pooled.Query().Get("host"), ".s.PGSQL."+pooled.Query().Get("port")))
	db := storetest.Connect(t, database)
	eventually(t, "all connections come by the pooler", func() bool {
		var n int
		err := db.QueryRow(`SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n)
		return err == nil && n <= 2
	})
	l.await(25)
	f.kept(l.stop())
	if n := l.failed.Load(); n != 0 {
		t.Errorf("%d calls failed", n)
	}
}

// With fewer connections than the pool may have, calls wait instead of failing.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	for name, limited := range map[string]func(t *testing.T, database string) (string, []string){
		"of the role": func(t *testing.T, database string) (string, []string) {
			return role(t, database, "CONNECTION LIMIT 10"), []string{"-db-connections", "32"}
		},
		"of PgBouncer": func(t *testing.T, database string) (string, []string) {
			return pgbouncer(t, database, "max_client_conn = 5"), []string{"-db-connections", "16"}
		},
		"of the URL": func(t *testing.T, database string) (string, []string) {
			return database + "&pool_max_conns=2", nil
		},
		"of the flag": func(t *testing.T, database string) (string, []string) {
			return database + "&pool_max_conns=20", []string{"-db-connections", "1"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, flags := limited(t, storetest.Empty(t))
			p := start(t, database, append(flags, "-rate-limit", "0", "-db-wait", "1m")...)
			p.client.Timeout = time.Minute
			f := &fleet{t: t, database: database, processes: []*process{p}}
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					for n := range 3 {
						if a, ok := f.enroll(t.Context(), fmt.Sprintf("u%d-%d", i, n)); !ok || !a.enrolled {
							t.Errorf("client %d failed", i)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// When the wait is over, the call fails, the log says which flags decide, and no
// attempt is spent.
func TestNoConnectionWithinTheWait(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	database := storetest.Database(t)
	p := start(t, database, "-db-connections", "1", "-db-wait", "200ms")
	secret := (&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	tr := p.track("u1", "k")
	held, err := storetest.Connect(t, database).Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(`LOCK TABLE users IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var failed atomic.Int32
	wg.Go(func() { p.status(tr.Token, "000000") }) // it has the only connection
	for range 12 {
		wg.Go(func() {
			if p.status(tr.Token, "000000") == http.StatusInternalServerError {
				failed.Add(1)
			}
		})
	}
	eventually(t, "calls give up", func() bool { return failed.Load() >= 12 })
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if !p.verify(tr.Token, codeAt(secret, 1)) {
		t.Error("the right code was refused")
	}
	kill(t, p)
	if log := p.stderr.String(); !strings.Contains(log, "-db-wait") || !strings.Contains(log, "-db-connections") {
		t.Errorf("the log names no flag:\n%s", log)
	}
}

// A database that an earlier version made is moved to the schema with all that is
// in it, beside another program; that version does not start on it any more.
func TestAnEarlierDatabaseIsMoved(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	dump, err := os.ReadFile("testdata/earlier.sql")
	if err != nil {
		t.Fatal(err)
	}
	database := storetest.Empty(t)
	storetest.Exec(t, database, string(dump))
	storetest.Exec(t, database, `CREATE TABLE public.invoices (id bigint PRIMARY KEY)`)
	f := &fleet{t: t, database: database, processes: make([]*process, 3)}
	var wg sync.WaitGroup
	for i := range f.processes {
		wg.Go(func() { f.processes[i] = start(t, database) })
	}
	wg.Wait()
	tr := f.next().track("u1", "k2")
	if tr.State != authsignal.StateChallengeRequired || !tr.IsEnrolled {
		t.Errorf("user u1: state %s, enrolled %v", tr.State, tr.IsEnrolled)
	}
	if !f.next().verify(tr.Token, codeAt(secret, 1)) {
		t.Error("the code of the authenticator was refused")
	}
	if a, err := f.next().client.Action(t.Context(), "u1", "signIn", "k0"); err != nil || a.State != authsignal.StateAllow {
		t.Errorf("the action of the earlier version: %+v, %v", a, err)
	}
	if list, err := f.next().client.Authenticators(t.Context(), "u2"); err != nil || len(list) != 1 || list[0].Email != "jane@example.com" {
		t.Errorf("the authenticators of u2: %+v, %v", list, err)
	}
	var left string
	err = storetest.Connect(t, database).QueryRow(`SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'`).Scan(&left)
	if err != nil || left != "goose_db_version invoices" {
		t.Errorf("left in public: %s, %v", left, err)
	}
}

// Two servers share a database by two schemas. A misspelt schema is no new
// database.
func TestSchemas(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	database := storetest.Empty(t)
	p := start(t, database)
	(&fleet{t: t, processes: []*process{p}}).enrolled("u1")
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", database, "-db-schema", "authsignl")); !strings.Contains(got, `"authsignal" was made with the same encryption key`) {
		t.Errorf("a misspelt schema: got %s", got)
	}
	cmd := command(t, "-addr", "127.0.0.1:0", "-dev", "-db", database, "-db-schema", "staging")
	cmd.Env = append(cmd.Env, "AUTHSIGNAL_ENCRYPTION_KEY=CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=")
	other := startCommand(t, cmd)
	if got := other.track("u1", "k"); got.IsEnrolled {
		t.Error("the other schema has the user of the first")
	}
	if got := p.track("u1", "k"); !got.IsEnrolled {
		t.Error("the first schema has lost its user")
	}
}

// Tables are created by a role that may, and used by one that may not.
func TestMigrateDB(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return
	}
	database := storetest.Empty(t)
	limited := role(t, database, "")
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, database, fmt.Sprintf(`ALTER DATABASE %q OWNER TO CURRENT_USER`, strings.TrimPrefix(u.Path, "/")))
	if got := fails(t, command(t, "-addr", "127.0.0.1:0", "-db", limited)); !strings.Contains(got, `CREATE SCHEMA "authsignal" AUTHORIZATION`) {
		t.Errorf("without a role that may: got %s", got)
	}
	for range 2 {
		p := start(t, limited, "-migrate-db", database)
		p.track("u1", "k")
		if got := p.ready(); got != http.StatusOK {
			t.Errorf("/readyz is %d", got)
		}
		kill(t, p)
	}
	p := start(t, limited) // nothing is left to create
	p.track("u1", "k")
}

// A load is clients that enroll users until it is stopped.
type load struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed atomic.Int64
	more   chan struct{}

	mu           sync.Mutex
	acknowledged []acknowledgement
}

// load starts clients.
func (f *fleet) load(clients int) *load {
	l := &load{t: f.t, more: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(f.t.Context())
	for c := range clients {
		l.wg.Go(func() {
			for i := 0; l.ctx.Err() == nil; i++ {
				a, ok := f.enroll(l.ctx, fmt.Sprintf("u%d-%d", c, i))
				if !ok || !a.enrolled {
					if l.ctx.Err() == nil {
						l.failed.Add(1)
					}
				}
				if !ok {
					continue
				}
				l.mu.Lock()
				l.acknowledged = append(l.acknowledged, a)
				l.mu.Unlock()
				select {
				case l.more <- struct{}{}:
				default:
				}
			}
		})
	}
	f.t.Cleanup(func() { l.stop() })
	return l
}

// await waits until n more changes were acknowledged.
func (l *load) await(n int) {
	l.t.Helper()
	late := time.After(2 * time.Minute)
	for range n {
		select {
		case <-l.more:
		case <-late:
			l.t.Fatal("no load: too few changes were acknowledged within two minutes")
		}
	}
}

// stop ends the load, and returns what was acknowledged.
func (l *load) stop() []acknowledgement {
	l.cancel()
	l.wg.Wait()
	return l.acknowledged
}
