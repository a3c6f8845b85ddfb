package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A decision is the result of an action's rules.
type decision struct {
	facts facts
	// needs are the lookups of the conditions. gathered reports whether they are
	// known and the facts were read, and made whether the rules were evaluated.
	needs          rules.Lookups
	gathered, made bool
	// known reports whether the action was stored before: then nothing is
	// decided.
	known    bool
	outcome  api.Outcome
	rules    []api.Rule // the rules that matched
	priority string     // the id of the rule whose outcome was taken
}

// facts are the input of a decision.
type facts struct {
	settings api.ActionSettings
	input    rules.Input
}

// errUndecided reports that the rules must first be evaluated on other facts.
var errUndecided = errors.New("the rules have not been evaluated on the present data")

// maxTries is the maximum number of decisions for a track request. Other requests
// for the same user change the facts; within a process they take turns.
const maxTries = 16

// decide runs fn in a writing transaction with a decision on an action. The
// rules are compiled and evaluated outside of it, so that other writers do not
// wait for them, on facts that were read before. If fn finds other facts, it
// stores them in the decision and fails with errUndecided; the transaction is
// then rolled back and tried again.
func (s *server) decide(ctx context.Context, t store.Tenant, in tracked, fn func(*store.Tx, *decision) error) error {
	settings, err := manage.ReadActionSettings(ctx, s.Store, t.ID, in.id.Action)
	if err != nil {
		return err
	}
	d := &decision{facts: facts{settings: settings}}
	release := func() {}
	defer func() { release() }()
	for range maxTries {
		if !d.gathered {
			release()
			if release, err = s.begin(ctx, t.ID, in, d); err != nil {
				return err
			}
		}
		if err := s.evaluate(ctx, t.ID, in.id.Action, d); err != nil {
			return err
		}
		err := s.Store.Update(ctx, t.ID, func(tx *store.Tx) error { return fn(tx, d) })
		if !errors.Is(err, errUndecided) {
			return err
		}
	}
	return fmt.Errorf("track: %w, in %d tries", errUndecided, maxTries)
}

// begin compiles the rules of a decision and gathers its facts. The caller must
// call release when the decision has been stored, even after an error.
func (s *server) begin(ctx context.Context, tenantID string, in tracked, d *decision) (release func(), err error) {
	release = func() {}
	rulesOf := d.facts.settings.Rules
	*d = decision{facts: facts{settings: d.facts.settings}, gathered: true}
	if len(rulesOf) == 0 {
		return release, nil
	}
	d.needs = rules.Needs(s.conditions.Compile(rulesOf))
	if d.needs != (rules.Lookups{}) {
		// Every request for the user changes the result of the lookups.
		if release, err = s.turns.take(ctx, userTurn{tenantID, in.id.UserID}); err != nil {
			return func() {}, fmt.Errorf("wait for other requests for the user: %w", err)
		}
	}
	return release, s.Store.View(ctx, tenantID, func(tx *store.Tx) error {
		standing, err := tx.Standing(in.id)
		if err != nil {
			return err
		}
		if d.known = isKnown(standing); d.known {
			return nil
		}
		if !standing.HasUser {
			standing.User = store.User{ID: in.id.UserID, Custom: map[string]any{}, CreatedAt: in.at}
		}
		describe(&standing.User, in.attr)
		d.facts.input, err = gather(tx, in, standing, d)
		return err
	})
}

// holds reports whether a decision was made on the facts that a transaction
// finds. Otherwise it stores them for the next decision.
func (d *decision) holds(tx *store.Tx, in tracked, standing store.Standing) (bool, error) {
	settings, err := manage.ActionSettings(tx, in.id.Action)
	if err != nil {
		return false, err
	}
	if d.known || !reflect.DeepEqual(settings, d.facts.settings) { // it was known, and no longer is
		*d = decision{facts: facts{settings: settings}}
		return false, nil
	}
	if len(settings.Rules) == 0 {
		return true, nil
	}
	input, err := gather(tx, in, standing, d)
	if err != nil {
		return false, err
	}
	if reflect.DeepEqual(input, d.facts.input) {
		return true, nil
	}
	d.facts.input, d.made = input, false
	return false, nil
}

// The keys of turns.
type (
	userTurn   struct{ tenant, user string }
	tenantTurn string
)

