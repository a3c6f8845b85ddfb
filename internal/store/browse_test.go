package store

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// Every list of the portal reads a range of an index: it scans no whole table or
// index, and sorts only rows of the same millisecond. With AUTHSIGNAL_TEST_ROWS it
// logs how long each query takes with that many rows.
func TestPortalListsReadARangeOfAnIndex(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	total := storetest.Rows(t)
	storetest.Fill(t, database, "t", total, now)

	type query struct {
		name string
		text string
		args []any
	}
	var queries []query
	add := func(name, text string, args []any) { queries = append(queries, query{name, text, args}) }
	view(t, s, "t", func(tx *Tx) error {
		half := now.Add(-15 * 24 * time.Hour)
		for _, f := range []struct {
			name string
			BrowseFilter
		}{
			{"all", BrowseFilter{}},
			{"of a user", BrowseFilter{UserID: "user-0"}},
			{"of an action and a state", BrowseFilter{Action: "signIn", State: api.StateBlock, Kind: AuditCodeUnseen}},
		} {
			f.Limit = 51
			for i, name := range []string{"", ", a later page", ", in a time"} {
				switch i {
				case 1:
					f.After = Position{At: half, Action: ActionID{"user-7", "pay", "x"}, ID: "audit-9"}
				case 2:
					f.After, f.From, f.Until = Position{}, half, now.Add(-time.Hour)
				}
				text, args := tx.actionsQuery(f.BrowseFilter)
				add("actions "+f.name+name, text, args)
				text, args = tx.auditQuery(f.BrowseFilter, f.Action != "")
				add("audit lines "+f.name+name, text, args)
			}
		}
		for _, column := range userSearch {
			prefix := map[string]string{"user_id": "user-77", "email": "mail-7", "phone_number": "+15557", "username": "name-77"}[column]
			text, args := tx.prefixQuery(column, prefix, 51)
			add("users by the beginning of "+column, text, args)
		}
		text, args := tx.usersQuery("user-5", 51)
		add("users", text, args)
		text, args = tx.listedUsersQuery(UserFilter{After: "user-5", Limit: 101})
		add("users with their methods", text, args)
		add("codes of actions", nextCode("actions"), []any{"t", "pay"})
		add("codes of audit lines", nextCode("audit"), []any{"t", "pay"})
		add("counts of a day", stateCounts, []any{"t", millis(now.Add(-24 * time.Hour))})
		return nil
	})
	for _, q := range queries {
		plan := explain(t, s, q.text, q.args)
		complaint := planComplaint(plan)
		if q.text == stateCounts && complaint == "sorts" { // to add up some hours of few actions
			complaint = ""
		}
		if complaint != "" {
			t.Errorf("%s: %s\n%s\n%s", q.name, complaint, q.text, strings.Join(plan, "\n"))
		}
		start := time.Now()
		n := 0
		view(t, s, "t", func(tx *Tx) error {
			return tx.readOne(read{q.text, q.args, func(r rows) error {
				for r.Next() {
					n++
				}
				return nil
			}})
		})
		if n == 0 && !strings.HasSuffix(q.name, "of a user, in a time") && !strings.HasSuffix(q.name, "of a user, a later page") {
			t.Errorf("%s: found nothing", q.name)
		}
		t.Logf("%-45s %3d of %d rows in %s", q.name, n, total, time.Since(start).Round(10*time.Microsecond))
	}
}

// explain returns the lines of the plan of a query.
func explain(t *testing.T, s *Store, query string, args []any) (plan []string) {
	t.Helper()
	view(t, s, "t", func(tx *Tx) error {
		explain := "EXPLAIN QUERY PLAN "
		if storetest.Postgres() {
			explain = "EXPLAIN "
		}
		rows, err := tx.tx.QueryContext(t.Context(), explain+s.dialect.rebind(query), args...)
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			cells := make([]any, len(columns))
			for i := range cells {
				cells[i] = new(string)
			}
			if err := rows.Scan(cells...); err != nil {
				return err
			}
			plan = append(plan, *cells[len(cells)-1].(*string))
		}
		return rows.Err()
	})
	return plan
}

// planComplaint returns what is wrong with a plan of either database, or nothing.
func planComplaint(plan []string) string {
	text := strings.Join(plan, "\n")
	if storetest.Postgres() {
		switch {
		case strings.Contains(text, "Seq Scan"):
			return "reads a table from end to end"
		}
		// Less than a page may be sorted.
		for _, sort := range regexp.MustCompile(`(?m)^\W*Sort .*rows=(\d+)`).FindAllStringSubmatch(text, -1) {
			if len(sort[1]) > 2 {
				return "sorts"
			}
		}
		// Each scan of an index begins and ends by a condition.
		scans := regexp.MustCompile(`Index (Only )?Scan`).FindAllString(text, -1)
		conditions := regexp.MustCompile(`Index Cond`).FindAllString(text, -1)
		if len(scans) == 0 || len(conditions) < len(scans) {
			return "reads an index from end to end"
		}
		return ""
	}
	for _, line := range plan {
		switch {
		case strings.HasPrefix(line, "SCAN "):
			return "reads from end to end"
		case strings.Contains(line, "FOR string_agg"): // of the few authenticators of a user
		case strings.HasPrefix(line, "USE TEMP B-TREE") && !strings.Contains(line, "LAST"):
			return "sorts"
		}
	}
	if !strings.Contains(text, "SEARCH ") {
		return "searches nothing"
	}
	return ""
}

func view(t *testing.T, s *Store, tenant string, fn func(*Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), tenant, fn); err != nil {
		t.Fatal(err)
	}
}

