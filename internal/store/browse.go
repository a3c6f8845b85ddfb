package store

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// The lists that operators browse. Each query below reads one range of an index,
// in its order, with a limit: none reads or sorts all rows. If no index has the
// filter's columns first, there is a query for each value of the column between.

// A Position names the last action or audit line of a page; the next page begins
// after it.
type Position struct {
	At time.Time
	// Action is that of an action, ID that of an audit line.
	Action ActionID
	ID     string
}

// A BrowseFilter says which actions or audit lines to list; an empty field
// matches all.
type BrowseFilter struct {
	UserID, Action string
	// State is of actions, Kind of audit lines.
	State api.State
	Kind  AuditKind
	// From is inclusive, Until exclusive.
	From, Until time.Time
	// After is the zero Position for the first page.
	After Position
	Limit int
}

// end is the last time of the list, in Unix milliseconds.
func (f BrowseFilter) end() int64 {
	end := int64(1<<63 - 1)
	if !f.Until.IsZero() {
		end = millis(f.Until) - 1
	}
	if !f.After.At.IsZero() {
		end = min(end, millis(f.After.At))
	}
	return end
}

// begin is the first time of the list, in Unix milliseconds.
func (f BrowseFilter) begin() int64 {
	if f.From.IsZero() {
		return 0
	}
	return millis(f.From)
}

// BrowseActions lists actions, the newest first.
func (t *Tx) BrowseActions(f BrowseFilter) ([]Action, error) {
	var list []Action
	queries := []BrowseFilter{f}
	if f.UserID == "" && (f.Action != "" || f.State != "") {
		var err error
		if queries, err = t.spread(f, "actions"); err != nil {
			return nil, err
		}
	}
	for _, f := range queries {
		query, args := t.actionsQuery(f)
		found, err := collect(t, scanAction, query, args...)
		if err != nil {
			return nil, fmt.Errorf("browse actions: %w", err)
		}
		list = append(list, found...)
	}
	slices.SortFunc(list, func(a, b Action) int {
		return -cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UserID, b.UserID),
			cmp.Compare(a.Action, b.Action), cmp.Compare(a.IdempotencyKey, b.IdempotencyKey))
	})
	return list[:min(len(list), f.Limit)], nil
}

// actionsQuery returns a query for one range: of a user, of an action and a state,
// or of the tenant.
func (t *Tx) actionsQuery(f BrowseFilter) (string, []any) {
	where, args := `tenant_id = ?`, []any{t.tenant}
	and := func(condition string, values ...any) {
		where += ` AND ` + condition
		args = append(args, values...)
	}
	index := "actions_tenant"
	if f.Action != "" {
		and(`action = ?`, f.Action)
		index = "actions_state"
	}
	if f.UserID != "" {
		and(`user_id = ?`, f.UserID)
		index = "actions_newest"
	}
	if f.State != "" {
		and(`state = ?`, f.State)
	}
	and(`created_at BETWEEN ? AND ?`, f.begin(), f.end())
	b := t.dialect.binary
	if !f.After.At.IsZero() {
		and(`(created_at < ? OR (user_id`+b+`, action`+b+`, idempotency_key`+b+`) < (?, ?, ?))`,
			millis(f.After.At), f.After.Action.UserID, f.After.Action.Action, f.After.Action.IdempotencyKey)
	}
	// The index orders all but those of one millisecond.
	return `SELECT ` + actionColumns + ` FROM actions` + t.dialect.indexedBy(index) + ` WHERE ` + where + `
		ORDER BY created_at DESC, user_id` + b + ` DESC, action` + b + ` DESC, idempotency_key` + b + ` DESC LIMIT ?`, append(args, f.Limit)
}

