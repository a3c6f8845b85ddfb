package migrations_test

import (
	"database/sql"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func open(t *testing.T) (*sql.DB, migrations.Dialect) {
	t.Helper()
	dialect := migrations.SQLite
	if storetest.Postgres() {
		dialect = migrations.Postgres(migrations.DefaultSchema)
	}
	return storetest.Connect(t, storetest.Empty(t)), dialect
}

// A database of any earlier version is migrated to the newest, and keeps its rows.
func TestUpFromEachStep(t *testing.T) {
	t.Parallel()
	_, dialect := open(t)
	steps, err := dialect.Steps()
	if err != nil || len(steps) < 5 || steps[0] != 1 {
		t.Fatalf("the steps are %v: %v", steps, err)
	}
	for i, step := range steps {
		// A gap in the table of versions is that of a database that is not this program's.
		if step != int64(i+1) {
			t.Errorf("step %d has the number %d", i+1, step)
		}
		db, dialect := open(t)
		if err := dialect.UpTo(t.Context(), db, step); err != nil {
			t.Fatalf("to step %d: %v", step, err)
		}
		for _, statement := range []string{
			`INSERT INTO users (tenant_id, user_id, incarnation, created_at) VALUES ('t', 'u', 'i', 1)`,
			`INSERT INTO actions (tenant_id, user_id, action, idempotency_key, state, outcome, created_at, state_updated_at)
				VALUES ('t', 'u', 'signIn', 'k', 'CHALLENGE_SUCCEEDED', 'CHALLENGE', 1, 1)`,
			`INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, created_at, verified_at)
				VALUES ('t', 'a', 'u', 'SMS', 1, 1)`,
		} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("at step %d: %v", step, err)
			}
		}
		for range 2 { // the second time there is nothing to do
			if err := migrations.Up(t.Context(), db, dialect); err != nil {
				t.Fatalf("from step %d: %v", step, err)
			}
		}
		var state, method string
		err := db.QueryRowContext(t.Context(), `SELECT state, authenticators.verification_method FROM actions JOIN authenticators USING (tenant_id, user_id)
			WHERE tenant_id = 't' AND user_id = 'u'`).Scan(&state, &method)
		if err != nil || state != "CHALLENGE_SUCCEEDED" || method != "SMS" {
			t.Errorf("from step %d: an action in state %q and an authenticator of %q: %v", step, state, method, err)
		}
	}
}

// Signing keys from before step 7 signed a minute after they were created, the
// first one at once, and never stopped verifying.
func TestUpGivesSigningKeysTheirTimes(t *testing.T) {
	t.Parallel()
	db, dialect := open(t)
	if err := dialect.UpTo(t.Context(), db, 5); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO encryption_keys (key_id, created_at) VALUES ('e', 1)`,
		`INSERT INTO signing_keys (kid, secret, key_id, created_at) VALUES ('a', 's', 'e', 1000), ('b', 's', 'e', 5000), ('c', 's', 'e', 6000)`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := migrations.Up(t.Context(), db, dialect); err != nil {
		t.Fatal(err)
	}
	const day = 86_400_000
	for kid, want := range map[string][2]int64{"a": {1000, 65_000 + day}, "b": {65_000, 66_000 + day}, "c": {66_000, 0}} {
		var from, until int64
		query := `SELECT signs_from, COALESCE(verifies_until, 0) FROM signing_keys WHERE kid = '` + kid + `'`
		if err := db.QueryRowContext(t.Context(), query).Scan(&from, &until); err != nil {
			t.Fatal(err)
		}
		if got := [2]int64{from, until}; got != want {
			t.Errorf("%s: got %v, want %v", kid, got, want)
		}
	}
}

// Users from before step 18 may have signed in: what tells users who have not is null.
func TestUpTakesEarlierUsersForSignedIn(t *testing.T) {
	t.Parallel()
	db, dialect := open(t)
	if err := dialect.UpTo(t.Context(), db, 17); err != nil {
		t.Fatal(err)
	}
	insert := `INSERT INTO users (tenant_id, user_id, incarnation, created_at) VALUES ('t', 'u', 'i', 1000)`
	if _, err := db.ExecContext(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), db, dialect); err != nil {
		t.Fatal(err)
	}
	var first sql.NullInt64
	if err := db.QueryRowContext(t.Context(), `SELECT first_tracked_at FROM users`).Scan(&first); err != nil || first != (sql.NullInt64{Valid: true}) {
		t.Errorf("got %v, %v, want 0", first, err)
	}
}

// Actions from before step 6 belong to the user of their id, unless the user is
// younger: then they were tracked for a deleted user. Those that are ALLOW although
// their outcome was CHALLENGE were tracked for users without a factor.
func TestUpGivesActionsTheirUser(t *testing.T) {
	t.Parallel()
	db, dialect := open(t)
	if err := dialect.UpTo(t.Context(), db, 5); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO users (tenant_id, user_id, incarnation, created_at) VALUES ('t', 'u', 'i', 1000), ('other', 'gone', 'j', 1000)`,
		`INSERT INTO actions (tenant_id, user_id, action, idempotency_key, state, outcome, created_at, state_updated_at) VALUES
			('t', 'u', 'signIn', 'earlier', 'CHALLENGE_SUCCEEDED', 'CHALLENGE', 999, 999),
			('t', 'u', 'signIn', 'first', 'ALLOW', 'CHALLENGE', 1000, 1000),
			('t', 'u', 'signIn', 'allowed', 'ALLOW', 'ALLOW', 2000, 2000),
			('t', 'u', 'signIn', 'later', 'CHALLENGE_SUCCEEDED', 'CHALLENGE', 2000, 2000),
			('t', 'gone', 'signIn', 'k', 'CHALLENGE_SUCCEEDED', 'CHALLENGE', 2000, 2000)`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := migrations.Up(t.Context(), db, dialect); err != nil {
		t.Fatal(err)
	}
	type action struct {
		incarnation string
		newcomer    bool
	}
	for key, want := range map[string]action{
		"earlier": {"", false}, "first": {"i", true}, "allowed": {"i", false}, "later": {"i", false}, "k": {"", false},
	} {
		var got action
		query := `SELECT incarnation, newcomer FROM actions WHERE idempotency_key = '` + key + `'`
		if err := db.QueryRowContext(t.Context(), query).Scan(&got.incarnation, &got.newcomer); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", key, got, want)
		}
	}
}
