package store

import (
	"database/sql"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "modernc.org/sqlite" // the "sqlite" driver, in pure Go

	"github.com/authsignal-wasm/sdk/internal/store/migrations"
)

// A dialect holds all differences between the databases. Migrations and queries
// are the same text for both.
type dialect struct {
	migrations migrations.Dialect
	// schema is that of all tables on PostgreSQL; empty on SQLite.
	schema string
	// forUpdate makes a SELECT lock its rows until the end of a writing
	// transaction. SQLite has one writer and needs none.
	forUpdate string
	// forKeyShare makes a SELECT wait for transactions that change its rows, and
	// keeps others from it until the end of the transaction.
	forKeyShare string
	// snapshot makes a transaction of database/sql that only reads see one state
	// of the database. SQLite's always do.
	snapshot sql.IsolationLevel
	// alone is a statement that keeps other processes from starting on the
	// database until the end of the transaction. SQLite has the process lock.
	alone string
	// prepare keeps prepared statements. SQLite would parse each one every
	// time; pgx keeps them itself.
	prepare bool
	// binary makes the column before it compare by its bytes, whatever the
	// collation of the database. SQLite's texts do.
	binary string
	// indexedBy makes a query use an index. SQLite estimates badly how many rows
	// lie between two parameters; PostgreSQL plans with their values.
	indexedBy func(index string) string
	// shard spreads the rows of transactions that count the same thing.
	shard string
	// noTable reports whether an error is that of a table that does not exist.
	noTable func(error) bool
	// rebind writes the ? of a query in the syntax of the database.
	rebind func(query string) string
}

var sqlite = &dialect{
	migrations: migrations.SQLite,
	prepare:    true,
	indexedBy:  func(index string) string { return " INDEXED BY " + index },
	shard:      "0",
	noTable:    func(err error) bool { return strings.Contains(err.Error(), "no such table") },
	rebind:     func(query string) string { return query },
}

// postgresIn is the dialect of PostgreSQL with all tables in a schema.
func postgresIn(schema string) *dialect {
	var rebound sync.Map // there are a few dozen queries
	return &dialect{
		migrations:  migrations.Postgres(schema),
		schema:      schema,
		forUpdate:   " FOR UPDATE",
		forKeyShare: " FOR KEY SHARE",
		snapshot:    sql.LevelRepeatableRead,
		alone:       `LOCK TABLE encryption_keys IN EXCLUSIVE MODE`,
		binary:      ` COLLATE "C"`,
		indexedBy:   func(string) string { return "" },
		// Each connection of PostgreSQL has its own process.
		shard: "pg_backend_pid() % 16",
		noTable: func(err error) bool {
			var e *pgconn.PgError
			return errors.As(err, &e) && (e.Code == "42P01" || e.Code == "3F000") // undefined table or schema
		},
		rebind: func(query string) string {
			if q, ok := rebound.Load(query); ok {
				return q.(string)
			}
			q := qualified(numbered(query), schema)
			rebound.Store(query, q)
			return q
		},
	}
}

// numbered writes each ? as $1, $2 and so on. No query has a ? in a literal.
func numbered(query string) string {
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

// tableNames matches the names of the store's tables where SQL has that of a table;
// the names of columns may be the same.
var tableNames = func() *regexp.Regexp {
	names := migrations.SQLite.Tables()
	return regexp.MustCompile(`\b(FROM|JOIN|INTO|UPDATE|USING|TABLE|VACUUM)(\s+)(` + strings.Join(names, "|") + `)\b`)
}()

// qualified writes the names of tables with their schema. A search path would be
// state of the session, which a pooler may not keep; with a name that is not
// qualified the statement fails, since no other schema has these tables.
func qualified(query, schema string) string {
	return tableNames.ReplaceAllString(query, "$1$2"+pgx.Identifier{schema}.Sanitize()+".$3")
}
