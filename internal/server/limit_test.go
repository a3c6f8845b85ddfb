package server

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/internal/address"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(2, func() time.Time { return now })
	wait := func(a netip.Addr) time.Duration { return l.take(address.Subscriber(a)).wait }
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 20 {
		if d := wait(a); d != 0 {
			t.Fatalf("request %d waits %v", i, d)
		}
	}
	if got, want := wait(a), 500*time.Millisecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if d := wait(b); d != 0 {
		t.Errorf("another address waits %v", d)
	}
	// Refused requests do not lengthen the wait.
	now = now.Add(500 * time.Millisecond)
	if d := wait(a); d != 0 {
		t.Errorf("after the wait: %v", d)
	}
	// Addresses of the same /64 share a limit.
	neighbour := netip.MustParseAddr("2001:db8::")
	for range 20 {
		neighbour = neighbour.Next()
		wait(neighbour)
	}
	if d := wait(netip.MustParseAddr("2001:db8::ffff:1")); d == 0 {
		t.Error("a /64 has as many buckets as addresses")
	}
	// A new generation does not reset a limit early.
	for range 20 {
		wait(a)
	}
	l.turned = now.Add(-generation)
	if d := wait(a); d == 0 {
		t.Error("a turn of the generation emptied a bucket")
	}
	now = now.Add(3 * generation)
	wait(b)
	wait(b)
	if got := len(l.current) + len(l.previous); got > 5 {
		t.Errorf("%d buckets are kept", got)
	}
}

// A flood is reported once per generation and address, for at most maxReported
// addresses.
func TestFewAddressesAreReported(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(0.1, func() time.Time { return now }) // bursts of one request
	flood := func(addresses int) (reports int) {
		a := netip.MustParseAddr("192.0.2.0")
		for range addresses {
			a = a.Next()
			for range 4 {
				if l.take(address.Subscriber(a)).report {
					reports++
				}
			}
		}
		return reports
	}
	if got := flood(2); got != 2 {
		t.Errorf("two addresses: got %d reports", got)
	}
	if got := flood(2); got != 0 {
		t.Errorf("again: got %d reports", got)
	}
	if got := flood(200); got != maxReported-2 {
		t.Errorf("200 addresses: got %d reports, want %d", got, maxReported-2)
	}
	for i := range maxBuckets { // so many that a new generation begins early
		l.current[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)] = &bucket{}
	}
	if got := flood(2); got != 0 || len(l.current) > 2 {
		t.Errorf("after an early turn: got %d reports, %d buckets", got, len(l.current))
	}
	now = now.Add(generation)
	if got := flood(2); got != 2 {
		t.Errorf("the next generation: got %d reports", got)
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
	// Backends send the requests of many users.
	for range 20 {
		p.track("u1", "signIn", "")
	}
	p.advance(time.Second)
	p.fails(p.verify(tok, "123456"), 400, "invalid_request")
}

func TestFloodsOfPagesAreRefused(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a page") })
	p := newPeer(t, func(c *Config) {
		c.RateLimit = 1
		c.Pages = map[string]http.Handler{"GET /{$}": page, "GET /portal/": page, "POST /portal/sign-in": page}
		c.Files = map[string]http.Handler{"GET /assets/": page, "GET /portal/static/": page}
	})
	requests := [][2]string{{"GET", "/"}, {"GET", "/portal/nowhere"}, {"POST", "/portal/sign-in"}, {"GET", "/nowhere"}, {"GET", "/v1/client/../x"}, {"GET", "/v1/client"}}
	for i := range 10 {
		if r := p.do(requests[i%len(requests)][0], requests[i%len(requests)][1], "", ""); r.status == 429 {
			t.Fatalf("request %d: got %s", i, r.text)
		}
	}
	for _, request := range requests {
		r := p.do(request[0], request[1], "", "")
		p.fails(r, 429, "too_many_requests")
		if got := r.header.Get("Retry-After"); got != "1" {
			t.Errorf("%s: Retry-After: got %q", request, got)
		}
	}
	for _, path := range []string{"/assets/app.js", "/portal/static/style.css"} { // a page loads many files
		for range 20 {
			p.ok(p.do("GET", path, "", ""))
		}
	}
}

// Preflights do not count as requests, but have a limit. The database is not
// queried for the origin of a refused one.
func TestFloodsOfPreflightsAreRefused(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) { c.RateLimit = 1 })
	preflight := func(path, origin string) response {
		return p.do("OPTIONS", path, "", "", "Origin", origin, "Access-Control-Request-Method", "POST")
	}
	paths := []string{"/v1/client/verify/totp", "/v1/users/u1", "/nowhere"}
	for i := range 10 {
		if r := preflight(paths[i%len(paths)], "https://app.test"); r.status != 204 {
			t.Fatalf("preflight %d: got %d %s", i, r.status, r.text)
		}
	}
	p.fails(p.do("POST", paths[0], "", "{}"), 401, "unauthorized")
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		p.fails(preflight(path, "https://made-up.test"), 429, "too_many_requests")
	}
	if log := p.log.String(); strings.Contains(log, `"msg":"origins"`) {
		t.Errorf("the database was queried: %s", log)
	}
}

