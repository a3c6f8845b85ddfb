// Command benchserver measures the API server: tracks, verifications and whole
// step-ups (track, verify, validate) per second at 1, 8 and 64 connections, with
// the durations of requests and the CPU that they take, compared with the rate of
// bare one-row commits of the same database in the same run; the time of a start
// and of the first requests after it; and the growth of a verification's duration
// with the number of users. It prints tables and writes an SVG chart.
//
//	go run ./cmd/benchserver [-seconds N] [-users N] [-before BINARY] [-o chart.svg]
//	go run ./cmd/benchserver -start [-before BINARY]
//	go run ./cmd/benchserver -neighbours
//
// It builds and starts the server on a SQLite file, and on PostgreSQL if
// AUTHSIGNAL_TEST_POSTGRES is the URL of one (.ci/with-postgres). With -before, the
// binary of another version takes turns with it, so that other load on the machine
// affects both. All traffic stays on the loopback; every loop is limited in time
// and number.
package main

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	_ "modernc.org/sqlite"             // the "sqlite" driver

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
	flag.IntVar(&o.users, "users", 1_000_000, "users of the large database; 0 does not measure the growth")
	flag.IntVar(&o.turns, "turns", 3, "how often each measurement is repeated; the table has medians")
	flag.StringVar(&o.before, "before", "", "measure this `binary` of another version too, in turns")
	flag.StringVar(&o.chart, "o", "bench-server.svg", "write the chart to this `file`")
	flag.BoolVar(&o.start, "start", false, "measure only starts and the first requests after them")
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
	length            time.Duration // of a measurement
	users, turns      int
	before, chart     string
	start, neighbours bool
}

// The versions of the server.
const (
	present = "now"
	earlier = "before"
)

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
	versions := []version{{present, binary}}
	if o.before != "" {
		path, err := filepath.Abs(o.before)
		if err != nil {
			return err
		}
		versions = append(versions, version{earlier, path})
	}
	var results []result
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b := &bench{ctx: ctx, name: name, versions: versions, dir: dir, length: o.length, turns: max(o.turns, 1)}
		if name == "PostgreSQL" {
			if b.postgres = os.Getenv("AUTHSIGNAL_TEST_POSTGRES"); b.postgres == "" {
				fmt.Println("AUTHSIGNAL_TEST_POSTGRES is not set: SQLite only")
				continue
			}
			if b.postmaster, err = postmaster(ctx, b.postgres); err != nil {
				return err
			}
		}
		got, err := b.measure(o)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results = append(results, got...)
	}
	if results == nil {
		return nil
	}
	return os.WriteFile(o.chart, draw(results), 0o644)
}

// measure measures what the options ask for.
func (b *bench) measure(o options) ([]result, error) {
	if o.neighbours {
		text, err := b.neighbours()
		if err == nil {
			fmt.Println(text)
		}
		return nil, err
	}
	if err := b.starts(); err != nil || o.start {
		return nil, err
	}
	results, err := b.levels()
	if err != nil {
		return nil, err
	}
	b.print(results)
	if o.users > 0 {
		grown, err := b.growth(o.users)
		if err != nil {
			return nil, err
		}
		fmt.Println(grown)
	}
	return results, nil
}

// A bench measures one kind of database.
type bench struct {
	ctx                 context.Context
	name, dir, postgres string
	versions            []version
	length              time.Duration
	turns               int
	postmaster          int // the process id of PostgreSQL; 0 on SQLite
}

// A version is a binary of the server.
type version struct{ name, binary string }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// growth measures how the duration of a verification grows with the number of
// users: the same thousand users, three steps of each, are verified among a thousand
// and among many. They take turns of a hundred, so that other load on the machine
// affects both.
func (b *bench) growth(users int) (string, error) {
	const small, turn = 1000, 100
	var servers [2]*server
	for i, n := range []int{small, users} {
		s, drop, err := b.among(b.versions[0], n)
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

// among starts a version of the server with n users.
func (b *bench) among(v version, n int) (s *server, drop func(), err error) {
	database, dropDatabase, err := b.database()
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			dropDatabase()
		}
	}()
	began := time.Now()
	if err := b.seed(v, database, n); err != nil {
		return nil, nil, err
	}
	fmt.Printf("%s: %d users seeded in %.0f s\n", b.name, n, time.Since(began).Seconds())
	if s, err = b.start(v, database); err != nil {
		return nil, nil, err
	}
	if err := b.settle(s, database); err != nil {
		s.stop()
		return nil, nil, err
	}
	return s, dropDatabase, nil
}

// settle does what autovacuum does within a minute of a new database's first rows.
// Until then earlier versions find an action by reading all of the tenant's.
func (b *bench) settle(s *server, database string) error {
	if b.postgres == "" {
		return nil
	}
	if _, err := s.tracks(0, 1000, 8, time.Second); err != nil {
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
