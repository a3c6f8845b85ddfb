package migrations_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// shared opens an empty PostgreSQL database whose search path leads to public, as
// that of an earlier version did. Without PostgreSQL it returns nil.
func shared(t *testing.T) *sql.DB {
	t.Helper()
	if !storetest.Postgres() {
		return nil // a SQLite file is shared with no other program
	}
	db, err := sql.Open("pgx", storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func value[T any](t *testing.T, db *sql.DB, query string) (v T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func tables(t *testing.T, db *sql.DB, schema string) []string {
	t.Helper()
	list := value[string](t, db, `SELECT COALESCE(string_agg(tablename, ' ' ORDER BY tablename), '') FROM pg_tables WHERE schemaname = '`+schema+`'`)
	return strings.Fields(list)
}

// The tables of each earlier version are moved, with their rows, by one of several
// processes; that version does not start any more.
func TestUpMovesAnEarlierDatabase(t *testing.T) {
	t.Parallel()
	newest := migrations.SQLite.Newest()
	for schema, versions := range map[string][]int64{"authsignal": {1, 2, 6, newest}, "public": {newest}} {
		for _, version := range versions {
			db := shared(t)
			if db == nil {
				return
			}
			d := migrations.Postgres(schema)
			if err := d.Earlier(t.Context(), db, version); err != nil {
				t.Fatal(err)
			}
			exec(t, db, `INSERT INTO users (tenant_id, user_id, incarnation, created_at) VALUES ('t', 'u', 'i', 1)`,
				`INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, created_at, last_step) VALUES ('t', 'a', 'u', 'SMS', 1, 7)`)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := migrations.Up(t.Context(), db, d); err != nil {
						t.Errorf("version %d to %s: %v", version, schema, err)
					}
				})
			}
			wg.Wait()
			if got := value[int64](t, db, `SELECT last_step FROM `+schema+`.authenticators JOIN `+schema+`.users USING (tenant_id, user_id)`); got != 7 {
				t.Errorf("version %d to %s: the authenticator's step is %d", version, schema, got)
			}
			if got := value[int64](t, db, `SELECT MAX(version_id) FROM `+schema+`.authsignal_migrations`); got != d.Newest() {
				t.Errorf("version %d to %s: got version %d", version, schema, got)
			}
			if got := value[int64](t, db, `SELECT MAX(version_id) FROM goose_db_version`); got <= d.Newest() {
				t.Errorf("version %d to %s: the earlier version finds version %d, and starts", version, schema, got)
			}
			if got := tables(t, db, "public"); schema != "public" && !slices.Equal(got, []string{"goose_db_version"}) {
				t.Errorf("version %d: left in public: %v", version, got)
			}
		}
	}
}

