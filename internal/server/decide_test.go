package server

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// rulesOf sets the rules of an action. Each has a name, a condition and an
// outcome.
func (p *peer) rulesOf(action, defaultOutcome string, rules ...[3]string) {
	p.t.Helper()
	var list []string
	for _, r := range rules {
		list = append(list, `{"ruleId":"`+r[0]+`","name":"`+r[0]+`","condition":"`+strings.ReplaceAll(r[1], `"`, `\"`)+`","outcome":"`+r[2]+`"}`)
	}
	p.ok(p.manage("PUT", "tenants/t1/actions/"+action, `{"defaultOutcome":"`+defaultOutcome+`","rules":[`+strings.Join(list, ",")+`]}`))
}

func TestTheDefaultOutcomeOfAnAction(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.enrolled("u1")
	for outcome, want := range map[string]string{
		"ALLOW": "ALLOW", "CHALLENGE": "CHALLENGE_REQUIRED", "REVIEW": "REVIEW_REQUIRED", "BLOCK": "BLOCK",
	} {
		p.rulesOf("pay", outcome)
		if got := p.track("u1", "pay", "")["state"]; got != want {
			t.Errorf("%s: got %v, want %s", outcome, got, want)
		}
	}
	if got := p.track("u1", "other", "")["state"]; got != "CHALLENGE_REQUIRED" {
		t.Errorf("an action without settings: got %v", got)
	}
}

func TestRulesDecideAndAreStoredWithTheAction(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.enrolled("u1")
	p.rulesOf("pay", "ALLOW",
		[3]string{"huge", `has(custom.amount) && custom.amount > 10000.0`, "BLOCK"},
		[3]string{"large", `has(custom.amount) && custom.amount > 1000.0`, "CHALLENGE"},
		[3]string{"home", `cidr("10.0.0.0/8").containsIP(ip)`, "ALLOW"})
	for _, tt := range []struct {
		attributes, state string
		rules             []any
	}{
		{`{"custom":{"amount":20000},"ipAddress":"192.0.2.1"}`, "BLOCK", []any{"huge", "large"}},
		{`{"custom":{"amount":2000},"ipAddress":"192.0.2.1","idempotencyKey":"k"}`, "CHALLENGE_REQUIRED", []any{"large"}},
		{`{"custom":{"amount":5},"ipAddress":"10.1.2.3"}`, "ALLOW", []any{"home"}},
		{`{"custom":{"amount":5},"ipAddress":"192.0.2.1"}`, "ALLOW", []any{}},
	} {
		got := p.track("u1", "pay", tt.attributes)
		if got["state"] != tt.state || !reflect.DeepEqual(got["ruleIds"], tt.rules) {
			t.Errorf("%s: got %v %v, want %s %v", tt.attributes, got["state"], got["ruleIds"], tt.state, tt.rules)
		}
	}
	a := p.ok(p.api("GET", "/v1/users/u1/actions/pay/k", "")).object
	if !reflect.DeepEqual(a["ruleIds"], []any{"large"}) || a["priorityRuleId"] != "large" ||
		!reflect.DeepEqual(a["rules"], []any{map[string]any{"ruleId": "large", "name": "large"}}) {
		t.Errorf("get action: got %v", a)
	}
	// A change of the rules does not change past decisions.
	p.rulesOf("pay", "BLOCK")
	if got := p.track("u1", "pay", `{"idempotencyKey":"k"}`); got["state"] != "CHALLENGE_REQUIRED" || !reflect.DeepEqual(got["ruleIds"], []any{"large"}) {
		t.Errorf("tracked again: got %v", got)
	}
}

func TestRulesFailClosed(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.enrolled("u1")
	p.rulesOf("pay", "ALLOW", [3]string{"strict", `custom.missing > 1.0`, "REVIEW"})
	if got := p.track("u1", "pay", "")["state"]; got != "REVIEW_REQUIRED" {
		t.Errorf("REVIEW: got %v", got)
	}
	p.rulesOf("pay", "CHALLENGE", [3]string{"lax", `custom.missing > 1.0`, "ALLOW"})
	if got := p.track("u1", "pay", `{"custom":{"secretive":"hunter2"}}`)["state"]; got != "CHALLENGE_REQUIRED" {
		t.Errorf("ALLOW: got %v", got)
	}
	if log := p.log.String(); !strings.Contains(log, "a rule could not be evaluated") || !strings.Contains(log, `"rule":"lax"`) || strings.Contains(log, "hunter2") {
		t.Errorf("log: %s", log)
	}
}

