package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

const (
	// maxActions is the maximum number of listed actions: the newest.
	maxActions = 500
	// maxCodes is the maximum number of action codes in a query.
	maxCodes = 100
)

var errNoAction = api.NotFound("The user has no such action with this idempotency key.")

// getAction answers GET /v1/users/{userId}/actions/{action}/{idempotencyKey}
// (wire contract, 6.3).
func (s *server) getAction(r *http.Request) (any, error) {
	id, err := pathActionID(r)
	if err != nil {
		return nil, err
	}
	var a store.Action
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		a, err = readAction(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shownAction(a), nil
}

// updateAction answers PATCH of the same path (wire contract, 6.4). The
// backend may move an action from any state to any other.
func (s *server) updateAction(r *http.Request) (any, error) {
	id, err := pathActionID(r)
	if err != nil {
		return nil, err
	}
	var in api.UpdateActionRequest
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if err := checkState(in.State); err != nil {
		return nil, err
	}
	var a store.Action
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		// The actions of a deleted user still exist, and need no lock.
		user, _, err := tx.LockUser(id.UserID)
		if err != nil {
			return err
		}
		now := s.Now()
		moved, err := tx.SetState(id, in.State, user.Epoch, now)
		if err != nil {
			return err
		}
		if moved {
			err := tx.Audit(store.AuditEvent{At: now, Kind: store.AuditActionUpdated, ActionID: id, Detail: map[string]any{"state": in.State}})
			if err != nil {
				return err
			}
		}
		a, err = readAction(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shownAction(a), nil
}

// readAction reads an action that must exist.
func readAction(tx *store.Tx, id store.ActionID) (store.Action, error) {
	a, found, err := tx.Action(id)
	if err == nil && !found {
		err = errNoAction
	}
	return a, err
}

// shownAction converts an action to its form in the API.
func shownAction(a store.Action) api.Action {
	state := mfa.StateWithoutToken(a)
	if state != a.State {
		a.VerificationMethod = "" // of a browser that is perhaps another one
	}
	return api.Action{
		State:              state,
		CreatedAt:          api.Time{Time: a.CreatedAt},
		StateUpdatedAt:     api.Time{Time: a.StateUpdatedAt},
		VerificationMethod: a.VerificationMethod,
		RuleIDs:            ruleIDs(a),
		Rules:              a.Rules,
		PriorityRuleID:     a.PriorityRuleID,
		Output:             api.ActionOutput{Custom: a.Custom},
	}
}

// ruleIDs returns the ids of the rules that matched, never nil.
func ruleIDs(a store.Action) []string {
	ids := make([]string, len(a.Rules))
	for i, r := range a.Rules {
		ids[i] = r.RuleID
	}
	return ids
}

// listActions answers GET /v1/users/{userId}/actions (wire contract, 6.5): the
// newest first.
func (s *server) listActions(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	f := store.ActionFilter{Since: s.Now().Add(-api.ActionHistory), State: api.State(q.Get("state")), Limit: maxActions}
	if f.State != "" {
		if err := checkState(f.State); err != nil {
			return nil, err
		}
	}
	if text := q.Get("fromDate"); text != "" {
		from, err := isoDate(text)
		if err != nil {
			return nil, api.InvalidRequest("fromDate " + err.Error() + ".")
		}
		if from.After(f.Since) {
			f.Since = from
		}
	}
	if codes := q.Get("codes"); codes != "" {
		f.Actions = strings.Split(codes, ",")
		if len(f.Actions) > maxCodes || slices.ContainsFunc(f.Actions, func(c string) bool { return !api.IsActionCode(c) }) {
			return nil, api.InvalidRequest(fmt.Sprintf("codes must be at most %d actions of %s, separated by commas.", maxCodes, api.ActionCodeForm))
		}
	}
	out := []api.ListedAction{}
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		list, err := tx.Actions(userID, f)
		for _, a := range list {
			updated := api.Time{Time: a.StateUpdatedAt}
			out = append(out, api.ListedAction{
				ActionCode: a.Action, IdempotencyKey: a.IdempotencyKey, CreatedAt: api.Time{Time: a.CreatedAt},
				UpdatedAt: updated, State: a.State, StateUpdatedAt: updated,
				VerificationMethod: a.VerificationMethod, VerifiedByAuthenticatorID: a.AuthenticatorID,
				UserAgent: a.UserAgent, IPAddress: a.IPAddress,
			})
		}
		return err
	})
	return out, err
}
