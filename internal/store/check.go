package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/migrations"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// An Inspection is how Check looks at a database.
type Inspection struct {
	Now time.Time
	// Ahead returns how many steps the newest accepted step of an authenticator is in
	// the future, or 0.
	Ahead func(a Authenticator, now time.Time) int64
	// Report receives each finding: one line, which names rows and holds no secret.
	Report func(finding string)
}

// maxExamples is how many findings of one kind are reported one by one.
const maxExamples = 10

// Check looks for what no transaction of this program leaves behind: secrets that
// do not open, rows without the rows that they belong to, counts that differ from
// what they count. It returns the number of findings; an error means that it could
// not look. It reads one state of the database, beside servers that may be running,
// and its memory does not depend on the number of rows.
func (s *Store) Check(ctx context.Context, i Inspection) (int, error) {
	c := &check{ctx: ctx, store: s, Inspection: i}
	if current, err := c.current(); err != nil || !current {
		return c.findings, err
	}
	return s.check(ctx, i, allParts...)
}

// allParts are all parts of Check.
var allParts = []func(*check) error{
	(*check).file, (*check).keys, (*check).secrets, (*check).authenticators, (*check).tenants, (*check).documents, (*check).rows, (*check).future,
}

// check is Check of a current database, in parts.
func (s *Store) check(ctx context.Context, i Inspection, parts ...func(*check) error) (findings int, err error) {
	c := &check{ctx: ctx, store: s, Inspection: i}
	if c.tx, err = s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.dialect.snapshot}); err != nil {
		return 0, fmt.Errorf("check: %w", err)
	}
	defer c.tx.Rollback() // it has written nothing
	for _, part := range parts {
		if err := part(c); err != nil {
			return c.findings, fmt.Errorf("check: %w", err)
		}
	}
	return c.findings, nil
}

// A check is a run of Check.
type check struct {
	Inspection
	ctx      context.Context
	store    *Store
	tx       *sql.Tx
	findings int
}

// found reports a finding.
func (c *check) found(format string, args ...any) {
	c.findings++
	c.Report(fmt.Sprintf(format, args...))
}

// A kind reports findings of one kind: the first ones one by one, the others by
// their number.
type kind struct {
	*check
	n int
}

func (k *kind) found(format string, args ...any) {
	if k.n++; k.n <= maxExamples {
		k.check.found(format, args...)
	}
}

// end reports how many findings there are beside the first ones.
func (k *kind) end(what string) {
	if more := k.n - maxExamples; more > 0 {
		k.check.found("%s: %d more", what, more)
	}
}

// each calls fn for each row of a query.
func (c *check) each(fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := c.tx.QueryContext(c.ctx, c.store.dialect.rebind(query), args...)
	if err != nil {
		return err
	}
	return eachRow(rows, fn)
}

// none reports each row of a query, which finds what must not exist, with the names
// of its columns.
func (c *check) none(what, query string, args ...any) error {
	k := &kind{check: c}
	err := c.each(func(rows *sql.Rows) error {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		for i, v := range values {
			switch v := v.(type) {
			case string:
				columns[i] += fmt.Sprintf(" %q", v)
			case []byte:
				columns[i] += fmt.Sprintf(" %q", v)
			default:
				columns[i] += fmt.Sprintf(" %v", v)
			}
		}
		k.found("%s: %s", what, strings.Join(columns, ", "))
		return nil
	}, query, args...)
	k.end(what)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// current reports whether the database has the schema of this program.
func (c *check) current() (bool, error) {
	empty, err := c.store.empty(c.ctx)
	if err != nil {
		return false, fmt.Errorf("check: %w", err)
	}
	if empty {
		c.found("the database is empty: no server has used it yet")
		return false, nil
	}
	has, wants, err := migrations.Versions(c.ctx, c.store.db, c.store.dialect.migrations)
	if err != nil {
		return false, fmt.Errorf("check: %w", err)
	}
	if has > wants {
		return false, fmt.Errorf("%w: it is at version %d, this program knows %d", ErrNewer, has, wants)
	}
	if has < wants {
		c.found("the schema is at version %d and this program's at %d: the next start migrates it, check it afterwards", has, wants)
		return false, nil
	}
	return true, nil
}

// file has SQLite look at its file.
func (c *check) file() error {
	if c.store.dialect != sqlite {
		return nil
	}
	damaged := &kind{check: c}
	err := c.each(func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			damaged.found("the file is damaged: %s", text)
		}
		return nil
	}, fmt.Sprintf(`PRAGMA integrity_check(%d)`, maxExamples))
	if err != nil {
		return err
	}
	orphans := &kind{check: c}
	err = c.each(func(rows *sql.Rows) error {
		var table, parent string
		var rowID sql.NullInt64 // null if the table has none
		var constraint int
		if err := rows.Scan(&table, &rowID, &parent, &constraint); err != nil {
			return err
		}
		orphans.found("a row of %s belongs to no row of %s: rowid %d", table, parent, rowID.Int64)
		return nil
	}, `PRAGMA foreign_key_check`)
	orphans.end("rows that belong to no row")
	return err
}

