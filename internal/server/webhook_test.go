package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// A hook is a tenant's backend that receives webhooks.
type hook struct {
	url string

	mu     sync.Mutex
	events []authsignal.Event
	// consent returns the status for an action.verify; nil means 200.
	consent func() int
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	client := authsignal.New(testSecret, "")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e, err := client.VerifyWebhook(body, r.Header.Get(authsignal.WebhookSignatureHeader), 0)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		h.events = append(h.events, e)
		consent := h.consent
		h.mu.Unlock()
		if e.Type == authsignal.EventActionVerify && consent != nil {
			w.WriteHeader(consent())
		}
	}))
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

// answers sets the status for the next action.verify events.
func (h *hook) answers(consent func() int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.consent = consent
}

// of returns the received events of a type.
func (h *hook) of(eventType string) []authsignal.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []authsignal.Event
	for _, e := range h.events {
		if e.Type == eventType {
			list = append(list, e)
		}
	}
	return list
}

// hooked starts a server with a webhook, and returns the backend and the store.
func hooked(t *testing.T, change ...func(*Config)) (*peer, *hook, *store.Store) {
	t.Helper()
	h := newHook(t)
	p := newPeer(t, change...)
	p.webhook(h.url)
	return p, h, p.store
}

// webhook sets the webhook URL of the tenant.
func (p *peer) webhook(url string) {
	p.t.Helper()
	err := p.store.Update(p.t.Context(), "t1", func(tx *store.Tx) error { _, err := tx.SetWebhookURL(url); return err })
	if err != nil {
		p.t.Fatal(err)
	}
}

// deliver sends the events in the outbox, as the daemon does.
func (p *peer) deliver(st *store.Store, h *hook) {
	p.t.Helper()
	o := &drained{Store: st, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(p.t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		(&webhook.Deliverer{
			Outbox: o, Sender: webhook.NewSender(time.Minute), Log: slog.New(slog.DiscardHandler), Now: p.clock,
			Target: func(context.Context, string) (webhook.Target, error) {
				return webhook.Target{URL: h.url, Secrets: []string{testSecret}}, nil
			},
		}).Run(ctx)
	}()
	<-o.done
	cancel()
	<-stopped
}

// A drained outbox signals when its first events have been delivered.
type drained struct {
	*store.Store
	once sync.Once
	done chan struct{}
}

// CleanEvents is called after the first pass.
func (d *drained) CleanEvents(context.Context, time.Time) error {
	d.once.Do(func() { close(d.done) })
	return nil
}

func TestInvalidWebhookURL(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	r := p.manage("PUT", "tenants/t1", `{"webhookUrl":"ftp://hunter2"}`)
	p.fails(r, 400, "invalid_request")
	if strings.Contains(r.text, "hunter2") {
		t.Errorf("got %s", r.text)
	}
	if got := p.ok(p.manage("PUT", "tenants/t1", `{"webhookUrl":"https://hooks.test/x"}`)).object["webhookUrl"]; got != "https://hooks.test/x" {
		t.Errorf("got %v", got)
	}
}

func TestEventsOfAnAuthenticator(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	tok := p.token("u1", "enroll", "")
	e := p.ok(p.enroll(tok)).object
	p.deliver(st, h)
	if got := h.of(authsignal.EventAuthenticatorCreated); len(got) != 0 {
		t.Fatalf("of a pending enrollment: got %+v", got)
	}
	created := p.clock()
	p.advance(2 * time.Second)
	p.accepted(p.verify(tok, p.code(e["secret"].(string), 0)))
	p.deliver(st, h)
	id := e["userAuthenticatorId"].(string)
	events := h.of(authsignal.EventAuthenticatorCreated)
	if len(events) != 1 {
		t.Fatalf("got %+v", events)
	}
	if d := events[0].Data.(authsignal.AuthenticatorCreated); d.UserID != "u1" || d.UserAuthenticatorID != id ||
		d.VerificationMethod != authsignal.AuthenticatorApp || !d.CreatedAt.Equal(created) ||
		!events[0].Time.Equal(p.clock()) || events[0].TenantID != "t1" {
		t.Errorf("created: got %+v", events[0])
	}

	p.advance(time.Hour)
	p.fails(p.api("DELETE", "/v1/users/u2/authenticators/"+id, ""), 404, "not_found")
	p.ok(p.api("DELETE", "/v1/users/u1/authenticators/"+id, ""))
	p.fails(p.api("DELETE", "/v1/users/u1/authenticators/"+id, ""), 404, "not_found")
	p.deliver(st, h)
	events = h.of(authsignal.EventAuthenticatorDeleted)
	if len(events) != 1 {
		t.Fatalf("got %+v", events)
	}
	if d := events[0].Data.(authsignal.AuthenticatorDeleted); d.UserID != "u1" || d.UserAuthenticatorID != id ||
		d.VerificationMethod != authsignal.AuthenticatorApp || !d.CreatedAt.Equal(created) || !d.DeletedAt.Equal(p.clock()) {
		t.Errorf("deleted: got %+v", events[0])
	}
}

func TestASignInSendsNoAuthenticatorEvent(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	secret := p.enrolled("u1")
	p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 1)))
	p.deliver(st, h)
	if got := len(h.of(authsignal.EventAuthenticatorCreated)); got != 1 {
		t.Errorf("got %d", got)
	}
}

