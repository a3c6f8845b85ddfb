package webhook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

// small are limits that a table can show.
var small = limits{first: 4, further: 3, share: 2, slow: 2, total: 7, patience: time.Minute}

// due returns tenants with due events, the longest due first.
func due(tenants string) (list []store.Due) {
	for i, tenant := range strings.Fields(tenants) {
		list = append(list, store.Due{TenantID: tenant, Since: time.Unix(int64(i), 0)})
	}
	return list
}

func TestChoose(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		name string
		// under are the tenants of the requests on their way, with ! for more than
		// the patience, and slow those that are slow, the longest first.
		under, slow, due, want string
	}{
		{"one tenant has its share", "", "", "a", "a:2"},
		{"a tenant with its share waits", "a a", "", "a b", "b:1"},
		{"one event each, and more where there is room", "", "", "a b", "a:2 b:1"},
		{"first ones are before further ones", "a a", "", "a b c d e", "b:1 c:1"},
		{"no further ones in a crowd", "a b c", "", "a b c", ""},
		{"the longest due are first", "a b", "", "e c d", "e:1 c:1"},
		{"a slow tenant has one", "", "a", "a", "a:1"},
		{"a slow tenant on its way waits", "a", "a", "a", ""},
		{"slow tenants have few places", "", "a b c", "c b a", "a:1 b:1"},
		{"slow tenants take no other places", "a b", "a b", "c", "c:2"},
		{"first ones take no places of slow ones", "c d e f", "a", "g a", "a:1"},
		{"a request that takes long makes its tenant slow", "a! b! c! d!", "", "a e f", "e:2 f:1"},
		{"but not a tenant beside it", "a! a", "", "a b", "b:2"},
		{"no more than all places", "a! b! c! d! e! f!", "", "g h", "g:1"},
		{"nothing when all is taken", "a! b! c! d! e! f! g!", "", "h", ""},
	} {
		f := newFlight(small)
		for _, tenant := range strings.Fields(tt.under) {
			name, long := strings.CutSuffix(tenant, "!")
			began := now
			if long {
				began = now.Add(-2 * small.patience)
			}
			f.begin(name).sent.Store(began.UnixNano())
		}
		for i, tenant := range strings.Fields(tt.slow) {
			f.slow[tenant] = now.Add(time.Duration(i) * time.Second)
		}
		var got []string
		for _, c := range f.choose(due(tt.due), now) {
			got = append(got, fmt.Sprintf("%s:%d", c.TenantID, c.Events))
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A tenant is slow after a request that took long, until one succeeds in time.
func TestASlowTenantRecovers(t *testing.T) {
	t.Parallel()
	f := newFlight(small)
	for _, tt := range []struct {
		took time.Duration
		ok   bool
		slow bool
	}{
		{time.Second, true, false}, {time.Second, false, false}, {time.Hour, false, true}, {time.Second, false, true},
		{time.Second, true, false}, {time.Hour, true, true}, {time.Second, true, false},
	} {
		r := f.begin("t")
		r.took, r.ok = tt.took, tt.ok
		f.end(r)
		if _, slow := f.slow["t"]; slow != tt.slow {
			t.Errorf("%+v: slow is %v", tt, slow)
		}
	}
	if len(f.requests)+len(f.busy)+len(f.slow) != 0 {
		t.Errorf("left over: %+v", f)
	}
}

// A process with few descriptors leaves most of them to its clients.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	if l := defaultLimits(); l.total > descriptors()/4 && l.total > 32 || l.first < 8 || l.slow < 1 || l.further < 1 || l.first+l.slow > l.total {
		t.Errorf("got %+v for %d descriptors", l, descriptors())
	}
}

// hang starts receivers that accept connections and never answer, and returns their
// URLs.
func hang(t *testing.T, n int) (urls []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var open []net.Conn
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				open = append(open, c)
				mu.Unlock()
			}
		}()
		t.Cleanup(func() {
			l.Close()
			mu.Lock()
			defer mu.Unlock()
			for _, c := range open {
				c.Close()
			}
		})
		urls = append(urls, "http://"+l.Addr().String())
	}
	return urls
}

