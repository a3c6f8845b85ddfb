// Package storetest gives tests a database of their own: a SQLite file, or,
// when AUTHSIGNAL_TEST_POSTGRES has the URL of a PostgreSQL (.ci/with-postgres
// starts a throwaway one), a new database there.
package storetest

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	_ "modernc.org/sqlite"             // the "sqlite" driver
)

// Postgres reports whether the tests run on PostgreSQL.
func Postgres() bool { return os.Getenv("AUTHSIGNAL_TEST_POSTGRES") != "" }

// Database names an empty database for store.Open; it is gone after the test.
func Database(t testing.TB) string {
	t.Helper()
	if !Postgres() {
		return filepath.Join(t.TempDir(), "authsignal.db")
	}
	u, err := url.Parse(os.Getenv("AUTHSIGNAL_TEST_POSTGRES"))
	if err != nil {
		t.Fatal("AUTHSIGNAL_TEST_POSTGRES is not a URL")
	}
	name := "test_" + uuid.NewString()
	admin(t, u.String(), fmt.Sprintf(`CREATE DATABASE %q`, name))
	t.Cleanup(func() { admin(t, u.String(), fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, name)) })
	db := *u
	db.Path = "/" + name
	return db.String()
}

func admin(t testing.TB, url, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// Exec runs a statement on a database behind the back of whoever has it open.
func Exec(t testing.TB, database, statement string) {
	t.Helper()
	driver, dsn := "sqlite", "file:"+(&url.URL{Path: database}).EscapedPath()+"?_pragma=busy_timeout(5000)"
	if strings.HasPrefix(database, "postgres://") {
		driver, dsn = "pgx", database
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