// keys compares the recorded encryption keys with those that are given.
func (c *check) keys() error {
	return c.each(func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if _, ok := c.store.sealer.aead[id]; !ok {
			c.found("the encryption key %s, which the database was used with, is not given", id)
		}
		return nil
	}, `SELECT key_id FROM encryption_keys ORDER BY key_id`)
}

// secrets opens all sealed secrets but those of authenticators.
func (c *check) secrets() error {
	for _, table := range sealedTables {
		if table.name == "authenticators" {
			continue
		}
		k := &kind{check: c}
		err := c.each(func(rows *sql.Rows) error {
			var sealed []byte
			var keyID sql.NullString
			parts := make([]string, len(table.columns))
			to := []any{&sealed, &keyID}
			for i := range parts {
				to = append(to, &parts[i])
			}
			var sum []byte
			if table.name == "api_secrets" {
				to = append(to, &sum)
			}
			if err := rows.Scan(to...); err != nil {
				return err
			}
			where := make([]string, len(parts))
			for i, part := range parts {
				where[i] = fmt.Sprintf("%s %q", table.columns[i], part)
			}
			if table.constant != "" {
				parts = append([]string{table.constant}, parts...)
			}
			secret, err := c.store.sealer.open(keyID.String, sealed, bind(parts...))
			if err != nil {
				k.found("%s of %s: %s: %v", table.sealed, table.name, strings.Join(where, ", "), err)
				return nil
			}
			if want := sha256.Sum256([]byte(secret)); sum != nil && !bytes.Equal(sum, want[:]) {
				k.found("an API secret key is found by another key: %s", strings.Join(where, ", "))
			}
			return nil
		}, table.query())
		k.end("secrets of " + table.name)
		if err != nil {
			return err
		}
	}
	return c.signingKeys()
}

// query selects the sealed secrets of a table.
func (table sealedTable) query() string {
	columns := append([]string{table.sealed, table.keyID}, table.columns...)
	if table.name == "api_secrets" {
		columns = append(columns, "secret_sum")
	}
	return `SELECT ` + strings.Join(columns, ", ") + ` FROM ` + table.name + ` WHERE ` + table.sealed + ` IS NOT NULL`
}

// signingKeys looks at the times of the signing keys: all but the last one end.
func (c *check) signingKeys() error {
	endless := 0
	last := sql.NullInt64{}
	var lastID string
	err := c.each(func(rows *sql.Rows) error {
		if err := rows.Scan(&lastID, &last); err != nil {
			return err
		}
		if !last.Valid {
			endless++
		}
		return nil
	}, `SELECT kid, verifies_until FROM signing_keys ORDER BY signs_from, created_at, kid`)
	if err == nil && lastID != "" && (endless != 1 || last.Valid) {
		c.found("of the signing keys, the last one and no other must verify without an end: the last one is %q, and %d have no end", lastID, endless)
	}
	return err
}

