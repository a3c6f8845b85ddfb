// Package migrations brings a database to the schema of package store. Its steps
// are the SQL files beside it, in the order of their numbers, and prefixes. A
// step that has been released is never changed.
package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// ErrNewer: a newer version of this program has migrated the database.
var ErrNewer = errors.New("the database was made by a newer version of this program")

// A Dialect holds the differences between the databases.
type Dialect struct {
	goose goose.Dialect
	// locked makes one process migrate and the others wait.
	locked bool
	// prefixes are the statements of the step of that name.
	prefixes []string
}

// The dialects.
var (
	SQLite   = Dialect{goose: goose.DialectSQLite3}
	Postgres = Dialect{goose: goose.DialectPostgres, locked: true, prefixes: []string{
		`CREATE INDEX users_id_prefix ON users (tenant_id, user_id COLLATE "C")`,
		`CREATE INDEX users_email_prefix ON users (tenant_id, email COLLATE "C", user_id COLLATE "C") WHERE email <> ''`,
		`CREATE INDEX users_phone_number_prefix ON users (tenant_id, phone_number COLLATE "C", user_id COLLATE "C") WHERE phone_number <> ''`,
		`CREATE INDEX users_username_prefix ON users (tenant_id, username COLLATE "C", user_id COLLATE "C") WHERE username <> ''`,
	}}
)

// Hash is a hash of the steps, in hexadecimal.
func (d Dialect) Hash() string {
	h := sha256.New()
	// Embedded files can be read.
	_ = fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, _ error) error {
		text, _ := files.ReadFile(name)
		_, err := fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		return err
	})
	fmt.Fprintf(h, "%q", append(d.prefixes, newestKeys))
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Up runs the steps that the database lacks, each in a transaction.
func Up(ctx context.Context, db *sql.DB, dialect Dialect) error {
	p, err := dialect.provider(db)
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if dialect.locked {
		if _, err := db.ExecContext(ctx, newestKeys); err != nil {
			return fmt.Errorf("migrate database: %w", err)
		}
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewer, current, target)
	}
	return nil
}

func (d Dialect) provider(db *sql.DB) (*goose.Provider, error) {
	options := []goose.ProviderOption{
		goose.WithSlog(slog.New(slog.DiscardHandler)),
		goose.WithGoMigrations(prefixes(d.prefixes)),
	}
	if d.locked {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(d.goose, db, files, options...)
}

// prefixes is step 4: indexes that find users by the beginning of a text. Indexes
// of PostgreSQL order texts by the collation of the database, which may separate
// texts with equal beginnings; those of SQLite need no other.
func prefixes(statements []string) *goose.Migration {
	up := func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
	return goose.NewGoMigration(4, &goose.GoFunc{RunTx: up}, nil)
}
