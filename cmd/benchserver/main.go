// Command benchserver measures the API server: tracks and verifications a
// second at 1, 8 and 64 connections, with the times that requests took, beside
// the bare rate of one-row commits that the same database reaches in the same
// run; and how the time of a verification grows with the number of users. It
// prints a table and writes an SVG chart.
//
//	go run ./cmd/benchserver [-seconds N] [-users N] [-o chart.svg]
//
// It builds and starts the true binary on a SQLite file, and on PostgreSQL when
// AUTHSIGNAL_TEST_POSTGRES has the URL of one (.ci/with-postgres). All traffic
// stays on the loopback; every loop is bounded in time and number.
package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
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

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

const (
	tenant    = "bench"
	apiSecret = "bench-secret"
	// userSecret is every user's, which makes codes cheap to know.
	userSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

var (
	encryptionKey = bytes.Repeat([]byte{1}, 32)
	connections   = []int{1, 8, 64}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	seconds := flag.Float64("seconds", 3, "length of a measurement")
	users := flag.Int("users", 1_000_000, "users of the large database")
	chart := flag.String("o", "bench-server.svg", "write the chart here")
	flag.Parse()
	if err := run(ctx, time.Duration(*seconds*float64(time.Second)), *users, *chart); err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", err)
		os.Exit(1)
	}
}

// A result is a line of the table.
type result struct {
	store, what   string
	connections   int
	rate          float64 // a second
	p50, p95, p99 time.Duration
	memory        int64 // bytes, of the server; 0 where there is none
}

func run(ctx context.Context, length time.Duration, users int, chart string) error {
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
		b := &bench{ctx: ctx, name: name, binary: binary, dir: dir, length: length}
		if name == "PostgreSQL" {
			if b.postgres = os.Getenv("AUTHSIGNAL_TEST_POSTGRES"); b.postgres == "" {
				fmt.Println("AUTHSIGNAL_TEST_POSTGRES is not set: SQLite only")
				continue
			}
		}
		got, grown, err := b.all(users)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results, growth = append(results, got...), append(growth, grown)
	}
	fmt.Printf("\n%-11s %-8s %5s %10s %9s %9s %9s %9s\n", "store", "what", "conns", "a second", "p50 ms", "p95 ms", "p99 ms", "MiB")
	for _, r := range results {
		fmt.Printf("%-11s %-8s %5d %10.0f %9.2f %9.2f %9.2f %9.0f\n", r.store, r.what, r.connections, r.rate,
			ms(r.p50), ms(r.p95), ms(r.p99), float64(r.memory)/(1<<20))
	}
	fmt.Println()
	for _, g := range growth {
		fmt.Println(g)
	}
	return os.WriteFile(chart, draw(results), 0o644)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A bench measures one kind of database.
type bench struct {
	ctx                         context.Context
	name, binary, dir, postgres string
	length                      time.Duration
}

func (b *bench) all(users int) ([]result, string, error) {
	const small = 1000
	perLevel := int(6000 * b.length.Seconds())
	database, drop, err := b.database()
	if err != nil {
		return nil, "", err
	}
	defer drop()
	results, err := b.commits(database)
	if err != nil {
		return nil, "", err
	}
	if err := b.seed(database, 0, len(connections)*perLevel); err != nil {
		return nil, "", err
	}
	s, err := b.start(database)
	if err != nil {
		return nil, "", err
	}
	defer s.stop()
	for i, n := range connections {
		track := s.measure(n, b.length, func(k int64) error {
			return s.track(fmt.Sprintf("u%d", k%int64(perLevel)), "")
		})
		track.store, track.what = b.name, "track"
		verify, err := s.verifications(i*perLevel, perLevel, n, b.length)
		if err != nil {
			return nil, "", err
		}
		verify.store, verify.what = b.name, "verify"
		results = append(results, track, verify)
	}

	// How the time grows: the same measurement on a small and a large database.
	var p50 []time.Duration
	for _, n := range []int{small, users} {
		database, drop, err := b.database()
		if err != nil {
			return nil, "", err
		}
		defer drop()
		began := time.Now()
		if err := b.seed(database, 0, n); err != nil {
			return nil, "", err
		}
		fmt.Printf("%s: %d users seeded in %.0f s\n", b.name, n, time.Since(began).Seconds())
		s, err := b.start(database)
		if err != nil {
			return nil, "", err
		}
		v, err := s.verifications(0, small, 8, b.length)
		s.stop()
		if err != nil {
			return nil, "", err
		}
		p50 = append(p50, v.p50)
	}
	return results, fmt.Sprintf("%s: p50 of a verification at 8 connections: %.2f ms with %d users, %.2f ms with %d: %.2f times",
		b.name, ms(p50[0]), small, ms(p50[1]), users, float64(p50[1])/float64(p50[0])), nil
}

