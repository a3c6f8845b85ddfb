package store

import (
	"strings"
	"testing"
	"time"
)

func TestParsePostgres(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		connections int
		life        time.Duration
	}{
		"postgres://u:p@h/n": {DefaultConnections, DefaultConnectionLife},
		"postgres://u:p@h/n?pool_max_conns=3&pool_max_conn_lifetime=1m":             {3, time.Minute},
		"host=h pool_max_conns=3 application_name=mfa target_session_attrs=primary": {3, DefaultConnectionLife},
		"postgres://u:p@a,b:2/n?pool_max_conn_idle_time=1m":                         {DefaultConnections, DefaultConnectionLife},
	} {
		c, err := parsePostgres(name)
		if err != nil || c.connections != want.connections || c.life != want.life {
			t.Errorf("%s: got %+v, %v", name, c, err)
			continue
		}
		for key := range c.RuntimeParams {
			if strings.HasPrefix(key, "pool_") {
				t.Errorf("%s: %s is sent to the server", name, key)
			}
		}
	}
	for name, want := range map[string]string{
		"postgres://u:hunter2@h/n?pool_max_conns=x":            "pool_",
		"postgres://u:hunter2@h/n?pool_max_conn_lifetime=0s":   "not positive",
		"postgres://u:hunter2@h/n?pool_min_conns=2":            "pool_min_conns",
		"postgres://u:hunter2@h/n?target_session_attrs=x":      "not one of PostgreSQL",
		"postgres://u:hunter2@h/n?sslrootcert=/missing/ca.pem": "/missing/ca.pem",
		"postgres://u:%hunter2@h/n":                            "%25",
		"postgres://u:hunter2:x@h:hunter2/n":                   "not one of PostgreSQL",
		"password=a hunter2 host=h":                            "password='...'",
		"password='hunter2 host=h":                             "not one of PostgreSQL",
	} {
		if _, err := parsePostgres(name); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want it to say %q", name, err, want)
		}
	}
}

func TestQualified(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		`SELECT failures FROM authenticators a JOIN users USING (tenant_id)`:                             `SELECT failures FROM "s".authenticators a JOIN "s".users USING (tenant_id)`,
		"INSERT INTO\n\taudit (detail) VALUES ($1)":                                                      "INSERT INTO\n\t\"s\".audit (detail) VALUES ($1)",
		`INSERT INTO action_counts (n) VALUES (1) ON CONFLICT (n) DO UPDATE SET n = action_counts.n + 1`: `INSERT INTO "s".action_counts (n) VALUES (1) ON CONFLICT (n) DO UPDATE SET n = action_counts.n + 1`,
		`UPDATE authenticators SET failures = failures + 1`:                                              `UPDATE "s".authenticators SET failures = failures + 1`,
		`DELETE FROM failures WHERE (a) IN (SELECT a FROM failures)`:                                     `DELETE FROM "s".failures WHERE (a) IN (SELECT a FROM "s".failures)`,
		`SELECT 1 FROM users_of_another FOR UPDATE`:                                                      `SELECT 1 FROM users_of_another FOR UPDATE`,
		`LOCK TABLE encryption_keys IN EXCLUSIVE MODE`:                                                   `LOCK TABLE "s".encryption_keys IN EXCLUSIVE MODE`,
		`WITH w0 AS (UPDATE users SET a = 1 RETURNING 1) SELECT 1 FROM w0`:                               `WITH w0 AS (UPDATE "s".users SET a = 1 RETURNING 1) SELECT 1 FROM w0`,
	} {
		if got := qualified(query, "s"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
