package store

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

func TestAcceptStepOnlyGrows(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	for _, tt := range []struct {
		step int64
		want error
	}{{10, nil}, {10, ErrChanged}, {9, ErrChanged}, {11, nil}, {0, ErrChanged}} {
		err := s.Update(t.Context(), "t", func(tx *Tx) error { return tx.AcceptStep(a, tt.step, now) })
		if !errors.Is(err, tt.want) {
			t.Errorf("step %d: got %v, want %v", tt.step, err, tt.want)
		}
	}
}

func TestAcceptStepIsGuardedByItsWrite(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET") // read once, by all
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := s.Update(context.Background(), "t", func(tx *Tx) error { return tx.AcceptStep(a, 5, now) })
			if err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, ErrChanged) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := accepted.Load(); got != 1 {
		t.Errorf("accepted %d times", got)
	}
}

// A guard that misses undoes the writes before it and keeps those after it from
// happening, whatever the order.
func TestAGuardThatMissesUndoesTheTransaction(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	update(t, s, "t", func(tx *Tx) error { return tx.Fail(a, now) })
	a.Failures = 1
	update(t, s, "t", func(tx *Tx) error { return tx.AcceptStep(a, 5, now) })
	update(t, s, "t", func(tx *Tx) error { return tx.Fail(a, now) })
	audit := func(tx *Tx) error { return tx.Audit(AuditEvent{At: now, Kind: AuditCodeAccepted, ActionID: a.Began}) }
	spend := func(tx *Tx) error { return tx.AcceptStep(a, 5, now) }
	enqueue := func(tx *Tx) error {
		return tx.Enqueue(Event{ID: "e", Type: "authenticator.created", Body: []byte("{}"), CreatedAt: now})
	}
	fail := func(tx *Tx) error { return tx.Fail(a, now) }
	for _, order := range [][]func(*Tx) error{
		{spend, audit, enqueue}, {audit, enqueue, spend}, {audit, audit, spend, enqueue}, {fail, spend, audit}, {enqueue, spend, fail},
	} {
		err := s.Update(t.Context(), "t", func(tx *Tx) error {
			for _, write := range order {
				if err := write(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, ErrChanged) {
			t.Errorf("got %v, want %v", err, ErrChanged)
		}
	}
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil || len(list) != 1 || list[0].Failures != 1 || list[0].LastStep != 5 {
			t.Errorf("got %+v, %v", list, err)
		}
		if n, err := tx.FailuresSince(a, time.Time{}); err != nil || n != 1 {
			t.Errorf("got %d failures, %v, want 1", n, err)
		}
		if events, err := tx.AuditEvents("", 10); err != nil || len(events) != 0 {
			t.Errorf("got %d lines of the audit log, %v", len(events), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if waiting, _, err := s.CountEvents(t.Context()); err != nil || waiting != 0 {
		t.Errorf("got %d events, %v", waiting, err)
	}
}

func TestFailuresAreCountedAndDeleted(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	count := func(after time.Time) (n int) {
		update(t, s, "t", func(tx *Tx) (err error) { n, err = tx.FailuresSince(a, after); return err })
		return n
	}
	for i := range 3 {
		update(t, s, "t", func(tx *Tx) error { return tx.Fail(a, now.Add(time.Duration(i)*time.Minute)) })
	}
	if got := count(now.Add(-time.Second)); got != 3 {
		t.Errorf("got %d failures, want 3", got)
	}
	if got := count(now); got != 2 {
		t.Errorf("got %d failures after the first, want 2", got)
	}
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil || len(list) != 1 || list[0].Failures != 3 {
			t.Fatalf("got %+v, %v", list, err)
		}
		return tx.AcceptStep(list[0], 1, now)
	})
	if got := count(time.Time{}); got != 0 {
		t.Errorf("after a success: got %d failures, want 0", got)
	}
}

func TestStalePendingEnrollmentsAreDeleted(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	pending(t, s, "t", "u", "old", "SECRET")
	pending(t, s, "t", "u2", "theirs", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		later := now.Add(time.Hour)
		replaced, err := tx.InsertPending(Authenticator{
			ID: "new", UserID: "u", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters,
			Began: ActionID{"u", "enroll", "new"}, CreatedAt: later,
		}, "SECRET", later.Add(-time.Minute))
		if replaced {
			t.Error("a stale one of another action counts as replaced")
		}
		return err
	})
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if len(list) != 1 || list[0].ID != "new" {
			t.Errorf("got %v", list)
		}
		if list, err := tx.Authenticators("u2"); err != nil || len(list) != 1 {
			t.Errorf("another user's: got %v, %v", list, err)
		}
		return err
	})
}

