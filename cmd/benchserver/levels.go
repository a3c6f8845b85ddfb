package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A result is a line of the table.
type result struct {
	store, version, what string
	connections          int
	rate                 float64 // per second
	ofCommits            float64 // rate, as a share of that of bare commits in the same turn
	p50, p95, p99        time.Duration
	memory               int64 // of the server in bytes; 0 for bare commits
	// cpu and databaseCPU are those of the server's process and of PostgreSQL's,
	// per request.
	cpu, databaseCPU time.Duration
	count            int
}

// The kinds of results.
const (
	bareCommit = "commit"
	aTrack     = "track"
	aVerify    = "verify"
	aStepUp    = "step-up" // track, verify and validate
)

var kinds = []string{bareCommit, aTrack, aVerify, aStepUp}

// levels measures all versions at each number of connections. They take turns, and
// bare commits are measured in each turn.
func (b *bench) levels() ([]result, error) {
	// Each user is verified once: a measurement ends when it has used all of its
	// users.
	perVerify, perStepUp := int(5000*b.length.Seconds()), int(2500*b.length.Seconds())
	perLevel := perVerify + perStepUp
	bare, drop, err := b.bareCommits()
	if err != nil {
		return nil, err
	}
	defer drop()
	servers := make([]*server, len(b.versions))
	for i, v := range b.versions {
		s, drop, err := b.among(v, len(connections)*b.turns*perLevel)
		if err != nil {
			return nil, err
		}
		defer drop()
		defer s.stop()
		servers[i] = s
	}
	var results []result
	first := 0
	for _, n := range connections {
		var level []result
		for turn := range b.turns {
			commit := bare(n)
			if commit.err != nil {
				return nil, commit.err
			}
			commit.store, commit.what = b.name, bareCommit
			level = append(level, commit.result)
			for k := range servers {
				i := (k + turn) % len(servers) // they also take turns at being first
				got, err := servers[i].level(first, perVerify, perStepUp, n, b.length)
				if err != nil {
					return nil, err
				}
				for _, r := range got {
					r.store, r.version, r.ofCommits = b.name, b.versions[i].name, r.rate/commit.rate
					level = append(level, r)
				}
			}
			first += perLevel
		}
		results = append(results, b.medians(level)...)
	}
	return results, nil
}

// level measures tracks, verifications and step-ups, of users from first on.
func (s *server) level(first, verifies, stepUps, conns int, length time.Duration) ([]result, error) {
	track, err := s.tracks(first, verifies, conns, length)
	if err != nil {
		return nil, err
	}
	verify, err := s.verifications(between(first, first+verifies), currentStep, conns, length)
	if err != nil {
		return nil, err
	}
	stepUp, err := s.stepUps(between(first+verifies, first+verifies+stepUps), conns, length)
	if err != nil {
		return nil, err
	}
	track.what, verify.what, stepUp.what = aTrack, aVerify, aStepUp
	return []result{track, verify, stepUp}, nil
}

// medians returns a result for each version and kind, whose values are the medians
// of the turns.
func (b *bench) medians(turns []result) []result {
	var out []result
	for _, what := range kinds {
		for _, v := range append([]version{{}}, b.versions...) {
			var of []result
			for _, r := range turns {
				if r.what == what && r.version == v.name {
					of = append(of, r)
				}
			}
			if len(of) == 0 {
				continue
			}
			m := of[0]
			m.rate, m.ofCommits = medianOf(of, func(r result) float64 { return r.rate }), medianOf(of, func(r result) float64 { return r.ofCommits })
			m.p50, m.p95, m.p99 = medianOf(of, func(r result) time.Duration { return r.p50 }), medianOf(of, func(r result) time.Duration { return r.p95 }),
				medianOf(of, func(r result) time.Duration { return r.p99 })
			m.cpu, m.databaseCPU = medianOf(of, func(r result) time.Duration { return r.cpu }), medianOf(of, func(r result) time.Duration { return r.databaseCPU })
			m.memory = medianOf(of, func(r result) int64 { return r.memory })
			out = append(out, m)
		}
	}
	return out
}

func medianOf[T cmp.Ordered](list []result, value func(result) T) T {
	values := make([]T, len(list))
	for i, r := range list {
		values[i] = value(r)
	}
	return median(values)
}

// print prints the table, and what the present version takes of the one before.
func (b *bench) print(results []result) {
	fmt.Printf("\n%-11s %-7s %-8s %5s %9s %10s %8s %8s %8s %9s %8s %6s\n", "store", "version", "what", "conns", "a second", "of commits",
		"p50 ms", "p95 ms", "p99 ms", "server µs", "DB µs", "MiB")
	for _, r := range results {
		fmt.Printf("%-11s %-7s %-8s %5d %9.0f %10.2f %8.2f %8.2f %8.2f %9.0f %8.0f %6.0f\n", r.store, r.version, r.what, r.connections, r.rate, r.ofCommits,
			ms(r.p50), ms(r.p95), ms(r.p99), micros(r.cpu), micros(r.databaseCPU), float64(r.memory)/(1<<20))
	}
	fmt.Println()
	for _, now := range results {
		for _, before := range results {
			if now.version == present && before.version == earlier && now.what == before.what && now.connections == before.connections {
				fmt.Printf("%s: %s at %d connections: %.2f times the rate of before, %.2f times the CPU of the server, %.2f times that of both\n",
					b.name, now.what, now.connections, now.rate/before.rate, float64(now.cpu)/float64(before.cpu),
					float64(now.cpu+now.databaseCPU)/float64(before.cpu+before.databaseCPU))
			}
		}
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// bareCommits returns a function that measures bare one-row commits, with the
// settings of the server.
func (b *bench) bareCommits() (commits func(conns int) measurement, drop func(), err error) {
	database, dropDatabase, err := b.database()
	if err != nil {
		return nil, nil, err
	}
	driver, dsn := "pgx", database
	var one sync.Mutex // SQLite has one writer
	if b.postgres == "" {
		driver = "sqlite"
		dsn = "file:" + database + "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	db, err := sql.Open(driver, dsn)
	if err == nil {
		db.SetMaxOpenConns(16)
		db.SetMaxIdleConns(16)
		_, err = db.ExecContext(b.ctx, `CREATE TABLE bare (n BIGINT NOT NULL)`)
	}
	if err != nil {
		dropDatabase()
		return nil, nil, err
	}
	commits = func(conns int) measurement {
		return measure(b.ctx, conns, b.length, math.MaxInt64, func(int64) error {
			if b.postgres == "" {
				one.Lock()
				defer one.Unlock()
			}
			_, err := db.ExecContext(b.ctx, `INSERT INTO bare (n) VALUES (1)`)
			return err
		})
	}
	return commits, func() {
		db.Close()
		dropDatabase()
	}, nil
}

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
