package server

import (
	"context"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// decide sets the outcome of an action that is being tracked, and the rules
// that matched. What conditions do not mention is not looked up.
func (s *server) decide(ctx context.Context, tx *store.Tx, a *store.Action, user store.User, enrolled bool) error {
	settings, err := manage.ActionSettings(tx, a.Action)
	if err != nil {
		return err
	}
	compiled := s.conditions.Compile(settings.Rules)
	in := rules.Input{
		User: rules.User{
			ID: user.ID, Email: user.Email, EmailVerified: user.EmailVerified,
			PhoneNumber: user.PhoneNumber, PhoneNumberVerified: user.PhoneNumberVerified,
			Username: user.Username, DisplayName: user.DisplayName, Locale: user.Locale,
			IsEnrolled: enrolled, CreatedAt: user.CreatedAt, Custom: user.Custom,
		},
		Action: rules.Action{Code: a.Action, CreatedAt: a.CreatedAt},
		IP:     a.IPAddress, UserAgent: a.UserAgent,
		Device: rules.Device{ID: a.DeviceID, IsNew: true},
		Custom: a.Custom,
	}
	if err := lookUp(tx, &in, rules.Needs(compiled), *a); err != nil {
		return err
	}
	d := rules.Decide(settings.DefaultOutcome, compiled, in, func(f rules.Failure) {
		s.Log.WarnContext(ctx, "a rule could not be evaluated", "tenant", tx.TenantID(), "action", a.Action,
			"rule", f.RuleID, "reason", f.Reason, "matched", f.Matched)
	})
	a.Outcome = d.Outcome
	matched := map[string]bool{}
	for _, id := range d.RuleIDs {
		matched[id] = true
	}
	a.Rules = []api.Rule{}
	for _, r := range settings.Rules {
		if matched[r.RuleID] {
			a.Rules = append(a.Rules, api.Rule{RuleID: r.RuleID, Name: r.Name, Description: r.Description})
		}
	}
	return nil
}

// lookUp fills in what takes a query.
func lookUp(tx *store.Tx, in *rules.Input, need rules.Lookups, a store.Action) (err error) {
	if need.DeviceIsNew && a.DeviceID != "" {
		known, err := tx.DeviceKnown(a.UserID, a.DeviceID)
		if err != nil {
			return err
		}
		in.Device.IsNew = !known
	}
	hour, day := a.CreatedAt.Add(-time.Hour), a.CreatedAt.Add(-24*time.Hour)
	if need.ActionCounts {
		if in.Counts.ActionsLastHour, err = tx.CountActions(a.UserID, a.Action, hour); err != nil {
			return err
		}
		if in.Counts.ActionsLastDay, err = tx.CountActions(a.UserID, a.Action, day); err != nil {
			return err
		}
	}
	if need.FailureCounts {
		if in.Counts.FailuresLastHour, err = tx.CountAudit(a.UserID, store.AuditCodeRefused, hour); err != nil {
			return err
		}
		if in.Counts.FailuresLastDay, err = tx.CountAudit(a.UserID, store.AuditCodeRefused, day); err != nil {
			return err
		}
	}
	return nil
}
