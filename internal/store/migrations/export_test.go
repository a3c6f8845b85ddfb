package migrations

import (
	"context"
	"database/sql"
)

// Steps are the numbers of the steps, in their order.
func (d Dialect) Steps(db *sql.DB) ([]int64, error) {
	p, err := d.provider(db)
	if err != nil {
		return nil, err
	}
	var steps []int64
	for _, s := range p.ListSources() {
		steps = append(steps, s.Version)
	}
	return steps, nil
}

// UpTo runs the steps up to one of them, as an older program did.
func (d Dialect) UpTo(ctx context.Context, db *sql.DB, step int64) error {
	p, err := d.provider(db)
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, step)
	return err
}
