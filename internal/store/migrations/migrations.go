// Package migrations brings a database to the schema of package store. Its steps
// are the SQL files beside it, in the order of their numbers, and step 4, which only
// PostgreSQL needs and which is Dialect.prefixes. A step that has been released is
// never changed.
//
// All steps that a database lacks run in one transaction. So on PostgreSQL the lock
// that makes replicas wait for each other ends with that transaction, behind a
// pooler too: a lock of the session would stay on the connection of the pooler.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed *.sql
var files embed.FS

// ErrNewer: a newer version of this program has migrated the database.
var ErrNewer = errors.New("the database was made by a newer version of this program")

// A Dialect holds the differences between the databases.
type Dialect struct {
	// schema is that of the tables on PostgreSQL; empty on SQLite.
	schema string
	// versions is the table of the steps that have run.
	versions string
	// create creates it.
	create string
	// prefixes are the statements of step 4: indexes that find users by the
	// beginning of a text.
	prefixes []string
	// grantee is a role that may use the tables; see GrantTo.
	grantee string
}

// SQLite is the dialect of SQLite. Its table of versions is that of goose, which
// earlier versions of this program used: they notice a newer database by it.
var SQLite = Dialect{
	versions: `goose_db_version`,
	create: `CREATE TABLE IF NOT EXISTS goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`,
}

// DefaultSchema is the schema of the tables on PostgreSQL, if no other is chosen.
const DefaultSchema = "authsignal"

// Postgres is the dialect of PostgreSQL, with all tables in a schema.
func Postgres(schema string) Dialect {
	versions := pgx.Identifier{schema, "authsignal_migrations"}.Sanitize()
	return Dialect{
		schema:   schema,
		versions: versions,
		create: `CREATE TABLE IF NOT EXISTS ` + versions + ` (
			version_id BIGINT NOT NULL PRIMARY KEY, is_applied BOOLEAN NOT NULL, tstamp TIMESTAMP NOT NULL DEFAULT now())`,
		prefixes: []string{
			`CREATE INDEX users_id_prefix ON users (tenant_id, user_id COLLATE "C")`,
			`CREATE INDEX users_email_prefix ON users (tenant_id, email COLLATE "C", user_id COLLATE "C") WHERE email <> ''`,
			`CREATE INDEX users_phone_number_prefix ON users (tenant_id, phone_number COLLATE "C", user_id COLLATE "C") WHERE phone_number <> ''`,
			`CREATE INDEX users_username_prefix ON users (tenant_id, username COLLATE "C", user_id COLLATE "C") WHERE username <> ''`,
		},
	}
}

// GrantTo returns a dialect whose Up lets a role use the tables, although another
// one creates them.
func (d Dialect) GrantTo(role string) Dialect {
	d.grantee = role
	return d
}

// Hash is a hash of the steps, in hexadecimal.
func (d Dialect) Hash() string {
	h := sha256.New()
	// Embedded files can be read.
	_ = fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, _ error) error {
		text, _ := files.ReadFile(name)
		_, err := fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		return err
	})
	fmt.Fprintf(h, "%q %q", d, newestKeys)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A step brings a database to a version.
type step struct {
	version    int64
	statements []string
}

// steps returns all steps, the oldest first.
func (d Dialect) steps() ([]step, error) {
	// Step 4 has the indexes that find users by the beginning of a text. Indexes of
	// PostgreSQL order texts by the collation of the database, which may separate
	// texts with equal beginnings; those of SQLite need no other.
	steps := []step{{4, d.prefixes}}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s does not begin with a number: %w", name, err)
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{version, []string{string(text)}})
	}
	slices.SortFunc(steps, func(a, b step) int { return int(a.version - b.version) })
	return steps, nil
}

var creates = regexp.MustCompile(`(?m)^\s*CREATE TABLE (\w+)`)

