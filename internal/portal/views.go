package portal

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/assets"
	"github.com/authsignal-wasm/sdk/internal/store"
)

//go:embed page static
var files embed.FS

// views are the templates of the pages by name.
type views map[string]*template.Template

// A view is the data of a page.
type view struct {
	Title string
	// Root begins all links: the path of the public URL.
	Root string
	// Section is the entry of the menu that is marked as current.
	Section  string
	SignedIn bool
	// Tenant is the id of the page's tenant, and Tenants are all ids.
	Tenant  string
	Tenants []string
	// Done is the text of the notice.
	Done string
	Body any
}

// Base is the path of the tenant's pages.
func (v view) Base() string { return v.Root + tenantPath(v.Tenant) }

// newViews parses the pages and hashes the files that they link to. The links
// begin with root.
func newViews(root string) (views, *assets.Set, error) {
	set := assets.New(Path + "/static/")
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, nil, err
	}
	at := map[string]string{}
	for _, name := range []string{"portal.css", "portal.js", "icon.svg"} {
		if at[name], err = set.Add(static, name); err != nil {
			return nil, nil, err
		}
	}
	layout, err := template.New("layout.html").Funcs(template.FuncMap{
		"static": func(name string) string { return root + at[name] },
		"time":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"state":  stateName,
		"tone":   tone,
		"add":    func(a, b int) int { return a + b },
		"count":  count,
		"list":   func(s ...string) []string { return s },
		"env":    envSnippet, "node": nodeSnippet, "browser": browserSnippet, "golang": goSnippet, "wasm": wasmSnippet,
		"shown": shown, "lines": shownLines, "plain": plain, "hides": hides,
	}).ParseFS(files, "page/layout.html")
	if err != nil {
		return nil, nil, err
	}
	names, err := fs.Glob(files, "page/*.html")
	if err != nil {
		return nil, nil, err
	}
	v := views{}
	for _, name := range names {
		if name == "page/layout.html" {
			continue
		}
		page, err := layout.Clone()
		if err != nil {
			return nil, nil, err
		}
		if _, err := page.ParseFS(files, name); err != nil {
			return nil, nil, err
		}
		v[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return v, set, nil
}

// A confirmView asks to confirm a change.
type confirmView struct {
	// User is the id of the user that is changed, if any.
	User string
	// Text describes the change, and Button is the label that makes it.
	Text, Button string
	// Action is the path that the form is sent to, Hidden its hidden fields, and
	// Back the page of the cancel link.
	Action, Back string
	Hidden       [][2]string
	// Harmless reports whether the change takes nothing away.
	Harmless bool
	// Field is the name of an optional text field, FieldLabel its label and FieldValue
	// its text.
	Field, FieldLabel, FieldValue string
	// Check is the name of an optional check box, and CheckLabel its label.
	Check, CheckLabel string
	// Type is a text that must be typed into the field "typed", if any. Error says
	// what is wrong with the text of a field.
	Type, Error string
}

// stateName returns the display name of a state, an outcome, a method or a kind
// of audit entry.
func stateName(s any) string {
	if s == store.AuditCodeUnseen {
		return "Code over the limit"
	}
	text := fmt.Sprint(s)
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.ToLower(inWords.Replace(text[1:]))
}

var inWords = strings.NewReplacer("_", " ", ".", " ")

// tone returns the CSS class of a state, an outcome or a kind of audit entry.
func tone(s any) string {
	switch s {
	case api.StateAllow, api.OutcomeAllow, api.StateChallengeSucceeded, api.StateReviewSucceeded,
		store.AuditCodeAccepted, store.AuditEnrollmentCompleted:
		return "good"
	case api.LinkActive:
		return "good"
	case api.LinkPending:
		return "warn"
	case api.StateBlock, api.OutcomeBlock, api.StateChallengeFailed, api.StateReviewFailed,
		store.AuditCodeRefused, store.AuditCodeUnseen, store.AuditWebhookRefused, store.AuditWebhookDead:
		return "bad"
	case api.StateReviewRequired, api.OutcomeReview, store.AuditAuthenticatorDeleted, store.AuditUserDeleted, store.AuditTokensEnded,
		store.AuditUserReset, store.AuditRecoveryLinkIssued, store.AuditRecoveryLinkApproved, store.AuditRecoveryLinkUsed:
		return "warn"
	case api.StateChallengeRequired, api.OutcomeChallenge:
		return "info"
	}
	return "plain"
}
