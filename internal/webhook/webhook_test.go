package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestSignVector(t *testing.T) {
	t.Parallel()
	var v struct {
		Secret, Header, Body string
		T                    int64
	}
	b, err := os.ReadFile("testdata/webhook.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if got := Sign([]string{v.Secret}, []byte(v.Body), time.Unix(v.T, 999)); got != v.Header {
		t.Errorf("got %s, want %s", got, v.Header)
	}
	want := v.Header + Sign([]string{"new"}, []byte(v.Body), time.Unix(v.T, 0))[len("t=1740016316"):]
	if got := Sign([]string{v.Secret, "new"}, []byte(v.Body), time.Unix(v.T, 0)); got != want || strings.Count(got, "v2=") != 2 {
		t.Errorf("two secrets: got %s, want %s", got, want)
	}
}

func TestNewEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 1, 1, 1, 0, 0, 5e6, time.FixedZone("", 3600))
	e, err := NewEvent("t", api.EventAuthenticatorCreated, api.AuthenticatorCreated{
		UserID: "u<1>", UserAuthenticatorID: "a", VerificationMethod: api.AuthenticatorApp, CreatedAt: api.Time{Time: at},
	}, at)
	if err != nil {
		t.Fatal(err)
	}
	if e.TenantID != "t" || len(e.ID) != 36 || e.Type != "authenticator.created" || !e.CreatedAt.Equal(at) {
		t.Errorf("got %+v", e)
	}
	want := `{"version":1,"id":"` + e.ID + `","source":"https://authsignal.com","time":"2025-01-01T00:00:00.005Z","tenantId":"t",` +
		`"type":"authenticator.created","data":{"userId":"u\u003c1\u003e","userAuthenticatorId":"a",` +
		`"verificationMethod":"AUTHENTICATOR_APP","createdAt":"2025-01-01T00:00:00.005Z"}}`
	if string(e.Body) != want {
		t.Errorf("got  %s\nwant %s", e.Body, want)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"http://10.0.0.1:8080", "https://app.example.com/hooks/authsignal?key=1", "http://[::1]:1/"} {
		if err := CheckURL(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{
		"", "app.example.com", "/hook", "ftp://x/", "file:///etc/passwd", "gopher://x", "http://", "http://:80/", "https://u:hunter2@x/",
		"http://x/#hunter2", "http://x\x00", "javascript:hunter2",
	} {
		if err := CheckURL(u); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", u, err)
		}
	}
}

const secret = "sk-0123456789"

// A receiver is the backend of a tenant.
type receiver struct {
	*httptest.Server
	mu sync.Mutex
	// ids are those of the received events, in order.
	ids []string
	// answer responds to the n-th request, from 0.
	answer func(n int, w http.ResponseWriter)
}

// newReceiver starts a backend that verifies events with the Go SDK.
func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	client := authsignal.New(secret, "")
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		e, err := client.VerifyWebhook(body, req.Header.Get(authsignal.WebhookSignatureHeader), 0)
		if err != nil {
			t.Error(err)
		}
		if req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" || req.Header.Get("User-Agent") != userAgent {
			t.Errorf("got %s with %v", req.Method, req.Header)
		}
		r.mu.Lock()
		n := len(r.ids)
		r.ids = append(r.ids, e.ID)
		r.mu.Unlock()
		r.answer(n, w)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

func status(code int) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) { w.WriteHeader(code) }
}

func send(t *testing.T, timeout time.Duration, url string) error {
	t.Helper()
	return NewSender(timeout).Send(t.Context(), Target{url, []string{secret}}, []byte(
		`{"version":1,"type":"x","id":"1","source":"s","time":"2025-01-01T00:00:00Z","tenantId":"t","data":{}}`), time.Now())
}

func TestSendSucceedsOnlyWithA2xxStatus(t *testing.T) {
	t.Parallel()
	for code, ok := range map[int]bool{200: true, 202: true, 204: true, 299: true, 300: false, 304: false, 400: false, 401: false, 500: false, 503: false} {
		err := send(t, time.Minute, newReceiver(t, status(code)).URL)
		if (err == nil) != ok || err != nil && err.Error() != fmt.Sprintf("HTTP status %d", code) {
			t.Errorf("%d: got %v", code, err)
		}
	}
}

func TestSendFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	inner := newReceiver(t, status(200))
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t, func(_ int, w http.ResponseWriter) {
			w.Header().Set("Location", inner.URL)
			w.WriteHeader(code)
		})
		if err := send(t, time.Minute, r.URL); err == nil {
			t.Errorf("%d: a redirect is a success", code)
		}
	}
	if got := inner.received(); len(got) != 0 {
		t.Errorf("%d redirects were followed", len(got))
	}
}

func TestSendTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := newReceiver(t, func(int, http.ResponseWriter) { <-release })
	defer close(release)
	if err := send(t, 50*time.Millisecond, r.URL); err == nil || !os.IsTimeout(err) {
		t.Errorf("got %v", err)
	}
}

// Only the beginning of an endless response is read.
func TestSendBoundsTheAnswer(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{})
	r := newReceiver(t, func(_ int, w http.ResponseWriter) {
		defer close(cut)
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	if err := send(t, time.Minute, r.URL); err != nil {
		t.Error(err)
	}
	<-cut
}

func TestSendErrorsDoNotNameTheURL(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, u := range []string{gone.URL + "/hunter2", "ftp://127.0.0.1/hunter2", "http://127.0.0.1\x00/hunter2"} {
		if err := send(t, time.Minute, u); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", u, err)
		}
	}
}

func TestSendErrorsQuoteNoAnswer(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(_ int, w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "-ERR hunter2\r\n")
		conn.Close()
	})
	if err := send(t, time.Minute, r.URL); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if err := send(t, time.Minute, strings.Replace(r.URL, "http:", "https:", 1)); err == nil {
		t.Error("no error")
	}
}

// An unknown certificate is refused.
func TestSendChecksTheCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if err := send(t, time.Minute, s.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

// A fleet is a store with a clock, for deliverers that share it.
type fleet struct {
	t        *testing.T
	database string
	store    *store.Store
	log      bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, database: storetest.Database(t), now: time.Unix(1_700_000_000, 0)}
	f.open()
	return f
}

func (f *fleet) open() {
	f.t.Helper()
	f.store = storetest.Open(f.t, f.database, store.Open)
}

func (f *fleet) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fleet) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// enqueue stores n events of tenant t and returns their ids.
func (f *fleet) enqueue(n int) []string {
	f.t.Helper()
	return f.enqueueOf("t", n)
}

