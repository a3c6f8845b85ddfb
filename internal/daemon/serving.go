package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// A serving is an HTTP server on a listener. It stops without losing a request that
// it has accepted: http.Server.Shutdown closes connections whose first request it
// reads after the call.
type serving struct {
	http     *http.Server
	listener net.Listener
	// ended is closed when no more connections are accepted.
	ended chan struct{}

	mu sync.Mutex
	// waiting has the connections from which a request is awaited or is being
	// answered: since when the first one is awaited, or zero.
	waiting map[net.Conn]time.Time
}

// firstRequest is how long a stop waits for the first request of a connection. Some
// browsers open connections that they may not need.
const firstRequest = time.Second

// serve serves a handler on a listener in the background, and sends the error of its
// end to done.
func serve(listener net.Listener, handler http.Handler, log *slog.Logger, done chan<- error) *serving {
	s := &serving{listener: listener, ended: make(chan struct{}), waiting: map[net.Conn]time.Time{}}
	s.http = &http.Server{
		Handler: handler,
		// The timeouts are for clients that send or read slowly.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         s.note,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() {
		err := s.http.Serve(listener)
		close(s.ended)
		done <- err
	}()
	return s
}

func (s *serving) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.waiting[c] = time.Now()
	case http.StateActive:
		s.waiting[c] = time.Time{}
	default:
		delete(s.waiting, c)
	}
}

// idle reports whether no request is being answered or is likely to be on its way.
func (s *serving) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, since := range s.waiting {
		if since.IsZero() || time.Since(since) < firstRequest {
			return false
		}
	}
	return true
}

// stop accepts no more connections, waits for requests until ctx ends, and closes all
// connections.
func (s *serving) stop(ctx context.Context) error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) { // it has failed
		err = nil
	}
	<-s.ended
	for tick := time.Tick(5 * time.Millisecond); !s.idle() && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick:
		}
	}
	if stopErr := s.http.Shutdown(ctx); stopErr != nil && !errors.Is(stopErr, net.ErrClosed) {
		err = errors.Join(err, stopErr, s.http.Close())
	}
	return err
}