func TestRulesCountActionsFailuresAndKnowDevices(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	secret := p.enrolled("u1")
	state := func(attributes string) any { return p.track("u1", "pay", attributes)["state"] }

	p.rulesOf("pay", "ALLOW", [3]string{"often", `counts.actionsLastHour >= 2`, "BLOCK"})
	for i, want := range []string{"ALLOW", "ALLOW", "BLOCK"} {
		if got := state(""); got != want {
			t.Errorf("track %d: got %v, want %s", i, got, want)
		}
	}
	p.advance(time.Hour)
	if got := state(""); got != "ALLOW" {
		t.Errorf("an hour later: got %v", got)
	}

	p.rulesOf("pay", "ALLOW", [3]string{"guessing", `counts.failuresLastDay >= 2`, "REVIEW"})
	tok := p.token("u1", "signIn", `{"deviceId":"d1"}`)
	p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	if got := state(""); got != "ALLOW" {
		t.Errorf("one failure: got %v", got)
	}
	p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	if got := state(""); got != "REVIEW_REQUIRED" {
		t.Errorf("two failures: got %v", got)
	}

	p.rulesOf("pay", "ALLOW", [3]string{"new device", `device.isNew`, "CHALLENGE"})
	if got := state(`{"deviceId":"d1"}`); got != "CHALLENGE_REQUIRED" {
		t.Errorf("before a challenge on it: got %v", got)
	}
	p.accepted(p.verify(tok, p.code(secret, 0)))
	if got := state(`{"deviceId":"d1"}`); got != "ALLOW" {
		t.Errorf("after a challenge on it: got %v", got)
	}
	for _, attributes := range []string{`{"deviceId":"d2"}`, ``} {
		if got := state(attributes); got != "CHALLENGE_REQUIRED" {
			t.Errorf("%q: got %v", attributes, got)
		}
	}
}

func TestEverythingIsAudited(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	secret := p.enrolled("u1")
	tok := p.token("u1", "signIn", "")
	p.refused(p.verify(tok, p.wrong(secret)), "CODE_INVALID_OR_EXPIRED")
	p.accepted(p.verify(tok, p.code(secret, 1)))
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	p.ok(p.api("DELETE", "/v1/users/u1/authenticators/"+id, ""))
	p.ok(p.api("DELETE", "/v1/users/u1", ""))
	r := p.ok(p.manage("GET", "tenants/t1/audit?userId=u1", ""))
	var kinds []string
	for _, e := range r.list {
		kinds = append(kinds, e.(map[string]any)["kind"].(string))
	}
	want := []string{"user.deleted", "authenticator.deleted", "code.accepted", "code.refused", "enrollment.completed", "enrollment.begun"}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
	for _, s := range []string{secret, tok, p.code(secret, 1)} {
		if strings.Contains(r.text, s) {
			t.Error("the audit log holds a secret, a code or a token")
		}
	}
}

// The priority rule is the one whose outcome was taken, which may be a rule that
// failed.
func TestThePriorityRuleIsTheOneWhoseOutcomeWasTaken(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.enrolled("u1")
	p.rulesOf("pay", "ALLOW", [3]string{"first", "true", "CHALLENGE"}, [3]string{"fails", `custom.missing == 1`, "BLOCK"})
	p.rulesOf("strict", "BLOCK", [3]string{"fails", `custom.missing == 1`, "REVIEW"})
	for action, want := range map[string]any{"pay": "fails", "strict": nil} {
		if got := p.track("u1", action, `{"idempotencyKey":"k"}`)["state"]; got != "BLOCK" {
			t.Errorf("%s: got %v", action, got)
		}
		if got := p.ok(p.api("GET", "/v1/users/u1/actions/"+action+"/k", "")).object["priorityRuleId"]; got != want {
			t.Errorf("%s: got %v, want %v", action, got, want)
		}
	}
}

