package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/cors"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// The middleware, in the order in which a request passes through it. handler in
// routes.go builds the chain.

// logged assigns an id to each request, which is the X-Request-Id of the response
// and the attribute "request" of every log line of the request. It logs and
// counts the request. A request over the limit of its address is only counted,
// so that a flood does not fill the log.
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

// recovered answers a panic with an internal error.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				// The stack has only locations; the value could contain data of
				// the request.
				s.Log.ErrorContext(r.Context(), "panic", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				s.writeError(w, r, errInternal)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

const (
	// bodyPause is the maximum pause within a body: an official SDK declares a
	// length, but does not send a body (wire contract, section 14).
	bodyPause = 2 * time.Second
	// bodyTime is the maximum time of a whole body.
	bodyTime = 15 * time.Second
)

// bounded limits the size and the time of a body.
func (s *server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &boundedBody{ReadCloser: r.Body, connection: http.NewResponseController(w), end: time.Now().Add(bodyTime)}
		if r.ContentLength != 0 {
			// net/http reads what the handler leaves unread.
			body.wait()
		}
		r.Body = http.MaxBytesReader(w, body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// A boundedBody fails if nothing arrives for bodyPause.
type boundedBody struct {
	io.ReadCloser
	connection *http.ResponseController
	end        time.Time
}

// wait sets the deadline for the next part of the body.
func (b *boundedBody) wait() {
	deadline := time.Now().Add(bodyPause)
	if deadline.After(b.end) {
		deadline = b.end
	}
	// Connections without deadlines are those of tests.
	_ = b.connection.SetReadDeadline(deadline)
}

func (b *boundedBody) Read(p []byte) (int, error) {
	b.wait()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// From now on, net/http reads to detect that the client disconnects.
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

// paged serves the paths of the pages, within the limit of an address. Their files
// are not limited, because they cost little and a browser requests many of them
// at once; over a limit of their own, they are not logged. Other paths fall
// through to the API, whose callers expect JSON.
func (s *server) paged(next http.Handler) http.Handler {
	pages, files := mux(s.Pages), mux(s.Files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := files.Handler(r); pattern != "" {
			setRoute(r, pattern)
			if e := s.files.take(s.client(r)); e.wait > 0 {
				skipLog(r)
			}
			files.ServeHTTP(w, r)
			return
		}
		_, pattern := pages.Handler(r)
		if pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		setRoute(r, pattern)
		if !s.overLimit(s.limiter, w, r) {
			pages.ServeHTTP(w, r)
		}
	})
}

func mux(handlers map[string]http.Handler) *http.ServeMux {
	m := http.NewServeMux()
	for pattern, handler := range handlers {
		m.Handle(pattern, handler)
	}
	return m
}

// normalised removes repeated slashes, which an SDK sends if its base URL ends in
// a slash, and refuses dot segments. ServeMux would redirect both.
func (s *server) normalised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.Split(r.URL.EscapedPath(), "/")
		kept := segments[:0]
		for i, segment := range segments {
			if segment == "." || segment == ".." {
				if !s.overLimit(s.limiter, w, r) {
					s.writeError(w, r, api.InvalidRequest("The path must not contain the segments . and .., even as an identifier."))
				}
				return
			}
			if segment != "" || i == 0 || i == len(segments)-1 {
				kept = append(kept, segment)
			}
		}
		if path := strings.Join(kept, "/"); path != r.URL.EscapedPath() {
			u := *r.URL
			u.RawPath = path
			// The path is still valid without some of its slashes.
			u.Path, _ = url.PathUnescape(path)
			r = r.Clone(r.Context())
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

// limited refuses requests over the limit of an address with 429, except those to
// the Server and the management API, where authenticated limits wrong keys.
// Preflights have a limit of their own. A health check is always answered, so
// that a flood through the same proxy does not take the server out of service;
// over the limit it is not logged.
func (s *server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == pathHealth || path == pathReady:
			if e := s.limiter.take(s.client(r)); e.wait > 0 {
				skipLog(r)
			}
		case isPreflight(r):
			if s.overLimit(s.preflights, w, r) {
				return
			}
		case realmOf(path).forBackends():
		case s.overLimit(s.limiter, w, r):
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isPreflight reports whether a request is a CORS-preflight request (Fetch
// standard).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// sameSite refuses requests to the Server and the management API from a page of
// another site: a browser remembers the keys that were entered for Basic
// authentication. Backends and command-line programs do not send the headers
// that are checked.
func (s *server) sameSite(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if realmOf(r.URL.Path).forBackends() && !isPreflight(r) {
			site := r.Header.Get("Sec-Fetch-Site")
			if site != "" && site != "same-origin" && site != "none" || crossOrigin.Check(r) != nil {
				if s.overLimit(s.limiter, w, r) {
					return
				}
				s.writeError(w, r, api.Forbidden("The Server API and the management API do not accept requests from pages of other sites. Call them from a backend."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// crossOrigin allows pages of allowed origins to call the client API and to read
// its errors (Fetch standard, CORS protocol).
func (s *server) crossOrigin(next http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowOriginVaryRequestFunc: s.allowOrigin,
		AllowedMethods:             []string{"GET", "POST", "PATCH", "DELETE"},
		AllowedHeaders:             []string{"Authorization", "Content-Type"},
		ExposedHeaders:             []string{"Retry-After"},
		MaxAge:                     600,
	}).Handler(next)
}

// allowOrigin reports whether pages of an origin may call the client API. If the
// database fails, only origins of the server's configuration may. Pages may not
// call the Server and the management API, and only the pre-built UI, which is of the
// same origin, calls that of recovery links.
func (s *server) allowOrigin(r *http.Request, origin string) (bool, []string) {
	if of := realmOf(r.URL.Path); of.forBackends() || of == linkRealm {
		return false, nil
	}
	if s.AllowOrigin(origin) {
		return true, nil
	}
	ok, err := s.Store.HasOrigin(r.Context(), origin)
	if err != nil && r.Context().Err() == nil {
		s.Log.WarnContext(r.Context(), "origins", "error", err)
	}
	// The browser tells the page only that there was no response.
	if err == nil && !ok && origin != "" && len(origin) <= 256 && s.refusedOrigins.due("", s.Now()) {
		s.Log.WarnContext(r.Context(), "a page of an origin that is not allowed called the API; to allow it, add the origin to the tenant's origins, or to -origins",
			"origin", origin)
	}
	return ok, nil
}

// authenticated requires the credentials of the path's realm. Wrong keys count
// against a limit of the address. Over it, no key is compared, so that a right
// guess is refused like the others. A request without a key counts against the
// limit of requests. The client API was limited before.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of := realmOf(r.URL.Path)
		authenticate := map[realm]func(*http.Request) (caller, error){
			clientRealm: s.bearer, serverRealm: s.basic, managementRealm: s.management,
		}[of]
		if authenticate == nil {
			next.ServeHTTP(w, r)
			return
		}
		if of.forBackends() && s.guessedTooOften(w, r) {
			return
		}
		c, err := authenticate(r)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
			return
		}
		var refused *api.Error
		if errors.As(err, &refused) {
			if of.forBackends() {
				if r.Header.Get("Authorization") == "" { // not a guess
					if s.overLimit(s.limiter, w, r) {
						return
					}
				} else {
					s.keyRefused(r, of)
				}
			}
			w.Header().Set("WWW-Authenticate", of.challenge())
		}
		s.writeError(w, r, err)
	})
}
