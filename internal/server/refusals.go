package server

import (
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
	d, tell := s.wrongKeys.over(address)
	if d <= 0 {
		return false
	}
	s.refuseLimited(w, r, address, d, tell)
	return true
}

// keyRefused counts a wrong key, against the limit of its address too, and
// writes it to the audit log of the server as a whole.
func (s *server) keyRefused(r *http.Request, of realm) {
	s.metrics.keysRefused.WithLabelValues(of.String()).Inc()
	address := s.client(r)
	s.wrongKeys.charge(address)
	if n := s.refusals.add(refusal{of, address}, s.Now()); n > 0 {
		s.audit(r.Context(), "", store.AuditEvent{At: s.Now(), Kind: store.AuditKeysRefused, Detail: map[string]any{
			"realm": of.String(), "address": address.String(), "keys": n,
		}})
	}
}

// maxRefusals is how many lines about wrong keys the audit log gets a minute; the
// metrics count on.
const maxRefusals = 10

// A refusal is what wrong keys are counted by.
type refusal struct {
	realm   realm
	address netip.Prefix
}

// refusals coalesces wrong keys: the first of an address is told at once, those
// that follow within a minute are told together with the next one after it. So
// a stranger writes to the audit log once a minute and address, and at most
// maxRefusals times a minute in all. The zero value is ready.
type refusals struct {
	mu    sync.Mutex
	since map[refusal]*refused
	from  time.Time
	told  int
}

type refused struct {
	keys int // not told yet
	told time.Time
}

// add counts a wrong key and returns how many are to be told now.
func (r *refusals) add(of refusal, now time.Time) (keys int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since == nil || now.Sub(r.from) >= generation {
		r.from, r.told = now, 0
		for key, f := range r.since { // those without an open count
			if f.keys == 0 && now.Sub(f.told) >= generation {
				delete(r.since, key)
			}
		}
		if r.since == nil || len(r.since) > 1000 {
			r.since = map[refusal]*refused{}
		}
	}
	f := r.since[of]
	if f == nil {
		if r.told >= maxRefusals {
			return 0
		}
		f = &refused{}
		r.since[of] = f
	}
	f.keys++
	if now.Sub(f.told) < generation || r.told >= maxRefusals {
		return 0
	}
	keys, f.keys, f.told = f.keys, 0, now
	r.told++
	return keys
}
