package attacks

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestThePortalNeedsHTTPS(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{
		{"-portal", "on", "-addr", "0.0.0.0:0"},
		{"-portal", "on", "-addr", ":0"},
		{"-portal", "on", "-addr", "0.0.0.0:0", "-public-url", "http://mfa.example.com"},
		{"-portal", "on", "-addr", "[::]:0", "-public-url", "http://192.0.2.1:4000"},
	} {
		got := fails(t, command(t, append(flags, "-db", storetest.Empty(t))))
		if !strings.Contains(got, "-public-url") || !strings.Contains(got, "-portal") || !strings.Contains(got, "https") {
			t.Errorf("%v: got %s, want it to say that -portal on needs an https -public-url", flags, got)
		}
	}
	for _, flags := range [][]string{
		{"-portal", "on", "-addr", "127.0.0.1:0"},
		{"-portal", "on", "-addr", "0.0.0.0:0", "-public-url", "https://mfa.example.com"},
		{"-portal", "on", "-addr", "127.0.0.1:0", "-public-url", "https://mfa.example.com"},
	} {
		s := run(t, command(t, append(flags, "-db", storetest.Empty(t))))
		res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).
			PostForm(s.url+"/portal/sign-in", url.Values{"password": {s.portal}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) == 0 {
			t.Fatalf("%v: sign-in: got %d and %d cookies", flags, res.StatusCode, len(res.Cookies()))
		}
		for _, c := range res.Cookies() {
			if secure := len(flags) > 4; c.Secure != secure || !c.HttpOnly || c.SameSite == http.SameSiteNoneMode {
				t.Errorf("%v: the cookie %s: secure %v, only for HTTP %v", flags, c.Name, c.Secure, c.HttpOnly)
			}
		}
	}
}

func TestDevIsNotForHTTPS(t *testing.T) {
	t.Parallel()
	got := fails(t, command(t, []string{"-dev", "-addr", "127.0.0.1:0", "-public-url", "https://mfa.example.com", "-db", storetest.Empty(t)}))
	if !strings.Contains(got, "-dev") || !strings.Contains(got, "-public-url") {
		t.Errorf("got %s, want it to name -dev and -public-url", got)
	}
	s := run(t, command(t, []string{"-dev", "-addr", "127.0.0.1:0", "-public-url", "http://localhost:4000", "-db", storetest.Empty(t)}))
	s.backend("POST", "/users/u/actions/signIn", "").ok()
}

func TestHTTPSIsKept(t *testing.T) {
	t.Parallel()
	s := run(t, command(t, []string{"-addr", "127.0.0.1:0", "-public-url", "https://mfa.example.com", "-db", storetest.Database(t)}))
	for _, r := range []response{
		s.do("GET", "/", "", ""), s.do("GET", "/healthz", "", ""), s.do("GET", "/no-such-path", "", ""), s.backend("GET", "/users/u", ""),
		s.do("GET", "/v1/users/u", basic("wrong"), ""),
	} {
		if got := r.header.Get("Strict-Transport-Security"); !strings.Contains(got, "max-age=") || strings.Contains(got, "max-age=0") {
			t.Errorf("%s: got Strict-Transport-Security %q", r.what, got)
		}
	}
	plain := start(t)
	if got := plain.backend("GET", "/users/u", "").ok().header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("over plain HTTP: got Strict-Transport-Security %q", got)
	}
}

func TestFilesAreTightened(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // PostgreSQL has no files here
	}
	db := filepath.Join(t.TempDir(), "a.db")
	without := []string{"AUTHSIGNAL_ENCRYPTION_KEY=", "AUTHSIGNAL_API_SECRET_KEY=", "AUTHSIGNAL_TENANT_ID="}
	flags := []string{"-addr", "127.0.0.1:0", "-dev", "-db", db}
	modes := func(when string) {
		t.Helper()
		files, err := filepath.Glob(db + "*")
		if err != nil || len(files) < 2 {
			t.Fatalf("the files of the database: %v, %v", files, err)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %s has mode %v", when, filepath.Base(file), info.Mode().Perm())
			}
		}
	}
	s := run(t, command(t, flags, without...))
	modes("made")
	s.stop()
	for _, file := range []string{db, config.KeysFile(db)} {
		if err := os.Chmod(file, 0o664); err != nil {
			t.Fatal(err)
		}
	}
	s = run(t, command(t, flags, without...))
	modes("started with files that others may read")
	for _, file := range []string{db, config.KeysFile(db)} {
		if !strings.Contains(s.log.String(), file+`"`) {
			t.Errorf("the log does not name %s:\n%s", file, s.log)
		}
	}
	s.operator("GET", "/tenants", "").ok()
}