// tables returns the names of the tables that a step creates.
func (s step) tables() (names []string) {
	for _, statement := range s.statements {
		for _, m := range creates.FindAllStringSubmatch(statement, -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// Tables returns the names of all tables.
func (d Dialect) Tables() (names []string) {
	steps, err := d.steps()
	if err != nil {
		return nil
	}
	for _, s := range steps {
		names = append(names, s.tables()...)
	}
	return names
}

// Up runs the steps that the database lacks. On PostgreSQL, it creates the schema
// if it does not exist, and moves the tables of an earlier version to it. If several
// processes call Up at once, one migrates and the others wait for it. It uses one
// connection.
func Up(ctx context.Context, db *sql.DB, d Dialect) error {
	steps, err := d.steps()
	if err == nil {
		err = d.up(ctx, db, steps)
	}
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// Check returns an error if the database is not at the version of this program.
func Check(ctx context.Context, db *sql.DB, d Dialect) error {
	version, err := d.version(ctx, db)
	if err != nil {
		return fmt.Errorf("the version of the database: %w", err)
	}
	return d.Compare(version)
}

// Newest is the version to which Up brings a database.
func (d Dialect) Newest() int64 {
	steps, err := d.steps()
	if err != nil {
		return 0
	}
	return steps[len(steps)-1].version
}

// Version is a query for the version of the database.
func (d Dialect) Version() string { return `SELECT COALESCE(MAX(version_id), 0) FROM ` + d.versions }

// Compare returns an error if a version of a database is not that of this program.
func (d Dialect) Compare(version int64) error {
	switch newest := d.Newest(); {
	case version > newest:
		return fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewer, version, newest)
	case version < newest:
		return fmt.Errorf("the database is at version %d, this program needs %d: it migrates when it starts", version, newest)
	}
	return nil
}

func (d Dialect) version(ctx context.Context, db queryer) (version int64, err error) {
	err = db.QueryRowContext(ctx, d.Version()).Scan(&version)
	return version, err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// up is Up to the last of the steps.
func (d Dialect) up(ctx context.Context, db *sql.DB, steps []step) error {
	// In most cases there is nothing to do, and no lock to wait for.
	newest := steps[len(steps)-1].version
	if version, err := d.version(ctx, db); err == nil && version == newest && d.grantee == "" {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if d.schema != "" {
		if err := d.enter(ctx, tx, steps); err != nil {
			return err
		}
	} else if _, err := tx.ExecContext(ctx, d.create); err != nil {
		return err
	}
	done, err := column[int64](ctx, tx, `SELECT version_id FROM `+d.versions+` WHERE is_applied ORDER BY version_id`)
	if err != nil {
		return err
	}
	if len(done) > 0 && done[len(done)-1] > newest {
		return d.Compare(done[len(done)-1])
	}
	for _, s := range steps {
		if slices.Contains(done, s.version) {
			continue
		}
		for _, statement := range s.statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("step %d: %w", s.version, err)
			}
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO %s (version_id, is_applied) VALUES (%d, TRUE)`, d.versions, s.version)); err != nil {
			return err
		}
	}
	if d.schema != "" {
		if _, err := tx.ExecContext(ctx, newestKeys); err != nil {
			return err
		}
	}
	if d.grantee != "" {
		if err := d.grant(ctx, tx); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// lock is the key of the advisory lock of a transaction that migrates. It is the
// same for all schemas: two may be made of the same tables of an earlier version.
const lock = 7_133_700_002

// enter waits until no other process migrates, and makes the schema that of the
// transaction's unqualified names, with a table of versions in it.
func (d Dialect) enter(ctx context.Context, tx *sql.Tx, steps []step) error {
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, lock)); err != nil {
		return err
	}
	var schema, versions bool
	var role, database string
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
		EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'authsignal_migrations'), current_user, current_database()`, d.schema).
		Scan(&schema, &versions, &role, &database)
	if err != nil {
		return err
	}
	// By the search path of the role: earlier versions of this program used it.
	earlier, err := findEarlier(ctx, tx, steps)
	if err != nil {
		return err
	}
	name := pgx.Identifier{d.schema}.Sanitize()
	if !schema {
		if _, err := tx.ExecContext(ctx, `CREATE SCHEMA `+name); err != nil {
			if !denied(err) {
				return err
			}
			return fmt.Errorf("%w; the role %s may not create the schema of this program. As a role that may, run in the database %s: CREATE SCHEMA %s AUTHORIZATION %s; or name a schema that exists by -db-schema, or such a role by -migrate-db",
				err, role, database, name, pgx.Identifier{role}.Sanitize())
		}
	}
	if _, err := tx.ExecContext(ctx, `SET LOCAL search_path TO `+name); err != nil {
		return err
	}
	if versions {
		return nil
	}
	if _, err := tx.ExecContext(ctx, d.create); err != nil {
		if denied(err) {
			return fmt.Errorf("%w; the role %s may not create tables in the schema %s. As a role that may, run in the database %s: GRANT CREATE, USAGE ON SCHEMA %s TO %s; or name such a role by -migrate-db",
				err, role, name, database, name, pgx.Identifier{role}.Sanitize())
		}
		return err
	}
	if earlier != nil {
		return earlier.move(ctx, tx, d)
	}
	return nil
}

// grant lets the grantee use the schema's tables.
func (d Dialect) grant(ctx context.Context, tx *sql.Tx) error {
	schema, role := pgx.Identifier{d.schema}.Sanitize(), pgx.Identifier{d.grantee}.Sanitize()
	_, err := tx.ExecContext(ctx, `GRANT USAGE ON SCHEMA `+schema+` TO `+role+`;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA `+schema+` TO `+role)
	return err
}

func denied(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501" // insufficient_privilege (PostgreSQL manual, appendix A)
}

// column returns the only column of a query's rows.
func column[T any](ctx context.Context, tx *sql.Tx, query string, args ...any) (list []T, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}
