package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// metricsSocket is the name (FileDescriptorName=) of a passed socket for the
// metrics. Any other is for the API.
const metricsSocket = "metrics"

// passed returns the sockets that systemd has passed to this process
// (sd_listen_fds(3)), or nil. Connections wait in them while no process accepts
// them, so that a restart refuses none.
func passed() (api, metrics net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range []net.Listener{api, metrics} {
				if l != nil {
					l.Close()
				}
			}
		}
	}()
	for _, f := range activation.Files(true) {
		name := f.Name()
		l, listenErr := net.FileListener(f)
		if err = f.Close(); err != nil {
			return api, metrics, err
		}
		if listenErr != nil {
			return api, metrics, fmt.Errorf("the socket %s that systemd passed is not one that listens: %w", name, listenErr)
		}
		to := &api
		if name == metricsSocket {
			to = &metrics
		}
		if _, ok := l.(*net.TCPListener); !ok || *to != nil {
			l.Close()
			return api, metrics, fmt.Errorf("the socket %s that systemd passed is not used: pass one TCP socket for the API, and for the metrics another one with FileDescriptorName=%s", name, metricsSocket)
		}
		*to = l
	}
	return api, metrics, nil
}

// notify tells systemd about the state of this process, if systemd wants to know it
// (sd_notify(3)).
func notify(log *slog.Logger, states ...string) {
	if _, err := systemd.SdNotify(false, strings.Join(states, "\n")); err != nil {
		log.Warn("notify systemd", "error", err)
	}
}

// extend is the state that asks systemd for more time to start or to stop.
func extend(d time.Duration) string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()) }

// watchdog tells systemd that this process runs, if the unit has WatchdogSec=, until
// ctx ends.
func watchdog(ctx context.Context, log *slog.Logger) {
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog of systemd", "error", err)
	}
	if err != nil || every == 0 {
		return
	}
	for tick := time.Tick(every / 2); ; { // as sd_watchdog_enabled(3) recommends
		notify(log, systemd.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}

// errNoMetricsAddr: a socket for the metrics, but no metrics.
var errNoMetricsAddr = errors.New("systemd passed a socket for the metrics, which -metrics-addr turns on: give it the address of the socket")
