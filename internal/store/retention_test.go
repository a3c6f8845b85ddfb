package store

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestCleanKeepsRecentRows(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	pending(t, s, "t", "u", "pending", "SECRET")
	verified := pending(t, s, "t", "u2", "verified", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		if err := tx.AcceptStep(verified, 1, now); err != nil {
			return err
		}
		for i := range 2500 {
			at := now.Add(-time.Duration(i) * time.Hour)
			err := tx.InsertAction(Action{ActionID: ActionID{"u", "pay", strconv.Itoa(i)}, State: api.StateAllow, CreatedAt: at, StateUpdatedAt: at})
			if err != nil {
				return err
			}
			if err := tx.Audit(AuditEvent{At: at, Kind: AuditCodeAccepted}); err != nil {
				return err
			}
		}
		return nil
	})
	n, err := s.Clean(t.Context(), Retention{Actions: 100 * time.Hour, Audit: 200 * time.Hour, Pending: time.Hour}, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(2400 + 2400 + 2300); n != want { // actions, their counts, and audit lines
		t.Errorf("got %d rows, want %d", n, want)
	}
	n, err = s.Clean(t.Context(), Retention{Actions: 100 * time.Hour, Audit: 200 * time.Hour, Pending: time.Minute}, now.Add(30*time.Minute))
	if err != nil || n != 1 {
		t.Errorf("pending: got %d rows, %v, want 1", n, err)
	}
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u2")
		if len(list) != 1 {
			t.Error("the verified authenticator went")
		}
		return err
	})
}

// Audit lines of the whole server are kept as long as those of a tenant.
func TestCleanDeletesTheServersOwnAuditLines(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "", func(tx *Tx) error {
		return errors.Join(tx.Audit(AuditEvent{At: now.Add(-2 * time.Hour), Kind: AuditConfiguration}),
			tx.Audit(AuditEvent{At: now, Kind: AuditConfiguration}))
	})
	n, err := s.Clean(t.Context(), Retention{Actions: time.Hour, Audit: time.Hour, Pending: time.Hour}, now)
	if err != nil || n != 1 {
		t.Errorf("got %d rows, %v, want 1", n, err)
	}
	view(t, s, "", func(tx *Tx) error {
		list, err := tx.AuditEvents("", 10)
		if len(list) != 1 || !list[0].At.Equal(now) {
			t.Errorf("got %+v", list)
		}
		return err
	})
}