const (
	// costly is how long a decision may take without a rest after it. Usual
	// rules take less than a tenth of it.
	costly = time.Millisecond
	// rest is how long a tenant waits after a costly decision, as a multiple of
	// its time.
	rest = 3
)

// evaluate makes a decision, unless it is already made or the action is known. A
// tenant makes one decision at a time, and waits after a costly one, so that its
// rules leave the processors to other tenants.
func (s *server) evaluate(ctx context.Context, tenantID, action string, d *decision) error {
	if d.made || d.known {
		return nil
	}
	settings := d.facts.settings
	d.made, d.outcome, d.rules = true, settings.DefaultOutcome, []api.Rule{}
	if len(settings.Rules) == 0 {
		return nil
	}
	release, err := s.turns.take(ctx, tenantTurn(tenantID))
	if err != nil {
		return fmt.Errorf("wait for other decisions of the tenant: %w", err)
	}
	began := time.Now()
	defer func() {
		if took := time.Since(began); took >= costly {
			time.AfterFunc(rest*took, release)
		} else {
			release()
		}
	}()
	decided := rules.Decide(settings.DefaultOutcome, s.conditions.Compile(settings.Rules), d.facts.input, func(f rules.Failure) {
		s.Log.WarnContext(ctx, "a rule could not be evaluated", "tenant", tenantID, "action", action,
			"rule", f.RuleID, "reason", f.Reason, "matched", f.Matched)
	})
	d.outcome, d.priority = decided.Outcome, decided.PriorityRuleID
	for _, id := range decided.RuleIDs {
		i := slices.IndexFunc(settings.Rules, func(r api.ActionRule) bool { return r.RuleID == id })
		r := settings.Rules[i]
		d.rules = append(d.rules, api.Rule{RuleID: r.RuleID, Name: r.Name, Description: r.Description})
	}
	return nil
}

// gather reads the input of an action's rules. It makes only the lookups that
// conditions need.
func gather(tx *store.Tx, in tracked, standing store.Standing, d *decision) (rules.Input, error) {
	user := standing.User
	trust, err := readTrust(tx, in, standing)
	if err != nil {
		return rules.Input{}, err
	}
	input := rules.Input{
		User: rules.User{
			ID: user.ID, Email: user.Email, EmailVerified: user.EmailVerified,
			PhoneNumber: user.PhoneNumber, PhoneNumberVerified: user.PhoneNumberVerified,
			Username: user.Username, DisplayName: user.DisplayName, Locale: user.Locale,
			IsEnrolled: mfa.FactorsOf(standing.Authenticators).Enrolled(), CreatedAt: user.CreatedAt, Custom: user.Custom,
		},
		Action: rules.Action{Code: in.id.Action, CreatedAt: in.at},
		IP:     in.attr.IPAddress, UserAgent: in.attr.UserAgent,
		Device: rules.Device{ID: in.attr.DeviceID, IsNew: true, IsTrusted: trust.Counts(d.facts.settings, in.at)},
		Custom: in.attr.Custom,
	}
	return input, lookUp(tx, &input, d.needs, in, user.Incarnation)
}

// lookUp sets the parts of an input that need a query.
func lookUp(tx *store.Tx, in *rules.Input, need rules.Lookups, t tracked, incarnation string) (err error) {
	user := t.id.UserID
	if need.DeviceIsNew && t.attr.DeviceID != "" {
		known, err := tx.DeviceKnown(user, incarnation, t.attr.DeviceID)
		if err != nil {
			return err
		}
		in.Device.IsNew = !known
	}
	hour, day := t.at.Add(-time.Hour), t.at.Add(-24*time.Hour)
	if need.ActionCounts {
		if in.Counts.ActionsLastHour, err = tx.CountActions(user, t.id.Action, hour); err != nil {
			return err
		}
		if in.Counts.ActionsLastDay, err = tx.CountActions(user, t.id.Action, day); err != nil {
			return err
		}
	}
	if need.FailureCounts {
		if in.Counts.FailuresLastHour, err = tx.CountAudit(user, store.AuditCodeRefused, hour); err != nil {
			return err
		}
		if in.Counts.FailuresLastDay, err = tx.CountAudit(user, store.AuditCodeRefused, day); err != nil {
			return err
		}
	}
	return nil
}
