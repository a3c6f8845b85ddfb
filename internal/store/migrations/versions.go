package migrations

import (
	"context"
	"database/sql"
	"fmt"
)

// Versions returns the version of a database that is not empty, and the newest
// one. It changes nothing.
func Versions(ctx context.Context, db *sql.DB, dialect Dialect) (has, newest int64, err error) {
	p, err := dialect.provider(db)
	if err != nil {
		return 0, 0, fmt.Errorf("read version: %w", err)
	}
	sources := p.ListSources()
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&has)
	if err != nil {
		return 0, 0, fmt.Errorf("read version: %w", err)
	}
	return has, sources[len(sources)-1].Version, nil
}
