package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// An ActionID names one action within a tenant.
type ActionID struct {
	UserID, Action, IdempotencyKey string
}

// An Action is an action of a user that a backend has tracked, with its state.
type Action struct {
	ActionID
	State                     api.State
	CreatedAt, StateUpdatedAt time.Time
	// VerificationMethod and AuthenticatorID say what completed the
	// challenge; empty until then.
	VerificationMethod api.VerificationMethod
	AuthenticatorID    string
	// What the backend sent when it tracked the action.
	IPAddress, UserAgent, DeviceID, RedirectURL string
	Custom                                      map[string]any
	// Outcome is what the rules decided. Rules are those that matched, as
	// they were then.
	Outcome api.Outcome
	Rules   []api.Rule
	// PriorityRuleID is the rule whose outcome was taken; empty when the default
	// decided.
	PriorityRuleID string
	// Incarnation is that of the user that the action was tracked for.
	Incarnation string
	// Epoch is that of the user's tokens when the action came to its state.
	Epoch int64
	// Newcomer reports whether the state is ALLOW, instead of CHALLENGE_REQUIRED,
	// only because the user was not enrolled. It is false for a state that the
	// backend has set.
	Newcomer bool
	// Trusted reports whether the state is ALLOW or CHALLENGE_SUCCEEDED, instead of
	// CHALLENGE_REQUIRED, only because the user trusts the browser. BrowserTurn is the
	// hash of the changing part of the browser's token, if the action was tracked or
	// completed with one.
	Trusted     bool
	BrowserTurn []byte
}

const actionColumns = `user_id, action, idempotency_key, state, created_at, state_updated_at,
	verification_method, user_authenticator_id, ip_address, user_agent, device_id, redirect_url, custom, outcome, rules, incarnation, epoch, newcomer, priority_rule_id, trusted, browser_turn`

func scanAction(row row) (a Action, err error) {
	var created, updated int64
	var custom, rules string
	var priority sql.NullString
	err = row.Scan(&a.UserID, &a.Action, &a.IdempotencyKey, &a.State, &created, &updated,
		&a.VerificationMethod, &a.AuthenticatorID, &a.IPAddress, &a.UserAgent, &a.DeviceID, &a.RedirectURL, &custom, &a.Outcome, &rules, &a.Incarnation, &a.Epoch, &a.Newcomer, &priority, &a.Trusted, &a.BrowserTurn)
	if err != nil {
		return Action{}, err
	}
	if err := json.Unmarshal([]byte(custom), &a.Custom); err != nil {
		return Action{}, fmt.Errorf("custom: %w", err)
	}
	if err := json.Unmarshal([]byte(rules), &a.Rules); err != nil {
		return Action{}, fmt.Errorf("rules: %w", err)
	}
	if a.PriorityRuleID = priority.String; !priority.Valid && len(a.Rules) > 0 {
		a.PriorityRuleID = a.Rules[0].RuleID
	}
	a.CreatedAt, a.StateUpdatedAt = moment(created), moment(updated)
	// Before version 18 of the database, a code left the mark of an ALLOW in place.
	if a.State == api.StateChallengeSucceeded && a.VerificationMethod != api.ByTrustedBrowser {
		a.Trusted = false
	}
	return a, nil
}

const selectAction = `SELECT ` + actionColumns + ` FROM actions
	WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ?`

// Action returns an action; found is false if it does not exist.
func (t *Tx) Action(id ActionID) (a Action, found bool, err error) {
	a, err = scanAction(t.queryRow(selectAction, t.tenant, id.UserID, id.Action, id.IdempotencyKey))
	if errors.Is(err, sql.ErrNoRows) {
		return Action{}, false, nil
	}
	if err != nil {
		return Action{}, false, fmt.Errorf("read action: %w", err)
	}
	return a, true, nil
}

// An ActionFilter says which actions of a user to list; an empty field matches
// all.
type ActionFilter struct {
	Since time.Time
	// Actions are names of actions.
	Actions []string
	State   api.State
	Limit   int
}

