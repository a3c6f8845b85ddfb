package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// turns admit one holder of a key at a time; the others wait in turn. The zero
// value is ready.
type turns struct {
	mu   sync.Mutex
	held map[any]*turn
}

type turn struct {
	free chan struct{}
	// users hold the turn or wait for it.
	users int
}

// maxWait bounds how long a turn is waited for.
const maxWait = 5 * time.Second

// errBusy: the requests before it take too long.
var errBusy error = &api.Error{
	Status: http.StatusServiceUnavailable, Code: api.CodeInternalError,
	Description: "The server is busy with other requests that rules are evaluated for. Nothing was changed; try again.",
}

// take waits for the turn of a key, for at most maxWait. The caller calls
// release, which may be called again, when it has what it needs.
func (t *turns) take(ctx context.Context, key any) (release func(), err error) {
	t.mu.Lock()
	if t.held == nil {
		t.held = map[any]*turn{}
	}
	of := t.held[key]
	if of == nil {
		of = &turn{free: make(chan struct{}, 1)}
		of.free <- struct{}{}
		t.held[key] = of
	}
	of.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if of.users--; of.users == 0 {
			delete(t.held, key)
		}
	}
	wait := time.NewTimer(maxWait)
	defer wait.Stop()
	select {
	case <-of.free:
		return sync.OnceFunc(func() {
			of.free <- struct{}{}
			leave()
		}), nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	case <-wait.C:
		leave()
		return nil, errBusy
	}
}
