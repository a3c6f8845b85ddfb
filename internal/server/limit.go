package server

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A limiter bounds the requests of each client address: rate a second in the
// long run, ten times as many at once. It is for the client API and the pages,
// which strangers reach, and for those who do not authenticate elsewhere; a
// tenant's backends are many users behind one address.
type limiter struct {
	rate rate.Limit
	now  func() time.Time

	mu sync.Mutex
	// Two generations of buckets. One that was not used for a whole
	// generation is full again, so forgetting it changes nothing.
	current, previous map[netip.Prefix]*bucket
	turned            time.Time
	// told counts the addresses that were reported since toldFrom.
	told     int
	toldFrom time.Time
}

// A bucket is that of one address: a single one of IPv4, a /64 of IPv6.
type bucket struct {
	*rate.Limiter
	// told is the limiter's toldFrom when it was last reported.
	told time.Time
}

const (
	// generation is longer than an empty bucket takes to fill: 10 seconds.
	generation = time.Minute
	// maxBuckets bounds the memory of a generation, about 100 bytes each.
	maxBuckets = 100_000
	// maxTold is how many addresses are reported in the time of a generation,
	// even if so many addresses come that one ends early. Whoever has a network
	// can send from as many as there are; the metrics count on.
	maxTold = 100
)

// newLimiter makes a limiter; perSecond 0 means no limit.
func newLimiter(perSecond float64, now func() time.Time) *limiter {
	return &limiter{rate: rate.Limit(perSecond), now: now, current: map[netip.Prefix]*bucket{}, turned: now(), toldFrom: now()}
}

// prefixOf is what one bucket is for.
func prefixOf(a netip.Addr) netip.Prefix {
	// A single IPv6 subscriber has a /64 at least (RFC 6177).
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// wait takes one request of an address and returns 0, or how long to wait
// before the next is let through. tell is true for the first that is refused of
// an address in the time of a generation, for maxTold addresses.
func (l *limiter) wait(a netip.Prefix) (d time.Duration, tell bool) {
	if l.rate == 0 {
		return 0, false
	}
	now := l.now()
	b := l.bucket(a, now)
	r := b.ReserveN(now, 1)
	if d = r.DelayFrom(now); d <= 0 {
		return 0, false
	}
	r.CancelAt(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.toldFrom) >= generation {
		l.told, l.toldFrom = 0, now
	}
	if !b.told.Equal(l.toldFrom) && l.told < maxTold {
		b.told, tell = l.toldFrom, true
		l.told++
	}
	return d, tell
}

func (l *limiter) bucket(key netip.Prefix, now time.Time) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.turned) >= generation || len(l.current) >= maxBuckets {
		l.previous, l.current, l.turned = l.current, map[netip.Prefix]*bucket{}, now
	}
	b := l.current[key]
	if b == nil {
		if b = l.previous[key]; b == nil {
			b = &bucket{Limiter: rate.NewLimiter(l.rate, max(1, int(math.Ceil(float64(l.rate)*10))))}
		}
		l.current[key] = b
	}
	return b
}

// limited refuses what strangers may ask above the limit with 429: all but the
// Server and the management API, for which authenticated calls overLimit when
// the key is wrong. Preflights have a limit of their own. A health check is always answered, or a flood through the
// same proxy would take the server out of service; it is only not logged.
func (s *server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/healthz" || path == "/readyz":
			if d, _ := s.limiter.wait(prefixOf(ClientAddress(r, s.TrustedProxies))); d > 0 {
				unlogged(r)
			}
		case isPreflight(r):
			if s.overLimit(s.preflights, w, r) {
				return
			}
		case isForBackends(path):
		case s.overLimit(s.limiter, w, r):
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isForBackends reports whether a path is of the Server or the management API.
func isForBackends(path string) bool {
	path += "/" // as in authenticated
	return strings.HasPrefix(path, "/v1/") && !strings.HasPrefix(path, "/v1/client/")
}

// isPreflight reports whether a browser asks if a page may send a request
// (Fetch, "CORS-preflight request").
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// unlogged keeps a request out of the log, but not out of the metrics.
func unlogged(r *http.Request) {
	if i := info(r.Context()); i != nil {
		i.limited = true
	}
}

// overLimit takes a request of the client's address and answers it if it is
// one too many: 429 with Retry-After in whole seconds (RFC 9110, section
// 10.2.3). Pages of every origin may read that, since it says nothing of
// anybody, and whose origin it is would be a question for the database.
//
// What is refused is counted in the metrics. It has no line of its own in the
// log: once a minute and address, a warning names the address, for at most
// maxTold addresses. Only that once is the token looked at: if it is good, its
// tenant and user get a line in the audit log too. A stranger without a token
// writes nothing to the database, and one with a token a row a minute.
func (s *server) overLimit(l *limiter, w http.ResponseWriter, r *http.Request) bool {
	address := prefixOf(ClientAddress(r, s.TrustedProxies))
	d, tell := l.wait(address)
	if d <= 0 {
		return false
	}
	s.metrics.limited.Inc()
	unlogged(r)
	if tell {
		s.Log.WarnContext(r.Context(), "too many requests of an address; those that are refused are not logged one by one", "address", address.String())
		if c, err := s.Tokens.Parse(bearerToken(r)); err == nil {
			s.audit(r.Context(), c.TenantID, store.AuditEvent{
				At: s.Now(), Kind: store.AuditRequestsLimited, ActionID: actionID(c), Detail: map[string]any{"address": address.String()},
			})
		}
	}
	if r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	s.answer(func(*http.Request) (any, error) {
		return nil, &api.Error{
			Status: http.StatusTooManyRequests, Code: api.CodeTooManyRequests,
			Description: "There are too many requests from this address. Wait before the next.",
		}
	}).ServeHTTP(w, r)
	return true
}
