package manage

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// ActionSettings returns the settings of an action. Without settings it has the
// default outcome CHALLENGE (wire contract, section 11, row 18).
func ActionSettings(tx *store.Tx, action string) (api.ActionSettings, error) {
	return orDefault(tx.ActionSettings(action))
}

// ReadActionSettings is ActionSettings without a transaction.
func ReadActionSettings(ctx context.Context, st *store.Store, tenantID, action string) (api.ActionSettings, error) {
	return orDefault(st.ActionSettings(ctx, tenantID, action))
}

func orDefault(settings api.ActionSettings, found bool, err error) (api.ActionSettings, error) {
	if err == nil && !found {
		settings = api.ActionSettings{DefaultOutcome: api.OutcomeChallenge, Rules: []api.ActionRule{}}
	}
	return settings, err
}

// A CheckedAction is an action with settings that CheckAction has checked.
type CheckedAction struct {
	action   string
	settings api.ActionSettings
}

// Settings returns the settings, with the ids of their rules.
func (c CheckedAction) Settings() api.ActionSettings { return c.settings }

// CheckAction checks the settings of an action. It compiles their conditions, which
// may take a second: the caller must not hold a transaction open.
func CheckAction(action string, settings api.ActionSettings) (c CheckedAction, err error) {
	if err := checkAction(action); err != nil {
		return c, err
	}
	if days := settings.TrustBrowserDays; days < 0 || days > api.MaxTrustBrowserDays {
		return c, api.InvalidRequest(fmt.Sprintf("trustBrowserDays must be 0 to %d.", api.MaxTrustBrowserDays))
	}
	if settings.EnrollmentPolicy != nil {
		normal, err := settings.EnrollmentPolicy.Normal()
		if err != nil {
			return c, err
		}
		settings.EnrollmentPolicy = &normal
	}
	if settings, err = rules.Check(settings); err != nil {
		return c, api.InvalidRequest(err.Error())
	}
	return CheckedAction{action, settings}, nil
}

// SetAction replaces the settings of an action; changed is false if they are the
// same as before.
func SetAction(tx *store.Tx, c CheckedAction, now time.Time) (changed bool, err error) {
	if changed, err = tx.PutActionSettings(c.action, c.settings); err != nil || !changed {
		return false, err
	}
	e := store.Configured(store.ChangeAction, map[string]any{"settings": c.settings}, now)
	e.Action = c.action
	return true, tx.Audit(e)
}

// EnsureAction stores the settings of an action that has none.
func EnsureAction(tx *store.Tx, c CheckedAction, now time.Time) error {
	if _, found, err := tx.ActionSettings(c.action); err != nil || found {
		return err
	}
	_, err := SetAction(tx, c, now)
	return err
}

// maxChanges is how often ChangeAction tries.
const maxChanges = 8

// ChangeAction changes the settings of an action of a tenant by change, which may
// run several times. The result is checked outside of the transaction that stores
// it; if the settings were changed meanwhile, ChangeAction tries again.
func ChangeAction(ctx context.Context, st *store.Store, tenantID, action string, now time.Time, change func(*api.ActionSettings) error) error {
	if err := checkAction(action); err != nil {
		return err
	}
	read := func(tx *store.Tx) (api.ActionSettings, error) { return orDefault(tx.ActionSettingsForChange(action)) }
	for range maxChanges {
		var before api.ActionSettings
		err := st.View(ctx, tenantID, func(tx *store.Tx) (err error) {
			before, err = read(tx)
			return err
		})
		if err != nil {
			return err
		}
		after := before
		after.Rules = slices.Clone(before.Rules)
		if err := change(&after); err != nil {
			return err
		}
		checked, err := CheckAction(action, after)
		if err != nil {
			return err
		}
		same := false
		err = st.Update(ctx, tenantID, func(tx *store.Tx) error {
			// The lock of the tenant's row excludes other changes meanwhile.
			if _, _, err := tx.Tenant(); err != nil {
				return err
			}
			current, err := read(tx)
			if same = reflect.DeepEqual(current, before); err != nil || !same {
				return err
			}
			_, err = SetAction(tx, checked, now)
			return err
		})
		if err != nil || same {
			return err
		}
	}
	return &api.Error{Status: 409, Code: api.CodeInvalidRequest, Description: "The action is being changed by others. Try again."}
}

func checkAction(action string) error {
	if !api.IsActionCode(action) {
		return api.InvalidRequest("action must be " + api.ActionCodeForm + ".")
	}
	return nil
}

// DeleteAction deletes the settings of an action.
func DeleteAction(tx *store.Tx, action string, now time.Time) error {
	if err := checkAction(action); err != nil {
		return err
	}
	deleted, err := tx.DeleteActionSettings(action)
	if err == nil && !deleted {
		err = api.NotFound("The action has no settings.")
	}
	if err != nil {
		return err
	}
	e := store.Configured(store.ChangeActionDeleted, nil, now)
	e.Action = action
	return tx.Audit(e)
}
