package server

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// guessedTooOften refuses a request of an address that has sent too many wrong
// keys, before its key is compared, and reports whether it did.
func (s *server) guessedTooOften(w http.ResponseWriter, r *http.Request) bool {
	address := s.client(r)
	e := s.wrongKeys.check(address)
	if e.wait <= 0 {
		return false
	}
	s.refuseLimited(w, r, address, e)
	return true
}

// keyRefused counts a wrong key, in the metrics and against the limit of its
// address, and writes it to the audit log of the server.
func (s *server) keyRefused(r *http.Request, of realm) {
	s.metrics.keysRefused.WithLabelValues(of.String()).Inc()
	address := s.client(r)
	s.wrongKeys.charge(address)
	n, first := s.refusals.add(refusal{of, address}, s.Now())
	s.auditRefused(r.Context(), refusal{of, address}, n)
	if first {
		// Keys that follow are written even if there are no further requests.
		time.AfterFunc(generation, func() {
			s.auditRefused(context.Background(), refusal{of, address}, s.refusals.take(refusal{of, address}))
		})
	}
}

// auditRefused writes an audit entry for n wrong keys, if n is not 0.
func (s *server) auditRefused(ctx context.Context, of refusal, n int) {
	if n == 0 {
		return
	}
	s.audit(ctx, "", store.AuditEvent{At: s.Now(), Kind: store.AuditKeysRefused, Detail: map[string]any{
		"realm": of.realm.String(), "address": of.address.String(), "keys": n,
	}})
}

// maxRefusals is the maximum number of addresses with wrong keys in the audit log
// per minute. The metrics count all of them.
const maxRefusals = 10

// A refusal is the key by which wrong keys are counted.
type refusal struct {
	realm   realm
	address netip.Prefix
}

// refusals combines audit entries for wrong keys: the first key of an address has
// an entry of its own, and those that follow share one a minute later. So there
// are at most two entries a minute for an address, for at most maxRefusals
// addresses. The zero value is ready.
type refusals struct {
	mu sync.Mutex
	// pending are the numbers of keys that followed the first one of an address
	// and have no entry yet.
	pending  map[refusal]int
	from     time.Time
	reported int
}

// add counts a wrong key, and returns the number of keys for an entry now. If it
// is the first of an address, the caller must take those that follow a minute
// later.
func (r *refusals) add(of refusal, now time.Time) (keys int, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, counting := r.pending[of]; counting {
		r.pending[of]++
		return 0, false
	}
	if now.Sub(r.from) >= generation {
		r.from, r.reported = now, 0
	}
	if r.reported >= maxRefusals {
		return 0, false
	}
	r.reported++
	if r.pending == nil {
		r.pending = map[refusal]int{}
	}
	r.pending[of] = 0
	return 1, true
}

// take returns the number of keys that followed, and removes the address.
func (r *refusals) take(of refusal) (keys int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys = r.pending[of]
	delete(r.pending, of)
	return keys
}