func (f *fleet) enqueueOf(tenant string, n int) []string {
	f.t.Helper()
	var ids []string
	err := f.store.Update(f.t.Context(), tenant, func(tx *store.Tx) error {
		for range n {
			e, err := NewEvent(tenant, "x", struct{}{}, f.clock())
			if err != nil {
				return err
			}
			ids = append(ids, e.ID)
			if err := tx.Enqueue(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return ids
}

func (f *fleet) deliverer(url string) *Deliverer {
	return &Deliverer{
		Outbox: f.store, Sender: NewSender(time.Minute), Now: f.clock,
		Log:    slog.New(slog.NewJSONHandler(&f.log, nil)),
		Target: func(context.Context, string) (Target, error) { return Target{url, []string{secret}}, nil },
	}
}

// pass makes a deliverer query the outbox once, and waits for its requests.
func (f *fleet) pass(d *Deliverer) {
	f.t.Helper()
	if err := once(f.t.Context(), d); err != nil {
		f.t.Fatal(err)
	}
}

func once(ctx context.Context, d *Deliverer) error {
	flight := d.takeOff()
	_, err := d.claim(ctx, flight)
	for len(flight.requests) > 0 {
		err = errors.Join(err, flight.end(<-flight.ended))
	}
	return err
}

func (f *fleet) got(r *receiver, want ...string) {
	f.t.Helper()
	got := r.received()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		f.t.Fatalf("received %v, want %v", got, want)
	}
}

// Metrics count the results of deliveries, and a dead event is in the audit log of
// its tenant.
func TestDeliveriesAreCountedAndAudited(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter) {
		if n > 0 {
			w.WriteHeader(500)
		}
	})
	registry := prometheus.NewRegistry()
	d := f.deliverer(r.URL)
	d.Metrics = NewMetrics(registry, f.store.CountEvents)
	metric := func(name, label string) (sum float64) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				for _, l := range m.GetLabel() {
					if family.GetName() == name && l.GetValue() == label {
						sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
					}
				}
			}
		}
		return sum
	}
	check := func(when string, want map[string]float64) {
		t.Helper()
		got := map[string]float64{}
		for _, label := range []string{"delivered", "failed", "dead"} {
			got[label] = metric("authsignal_webhook_deliveries_total", label)
		}
		got["outbox pending"] = metric("authsignal_webhook_outbox_events", "pending")
		got["outbox dead"] = metric("authsignal_webhook_outbox_events", "dead")
		if !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	f.enqueue(1)
	check("before", map[string]float64{"delivered": 0, "failed": 0, "dead": 0, "outbox pending": 1, "outbox dead": 0})
	f.pass(d)
	id := f.enqueue(1)[0]
	f.pass(d)
	check("after a failure", map[string]float64{"delivered": 1, "failed": 1, "dead": 0, "outbox pending": 1, "outbox dead": 0})
	for range 3 {
		f.advance(time.Hour)
		f.pass(d)
	}
	check("at the end", map[string]float64{"delivered": 1, "failed": 3, "dead": 1, "outbox pending": 0, "outbox dead": 1})
	err := f.store.View(t.Context(), "t", func(tx *store.Tx) error {
		lines, err := tx.AuditEvents("", 10)
		if len(lines) != 1 || lines[0].Kind != store.AuditWebhookDead || lines[0].Detail["eventId"] != id || lines[0].Detail["type"] != "x" {
			t.Errorf("audit: got %+v", lines)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// Without the database only the gauges are missing.
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	check("without a database", map[string]float64{"delivered": 1, "failed": 3, "dead": 1, "outbox pending": 0, "outbox dead": 0})
}

func TestDeliveredEventIsSentOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := newReceiver(t, status(200))
	d := f.deliverer(r.URL)
	ids := f.enqueue(3)
	f.pass(d)
	f.advance(24 * time.Hour)
	f.pass(d)
	f.got(r, ids...)
}

func TestFailedEventIsDeadAfterThreeRetries(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := newReceiver(t, status(500))
	d := f.deliverer(r.URL + "/?key=hunter2")
	id := f.enqueue(1)[0]
	f.pass(d)
	want := []string{id}
	for i, pause := range pauses {
		if pause < 30*time.Second {
			t.Errorf("pause %d is %v", i, pause)
		}
		f.advance(pause - time.Millisecond)
		f.pass(d)
		f.got(r, want...)
		f.advance(time.Millisecond)
		f.pass(d)
		want = append(want, id)
		f.got(r, want...)
	}
	f.advance(24 * time.Hour)
	f.pass(d)
	if f.got(r, want...); len(want) != 4 {
		t.Errorf("sent %d times", len(want))
	}
	log := f.log.String()
	if strings.Count(log, `"webhook failed"`) != 3 || strings.Count(log, `"webhook given up"`) != 1 || strings.Count(log, "HTTP status 500") != 4 {
		t.Errorf("got %s", log)
	}
	for _, s := range []string{secret, "hunter2", r.URL} {
		if strings.Contains(log, s) {
			t.Errorf("the log holds %s", s)
		}
	}
}

func TestRetryAfterA500Arrives(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter) { w.WriteHeader([]int{500, 200}[min(n, 1)]) })
	d := f.deliverer(r.URL)
	id := f.enqueue(1)[0]
	f.pass(d)
	f.advance(30 * time.Second)
	f.pass(d)
	f.advance(24 * time.Hour)
	f.pass(d)
	f.got(r, id, id)
}

func TestFailedEventDelaysNoOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter) { w.WriteHeader([]int{500, 200}[min(n, 1)]) })
	ids := f.enqueue(5)
	f.pass(f.deliverer(r.URL))
	f.got(r, ids...)
}

func TestEventsSurviveARestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	r := newReceiver(t, status(200))
	ids := f.enqueue(2)
	// A process claims an event and dies.
	one := func([]store.Due) []store.Claim { return []store.Claim{{TenantID: "t", Events: 1}} }
	if _, err := f.store.ClaimEvents(t.Context(), f.clock(), f.clock().Add(lease), one); err != nil {
		t.Fatal(err)
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	f.open()
	d := f.deliverer(r.URL)
	f.pass(d)
	if got := r.received(); len(got) != 1 {
		t.Errorf("received %v, want the unclaimed one", got)
	}
	f.advance(lease)
	f.pass(d)
	f.got(r, ids...)
}

