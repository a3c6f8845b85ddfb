package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// turns is a set of locks by key with a maximum time to wait. The zero value is
// ready.
type turns struct {
	mu   sync.Mutex
	held map[any]*turn
}

type turn struct {
	free chan struct{}
	// users is the number of those that hold the turn or wait for it.
	users int
}

// maxWait is the maximum time to wait for a turn.
const maxWait = 5 * time.Second

// errBusy reports that a turn was not free within maxWait.
var errBusy error = &api.Error{
	Status: http.StatusServiceUnavailable, Code: api.CodeInternalError,
	Description: "The server is busy evaluating rules for other requests. Nothing was changed; try again.",
}

// take waits for the turn of a key, for at most maxWait. The caller must call
// release; further calls of it do nothing.
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