// rows returns the values of a column of the database.
func rows(t *testing.T, database, query string) (values [][]byte) {
	t.Helper()
	db := storetest.Connect(t, database)
	defer db.Close() // the server empties its write-ahead log if it closes the database last
	r, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		var v []byte
		if err := r.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// raw returns the contents of the files of a SQLite database, except its key file.
func raw(t *testing.T, db string) (all []byte) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-journal"} {
		b, err := os.ReadFile(db + suffix)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestDeletedSecretsAreGone(t *testing.T) {
	t.Parallel()
	if storetest.Postgres() {
		return // its files do not belong to the server
	}
	db := filepath.Join(t.TempDir(), "a.db")
	// The encryption key is that of the key file, which rotate-key changes.
	start := func() *service {
		t.Helper()
		return startOn(t, db, nil, "AUTHSIGNAL_ENCRYPTION_KEY=")
	}
	s := start()
	kept := s.enrolledUser()
	var ids []string
	for range 50 {
		u := s.enrolledUser()
		ids = append(ids, u.id)
	}
	s.stop()
	secrets := rows(t, db, `SELECT secret FROM authenticators WHERE user_id <> '`+kept.id+`'`)
	if len(secrets) != len(ids) || !bytes.Contains(raw(t, db), secrets[0]) {
		t.Fatalf("got %d sealed secrets, want %d, in the file", len(secrets), len(ids))
	}
	s = start()
	for _, id := range ids {
		s.backend("DELETE", "/users/"+id, "").ok()
	}
	s.stop()
	left := func(secrets [][]byte) (n int) {
		file := raw(t, db)
		for _, secret := range secrets {
			if bytes.Contains(file, secret) {
				n++
			}
		}
		return n
	}
	if n := left(secrets); n > 0 {
		t.Errorf("after the deletion the file holds %d of %d secrets", n, len(secrets))
	}

	// Secrets that were sealed with the old key are also gone after a rotation.
	old := rows(t, db, `SELECT secret FROM authenticators UNION ALL SELECT secret FROM api_secrets UNION ALL SELECT secret FROM signing_keys`)
	if len(old) < 3 || left(old) != len(old) {
		t.Fatalf("got %d sealed secrets, of which the file holds %d", len(old), left(old))
	}
	if out, err := command(t, []string{"-db", db, "rotate-key"}, "AUTHSIGNAL_ENCRYPTION_KEY=").CombinedOutput(); err != nil {
		t.Fatalf("rotate-key: %v\n%s", err, out)
	}
	if n := left(append(old, secrets...)); n > 0 {
		t.Errorf("after the rotation the file holds %d secrets that the old key opens", n)
	}
	s = start()
	kept.s = s
	kept.signsIn()
}

func TestWebhookURLsAreSealed(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	s := startOn(t, database, nil)
	const secret = "token-of-the-webhook-receiver"
	at := "https://hooks.example.com/services/" + secret
	s.operator("PUT", "/tenants/t1", `{"webhookUrl":"`+at+`"}`).ok()
	if got := s.operator("GET", "/tenants/t1", "").ok().object["webhookUrl"]; got != at {
		t.Errorf("the management API: got %v, want %s", got, at)
	}
	s.stop()
	for _, table := range []string{"tenants", "audit"} {
		cast := `CAST(%s AS TEXT)`
		if storetest.Postgres() {
			cast = `CAST((SELECT x FROM (SELECT %s) AS y (x)) AS TEXT)`
		}
		column := "webhook_url"
		if table == "audit" {
			column = "detail"
		}
		for _, v := range rows(t, database, fmt.Sprintf("SELECT "+cast+" FROM %s", column, table)) {
			if bytes.Contains(v, []byte(secret)) {
				t.Errorf("the table %s holds the URL in the clear", table)
			}
		}
	}
	if !storetest.Postgres() && bytes.Contains(raw(t, database), []byte(secret)) {
		t.Error("the file holds the URL in the clear")
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("the log holds the URL")
	}
	s = startOn(t, database, nil)
	if got := s.operator("GET", "/tenants/t1", "").ok().object["webhookUrl"]; got != at {
		t.Errorf("after a restart: got %v, want %s", got, at)
	}
}
