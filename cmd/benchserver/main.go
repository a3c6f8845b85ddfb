// Command benchserver measures the API server: tracks and verifications per second
// at 1, 8 and 64 connections, with the durations of requests, compared with the
// rate of bare one-row commits of the same database in the same run; and the growth
// of a verification's duration with the number of users. It prints a table and
// writes an SVG chart.
//
//	go run ./cmd/benchserver [-seconds N] [-users N] [-o chart.svg]
//	go run ./cmd/benchserver -neighbours
//
// It builds and starts the server on a SQLite file, and on PostgreSQL if
// AUTHSIGNAL_TEST_POSTGRES is the URL of one (.ci/with-postgres). All traffic stays
// on the loopback; every loop is limited in time and number.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

const (
	tenant    = "bench"
	apiSecret = "bench-secret-key-of-32-characters-1"
	// userSecret is the secret of all users, so that one code per step is enough.
	userSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

var (
	encryptionKey = bytes.Repeat([]byte{1}, 32)
	connections   = []int{1, 8, 64}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	seconds := flag.Float64("seconds", 3, "length of a measurement")
	flag.IntVar(&o.users, "users", 1_000_000, "users of the large database")
	flag.StringVar(&o.chart, "o", "bench-server.svg", "write the chart to this `file`")
	flag.BoolVar(&o.neighbours, "neighbours", false, "measure only the effect of a tenant's rules on another tenant")
	flag.Parse()
	o.length = time.Duration(*seconds * float64(time.Second))
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}

// options are the values of the flags.
type options struct {
	length     time.Duration // of a measurement
	users      int
	chart      string
	neighbours bool
}

// A result is a line of the table.
type result struct {
	store, what   string
	connections   int
	rate          float64 // per second
	p50, p95, p99 time.Duration
	memory        int64         // of the server in bytes; 0 for bare commits
	cpu           time.Duration // of the server's process, per request
	count         int
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "benchserver")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "authsignal-server")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/authsignal-server").CombinedOutput(); err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, out)
	}
	var results []result
	var growth []string
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b := &bench{ctx: ctx, name: name, binary: binary, dir: dir, length: o.length}
		if name == "PostgreSQL" {
			if b.postgres = os.Getenv("AUTHSIGNAL_TEST_POSTGRES"); b.postgres == "" {
				fmt.Println("AUTHSIGNAL_TEST_POSTGRES is not set: SQLite only")
				continue
			}
		}
		if o.neighbours {
			text, err := b.neighbours()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Println(text)
			continue
		}
		got, grown, err := b.all(o.users)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results, growth = append(results, got...), append(growth, grown)
	}
	if o.neighbours {
		return nil
	}
	fmt.Printf("\n%-11s %-8s %5s %10s %9s %9s %9s %9s %9s\n", "store", "what", "conns", "a second", "p50 ms", "p95 ms", "p99 ms", "CPU µs", "MiB")
	for _, r := range results {
		fmt.Printf("%-11s %-8s %5d %10.0f %9.2f %9.2f %9.2f %9.0f %9.0f\n", r.store, r.what, r.connections, r.rate,
			ms(r.p50), ms(r.p95), ms(r.p99), float64(r.cpu)/1e3, float64(r.memory)/(1<<20))
	}
	fmt.Println()
	for _, g := range growth {
		fmt.Println(g)
	}
	return os.WriteFile(o.chart, draw(results), 0o644)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A bench measures one kind of database.
type bench struct {
	ctx                         context.Context
	name, binary, dir, postgres string
	length                      time.Duration
}

func (b *bench) all(users int) ([]result, string, error) {
	// Each user is verified once: a level ends when it has used all of its users.
	perLevel := int(4000 * b.length.Seconds())
	database, drop, err := b.database()
	if err != nil {
		return nil, "", err
	}
	defer drop()
	results, err := b.commits(database)
	if err != nil {
		return nil, "", err
	}
	if err := b.seed(database, len(connections)*perLevel); err != nil {
		return nil, "", err
	}
	s, err := b.start(database)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	idle := s.memory()
	if err := b.settle(s, database); err != nil {
		return nil, "", err
	}
	for i, n := range connections {
		track, err := s.tracks(perLevel, n, b.length)
		if err != nil {
			return nil, "", err
		}
		track.store, track.what = b.name, "track"
		verify, err := s.verifications(between(i*perLevel, (i+1)*perLevel), currentStep, n, b.length)
		if err != nil {
			return nil, "", err
		}
		verify.store, verify.what = b.name, "verify"
		results = append(results, track, verify)
	}
	fmt.Printf("%s: the server took %d MiB before its first request\n", b.name, idle>>20)
	grown, err := b.growth(users)
	return results, grown, err
}

