package server

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

const (
	pathHealth = "/healthz"
	pathReady  = "/readyz"
)

// routes returns the endpoints of the API by path and method.
func (s *server) routes() map[string]map[string]endpoint {
	routes := map[string]map[string]endpoint{
		pathHealth: {"GET": s.getHealth},
		pathReady:  {"GET": s.getReady},

		"/v1/validate":                                         {"POST": s.validateToken},
		"/v1/users":                                            {"GET": s.listUsers},
		"/v1/users/{userId}":                                   {"GET": s.getUser, "PATCH": s.updateUser, "POST": s.updateUser, "DELETE": strict(s.deleteUser, "actions")},
		"/v1/users/{userId}/authenticators":                    {"GET": s.listAuthenticators, "POST": s.importAuthenticator},
		"/v1/users/{userId}/authenticators/{id}":               {"PATCH": strict(s.renameAuthenticator), "DELETE": s.deleteAuthenticator},
		"/v1/users/{userId}/recovery-codes":                    {"GET": strict(s.getRecoveryCodes), "POST": strict(s.makeRecoveryCodes), "DELETE": strict(s.deleteRecoveryCodes)},
		"/v1/users/{userId}/trusted-browsers":                  {"GET": strict(s.listTrustedBrowsers), "DELETE": strict(s.revokeTrustedBrowser)},
		"/v1/users/{userId}/trusted-browsers/{id}":             {"DELETE": strict(s.revokeTrustedBrowser)},
		"/v1/users/{userId}/recovery-links":                    {"GET": strict(s.listRecoveryLinks), "POST": strict(s.issueRecoveryLink)},
		"/v1/users/{userId}/recovery-links/{id}":               {"DELETE": strict(s.revokeRecoveryLink)},
		"/v1/users/{userId}/recovery-links/{id}/approve":       {"POST": strict(s.approveRecoveryLink)},
		"/v1/users/{userId}/reset":                             {"POST": strict(s.resetUser)},
		"/v1/users/{userId}/tokens":                            {"DELETE": strict(s.endTokens)},
		"/v1/users/{userId}/actions":                           {"GET": s.listActions},
		"/v1/users/{userId}/actions/{action}":                  {"POST": s.trackAction},
		"/v1/users/{userId}/actions/{action}/{idempotencyKey}": {"GET": s.getAction, "PATCH": s.updateAction},

		"/v1" + api.PathClientInit:                         {"POST": s.initClient},
		"/v1" + api.PathClientToken:                        {"POST": strict(s.narrowToken)},
		"/v1" + api.PathClientAuthenticators:               {"GET": s.listClientAuthenticators},
		"/v1" + api.PathClientUserAuthenticators:           {"GET": s.listClientUserAuthenticators},
		"/v1" + api.PathClientUserAuthenticators + "/{id}": {"PATCH": strict(s.renameClientUserAuthenticator), "DELETE": s.removeClientUserAuthenticator},
		"/v1" + api.PathClientEnrollTOTP:                   {"POST": s.enrollTOTP},
		"/v1" + api.PathClientVerifyTOTP:                   {"POST": s.verifyTOTP},
		"/v1" + api.PathClientRecoveryCodes:                {"GET": strict(s.getClientRecoveryCodes), "POST": strict(s.makeClientRecoveryCodes)},
		"/v1" + api.PathClientConfirmRecoveryCodes:         {"POST": strict(s.confirmClientRecoveryCodes)},
		"/v1" + api.PathClientTrustedBrowsers:              {"GET": strict(s.listClientTrustedBrowsers), "POST": strict(s.trustClientBrowser), "DELETE": strict(s.revokeClientTrustedBrowser)},
		"/v1" + api.PathClientTrustedBrowsers + "/{id}":    {"DELETE": strict(s.revokeClientTrustedBrowser)},
		"/v1" + api.PathClientVerifyRecoveryCode:           {"POST": strict(s.verifyRecoveryCode)},
		"/v1" + api.PathClientVerifyTrustedBrowser:         {"POST": strict(s.verifyTrustedBrowser)},

		"/v1" + api.PathRecoveryEnroll: {"POST": strict(s.enrollByLink)},
		"/v1" + api.PathRecoveryVerify: {"POST": strict(s.verifyByLink)},
	}
	maps.Copy(routes, s.managementRoutes())
	return routes
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range s.routes() {
		for method, e := range methods {
			mux.Handle(method+" "+path, s.answer(e))
		}
	}
	// This is the batch endpoint of the hosted service. Without the route, it
	// would update a user with the id "authenticators" (wire contract, section
	// 11, row 30).
	mux.Handle("POST /v1/users/authenticators", s.answer(s.unknownPath))
	mux.Handle("/", s.answer(func(r *http.Request) (any, error) {
		if allow := allowed(mux, r); len(allow) > 0 {
			return nil, methodNotAllowed(r.Method, strings.Join(allow, ", "))
		}
		return s.unknownPath(r)
	}))
	// From the inside out. A request is logged first; then panics are recovered,
	// the body is bounded, and the pages serve their paths. Paths of the API are
	// normalised before their realm is determined. Floods are refused before the
	// database is queried for allowed origins. Authentication comes before
	// routing: see realmOf.
	handler := http.Handler(mux)
	for _, wrap := range []func(http.Handler) http.Handler{
		s.authenticated, s.crossOrigin, s.sameSite, s.limited, s.normalised, s.paged, s.bounded, s.recovered, s.logged, s.Drain.closing,
	} {
		handler = wrap(handler)
	}
	return handler
}

