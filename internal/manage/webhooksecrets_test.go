package manage

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// What signs a tenant's webhooks: its API secret keys, then its webhook secrets; what
// signed before signs too for the overlap.
func TestWebhookSecretsSign(t *testing.T) {
	t.Parallel()
	st := newStore(t)
	signs := func(when string, at time.Time, want ...string) {
		t.Helper()
		got, err := st.SigningSecrets(t.Context(), "t", at)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", when, got, err, want)
		}
	}
	var first, second string
	var made store.WebhookSecret
	update(t, st, func(tx *store.Tx) error {
		if _, err := EnsureTenant(tx, api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		_, err := EnsureSecret(tx, chosen, now)
		return err
	})
	signs("without one", now, chosen)
	update(t, st, func(tx *store.Tx) (err error) {
		_, first, err = NewWebhookSecret(tx, 60, now)
		return err
	})
	minute := now.Add(time.Minute)
	signs("in the overlap of the first", minute.Add(-1), first, chosen)
	signs("after it", minute, first)
	update(t, st, func(tx *store.Tx) (err error) {
		made, second, err = NewWebhookSecret(tx, 60, minute)
		return err
	})
	later := minute.Add(time.Minute)
	signs("in the overlap of the second", later.Add(-1), second, first)
	signs("after it", later, second)
	update(t, st, func(tx *store.Tx) error { return RevokeWebhookSecret(tx, made.ID, later) })
	signs("after the last one was revoked", later, chosen)

	// A revoked one stays so, and one that an operator chose is taken once.
	err := st.Update(t.Context(), "t", func(tx *store.Tx) error {
		_, err := EnsureWebhookSecret(tx, second, later)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "revoked or replaced") || strings.Contains(err.Error(), second) {
		t.Errorf("a revoked one again: got %v", err)
	}
	own := strings.Repeat("own", 11)
	for _, want := range []bool{true, false} {
		update(t, st, func(tx *store.Tx) error {
			got, err := EnsureWebhookSecret(tx, own, later)
			if got != want {
				t.Errorf("chosen: got %v, want %v", got, want)
			}
			return err
		})
	}
	signs("chosen, in its overlap", later, own, chosen)
	signs("chosen, after it", later.Add(DefaultOverlap*time.Second), own)

	if made, revoked := lines(t, st, "webhook secret made"), lines(t, st, "webhook secret revoked"); len(made) != 3 || len(revoked) != 1 {
		t.Errorf("audit: got %v and %v", made, revoked)
	}
	update(t, st, func(tx *store.Tx) error {
		if err := RevokeWebhookSecret(tx, "none", later); err == nil || !strings.Contains(err.Error(), "no such webhook secret") {
			t.Errorf("unknown: got %v", err)
		}
		if _, _, err := NewWebhookSecret(tx, -1, later); err == nil || !strings.Contains(err.Error(), "overlapSeconds") {
			t.Errorf("an overlap of -1: got %v", err)
		}
		if _, err := EnsureWebhookSecret(tx, "hunter2", later); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a short one: got %v", err)
		}
		return nil
	})
}