// Paging returns each action and each audit line once, in order, with any filter
// and many rows in the same millisecond.
func TestBrowsingPagesShowEachRowOnce(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		for i := range 60 {
			user, action, state := fmt.Sprintf("User-%d", i%3), []string{"pay", "signIn", "Sign-in"}[i%3], api.States[i%4]
			at := now.Add(time.Duration(i/20) * time.Millisecond)
			id := ActionID{user, action, fmt.Sprintf("%c%d", "aB_-"[i%4], i)}
			if err := tx.InsertAction(Action{ActionID: id, State: state, CreatedAt: at, StateUpdatedAt: at}); err != nil {
				return err
			}
			if err := tx.Audit(AuditEvent{At: at, Kind: AuditKinds[i%4], ActionID: id}); err != nil {
				return err
			}
		}
		return nil
	})
	for _, f := range []BrowseFilter{
		{}, {UserID: "User-1"}, {Action: "signIn"}, {State: api.States[1], Kind: AuditKinds[1]},
		{Action: "pay", State: api.States[0], Kind: AuditKinds[0]}, {From: now.Add(time.Millisecond), Until: now.Add(2 * time.Millisecond)},
	} {
		f.Limit = 1000
		var allActions, pagedActions []ActionID
		var allAudit, pagedAudit []string
		view(t, s, "t", func(tx *Tx) error {
			actions, err := tx.BrowseActions(f)
			if err != nil {
				return err
			}
			for _, a := range actions {
				allActions = append(allActions, a.ActionID)
			}
			events, err := tx.BrowseAudit(f)
			for _, e := range events {
				allAudit = append(allAudit, e.ID)
			}
			return err
		})
		f.Limit = 7
		for page := f; ; {
			var actions []Action
			view(t, s, "t", func(tx *Tx) (err error) { actions, err = tx.BrowseActions(page); return err })
			if len(actions) == 0 {
				break
			}
			for _, a := range actions {
				pagedActions = append(pagedActions, a.ActionID)
			}
			last := actions[len(actions)-1]
			page.After = Position{At: last.CreatedAt, Action: last.ActionID}
		}
		for page := f; ; {
			var events []AuditEvent
			view(t, s, "t", func(tx *Tx) (err error) { events, err = tx.BrowseAudit(page); return err })
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				pagedAudit = append(pagedAudit, e.ID)
			}
			last := events[len(events)-1]
			page.After = Position{At: last.At, ID: last.ID}
		}
		if len(allActions) == 0 || !slices.Equal(allActions, pagedActions) {
			t.Errorf("%+v: got %v by pages, want %v", f, pagedActions, allActions)
		}
		if len(allAudit) == 0 || !slices.Equal(allAudit, pagedAudit) {
			t.Errorf("%+v: got %d audit lines by pages, want %d", f, len(pagedAudit), len(allAudit))
		}
	}
}

// Users are found by the beginning of four texts, compared by bytes.
func TestSearchUsers(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	update(t, s, "t", func(tx *Tx) error {
		for _, u := range []User{
			{ID: "ada", Email: "ada@example.com"}, {ID: "Ada-2"}, {ID: "b", Username: "ada_b"}, {ID: "ad-c", PhoneNumber: "+1555"},
			{ID: "100%", Email: "per_cent@example.com"}, {ID: "ädа"},
		} {
			if _, err := tx.EnsureUser(u.ID, now); err != nil {
				return err
			}
			if err := tx.PutUser(u); err != nil {
				return err
			}
		}
		return nil
	})
	for prefix, want := range map[string]string{
		"ada": "ada b", "ad": "ad-c ada b", "Ada": "Ada-2", "+15": "ad-c", "100%": "100%", "1%": "", "per_": "100%", "per%": "", "ä": "ädа", "zz": "",
	} {
		var got []string
		view(t, s, "t", func(tx *Tx) error {
			list, err := tx.SearchUsers(prefix, 10)
			for _, u := range list {
				got = append(got, u.ID)
			}
			return err
		})
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, want %q", prefix, got, want)
		}
	}
	view(t, s, "other", func(tx *Tx) error {
		list, err := tx.SearchUsers("ada", 10)
		if len(list) != 0 {
			t.Errorf("another tenant: got %v", list)
		}
		return err
	})
}

// An action counts once for each state that it comes to.
func TestStatesAreCounted(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	at := now.Truncate(time.Hour)
	update(t, s, "t", func(tx *Tx) error {
		for i := range 3 {
			id := ActionID{"u", "pay", fmt.Sprint(i)}
			if err := tx.InsertAction(Action{ActionID: id, State: api.StateChallengeRequired, CreatedAt: at, StateUpdatedAt: at}); err != nil {
				return err
			}
		}
		id := ActionID{"u", "pay", "0"}
		if err := tx.CompleteAction(id, api.StateChallengeRequired, Authenticator{ID: "a", Method: api.AuthenticatorApp}, 0, at.Add(time.Hour)); err != nil {
			return err
		}
		for range 2 { // the second time it is there
			if _, err := tx.SetState(id, api.StateBlock, 0, at.Add(time.Hour)); err != nil {
				return err
			}
		}
		return nil
	})
	want := []StateCount{
		{at, "pay", api.StateChallengeRequired, 3},
		{at.Add(time.Hour), "pay", api.StateBlock, 1}, {at.Add(time.Hour), "pay", api.StateChallengeSucceeded, 1},
	}
	view(t, s, "t", func(tx *Tx) error {
		got, err := tx.StateCounts(at)
		for i := range got {
			got[i].Hour = got[i].Hour.In(at.Location())
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got, _ := tx.StateCounts(at.Add(time.Hour)); len(got) != 2 {
			t.Errorf("later: got %v", got)
		}
		return err
	})
}
