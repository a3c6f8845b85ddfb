package portal

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

type activityView struct {
	// The values of the form.
	User, Action, From, Until, Range string
	What                             selection
	Codes                            []string
	States                           []api.State
	Kinds                            []store.AuditKind
	Error                            string

	Chart   chart
	Entries []entry
	// Next is the query of the next page; empty on the last page.
	Next template.URL
}

// An entry is a tracked action or an entry of the audit log.
type entry struct {
	At           time.Time
	User, Action string
	// State is set for an action, Kind for an audit entry.
	State api.State
	Kind  store.AuditKind
	// Rules are the rules that matched the action.
	Rules []api.Rule
	// Why explains a refused code, in words.
	Why string
	// Detail is the detail of the audit entry, as JSON.
	Detail, Key, Method string

	actionAt, auditAt *store.Position
}

// A cursor holds the positions at which the two lists of the activity continue;
// nil is the beginning of a list.
type cursor struct {
	Actions *store.Position `json:"a,omitempty"`
	Audit   *store.Position `json:"e,omitempty"`
}

func (c cursor) String() string {
	b, _ := json.Marshal(c) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s string) (c cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && s != "" {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return cursor{}, badInput("The address of the page is damaged. Start again with the newest entries.")
	}
	return c, nil
}

// A selection says which entries the activity shows: everything, tracked
// actions, the audit log, a state of actions or a kind of audit entry.
type selection string

const (
	everything  selection = ""
	onlyActions selection = "actions"
	onlyEvents  selection = "events"
)

// parseSelection returns the selection of a query parameter. An unknown value
// selects everything.
func parseSelection(s string) selection {
	switch w := selection(s); {
	case w == onlyActions, w == onlyEvents, w.state() != "", w.kind() != "":
		return w
	}
	return everything
}

// state returns the selected state of actions, or "".
func (w selection) state() api.State {
	if s := api.State(w); slices.Contains(api.States, s) {
		return s
	}
	return ""
}

// kind returns the selected kind of audit entry, or "".
func (w selection) kind() store.AuditKind {
	if k := store.AuditKind(w); slices.Contains(store.AuditKinds, k) {
		return k
	}
	return ""
}

// actions and events report whether actions and audit entries are selected.
func (w selection) actions() bool { return w != onlyEvents && w.kind() == "" }
func (w selection) events() bool  { return w != onlyActions && w.state() == "" }

func (p *portal) activity(r *http.Request, t store.Tenant) (reply, error) {
	v := activityView{
		User: r.FormValue("user"), Action: r.FormValue("action"), What: parseSelection(r.FormValue("what")),
		From: r.FormValue("from"), Until: r.FormValue("until"), Range: r.FormValue("range"),
		States: api.States, Kinds: store.AuditKinds,
	}
	after, err := parseCursor(r.FormValue("after"))
	if err != nil {
		return reply{}, err
	}
	f := store.BrowseFilter{UserID: t.UserID(v.User), Action: v.Action, State: v.What.state(), Kind: v.What.kind(), Limit: pageSize + 1}
	status := http.StatusOK
	if !parseTime(v.From, &f.From) || !parseTime(v.Until, &f.Until) {
		v.Error, status = "A time must be like 2026-01-31T13:45, in UTC.", http.StatusBadRequest
	}
	err = p.Store.View(r.Context(), t.ID, func(tx *store.Tx) (err error) {
		if v.Codes, err = tx.ActionCodes(); err != nil {
			return err
		}
		if v.Chart, err = p.outcomes(tx, v.Range, v.Action); err != nil || v.Error != "" {
			return err
		}
		if v.What.actions() {
			if err := v.addActions(tx, f, after.Actions); err != nil {
				return err
			}
		}
		if v.What.events() {
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
	v.cut(after)
	return reply{status: status, template: "activity", view: view{Section: "activity", Title: "Activity", Body: v}}, nil
}

// parseTime parses what a browser sends for an input of type datetime-local, in
// UTC. An empty text leaves the time as it is. It reports whether the text is
// valid.
func parseTime(text string, to *time.Time) bool {
	if text == "" {
		return true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			*to = t
			return true
		}
	}
	return false
}

// cut sorts the entries, which begin at after, by time, and keeps one page of
// them. It sets Next to the query of the next page.
func (v *activityView) cut(after cursor) {
	slices.SortStableFunc(v.Entries, func(a, b entry) int { return b.At.Compare(a.At) })
	if len(v.Entries) <= pageSize {
		return
	}
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
		"user": v.User, "action": v.Action, "what": string(v.What), "from": v.From, "until": v.Until, "range": v.Range,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	v.Next = template.URL(q.Encode())
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
		if e.Kind == store.AuditCodeRefused {
			shown.Why = why(e.Detail)
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

// why returns the reason for a refused code in words, from the detail of its
// audit entry; empty if it has none, as in entries of earlier versions.
func why(detail map[string]any) string {
	reason, _ := detail["reason"].(string)
	steps, _ := detail["steps"].(float64) // JSON
	unit := "steps"
	if steps == 1 {
		unit = "step"
	}
	switch mfa.RefusalReason(reason) {
	case mfa.RefusedMalformed:
		return "Not a code: wrong length, or not only digits"
	case mfa.RefusedReplayed:
		return "The code was used before"
	case mfa.RefusedAhead:
		return "Right, but a server's clock was ahead when an earlier code was accepted: unlock the authenticator"
	case mfa.RefusedLate:
		return fmt.Sprintf("Late by %.0f %s: check the clock of the user's device", steps, unit)
	case mfa.RefusedEarly:
		return fmt.Sprintf("Early by %.0f %s: check the clock of the user's device", steps, unit)
	case mfa.RefusedDisabled:
		return "Recovery codes are not allowed"
	case mfa.RefusedWrong:
		return "Wrong code"
	}
	return ""
}
