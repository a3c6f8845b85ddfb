package store

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// The statements of a sign-in find their rows by the right index from the first row
// on: a prepared statement keeps its plan while the tables grow, until PostgreSQL
// has analyzed them.
func TestPlansOfANewDatabase(t *testing.T) {
	t.Parallel()
	if !storetest.Postgres() {
		return // SQLite's planner needs no statistics for a whole key
	}
	database := storetest.Database(t)
	s := mustOpen(t, database)
	s.db.SetMaxOpenConns(1) // all see the same prepared statements
	if err := s.Warm(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	checkPlans(t, s, "a new database")
	pending(t, s, "t", "user", "a", "SECRET")
	checkPlans(t, s, "one user")
	update(t, s, "t", func(tx *Tx) error {
		for _, fill := range []string{
			`INSERT INTO users (tenant_id, user_id, incarnation, created_at)
				SELECT 't', 'user-' || i, 'x', 1 FROM generate_series(1, 10000) i`,
			`INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, created_at, verified_at)
				SELECT 't', 'authenticator-' || i, 'user-' || i, 'SMS', 1, 1 FROM generate_series(1, 10000) i`,
			`INSERT INTO actions (tenant_id, user_id, action, idempotency_key, state, created_at, state_updated_at)
				SELECT 't', 'user-' || i % 10000, 'signIn', 'key-' || i, 'CHALLENGE_SUCCEEDED', i, i FROM generate_series(1, 100000) i`,
		} {
			if _, err := tx.exec(fill); err != nil {
				return err
			}
		}
		return nil
	})
	checkPlans(t, s, "100,000 actions, not analyzed, with the plans from before")
	if _, err := s.db.Exec(`DISCARD PLANS`); err != nil {
		t.Fatal(err)
	}
	checkPlans(t, s, "100,000 actions, not analyzed, with new plans")
}

// planned matches the scans of a plan: by which index, if any, and of which table.
var planned = regexp.MustCompile(`(?:Seq Scan|Index Scan using (\w+)|Index Only Scan using (\w+)) on (?:\w+\.)?(\w+)`)

// checkPlans checks the generic plans of the prepared statements of the only
// connection.
func checkPlans(t *testing.T, s *Store, when string) {
	t.Helper()
	indexes := map[string][]string{
		"users": {"users_pkey"}, "actions": {"actions_pkey"}, "failures": {"failures_window"},
		"authenticators": {"authenticators_pkey", "authenticators_user"},
	}
	ctx := context.Background()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SET plan_cache_mode = force_generic_plan`); err != nil {
		t.Fatal(err)
	}
	column := func(query string) (list []string) {
		rows, err := conn.QueryContext(ctx, query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			list = append(list, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return list
	}
	scans := 0
	for _, execute := range column(`
		SELECT 'EXPLAIN EXECUTE ' || quote_ident(name) || '(' || rtrim(repeat('NULL,', cardinality(parameter_types)), ',') || ')'
		FROM pg_prepared_statements WHERE statement ~ '(users|authenticators|failures|actions)' AND statement ~ '^(SELECT|WITH|UPDATE)' AND statement !~ 'pg_'`) {
		plan := strings.Join(column(execute), "\n")
		for _, scan := range planned.FindAllStringSubmatch(plan, -1) {
			want, ok := indexes[scan[3]]
			if !ok {
				continue
			}
			scans++
			if index := scan[1] + scan[2]; !slices.Contains(want, index) {
				t.Errorf("%s: a scan of %s by the index %q, want %q:\n%s", when, scan[3], index, want, plan)
			}
		}
	}
	if scans < 5 {
		t.Errorf("%s: only %d scans were seen", when, scans)
	}
}
