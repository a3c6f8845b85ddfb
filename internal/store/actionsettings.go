package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// ActionSettings returns what is set for an action; found is false when
// nothing is. It is not to be changed: others have it too.
func (t *Tx) ActionSettings(action string) (s api.ActionSettings, found bool, err error) {
	if t.changed { // the cache knows nothing of that yet, and perhaps never will
		return t.readActionSettings(action)
	}
	got, err := lookUp(&t.store.cache, t.generation, settingsKey{t.tenant, action}, func() (foundSettings, bool, error) {
		s, found, err := t.readActionSettings(action)
		return foundSettings{s, found}, true, err
	})
	return got.ActionSettings, got.found, err
}

// foundSettings are what the cache keeps for an action.
type foundSettings struct {
	api.ActionSettings
	found bool
}

// ActionSettings is that of a transaction which reads nothing else.
func (s *Store) ActionSettings(ctx context.Context, tenantID, action string) (settings api.ActionSettings, found bool, err error) {
	got, err := lookUp(&s.cache, s.cache.generation.Load(), settingsKey{tenantID, action}, func() (foundSettings, bool, error) {
		settings, found, err := readSettings(s.db.QueryRowContext(ctx, s.dialect.rebind(selectSettings), tenantID, action))
		return foundSettings{settings, found}, true, err
	})
	return got.ActionSettings, got.found, err
}

const selectSettings = `SELECT settings FROM action_settings WHERE tenant_id = ? AND action = ?`

// ActionSettingsForChange is ActionSettings for a caller that will change them:
// as they are in the database now, not as the cache remembers them, and
// the caller's own. On PostgreSQL the tenant's row (Tenant) or the like has to
// keep other writers off meanwhile.
func (t *Tx) ActionSettingsForChange(action string) (s api.ActionSettings, found bool, err error) {
	return t.readActionSettings(action)
}

func (t *Tx) readActionSettings(action string) (s api.ActionSettings, found bool, err error) {
	return readSettings(t.queryRow(selectSettings, t.tenant, action))
}

func readSettings(row row) (s api.ActionSettings, found bool, err error) {
	var text string
	err = row.Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return api.ActionSettings{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		return api.ActionSettings{}, false, fmt.Errorf("read action settings: %w", err)
	}
	return s, true, nil
}

// AllActionSettings returns what is set for each action of the tenant.
func (t *Tx) AllActionSettings() (map[string]api.ActionSettings, error) {
	type entry struct {
		action string
		api.ActionSettings
	}
	list, err := collect(t, func(row row) (e entry, err error) {
		var text string
		if err := row.Scan(&e.action, &text); err != nil {
			return entry{}, err
		}
		err = json.Unmarshal([]byte(text), &e.ActionSettings)
		return e, err
	}, `SELECT action, settings FROM action_settings WHERE tenant_id = ?`, t.tenant)
	if err != nil {
		return nil, fmt.Errorf("read action settings: %w", err)
	}
	all := map[string]api.ActionSettings{}
	for _, e := range list {
		all[e.action] = e.ActionSettings
	}
	return all, nil
}

// PutActionSettings sets an action whole; changed is false when it was so
// already. The settings have been checked.
func (t *Tx) PutActionSettings(action string, s api.ActionSettings) (changed bool, err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return false, fmt.Errorf("store action settings: %w", err)
	}
	t.changed = true
	n, err := t.exec(`
		INSERT INTO action_settings (tenant_id, action, settings) VALUES (?, ?, ?)
		ON CONFLICT (tenant_id, action) DO UPDATE SET settings = excluded.settings
		WHERE action_settings.settings <> excluded.settings`, t.tenant, action, string(b))
	if err != nil {
		return false, fmt.Errorf("store action settings: %w", err)
	}
	return n == 1, nil
}

// DeleteActionSettings makes an action one without settings; deleted is false
// when it was.
func (t *Tx) DeleteActionSettings(action string) (deleted bool, err error) {
	t.changed = true
	n, err := t.exec(`DELETE FROM action_settings WHERE tenant_id = ? AND action = ?`, t.tenant, action)
	if err != nil {
		return false, fmt.Errorf("delete action settings: %w", err)
	}
	return n == 1, nil
}
