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
)

// A limiter bounds the requests of each client address: rate a second in the
// long run, ten times as many at once. It is for the client API, which
// strangers reach; a tenant's backends are many users behind one address.
type limiter struct {
	rate rate.Limit
	now  func() time.Time

	mu sync.Mutex
	// Two generations of buckets. One that was not used for a whole
	// generation is full again, so forgetting it changes nothing.
	current, previous map[netip.Prefix]*rate.Limiter
	turned            time.Time
}

const (
	// generation is longer than an empty bucket takes to fill: 10 seconds.
	generation = time.Minute
	// maxBuckets bounds the memory of a generation, about 100 bytes each.
	maxBuckets = 100_000
)

// newLimiter makes a limiter; perSecond 0 means no limit.
func newLimiter(perSecond float64, now func() time.Time) *limiter {
	return &limiter{rate: rate.Limit(perSecond), now: now, current: map[netip.Prefix]*rate.Limiter{}, turned: now()}
}

// wait takes one request of an address and returns 0, or how long to wait
// before the next is let through.
func (l *limiter) wait(a netip.Addr) time.Duration {
	if l.rate == 0 {
		return 0
	}
	// A single IPv6 subscriber has a /64 at least (RFC 6177).
	bits := 64
	if a.Is4() {
		bits = 32
	}
	key, err := a.Prefix(bits)
	if err != nil {
		key = netip.Prefix{}
	}
	now := l.now()
	bucket := l.bucket(key, now)
	r := bucket.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}

func (l *limiter) bucket(key netip.Prefix, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.turned) >= generation || len(l.current) >= maxBuckets {
		l.previous, l.current, l.turned = l.current, map[netip.Prefix]*rate.Limiter{}, now
	}
	b := l.current[key]
	if b == nil {
		if b = l.previous[key]; b == nil {
			b = rate.NewLimiter(l.rate, max(1, int(math.Ceil(float64(l.rate)*10))))
		}
		l.current[key] = b
	}
	return b
}

// limited refuses requests of the client API above the limit with 429 and
// Retry-After in whole seconds (RFC 9110, section 10.2.3).
func (s *server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/client/") {
			if d := s.limiter.wait(ClientAddress(r, s.TrustedProxies)); d > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
				s.answer(func(*http.Request) (any, error) {
					return nil, &api.Error{
						Status: http.StatusTooManyRequests, Code: api.CodeTooManyRequests,
						Description: "There are too many requests from this address. Wait before the next.",
					}
				}).ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
