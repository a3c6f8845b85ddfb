package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// checked returns the findings of Check.
func checked(t *testing.T, s *Store) (findings []string) {
	t.Helper()
	n, err := s.Check(t.Context(), Inspection{
		Now:    now,
		Ahead:  noneAhead,
		Report: func(finding string) { findings = append(findings, finding) },
	})
	if err != nil || n != len(findings) {
		t.Fatalf("%d findings, reported %q, %v", n, findings, err)
	}
	return findings
}

// noneAhead is mfa.Ahead, with no step after the present one.
func noneAhead(a Authenticator, now time.Time) int64 { return max(0, a.LastStep-a.Step(now)) }

// toCheck opens a database for Check with a key.
func toCheck(t *testing.T, database string, key []byte) *Store {
	t.Helper()
	s, err := OpenToCheck(t.Context(), database, Options{}, [][]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A populated database has every kind of row, of tenant t.
func populated(t *testing.T) (database string, s *Store) {
	t.Helper()
	database = storetest.Database(t)
	s = mustOpen(t, database)
	update(t, s, "", func(tx *Tx) error {
		return tx.InsertSigningKey(SigningKey{ID: "k", Secret: []byte("a signing key of thirty-two bytes"), CreatedAt: now, SignsFrom: now})
	})
	pending(t, s, "t", "u", "pending", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	a := pending(t, s, "t", "u", "a", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	update(t, s, "t", func(tx *Tx) error {
		if _, err := tx.PutTenant(api.DefaultAuthenticatorSettings("Acme"), now); err != nil {
			return err
		}
		if _, err := tx.SetWebhookURL("https://hooks.test/?key=SECRET"); err != nil {
			return err
		}
		if _, _, err := tx.EnsureSecret("sk", now); err != nil {
			return err
		}
		if _, err := tx.LockStanding(ActionID{UserID: "u"}); err != nil {
			return err
		}
		if err := tx.AcceptStep(a, a.Step(now), now); err != nil {
			return err
		}
		if err := tx.Fail(a, now); err != nil {
			return err
		}
		u, _, err := tx.User("u")
		if err != nil {
			return err
		}
		err = tx.InsertAction(Action{ActionID: ActionID{"u", "signIn", "k"}, State: api.StateAllow, CreatedAt: now, StateUpdatedAt: now, Incarnation: u.Incarnation})
		if err != nil {
			return err
		}
		if err := tx.Enqueue(Event{ID: "e", Type: "x", Body: []byte("{}"), CreatedAt: now}); err != nil {
			return err
		}
		return tx.Audit(AuditEvent{At: now, Kind: AuditCodeAccepted, Detail: map[string]any{"a": 1}})
	})
	return database, s
}

func TestCheckOfAHealthyDatabase(t *testing.T) {
	t.Parallel()
	database, s := populated(t)
	if got := checked(t, s); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	// Beside the process that has it open.
	if got := checked(t, toCheck(t, database, key)); len(got) != 0 {
		t.Errorf("read only: got %q", got)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ statement, want string }{
		"sealed secret":      {`UPDATE authenticators SET secret = (SELECT secret FROM authenticators WHERE user_authenticator_id = 'pending') WHERE user_authenticator_id = 'a'`, `makes no codes: tenant_id "t", user_id "u", user_authenticator_id "a": a sealed secret does not open`},
		"webhook":            {`UPDATE tenants SET webhook_sealed = (SELECT secret FROM authenticators WHERE user_authenticator_id = 'a')`, `webhook_sealed of tenants: tenant_id "t"`},
		"plain webhook":      {`UPDATE tenants SET webhook_url = 'https://hooks.test/SECRET'`, `not sealed: tenant_id "t"`},
		"signing key":        {`UPDATE signing_keys SET kid = 'other'`, `secret of signing_keys: kid "other"`},
		"signing key's end":  {`UPDATE signing_keys SET verifies_until = 1`, `of the signing keys, the last one`},
		"API secret":         {`UPDATE api_secrets SET secret_sum = (SELECT secret FROM authenticators WHERE user_authenticator_id = 'a')`, `found by another key`},
		"parameters":         {`UPDATE authenticators SET digits = 5`, `digits must be 6 to 8`},
		"method":             {`UPDATE authenticators SET verification_method = 'SMS'`, `has a secret that its method has not`},
		"negative":           {`UPDATE authenticators SET last_step = -2`, `negative`},
		"step of a pending":  {`UPDATE authenticators SET last_step = 1 WHERE user_authenticator_id = 'pending'`, `is pending`},
		"step in the future": {`UPDATE authenticators SET last_step = last_step + 5 WHERE user_authenticator_id = 'a'`, `5 steps in the future`},
		"step of no time":    {`UPDATE authenticators SET last_verified_at = last_verified_at - 3600000 WHERE user_authenticator_id = 'a'`, `later than its last verification`},
		"count of failures":  {`UPDATE authenticators SET failures = failures + 1 WHERE user_authenticator_id = 'a'`, `differs from those recorded: tenant_id "t", user_id "u", user_authenticator_id "a", failures 2, recorded 1`},
		"lost failure":       {`DELETE FROM failures`, `failures 1, recorded 0`},
		"orphan failure":     {`INSERT INTO failures (tenant_id, user_authenticator_id, failed_at) VALUES ('t', 'gone', 1)`, `a refused code belongs to no authenticator`},
		"orphan":             {`UPDATE authenticators SET user_id = 'gone' WHERE user_authenticator_id = 'a'`, `an authenticator belongs to no user`},
		"defaults":           {`UPDATE authenticators SET is_default = TRUE`, `more than one default authenticator: tenant_id "t", user_id "u", defaults 2`},
		"incarnation":        {`UPDATE users SET incarnation = ''`, `a user has no incarnation: tenant_id "t", user_id "u"`},
		"epoch":              {`UPDATE actions SET epoch = 7`, `of a later epoch than its user: tenant_id "t", user_id "u", action "signIn", idempotency_key "k", epoch 7`},
		"state":              {`UPDATE actions SET state = 'OPEN'`, `unknown state`},
		"lost count":         {`DELETE FROM action_counts`, `more actions are in a state than were counted: tenant_id "t", action "signIn", state "ALLOW", n 1, counted 0`},
		"negative count":     {`INSERT INTO action_counts (tenant_id, hour, action, state, shard, n) VALUES ('t', 0, 'a', 'ALLOW', 99, 0)`, `is not positive`},
		"event":              {`UPDATE outbox SET due_at = NULL`, `an event of the outbox`},
		"tenant of an event": {`UPDATE outbox SET tenant_id = 'gone'`, `rows of outbox belong to no tenant: tenant_id "gone", n 1`},
		"tenant of a user":   {`UPDATE users SET tenant_id = 'gone'`, `rows of users belong to no tenant`},
		"tenant's settings":  {`UPDATE tenants SET authenticator = '{'`, `the settings of a tenant cannot be read: tenant_id "t"`},
		"action's settings":  {`INSERT INTO action_settings (tenant_id, action, settings) VALUES ('t', 'pay', '[')`, `the settings of an action cannot be read: tenant_id "t", action "pay"`},
		"custom data":        {`UPDATE users SET custom = '{'`, `the column custom of users is not JSON: tenant_id "t", user_id "u"`},
		"audit":              {`UPDATE audit SET detail = 'x'`, `the column detail of audit is not JSON`},
		"audit kind":         {`UPDATE audit SET kind = ''`, `has no kind`},
		"future failure":     {fmt.Sprintf(`UPDATE failures SET failed_at = %d`, now.Add(time.Hour).UnixMilli()), `rows of failures are from the future (1)`},
		"future event":       {fmt.Sprintf(`UPDATE outbox SET created_at = %d`, now.Add(time.Hour).UnixMilli()), `rows of outbox are from the future (1)`},
		"trusted browser":    {`INSERT INTO trusted_browsers (tenant_id, browser_id, user_id, fixed_hash, turn_hash, epoch, trusted_at, last_used_at) VALUES ('t', 'b', 'u', 'x', 'y', 9, 1, 1)`, `a trusted browser is of a later epoch than its user: tenant_id "t", user_id "u", browser_id "b", epoch 9`},
		"older schema":       {`DELETE FROM ` + versionTable() + ` WHERE version_id > 5`, `the next start migrates it`},
		"recovery link":      {`INSERT INTO recovery_links (tenant_id, link_id, user_id, incarnation, secret_hash, issued_by, needs_approval, created_at, expires_at) VALUES ('t', 'l', 'u', 'another', 'x', 'backend', FALSE, 1, 2)`, `a recovery link belongs to no user: tenant_id "t", user_id "u", link_id "l"`},
		"unapproved link":    {`INSERT INTO recovery_links (tenant_id, link_id, user_id, incarnation, secret_hash, issued_by, needs_approval, created_at, expires_at, used_at) VALUES ('t', 'l', 'u', 'another', 'x', 'backend', TRUE, 1, 2, 1)`, `without the approval that it needs: tenant_id "t", user_id "u", link_id "l"`},
		"policy":             {`UPDATE tenants SET enrollment_policy = '{'`, `the enrollment policy of a tenant cannot be read: tenant_id "t"`},
		"links' settings":    {`UPDATE tenants SET recovery_links = '['`, `for recovery links cannot be read: tenant_id "t"`},
		"recovery codes":     {`INSERT INTO recovery_codes (tenant_id, set_id, code_hash) VALUES ('t', 'gone', 'x')`, `a recovery code belongs to no set: tenant_id "t", set_id "gone", codes 1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, s := populated(t)
			statement := tt.statement
			if storetest.Postgres() { // without foreign keys, as after a restore that lacks them
				statement = `DO $$ BEGIN PERFORM set_config('session_replication_role', 'replica', TRUE); ` + statement + `; END $$`
			}
			storetest.Exec(t, database, statement)
			got := checked(t, s)
			if !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, finding := range got {
				if strings.Contains(finding, "GEZDGNBVGY3TQOJQ") || strings.Contains(finding, "SECRET") || strings.Contains(finding, "\n") {
					t.Errorf("got %q", finding)
				}
			}
		})
	}
}

// The rows of a deleted tenant are erased later.
func TestCheckBesideADeletedTenant(t *testing.T) {
	t.Parallel()
	_, s := populated(t)
	update(t, s, "t", func(tx *Tx) error { _, err := tx.DeleteTenant(now); return err })
	if got := checked(t, s); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestCheckWithAnotherKey(t *testing.T) {
	t.Parallel()
	database, _ := populated(t)
	got := strings.Join(checked(t, toCheck(t, database, make([]byte, KeySize))), "\n")
	if !strings.Contains(got, "which the database was used with, is not given") || !strings.Contains(got, "authenticator makes no codes") {
		t.Errorf("got %s", got)
	}
}

func TestCheckOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	databases := []string{storetest.Database(t)}
	if storetest.Postgres() {
		databases = append(databases, storetest.Empty(t))
	}
	for _, database := range databases {
		if got := checked(t, toCheck(t, database, key)); len(got) != 1 || !strings.Contains(got[0], "empty") {
			t.Errorf("got %q", got)
		}
	}
}

// Every table with a tenant is looked at.
func TestCheckKnowsAllTables(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // the tables are the same
	}
	s := mustOpen(t, storetest.Database(t))
	rows, err := s.db.Query(`SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant_id'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	if err := appendTo(&tables, scanValue[string])(rows); err != nil {
		t.Fatal(err)
	}
	known := append([]string{
		"tenants", "deleted_tenants",
		"authenticators", "failures", "recovery_sets", "recovery_codes", "trusted_browsers", "recovery_links", // of users
	}, ofTenants...)
	for _, table := range tables {
		if !slices.Contains(known, table) {
			t.Errorf("%s: add it to ofTenants, or a query to rows", table)
		}
	}
	if len(tables) != len(known) {
		t.Errorf("got %q, know %q", tables, known)
	}
}

// Of many findings of one kind, the first ones are reported, and the number of the
// others.
func TestCheckReportsAFewOfMany(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := mustOpen(t, database)
	storetest.Fill(t, database, "t", 1000, now)
	storetest.Exec(t, database, `UPDATE users SET incarnation = '' WHERE tenant_id = 't'`)
	var got []string
	for _, finding := range checked(t, s) {
		if strings.HasPrefix(finding, "a user has no incarnation") {
			got = append(got, finding)
		}
	}
	if len(got) != maxExamples+1 || got[maxExamples] != "a user has no incarnation: 990 more" {
		t.Errorf("got %q", got)
	}
}
