package portal

import (
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

type activityView struct {
	// What the form has.
	User, Action, What, From, Until, Range string
	Codes                                  []string
	States                                 []api.State
	Kinds                                  []string
	Error                                  string

	Chart   chart
	Entries []entry
	// Next is the query of the next page; empty on the last one.
	Next template.URL
}

// An entry is a tracked action or a line of the audit log.
type entry struct {
	At           time.Time
	User, Action string
	// State is of an action, Kind of a line.
	State api.State
	Kind  string
	// Rules are those that matched the action.
	Rules []api.Rule
	// Detail is that of the line, as JSON.
	Detail, Key, Method string

	actionAt, auditAt *store.Position
}

// A cursor is where the two lists behind the activity go on; nil is their
// beginning.
type cursor struct {
	Actions *store.Position `json:"a,omitempty"`
	Audit   *store.Position `json:"e,omitempty"`
}

func (c cursor) String() string {
	b, _ := json.Marshal(c) // it has nothing that JSON lacks
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s string) (c cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && s != "" {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return cursor{}, badInput("The address of the page is damaged. Begin at the newest again.")
	}
	return c, nil
}

// What the filter's list may ask for besides states and kinds.
const (
	onlyActions = "actions"
	onlyEvents  = "events"
)

func (p *portal) activity(r *http.Request, t store.Tenant) (reply, error) {
	v := activityView{
		User: r.FormValue("user"), Action: r.FormValue("action"), What: r.FormValue("what"),
		From: r.FormValue("from"), Until: r.FormValue("until"), Range: r.FormValue("range"),
		States: api.States, Kinds: store.AuditKinds,
	}
	after, err := parseCursor(r.FormValue("after"))
	if err != nil {
		return reply{}, err
	}
	f := store.BrowseFilter{UserID: v.User, Action: v.Action, Limit: pageSize + 1}
	status := http.StatusOK
	for _, m := range []struct {
		to   *time.Time
		text string
	}{{&f.From, v.From}, {&f.Until, v.Until}} {
		if m.text == "" {
			continue
		}
		if *m.to, err = time.Parse("2006-01-02T15:04", m.text); err != nil {
			*m.to, err = time.Parse("2006-01-02T15:04:05", m.text)
		}
		if err != nil {
			v.Error, status = "A time must be like 2026-01-31T13:45, in UTC.", http.StatusBadRequest
		}
	}
	actions, events := v.What != onlyEvents, v.What != onlyActions
	switch {
	case slices.Contains(api.States, api.State(v.What)):
		f.State, events = api.State(v.What), false
	case slices.Contains(store.AuditKinds, v.What):
		f.Kind, actions = v.What, false
	case v.What != "" && v.What != onlyActions && v.What != onlyEvents:
		v.What = ""
	}
	err = p.Store.View(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		if v.Codes, err = tx.ActionCodes(); err != nil {
			return err
		}
		if v.Chart, err = p.outcomes(tx, v.Range, v.Action); err != nil || v.Error != "" {
			return err
		}
		if actions {
			if err := v.addActions(tx, f, after.Actions); err != nil {
				return err
			}
		}
		if events {
			return v.addEvents(tx, f, after.Audit)
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	v.Range = v.Chart.Range
	if v.Action != "" && !slices.Contains(v.Codes, v.Action) {
		v.Codes = append(v.Codes, v.Action)
	}
	slices.SortStableFunc(v.Entries, func(a, b entry) int { return b.At.Compare(a.At) })
	if len(v.Entries) > pageSize {
		v.Entries = v.Entries[:pageSize]
		for _, e := range v.Entries {
			if e.actionAt != nil {
				after.Actions = e.actionAt
			} else {
				after.Audit = e.auditAt
			}
		}
		q := url.Values{"after": {after.String()}}
		for name, value := range map[string]string{
			"user": v.User, "action": v.Action, "what": v.What, "from": v.From, "until": v.Until, "range": v.Range,
		} {
			if value != "" {
				q.Set(name, value)
			}
		}
		v.Next = template.URL(q.Encode())
	}
	return reply{status: status, template: "activity", view: view{Section: "activity", Title: "Activity", Body: v}}, nil
}

func (v *activityView) addActions(tx *store.Tx, f store.BrowseFilter, after *store.Position) error {
	if after != nil {
		f.After = *after
	}
	list, err := tx.BrowseActions(f)
	for _, a := range list {
		v.Entries = append(v.Entries, entry{
			At: a.CreatedAt, User: a.UserID, Action: a.Action, State: a.State, Rules: a.Rules, Key: a.IdempotencyKey,
			Method: string(a.VerificationMethod), actionAt: &store.Position{At: a.CreatedAt, Action: a.ActionID},
		})
	}
	return err
}

func (v *activityView) addEvents(tx *store.Tx, f store.BrowseFilter, after *store.Position) error {
	if after != nil {
		f.After = *after
	}
	list, err := tx.BrowseAudit(f)
	for _, e := range list {
		shown := entry{
			At: e.At, User: e.UserID, Action: e.Action, Kind: e.Kind, Key: e.IdempotencyKey,
			auditAt: &store.Position{At: e.At, ID: e.ID},
		}
		if len(e.Detail) > 0 {
			b, err := json.Marshal(e.Detail)
			if err != nil {
				return err
			}
			shown.Detail = string(b)
		}
		v.Entries = append(v.Entries, shown)
	}
	return err
}