// An enrollment and its event are stored in the same transaction.
func TestAnEventThatCannotBeStoredFailsItsCause(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	tok := p.token("u1", "enroll", "")
	secret := p.ok(p.enroll(tok)).object["secret"].(string)
	broken(p, "outbox", func() { p.fails(p.verify(tok, p.code(secret, 0)), 500, "internal_error") })
	if got := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).text; got != "[]\n" {
		t.Errorf("enrolled without an event: %s", got)
	}
	p.accepted(p.verify(tok, p.code(secret, 0)))
	p.deliver(st, h)
	if got := len(h.of(authsignal.EventAuthenticatorCreated)); got != 1 {
		t.Errorf("got %d events", got)
	}
}

func TestWithoutAWebhookURLNoEventIsStored(t *testing.T) {
	t.Parallel()
	var st *store.Store
	p := newPeer(t, func(c *Config) { st = c.Store })
	p.enrolled("u1")
	events, err := st.ClaimEvents(t.Context(), p.clock(), p.clock().Add(time.Hour), func(due []store.Due) []store.Claim {
		return []store.Claim{{TenantID: due[0].TenantID, Events: 10}}
	})
	if err != nil || len(events) != 0 {
		t.Errorf("got %v, %v", events, err)
	}
}

func TestTheWebhookConsentsBeforeTheActionMoves(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	var during string
	h.answers(func() int { during = p.state("u1", "signIn", "k"); return 204 })
	p.accepted(p.verify(tok, p.code(secret, 1)))
	if during != "CHALLENGE_REQUIRED" {
		t.Errorf("during the request to the webhook: state %s", during)
	}
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("after its consent: state %s", got)
	}
	events := h.of(authsignal.EventActionVerify)
	e := events[len(events)-1]
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"]
	if d := e.Data.(authsignal.ActionVerify); d.UserID != "u1" || d.Action != "signIn" || d.IdempotencyKey != "k" ||
		d.State != authsignal.StateChallengeSucceeded || d.VerificationMethod != authsignal.AuthenticatorApp ||
		d.UserAuthenticatorID != id || !d.VerifiedAt.Equal(p.clock()) || e.TenantID != "t1" {
		t.Errorf("got %+v", e)
	}
	// The action has succeeded, so no consent is needed.
	p.advance(time.Minute)
	p.accepted(p.verify(tok, p.code(secret, 0)))
	if got := len(h.of(authsignal.EventActionVerify)); got != len(events) {
		t.Errorf("got %d requests, want %d", got, len(events))
	}
	// A refused code needs no consent.
	p.refused(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)), "CODE_INVALID_OR_EXPIRED")
	if got := len(h.of(authsignal.EventActionVerify)); got != len(events) {
		t.Errorf("got a request for a refused code")
	}
}

