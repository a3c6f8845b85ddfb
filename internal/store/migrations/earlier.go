package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// marks are columns by which the tables of the store are told from those of other
// programs.
var marks = [][2]string{
	{"encryption_keys", "key_id"}, {"signing_keys", "kid"}, {"users", "incarnation"}, {"authenticators", "last_step"}, {"actions", "idempotency_key"},
}

// An earlier database is one of a version that had its tables where the search path
// of its role led, public in most cases, with goose's table of versions.
type earlier struct {
	schema  string
	version int64
	tables  []string
}

// findEarlier returns the earlier database that the search path leads to, or nil. It
// returns an error if that is incomplete, since a new database beside it would have
// no users.
func findEarlier(ctx context.Context, tx *sql.Tx, steps []step) (*earlier, error) {
	var schema sql.NullString
	err := tx.QueryRowContext(ctx, `SELECT (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass('encryption_keys'))`).Scan(&schema)
	if err != nil || !schema.Valid {
		return nil, err
	}
	for _, mark := range marks {
		var there bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped)`, schema.String, mark[0], mark[1]).Scan(&there)
		if err != nil || !there {
			return nil, err
		}
	}
	e := &earlier{schema: schema.String}
	tables, err := column[string](ctx, tx, `SELECT tablename FROM pg_tables WHERE schemaname = $1`, e.schema)
	if err != nil {
		return nil, err
	}
	if slices.Contains(tables, "authsignal_migrations") { // of this version, in the schema of another server
		return nil, nil
	}
	if !slices.Contains(tables, "goose_db_version") {
		return nil, fmt.Errorf("the schema %q has the tables of an earlier version of this program, but not its table goose_db_version: restore it from a backup", e.schema)
	}
	versions, err := column[int64](ctx, tx, `SELECT DISTINCT version_id FROM `+e.table("goose_db_version")+` WHERE is_applied AND version_id > 0 ORDER BY version_id`)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if e.version++; v != e.version || v > steps[len(steps)-1].version {
			return nil, fmt.Errorf("the schema %q has the tables of an earlier version of this program, but its table goose_db_version has the versions %v, of which only 1 to %d are this program's: restore the database from a backup, or remove the versions that another program has added",
				e.schema, versions, steps[len(steps)-1].version)
		}
	}
	for _, s := range steps {
		if s.version <= e.version {
			e.tables = append(e.tables, s.tables()...)
		}
	}
	for _, t := range e.tables {
		if !slices.Contains(tables, t) {
			return nil, fmt.Errorf("the schema %q has the tables of an earlier version of this program, but not its table %s: restore it from a backup", e.schema, t)
		}
	}
	return e, nil
}

func (e *earlier) table(name string) string { return pgx.Identifier{e.schema, name}.Sanitize() }

// retired is a version in goose's table, higher than any, that keeps earlier
// versions of this program from starting on the database. They would find no tables
// and make new ones, in which no user is enrolled.
const retired = 1_000_000_000

// move moves the tables to the schema of a dialect, and their versions to its table.
func (e *earlier) move(ctx context.Context, tx *sql.Tx, d Dialect) error {
	var statements []string
	if e.schema != d.schema {
		for _, t := range e.tables {
			statements = append(statements, `ALTER TABLE `+e.table(t)+` SET SCHEMA `+pgx.Identifier{d.schema}.Sanitize())
		}
	}
	goose := e.table("goose_db_version")
	statements = append(statements,
		`INSERT INTO `+d.versions+` (version_id, is_applied) SELECT DISTINCT version_id, TRUE FROM `+goose+` WHERE is_applied AND version_id > 0`,
		fmt.Sprintf(`INSERT INTO %s (version_id, is_applied) VALUES (%d, TRUE)`, goose, retired))
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("move the tables of an earlier version from the schema %q to %q: %w", e.schema, d.schema, err)
		}
	}
	return nil
}
