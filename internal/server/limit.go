package server

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/authsignal-wasm/sdk/internal/address"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A limiter limits the requests of each client address: rate per second in the
// long run, and bursts of ten times as many. It is used for the client API and
// the pages, which any browser can reach, and for wrong keys elsewhere. It is
// not used for the backends of a tenant, which send the requests of many users
// from one address.
type limiter struct {
	rate rate.Limit
	now  func() time.Time

	mu sync.Mutex
	// There are two generations of buckets. A bucket that was not used for a
	// whole generation is full, so it can be dropped.
	current, previous map[netip.Prefix]*bucket
	turned            time.Time
	// reported is the number of addresses that were reported since
	// reportedFrom.
	reported     int
	reportedFrom time.Time
}

// A bucket counts the requests of a single IPv4 address or an IPv6 /64.
type bucket struct {
	*rate.Limiter
	// reported is the limiter's reportedFrom when the address was last reported.
	reported time.Time
}

const (
	// generation is longer than an empty bucket takes to fill: 10 seconds.
	generation = time.Minute
	// maxBuckets bounds the memory of a generation, about 100 bytes each.
	maxBuckets = 100_000
	// maxReported is the maximum number of addresses that are reported per
	// generation, even if there are so many addresses that it ends early: one
	// client may have a whole network. The metrics count all of them.
	maxReported = 100
)

// newLimiter returns a limiter. A rate of 0 per second means no limit.
func newLimiter(perSecond float64, now func() time.Time) *limiter {
	return &limiter{rate: rate.Limit(perSecond), now: now, current: map[netip.Prefix]*bucket{}, turned: now(), reportedFrom: now()}
}

// An excess describes an address that is over its limit. The zero value is one
// that is not.
type excess struct {
	// wait is how long the address has to wait until it may send a request.
	wait time.Duration
	// report is true for the first refusal of an address in the time of a
	// generation, for maxReported addresses.
	report bool
}

// take takes one request of an address. If the address is over its limit,
// nothing is taken.
func (l *limiter) take(a netip.Prefix) excess {
	if l.rate == 0 {
		return excess{}
	}
	now := l.now()
	b := l.bucket(a, now)
	r := b.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d <= 0 {
		return excess{}
	}
	r.CancelAt(now)
	return excess{d, l.report(b, now)}
}

// check is take without taking a request.
func (l *limiter) check(a netip.Prefix) excess {
	if l.rate == 0 {
		return excess{}
	}
	now := l.now()
	b := l.bucket(a, now)
	missing := 1 - b.TokensAt(now)
	if missing <= 0 {
		return excess{}
	}
	return excess{time.Duration(missing / float64(l.rate) * float64(time.Second)), l.report(b, now)}
}

// charge takes a request of an address even if it is over its limit, so that
// concurrent requests all count.
func (l *limiter) charge(a netip.Prefix) {
	if l.rate == 0 {
		return
	}
	now := l.now()
	l.bucket(a, now).ReserveN(now, 1)
}

// report reports whether a refusal of an address is to be reported.
func (l *limiter) report(b *bucket, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.reportedFrom) >= generation {
		l.reported, l.reportedFrom = 0, now
	}
	if b.reported.Equal(l.reportedFrom) || l.reported >= maxReported {
		return false
	}
	b.reported = l.reportedFrom
	l.reported++
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

// overLimit takes a request of the client's address. If the address is over its
// limit, it answers 429 with Retry-After in whole seconds (RFC 9110, section
// 10.2.3) and returns true. Pages of any origin may read the response: it reveals
// nothing about users, and checking the origin would need the database.
//
// A refused request is counted in the metrics, but not logged. Instead, a
// warning names the address once a minute, for at most maxReported addresses.
// Only then is the token parsed: if it is valid, an entry is added to the audit
// log of its tenant. So a client without a token causes no writes to the
// database, and one with a token causes one a minute.
func (s *server) overLimit(l *limiter, w http.ResponseWriter, r *http.Request) bool {
	address := s.client(r)
	e := l.take(address)
	if e.wait <= 0 {
		return false
	}
	s.refuseLimited(w, r, address, e)
	return true
}

// client returns the addresses whose limit a request counts against.
func (s *server) client(r *http.Request) netip.Prefix {
	return address.Subscriber(address.Client(r, s.TrustedProxies))
}

// tooMany returns the text of the warning for an address that is over a limit. If
// it looks like a proxy whose clients all count as one, it names the remedy.
func tooMany(r *http.Request, trusted []netip.Prefix) string {
	const text = "too many requests from an address; refused requests are not logged"
	if address.Unnamed(r, trusted) {
		return text + "; the address is private and sends X-Forwarded-For: if it is your proxy, all its clients count as one until you name it in -trusted-proxies (AUTHSIGNAL_TRUSTED_PROXIES)"
	}
	return text
}

// refuseLimited answers a request of an address that is over a limit.
func (s *server) refuseLimited(w http.ResponseWriter, r *http.Request, address netip.Prefix, e excess) {
	s.metrics.limited.Inc()
	skipLog(r)
	if e.report {
		s.Log.WarnContext(r.Context(), tooMany(r, s.TrustedProxies), "address", address.String())
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
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.wait.Seconds()))))
	s.writeError(w, r, &api.Error{
		Status: http.StatusTooManyRequests, Code: api.CodeTooManyRequests,
		Description: "Too many requests from this address. Try again later.",
	})
}
