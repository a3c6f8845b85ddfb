package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// ActionSettings returns the settings of an action; found is false if it has
// none. The caller must not change them: the cache shares them.
func (t *Tx) ActionSettings(action string) (s api.ActionSettings, found bool, err error) {
	if t.changed { // the cache lacks the change, which may still be undone
		return t.readActionSettings(action)
	}
	got, err := lookUp(&t.store.cache, t.generation, settingsKey{t.tenant, action}, func() (foundSettings, bool, error) {
		s, found, err := t.readActionSettings(action)
		return foundSettings{s, found}, true, err
	})
	return got.ActionSettings, got.found, err
}

// foundSettings is the entry of an action in the cache.
type foundSettings struct {
	api.ActionSettings
	found bool
}

// ActionSettings is Tx.ActionSettings for a caller that reads nothing else.
func (s *Store) ActionSettings(ctx context.Context, tenantID, action string) (settings api.ActionSettings, found bool, err error) {
	got, err := lookUp(&s.cache, s.cache.generation.Load(), settingsKey{tenantID, action}, func() (foundSettings, bool, error) {
		settings, found, err := readSettings(s.queryRow(ctx, selectSettings, tenantID, action))
		return foundSettings{settings, found}, true, err
	})
	return got.ActionSettings, got.found, err
}

const selectSettings = `SELECT settings FROM action_settings WHERE tenant_id = ? AND action = ?`

// ActionSettingsForChange is ActionSettings for a caller that will change them:
// they come from the database, not from the cache, and only the caller has them.
// On PostgreSQL the caller must hold a lock that excludes other writers, such as
// that of the tenant's row (Tenant).
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

// AllActionSettings returns the settings of the tenant's actions, by action.
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

// PutActionSettings replaces the settings of an action; changed is false if they
// are the same as before. The caller has checked them.
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

// DeleteActionSettings deletes the settings of an action; deleted is false if it
// has none.
func (t *Tx) DeleteActionSettings(action string) (deleted bool, err error) {
	t.changed = true
	n, err := t.exec(`DELETE FROM action_settings WHERE tenant_id = ? AND action = ?`, t.tenant, action)
	if err != nil {
		return false, fmt.Errorf("delete action settings: %w", err)
	}
	return n == 1, nil
}
