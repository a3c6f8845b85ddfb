package manage

import (
	"context"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// ActionSettings gives the settings of an action, or those of one that nobody
// has set up: the default outcome CHALLENGE (wire contract, section 11, row
// 18).
func ActionSettings(tx *store.Tx, action string) (api.ActionSettings, error) {
	return orDefault(tx.ActionSettings(action))
}

// ReadActionSettings is ActionSettings outside of a transaction.
func ReadActionSettings(ctx context.Context, st *store.Store, tenantID, action string) (api.ActionSettings, error) {
	return orDefault(st.ActionSettings(ctx, tenantID, action))
}

// ActionSettingsForChange is ActionSettings for one who is going to change
// them; see store.Tx.ActionSettingsForChange.
func ActionSettingsForChange(tx *store.Tx, action string) (api.ActionSettings, error) {
	return orDefault(tx.ActionSettingsForChange(action))
}

func orDefault(settings api.ActionSettings, found bool, err error) (api.ActionSettings, error) {
	if err == nil && !found {
		settings = api.ActionSettings{DefaultOutcome: api.OutcomeChallenge, Rules: []api.ActionRule{}}
	}
	return settings, err
}

// SetAction sets an action whole and gives the settings with the ids of their
// rules; changed is false when they were so already.
func SetAction(tx *store.Tx, action string, settings api.ActionSettings, now time.Time) (checked api.ActionSettings, changed bool, err error) {
	if err := checkAction(action); err != nil {
		return settings, false, err
	}
	if checked, err = rules.Check(settings); err != nil {
		return settings, false, invalid(err.Error())
	}
	if changed, err = tx.PutActionSettings(action, checked); err != nil || !changed {
		return checked, false, err
	}
	return checked, true, tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditConfiguration, ActionID: store.ActionID{Action: action},
		Detail: map[string]any{"what": "action", "settings": checked},
	})
}

func checkAction(action string) error {
	if !api.IsActionCode(action) {
		return invalid("action must be 1 to 64 letters, digits, dashes and underscores.")
	}
	return nil
}

// DeleteAction makes an action one that nobody has set up.
func DeleteAction(tx *store.Tx, action string, now time.Time) error {
	if err := checkAction(action); err != nil {
		return err
	}
	deleted, err := tx.DeleteActionSettings(action)
	if err == nil && !deleted {
		err = notFound("Nothing is set for this action.")
	}
	if err != nil {
		return err
	}
	return tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditConfiguration, ActionID: store.ActionID{Action: action},
		Detail: map[string]any{"what": "action deleted"},
	})
}