// database makes an empty one.
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

// commits measures bare one-row commits, with the settings that the server
// uses.
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

// seed enrolls users from..to-1 in the database itself.
func (b *bench) seed(database string, from, to int) error {
	st, err := store.Open(b.ctx, database, func(bool) ([][]byte, error) { return [][]byte{encryptionKey}, nil })
	if err != nil {
		return err
	}
	defer st.Close()
	now := time.Now()
	const batch = 5000
	for ; from < to; from += batch {
		err := st.Update(b.ctx, tenant, func(tx *store.Tx) error {
			for i := from; i < min(from+batch, to); i++ {
				id := fmt.Sprintf("u%d", i)
				if _, err := tx.EnsureUser(id, now); err != nil {
					return err
				}
				err := tx.InsertVerified(store.Authenticator{
					ID: uuid.NewString(), UserID: id, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters,
					CreatedAt: now, VerifiedAt: now,
				}, userSecret)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A server is a running binary.
type server struct {
	ctx    context.Context
	cmd    *exec.Cmd
	base   string
	client *http.Client
	sdk    *authsignal.Client
}

func (b *bench) start(database string) (*server, error) {
	cmd := exec.CommandContext(b.ctx, b.binary, "-addr", "127.0.0.1:0", "-db", database, "-rate-limit", "0")
	cmd.Env = append(os.Environ(), "AUTHSIGNAL_TENANT_ID="+tenant, "AUTHSIGNAL_API_SECRET_KEY="+apiSecret,
		"AUTHSIGNAL_ENCRYPTION_KEY="+base64.StdEncoding.EncodeToString(encryptionKey))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server does not start: %w", errors.Join(err, cmd.Wait()))
	}
	s := &server{ctx: b.ctx, cmd: cmd, base: strings.TrimSpace(line)}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	s.sdk = authsignal.New(apiSecret, s.base)
	s.sdk.HTTPClient = s.client
	return s, nil
}

func (s *server) stop() {
	s.cmd.Process.Signal(os.Interrupt)
	s.cmd.Wait()
}

// memory is the resident memory of the server in bytes.
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

func (s *server) track(user, key string) error {
	_, err := s.sdk.Track(s.ctx, authsignal.TrackRequest{UserID: user, Action: "signIn", Attributes: authsignal.Attributes{IdempotencyKey: key}})
	return err
}

// verifications tracks for count users, and then measures how their codes are
// accepted, each once.
func (s *server) verifications(from, count, conns int, length time.Duration) (result, error) {
	tokens := make([]string, count)
	prepared := measure(s.ctx, 8, time.Hour, int64(count), func(k int64) error {
		r, err := s.sdk.Track(s.ctx, authsignal.TrackRequest{UserID: fmt.Sprintf("u%d", int64(from)+k), Action: "signIn"})
		tokens[k] = r.Token
		return err
	})
	if prepared.err != nil {
		return result{}, prepared.err
	}
	var refused atomic.Int64
	r := measure(s.ctx, conns, length, int64(count), func(k int64) error {
		code, err := totp.Code(userSecret, totp.DefaultParameters.Step(time.Now()), totp.DefaultParameters)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(s.ctx, "POST", s.base+api.PathClientVerifyTOTP, strings.NewReader(`{"verificationCode":"`+code+`"}`))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+tokens[k])
		res, err := s.client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var buf bytes.Buffer
		if _, err := buf.ReadFrom(res.Body); err != nil {
			return err
		}
		if !strings.Contains(buf.String(), `"isVerified":true`) {
			refused.Add(1)
		}
		return nil
	})
	if r.err == nil && refused.Load() > 0 {
		r.err = fmt.Errorf("%d codes were refused", refused.Load())
	}
	r.memory = s.memory()
	return r.result, r.err
}

func (s *server) measure(conns int, length time.Duration, do func(k int64) error) result {
	r := measure(s.ctx, conns, length, math.MaxInt64, do)
	if r.err != nil {
		fmt.Fprintln(os.Stderr, "benchserver:", r.err)
	}
	r.memory = s.memory()
	return r.result
}

// A measurement is a result and the first error of it.
type measurement struct {
	result
	err error
}

// measure calls do from several goroutines for a length of time, at most count
// times, each time with the next number.
func measure(ctx context.Context, conns int, length time.Duration, count int64, do func(k int64) error) measurement {
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	began := time.Now()
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			var mine []time.Duration
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
		connections: conns, rate: float64(len(all)) / took.Seconds(), p50: at(.5), p95: at(.95), p99: at(.99),
	}, failed}
}
