package server

import (
	"net/http"
	"sync/atomic"
	"time"
)

// A Drain prepares a server for its end: from Begin on, /readyz answers 503, so that
// proxies send their requests elsewhere, and responses close their connections.
// Requests are still served. The zero value is ready.
type Drain struct {
	draining atomic.Bool
	probed   atomic.Int64 // Unix nanoseconds
}

// Begin begins the drain.
func (d *Drain) Begin() { d.draining.Store(true) }

// Probed reports whether /readyz was requested within a time before now.
func (d *Drain) Probed(within time.Duration) bool {
	last := d.probed.Load()
	return last != 0 && time.Since(time.Unix(0, last)) < within
}

// closing makes responses close their connections once the drain has begun: an idle
// connection is closed only at the end, when no proxy uses it any more.
func (d *Drain) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
