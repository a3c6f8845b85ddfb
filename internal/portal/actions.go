package portal

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// countedDays is how far back the list of actions counts.
const countedDays = 7

type actionsView struct {
	Actions []actionRow
	Days    int
	// Code is the one that was typed, when Error says what is wrong with it.
	Code, Error string
}

type actionRow struct {
	Code     string
	Set      bool
	Settings api.ActionSettings
	// Counts are by state.
	Counts map[string]int64
}

func (p *portal) actions(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	return p.showActions(w, r, http.StatusOK, t, actionsView{})
}

func (p *portal) showActions(w http.ResponseWriter, r *http.Request, status int, t store.Tenant, v actionsView) error {
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
		return err
	}
	for _, code := range slices.Sorted(maps.Keys(rows)) {
		v.Actions = append(v.Actions, *rows[code])
	}
	return p.show(w, r, status, t, "actions", "actions", "Actions", v)
}

// openAction leads from a typed code to its page.
func (p *portal) openAction(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code := strings.TrimSpace(r.FormValue("action"))
	if !api.IsActionCode(code) {
		return p.showActions(w, r, http.StatusBadRequest, t, actionsView{Code: code, Error: errActionCode.Description})
	}
	http.Redirect(w, r, tenantPath(t.ID)+"/actions/"+code, http.StatusSeeOther)
	return nil
}

type actionView struct {
	Code     string
	Set      bool
	Settings api.ActionSettings
	Outcomes []api.Outcome
	Error    string
}

var outcomes = []api.Outcome{api.OutcomeAllow, api.OutcomeChallenge, api.OutcomeReview, api.OutcomeBlock}

var errActionCode = &api.Error{Status: http.StatusNotFound, Description: "An action is called by 1 to 64 letters, digits, dashes and underscores."}

// actionCode is the action of the path.
func actionCode(r *http.Request) (string, error) {
	code := r.PathValue("action")
	if !api.IsActionCode(code) {
		return "", errActionCode
	}
	return code, nil
}

// settings reads what is set for the action of the path.
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

func (p *portal) action(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code, s, set, err := p.settings(r, t)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, t, "action", "actions", "Action "+code, actionView{Code: code, Set: set, Settings: s, Outcomes: outcomes})
}

// changeAction changes the settings of the path's action as they are now.
func (p *portal) changeAction(r *http.Request, t store.Tenant, change func(*api.ActionSettings) error) (code string, err error) {
	if code, err = actionCode(r); err != nil {
		return code, err
	}
	return code, manage.ChangeAction(r.Context(), p.Store, t.ID, code, p.Now(), change)
}

func (p *portal) setOutcome(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code, err := p.changeAction(r, t, func(s *api.ActionSettings) error {
		s.DefaultOutcome = api.Outcome(r.PostFormValue("outcome"))
		return nil
	})
	if err != nil {
		return err
	}
	return done(w, r, t, "/actions/"+code, "saved")
}

func ruleIndex(s api.ActionSettings, id string) int {
	return slices.IndexFunc(s.Rules, func(r api.ActionRule) bool { return r.RuleID == id })
}

var errNoRule = &api.Error{Status: http.StatusNotFound, Description: "The action has no such rule. Somebody may have deleted it."}

func (p *portal) moveRule(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code, err := p.changeAction(r, t, func(s *api.ActionSettings) error {
		i := ruleIndex(*s, r.PostFormValue("rule"))
		if i < 0 {
			return errNoRule
		}
		j := i + 1
		if r.PostFormValue("do") == "up" {
			j = i - 1
		}
		if j >= 0 && j < len(s.Rules) {
			s.Rules[i], s.Rules[j] = s.Rules[j], s.Rules[i]
		}
		return nil
	})
	if err != nil {
		return err
	}
	return done(w, r, t, "/actions/"+code, "moved")
}

// dropForm asks before a rule goes, or, without one, all that is set.
func (p *portal) dropForm(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code, s, set, err := p.settings(r, t)
	if err != nil {
		return err
	}
	v := confirmView{Action: "/actions/" + code + "/drop", Back: "/actions/" + code, Button: "Delete"}
	title := "Forget the settings of " + code + "?"
	if id := r.FormValue("rule"); id != "" {
		i := ruleIndex(s, id)
		if i < 0 {
			return errNoRule
		}
		title, v.Hidden = "Delete the rule?", [][2]string{{"rule", id}}
		v.Text = "The rule “" + s.Rules[i].Name + "” of " + code + " decides nothing any more."
	} else if !set {
		return notFound(w, r)
	} else {
		v.Text, v.Button = "All rules go, and its default outcome is CHALLENGE again.", "Forget"
	}
	return p.show(w, r, http.StatusOK, t, "confirm", "actions", title, v)
}

