package server

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A limiter bounds the requests of each client address: rate a second in the
// long run, ten times as many at once. It is for the client API and the pages,
// which every browser reaches, and for wrong keys elsewhere; a tenant's backends
// are many users behind one address.
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
	// even if so many addresses come that one ends early. One client may have a
	// whole network of them; the metrics count on.
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
	return d, l.tell(b, now)
}

// over returns how long an address has to wait until it has a request left; 0
// means that it has one. It takes none. tell is that of wait.
func (l *limiter) over(a netip.Prefix) (d time.Duration, tell bool) {
	if l.rate == 0 {
		return 0, false
	}
	now := l.now()
	b := l.bucket(a, now)
	missing := 1 - b.TokensAt(now)
	if missing <= 0 {
		return 0, false
	}
	return time.Duration(missing / float64(l.rate) * float64(time.Second)), l.tell(b, now)
}

// charge takes a request of an address, also one that it does not have left:
// of many at once, all count.
func (l *limiter) charge(a netip.Prefix) {
	if l.rate == 0 {
		return
	}
	now := l.now()
	l.bucket(a, now).ReserveN(now, 1)
}

// tell reports whether a refusal of an address is to be told.
func (l *limiter) tell(b *bucket, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.toldFrom) >= generation {
		l.told, l.toldFrom = 0, now
	}
	if b.told.Equal(l.toldFrom) || l.told >= maxTold {
		return false
	}
	b.told = l.toldFrom
	l.told++
	return true
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

// overLimit takes a request of the client's address and answers it if it is
// one too many: 429 with Retry-After in whole seconds (RFC 9110, section
// 10.2.3). Pages of every origin may read that: it says nothing of any user, and
// to look the origin up would be a question for the database.
//
// What is refused is counted in the metrics. It has no line of its own in the
// log: once a minute and address, a warning names the address, for at most
// maxTold addresses. Only that once is the token looked at: if it is good, its
// tenant and user get a line in the audit log too. A client without a token
// writes nothing to the database, and one with a token a row a minute.
func (s *server) overLimit(l *limiter, w http.ResponseWriter, r *http.Request) bool {
	address := s.client(r)
	d, tell := l.wait(address)
	if d <= 0 {
		return false
	}
	s.refuseLimited(w, r, address, d, tell)
	return true
}

// client is what of a request's address is limited.
func (s *server) client(r *http.Request) netip.Prefix {
	return prefixOf(ClientAddress(r, s.TrustedProxies))
}

// refuseLimited answers a request over a limit, from which an address is free
// again after d.
func (s *server) refuseLimited(w http.ResponseWriter, r *http.Request, address netip.Prefix, d time.Duration, tell bool) {
	s.metrics.limited.Inc()
	unlogged(r)
	if tell {
		s.Log.WarnContext(r.Context(), "too many requests of an address; those that are refused are not logged one by one", "address", address.String())
		if c, err := s.Tokens.Parse(bearerToken(r)); err == nil {
			s.audit(r.Context(), c.TenantID, store.AuditEvent{
				At: s.Now(), Kind: store.AuditRequestsLimited, ActionID: mfa.ActionID(c), Detail: map[string]any{"address": address.String()},
			})
		}
	}
	if r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	s.writeError(w, r, &api.Error{
		Status: http.StatusTooManyRequests, Code: api.CodeTooManyRequests,
		Description: "There are too many requests from this address. Wait before the next.",
	})
}
