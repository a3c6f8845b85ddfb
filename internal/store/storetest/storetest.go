// Package storetest gives tests a database of their own: a SQLite file, or,
// when AUTHSIGNAL_TEST_POSTGRES has the URL of a PostgreSQL (.ci/with-postgres
// starts a throwaway one), a new database there.
package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	_ "modernc.org/sqlite"             // the "sqlite" driver

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// Postgres reports whether the tests run on PostgreSQL.
func Postgres() bool { return os.Getenv("AUTHSIGNAL_TEST_POSTGRES") != "" }

// Database creates a database with the schema and no rows, and drops it after the
// test. It returns the name for store.Open. The database is a copy, which takes a
// tenth of the time of the migrations.
func Database(t testing.TB) string {
	t.Helper()
	if Postgres() {
		template, err := postgresTemplate()
		if err != nil {
			t.Fatal(err)
		}
		return create(t, template)
	}
	template, err := sqliteTemplate()
	if err != nil {
		t.Fatal(err)
	}
	path := Empty(t)
	if err := os.WriteFile(path, template, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Empty is Database without the schema.
func Empty(t testing.TB) string {
	t.Helper()
	if Postgres() {
		return create(t, "template0")
	}
	return filepath.Join(t.TempDir(), "authsignal.db")
}

// Key is the encryption key of the databases that Open opens.
var Key = bytes.Repeat([]byte{1}, 32)

// Open opens a database with Key, and closes it after the test. It is given
// store.Open: this package cannot import the store, whose own tests use it.
func Open[Store io.Closer](t testing.TB, database string, open func(context.Context, string, func(fresh bool) ([][]byte, error)) (Store, error)) Store {
	t.Helper()
	st, err := open(t.Context(), database, func(bool) ([][]byte, error) { return [][]byte{Key}, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// sqliteTemplate is the content of a file with the schema.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "authsignal-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "template.db")
	if err := migrate("sqlite", "file:"+file, migrations.SQLite); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// postgresTemplate is the name of a database with the schema, which the processes
// of all tests share. Nothing connects to it, since a database with connections
// cannot be copied.
var postgresTemplate = sync.OnceValues(func() (string, error) {
	ctx := context.Background()
	db, err := admin()
	if err != nil {
		return "", err
	}
	c, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	const lock = 7_133_700_001
	if _, err := c.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, lock); err != nil {
		return "", err
	}
	defer c.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, lock)

	name := "test_template_" + migrations.Postgres(migrations.DefaultSchema).Hash()[:16]
	var there bool
	err = c.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&there)
	if err != nil || there {
		return name, err
	}
	// It gets its name when it is complete.
	draft := "test_" + uuid.NewString()
	if _, err := c.ExecContext(ctx, fmt.Sprintf(`CREATE DATABASE %q`, draft)); err != nil {
		return "", err
	}
	if err := migrate("pgx", databaseURL(draft), migrations.Postgres(migrations.DefaultSchema)); err != nil {
		return "", err
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf(`ALTER DATABASE %q RENAME TO %q`, draft, name))
	return name, err
})

func migrate(driver, dsn string, dialect migrations.Dialect) error {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	return errors.Join(migrations.Up(context.Background(), db, dialect), db.Close())
}

// admin is a connection that creates and drops databases.
var admin = sync.OnceValues(func() (*sql.DB, error) {
	return sql.Open("pgx", os.Getenv("AUTHSIGNAL_TEST_POSTGRES"))
})

// create creates a PostgreSQL database, a copy of another, and drops it after the
// test. It returns its URL.
func create(t testing.TB, template string) string {
	t.Helper()
	db, err := admin()
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + uuid.NewString()
	// Copying files is ten times as fast as writing through the log.
	if _, err := db.Exec(fmt.Sprintf(`CREATE DATABASE %q TEMPLATE %q STRATEGY FILE_COPY`, name, template)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name)); err != nil {
			t.Error(err)
		}
	})
	return databaseURL(name)
}

// databaseURL is the URL of a database on the tests' server.
func databaseURL(name string) string {
	u, err := url.Parse(os.Getenv("AUTHSIGNAL_TEST_POSTGRES"))
	if err != nil {
		panic("AUTHSIGNAL_TEST_POSTGRES is not a URL") // sql.Open has parsed it
	}
	u.Path = "/" + name
	return u.String()
}

