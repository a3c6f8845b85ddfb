package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/cors"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// maxBody is the longest request body in bytes.
const maxBody = 1 << 20

// An endpoint answers a request with a value for JSON or an error.
type endpoint func(*http.Request) (any, error)

// routes lists every path of the API once, with its methods.
func (s *server) routes() map[string]map[string]endpoint {
	return map[string]map[string]endpoint{
		"/healthz": {"GET": s.health},
		"/readyz":  {"GET": s.ready},

		"/v1/validate":                                         {"POST": s.validate},
		"/v1/users":                                            {"GET": s.users},
		"/v1/users/{userId}":                                   {"GET": s.user, "PATCH": s.updateUser, "POST": s.updateUser, "DELETE": s.deleteUser},
		"/v1/users/{userId}/authenticators":                    {"GET": s.authenticators, "POST": s.enrollVerified},
		"/v1/users/{userId}/authenticators/{id}":               {"DELETE": s.deleteAuthenticator},
		"/v1/users/{userId}/actions":                           {"GET": s.actions},
		"/v1/users/{userId}/actions/{action}":                  {"POST": s.track},
		"/v1/users/{userId}/actions/{action}/{idempotencyKey}": {"GET": s.action, "PATCH": s.updateAction},

		"/v1" + api.PathClientInit:                         {"POST": s.initClient},
		"/v1" + api.PathClientAuthenticators:               {"GET": s.clientAuthenticators},
		"/v1" + api.PathClientUserAuthenticators:           {"GET": s.clientUserAuthenticators},
		"/v1" + api.PathClientUserAuthenticators + "/{id}": {"DELETE": s.clientRemove},
		"/v1" + api.PathClientEnrollTOTP:                   {"POST": s.enroll},
		"/v1" + api.PathClientVerifyTOTP:                   {"POST": s.verify},
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	routes := s.routes()
	maps.Copy(routes, s.managementRoutes())
	for path, methods := range routes {
		for method, e := range methods {
			mux.Handle(method+" "+path, s.answer(e))
		}
	}
	mux.Handle("/", s.answer(func(r *http.Request) (any, error) {
		if allow := allowed(mux, r); len(allow) > 0 {
			return methodNotAllowed(strings.Join(allow, ", "))(r)
		}
		return notFound(r)
	}))

	crossOrigin := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: s.allowOrigin,
		AllowedMethods:             []string{"GET", "POST", "DELETE"},
		AllowedHeaders:             []string{"Authorization", "Content-Type"},
		ExposedHeaders:             []string{"Retry-After"},
		MaxAge:                     600,
	})
	// From the outside in: log everything, answer panics, turn floods away, let
	// pages read errors too, for which the database is asked, and authenticate
	// before routing, so that a stranger cannot learn which paths there are.
	return s.logged(s.recovered(s.paged(s.normalised(s.limited(crossOrigin.Handler(s.authenticated(mux)))))))
}

// allowed are the methods that a path takes, in order. They are asked for one
// by one: a pattern of all methods for each path would be at odds with one that
// is more specific in the path and less in the method.
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

// paged lets the pages answer what is theirs, within the limit of an address.
// Their files cost nothing, and a browser asks for many at once: they are not
// limited. What nobody knows stays the API's, whose callers expect JSON.
func (s *server) paged(next http.Handler) http.Handler {
	pages := http.NewServeMux()
	for pattern, page := range s.Pages {
		pages.Handle(pattern, page)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := pages.Handler(r)
		if pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		if i := info(r.Context()); i != nil {
			i.route = pattern
		}
		file := strings.HasSuffix(pattern, "/assets/") || strings.HasSuffix(pattern, "/static/")
		if !file && s.overLimit(s.limiter, w, r) {
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// allowOrigin says whether pages of an origin may call the client API. If the
// database does not answer, only those of the server's own configuration may.
// For the Server and the management API, which are not for pages and where only
// wrong keys are limited, it is not asked.
func (s *server) allowOrigin(r *http.Request, origin string) (bool, []string) {
	if s.AllowOrigin(origin) {
		return true, nil
	}
	if isForBackends(r.URL.Path) {
		return false, nil
	}
	ok, err := s.Store.HasOrigin(r.Context(), origin)
	if err != nil && r.Context().Err() == nil {
		s.Log.WarnContext(r.Context(), "origins", "error", err)
	}
	// Its browser tells the page no more than that there was no answer.
	if err == nil && !ok && origin != "" && len(origin) <= 256 && s.strangers.tell("", s.Now()) {
		s.Log.WarnContext(r.Context(), "a page of an origin that is not allowed has called; if it is yours, add the origin to the tenant's origins, or to -origins",
			"origin", origin)
	}
	return ok, nil
}

// health says that the process lives; ready, that its database answers too.
func (s *server) health(*http.Request) (any, error) { return api.Success{Success: true}, nil }

func (s *server) ready(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.Store.Ping(ctx); err != nil {
		s.Log.WarnContext(r.Context(), "not ready", "error", err)
		return nil, &api.Error{
			Status: http.StatusServiceUnavailable, Code: api.CodeInternalError, Description: "The database does not answer.",
		}
	}
	return api.Success{Success: true}, nil
}

func notFound(*http.Request) (any, error) {
	return nil, &api.Error{Status: http.StatusNotFound, Code: api.CodeNotFound, Description: "There is no such path."}
}

func methodNotAllowed(allow string) endpoint {
	return func(r *http.Request) (any, error) {
		return nil, &methodError{allow, api.Error{
			Status: http.StatusMethodNotAllowed, Code: api.CodeInvalidRequest,
			Description: "This path does not take " + r.Method + "; it takes " + allow + ".",
		}}
	}
}

// A methodError is an error answer with an Allow header (RFC 9110, section
// 15.5.6).
type methodError struct {
	allow string
	err   api.Error
}

func (e *methodError) Error() string { return e.err.Error() }
func (e *methodError) Unwrap() error { return &e.err }

// normalised folds repeated slashes, which an SDK with a trailing slash in its
// base URL sends, and refuses dot segments; ServeMux would redirect both.
func (s *server) normalised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.Split(r.URL.EscapedPath(), "/")
		kept := segments[:0]
		for i, segment := range segments {
			if segment == "." || segment == ".." {
				if s.overLimit(s.limiter, w, r) {
					return
				}
				s.answer(func(*http.Request) (any, error) {
					return nil, invalidRequest("The path must not contain the segments . and .., even as an identifier.")
				}).ServeHTTP(w, r)
				return
			}
			if segment != "" || i == 0 || i == len(segments)-1 {
				kept = append(kept, segment)
			}
		}
		if path := strings.Join(kept, "/"); path != r.URL.EscapedPath() {
			u := *r.URL
			u.RawPath = path
			// An escaped path that was valid stays valid without some slashes.
			u.Path, _ = url.PathUnescape(path)
			r = r.Clone(r.Context())
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

// recovered answers a panic like any other fault of ours.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				// The stack names places; the value could quote a request.
				s.Log.ErrorContext(r.Context(), "panic", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				s.writeError(w, r, errInternal)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
