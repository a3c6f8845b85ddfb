package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// starts measures starts: until the server answers its first request, a health
// check, and then the first tracks, eight at a time on connections of their own,
// beside later ones.
func (b *bench) starts() error {
	const restarts, clients, rounds = 9, 8, 20
	type measured struct{ fresh, ready, first, later []time.Duration }
	of := make([]measured, len(b.versions))
	databases := make([]string, len(b.versions))
	for i := range b.versions {
		database, drop, err := b.database()
		if err != nil {
			return err
		}
		defer drop()
		databases[i] = database
	}
	for n := range restarts + 1 {
		for k := range b.versions {
			i := (k + n) % len(b.versions)
			ready, first, later, err := b.restart(b.versions[i], databases[i], clients, rounds)
			if err != nil {
				return err
			}
			m := &of[i]
			if n == 0 {
				m.fresh = append(m.fresh, ready)
				continue
			}
			m.ready, m.first, m.later = append(m.ready, ready), append(m.first, first), append(m.later, later)
		}
	}
	for i, v := range b.versions {
		m := of[i]
		fmt.Printf("%s, %s: start to the first 200: %.0f ms (%.0f ms on a new database); the slowest of the first %d tracks, at once: %.1f ms, of %d later: %.1f ms (medians of %d starts)\n",
			b.name, strings.TrimSpace(v.name), ms(median(m.ready)), ms(m.fresh[0]), clients, ms(median(m.first)), clients, ms(median(m.later)), restarts)
	}
	return nil
}

// restart starts the server and stops it again. It returns the time until the
// first answer, and the durations of the slowest track of the first round and of
// the last one.
func (b *bench) restart(v version, database string, clients, rounds int) (ready, first, later time.Duration, err error) {
	began := time.Now()
	s, err := b.start(v, database)
	if err != nil {
		return 0, 0, 0, err
	}
	defer s.stop()
	c, err := dial(s.address)
	if err != nil {
		return 0, 0, 0, err
	}
	defer c.conn.Close()
	if _, err := c.do([]byte("GET /healthz HTTP/1.1\r\nHost: " + s.address + "\r\n\r\n")); err != nil {
		return 0, 0, 0, err
	}
	ready = time.Since(began)
	for round := range rounds {
		slowest, err := s.tracksAtOnce(clients, round)
		if err != nil {
			return 0, 0, 0, err
		}
		if round == 0 {
			first = slowest
		}
		later = slowest
	}
	return ready, first, later, nil
}

// tracksAtOnce sends a track on each of some new connections at once, and returns
// the longest duration.
func (s *server) tracksAtOnce(clients, round int) (slowest time.Duration, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			began := time.Now()
			c, dialErr := dial(s.address)
			if dialErr == nil {
				defer c.conn.Close()
				_, dialErr = c.do(s.trackRequest(round*clients + i))
			}
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, took)
			if dialErr != nil {
				err = dialErr
			}
		})
	}
	wg.Wait()
	return slowest, err
}