// Rules with counts are evaluated outside of transactions, but count every action
// that was tracked before: of any number of concurrent requests, three are
// allowed.
func TestCountsHoldForConcurrentTracks(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.manage("PUT", "tenants/t1/actions/pay", `{"defaultOutcome":"ALLOW","rules":[
		{"name":"many","condition":"counts.actionsLastHour >= 3","outcome":"BLOCK"}]}`))
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			if p.track("u1", "pay", "")["state"] == "ALLOW" {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if got := allowed.Load(); got != 3 {
		t.Errorf("%d were let through, want 3", got)
	}
}

// If the facts of a decision have changed when it is stored, it is made again.
func TestADecisionIsMadeOnPresentFacts(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.ok(p.api("PATCH", "/v1/users/u1", `{"email":"u1@example.com"}`))
	p.rulesOf("pay", "ALLOW", [3]string{"r", `user.email == "u1@example.com"`, "BLOCK"})
	tenant, _, err := p.store.Tenant(t.Context(), "t1")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Config: Config{Store: p.store, Log: slog.New(slog.DiscardHandler), Now: p.clock}}
	for name, stale := range map[string]func(*decision){
		"of the user": func(d *decision) { d.facts.input.User.Email, d.outcome = "before@example.com", api.OutcomeAllow },
		"of the settings": func(d *decision) {
			d.facts.settings, d.outcome = api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{}}, api.OutcomeAllow
		},
		"of the action": func(d *decision) { d.known, d.outcome = true, api.OutcomeAllow }, // it was known, and no longer is
	} {
		in := tracked{id: store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: name}, at: p.clock().UTC()}
		tries := 0
		err := s.decide(t.Context(), tenant, in, func(tx *store.Tx, d *decision) error {
			if tries++; tries == 1 {
				stale(d)
			}
			_, err := track(tx, tenant, in, d)
			return err
		})
		if got := p.state("u1", "pay", url.PathEscape(name)); err != nil || tries != 2 || got != "BLOCK" {
			t.Errorf("facts %s: got %s after %d tries, %v", name, got, tries, err)
		}
	}
	// If the facts change every time, the decision fails.
	in := tracked{id: store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: "never"}, at: p.clock().UTC()}
	err = s.decide(t.Context(), tenant, in, func(tx *store.Tx, d *decision) error {
		d.facts.input.User.Email = "before@example.com"
		_, err := track(tx, tenant, in, d)
		return err
	})
	if !errors.Is(err, errUndecided) {
		t.Errorf("got %v", err)
	}
	p.fails(p.api("GET", "/v1/users/u1/actions/pay/never", ""), 404, "not_found")
}

// A known idempotency key names the stored action, and no rule is evaluated again
// (wire contract, section 11, row 6).
func TestAKnownActionIsNotDecidedAgain(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.rulesOf("pay", "ALLOW", [3]string{"fails", `custom.missing == 1`, "BLOCK"})
	failures := func() int { return strings.Count(p.log.String(), "a rule could not be evaluated") }
	for range 3 {
		if got := p.track("u1", "pay", `{"idempotencyKey":"k"}`)["state"]; got != "BLOCK" {
			t.Errorf("got %v", got)
		}
	}
	if got := failures(); got != 1 {
		t.Errorf("the rule was evaluated %d times, want 1", got)
	}
}

func TestTurnsAdmitOneAtATime(t *testing.T) {
	t.Parallel()
	var all turns
	release, err := all.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := all.take(t.Context(), "b") // another key does not wait
	if err != nil {
		t.Fatal(err)
	}
	other()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all.take(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	admitted := make(chan struct{})
	go func() {
		defer close(admitted)
		if next, err := all.take(t.Context(), "a"); err == nil {
			next()
		}
	}()
	release()
	release() // does nothing
	<-admitted
	if len(all.held) != 0 {
		t.Errorf("%d keys are kept", len(all.held))
	}
}