// The tables of the store are those of Tables, by which names are qualified and
// earlier databases recognised.
func TestTablesAreAll(t *testing.T) {
	t.Parallel()
	db := shared(t)
	if db == nil {
		return
	}
	if err := migrations.Up(t.Context(), db, migrations.Postgres("s")); err != nil {
		t.Fatal(err)
	}
	want := append(migrations.SQLite.Tables(), "authsignal_migrations")
	slices.Sort(want)
	if got := tables(t, db, "s"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Another program in the same database is left alone.
func TestUpBesideAnotherProgram(t *testing.T) {
	t.Parallel()
	db := shared(t)
	if db == nil {
		return
	}
	exec(t, db, `CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now())`,
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, TRUE), (1, TRUE), (20260101000000, TRUE)`,
		`CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE)`, `INSERT INTO users VALUES (1, 'jane@example.com')`,
		`CREATE TABLE encryption_keys (id bigint PRIMARY KEY)`)
	before := tables(t, db, "public")
	d := migrations.Postgres("authsignal")
	for range 2 {
		if err := migrations.Up(t.Context(), db, d); err != nil {
			t.Fatal(err)
		}
	}
	if got := tables(t, db, "public"); !slices.Equal(got, before) {
		t.Errorf("public has %v, had %v", got, before)
	}
	if got := value[string](t, db, `SELECT string_agg(version_id::text, ' ' ORDER BY id) FROM goose_db_version`); got != "0 1 20260101000000" {
		t.Errorf("the other program's versions are %s", got)
	}
	if got := value[int](t, db, `SELECT COUNT(*) FROM authsignal.users`); got != 0 {
		t.Errorf("got %d users", got)
	}
}

// An earlier database that is not whole is not moved, and no new one is made beside
// it.
func TestUpRefusesAnIncompleteEarlierDatabase(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		`DROP TABLE goose_db_version`:                                                   "goose_db_version",
		`DROP TABLE outbox`:                                                             "not its table outbox",
		`DELETE FROM goose_db_version WHERE version_id = 3`:                             "1 2 4 5",
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, TRUE)`:      "999",
		`INSERT INTO goose_db_version (version_id, is_applied) VALUES (20260101, TRUE)`: "20260101",
	} {
		db := shared(t)
		if db == nil {
			return
		}
		d := migrations.Postgres("authsignal")
		if err := d.Earlier(t.Context(), db, d.Newest()); err != nil {
			t.Fatal(err)
		}
		exec(t, db, statement)
		if err := migrations.Up(t.Context(), db, d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to say %q", statement, err, want)
		}
		if got := tables(t, db, "authsignal"); len(got) != 0 {
			t.Errorf("%s: made %v", statement, got)
		}
	}
}

// withRole opens a database by one connection, and creates a role without rights.
func withRole(t *testing.T) (db *sql.DB, role string) {
	t.Helper()
	if db = shared(t); db == nil {
		return nil, ""
	}
	db.SetMaxOpenConns(1)
	role = "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	exec(t, db, `CREATE ROLE `+role)
	t.Cleanup(func() {
		for _, s := range []string{`RESET ROLE`, `DROP OWNED BY ` + role + ` CASCADE`, `DROP ROLE ` + role} {
			if _, err := db.Exec(s); err != nil {
				t.Error(err)
			}
		}
	})
	return db, role
}

// A role that may not create a schema is told what to run, and after that it
// starts.
func TestUpWithoutTheRightToCreateASchema(t *testing.T) {
	t.Parallel()
	db, role := withRole(t)
	if db == nil {
		return
	}
	exec(t, db, `SET ROLE `+role)
	d := migrations.Postgres("authsignal")
	err := migrations.Up(t.Context(), db, d)
	remedy := fmt.Sprintf(`CREATE SCHEMA "authsignal" AUTHORIZATION "%s"`, role)
	if err == nil || !strings.Contains(err.Error(), remedy) {
		t.Fatalf("got %v, want it to say %s", err, remedy)
	}
	exec(t, db, `RESET ROLE`, remedy, `SET ROLE `+role)
	if err := migrations.Up(t.Context(), db, d); err != nil {
		t.Fatal(err)
	}
}

// A role that may use the tables, but not create them, is granted that by one that
// may.
func TestUpGrantsARoleTheTables(t *testing.T) {
	t.Parallel()
	db, role := withRole(t)
	if db == nil {
		return
	}
	d := migrations.Postgres("authsignal")
	if err := migrations.Up(t.Context(), db, d.GrantTo(role)); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `SET ROLE `+role, `INSERT INTO authsignal.encryption_keys (key_id, created_at) VALUES ('k', 1)`)
	if err := migrations.Check(t.Context(), db, d); err != nil {
		t.Error(err)
	}
	exec(t, db, `RESET ROLE`, `INSERT INTO authsignal.authsignal_migrations (version_id, is_applied) VALUES (999, TRUE)`)
	if err := migrations.Check(t.Context(), db, d); !errors.Is(err, migrations.ErrNewer) {
		t.Errorf("got %v", err)
	}
}