// authenticators opens the secrets of all authenticator apps and looks at their
// steps.
func (c *check) authenticators() error {
	wrong, ahead := &kind{check: c}, &kind{check: c}
	err := c.each(func(rows *sql.Rows) error {
		var tenant string
		a, err := scanAuthenticator(extended{rows, &tenant})
		if err != nil {
			return err
		}
		where := fmt.Sprintf("tenant_id %q, user_id %q, user_authenticator_id %q", tenant, a.UserID, a.ID)
		if isApp := a.Method == api.AuthenticatorApp; isApp != (a.sealed != nil) || (a.keyID != "") != (a.sealed != nil) {
			wrong.found("an authenticator has a secret that its method has not, or none: %s", where)
		}
		if a.Failures < 0 || a.LastStep < -1 {
			wrong.found("an authenticator has a negative count of failures or step: %s", where)
		}
		if a.sealed == nil {
			if a.LastStep >= 0 {
				wrong.found("an authenticator without a secret has accepted a step: %s", where)
			}
			return nil
		}
		secret, err := c.store.sealer.open(a.keyID, a.sealed, bind(tenant, a.UserID, a.ID))
		if err == nil {
			_, err = totp.Code(secret, 0, a.Parameters)
		}
		if err != nil {
			wrong.found("an authenticator makes no codes: %s: %v", where, err)
			return nil
		}
		switch n := c.Ahead(a, c.Now); {
		case n > 0:
			ahead.found("the newest accepted step of an authenticator is %d steps in the future, because the clock of a server was ahead; right codes are refused until an operator unlocks it: %s", n, where)
		case a.LastStep >= 0 && !a.Verified():
			wrong.found("an authenticator has accepted a step, but is pending: %s", where)
		case !a.LastVerifiedAt.IsZero() && c.Ahead(a, a.LastVerifiedAt) > 0:
			wrong.found("the newest accepted step of an authenticator is later than its last verification: %s", where)
		}
		return nil
	}, `SELECT tenant_id, `+authenticatorColumns+` FROM authenticators`)
	wrong.end("authenticators")
	ahead.end("authenticators with a step in the future")
	return err
}

// extended is a row with another column before those that are scanned.
type extended struct {
	row
	first any
}

func (e extended) Scan(dest ...any) error { return e.row.Scan(append([]any{e.first}, dest...)...) }

// tenants reads what decides about users: the settings of tenants and actions.
func (c *check) tenants() error {
	err := c.each(func(rows *sql.Rows) error {
		var id, settings, branding, policy, links, plain string
		if err := rows.Scan(&id, &settings, &branding, &policy, &links, &plain); err != nil {
			return err
		}
		a := api.DefaultAuthenticatorSettings("")
		if err := json.Unmarshal([]byte(settings), &a); err != nil {
			c.found("the settings of a tenant cannot be read: tenant_id %q", id)
		}
		if err := json.Unmarshal([]byte(branding), new(api.Branding)); err != nil {
			c.found("the branding of a tenant cannot be read: tenant_id %q", id)
		}
		if policy != "" && json.Unmarshal([]byte(policy), new(api.EnrollmentPolicy)) != nil {
			c.found("the enrollment policy of a tenant cannot be read: tenant_id %q", id)
		}
		if err := json.Unmarshal([]byte(links), new(api.RecoveryLinkSettings)); err != nil {
			c.found("the settings of a tenant for recovery links cannot be read: tenant_id %q", id)
		}
		if plain != "" {
			c.found("the webhook URL of a tenant is not sealed: tenant_id %q", id)
		}
		return nil
	}, `SELECT tenant_id, authenticator, branding, enrollment_policy, recovery_links, webhook_url FROM tenants`)
	if err != nil {
		return err
	}
	k := &kind{check: c}
	err = c.each(func(rows *sql.Rows) error {
		var id, action, settings string
		if err := rows.Scan(&id, &action, &settings); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(settings), new(api.ActionSettings)); err != nil {
			k.found("the settings of an action cannot be read: tenant_id %q, action %q", id, action)
		}
		return nil
	}, `SELECT tenant_id, action, settings FROM action_settings`)
	k.end("settings of actions")
	return err
}

