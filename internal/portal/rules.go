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
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

func ruleIndex(s api.ActionSettings, id string) int {
	return slices.IndexFunc(s.Rules, func(r api.ActionRule) bool { return r.RuleID == id })
}

var errNoRule = &api.Error{Status: http.StatusNotFound, Description: "The rule does not exist. It may have been deleted."}

func (p *portal) moveRule(r *http.Request, t store.Tenant) (reply, error) {
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
		return reply{}, err
	}
	return done(t, "/actions/"+code, noticeMoved)
}

type ruleView struct {
	Code     string
	New      bool
	Rule     api.ActionRule
	Outcomes []api.Outcome
	Sample   string
	// Error is the error of the rule as a whole, Broken that of its condition,
	// and SampleError that of the sample.
	Error, SampleError string
	Broken             *brokenCondition
	// Tried reports whether the condition was evaluated on the sample: Matches
	// is its result, or Reason why it has none.
	Tried, Matches bool
	Reason         rules.Reason
}

// A brokenCondition is the line of a condition that does not compile, split at
// the position of the error.
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
		b.At = "\u00a0" // the error is at the end of the line
		return b
	}
	end := at + 1
	// If it is in a name, mark the whole name.
	for isWord(line[at]) && end < len(line) && isWord(line[end]) {
		end++
	}
	b.At, b.After = string(line[at:end]), string(line[end:])
	return b
}

func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func (p *portal) ruleForm(r *http.Request, t store.Tenant) (reply, error) {
	code, s, _, err := p.settings(r, t)
	if err != nil {
		return reply{}, err
	}
	v := ruleView{Code: code, New: true, Outcomes: outcomes, Sample: newSample(code, p.Now()), Rule: api.ActionRule{Outcome: api.OutcomeChallenge}}
	if id := r.FormValue("rule"); id != "" {
		i := ruleIndex(s, id)
		if i < 0 {
			return reply{}, errNoRule
		}
		v.New, v.Rule = false, s.Rules[i]
	}
	return rulePage(http.StatusOK, v), nil
}

func rulePage(status int, v ruleView) reply {
	title := "Edit the rule"
	if v.New {
		title = "Add a rule"
	}
	return reply{status: status, template: "rule", view: view{Section: "actions", Title: title + " of " + v.Code, Body: v}}
}

// setRule saves a rule, or tries its condition on the sample, depending on the
// button. If it fails, the page keeps the input.
func (p *portal) setRule(r *http.Request, t store.Tenant) (reply, error) {
	code, err := actionCode(r)
	if err != nil {
		return reply{}, err
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
		return rulePage(http.StatusBadRequest, v), nil
	case err != nil:
		return reply{}, err
	case r.PostFormValue("do") == "try":
		return tryRule(v, condition)
	}
	return p.saveRule(r, t, v)
}

// tryRule evaluates the condition of a rule on the sample.
func tryRule(v ruleView, condition *rules.Condition) (reply, error) {
	in, err := parseSample(v.Sample)
	if err != nil {
		v.SampleError, err = refusal(err)
		return rulePage(http.StatusBadRequest, v), err
	}
	v.Tried = true
	d := rules.Decide(api.OutcomeAllow, []rules.CompiledRule{{ID: "tried", Outcome: api.OutcomeBlock, Condition: condition}}, in,
		func(f rules.Failure) { v.Reason = f.Reason })
	v.Matches = len(d.RuleIDs) > 0
	return rulePage(http.StatusOK, v), nil
}

// saveRule adds a rule to those of its action, or replaces the one with its id.
func (p *portal) saveRule(r *http.Request, t store.Tenant, v ruleView) (reply, error) {
	code, err := p.changeAction(r, t, func(s *api.ActionSettings) error {
		if v.New {
			added := v.Rule
			added.RuleID = uuid.NewString()
			s.Rules = append(s.Rules, added)
			return nil
		}
		i := ruleIndex(*s, v.Rule.RuleID)
		if i < 0 {
			return errNoRule
		}
		s.Rules[i] = v.Rule
		return nil
	})
	if err != nil {
		if v.Error, err = refusal(err); err != nil {
			return reply{}, err
		}
		// The page does not need the index of the rule.
		if _, what, ok := strings.Cut(v.Error, "]: "); ok {
			v.Error = "The " + what + "."
		}
		return rulePage(http.StatusBadRequest, v), nil
	}
	return done(t, "/actions/"+code, noticeSaved)
}

func (p *portal) deleteRule(r *http.Request, t store.Tenant, id string) (reply, error) {
	code, err := p.changeAction(r, t, func(s *api.ActionSettings) error {
		i := ruleIndex(*s, id)
		if i < 0 {
			return errNoRule
		}
		s.Rules = slices.Delete(s.Rules, i, i+1)
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return done(t, "/actions/"+code, noticeDeleted)
}

// newSample returns the sample of a new rule: a rules.Input as JSON.
func newSample(code string, now time.Time) string {
	now = now.UTC().Truncate(time.Second)
	in := rules.Input{
		User: rules.User{
			ID: "u1", Email: "jane@example.com", IsEnrolled: true,
			CreatedAt: now.Add(-24 * time.Hour), Custom: map[string]any{},
		},
		Action: rules.Action{Code: code, CreatedAt: now},
		IP:     "203.0.113.7", UserAgent: "Mozilla/5.0",
		Device: rules.Device{IsNew: true},
		Custom: map[string]any{"amount": 100, "roles": []string{"user"}},
	}
	b, _ := json.MarshalIndent(in, "", "  ") // never fails: all of it has a form in JSON
	return string(b)
}

func parseSample(text string) (rules.Input, error) {
	var in rules.Input
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return rules.Input{}, badInput("The sample is not valid JSON of the variables: " + strings.TrimPrefix(err.Error(), "json: ") + ".")
	}
	if d.More() {
		return rules.Input{}, badInput("The sample has more than one JSON object.")
	}
	// As in a tracked action, a null is an absent value.
	for _, custom := range []map[string]any{in.Custom, in.User.Custom} {
		maps.DeleteFunc(custom, func(_ string, v any) bool { return v == nil })
	}
	return in, nil
}