func TestPendingEnrollmentOfTheSameActionIsReplaced(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	enroll := func(id string, began ActionID, at time.Time) (replaced bool) {
		t.Helper()
		update(t, s, "t", func(tx *Tx) (err error) {
			replaced, err = tx.InsertPending(Authenticator{
				ID: id, UserID: began.UserID, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters,
				Began: began, CreatedAt: at,
			}, "SECRET", at.Add(-time.Hour))
			return err
		})
		return replaced
	}
	for _, user := range []string{"u", "u2"} {
		update(t, s, "t", func(tx *Tx) error { _, err := tx.EnsureUser(user, now); return err })
	}
	for _, tt := range []struct {
		id    string
		began ActionID
		at    time.Time
		want  bool
	}{
		{"first", ActionID{"u", "enroll", "k"}, now, false},
		{"another key", ActionID{"u", "enroll", "k2"}, now, false},
		{"another action", ActionID{"u", "signIn", "k"}, now, false},
		{"another user", ActionID{"u2", "enroll", "k"}, now, false},
		{"second", ActionID{"u", "enroll", "k"}, now, true},
		{"third", ActionID{"u", "enroll", "k"}, now, true},
		// A newer token of the action could have completed it until now.
		{"after a day, with stale ones", ActionID{"u", "enroll", "k"}, now.Add(24 * time.Hour), true},
	} {
		if got := enroll(tt.id, tt.began, tt.at); got != tt.want {
			t.Errorf("%s: got replaced %v, want %v", tt.id, got, tt.want)
		}
	}
	// One that is verified is not replaced.
	update(t, s, "t", func(tx *Tx) error {
		list, err := tx.Authenticators("u")
		if err != nil || len(list) != 1 {
			t.Fatalf("got %+v, %v, want one that is pending", list, err)
		}
		return tx.AcceptStep(list[0], 1, now)
	})
	if enroll("beside one that is verified", ActionID{"u", "enroll", "k"}, now) {
		t.Error("a verified one counts as replaced")
	}
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if err := tx.Fail(a, now); err != nil {
			return err
		}
		if found, err := tx.Unlock("another", "a"); err != nil || found {
			t.Errorf("another user's: got %v, %v", found, err)
		}
		found, err := tx.Unlock("u", "a")
		if err != nil || !found {
			t.Errorf("got %v, %v", found, err)
		}
		if n, err := tx.FailuresSince(a, time.Time{}); err != nil || n != 0 {
			t.Errorf("got %d failures, %v", n, err)
		}
		list, err := tx.Authenticators("u")
		if list[0].Failures != 0 {
			t.Errorf("got %d in a row", list[0].Failures)
		}
		return err
	})
}

func TestResetStep(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	a := pending(t, s, "t", "u", "a", "SECRET")
	update(t, s, "t", func(tx *Tx) error {
		if err := tx.AcceptStep(a, 100, now); err != nil {
			return err
		}
		steps := func() int64 {
			list, err := tx.Authenticators("u")
			if err != nil || len(list) != 1 {
				t.Fatalf("got %d, %v", len(list), err)
			}
			a = list[0]
			return a.LastStep
		}
		before := a // read before the step was accepted
		steps()
		if err := tx.ResetStep(before, 50); err != nil || steps() != 100 {
			t.Errorf("after another code was accepted: got step %d, %v", a.LastStep, err)
		}
		if err := tx.ResetStep(a, 50); err != nil || steps() != 50 {
			t.Errorf("got step %d, %v", a.LastStep, err)
		}
		return nil
	})
	if err := s.Update(t.Context(), "t", func(tx *Tx) error { return tx.AcceptStep(a, 50, now) }); !errors.Is(err, ErrChanged) {
		t.Errorf("the step itself: got %v", err)
	}
	update(t, s, "t", func(tx *Tx) error { return tx.AcceptStep(a, 51, now) })
}

func TestVerifiedAuthenticatorRoundTrip(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	sms := Authenticator{
		ID: "a", UserID: "u", Method: api.SMS, PhoneNumber: "123", Email: "e", CreatedAt: now, VerifiedAt: now, LastStep: -1,
		Began: ActionID{UserID: "u"},
	}
	app := Authenticator{
		ID: "b", UserID: "u", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: now, VerifiedAt: now,
		LastStep: -1, Began: ActionID{UserID: "u"},
	}
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.EnsureUser("u", now); err != nil {
			return err
		}
		if err := tx.InsertVerified(sms, ""); err != nil {
			return err
		}
		return tx.InsertVerified(app, "SECRET")
	})
	for _, chosen := range []*Authenticator{&app, &sms} {
		sms.IsDefault, app.IsDefault = false, false
		chosen.IsDefault = true
		update(t, s, "t", func(tx *Tx) error {
			if err := tx.SetDefault(*chosen); err != nil {
				return err
			}
			list, err := tx.Authenticators("u")
			if err != nil || len(list) != 2 {
				t.Fatalf("got %v, %v", list, err)
			}
			if secret, err := tx.Secret(list[1]); err != nil || secret != "SECRET" {
				t.Errorf("secret: got %q, %v", secret, err)
			}
			list[1].sealed, list[1].keyID = nil, ""
			if want := []Authenticator{sms, app}; !reflect.DeepEqual(list, want) {
				t.Errorf("got  %+v\nwant %+v", list, want)
			}
			return nil
		})
	}
}
