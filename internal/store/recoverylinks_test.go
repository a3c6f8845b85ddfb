package store

import (
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// The write that uses a link up is guarded by itself, whatever the caller has locked.
func TestARecoveryLinkIsUsedOnce(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	end := now.Add(time.Hour)
	put := func(l RecoveryLink, secret string) {
		t.Helper()
		l.UserID, l.CreatedAt, l.ExpiresAt = "u", now, end
		update(t, s, "t", func(tx *Tx) error {
			u, err := tx.EnsureUser("u", now)
			if err != nil {
				return err
			}
			l.Incarnation = u.Incarnation
			return tx.InsertRecoveryLink(l, secret)
		})
	}
	use := func(tenant, id string, at time.Time, want bool) {
		t.Helper()
		update(t, s, tenant, func(tx *Tx) error {
			got, err := tx.UseRecoveryLink(id, at)
			if got != want {
				t.Errorf("%s at %s: got %v, want %v", id, at, got, want)
			}
			return err
		})
	}
	put(RecoveryLink{ID: "a", Void: []api.RecoveryLinkVoid{api.VoidAuthenticators, api.VoidRecoveryCodes}}, "secret of a")
	if got, err := s.TenantOfRecoveryLink(t.Context(), "secret of a"); err != nil || got != "t" {
		t.Errorf("got %q, %v", got, err)
	}
	use("another", "a", now, false)
	use("t", "a", end, false)
	use("t", "a", end.Add(-time.Millisecond), true)
	use("t", "a", now, false)
	update(t, s, "t", func(tx *Tx) error {
		l, err := tx.RecoveryLinkOf("secret of a")
		if err == nil && (l == nil || l.UsedAt.IsZero() || len(l.Void) != 2) {
			t.Errorf("got %+v", l)
		}
		return err
	})

	// A user has one link.
	put(RecoveryLink{ID: "b", NeedsApproval: true}, "secret of b")
	if got, err := s.TenantOfRecoveryLink(t.Context(), "secret of a"); err != nil || got != "" {
		t.Errorf("a link that was replaced: got %q, %v", got, err)
	}
	use("t", "b", now, false)
	update(t, s, "t", func(tx *Tx) error {
		for _, want := range []bool{true, false} {
			if got, err := tx.ApproveRecoveryLink("b", "operator", "Al", now); err != nil || got != want {
				t.Errorf("approve: got %v, %v, want %v", got, err, want)
			}
		}
		return nil
	})
	use("t", "b", now, true)
	if got := checked(t, s); len(got) != 1 { // the tenant does not exist
		t.Errorf("got %q", got)
	}
}

// A link is kept for a while after its end, and goes with its user.
func TestRecoveryLinksAreCleaned(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		for id, end := range map[string]time.Time{"old": now.Add(-linkKept - time.Second), "new": now, "gone": now} {
			if _, err := tx.EnsureUser(id, now); err != nil {
				return err
			}
			if err := tx.InsertRecoveryLink(RecoveryLink{ID: id, UserID: id, CreatedAt: end, ExpiresAt: end}, id); err != nil {
				return err
			}
		}
		return tx.DeleteUser("gone")
	})
	n, err := s.Clean(t.Context(), Retention{Actions: time.Hour, Audit: time.Hour, Pending: time.Hour}, now)
	if err != nil || n != 1 {
		t.Errorf("got %d rows, %v, want 1", n, err)
	}
	for id, want := range map[string]string{"old": "", "new": "t", "gone": ""} {
		if got, err := s.TenantOfRecoveryLink(t.Context(), id); err != nil || got != want {
			t.Errorf("%s: got %q, %v", id, got, err)
		}
	}
}