// unknownPath answers that a path, which may exist in the hosted service, is not
// part of this server. If the base URL of the caller lacks /v1 or has it twice,
// the error has the right one. If a proxy has left the path of the public URL in the
// request, the error says so.
func (s *server) unknownPath(r *http.Request) (any, error) {
	text := "The path " + cut(r.URL.EscapedPath(), maxShownPath) + " is not part of this server."
	if public, err := url.Parse(s.PublicURL); err == nil && public.Path != "" && strings.HasPrefix(r.URL.Path+"/", public.Path+"/") {
		return nil, api.NotFound(text + " The proxy must remove " + public.Path + ", the path of the public URL, from the requests.")
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if slices.Contains([]string{"users", "validate", "client", "management", "recovery"}, first) || strings.HasPrefix(r.URL.Path+"/", doubledPrefix) {
		text += " The base URL must end in /v1, once: " + s.PublicURL + "/v1."
	}
	return nil, api.NotFound(text)
}

// maxShownPath is the number of bytes of an unknown path in the error.
const maxShownPath = 200

// allowed returns the methods of a path in alphabetical order. It tries each
// method: a pattern of all methods for each path would conflict with patterns
// that have a more specific path and a less specific method.
func allowed(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, method := range []string{"DELETE", "GET", "PATCH", "POST", "PUT"} {
		as := r.Clone(r.Context())
		as.Method = method
		if _, pattern := mux.Handler(as); pattern != "/" {
			methods = append(methods, method)
		}
	}
	return methods
}

// getHealth answers that the process is running, and its version; getReady answers
// that users can sign in by its database too.
func (s *server) getHealth(*http.Request) (any, error) {
	return struct {
		api.Success
		Version string `json:"version"`
	}{api.Success{Success: true}, s.Version}, nil
}

func (s *server) getReady(r *http.Request) (any, error) {
	s.Drain.probed.Store(time.Now().UnixNano())
	if s.Drain.draining.Load() {
		return nil, &api.Error{Status: http.StatusServiceUnavailable, Code: api.CodeInternalError, Description: "The server is stopping."}
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := s.Store.Ready(ctx)
	if s.unready.changed(err) {
		if err != nil {
			s.Log.WarnContext(r.Context(), "not ready", "error", err)
		} else {
			s.Log.InfoContext(r.Context(), "ready again")
		}
	}
	if err != nil {
		return nil, &api.Error{
			Status: http.StatusServiceUnavailable, Code: api.CodeInternalError, Description: "The database is not available.",
		}
	}
	return api.Success{Success: true}, nil
}

// lastReason is the error that was logged last, or nil, and when.
type lastReason struct {
	mu  sync.Mutex
	err error
	at  time.Time
}

// changed reports whether an error, or nil, is to be logged: it is nil and the last
// one is not, or the reverse, or it has another text than the last one of more than a
// minute ago. Texts may have the number of a port.
func (l *lastReason) changed(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := (err == nil) != (l.err == nil) ||
		err != nil && err.Error() != l.err.Error() && time.Since(l.at) > time.Minute
	if changed {
		l.err, l.at = err, time.Now()
	}
	return changed
}
