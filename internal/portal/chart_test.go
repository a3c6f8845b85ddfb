package portal

import (
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// The chart counts how often actions entered states; a first enrollment does not
// reduce the number of challenges.
func TestChartCountsStates(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	now := d.clock()
	d.update(func(tx *store.Tx) error {
		for key, state := range map[string]api.State{
			"enrolled": api.StateAllow, "allowed": api.StateAllow, "open": api.StateChallengeRequired, "passed": api.StateChallengeRequired,
		} {
			a := store.Action{ActionID: store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: key}, State: state, CreatedAt: now, StateUpdatedAt: now}
			if err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		if err := tx.CompleteAction(store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: "enrolled"}, api.StateAllow, store.Authenticator{ID: "a1", Method: api.AuthenticatorApp}, 0, now); err != nil {
			return err
		}
		return tx.CompleteAction(store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: "passed"}, api.StateChallengeRequired, store.Authenticator{ID: "a1", Method: api.AuthenticatorApp}, 0, now)
	})
	text := d.operator().get("/t/t1").text
	for _, want := range []string{
		`<th scope="col">Allow</th><th scope="col">Challenge required</th><th scope="col">Challenge succeeded</th><th scope="col">Review required</th><th scope="col">Block</th>`,
		`<td>2</td><td>2</td><td>2</td><td>0</td><td>0</td>`, `aria-label="Actions entered these states 6 times from `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