// However many tenants wait, the limits let the event of another one pass: a
// thousand that begin to hang at once are all on their way, and later they have
// few places.
func TestAThousandHangingTenantsLeavePlaces(t *testing.T) {
	t.Parallel()
	f := newFlight(limits{first: 1024, further: 128, share: share, slow: 256, total: 4096, patience: 2 * time.Second})
	now := time.Unix(1_700_000_000, 0)
	var tenants []store.Due
	for i := range 1000 {
		tenants = append(tenants, store.Due{TenantID: fmt.Sprint("hangs", i)})
	}
	good := store.Due{TenantID: "good", Since: now}
	// claim claims until there is no place left, and reports whether the good tenant
	// got one.
	claim := func(now time.Time) (passed bool) {
		t.Helper()
		for {
			claims := f.choose(append(tenants, good), now)
			if len(claims) == 0 {
				return passed
			}
			for _, c := range claims[:min(store.MaxClaims, len(claims))] {
				for range c.Events {
					r := f.begin(c.TenantID)
					r.sent.Store(now.UnixNano())
					if c.TenantID == "good" {
						passed = true
						r.ok = true
						f.end(r)
						return passed
					}
				}
			}
		}
	}
	if !claim(now) {
		t.Error("at first, the good tenant waits")
	}
	for wave := range 10 {
		now = now.Add(f.limits.patience + time.Second)
		if !claim(now) {
			t.Errorf("in wave %d, the good tenant waits", wave)
		}
		if n := len(f.requests); n > 1000+128 {
			t.Errorf("in wave %d, %d requests are on their way", wave, n)
		}
		for r := range f.requests {
			r.took = 10 * time.Second
			f.end(r)
		}
	}
}

// Two hundred tenants whose receivers hang delay the event of another one by at most
// two seconds: when all begin to hang, after their time-outs, and when all their
// events are due again.
func TestHangingTenantsDelayNoOther(t *testing.T) {
	t.Parallel()
	const hanging = 200
	f := newFleet(t)
	urls := hang(t, hanging)
	for i := range hanging {
		f.enqueueOf(fmt.Sprint("hangs", i), 3)
	}
	// A request that has begun may still fail on a busy machine, after the time of the
	// sender, and is then repeated only when the clock of the test is advanced.
	begun := make(chan struct{}, 100)
	good := newReceiver(t, status(http.StatusOK))
	d := f.deliverer("")
	d.limits = limits{first: 1024, further: 128, share: share, slow: 256, total: 4096, patience: 200 * time.Millisecond}
	d.Sender = NewSender(time.Second) // a tenth of DeliverTimeout
	d.Target = func(_ context.Context, tenantID string) (Target, error) {
		if i, ok := strings.CutPrefix(tenantID, "hangs"); ok {
			var n int
			if _, err := fmt.Sscan(i, &n); err != nil {
				t.Error(err)
			}
			return Target{urls[n], []string{secret}}, nil
		}
		begun <- struct{}{}
		return Target{good.URL, []string{secret}}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	var longest, busy time.Duration
	events := 0
	start := time.Now()
	for again := false; time.Since(start) < 3*time.Second; {
		if !again && time.Since(start) > 2*time.Second {
			again = true
			f.advance(time.Hour)
		}
		began := time.Now()
		f.enqueueOf("good", 1)
		committed := time.Now()
		<-begun
		// How long a commit takes says how busy the machine is with other tests.
		busy = max(busy, committed.Sub(began))
		longest = max(longest, time.Since(committed))
		events++
	}
	cancel()
	<-done
	if len(good.received()) == 0 {
		t.Error("no event has arrived")
	}
	if longest > 2*time.Second+20*busy {
		t.Errorf("of %d events, one waited for %v; a commit takes up to %v", events, longest, busy)
	}
}
