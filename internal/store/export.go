package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A tenant is exported row by row, with the names of the tables and columns, so that
// nothing that is stored for it can be forgotten. Secrets are opened; the caller
// seals the whole.

// exported are the tables with rows of a tenant that an export has, in the order in
// which they can be inserted.
var exported = []string{
	"tenants", "action_settings", "tenant_origins", "api_secrets", "webhook_secrets", "users", "authenticators", "failures",
	"recovery_sets", "recovery_codes", "trusted_browsers",
}

// notExported are the other tables with rows of a tenant: what happened on this
// server, events that it has yet to send, and recovery links, which have the address
// of this server.
var notExported = []string{"actions", "action_counts", "audit", "outbox", "recovery_links", "deleted_tenants"}

// A Row is a row of an export: texts, int64, bool, []byte and nil by column. A
// sealed column has its secret, as []byte, and the column of its key is left out.
type Row map[string]any

// sealedIn returns the sealed columns of a table.
func sealedIn(table string) (list []sealedTable) {
	for _, s := range sealedTables {
		if s.name == table {
			list = append(list, s)
		}
	}
	return list
}

// binding is the associated data of a sealed column of a row.
func (s sealedTable) binding(row Row) ([]byte, error) {
	var parts []string
	if s.constant != "" {
		parts = append(parts, s.constant)
	}
	for _, c := range s.columns {
		text, ok := row[c].(string)
		if !ok {
			return nil, fmt.Errorf("column %s is missing", c)
		}
		parts = append(parts, text)
	}
	return bind(parts...), nil
}

// ExportTenant calls yield for each row of a tenant; found is false if the tenant
// does not exist. It reads one state of the database, and keeps one row in memory.
func (s *Store) ExportTenant(ctx context.Context, id string, yield func(table string, row Row) error) (found bool, err error) {
	view := s.View
	if s.pool != nil { // it takes as long as the tenant is large
		view = func(ctx context.Context, id string, fn func(*Tx) error) error {
			return s.unbounded(ctx, id, beginSnapshot, fn)
		}
	}
	err = view(ctx, id, func(tx *Tx) error {
		for _, table := range exported {
			n, err := tx.exportTable(table, yield)
			if err != nil {
				return fmt.Errorf("export %s: %w", table, err)
			}
			if found = found || n > 0; !found { // tenants is the first
				return nil
			}
		}
		return nil
	})
	return found, err
}

