package store

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// countState counts an action that comes to a state.
func (t *Tx) countState(action string, state api.State, at time.Time) error {
	err := t.queue(write{table: "action_counts", query: `
		INSERT INTO action_counts (tenant_id, hour, action, state, shard, n) VALUES (?, ?, ?, ?, ` + t.dialect.shard + `, 1)
		ON CONFLICT (tenant_id, hour, action, state, shard) DO UPDATE SET n = action_counts.n + 1`,
		args: []any{t.tenant, millis(at.Truncate(time.Hour)), action, state}})
	if err != nil {
		return fmt.Errorf("count action: %w", err)
	}
	return nil
}

// A StateCount is how many actions of one code came to a state within an hour.
type StateCount struct {
	Hour   time.Time
	Action string
	State  api.State
	N      int64
}

const stateCounts = `
	SELECT hour, action, state, SUM(n) FROM action_counts
	WHERE tenant_id = ? AND hour >= ? GROUP BY hour, action, state`

// StateCounts lists the counts since a time, the oldest hour first. An action
// counts once for each state that it came to, even after it is deleted.
func (t *Tx) StateCounts(since time.Time) ([]StateCount, error) {
	list, err := collect(t, func(row row) (c StateCount, err error) {
		var hour int64
		err = row.Scan(&hour, &c.Action, &c.State, &c.N)
		c.Hour = moment(hour)
		return c, err
	}, stateCounts, t.tenant, millis(since))
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	slices.SortFunc(list, func(a, b StateCount) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Action, b.Action), cmp.Compare(a.State, b.State))
	})
	return list, nil
}
