package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// An ActionID names one action within a tenant.
type ActionID struct {
	UserID, Action, IdempotencyKey string
}

// An Action is something that a user does, and where it stands.
type Action struct {
	ActionID
	State                     api.State
	CreatedAt, StateUpdatedAt time.Time
	// VerificationMethod and AuthenticatorID say what completed the
	// challenge; empty until then.
	VerificationMethod api.VerificationMethod
	AuthenticatorID    string
	// What the backend told when it tracked the action.
	IPAddress, UserAgent, DeviceID, RedirectURL string
	Custom                                      map[string]any
}

// Action returns an action; found is false when there is none.
func (t *Tx) Action(id ActionID) (a Action, found bool, err error) {
	a.ActionID = id
	var created, updated int64
	var custom string
	err = t.queryRow(`
		SELECT state, created_at, state_updated_at, verification_method, user_authenticator_id,
			ip_address, user_agent, device_id, redirect_url, custom
		FROM actions WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ?`,
		t.tenant, id.UserID, id.Action, id.IdempotencyKey).
		Scan(&a.State, &created, &updated, &a.VerificationMethod, &a.AuthenticatorID,
			&a.IPAddress, &a.UserAgent, &a.DeviceID, &a.RedirectURL, &custom)
	if errors.Is(err, sql.ErrNoRows) {
		return Action{}, false, nil
	}
	if err != nil {
		return Action{}, false, fmt.Errorf("read action: %w", err)
	}
	if err := json.Unmarshal([]byte(custom), &a.Custom); err != nil {
		return Action{}, false, fmt.Errorf("read action: custom: %w", err)
	}
	a.CreatedAt, a.StateUpdatedAt = moment(created), moment(updated)
	return a, true, nil
}

// InsertAction stores a new action. An id that is taken is an error.
func (t *Tx) InsertAction(a Action) error {
	if a.Custom == nil {
		a.Custom = map[string]any{}
	}
	custom, err := json.Marshal(a.Custom)
	if err != nil {
		return fmt.Errorf("store action: custom: %w", err)
	}
	_, err = t.exec(`
		INSERT INTO actions (tenant_id, user_id, action, idempotency_key, state, created_at, state_updated_at,
			ip_address, user_agent, device_id, redirect_url, custom)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.tenant, a.UserID, a.Action, a.IdempotencyKey, a.State, millis(a.CreatedAt), millis(a.StateUpdatedAt),
		a.IPAddress, a.UserAgent, a.DeviceID, a.RedirectURL, string(custom))
	if err != nil {
		return fmt.Errorf("store action: %w", err)
	}
	return nil
}

// CompleteAction moves an action from a state to CHALLENGE_SUCCEEDED and
// records what completed it: one write, guarded by the state. moved is false
// when the action has left it, or is gone.
func (t *Tx) CompleteAction(id ActionID, from api.State, authenticatorID string, at time.Time) (moved bool, err error) {
	n, err := t.exec(`
		UPDATE actions SET state = ?, state_updated_at = ?, verification_method = ?, user_authenticator_id = ?
		WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ? AND state = ?`,
		api.StateChallengeSucceeded, millis(at), api.AuthenticatorApp, authenticatorID,
		t.tenant, id.UserID, id.Action, id.IdempotencyKey, from)
	if err != nil {
		return false, fmt.Errorf("complete action: %w", err)
	}
	return n == 1, nil
}