// growth measures how the duration of a verification grows with the number of
// users: the same thousand users, three steps of each, are verified among a thousand
// and among many. They take turns of a hundred, so that other load on the machine
// affects both.
func (b *bench) growth(users int) (string, error) {
	const small, turn = 1000, 100
	var servers [2]*server
	for i, n := range []int{small, users} {
		s, drop, err := b.among(n)
		if err != nil {
			return "", err
		}
		defer drop()
		defer s.stop()
		servers[i] = s
	}
	// The codes of the previous, this and the next step are all accepted until
	// this step ends.
	period := int64(totp.DefaultParameters.Period)
	if left := period - time.Now().Unix()%period; left < period/2 {
		time.Sleep(time.Duration(left) * time.Second)
	}
	step := currentStep()
	var p50 [2][]time.Duration
	var ratios []float64
	for offset := int64(-1); offset <= 1; offset++ {
		for first := 0; first < small; first += turn {
			var pair [2]time.Duration
			for k := range servers {
				i := (k + first/turn) % 2 // the two also take turns at being first
				some := between(first, first+turn)
				for j := range some {
					some[j] *= []int{1, users / small}[i]
				}
				v, err := servers[i].verifications(some, func() int64 { return step + offset }, 8, time.Hour)
				if err != nil {
					return "", err
				}
				pair[i] = v.p50
				p50[i] = append(p50[i], v.p50)
			}
			ratios = append(ratios, float64(pair[1])/float64(pair[0]))
		}
	}
	return fmt.Sprintf("%s: p50 of a verification at 8 connections: %.2f ms among %d users, %.2f ms among %d: %.2f times (medians of %d turns)",
		b.name, ms(median(p50[0])), small, ms(median(p50[1])), users, median(ratios), len(ratios)), nil
}

func median[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// among starts a server with n users.
func (b *bench) among(n int) (s *server, drop func(), err error) {
	database, drop, err := b.database()
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			drop()
		}
	}()
	began := time.Now()
	if err := b.seed(database, n); err != nil {
		return nil, nil, err
	}
	fmt.Printf("%s: %d users seeded in %.0f s\n", b.name, n, time.Since(began).Seconds())
	if s, err = b.start(database); err != nil {
		return nil, nil, err
	}
	if err := b.settle(s, database); err != nil {
		s.stop()
		return nil, nil, err
	}
	return s, drop, nil
}

// settle does what autovacuum does within a minute of a new database's first rows.
// Until then PostgreSQL has no statistics of its tables, and finds an action by
// reading all of the tenant's.
func (b *bench) settle(s *server, database string) error {
	if b.postgres == "" {
		return nil
	}
	if _, err := s.tracks(1000, 8, time.Second); err != nil {
		return err
	}
	db, err := sql.Open("pgx", database)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(b.ctx, `VACUUM (ANALYZE)`)
	return err
}

// between returns the numbers from a up to, but not including, b.
func between(a, b int) []int {
	list := make([]int, b-a)
	for i := range list {
		list[i] = a + i
	}
	return list
}

// database creates an empty database and returns its URL or path, and a function
// that drops it.
func (b *bench) database() (string, func(), error) {
	if b.postgres == "" {
		dir, err := os.MkdirTemp(b.dir, "db")
		return filepath.Join(dir, "authsignal.db"), func() { os.RemoveAll(dir) }, err
	}
	u, err := url.Parse(b.postgres)
	if err != nil {
		return "", nil, errors.New("AUTHSIGNAL_TEST_POSTGRES is not a URL")
	}
	admin, err := sql.Open("pgx", b.postgres)
	if err != nil {
		return "", nil, err
	}
	name := "bench_" + uuid.NewString()
	if _, err := admin.ExecContext(b.ctx, fmt.Sprintf(`CREATE DATABASE %q`, name)); err != nil {
		return "", nil, err
	}
	u.Path = "/" + name
	return u.String(), func() {
		admin.Exec(fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name))
		admin.Close()
	}, nil
}

// commits measures bare one-row commits, with the settings of the server.
func (b *bench) commits(database string) ([]result, error) {
	driver, dsn := "pgx", database
	var one sync.Mutex // SQLite has one writer
	if b.postgres == "" {
		driver = "sqlite"
		dsn = "file:" + database + ".bare?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	if _, err := db.ExecContext(b.ctx, `CREATE TABLE bare (n BIGINT NOT NULL)`); err != nil {
		return nil, err
	}
	var results []result
	for _, n := range connections {
		r := measure(b.ctx, n, b.length, math.MaxInt64, func(int64) error {
			if b.postgres == "" {
				one.Lock()
				defer one.Unlock()
			}
			_, err := db.ExecContext(b.ctx, `INSERT INTO bare (n) VALUES (1)`)
			return err
		})
		if r.err != nil {
			return nil, r.err
		}
		r.store, r.what = b.name, "commit"
		results = append(results, r.result)
	}
	_, err = db.ExecContext(b.ctx, `DROP TABLE bare`)
	return results, err
}

// A server is a running server.
type server struct {
	ctx     context.Context
	cmd     *exec.Cmd
	address string // host:port
}