func (p *portal) dropRule(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	id := r.PostFormValue("rule")
	if id == "" {
		code, err := actionCode(r)
		if err != nil {
			return err
		}
		err = p.Store.Update(r.Context(), t.ID, func(tx *store.Tx) error { return manage.DeleteAction(tx, code, p.Now()) })
		if err != nil {
			return err
		}
		return done(w, r, t, "/actions", "forgot")
	}
	code, err := p.changeAction(r, t, func(s *api.ActionSettings) error {
		i := ruleIndex(*s, id)
		if i < 0 {
			return errNoRule
		}
		s.Rules = slices.Delete(s.Rules, i, i+1)
		return nil
	})
	if err != nil {
		return err
	}
	return done(w, r, t, "/actions/"+code, "deleted")
}

type ruleView struct {
	Code     string
	New      bool
	Rule     api.ActionRule
	Outcomes []api.Outcome
	Sample   string
	// Error concerns the rule as a whole, Broken its condition, SampleError
	// the sample.
	Error, SampleError string
	Broken             *brokenCondition
	// Tried reports whether the condition was evaluated on the sample: Matches
	// is its result, or Reason why it has none.
	Tried, Matches bool
	Reason         rules.Reason
}

// A brokenCondition is the line of a condition that does not compile, cut where
// the error stands.
type brokenCondition struct {
	rules.Error
	Before, At, After string
}