func TestWithoutTheWebhooksConsentTheActionStays(t *testing.T) {
	t.Parallel()
	for name, consent := range map[string]func() int{
		"refused":    func() int { return 403 },
		"broken":     func() int { return 500 },
		"redirected": func() int { return 307 },
		"cut off":    func() int { panic(http.ErrAbortHandler) },
		"late":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			p, h, _ := hooked(t, func(c *Config) {
				c.Metrics = registry
				if name == "late" {
					c.VerifyTimeout = 2 * time.Second
				}
			})
			if name == "late" {
				release := make(chan struct{})
				t.Cleanup(func() { close(release) })
				consent = func() int { <-release; return 200 }
			}
			secret := p.enrolled("u1")
			tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
			h.answers(consent)
			p.fails(p.verify(tok, p.code(secret, 1)), 400, "invalid_request")
			if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
				t.Errorf("state: got %s", got)
			}
			v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object
			if v["isValid"] != false {
				t.Errorf("validate: got %v", v)
			}
			// The code is used up; a new one works when the webhook does.
			h.answers(nil)
			p.refused(p.verify(tok, p.code(secret, 1)), "CODE_INVALID_OR_EXPIRED")
			p.advance(30 * time.Second)
			p.accepted(p.verify(tok, p.code(secret, 1)))
			if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
				t.Errorf("after a new code: state %s", got)
			}
			// It is in the metrics, the audit log and the log.
			result := "refused"
			if name == "cut off" || name == "late" {
				result = "failed"
			}
			const seconds = "authsignal_webhook_consent_seconds"
			if yes, no := value(t, registry, seconds, "consented"), value(t, registry, seconds, result); yes != 2 || no != 1 {
				t.Errorf("metrics: %v consented and %v %s, want 2 and 1", yes, no, result)
			}
			if got := count(p.kinds("t1"), store.AuditWebhookRefused); got != 1 {
				t.Errorf("got %d audit lines, want 1", got)
			}
			log := p.log.String()
			if !strings.Contains(log, "webhook did not consent") || strings.Contains(log, strings.TrimPrefix(h.url, "http://")+"/") {
				t.Errorf("got %s", log)
			}
		})
	}
}

// The webhook decides on the action and not on the enrollment: the user has the
// authenticator, and completes the action with the next code.
func TestWithoutConsentAnEnrollmentIsCompletedAndTheActionStays(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	tok := p.token("u1", "enroll", `{"idempotencyKey":"k"}`)
	secret := p.ok(p.enroll(tok)).object["secret"].(string)
	h.answers(func() int { return 403 })
	p.fails(p.verify(tok, p.code(secret, 0)), 400, "invalid_request")
	if got := p.state("u1", "enroll", "k"); got != "ALLOW" {
		t.Errorf("state: got %s", got)
	}
	if got := len(p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list); got != 1 {
		t.Errorf("got %d authenticators, want 1", got)
	}
	h.answers(nil)
	p.accepted(p.verify(tok, p.code(secret, 1)))
	if got := p.state("u1", "enroll", "k"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("state: got %s", got)
	}
}

// A change of the action during the request to the webhook is not overwritten.
func TestAnActionBlockedDuringConsentStaysBlocked(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	h.answers(func() int {
		storetest.Exec(t, p.database, `UPDATE actions SET state = 'BLOCK' WHERE idempotency_key = 'k'`)
		return 200
	})
	p.fails(p.verify(tok, p.code(secret, 1)), 400, "invalid_request")
	if got := p.state("u1", "signIn", "k"); got != "BLOCK" {
		t.Errorf("got %s", got)
	}
}