func (b *bench) start(database string) (*server, error) {
	cmd := exec.CommandContext(b.ctx, b.binary, "-addr", "127.0.0.1:0", "-db", database, "-dev", "-rate-limit", "0")
	cmd.Env = append(os.Environ(), "AUTHSIGNAL_TENANT_ID="+tenant, "AUTHSIGNAL_API_SECRET_KEY="+apiSecret,
		"AUTHSIGNAL_ENCRYPTION_KEY="+base64.StdEncoding.EncodeToString(encryptionKey), "AUTHSIGNAL_MANAGEMENT_KEY="+managementKey)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server did not start: %w", errors.Join(err, cmd.Wait()))
	}
	base, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		return nil, err
	}
	return &server{ctx: b.ctx, cmd: cmd, address: base.Host}, nil
}

func (s *server) stop() {
	s.cmd.Process.Signal(os.Interrupt)
	s.cmd.Wait()
}

// memory returns the resident memory of the server in bytes.
func (s *server) memory() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kB << 10
		}
	}
	return 0
}

// cpu returns the CPU time of the server's process.
func (s *server) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), ") ") // the name may contain spaces
	fields := strings.Fields(rest)
	var ticks int64
	for i := 11; i <= 12 && i < len(fields); i++ { // utime and stime (proc(5))
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// measure measures requests over conns connections.
func (s *server) measure(conns int, length time.Duration, count int64, do func(c *client, k int64) error) (result, error) {
	clients := make(chan *client, conns)
	for range conns {
		c, err := dial(s.address)
		if err != nil {
			return result{}, err
		}
		defer c.conn.Close()
		clients <- c
	}
	before := s.cpu()
	m := measureEach(s.ctx, conns, length, count, func() func(int64) error {
		c := <-clients
		return func(k int64) error { return do(c, k) }
	})
	m.memory = s.memory()
	if m.count > 0 {
		m.cpu = (s.cpu() - before) / time.Duration(m.count)
	}
	return m.result, m.err
}

// tracks measures tracks of actions.
func (s *server) tracks(users, conns int, length time.Duration) (result, error) {
	return s.measure(conns, length, math.MaxInt64, func(c *client, k int64) error {
		_, err := c.do(s.trackRequest(int(k) % users))
		return err
	})
}

func (s *server) trackRequest(user int) []byte {
	return request(s.address, "/v1/users/"+userID(user)+"/actions/signIn", basic(apiSecret), "{}")
}

// verifications tracks an action of each user, and then measures one verification
// of each, with the code of the step at that time.
func (s *server) verifications(users []int, step func() int64, conns int, length time.Duration) (result, error) {
	authorizations := make([]string, len(users))
	_, err := s.measure(8, time.Hour, int64(len(users)), func(c *client, k int64) error {
		answer, err := c.do(s.trackRequest(users[k]))
		authorizations[k] = "Bearer " + text(answer, "token")
		return err
	})
	if err != nil {
		return result{}, err
	}
	var code atomic.Pointer[stepCode]
	return s.measure(conns, length, int64(len(users)), func(c *client, k int64) error {
		now := step()
		last := code.Load()
		if last == nil || last.step != now {
			text, err := totp.Code(userSecret, now, totp.DefaultParameters)
			if err != nil {
				return err
			}
			last = &stepCode{now, text}
			code.Store(last)
		}
		answer, err := c.do(request(s.address, "/v1"+api.PathClientVerifyTOTP, authorizations[k], `{"verificationCode":"`+last.code+`"}`))
		if err != nil {
			return err
		}
		if !bytes.Contains(answer, []byte(`"isVerified":true`)) {
			return fmt.Errorf("a code was refused: %s", answer)
		}
		return nil
	})
}

// A stepCode is the code of a step; all users have the same secret.
type stepCode struct {
	step int64
	code string
}

func currentStep() int64 { return totp.DefaultParameters.Step(time.Now()) }

// A measurement is a result, and an error of one of its requests.
type measurement struct {
	result
	err error
}

func measure(ctx context.Context, conns int, length time.Duration, count int64, do func(k int64) error) measurement {
	return measureEach(ctx, conns, length, count, func() func(int64) error { return do })
}

// measureEach calls functions from conns goroutines for a length of time, at most
// count times in all. own returns the function of a goroutine. k is the number of
// the call, from 0.
func measureEach(ctx context.Context, conns int, length time.Duration, count int64, own func() func(k int64) error) measurement {
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	began := time.Now()
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			var mine []time.Duration
			do := own()
			for time.Since(began) < length && ctx.Err() == nil {
				k := next.Add(1) - 1
				if k >= count {
					break
				}
				t := time.Now()
				if err := do(k); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(began)
	if len(all) == 0 {
		return measurement{err: errors.Join(failed, ctx.Err(), errors.New("nothing was measured"))}
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[min(int(q*float64(len(all))), len(all)-1)] }
	return measurement{result{
		connections: conns, count: len(all), rate: float64(len(all)) / took.Seconds(), p50: at(.5), p95: at(.95), p99: at(.99),
	}, failed}
}