// BrowseAudit lists lines of the audit log, the newest first.
func (t *Tx) BrowseAudit(f BrowseFilter) ([]AuditEvent, error) {
	var list []AuditEvent
	queries := []BrowseFilter{f}
	byAction := f.UserID == "" && (f.Action != "" || f.Kind != "")
	if byAction {
		var err error
		if queries, err = t.spread(f, "audit"); err != nil {
			return nil, err
		}
	}
	for _, q := range queries {
		query, args := t.auditQuery(q, byAction)
		events, err := t.auditEvents(query, args...)
		if err != nil {
			return nil, err
		}
		list = append(list, events...)
	}
	slices.SortFunc(list, func(a, b AuditEvent) int {
		return -cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	return list[:min(len(list), f.Limit)], nil
}

// auditQuery returns a query for one range: of a user, of an action (which may be
// empty) and a kind if byAction is true, or of the tenant.
func (t *Tx) auditQuery(f BrowseFilter, byAction bool) (string, []any) {
	where, args := `tenant_id = ?`, []any{t.tenant}
	and := func(condition string, values ...any) {
		where += ` AND ` + condition
		args = append(args, values...)
	}
	index := "audit_newest"
	if f.Action != "" || byAction {
		and(`action = ?`, f.Action)
		index = "audit_action"
	}
	if f.UserID != "" {
		and(`user_id = ?`, f.UserID)
		index = "audit_user"
	}
	if f.Kind != "" {
		and(`kind = ?`, f.Kind)
	}
	and(`at BETWEEN ? AND ?`, f.begin(), f.end())
	if !f.After.At.IsZero() {
		and(`(at < ? OR audit_id < ?)`, millis(f.After.At), f.After.ID)
	}
	return `SELECT ` + auditColumns + ` FROM audit` + t.dialect.indexedBy(index) + ` WHERE ` + where + ` ORDER BY at DESC, audit_id DESC LIMIT ?`, append(args, f.Limit)
}

// spread returns a filter for each pair of an action and a state or kind that a
// filter matches.
func (t *Tx) spread(f BrowseFilter, table string) ([]BrowseFilter, error) {
	actions := []string{f.Action}
	if f.Action == "" {
		var err error
		if actions, err = t.actionCodes(table); err != nil {
			return nil, err
		}
	}
	var all []BrowseFilter
	for _, action := range actions {
		f.Action = action
		switch {
		case table == "actions" && f.State == "":
			for _, state := range api.States {
				q := f
				q.State = state
				all = append(all, q)
			}
		case table == "audit" && f.Kind == "":
			for _, kind := range AuditKinds {
				q := f
				q.Kind = kind
				all = append(all, q)
			}
		default:
			all = append(all, f)
		}
	}
	return all, nil
}

// ActionCodes lists the codes of the stored actions, sorted.
func (t *Tx) ActionCodes() ([]string, error) {
	codes, err := t.actionCodes("actions")
	slices.Sort(codes)
	return codes, err
}

// nextCode is a query for the first code after another. It skips all rows between
// them in the index.
func nextCode(table string) string {
	return `SELECT action FROM ` + table + ` WHERE tenant_id = ? AND action > ? ORDER BY action LIMIT 1`
}

// actionCodes lists the codes in a table; those of audit include the empty one.
func (t *Tx) actionCodes(table string) ([]string, error) {
	var codes []string
	if table == "audit" {
		codes = append(codes, "")
	}
	for last := ""; ; {
		err := t.queryRow(nextCode(table), t.tenant, last).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return codes, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list action codes: %w", err)
		}
		codes = append(codes, last)
	}
}

// A FoundUser is a user with or without a verified authenticator.
type FoundUser struct {
	User
	Enrolled bool
}

// The columns that users are found by.
var userSearch = []string{"user_id", "email", "phone_number", "username"}

// SearchUsers lists users whose id, e-mail address, phone number or user name
// begins with a text, up to limit of each; those found by id first.
func (t *Tx) SearchUsers(prefix string, limit int) ([]FoundUser, error) {
	var list []FoundUser
	seen := map[string]bool{}
	for _, column := range userSearch {
		query, args := t.prefixQuery(column, prefix, limit)
		found, err := t.foundUsers(query, args...)
		if err != nil {
			return nil, err
		}
		for _, u := range found {
			if !seen[u.ID] {
				seen[u.ID] = true
				list = append(list, u)
			}
		}
	}
	return list, nil
}

// BrowseUsers lists users in the order of their ids, those after a given id.
func (t *Tx) BrowseUsers(after string, limit int) ([]FoundUser, error) {
	query, args := t.usersQuery(after, limit)
	return t.foundUsers(query, args...)
}

// The limit keeps PostgreSQL from reading all authenticators for a few users.
const foundUser = `SELECT ` + userColumns + `, COALESCE((
		SELECT TRUE FROM authenticators a
		WHERE a.tenant_id = users.tenant_id AND a.user_id = users.user_id AND a.verified_at IS NOT NULL LIMIT 1), FALSE)
	FROM users WHERE tenant_id = ? AND `

func (t *Tx) usersQuery(after string, limit int) (string, []any) {
	id := `user_id` + t.dialect.binary
	return foundUser + id + ` > ? ORDER BY ` + id + ` LIMIT ?`, []any{t.tenant, after, limit}
}

func (t *Tx) prefixQuery(column, prefix string, limit int) (string, []any) {
	b := t.dialect.binary
	where, order := column+b+` >= ? AND `+column+b+` < ?`, column+b
	if column != "user_id" {
		where += ` AND ` + column + ` <> ''` // allows the partial index
		order += `, user_id` + b
	}
	// Every text with the prefix sorts before the prefix with the last code
	// point of Unicode.
	return foundUser + where + ` ORDER BY ` + order + ` LIMIT ?`, []any{t.tenant, prefix, prefix + "\U0010ffff", limit}
}

func (t *Tx) foundUsers(query string, args ...any) ([]FoundUser, error) {
	list, err := collect(t, func(row row) (u FoundUser, err error) {
		u.User, err = scanUser(row, &u.Enrolled)
		return u, err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("search users: %w", err)
	}
	return list, nil
}