func TestReplicasShareTheEvents(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ids := f.enqueue(50)
	r := newReceiver(t, status(200))
	deliverers := []*Deliverer{f.deliverer(r.URL), f.deliverer(r.URL)}
	if storetest.Postgres() { // SQLite's file has one process
		first := f.store
		f.open()
		defer first.Close()
		deliverers = append(deliverers, f.deliverer(r.URL))
	}
	var wg sync.WaitGroup
	for _, d := range deliverers {
		wg.Go(func() {
			for range 50 {
				if err := once(t.Context(), d); err != nil {
					t.Error(err)
				} else if len(r.received()) == 50 {
					return
				}
			}
		})
	}
	wg.Wait()
	f.got(r, ids...)
}

func TestEventsOfATenantWithoutURLAreDead(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.enqueue(1)
	f.pass(f.deliverer(""))
	r := newReceiver(t, status(200))
	f.advance(24 * time.Hour)
	f.pass(f.deliverer(r.URL))
	f.got(r)
}

func TestRunWaitsForRequestsInFlightBeforeItStops(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ids := f.enqueue(share + 1)
	stop := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	r := newReceiver(t, func(_ int, w http.ResponseWriter) {
		// Run is stopped while the last request is in flight.
		once.Do(func() { close(stop) })
		<-ctx.Done()
		w.WriteHeader(200)
	})
	d := f.deliverer(r.URL)
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	<-stop
	cancel()
	<-done
	first := r.received()
	if len(first) != share {
		t.Errorf("%d were sent, want a tenant's share", len(first))
	}
	// They were received and are not sent again; the other one is pending.
	f.advance(24 * time.Hour)
	f.pass(f.deliverer(r.URL))
	f.got(r, ids...)
}

// A receiver that hangs delays only its tenant's events.
func TestHangingReceiverDelaysNoOtherTenant(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.enqueueOf("slow", 8*share)
	f.advance(time.Second)
	ids := f.enqueueOf("quick", 3*share) // later than all of them, and more than one claim takes
	release := make(chan struct{})
	hung := newReceiver(t, func(_ int, w http.ResponseWriter) { <-release })
	arrived := make(chan struct{})
	quick := newReceiver(t, func(n int, w http.ResponseWriter) {
		if n == len(ids)-1 {
			close(arrived)
		}
	})
	d := f.deliverer("")
	d.Target = func(_ context.Context, tenantID string) (Target, error) {
		return Target{map[string]string{"slow": hung.URL, "quick": quick.URL}[tenantID], []string{secret}}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	<-arrived
	if n := len(hung.received()); n > share {
		t.Errorf("%d events are on their way to one tenant", n)
	}
	cancel()
	close(release)
	<-done
	f.got(quick, ids...)
}

func TestRunCleansTheOutbox(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	o := &brokenOutbox{Outbox: f.store, cleaned: make(chan time.Time, 1)}
	d := f.deliverer("")
	d.Outbox = o
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	if got, want := <-o.cleaned, f.clock().Add(-retention); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	cancel()
	<-done
}

// An unreachable database is logged once, and deliveries continue when it is back.
func TestRunSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.enqueue(1)
	arrived := make(chan struct{})
	r := newReceiver(t, func(int, http.ResponseWriter) { close(arrived) })
	d := f.deliverer(r.URL)
	d.Outbox = &brokenOutbox{Outbox: f.store, cleaned: make(chan time.Time, 9), failures: 2}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	<-arrived
	cancel()
	<-done
	if got := strings.Count(f.log.String(), "the database is away"); got != 1 {
		t.Errorf("logged %d times: %s", got, f.log.String())
	}
}

// A brokenOutbox fails at first, and reports when it is cleaned.
type brokenOutbox struct {
	Outbox
	failures int
	cleaned  chan time.Time
}

func (o *brokenOutbox) ClaimEvents(ctx context.Context, now, until time.Time, choose func([]store.Due) []store.Claim) ([]store.Event, error) {
	if o.failures--; o.failures >= 0 {
		return nil, errors.New("the database is away")
	}
	return o.Outbox.ClaimEvents(ctx, now, until, choose)
}

func (o *brokenOutbox) CleanEvents(ctx context.Context, before time.Time) error {
	o.cleaned <- before
	return o.Outbox.CleanEvents(ctx, before)
}
