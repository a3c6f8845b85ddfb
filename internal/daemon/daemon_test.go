package daemon

import (
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/config"
)

// A start that fails makes no password for the portal, which nobody would see;
// and it leaves the address free for the next one.
func TestAFailedStartMakesNoPortalPassword(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := config.Config{DB: filepath.Join(t.TempDir(), "authsignal.db"), Addr: "127.0.0.1:0", Portal: config.PortalOn, MetricsAddr: taken.Addr().String()}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if s, err := Start(t.Context(), c, log); err == nil || !strings.HasPrefix(err.Error(), "metrics: ") {
		t.Fatalf("got %v, %v", s, err)
	}
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
