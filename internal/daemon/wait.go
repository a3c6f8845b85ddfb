package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

const (
	// retry is the time between attempts to open a database, and progress the time
	// between lines in the log about it.
	retry    = time.Second / 2
	progress = 5 * time.Second
)

// await opens a database. If that is not available yet, it tries again for at most
// the given time, and says so in the log. An error that stays is returned at once.
func await(ctx context.Context, atMost time.Duration, log *slog.Logger, open func() (*store.Store, error)) (*store.Store, error) {
	began := time.Now()
	var logged time.Time
	for {
		st, err := open()
		waited := time.Since(began)
		switch {
		case err == nil && !logged.IsZero():
			log.Info("the database is available", "waited", waited.Round(time.Millisecond).String())
			return st, nil
		case err == nil || atMost == 0 || ctx.Err() != nil || !store.Unavailable(err):
			return st, err
		case waited >= atMost:
			return nil, fmt.Errorf("%w (waited %s; -wait-db or AUTHSIGNAL_WAIT_DB is another time)", err, atMost)
		}
		if time.Since(logged) >= progress {
			logged = time.Now()
			log.Warn("waiting for the database", "error", err, "left", (atMost - waited).Round(time.Second).String())
			notify(log, "STATUS=Waiting for the database", extend(2*progress+retry))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("stopped while waiting for the database: %w", ctx.Err())
		case <-time.After(min(retry, atMost-waited)):
		}
	}
}