// value returns the sum of a metric's samples with a value of a label.
func value(t *testing.T, g prometheus.Gatherer, name, label string) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			found := label == ""
			for _, l := range m.GetLabel() {
				found = found || l.GetValue() == label
			}
			if f.GetName() == name && found {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// kinds returns the kinds of a tenant's audit log, newest first.
func (p *peer) kinds(tenantID string) (kinds []store.AuditKind) {
	p.t.Helper()
	err := p.store.View(p.t.Context(), tenantID, func(tx *store.Tx) error {
		list, err := tx.AuditEvents("", 1000)
		for _, e := range list {
			kinds = append(kinds, e.Kind)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return kinds
}

func count(list []store.AuditKind, kind store.AuditKind) (n int) {
	for _, v := range list {
		if v == kind {
			n++
		}
	}
	return n
}

// A flood does not fill the log or the audit log.
func TestAFloodIsLoggedOnce(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	p := newPeer(t, func(c *Config) { c.RateLimit, c.Metrics = 1, registry })
	tok := p.token("u1", "signIn", "")
	const flood = 30
	lines := func() int { return strings.Count(p.log.String(), "\n") }
	send := func(authorization string) (refused int) {
		for range flood {
			if p.do("POST", "/v1/client/verify/totp", authorization, "{}").status == 429 {
				refused++
			}
		}
		return refused
	}
	before := lines()
	refused := send("Bearer stranger")
	if refused < flood-10 {
		t.Fatalf("%d were refused", refused)
	}
	if got, want := lines()-before, flood-refused+1; got != want {
		t.Errorf("a stranger: %d lines, want %d", got, want)
	}
	if got := count(p.kinds("t1"), store.AuditRequestsLimited); got != 0 {
		t.Errorf("a stranger wrote %d audit lines", got)
	}
	if got := value(t, registry, "authsignal_requests_limited_total", ""); got != float64(refused) {
		t.Errorf("the metrics count %v, want %d", got, refused)
	}
	p.advance(generation)
	p.do("GET", "/healthz", "", "")
	before = lines()
	refused = send("Bearer " + tok)
	if got, want := lines()-before, flood-refused+1; got != want {
		t.Errorf("with a token: %d lines, want %d", got, want)
	}
	if got := count(p.kinds("t1"), store.AuditRequestsLimited); got != 1 {
		t.Errorf("with a token: %d audit lines, want 1", got)
	}
	if log := p.log.String(); !strings.Contains(log, `"address":"127.0.0.1/32"`) || strings.Contains(log, tok) {
		t.Errorf("log: %s", log)
	}
}

// Guesses at keys are limited, and over the limit nothing is compared: a right
// guess is refused like the others. A backend at the same address that sent no
// wrong key is not limited.
func TestGuessesAtKeysAreLimited(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	p := newPeer(t, func(c *Config) { c.RateLimit, c.ManagementKey, c.Metrics = 1, managementKey, registry })
	for range 30 {
		p.ok(p.api("GET", "/v1/users/u1", ""))
	}
	for i := range 20 {
		want, code := 401, "unauthorized"
		if i >= 10 {
			want, code = 429, "too_many_requests"
		}
		path := []string{"/v1/users/u1", "/v1/management/tenants"}[i%2]
		p.fails(p.do("GET", path, basic("wrong"), ""), want, code)
	}
	p.fails(p.api("GET", "/v1/users/u1", ""), 429, "too_many_requests")
	p.fails(p.manage("GET", "tenants", ""), 429, "too_many_requests")
	p.fails(p.do("GET", "/v1/client/authenticators", "", ""), 401, "unauthorized")
	p.advance(2 * time.Second)
	p.ok(p.api("GET", "/v1/users/u1", ""))
	p.ok(p.manage("GET", "tenants", ""))
	for _, realm := range []string{"server", "management"} {
		if got := value(t, registry, "authsignal_keys_refused_total", realm); got != 5 {
			t.Errorf("%s: the metric is %v, want 5", realm, got)
		}
	}
	// The first of each realm has an entry immediately.
	audit := p.ok(p.manage("GET", "audit", "")).text
	for _, want := range []string{`"address":"127.0.0.1/32","keys":1,"realm":"management"`, `"address":"127.0.0.1/32","keys":1,"realm":"server"`} {
		if !strings.Contains(audit, want) {
			t.Errorf("the audit log lacks %s: %s", want, audit)
		}
	}
	if got := strings.Count(audit, string(store.AuditKeysRefused)); got != 2 {
		t.Errorf("%d audit lines, want 2: %s", got, audit)
	}
}

func TestWrongKeysAreReportedTogether(t *testing.T) {
	t.Parallel()
	var r refusals
	now := time.Unix(1_700_000_000, 0)
	of := func(i int) refusal {
		return refusal{serverRealm, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)}
	}
	for i := range 50 {
		keys, first := r.add(of(1), now)
		if want := i == 0; first != want || keys == 1 != want {
			t.Fatalf("key %d: got %d, %v", i, keys, first)
		}
	}
	if got := r.take(of(1)); got != 49 {
		t.Errorf("those that followed: got %d, want 49", got)
	}
	if got := r.take(of(1)); got != 0 {
		t.Errorf("again: got %d", got)
	}
	// A network of addresses does not fill the audit log.
	reported := 1
	for i := range 200 {
		if _, first := r.add(of(i), now); first {
			reported++
		}
	}
	if reported != maxRefusals || len(r.pending) > maxRefusals {
		t.Errorf("%d addresses are reported, %d kept, want %d", reported, len(r.pending), maxRefusals)
	}
	if _, first := r.add(of(99), now.Add(generation)); !first {
		t.Error("a minute later: not reported")
	}
}

// A health check is answered during a flood, but not logged.
func TestHealthIsNeverRefused(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) { c.RateLimit = 1 })
	for range 30 {
		p.ok(p.do("GET", "/healthz", "", ""))
	}
	if got := strings.Count(p.log.String(), "\n"); got != 10 {
		t.Errorf("%d lines, want 10", got)
	}
}

func TestRequestIDsAreInResponsesAndLogLines(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	r := p.do("GET", "/healthz", "", "", "X-Request-Id", "forged")
	id := r.header.Get("X-Request-Id")
	if len(id) != 36 || !strings.Contains(p.log.String(), `"request":"`+id+`"`) {
		t.Errorf("id %q; log %s", id, p.log.String())
	}
	if strings.Contains(p.log.String(), "forged") {
		t.Error("the log has the id of the client")
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.ok(p.do("GET", "/readyz", "", ""))
	becomes := func(status int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); p.do("GET", "/readyz", "", "").status != status; {
			if time.Now().After(deadline) {
				t.Fatalf("never %d", status)
			}
		}
		for range 20 {
			p.do("GET", "/readyz", "", "")
		}
	}
	storetest.Exec(t, p.database, `INSERT INTO encryption_keys (key_id, created_at) VALUES ('of-another', 1)`)
	becomes(503)
	p.fails(p.do("GET", "/readyz", "", ""), 503, "internal_error")
	if got := p.do("GET", "/readyz", "", "").text; strings.Contains(got, "of-another") {
		t.Errorf("the answer has the reason: %s", got)
	}
	p.ok(p.do("GET", "/healthz", "", ""))
	storetest.Exec(t, p.database, `DELETE FROM encryption_keys WHERE key_id = 'of-another'`)
	becomes(200)
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	becomes(503)
	log := p.log.String()
	if n := strings.Count(log, `"not ready"`); n != 2 || !strings.Contains(log, "of-another") {
		t.Errorf("the log has %d reasons for two:\n%s", n, log)
	}
	if n := strings.Count(log, `"ready again"`); n != 1 {
		t.Errorf("the log has %d recoveries for one", n)
	}
}

func TestMetricsCountOutcomesWithoutUsers(t *testing.T) {
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

// Without -trusted-proxies, all clients of a proxy count as one. The warning says
// so, for wrong keys too, if there are signs of a proxy.
func TestTheWarningNamesTheTrustedProxies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		trusted   []netip.Prefix
		forwarded string
		want      bool
	}{
		{"behind a proxy that is not named", nil, "203.0.113.9", true},
		{"behind a named proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, "203.0.113.9", false},
		{"without a proxy", nil, "", false},
	} {
		for _, authorization := range []string{"", basic("wrong")} {
			p := newPeer(t, func(c *Config) { c.RateLimit, c.TrustedProxies = 1, tt.trusted })
			var header []string
			if tt.forwarded != "" {
				header = []string{"X-Forwarded-For", tt.forwarded}
			}
			for range 11 {
				p.do("GET", "/v1/users/u1", authorization, "", header...)
			}
			log := p.log.String()
			if !strings.Contains(log, "too many requests from an address") || strings.Contains(log, "-trusted-proxies (AUTHSIGNAL_TRUSTED_PROXIES)") != tt.want {
				t.Errorf("%s, %q: got %s", tt.name, authorization, log)
			}
		}
	}
}
