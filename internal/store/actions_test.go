package store

import (
	"errors"
	"fmt"
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

// Version 17 of the database left the mark of a trusted browser in place when a code
// completed the action; a server of that version beside this one still does.
func TestACodeOfAnEarlierVersionTakesThePlaceOfTrust(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	a := Action{ActionID: ActionID{"u", "pay", "k"}, State: api.StateAllow, CreatedAt: now, StateUpdatedAt: now, DeviceID: "d", Outcome: api.OutcomeChallenge, Incarnation: "i", Trusted: true}
	update(t, s, "t", func(tx *Tx) error { return tx.InsertAction(a) })
	for _, tt := range []struct {
		state   api.State
		by      api.VerificationMethod
		trusted bool
	}{
		{api.StateAllow, "", true},
		{api.StateChallengeSucceeded, api.AuthenticatorApp, false},
		{api.StateChallengeSucceeded, api.RecoveryCode, false},
		{api.StateChallengeSucceeded, api.ByTrustedBrowser, true},
	} {
		storetest.Exec(t, database, fmt.Sprintf(`UPDATE actions SET state = '%s', verification_method = '%s'`, tt.state, tt.by))
		err := s.View(t.Context(), "t", func(tx *Tx) error {
			got, _, err := tx.Action(a.ActionID)
			if err != nil || got.Trusted != tt.trusted {
				t.Errorf("%s by %q: trusted %v, %v, want %v", tt.state, tt.by, got.Trusted, err, tt.trusted)
			}
			known, err := tx.DeviceKnown("u", "i", "d")
			if want := !tt.trusted; known != want {
				t.Errorf("%s by %q: device known %v, want %v", tt.state, tt.by, known, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