// Connect opens a database beside the store, and closes it after the test. On
// PostgreSQL names without a schema are those of the store.
func Connect(t testing.TB, database string) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", "file:"+(&url.URL{Path: database}).EscapedPath()+"?_pragma=busy_timeout(5000)"
	if strings.HasPrefix(database, "postgres://") {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal("the database's URL cannot be parsed")
		}
		q := u.Query()
		q.Set("search_path", migrations.DefaultSchema+",public")
		u.RawQuery = q.Encode()
		driver, dsn = "pgx", u.String()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Exec runs a statement on a database by a connection of its own.
func Exec(t testing.TB, database, statement string) {
	t.Helper()
	db := Connect(t, database)
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// Rows is how many rows Fill inserts of each kind: AUTHSIGNAL_TEST_ROWS, or enough
// for a planner to use indexes.
func Rows(t testing.TB) int {
	t.Helper()
	text := os.Getenv("AUTHSIGNAL_TEST_ROWS")
	if text == "" {
		return 5_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("AUTHSIGNAL_TEST_ROWS is %q", text)
	}
	return n
}

// Fill inserts rows users, actions and audit lines of a tenant, over the 30 days
// before now, and a tenth as many of another tenant, and has the database collect
// statistics for its planner. One action in 1000 is blocked. The users are named
// user-0 and so on; each has an authenticator, an e-mail address, a phone number
// and a user name.
func Fill(t testing.TB, database, tenant string, rows int, now time.Time) {
	t.Helper()
	const series = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `
	const month = 30 * 24 * 3600 * 1000
	for i, tenant := range []string{tenant, tenant + "-other"} {
		if i == 1 {
			rows = max(rows/10, 1)
		}
		at := fmt.Sprintf("(%d - CAST(i AS BIGINT) * %d / %d)", now.UnixMilli(), month, rows)
		numbers := fmt.Sprintf(series, rows-1)
		// Four hexadecimal digits that look random.
		random := "''"
		for _, by := range []int{16, 256, 4096, 65536} {
			random += fmt.Sprintf(` || SUBSTR('0123456789abcdef', CAST(CAST(i AS BIGINT) * 2654435761 / %d %% 16 AS INTEGER) + 1, 1)`, by)
		}
		for _, statement := range []string{
			`INSERT INTO users (tenant_id, user_id, email, phone_number, username, incarnation, created_at) ` + numbers + `
				SELECT '` + tenant + `', 'user-' || i, 'mail-' || i || '@example.com', '+1555' || i, 'name-' || i, ` + random + `, ` + at + ` FROM n`,
			`INSERT INTO actions (tenant_id, user_id, action, idempotency_key, state, outcome, created_at, state_updated_at) ` + numbers + `
				SELECT '` + tenant + `', 'user-' || (i * 7 % ` + strconv.Itoa(rows) + `), CASE WHEN i % 3 = 0 THEN 'pay' ELSE 'signIn' END, 'key-' || i,
					CASE WHEN i % 1000 = 999 THEN 'BLOCK' WHEN i % 4 = 0 THEN 'ALLOW' ELSE 'CHALLENGE_SUCCEEDED' END,
					CASE WHEN i % 1000 = 999 THEN 'BLOCK' WHEN i % 4 = 0 THEN 'ALLOW' ELSE 'CHALLENGE' END, ` + at + `, ` + at + ` FROM n`,
			`INSERT INTO audit (tenant_id, audit_id, at, kind, user_id, action, idempotency_key) ` + numbers + `
				SELECT '` + tenant + `', 'audit-' || (` + strconv.Itoa(2*rows) + ` - i), ` + at + `, CASE WHEN i % 1000 = 999 THEN 'code.unseen' ELSE 'code.accepted' END,
					'user-' || (i * 7 % ` + strconv.Itoa(rows) + `), CASE WHEN i % 3 = 0 THEN 'pay' ELSE 'signIn' END, 'key-' || i FROM n`,
			`INSERT INTO action_counts (tenant_id, hour, action, state, shard, n)
				SELECT tenant_id, created_at / 3600000 * 3600000, action, state, 0, COUNT(*) FROM actions
				WHERE tenant_id = '` + tenant + `' GROUP BY tenant_id, created_at / 3600000 * 3600000, action, state`,
			`INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, created_at, verified_at)
				` + numbers + ` SELECT '` + tenant + `', 'authenticator-' || i, 'user-' || i, 'SMS', 1, 1 FROM n`,
		} {
			Exec(t, database, statement)
		}
	}
	Exec(t, database, `ANALYZE`)
}
