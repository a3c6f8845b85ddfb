package portal

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// countedDays is the number of days that the list of actions counts.
const countedDays = 7

type actionsView struct {
	Actions []actionRow
	Days    int
	// Code is the action code that was entered, if Error says why it is wrong.
	Code, Error string
}

type actionRow struct {
	Code     string
	Set      bool
	Settings api.ActionSettings
	// Counts are the numbers of actions by state.
	Counts map[string]int64
}

func (p *portal) actions(r *http.Request, t store.Tenant) (reply, error) {
	return p.actionsPage(r, http.StatusOK, t, actionsView{})
}

func (p *portal) actionsPage(r *http.Request, status int, t store.Tenant, v actionsView) (reply, error) {
	v.Days = countedDays
	rows := map[string]*actionRow{}
	row := func(code string) *actionRow {
		if rows[code] == nil {
			rows[code] = &actionRow{Code: code, Settings: api.ActionSettings{DefaultOutcome: api.OutcomeChallenge}, Counts: map[string]int64{}}
		}
		return rows[code]
	}
	err := p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		all, err := tx.AllActionSettings()
		if err != nil {
			return err
		}
		for code, settings := range all {
			row(code).Set, row(code).Settings = true, settings
		}
		codes, err := tx.ActionCodes()
		if err != nil {
			return err
		}
		for _, code := range codes {
			row(code)
		}
		counts, err := tx.StateCounts(p.Now().Add(-countedDays * 24 * time.Hour).Truncate(time.Hour))
		for _, c := range counts {
			row(c.Action).Counts[string(c.State)] += c.N
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	for _, code := range slices.Sorted(maps.Keys(rows)) {
		v.Actions = append(v.Actions, *rows[code])
	}
	return reply{status: status, template: "actions", view: view{Section: "actions", Title: "Actions", Body: v}}, nil
}

// openAction redirects to the page of the action code that was entered.
func (p *portal) openAction(r *http.Request, t store.Tenant) (reply, error) {
	code := strings.TrimSpace(r.FormValue("action"))
	if !api.IsActionCode(code) {
		return p.actionsPage(r, http.StatusBadRequest, t, actionsView{Code: code, Error: errActionCode.Description})
	}
	return reply{redirect: tenantPath(t.ID) + "/actions/" + code}, nil
}

type actionView struct {
	Code     string
	Set      bool
	Settings api.ActionSettings
	Outcomes []api.Outcome
	MaxTrust int
	Policy   policyForm
	Error    string
}

var outcomes = []api.Outcome{api.OutcomeAllow, api.OutcomeChallenge, api.OutcomeReview, api.OutcomeBlock}

var errActionCode = &api.Error{Status: http.StatusNotFound, Description: "An action code has 1 to 64 letters, digits, dashes and underscores."}

// actionCode returns the action code of the path.
func actionCode(r *http.Request) (string, error) {
	code := r.PathValue("action")
	if !api.IsActionCode(code) {
		return "", errActionCode
	}
	return code, nil
}

// settings reads the settings of the path's action. If there are none, set is
// false and s has the defaults.
func (p *portal) settings(r *http.Request, t store.Tenant) (code string, s api.ActionSettings, set bool, err error) {
	if code, err = actionCode(r); err != nil {
		return code, s, false, err
	}
	err = p.Store.View(r.Context(), t.ID, func(tx *store.Tx) error {
		if _, set, err = tx.ActionSettings(code); err != nil {
			return err
		}
		s, err = manage.ActionSettings(tx, code)
		return err
	})
	return code, s, set, err
}

func (p *portal) action(r *http.Request, t store.Tenant) (reply, error) {
	return p.actionPage(r, http.StatusOK, t, nil)
}

// actionPage shows the path's action, with the form of its enrollment policy as it was
// entered, or as it is stored if f is nil.
func (p *portal) actionPage(r *http.Request, status int, t store.Tenant, f *policyForm) (reply, error) {
	code, s, set, err := p.settings(r, t)
	if err != nil {
		return reply{}, err
	}
	v := actionView{Code: code, Set: set, Settings: s, Outcomes: outcomes, MaxTrust: api.MaxTrustBrowserDays, Policy: actionForm(t, s.EnrollmentPolicy)}
	if f != nil {
		v.Policy = *f
	}
	return reply{status: status, template: "action", view: view{Section: "actions", Title: "Action " + code, Body: v}}, nil
}

// changeAction changes the stored settings of the path's action.
func (p *portal) changeAction(r *http.Request, t store.Tenant, change func(*api.ActionSettings) error) (code string, err error) {
	if code, err = actionCode(r); err != nil {
		return code, err
	}
	return code, manage.ChangeAction(r.Context(), p.Store, t.ID, code, p.Now(), change)
}

// setDefaults saves the default outcome of an action, and for how long trust counts.
func (p *portal) setDefaults(r *http.Request, t store.Tenant) (reply, error) {
	code, err := p.changeAction(r, t, func(s *api.ActionSettings) (err error) {
		s.DefaultOutcome = api.Outcome(r.PostFormValue("outcome"))
		if days := r.PostFormValue("trustBrowserDays"); days != "" {
			if s.TrustBrowserDays, err = strconv.Atoi(days); err != nil {
				return badInput("The days of trust must be a number.")
			}
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return done(t, "/actions/"+code, noticeSaved)
}

// deleteForm asks to confirm that a rule is deleted or, if the request names
// none, all settings of the action.
func (p *portal) deleteForm(r *http.Request, t store.Tenant) (reply, error) {
	code, s, set, err := p.settings(r, t)
	if err != nil {
		return reply{}, err
	}
	v := confirmView{Action: "/actions/" + code + "/drop", Back: "/actions/" + code}
	title := "Delete the settings of " + code + "?"
	switch id := r.FormValue("rule"); {
	case id != "":
		i := ruleIndex(s, id)
		if i < 0 {
			return reply{}, errNoRule
		}
		title, v.Button, v.Hidden = "Delete the rule?", "Delete", [][2]string{{"rule", id}}
		v.Text = "The rule “" + s.Rules[i].Name + "” no longer applies to " + code + "."
	case !set:
		return reply{}, errNoPage
	default:
		v.Text, v.Button = "All rules are deleted, the default outcome is CHALLENGE again, and the tenant's enrollment policy counts.", "Delete"
	}
	return reply{template: "confirm", view: view{Section: "actions", Title: title, Body: v}}, nil
}

// deleteRuleOrSettings makes the change that deleteForm asks about.
func (p *portal) deleteRuleOrSettings(r *http.Request, t store.Tenant) (reply, error) {
	if id := r.PostFormValue("rule"); id != "" {
		return p.deleteRule(r, t, id)
	}
	code, err := actionCode(r)
	if err != nil {
		return reply{}, err
	}
	err = p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error { return manage.DeleteAction(tx, code, p.Now()) })
	if err != nil {
		return reply{}, err
	}
	return done(t, "/actions", noticeReset)
}
