package webhook

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// limits bound how many events are sent at once. Every tenant may have one on its
// way as long as there is room for first ones, so that the events of one tenant do not wait
// for those of others. A tenant whose receiver is slow has one, and slow tenants
// together have few of all places: a place is taken by a slow one for
// DeliverTimeout, but by another for patience at most, since a request that takes
// longer makes its tenant slow.
type limits struct {
	// first is the number of tenants that are not slow and have an event on its
	// way.
	first int
	// further is the number of events up to which such a tenant may have more than
	// one, up to share.
	further, share int
	// slow is the number of slow tenants up to which another one's event is sent.
	slow int
	// total bounds all, with those that became slow on the way.
	total int
	// patience is the time after which a request makes its tenant slow.
	patience time.Duration
}

// defaultLimits are for a thousand tenants whose receivers begin to hang at the
// same time. A process with few descriptors has a quarter of them for events: its
// clients and its database need the others.
func defaultLimits() limits {
	total := min(4096, max(descriptors()/4, 32))
	return limits{first: total / 4, further: total / 32, share: share, slow: total / 16, total: total, patience: 2 * time.Second}
}

const (
	// share is how many events of one tenant are sent at once.
	share = 8
	// maxReading and maxWriting are how many transactions are open at once to
	// look up receivers and to write results.
	maxReading = 2
	maxWriting = 4
)

// A request is an event on its way.
type request struct {
	tenantID string
	// sent is when the sending began, in Unix nanoseconds; 0 before and after it.
	sent atomic.Int64
	// took is how long the sending took, and ok reports whether it succeeded.
	took time.Duration
	ok   bool
	// err is the error of the outbox, not of the receiver.
	err error
}

// send calls a function that sends the event.
func (r *request) send(event func() error) error {
	began := time.Now()
	r.sent.Store(began.UnixNano())
	err := event()
	r.sent.Store(0)
	r.took, r.ok = time.Since(began), err == nil
	return err
}

// A flight holds the events that a deliverer is sending.
type flight struct {
	limits   limits
	requests map[*request]struct{}
	busy     map[string]int // by tenant
	// slow has the tenants whose last request took longer than patience, until
	// one succeeds that does not, with the time at which it ended.
	slow  map[string]time.Time
	ended chan *request
}

func newFlight(l limits) *flight {
	return &flight{l, map[*request]struct{}{}, map[string]int{}, map[string]time.Time{}, make(chan *request, l.total)}
}

func (f *flight) begin(tenantID string) *request {
	r := &request{tenantID: tenantID}
	f.requests[r] = struct{}{}
	f.busy[tenantID]++
	return r
}

// end counts a request that has ended, and all others that are waiting. It returns
// the errors of the outbox.
func (f *flight) end(r *request) error {
	var errs []error
	for {
		errs = append(errs, r.err)
		delete(f.requests, r)
		if f.busy[r.tenantID]--; f.busy[r.tenantID] == 0 {
			delete(f.busy, r.tenantID)
		}
		if r.took > f.limits.patience {
			f.slow[r.tenantID] = time.Now()
		} else if r.ok {
			delete(f.slow, r.tenantID)
		}
		select {
		case r = <-f.ended:
		default:
			return errors.Join(errs...)
		}
	}
}

// choose returns how many events of tenants are to be claimed, of those that have
// events due, the longest due first.
func (f *flight) choose(due []store.Due, now time.Time) (claims []store.Claim) {
	lagging := map[string]bool{} // a request is on its way for longer than patience
	for r := range f.requests {
		if sent := r.sent.Load(); sent != 0 && now.Sub(time.Unix(0, sent)) > f.limits.patience {
			lagging[r.tenantID] = true
		}
	}
	isSlow := func(tenantID string) bool {
		_, slow := f.slow[tenantID]
		return slow || lagging[tenantID]
	}
	quick, slow := 0, 0
	for r := range f.requests {
		if isSlow(r.tenantID) {
			slow++
		} else {
			quick++
		}
	}
	room := f.limits.total - quick - slow
	claim := func(tenantID string, n int) {
		claims = append(claims, store.Claim{TenantID: tenantID, Events: n})
		room -= n
	}
	var waiting []store.Due // of slow tenants
	chosen := map[string]int{}
	for _, d := range due {
		switch {
		case isSlow(d.TenantID):
			waiting = append(waiting, d)
		case f.busy[d.TenantID] == 0 && quick < f.limits.first && room > 0:
			chosen[d.TenantID] = len(claims)
			claim(d.TenantID, 1)
			quick++
		}
	}
	for _, d := range due {
		i, first := chosen[d.TenantID]
		had := f.busy[d.TenantID]
		if first {
			had = 1
		}
		if had == 0 || isSlow(d.TenantID) {
			continue
		}
		n := min(f.limits.share-had, f.limits.further-quick, room)
		if n <= 0 {
			continue
		}
		quick += n
		if first {
			claims[i].Events += n
			room -= n
		} else {
			claim(d.TenantID, n)
		}
	}
	// In turn, so that a receiver that works again is noticed whatever the backlog
	// of others.
	slices.SortStableFunc(waiting, func(a, b store.Due) int { return f.slow[a.TenantID].Compare(f.slow[b.TenantID]) })
	for _, d := range waiting {
		if f.busy[d.TenantID] == 0 && slow < f.limits.slow && room > 0 {
			claim(d.TenantID, 1)
			slow++
		}
	}
	return claims
}
