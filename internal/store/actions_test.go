package store

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestActionRoundTrip(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	want := Action{
		ActionID: ActionID{"u", "pay", "k"}, State: api.StateAllow, CreatedAt: now, StateUpdatedAt: now,
		IPAddress: "192.0.2.1", UserAgent: "UA", DeviceID: "d", RedirectURL: "https://x", Custom: map[string]any{"n": 1.5, "b": true},
		Outcome: api.OutcomeAllow, Rules: []api.Rule{{RuleID: "r", Name: "name"}},
	}
	update(t, s, "t", func(tx *Tx) error { return tx.InsertAction(want) })
	if err := s.Update(t.Context(), "t", func(tx *Tx) error { return tx.InsertAction(want) }); err == nil {
		t.Error("the same id twice: no error")
	}
	later := now.Add(time.Second)
	for _, tt := range []struct {
		from api.State
		want error
	}{{api.StateBlock, ErrChanged}, {api.StateAllow, nil}, {api.StateAllow, ErrChanged}} {
		err := s.Update(t.Context(), "t", func(tx *Tx) error {
			return tx.CompleteAction(want.ActionID, tt.from, Authenticator{ID: "a", Method: api.AuthenticatorApp}, 0, later)
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("complete from %s: got %v, want %v", tt.from, err, tt.want)
		}
	}
	want.State, want.StateUpdatedAt, want.VerificationMethod, want.AuthenticatorID = api.StateChallengeSucceeded, later, api.AuthenticatorApp, "a"
	err := s.View(t.Context(), "t", func(tx *Tx) error {
		if got, found, err := tx.Action(want.ActionID); err != nil || !found || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