func TestAnActionDeletedDuringConsent(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	h.answers(func() int {
		storetest.Exec(t, p.database, `DELETE FROM actions WHERE idempotency_key = 'k'`)
		return 200
	})
	p.fails(p.verify(p.token("u1", "signIn", `{"idempotencyKey":"k"}`), p.code(secret, 1)), 401, "unauthorized")
}

// The second transaction fails, as if the process had ended before it.
func TestAStoreFailureAfterTheConsentFailsClosed(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	broken(p, "actions", func() {
		r := p.verify(tok, p.code(secret, 1))
		if p.fails(r, 500, "internal_error"); !strings.Contains(r.text, "The code is used up") {
			t.Errorf("got %s", r.text)
		}
	})
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("state: got %s", got)
	}
	p.refused(p.verify(tok, p.code(secret, 1)), "CODE_INVALID_OR_EXPIRED")
	p.advance(30 * time.Second)
	p.accepted(p.verify(tok, p.code(secret, 1)))
	// The webhook gets another event with the same idempotency key.
	events := h.of(authsignal.EventActionVerify)
	last := events[len(events)-2:]
	if last[0].Data.(authsignal.ActionVerify).IdempotencyKey != "k" || last[1].Data.(authsignal.ActionVerify).IdempotencyKey != "k" || last[0].ID == last[1].ID {
		t.Errorf("got %+v", last)
	}
}

func TestAPageThatDisconnectsDoesNotStopTheAction(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	h.answers(func() int { cancel(); <-gone; return 200 })
	req, err := http.NewRequestWithContext(ctx, "POST", p.url+"/v1/client/verify/totp", strings.NewReader(`{"verificationCode":"`+p.code(secret, 1)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tok)
	if _, err := http.DefaultTransport.RoundTrip(req); err == nil {
		t.Fatal("the page has not gone")
	}
	close(gone)
	deadline := time.Now().Add(time.Minute)
	for p.state("u1", "signIn", "k") != "CHALLENGE_SUCCEEDED" {
		if time.Now().After(deadline) {
			t.Fatal("the action has not moved")
		}
	}
}

// Concurrent uses of a code, on two replicas, cause one request to the webhook. Two
// codes at the same time are both accepted, and the state changes once.
func TestConcurrentVerificationsWithAWebhook(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	second := newPeer(t, func(c *Config) {
		if storetest.Postgres() { // an SQLite file has one process
			st = storetest.Open(t, p.database, store.Open)
		}
		c.Store, c.Now = st, p.clock
	})
	replicas := []*peer{p, second}
	secret := p.enrolled("u1")
	before := len(h.of(authsignal.EventActionVerify))
	tok, code := p.token("u1", "signIn", `{"idempotencyKey":"k"}`), p.code(secret, 1)
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if replicas[i%2].verify(tok, code).object["isVerified"] == true {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	if got := accepted.Load(); got != 1 {
		t.Errorf("one code was accepted %d times", got)
	}
	if got := len(h.of(authsignal.EventActionVerify)) - before; got != 1 {
		t.Errorf("the webhook got %d requests", got)
	}

	// The requests for two codes of an action overlap.
	p.advance(time.Minute)
	tok = p.token("u1", "signIn", `{"idempotencyKey":"k2"}`)
	first := make(chan struct{})
	var once sync.Once
	var n atomic.Int32
	h.answers(func() int {
		if n.Add(1) == 1 {
			<-first // until the other request has arrived
		} else {
			once.Do(func() { close(first) })
		}
		return 200
	})
	early, late := p.code(secret, 0), p.code(secret, 1)
	done := make(chan response, 1)
	go func() { done <- p.verify(tok, early) }()
	deadline := time.Now().Add(time.Minute)
	for n.Load() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the webhook got no request")
		}
	}
	second.accepted(second.verify(tok, late))
	p.accepted(<-done)
	if got := p.state("u1", "signIn", "k2"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("got %s", got)
	}
}
