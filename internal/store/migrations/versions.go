package migrations

import (
	"context"
	"database/sql"
	"fmt"
)

// Versions returns the version of a database that is not empty, and the newest
// one. It changes nothing.
func Versions(ctx context.Context, db *sql.DB, dialect Dialect) (has, newest int64, err error) {
	has, err = dialect.version(ctx, db)
	if err != nil {
		return 0, 0, fmt.Errorf("read version: %w", err)
	}
	return has, dialect.Newest(), nil
}
