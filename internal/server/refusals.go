package server

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// guessedTooOften answers a request of an address that has sent too many wrong
// keys, before its key is compared with anything.
func (s *server) guessedTooOften(w http.ResponseWriter, r *http.Request) bool {
	address := s.client(r)
	e := s.wrongKeys.check(address)
	if e.wait <= 0 {
		return false
	}
	s.refuseLimited(w, r, address, e)
	return true
}

// keyRefused counts a wrong key, against the limit of its address too, and
// writes it to the audit log of the server as a whole.
func (s *server) keyRefused(r *http.Request, of realm) {
	s.metrics.keysRefused.WithLabelValues(of.String()).Inc()
	address := s.client(r)
	s.wrongKeys.charge(address)
	n, first := s.refusals.add(refusal{of, address}, s.Now())
	s.auditRefused(r.Context(), refusal{of, address}, n)
	if first {
		// Those that follow are told, whether or not the guessing goes on.
		time.AfterFunc(generation, func() {
			s.auditRefused(context.Background(), refusal{of, address}, s.refusals.take(refusal{of, address}))
		})
	}
}

// auditRefused writes a line about n wrong keys, if there are any.
func (s *server) auditRefused(ctx context.Context, of refusal, n int) {
	if n == 0 {
		return
	}
	s.audit(ctx, "", store.AuditEvent{At: s.Now(), Kind: store.AuditKeysRefused, Detail: map[string]any{
		"realm": of.realm.String(), "address": of.address.String(), "keys": n,
	}})
}

// maxRefusals is how many addresses with wrong keys the audit log names in a
// minute; the metrics count on.
const maxRefusals = 10

// A refusal is what wrong keys are counted by.
type refusal struct {
	realm   realm
	address netip.Prefix
}

// refusals coalesces wrong keys: the first of an address is told at once, those
// that follow together a minute later. So a stranger writes to the audit log
// twice a minute and address, and for at most maxRefusals addresses a minute.
// The zero value is ready.
type refusals struct {
	mu sync.Mutex
	// pending are the keys of the addresses that are to be told a minute after
	// their first.
	pending  map[refusal]int
	from     time.Time
	reported int
}

// add counts a wrong key and returns how many are to be told now. first reports
// that the caller is to take those that follow a minute later.
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

// take returns how many keys followed, and forgets the address.
func (r *refusals) take(of refusal) (keys int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys = r.pending[of]
	delete(r.pending, of)
	return keys
}
