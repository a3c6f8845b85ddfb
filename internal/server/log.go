package server

import (
	"context"
	"log/slog"
	"net/http"
)

// A requestInfo is what the log says of a request. It names the route, not
// the path or the query, which may hold anything.
type requestInfo struct {
	id    string
	route string
	// limited: it was over the limit of its address, and has no line of its own.
	limited bool
}

type requestKey struct{}

func info(ctx context.Context) *requestInfo {
	i, _ := ctx.Value(requestKey{}).(*requestInfo)
	return i
}

// named notes the route of a request.
func named(r *http.Request, route string) {
	if i := info(r.Context()); i != nil {
		i.route = route
	}
}

// unlogged keeps a request out of the log, but not out of the metrics.
func unlogged(r *http.Request) {
	if i := info(r.Context()); i != nil {
		i.limited = true
	}
}

// logMethod keeps arbitrary text sent as a method out of the log.
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