func (t *Tx) exportTable(table string, yield func(string, Row) error) (n int, err error) {
	rows, err := t.query(`SELECT * FROM `+table+` WHERE tenant_id = ?`, t.tenant)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return 0, err
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range to {
		to[i] = &values[i]
	}
	sealed := sealedIn(table)
	for ; rows.Next(); n++ {
		if err := rows.Scan(to...); err != nil {
			return n, err
		}
		row := Row{}
		for i, c := range columns {
			row[c] = values[i]
			// SQLite keeps them as numbers.
			if n, ok := values[i].(int64); ok && types[i].DatabaseTypeName() == "BOOLEAN" {
				row[c] = n != 0
			}
		}
		for _, s := range sealed {
			keyID, _ := row[s.keyID].(string)
			delete(row, s.keyID)
			ciphertext, _ := row[s.sealed].([]byte)
			if ciphertext == nil {
				continue
			}
			binding, err := s.binding(row)
			if err != nil {
				return n, err
			}
			secret, err := t.sealer.open(keyID, ciphertext, binding)
			if err != nil {
				return n, err
			}
			row[s.sealed] = []byte(secret)
		}
		if err := yield(table, row); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

// Errors of ImportTenant.
var (
	// ErrTenantExists: the tenant exists, and is not changed.
	ErrTenantExists = errors.New("the tenant exists")
	// ErrBeingErased: a deleted tenant of the id is still being erased.
	ErrBeingErased = errors.New("a tenant of this id was deleted, and its rows are still being erased; try again in some minutes")
	// ErrNewerExport: the export has something that this version does not know.
	ErrNewerExport = errors.New("the export was made by a newer version of this program")
)

// importFlush is how many rows of an import are sent to PostgreSQL at once.
const importFlush = 500

// ImportTenant creates a tenant from the rows of an export, all of it in one
// transaction, and records it in the audit log of the server. next returns the rows,
// and an empty table at their end. It returns the number of rows by table. Users
// get new incarnations, so that no token of an earlier tenant of the id is accepted.
func (s *Store) ImportTenant(ctx context.Context, id string, next func() (table string, row Row, err error), now time.Time) (rows map[string]int64, err error) {
	rows = map[string]int64{}
	update := s.Update
	if s.pool != nil { // it takes as long as the tenant is large
		update = func(ctx context.Context, id string, fn func(*Tx) error) error {
			return s.unbounded(ctx, id, begin, fn)
		}
	}
	err = update(ctx, id, func(tx *Tx) error {
		tx.changed = true
		if err := tx.forgetDeletion(); err != nil {
			return err
		}
		known := map[string][]string{}
		for n := 1; ; n++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			table, row, err := next()
			if err != nil {
				return err
			}
			if table == "" {
				break
			}
			if known[table] == nil {
				if known[table], err = tx.columnsOf(table); err != nil {
					return err
				}
			}
			if err := tx.importRow(table, known[table], row); err != nil {
				return fmt.Errorf("row %d of the export, of %s: %w", n, table, err)
			}
			rows[table]++
			if len(tx.pending) >= importFlush {
				if err := tx.flush(); err != nil {
					return fmt.Errorf("rows before row %d of the export: %w", n, err)
				}
			}
		}
		if rows["tenants"] != 1 {
			return errors.New("the export has no tenant")
		}
		detail := map[string]any{"tenantId": id, "users": rows["users"], "authenticators": rows["authenticators"]}
		return tx.AuditServer(Configured(ChangeTenantImported, detail, now))
	})
	return rows, err
}

// forgetDeletion deletes the record of a deleted tenant whose rows are erased.
func (t *Tx) forgetDeletion() error {
	if _, err := t.exec(`DELETE FROM deleted_tenants WHERE tenant_id = ? AND erased_at IS NOT NULL`, t.tenant); err != nil {
		return fmt.Errorf("read deleted tenants: %w", err)
	}
	_, still, err := t.Deleted()
	if err == nil && still {
		err = ErrBeingErased
	}
	return err
}

// columnsOf returns the columns of a table that an export may have.
func (t *Tx) columnsOf(table string) ([]string, error) {
	if !slices.Contains(exported, table) {
		return nil, fmt.Errorf("%w: it has rows of %.40q", ErrNewerExport, table)
	}
	rows, err := t.query(`SELECT * FROM ` + table + ` LIMIT 0`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
	}
	return columns, rows.Err()
}

func (t *Tx) importRow(table string, known []string, row Row) error {
	if row["tenant_id"] != t.tenant {
		return errors.New("it is of another tenant")
	}
	if table == "users" {
		row["incarnation"] = uuid.NewString()
	}
	for _, s := range sealedIn(table) {
		secret, ok := row[s.sealed].([]byte)
		if row[s.sealed] == nil {
			continue
		}
		binding, err := s.binding(row)
		if err == nil && !ok {
			err = fmt.Errorf("column %s is not a secret", s.sealed)
		}
		if err != nil {
			return err
		}
		row[s.sealed], row[s.keyID] = t.sealer.seal(string(secret), binding), t.sealer.id
	}
	columns := slices.Sorted(maps.Keys(row))
	args := make([]any, len(columns))
	for i, c := range columns {
		if !slices.Contains(known, c) {
			return fmt.Errorf("%w: the column %.40q is not known", ErrNewerExport, c)
		}
		args[i] = row[c]
	}
	query := `INSERT INTO ` + table + ` (` + strings.Join(columns, ", ") + `) VALUES (?` + strings.Repeat(", ?", len(columns)-1) + `)`
	var taken error
	switch table {
	case "tenants":
		taken = ErrTenantExists
	case "api_secrets":
		taken = ErrSecretTaken
	default:
		return t.queue(write{table: table, query: query, args: args})
	}
	n, err := t.exec(query+` ON CONFLICT DO NOTHING`, args...)
	if err == nil && n == 0 {
		err = taken
	}
	return err
}
