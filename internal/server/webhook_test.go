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

// A hook is a tenant's backend that takes webhooks.
type hook struct {
	url string

	mu     sync.Mutex
	events []authsignal.Event
	// consent answers an action.verify with a status; nil means 200.
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

// answers sets what the next questions are answered with.
func (h *hook) answers(consent func() int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.consent = consent
}

// of lists the events of a type that came.
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

// hooked starts a server that tells a backend, and gives its store too.
func hooked(t *testing.T, change ...func(*Config)) (*peer, *hook, *store.Store) {
	t.Helper()
	h := newHook(t)
	p := newPeer(t, change...)
	err := p.store.Update(t.Context(), "t1", func(tx *store.Tx) error { _, err := tx.SetWebhookURL(h.url); return err })
	if err != nil {
		t.Fatal(err)
	}
	return p, h, p.store
}

// deliver sends what is in the outbox now, as the daemon would.
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

// A drained outbox tells when a first look at it has been worked off.
type drained struct {
	*store.Store
	once sync.Once
	done chan struct{}
}

// CleanEvents is called after a first pass.
func (d *drained) CleanEvents(context.Context, time.Time) error {
	d.once.Do(func() { close(d.done) })
	return nil
}

func TestAWebhookURLThatIsNone(t *testing.T) {
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

func TestASignInMakesNoAuthenticatorEvent(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	secret := p.enrolled("u1")
	p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 1)))
	p.deliver(st, h)
	if got := len(h.of(authsignal.EventAuthenticatorCreated)); got != 1 {
		t.Errorf("got %d", got)
	}
}

// An enrollment and its event are one: without the one there is not the other.
func TestAnEventThatCannotBeKeptUndoesItsCause(t *testing.T) {
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

func TestWithoutAWebhookURLNothingIsKept(t *testing.T) {
	t.Parallel()
	var st *store.Store
	p := newPeer(t, func(c *Config) { st = c.Store })
	p.enrolled("u1")
	events, err := st.ClaimEvents(t.Context(), p.clock(), p.clock().Add(time.Hour), 10, 10, nil)
	if err != nil || len(events) != 0 {
		t.Errorf("got %v, %v", events, err)
	}
}

func TestTheWebhookIsAskedBeforeTheActionMoves(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	var during string
	h.answers(func() int { during = p.state("u1", "signIn", "k"); return 204 })
	p.accepted(p.verify(tok, p.code(secret, 1)))
	if during != "CHALLENGE_REQUIRED" {
		t.Errorf("while the webhook is asked: state %s", during)
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
	// The action has moved; there is nothing more to ask.
	p.advance(time.Minute)
	p.accepted(p.verify(tok, p.code(secret, 0)))
	if got := len(h.of(authsignal.EventActionVerify)); got != len(events) {
		t.Errorf("asked %d times, want %d", got, len(events))
	}
	// A refused code asks nothing.
	p.refused(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0)), "CODE_INVALID_OR_EXPIRED")
	if got := len(h.of(authsignal.EventActionVerify)); got != len(events) {
		t.Errorf("asked of a refused code")
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
			// The code is used up; a new one works, once the webhook does.
			h.answers(nil)
			p.refused(p.verify(tok, p.code(secret, 1)), "CODE_INVALID_OR_EXPIRED")
			p.advance(30 * time.Second)
			p.accepted(p.verify(tok, p.code(secret, 1)))
			if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_SUCCEEDED" {
				t.Errorf("after a new code: state %s", got)
			}
			// Operators see it: in the metrics, the audit log and the log.
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

// The webhook guards the action, not the enrollment: who knew the code has the
// authenticator, and completes the action with the next one.
func TestWithoutConsentAnEnrollmentStandsAndTheActionStays(t *testing.T) {
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

// What happens to the action while the webhook thinks is not overwritten.
func TestAnActionThatIsBlockedMeanwhileStaysBlocked(t *testing.T) {
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

func TestAnActionThatIsGoneMeanwhile(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t)
	secret := p.enrolled("u1")
	h.answers(func() int {
		storetest.Exec(t, p.database, `DELETE FROM actions WHERE idempotency_key = 'k'`)
		return 200
	})
	p.fails(p.verify(p.token("u1", "signIn", `{"idempotencyKey":"k"}`), p.code(secret, 1)), 401, "unauthorized")
}

// The second transaction fails: the same as if the process had died there.
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
	// The webhook is asked again under the same idempotency key, in another
	// event.
	events := h.of(authsignal.EventActionVerify)
	last := events[len(events)-2:]
	if last[0].Data.(authsignal.ActionVerify).IdempotencyKey != "k" || last[1].Data.(authsignal.ActionVerify).IdempotencyKey != "k" || last[0].ID == last[1].ID {
		t.Errorf("got %+v", last)
	}
}

func TestAPageThatGoesAwayDoesNotStopTheAction(t *testing.T) {
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
	deadline := time.Now().Add(20 * time.Second)
	for p.state("u1", "signIn", "k") != "CHALLENGE_SUCCEEDED" {
		if time.Now().After(deadline) {
			t.Fatal("the action has not moved")
		}
	}
}

// The same code many times at once, on two replicas, asks once; two codes at
// once are both good, and move the action once.
func TestConcurrentVerificationsWithAWebhook(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t)
	second := newPeer(t, func(c *Config) {
		if storetest.Postgres() { // SQLite's file has one process
			st = storetest.Open(t, p.database, store.Open)
		}
		c.Store, c.Now = st, p.clock
	})
	replicas := []*peer{p, second}
	secret := p.enrolled("u1")
	asked := len(h.of(authsignal.EventActionVerify))
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
	if got := len(h.of(authsignal.EventActionVerify)) - asked; got != 1 {
		t.Errorf("the webhook was asked %d times", got)
	}

	// Two codes of one action wait for each other's consent.
	p.advance(time.Minute)
	tok = p.token("u1", "signIn", `{"idempotencyKey":"k2"}`)
	first := make(chan struct{})
	var once sync.Once
	var n atomic.Int32
	h.answers(func() int {
		if n.Add(1) == 1 {
			<-first // until the other one is asked too
		} else {
			once.Do(func() { close(first) })
		}
		return 200
	})
	early, late := p.code(secret, 0), p.code(secret, 1)
	done := make(chan response, 1)
	go func() { done <- p.verify(tok, early) }()
	deadline := time.Now().Add(20 * time.Second)
	for n.Load() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the webhook was not asked")
		}
	}
	second.accepted(second.verify(tok, late))
	p.accepted(<-done)
	if got := p.state("u1", "signIn", "k2"); got != "CHALLENGE_SUCCEEDED" {
		t.Errorf("got %s", got)
	}
}
