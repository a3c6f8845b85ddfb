package store

import (
	"context"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

func TestWarmLeavesNothing(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	for range 2 {
		if err := s.Warm(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"users", "authenticators", "failures", "actions", "action_counts", "audit", "outbox"} {
		var n int
		if err := s.queryRow(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d rows, %v", table, n, err)
		}
	}
}

func TestWarmEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, storetest.Database(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Warm(ctx, now); err == nil {
		t.Error("no error")
	}
	if err := s.Warm(t.Context(), now); err != nil {
		t.Error(err)
	}
}