// documents looks for columns that must hold JSON and do not.
func (c *check) documents() error {
	for _, d := range []struct{ table, column, usual, key string }{
		{"users", "custom", "{}", "user_id"},
		{"actions", "custom", "{}", "idempotency_key"},
		{"actions", "rules", "[]", "idempotency_key"},
		{"audit", "detail", "{}", "audit_id"},
	} {
		k := &kind{check: c}
		err := c.each(func(rows *sql.Rows) error {
			var tenant, id string
			var text []byte
			if err := rows.Scan(&tenant, &id, &text); err != nil {
				return err
			}
			if !json.Valid(text) {
				k.found("the column %s of %s is not JSON: tenant_id %q, %s %q", d.column, d.table, tenant, d.key, id)
			}
			return nil
		}, `SELECT tenant_id, `+d.key+`, `+d.column+` FROM `+d.table+` WHERE `+d.column+` <> ?`, d.usual)
		k.end("JSON of " + d.table)
		if err != nil {
			return err
		}
	}
	return nil
}

// countedDays is for how many days before now Check compares the counts of actions
// with the actions: less than any retention.
const countedDays = 29

// ofTenants are the tables whose rows belong to a tenant, but to no row that does.
var ofTenants = []string{
	"users", "actions", "action_settings", "action_counts", "api_secrets", "webhook_secrets", "tenant_origins", "outbox", "audit",
}

