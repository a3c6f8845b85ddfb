package daemon

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A start that fails does not create a password for the portal, because it would
// not be shown, and closes its listener.
func TestAFailedStartCreatesNoPortalPassword(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := config.Config{DB: filepath.Join(t.TempDir(), "authsignal.db"), Addr: "127.0.0.1:0", Portal: config.PortalOn, MetricsAddr: taken.Addr().String()}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if s, err := Start(t.Context(), c, log); err == nil || !strings.HasPrefix(err.Error(), "metrics: ") || !strings.Contains(err.Error(), "; -metrics-addr ") {
		t.Fatalf("got %v, %v", s, err)
	}
	c.Addr, c.MetricsAddr = taken.Addr().String(), ""
	if s, err := Start(t.Context(), c, log); err == nil || !strings.Contains(err.Error(), "; -addr ") {
		t.Fatalf("got %v, %v", s, err)
	}
	c.Addr = "127.0.0.1:0"
	c.MetricsAddr = "127.0.0.1:0"
	s, err := Start(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(0)
	if s.PortalPassword == "" || s.MetricsURL == "" {
		t.Errorf("got the password %q, metrics at %q", s.PortalPassword, s.MetricsURL)
	}
}

// A revoked key stays revoked, even if the server is started with it.
func TestARevokedKeyIsRefusedAfterARestart(t *testing.T) {
	t.Parallel()
	c := config.Config{DB: filepath.Join(t.TempDir(), "authsignal.db"), Addr: "127.0.0.1:0", TokenTTL: time.Minute}
	var log logtest.Buffer
	start := func() *Server {
		t.Helper()
		s, err := Start(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	status := func(s *Server) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.BaseURL+"/users/u", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(s.APISecretKey, "")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	s := start()
	if got := status(s); got != 200 {
		t.Fatalf("at first: got %d", got)
	}
	err := s.store.Update(t.Context(), s.TenantID, func(tx *store.Tx) error {
		list, err := tx.APISecrets()
		if err != nil {
			return err
		}
		return manage.RevokeSecret(tx, list[0].ID, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := status(s); got != 401 {
		t.Errorf("revoked: got %d", got)
	}
	if err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	s = start()
	defer s.Stop(10 * time.Second)
	if got := status(s); got != 401 || !strings.Contains(log.String(), "revoked or has expired") {
		t.Errorf("after a restart: got %d; the log: %s", got, log.String())
	}
}
