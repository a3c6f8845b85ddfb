package daemon

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/js"
)

func started(t *testing.T, c config.Config, log *logtest.Buffer) *Server {
	t.Helper()
	s, err := Start(t.Context(), c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(10 * time.Second) })
	return s
}

// A start that is refused creates neither a database nor keys.
func TestAnExposedPortalDoesNotStart(t *testing.T) {
	t.Parallel()
	for _, c := range []config.Config{
		{Addr: "0.0.0.0:0", Portal: config.PortalOn},
		{Addr: ":0", Portal: config.PortalOn},
		{Addr: "127.0.0.1:0", Portal: config.PortalOn, PublicURL: "http://mfa.example.com"},
		{Addr: "127.0.0.1:0", Dev: true, PublicURL: "https://mfa.example.com"},
	} {
		c.DB = filepath.Join(t.TempDir(), "a.db")
		s, err := Start(t.Context(), c, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "-public-url") {
			t.Errorf("%+v: got %v, %v", c, s, err)
		}
		if files, err := os.ReadDir(filepath.Dir(c.DB)); err != nil || len(files) != 0 {
			t.Errorf("%+v: left behind %v, %v", c, files, err)
		}
	}
}

func TestHealthCheckHasTheVersion(t *testing.T) {
	t.Parallel()
	s := started(t, config.Config{DB: storetest.Database(t), Addr: "127.0.0.1:0", TokenTTL: time.Minute, Given: given()}, &logtest.Buffer{})
	res, err := http.Get(strings.TrimSuffix(s.BaseURL, "/v1") + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if want := `{"success":true,"version":"` + js.Version() + `"}` + "\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestStrictTransportSecurity(t *testing.T) {
	t.Parallel()
	for publicURL, want := range map[string]string{"https://mfa.example.com": "max-age=31536000", "http://mfa.example.com": "", "": ""} {
		s := started(t, config.Config{DB: storetest.Database(t), Addr: "127.0.0.1:0", PublicURL: publicURL, TokenTTL: time.Minute, Given: given()}, &logtest.Buffer{})
		for _, path := range []string{"/users/u", "/no-such-path", "/../challenge"} {
			res, err := http.Get(s.BaseURL + path)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := res.Header.Get("Strict-Transport-Security"); got != want {
				t.Errorf("%q, %s: got %q, want %q", publicURL, path, got, want)
			}
		}
	}
}

func given() config.Keys {
	return config.Keys{TenantID: "t1", APISecretKey: "test-secret-key-of-32-characters-1", EncryptionKey: make([]byte, 32)}
}

func TestTheStartTightensFilesThatOthersMayRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "a.db")
	var log logtest.Buffer
	c := config.Config{DB: db, Addr: "127.0.0.1:0", TokenTTL: time.Minute}
	if err := started(t, c, &log).Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "removed the permissions") {
		t.Errorf("at the first start: %s", log.String())
	}
	files := []string{db, db + ".lock", config.KeysFile(db)}
	for _, file := range files {
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The database has another name.
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(db, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(config.KeysFile(db), config.KeysFile(link)); err != nil {
		t.Fatal(err)
	}
	c.DB = link
	started(t, c, &log)
	for _, file := range append(files, db+"-wal", db+"-shm") {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: got mode %v", file, got)
		}
	}
	if got := strings.Count(log.String(), "removed the permissions of group and others"); got != len(files) {
		t.Errorf("got %d lines in the log, want %d: %s", got, len(files), log.String())
	}
}