// rows looks for rows that contradict each other.
func (c *check) rows() error {
	for _, table := range ofTenants {
		err := c.none("rows of "+table+" belong to no tenant", `
			SELECT tenant_id, COUNT(*) AS n FROM `+table+` WHERE tenant_id <> '' GROUP BY tenant_id
			HAVING NOT EXISTS (SELECT 1 FROM tenants WHERE tenants.tenant_id = `+table+`.tenant_id)
				AND NOT EXISTS (SELECT 1 FROM deleted_tenants d WHERE d.tenant_id = `+table+`.tenant_id AND d.erased_at IS NULL)`)
		if err != nil {
			return err
		}
	}
	since := c.Now.Add(-countedDays * 24 * time.Hour)
	for _, q := range []struct {
		what, query string
		args        []any
	}{
		{"an authenticator belongs to no user", `
			SELECT tenant_id, user_id, user_authenticator_id FROM authenticators a
			WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = a.tenant_id AND u.user_id = a.user_id)`, nil},
		{"a refused code belongs to no authenticator", `
			SELECT tenant_id, user_authenticator_id, failed_at FROM failures f
			WHERE NOT EXISTS (SELECT 1 FROM authenticators a
				WHERE a.tenant_id = f.tenant_id AND a.user_authenticator_id = f.user_authenticator_id)`, nil},
		{"recovery codes belong to no user", `
			SELECT tenant_id, user_id, set_id FROM recovery_sets s
			WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = s.tenant_id AND u.user_id = s.user_id)`, nil},
		{"a recovery code belongs to no set", `
			SELECT tenant_id, set_id, COUNT(*) AS codes FROM recovery_codes c GROUP BY tenant_id, set_id
			HAVING NOT EXISTS (SELECT 1 FROM recovery_sets s WHERE s.tenant_id = c.tenant_id AND s.set_id = c.set_id)`, nil},
		{"a trusted browser belongs to no user", `
			SELECT tenant_id, user_id, browser_id FROM trusted_browsers b
			WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = b.tenant_id AND u.user_id = b.user_id)`, nil},
		{"a trusted browser is of a later epoch than its user", `
			SELECT b.tenant_id, b.user_id, b.browser_id, b.epoch, u.epoch AS epoch_of_user
			FROM trusted_browsers b JOIN users u ON u.tenant_id = b.tenant_id AND u.user_id = b.user_id
			WHERE b.epoch > u.epoch`, nil},
		{"an action is trusted and not ALLOW or CHALLENGE_SUCCEEDED", `
			SELECT tenant_id, user_id, action, idempotency_key, state FROM actions
			WHERE trusted AND state NOT IN ('ALLOW', 'CHALLENGE_SUCCEEDED')`, nil},
		{"a recovery link belongs to no user", `
			SELECT tenant_id, user_id, link_id FROM recovery_links l
			WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = l.tenant_id AND u.user_id = l.user_id AND u.incarnation = l.incarnation)`, nil},
		{"a recovery link was used without the approval that it needs", `
			SELECT tenant_id, user_id, link_id FROM recovery_links WHERE needs_approval AND used_at IS NOT NULL AND approved_at IS NULL`, nil},
		{"the count of refused codes of an authenticator differs from those recorded", `
			SELECT a.tenant_id, a.user_id, a.user_authenticator_id, a.failures, COALESCE(f.n, 0) AS recorded
			FROM authenticators a LEFT JOIN (
				SELECT tenant_id, user_authenticator_id, COUNT(*) AS n FROM failures GROUP BY tenant_id, user_authenticator_id
			) f ON f.tenant_id = a.tenant_id AND f.user_authenticator_id = a.user_authenticator_id
			WHERE a.failures <> COALESCE(f.n, 0)`, nil},
		{"a user has more than one default authenticator", `
			SELECT tenant_id, user_id, COUNT(*) AS defaults FROM authenticators
			WHERE is_default GROUP BY tenant_id, user_id HAVING COUNT(*) > 1`, nil},
		{"a user has no incarnation", `
			SELECT tenant_id, user_id FROM users WHERE incarnation = ''`, nil},
		{"an action is of a later epoch than its user", `
			SELECT a.tenant_id, a.user_id, a.action, a.idempotency_key, a.epoch, u.epoch AS epoch_of_user
			FROM actions a JOIN users u ON u.tenant_id = a.tenant_id AND u.user_id = a.user_id AND u.incarnation = a.incarnation
			WHERE a.epoch > u.epoch`, nil},
		{"an action has an unknown state", `
			SELECT tenant_id, user_id, action, idempotency_key, state FROM actions WHERE state NOT IN (` + quoted(api.States) + `)`, nil},
		{"more actions are in a state than were counted", `
			SELECT a.tenant_id, a.action, a.state, a.n, COALESCE(c.n, 0) AS counted
			FROM (SELECT tenant_id, action, state, COUNT(*) AS n FROM actions WHERE created_at >= ? GROUP BY tenant_id, action, state) a
			LEFT JOIN (SELECT tenant_id, action, state, CAST(SUM(n) AS BIGINT) AS n FROM action_counts WHERE hour >= ? GROUP BY tenant_id, action, state) c
				ON c.tenant_id = a.tenant_id AND c.action = a.action AND c.state = a.state
			WHERE a.n > COALESCE(c.n, 0)`, []any{millis(since), millis(since.Truncate(time.Hour))}},
		{"a count of actions is not positive", `
			SELECT tenant_id, hour, action, state, n FROM action_counts WHERE n <= 0`, nil},
		{"an event of the outbox has a time that its state has not, or none", `
			SELECT tenant_id, event_id, state FROM outbox
			WHERE state NOT IN ('PENDING', 'DELIVERED', 'DEAD') OR (state = 'PENDING') <> (due_at IS NOT NULL) OR (state = 'PENDING') <> (ended_at IS NULL)`, nil},
		{"a line of the audit log has no kind", `
			SELECT tenant_id, audit_id FROM audit WHERE kind = ''`, nil},
	} {
		if err := c.none(q.what, q.query, q.args...); err != nil {
			return err
		}
	}
	return nil
}

// quoted is a list of constants as literals.
func quoted(list []api.State) string {
	var texts []string
	for _, s := range list {
		texts = append(texts, "'"+string(s)+"'")
	}
	return strings.Join(texts, ", ")
}

// skew is how far the clocks of servers and of the command may differ.
const skew = 5 * time.Minute

// future looks for rows that a server wrote while its clock was ahead, and that have
// an effect.
func (c *check) future() error {
	for _, f := range []struct{ table, column, effect string }{
		{"failures", "failed_at", "they count as new until then; an unlock of their authenticators deletes them"},
		{"outbox", "created_at", "they are sent from then on"},
		{"signing_keys", "created_at", "a key that signs from then on"},
		{"portal_attempts", "attempt_at", "they count as new until then; the command portal-password deletes them"},
	} {
		var n int
		err := c.tx.QueryRowContext(c.ctx, c.store.dialect.rebind(`SELECT COUNT(*) FROM `+f.table+` WHERE `+f.column+` > ?`),
			millis(c.Now.Add(skew))).Scan(&n)
		if err != nil {
			return err
		}
		if n > 0 {
			c.found("rows of %s are from the future (%d), because the clock of a server was ahead: %s", f.table, n, f.effect)
		}
	}
	return nil
}
