package server

import (
	"context"
	"log/slog"
	"net/http"
)

// A requestInfo has the attributes of a request for the log. It has the route, and
// not the path or the query, which may contain secrets.
type requestInfo struct {
	id    string
	route string
	// limited reports whether the request is not logged because its address was
	// over its limit.
	limited bool
}

type requestKey struct{}

func info(ctx context.Context) *requestInfo {
	i, _ := ctx.Value(requestKey{}).(*requestInfo)
	return i
}

// setRoute sets the route of a request for the log and the metrics.
func setRoute(r *http.Request, route string) {
	if i := info(r.Context()); i != nil {
		i.route = route
	}
}

// skipLog excludes a request from the log, but not from the metrics.
func skipLog(r *http.Request) {
	if i := info(r.Context()); i != nil {
		i.limited = true
	}
}

// logMethod returns the method for the log, or "other" if it is not a known one: a
// client may send any text.
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

// Unwrap is for http.ResponseController.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// A requestHandler adds the id of the request to every line that is logged with
// its context.
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
