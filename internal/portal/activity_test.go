package portal

import (
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Failures of webhooks are highlighted in the activity.
func TestTone(t *testing.T) {
	t.Parallel()
	for kind, want := range map[any]string{
		store.AuditWebhookRefused: "bad", store.AuditWebhookDead: "bad", store.AuditCodeAccepted: "good", api.StateReviewRequired: "warn", "": "plain",
	} {
		if got := tone(kind); got != want {
			t.Errorf("%v: got %s, want %s", kind, got, want)
		}
	}
}

// The pages of the activity show each entry once.
func TestActivityByPages(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	now := d.clock()
	want := map[string]int{}
	d.update(func(tx *store.Tx) error {
		for i := range 130 {
			user := "user-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
			at := now.Add(-time.Duration(i/10) * time.Second)
			want[user] = 1
			if i%3 == 0 {
				if err := tx.Audit(store.AuditEvent{At: at, Kind: store.AuditCodeRefused, ActionID: store.ActionID{UserID: user}}); err != nil {
					return err
				}
				continue
			}
			a := store.Action{ActionID: store.ActionID{UserID: user, Action: "pay", IdempotencyKey: "k"}, State: api.StateAllow, CreatedAt: at, StateUpdatedAt: at}
			if err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		return nil
	})
	b := d.operator()
	got := map[string]int{}
	pages := 0
	for path := "/t/t1/activity"; path != ""; pages++ {
		text := b.wants(b.get(path), http.StatusOK).text
		for _, m := range regexp.MustCompile(`users/user\?id=(user-[a-z]+)`).FindAllStringSubmatch(text, -1) {
			got[m[1]]++
		}
		path = ""
		if m := regexp.MustCompile(`href="/portal(/t/t1/activity\?after=[^"]+)">Older`).FindStringSubmatch(text); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if !maps.Equal(got, want) || pages != 3 {
		t.Errorf("got %d pages of %v", pages, got)
	}
	b.wants(b.get("/t/t1/activity?after=!"), http.StatusBadRequest)
	b.wants(b.get("/t/t1/activity?from=yesterday"), http.StatusBadRequest)
}

// The activity says why a code was refused; entries of earlier versions have no
// reason.
func TestActivitySaysWhyACodeWasRefused(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	refusals := map[string]mfa.Refusal{
		"Not a code: wrong length, or not only digits": {Reason: mfa.RefusedMalformed},
		"The code was used before":                     {Reason: mfa.RefusedReplayed},
		"Late by 1 step: check the clock":              {Reason: mfa.RefusedLate, Steps: 1},
		"Early by 10 steps: check the clock":           {Reason: mfa.RefusedEarly, Steps: 10},
		"Recovery codes are not allowed":               {Reason: mfa.RefusedDisabled},
		"Wrong code":                                   {Reason: mfa.RefusedWrong},
	}
	d.update(func(tx *store.Tx) error {
		for _, r := range refusals {
			err := tx.Audit(store.AuditEvent{At: d.clock(), Kind: store.AuditCodeRefused, ActionID: store.ActionID{UserID: "u1"}, Detail: r.Detail()})
			if err != nil {
				return err
			}
		}
		return tx.Audit(store.AuditEvent{At: d.clock(), Kind: store.AuditCodeRefused, ActionID: store.ActionID{UserID: "u1"}})
	})
	b := d.operator()
	text := b.wants(b.get("/t/t1/activity?user=u1"), http.StatusOK).text
	for want := range refusals {
		if strings.Count(text, "<span>"+want) != 1 {
			t.Errorf("the page lacks %q", want)
		}
	}
}
