package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// A requestInfo is what the log says of a request. It names the route, not
// the path or the query, which may hold anything.
type requestInfo struct {
	id    string
	route string
	// limited: it was one too many of its address, and has no line of its own.
	limited bool
}

type requestKey struct{}

func info(ctx context.Context) *requestInfo {
	i, _ := ctx.Value(requestKey{}).(*requestInfo)
	return i
}

// logged gives each request an id, which the answer carries as X-Request-Id
// and every log line of the request as "request", writes a line a request, and
// counts it. One that is over the limit of its address is only counted, or a
// flood would fill the log.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		i := &requestInfo{id: uuid.NewString()}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, i))
		w.Header().Set("X-Request-Id", i.id)
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			took := time.Since(start)
			s.metrics.request(i.route, logMethod(r.Method), rec.status, took)
			if i.limited {
				return
			}
			s.Log.InfoContext(r.Context(), "request", "method", logMethod(r.Method), "route", i.route, "status", rec.status,
				"ms", float64(took.Microseconds())/1000)
		}()
		next.ServeHTTP(rec, r)
	})
}

// logMethod keeps what a stranger may send as a method out of the log.
func logMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// A requestHandler adds the request's id to every line that is logged with its
// context.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if i := info(ctx); i != nil {
		r.AddAttrs(slog.String("request", i.id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