func newBroken(condition string, e *rules.Error) *brokenCondition {
	b := &brokenCondition{Error: *e}
	lines := strings.Split(strings.ReplaceAll(condition, "\r\n", "\n"), "\n")
	if e.Line < 1 || e.Line > len(lines) {
		return b
	}
	line := []rune(lines[e.Line-1])
	at := min(max(e.Column-1, 0), len(line))
	b.Before = string(line[:at])
	if at == len(line) {
		b.At = "\u00a0" // behind the end
		return b
	}
	end := at + 1
	// A name is marked whole.
	for isWord(line[at]) && end < len(line) && isWord(line[end]) {
		end++
	}
	b.At, b.After = string(line[at:end]), string(line[end:])
	return b
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func (p *portal) ruleForm(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code, s, _, err := p.settings(r, t)
	if err != nil {
		return err
	}
	v := ruleView{Code: code, New: true, Outcomes: outcomes, Sample: newSample(code, p.Now()), Rule: api.ActionRule{Outcome: api.OutcomeChallenge}}
	if id := r.FormValue("rule"); id != "" {
		i := ruleIndex(s, id)
		if i < 0 {
			return errNoRule
		}
		v.New, v.Rule = false, s.Rules[i]
	}
	return p.showRule(w, r, http.StatusOK, t, v)
}

func (p *portal) showRule(w http.ResponseWriter, r *http.Request, status int, t store.Tenant, v ruleView) error {
	title := "Edit the rule"
	if v.New {
		title = "Add a rule"
	}
	return p.show(w, r, status, t, "rule", "actions", title+" of "+v.Code, v)
}

// setRule saves a rule, or tries its condition against the sample, as the
// button says. What was typed stays on the page.
func (p *portal) setRule(w http.ResponseWriter, r *http.Request, t store.Tenant) error {
	code, err := actionCode(r)
	if err != nil {
		return err
	}
	id := r.PostFormValue("rule")
	v := ruleView{
		Code: code, New: id == "", Outcomes: outcomes, Sample: r.PostFormValue("sample"),
		Rule: api.ActionRule{
			RuleID: id, Name: strings.TrimSpace(r.PostFormValue("name")), Description: strings.TrimSpace(r.PostFormValue("description")),
			// Browsers end lines with CR LF.
			Condition: strings.ReplaceAll(r.PostFormValue("condition"), "\r\n", "\n"), Outcome: api.Outcome(r.PostFormValue("outcome")),
		},
	}
	condition, err := rules.Compile(v.Rule.Condition)
	var broken *rules.Error
	switch {
	case errors.As(err, &broken):
		v.Broken = newBroken(v.Rule.Condition, broken)
		return p.showRule(w, r, http.StatusBadRequest, t, v)
	case err != nil:
		return err
	}
	if r.PostFormValue("do") == "try" {
		in, err := parseSample(v.Sample)
		if err != nil {
			v.SampleError, _ = refusal(err)
			return p.showRule(w, r, http.StatusBadRequest, t, v)
		}
		v.Tried = true
		d := rules.Decide(api.OutcomeAllow, []rules.CompiledRule{{ID: "it", Outcome: api.OutcomeBlock, Condition: condition}}, in,
			func(f rules.Failure) { v.Reason = f.Reason })
		v.Matches = len(d.RuleIDs) > 0
		return p.showRule(w, r, http.StatusOK, t, v)
	}
	_, err = p.changeAction(r, t, func(s *api.ActionSettings) error {
		if v.New {
			v.Rule.RuleID = uuid.NewString()
			s.Rules = append(s.Rules, v.Rule)
			return nil
		}
		i := ruleIndex(*s, id)
		if i < 0 {
			return errNoRule
		}
		s.Rules[i] = v.Rule
		return nil
	})
	if err != nil {
		if v.New {
			v.Rule.RuleID = ""
		}
		if v.Error, err = refusal(err); err != nil {
			return err
		}
		// Which of the rules it is, the page knows.
		if _, what, ok := strings.Cut(v.Error, "]: "); ok {
			v.Error = "The " + what + "."
		}
		return p.showRule(w, r, http.StatusBadRequest, t, v)
	}
	return done(w, r, t, "/actions/"+code, "saved")
}

// A sample is what a condition is tried against, as JSON: the variables of
// rules.Input by the names that conditions use.
type sample struct {
	User struct {
		ID                  string         `json:"id"`
		Email               string         `json:"email"`
		EmailVerified       bool           `json:"emailVerified"`
		PhoneNumber         string         `json:"phoneNumber"`
		PhoneNumberVerified bool           `json:"phoneNumberVerified"`
		Username            string         `json:"username"`
		DisplayName         string         `json:"displayName"`
		Locale              string         `json:"locale"`
		IsEnrolled          bool           `json:"isEnrolled"`
		CreatedAt           time.Time      `json:"createdAt"`
		Custom              map[string]any `json:"custom"`
	} `json:"user"`
	Action struct {
		Code      string    `json:"code"`
		CreatedAt time.Time `json:"createdAt"`
	} `json:"action"`
	IP        string `json:"ip"`
	UserAgent string `json:"userAgent"`
	Device    struct {
		ID    string `json:"id"`
		IsNew bool   `json:"isNew"`
	} `json:"device"`
	Custom map[string]any `json:"custom"`
	Counts struct {
		ActionsLastHour  int64 `json:"actionsLastHour"`
		ActionsLastDay   int64 `json:"actionsLastDay"`
		FailuresLastHour int64 `json:"failuresLastHour"`
		FailuresLastDay  int64 `json:"failuresLastDay"`
	} `json:"counts"`
}

// newSample is one to begin with.
func newSample(code string, now time.Time) string {
	var s sample
	s.User.ID, s.User.Email, s.User.IsEnrolled = "u1", "jane@example.com", true
	s.User.CreatedAt = now.UTC().Truncate(time.Second).Add(-24 * time.Hour)
	s.User.Custom = map[string]any{}
	s.Action.Code, s.Action.CreatedAt = code, now.UTC().Truncate(time.Second)
	s.IP, s.UserAgent = "203.0.113.7", "Mozilla/5.0"
	s.Device.IsNew = true
	s.Custom = map[string]any{"amount": 100, "roles": []string{"user"}}
	b, _ := json.MarshalIndent(s, "", "  ") // it has nothing that JSON lacks
	return string(b)
}

func parseSample(text string) (rules.Input, error) {
	var s sample
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return rules.Input{}, badInput("The sample is not JSON of the variables: " + strings.TrimPrefix(err.Error(), "json: ") + ".")
	}
	if d.More() {
		return rules.Input{}, badInput("The sample has more than one JSON object.")
	}
	// As in a tracked action, null is the same as absent.
	for _, custom := range []map[string]any{s.Custom, s.User.Custom} {
		maps.DeleteFunc(custom, func(_ string, v any) bool { return v == nil })
	}
	return rules.Input{
		User: rules.User(s.User), Action: rules.Action(s.Action), IP: s.IP, UserAgent: s.UserAgent,
		Device: rules.Device(s.Device), Custom: s.Custom, Counts: rules.Counts(s.Counts),
	}, nil
}
