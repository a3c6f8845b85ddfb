package server

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, tt := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:1234", "", "192.0.2.1"},
		{"192.0.2.1:1234", "203.0.113.9", "192.0.2.1"}, // a stranger says so
		{"10.0.0.1:1234", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1:1234", "1.1.1.1, 203.0.113.9, 10.2.3.4", "203.0.113.9"},
		{"10.0.0.1:1234", "203.0.113.9:5555", "203.0.113.9"},
		{"10.0.0.1:1234", "[2001:db8::1]:5555", "2001:db8::1"},
		{"[::1]:1234", "2001:db8::1", "2001:db8::1"},
		{"10.0.0.1:1234", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1234", "", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1234", "203.0.113.9", "203.0.113.9"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := ClientAddress(r, trusted).String(); got != tt.want {
			t.Errorf("%s with %q: got %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(2, func() time.Time { return now })
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 20 {
		if d := l.wait(a); d != 0 {
			t.Fatalf("request %d waits %v", i, d)
		}
	}
	if got, want := l.wait(a), 500*time.Millisecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := l.wait(b); d != 0 {
		t.Errorf("another address waits %v", d)
	}
	// What was refused has not lengthened the wait.
	now = now.Add(500 * time.Millisecond)
	if d := l.wait(a); d != 0 {
		t.Errorf("after the wait: %v", d)
	}
	// Neighbours in one /64 are one client.
	neighbour := netip.MustParseAddr("2001:db8::")
	for range 20 {
		neighbour = neighbour.Next()
		l.wait(neighbour)
	}
	if d := l.wait(netip.MustParseAddr("2001:db8::ffff:1")); d == 0 {
		t.Error("a /64 has as many buckets as addresses")
	}
	// Generations turn, and nobody is forgiven early.
	for range 20 {
		l.wait(a)
	}
	l.turned = now.Add(-generation)
	if d := l.wait(a); d == 0 {
		t.Error("a turn of the generation emptied a bucket")
	}
	now = now.Add(3 * generation)
	l.wait(b)
	l.wait(b)
	if got := len(l.current) + len(l.previous); got > 5 {
		t.Errorf("%d buckets are kept", got)
	}
}

func TestFloodsOfTheClientAPIAreRefused(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) { c.RateLimit = 1 })
	tok := p.token("u1", "signIn", "")
	for range 10 {
		p.fails(p.verify(tok, "123456"), 400, "invalid_request")
	}
	r := p.do("POST", "/v1/client/verify/totp", "Bearer "+tok, "{}", "Origin", "https://app.test")
	p.fails(r, 429, "too_many_requests")
	if got := r.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: got %q", got)
	}
	if r.header.Get("Access-Control-Allow-Origin") == "" || !strings.Contains(strings.ToLower(r.header.Get("Access-Control-Expose-Headers")), "retry-after") {
		t.Errorf("a page cannot read it: %v", r.header)
	}
	// Backends are many users behind one address.
	for range 20 {
		p.track("u1", "signIn", "")
	}
	p.advance(time.Second)
	p.fails(p.verify(tok, "123456"), 400, "invalid_request")
}

func TestRequestIDsTieAnswersToLogLines(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	r := p.do("GET", "/healthz", "", "", "X-Request-Id", "forged")
	id := r.header.Get("X-Request-Id")
	if len(id) != 36 || !strings.Contains(p.log.String(), `"request":"`+id+`"`) {
		t.Errorf("id %q; log %s", id, p.log.String())
	}
	if strings.Contains(p.log.String(), "forged") {
		t.Error("the log took the client's word")
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.ok(p.do("GET", "/readyz", "", ""))
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	p.fails(p.do("GET", "/readyz", "", ""), 503, "internal_error")
	p.ok(p.do("GET", "/healthz", "", ""))
}

func TestMetricsCountOutcomesAndNameNobody(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	p := newPeer(t, func(c *Config) { c.Metrics = registry })
	secret := p.enrolled("some-user")
	p.refused(p.verify(p.token("some-user", "signIn", ""), p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range families {
		all.WriteString(f.String() + "\n")
	}
	for _, want := range []string{
		"authsignal_request_seconds", "authsignal_verifications_total", "authsignal_tracked_total",
		`"accepted"`, `"CODE_INVALID_OR_EXPIRED"`, `"CHALLENGE_REQUIRED"`, `"POST /v1/client/verify/totp"`,
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if strings.Contains(all.String(), "some-user") {
		t.Error("the metrics name a user")
	}
}