// Earlier versions accepted short keys, which are still in the database.
func TestTheStartRevokesShortKeys(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	c := config.Config{DB: storetest.Database(t), Addr: "127.0.0.1:0", TokenTTL: time.Minute, Given: given()}
	s := started(t, c, &log)
	err := s.store.Update(t.Context(), "t1", func(tx *store.Tx) error {
		_, _, err := tx.EnsureSecret("k7", time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	s = started(t, c, &log)
	if _, found, err := s.store.TenantOfSecret(t.Context(), "k7", time.Now()); err != nil || found {
		t.Errorf("the short key: got %v, %v", found, err)
	}
	if _, found, err := s.store.TenantOfSecret(t.Context(), c.Given.APISecretKey, time.Now()); err != nil || !found {
		t.Errorf("the other key: got %v, %v", found, err)
	}
	if !strings.Contains(log.String(), "revoked API secret keys of fewer than 32 characters") || strings.Contains(log.String(), "k7") {
		t.Errorf("the log: %s", log.String())
	}
	if got, want := whats(t, s, "t1"), []string{"API secret made", "API secret revoked", "tenant"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// whats returns the values of "what" in the audit log of a tenant.
func whats(t *testing.T, s *Server, tenant string) (whats []string) {
	t.Helper()
	err := s.store.View(t.Context(), tenant, func(tx *store.Tx) error {
		list, err := tx.AuditEvents("", 100)
		for _, e := range list {
			whats = append(whats, e.Detail["what"].(string))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(whats)
	return whats
}

// Earlier versions accepted an issuer with a colon.
func TestTheStartNamesATenantWhoseIssuerHasAColon(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	c := config.Config{DB: storetest.Database(t), Addr: "127.0.0.1:0", TokenTTL: time.Minute, Given: given()}
	s := started(t, c, &log)
	err := s.store.Update(t.Context(), "t1", func(tx *store.Tx) error {
		_, err := tx.PutTenant(api.DefaultAuthenticatorSettings("Acme: Pay"), time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "colon") {
		t.Errorf("before: %s", log.String())
	}
	if err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	started(t, c, &log)
	if got := log.String(); strings.Count(got, "colon") != 1 || !strings.Contains(got, "tenant=t1") || !strings.Contains(got, `issuer="Acme: Pay"`) {
		t.Errorf("the log: %s", got)
	}
}

// A deleted tenant is not created again by the keys that the server is started
// with, and its rows are erased by the next start if they were not before.
func TestTheStartDoesNotCreateADeletedTenantAgain(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	c := config.Config{DB: storetest.Database(t), Addr: "127.0.0.1:0", TokenTTL: time.Minute, Given: given()}
	s := started(t, c, &log)
	err := s.store.Update(t.Context(), "t1", func(tx *store.Tx) error {
		if _, err := tx.EnsureUser("jane", time.Now()); err != nil {
			return err
		}
		return manage.DeleteTenant(tx, mfa.ByOperator, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if s, err := Start(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "the tenant t1, which this server is started with, was deleted at ") {
		t.Errorf("got %v, %v", s, err)
	}
	c.Given.TenantID, c.Given.APISecretKey = "", ""
	s = started(t, c, &log)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "erased a deleted tenant"); {
		if time.Now().After(deadline) {
			t.Fatalf("the rows are not erased: %s", log.String())
		}
	}
	if list, err := s.store.Tenants(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("got %+v, %v", list, err)
	}
}

// The keys file of a database whose tenant was deleted still names it.
func TestTheStartSaysThatTheKeysFileNamesADeletedTenant(t *testing.T) {
	t.Parallel()
	c := config.Config{DB: filepath.Join(t.TempDir(), "a.db"), Addr: "127.0.0.1:0", TokenTTL: time.Minute}
	s := started(t, c, &logtest.Buffer{})
	err := s.store.Update(t.Context(), s.TenantID, func(tx *store.Tx) error { return manage.DeleteTenant(tx, mfa.ByOperator, time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "take tenantId and apiSecretKey out of "+config.KeysFile(c.DB)) {
		t.Errorf("got %v", err)
	}
}

// The days of the configuration are for actions without settings: what an operator has
// set stays.
func TestTheStartSetsDaysOfTrustOfActionsWithoutSettings(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	c := config.Config{
		DB: storetest.Database(t), Addr: "127.0.0.1:0", TokenTTL: time.Minute, Given: given(),
		TrustBrowserDays: map[string]int{"signIn": 30},
	}
	settings := func(s *Server, want int) {
		t.Helper()
		got, err := manage.ReadActionSettings(t.Context(), s.store, "t1", "signIn")
		if err != nil || got.DefaultOutcome != api.OutcomeChallenge || got.TrustBrowserDays != want {
			t.Errorf("got %+v, %v; want %d days", got, err, want)
		}
	}
	s := started(t, c, &log)
	settings(s, 30)
	err := manage.ChangeAction(t.Context(), s.store, "t1", "signIn", time.Now(), func(a *api.ActionSettings) error {
		a.TrustBrowserDays = 0
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	settings(started(t, c, &log), 0)
}
