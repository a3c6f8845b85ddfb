package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The effect of a tenant's rules on other tenants: the tracks of one tenant are
// measured at a steady pace, alone, beside a tenant that tracks as fast as it can
// without rules, and beside the same one with the costliest rules.

const (
	managementKey = "bench-management-key-of-32-characters"
	// pace is the number of tracks per second of the measured tenant, over
	// pacers connections.
	pace   = 100
	pacers = 4
	// neighbours is the number of connections of the other tenant.
	neighbours = 4
	turns      = 5
)

// costliest is a condition that spends the whole budget of a decision on a user
// agent of the maximum length.
const costliest = `userAgent.split("").exists(a, userAgent.split("").exists(b, a + b == "~~"))`

// neighbours measures the three cases in turns, so that other load on the machine
// affects all of them, and returns a text with the medians.
func (b *bench) neighbours() (string, error) {
	database, drop, err := b.database()
	if err != nil {
		return "", err
	}
	defer drop()
	s, err := b.start(b.versions[0], database)
	if err != nil {
		return "", err
	}
	defer s.stop()
	secret, err := s.neighbour()
	if err != nil {
		return "", err
	}
	if err := b.settle(s, database); err != nil {
		return "", err
	}
	names := []string{"alone", "beside a busy tenant without rules", "beside one with the costliest rules"}
	var p50, p99 [3][]time.Duration
	var rates [3][]float64
	for turn := range turns {
		for k := range names {
			k := (k + turn) % len(names)
			own, other, err := s.tracksBeside(secret, []string{"", "plain", "costly"}[k], b.length)
			if err != nil {
				return "", err
			}
			p50[k], p99[k], rates[k] = append(p50[k], own.p50), append(p99[k], own.p99), append(rates[k], other.rate)
		}
	}
	var out strings.Builder
	for k, name := range names {
		fmt.Fprintf(&out, "%s: a tenant's tracks, %d a second, %s: p50 %.2f ms, p99 %.2f ms (the other tenant: %.0f a second)\n",
			b.name, pace, name, ms(median(p50[k])), ms(median(p99[k])), median(rates[k]))
	}
	fmt.Fprintf(&out, "%s: p99 beside the costliest rules is %.2f times that beside a busy tenant without rules, and %.2f times that alone (medians of %d turns)",
		b.name, times(p99[2], p99[1]), times(p99[2], p99[0]), turns)
	return out.String(), nil
}

// times returns the ratio of the median of a to that of b.
func times(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }

// tracksBeside measures the tenant's tracks while the other tenant tracks action,
// or nothing if action is "".
func (s *server) tracksBeside(secret, action string, length time.Duration) (own, other result, err error) {
	var failed error
	done := make(chan struct{})
	if action == "" {
		close(done)
	} else {
		agent := strings.Repeat("a", 2048)
		go func() {
			defer close(done)
			other, failed = s.measure(neighbours, length, 1<<40, func(c *client, k int64) error {
				_, err := c.do(request(s.address, fmt.Sprintf("/v1/users/n%d/actions/%s", k%1000, action), basic(secret), `{"userAgent":"`+agent+`"}`))
				return err
			})
		}()
	}
	tick := time.NewTicker(time.Second / pace)
	defer tick.Stop()
	own, err = s.paced(tick.C, length)
	<-done
	return own, other, cmp.Or(err, failed)
}

// paced measures tracks that begin at ticks. The duration of a track begins at its
// tick, so that it includes the wait for a connection.
func (s *server) paced(ticks <-chan time.Time, length time.Duration) (result, error) {
	clients := make(chan *client, pacers)
	for range pacers {
		c, err := dial(s.address)
		if err != nil {
			return result{}, err
		}
		defer c.conn.Close()
		clients <- c
	}
	var took []time.Duration
	var failed error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range int(length.Seconds() * pace) {
		<-ticks
		began := time.Now()
		wg.Go(func() {
			c := <-clients
			_, err := c.do(s.trackRequest(k % 1000))
			clients <- c
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, time.Since(began)), cmp.Or(failed, err)
		})
	}
	wg.Wait()
	slices.Sort(took)
	return result{p50: took[len(took)/2], p99: took[len(took)*99/100], count: len(took)}, failed
}

// neighbour creates the other tenant, with an action with rules, and returns its
// API secret key.
func (s *server) neighbour() (secret string, err error) {
	var rules []map[string]string
	for i := range 50 {
		rules = append(rules, map[string]string{"name": fmt.Sprint("rule ", i), "condition": costliest, "outcome": "REVIEW"})
	}
	var made struct {
		APISecretKey string `json:"apiSecretKey"`
	}
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{"PUT", "", map[string]any{"authenticator": map[string]any{"active": true}}},
		{"POST", "/secrets", map[string]any{}},
		{"PUT", "/actions/costly", map[string]any{"defaultOutcome": "ALLOW", "rules": rules}},
	} {
		body, err := json.Marshal(call.body)
		if err != nil {
			return "", err
		}
		r, err := http.NewRequestWithContext(s.ctx, call.method, "http://"+s.address+"/v1/management/tenants/neighbour"+call.path, bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		r.SetBasicAuth(managementKey, "")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", err
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			return "", fmt.Errorf("create the other tenant: status %d, %w", res.StatusCode, err)
		}
		if call.path == "/secrets" {
			if err := json.Unmarshal(answer, &made); err != nil {
				return "", err
			}
		}
	}
	return made.APISecretKey, nil
}
