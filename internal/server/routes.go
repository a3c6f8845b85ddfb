package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// maxBody is the longest request body in bytes.
const maxBody = 1 << 20

// An endpoint answers a request with a value for JSON or an error.
type endpoint func(*http.Request) (any, error)

// routes lists every path of the API once, with its methods.
func (s *server) routes() map[string]map[string]endpoint {
	return map[string]map[string]endpoint{
		"/healthz": {"GET": s.health},

		"/v1/validate":                                         {"POST": s.validate},
		"/v1/users":                                            {"GET": s.users},
		"/v1/users/{userId}":                                   {"GET": s.user, "PATCH": s.updateUser, "POST": s.updateUser, "DELETE": s.deleteUser},
		"/v1/users/{userId}/authenticators":                    {"GET": s.authenticators, "POST": s.enrollVerified},
		"/v1/users/{userId}/authenticators/{id}":               {"DELETE": s.deleteAuthenticator},
		"/v1/users/{userId}/actions":                           {"GET": s.actions},
		"/v1/users/{userId}/actions/{action}":                  {"POST": s.track},
		"/v1/users/{userId}/actions/{action}/{idempotencyKey}": {"GET": s.action, "PATCH": s.updateAction},

		"/v1" + api.PathClientInit:               {"POST": s.initClient},
		"/v1" + api.PathClientAuthenticators:     {"GET": s.clientAuthenticators},
		"/v1" + api.PathClientUserAuthenticators: {"GET": s.clientUserAuthenticators},
		"/v1" + api.PathClientEnrollTOTP:         {"POST": s.enroll},
		"/v1" + api.PathClientVerifyTOTP:         {"POST": s.verify},
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range s.routes() {
		var allow []string
		for method, e := range methods {
			mux.Handle(method+" "+path, s.answer(e))
			allow = append(allow, method)
		}
		slices.Sort(allow)
		mux.Handle(path, s.answer(methodNotAllowed(strings.Join(allow, ", "))))
	}
	mux.HandleFunc("GET /{$}", s.page)
	mux.Handle("/", s.answer(notFound))

	crossOrigin := cors.New(cors.Options{
		AllowOriginFunc: s.AllowOrigin,
		AllowedMethods:  []string{"GET", "POST", "DELETE"},
		AllowedHeaders:  []string{"Authorization", "Content-Type"},
		ExposedHeaders:  []string{"Retry-After"},
		MaxAge:          600,
	})
	// From the outside in: log everything, answer panics, let pages read
	// errors too, and authenticate before routing, so that a stranger cannot
	// learn which paths there are.
	return s.logged(s.recovered(crossOrigin.Handler(s.normalised(s.authenticated(mux)))))
}

func (s *server) health(*http.Request) (any, error) { return api.Success{Success: true}, nil }

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

// page answers the url of a tracked action, until the pre-built UI exists. It
// says nothing of the token in its query.
func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotImplemented)
	fmt.Fprint(w, `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>Not available yet</title></head>
<body>
<h1>Not available yet</h1>
<p>This server has no pre-built pages yet. Use the browser SDK with the token of the tracked action.</p>
</body>
</html>
`)
}

// normalised folds repeated slashes, which an SDK with a trailing slash in its
// base URL sends, and refuses dot segments; ServeMux would redirect both.
func (s *server) normalised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.Split(r.URL.EscapedPath(), "/")
		kept := segments[:0]
		for i, segment := range segments {
			if segment == "." || segment == ".." {
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

type claimsKey struct{}

// claims are those of the request's client token.
func claims(r *http.Request) token.Claims { return r.Context().Value(claimsKey{}).(token.Claims) }

// authenticated lets the client API pass with a good token and the Server API
// with the secret key.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path + "/"; {
		case strings.HasPrefix(path, "/v1/client/"):
			c, err := s.bearer(r)
			if err != nil {
				w.Header().Set("WWW-Authenticate", "Bearer")
				s.answer(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), claimsKey{}, c))
		case strings.HasPrefix(path, "/v1/"):
			if !s.basic(r) {
				w.Header().Set("WWW-Authenticate", `Basic realm="authsignal"`)
				s.answer(func(*http.Request) (any, error) {
					return nil, &api.Error{
						Status: http.StatusUnauthorized, Code: api.CodeUnauthorized, Description: api.DescriptionUnauthorized,
					}
				}).ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// basic checks the API secret key, which is the user name of Basic
// authentication; the password is empty.
func (s *server) basic(r *http.Request) bool {
	secret, _, ok := r.BasicAuth()
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], s.secretSum[:]) == 1 && ok
}

func (s *server) bearer(r *http.Request) (token.Claims, error) {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || credentials == "" {
		return token.Claims{}, unauthorized("The request has no token. Send the token of a tracked action as Authorization: Bearer.")
	}
	c, err := s.Tokens.Parse(strings.TrimSpace(credentials))
	switch {
	case errors.Is(err, token.ErrExpired):
		return c, &api.Error{
			Status: http.StatusUnauthorized, Code: api.CodeExpiredToken,
			Description: "The token has expired. Track the action again to get a new one.",
		}
	case err != nil || c.TenantID != s.Tenant.ID:
		return c, unauthorized("The token is not valid for this server.")
	}
	return c, nil
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

// logged writes a line a request. It names the route, not the path or the
// query, which may hold anything.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		route := ""
		r = r.WithContext(context.WithValue(r.Context(), routeKey{}, &route))
		rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		s.Log.InfoContext(r.Context(), "request", "method", logMethod(r.Method), "route", route, "status", rec.status,
			"ms", float64(time.Since(start).Microseconds())/1000)
	})
}

type routeKey struct{}

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