// Actions lists actions of a user, the newest first.
func (t *Tx) Actions(userID string, f ActionFilter) ([]Action, error) {
	where, args := `tenant_id = ? AND user_id = ? AND created_at >= ?`, []any{t.tenant, userID, millis(f.Since)}
	if len(f.Actions) > 0 {
		where += ` AND action IN (?` + strings.Repeat(`, ?`, len(f.Actions)-1) + `)`
		for _, action := range f.Actions {
			args = append(args, action)
		}
	}
	if f.State != "" {
		where += ` AND state = ?`
		args = append(args, f.State)
	}
	list, err := collect(t, scanAction, `
		SELECT `+actionColumns+` FROM actions WHERE `+where+`
		ORDER BY created_at DESC, action, idempotency_key LIMIT ?`, append(args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list actions: %w", err)
	}
	return list, nil
}

// InsertAction stores a new action. It is an error if the id exists.
func (t *Tx) InsertAction(a Action) error {
	custom, err := encodeCustom(a.Custom)
	if err != nil {
		return fmt.Errorf("store action: %w", err)
	}
	if a.Rules == nil {
		a.Rules = []api.Rule{}
	}
	rules, err := json.Marshal(a.Rules)
	if err != nil {
		return fmt.Errorf("store action: %w", err)
	}
	err = t.queue(write{table: "actions", query: `
		INSERT INTO actions (tenant_id, user_id, action, idempotency_key, state, created_at, state_updated_at,
			ip_address, user_agent, device_id, redirect_url, custom, outcome, rules, incarnation, epoch, newcomer, priority_rule_id, trusted, browser_turn)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		args: []any{t.tenant, a.UserID, a.Action, a.IdempotencyKey, a.State, millis(a.CreatedAt), millis(a.StateUpdatedAt),
			a.IPAddress, a.UserAgent, a.DeviceID, a.RedirectURL, custom, a.Outcome, string(rules), a.Incarnation, a.Epoch, a.Newcomer, a.PriorityRuleID, a.Trusted, a.BrowserTurn}})
	if err != nil {
		return fmt.Errorf("store action: %w", err)
	}
	return t.countState(a.Action, a.State, a.StateUpdatedAt)
}

// CompleteAction moves an action from a state to CHALLENGE_SUCCEEDED and
// records the method and the id of what completed it, in which epoch of the user's
// tokens: one write, guarded by the state. If the action has left the state, the
// transaction fails with ErrChanged, here or at its end. An action that a trusted
// browser has completed may be completed again, by what gives more rights.
func (t *Tx) CompleteAction(id ActionID, from api.State, by Authenticator, epoch int64, at time.Time) error {
	err := t.queue(write{"actions", `
		UPDATE actions SET state = ?, state_updated_at = ?, verification_method = ?, user_authenticator_id = ?, epoch = ?, trusted = ?
		WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ? AND state = ?`,
		[]any{api.StateChallengeSucceeded, millis(at), by.Method, by.ID, epoch, by.Method == api.ByTrustedBrowser,
			t.tenant, id.UserID, id.Action, id.IdempotencyKey, from}, true, nil})
	if err != nil {
		return fmt.Errorf("complete action: %w", err)
	}
	if from == api.StateChallengeSucceeded { // it was counted
		return nil
	}
	return t.countState(id.Action, api.StateChallengeSucceeded, at)
}

// SetState moves an action to a state in an epoch of the user's tokens, and clears
// Newcomer and Trusted. moved is false if nothing changes or the action does not exist.
func (t *Tx) SetState(id ActionID, state api.State, epoch int64, at time.Time) (moved bool, err error) {
	n, err := t.exec(`
		UPDATE actions SET state = ?, state_updated_at = ?, epoch = ?, newcomer = FALSE, trusted = FALSE
		WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ? AND state <> ?`,
		state, millis(at), epoch, t.tenant, id.UserID, id.Action, id.IdempotencyKey, state)
	if err != nil {
		return false, fmt.Errorf("set state of action: %w", err)
	}
	if n == 1 {
		return true, t.countState(id.Action, state, at)
	}
	n, err = t.exec(`
		UPDATE actions SET state_updated_at = ?, epoch = ?, newcomer = FALSE, trusted = FALSE
		WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ? AND (newcomer OR trusted OR epoch <> ?)`,
		millis(at), epoch, t.tenant, id.UserID, id.Action, id.IdempotencyKey, epoch)
	if err != nil {
		return false, fmt.Errorf("set state of action: %w", err)
	}
	return n == 1, nil
}

// ReopenAction moves an action back to its first state, as if nothing had
// completed it.
func (t *Tx) ReopenAction(a Action, at time.Time) error {
	err := t.queue(write{table: "actions", query: `
		UPDATE actions SET state = ?, state_updated_at = ?, verification_method = '', user_authenticator_id = '', epoch = ?, newcomer = ?, trusted = FALSE
		WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ?`,
		args: []any{a.State, millis(at), a.Epoch, a.Newcomer, t.tenant, a.UserID, a.Action, a.IdempotencyKey}})
	if err != nil {
		return fmt.Errorf("reopen action: %w", err)
	}
	return t.countState(a.Action, a.State, at)
}

// SetBrowserTurn stores BrowserTurn of an action.
func (t *Tx) SetBrowserTurn(id ActionID, turn []byte) error {
	_, err := t.exec(`UPDATE actions SET browser_turn = ? WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ?`,
		turn, t.tenant, id.UserID, id.Action, id.IdempotencyKey)
	if err != nil {
		return fmt.Errorf("store browser of action: %w", err)
	}
	return nil
}

// CarryAction moves an action into an epoch of its user's tokens.
func (t *Tx) CarryAction(id ActionID, epoch int64) error {
	_, err := t.exec(`UPDATE actions SET epoch = ? WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ?`,
		epoch, t.tenant, id.UserID, id.Action, id.IdempotencyKey)
	if err != nil {
		return fmt.Errorf("carry action: %w", err)
	}
	return nil
}

// DeleteAction deletes an action.
func (t *Tx) DeleteAction(id ActionID) error {
	_, err := t.exec(`DELETE FROM actions WHERE tenant_id = ? AND user_id = ? AND action = ? AND idempotency_key = ?`,
		t.tenant, id.UserID, id.Action, id.IdempotencyKey)
	if err != nil {
		return fmt.Errorf("delete action: %w", err)
	}
	return nil
}

// DeleteActions deletes all actions of a user.
func (t *Tx) DeleteActions(userID string) error {
	if _, err := t.exec(`DELETE FROM actions WHERE tenant_id = ? AND user_id = ?`, t.tenant, userID); err != nil {
		return fmt.Errorf("delete actions: %w", err)
	}
	return nil
}

// CountActions counts a user's actions of one code that were created after a
// time.
func (t *Tx) CountActions(userID, action string, after time.Time) (n int64, err error) {
	err = t.queryRow(`
		SELECT COUNT(*) FROM actions WHERE tenant_id = ? AND user_id = ? AND action = ? AND created_at > ?`,
		t.tenant, userID, action, millis(after)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count actions: %w", err)
	}
	return n, nil
}

// DeviceKnown reports whether an incarnation of a user has completed a challenge
// on a device, other than by a trusted browser.
func (t *Tx) DeviceKnown(userID, incarnation, deviceID string) (known bool, err error) {
	err = t.queryRow(`
		SELECT EXISTS (SELECT 1 FROM actions WHERE tenant_id = ? AND user_id = ? AND device_id = ? AND state = ? AND incarnation = ?
			AND NOT (trusted AND verification_method = ?))`,
		t.tenant, userID, deviceID, api.StateChallengeSucceeded, incarnation, api.ByTrustedBrowser).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("look for device: %w", err)
	}
	return known, nil
}
