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

// The middleware in the order in which a request passes it: handler in
// routes.go is the chain.

// logged gives each request an id, which the answer carries as X-Request-Id
// and every log line of the request as "request", writes a line for it, and
// counts it. A request over the limit of its address is only counted, or a
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

// recovered answers a panic like any other fault of the server's own.
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

const (
	// bodyPause is how long a body may pause: an official SDK declares a length
	// that does not come (wire contract, section 14).
	bodyPause = 2 * time.Second
	// bodyTime is how long all of it may take.
	bodyTime = 15 * time.Second
)

// bounded bounds the size of a body and the time that it takes.
func (s *server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &boundedBody{ReadCloser: r.Body, connection: http.NewResponseController(w), end: time.Now().Add(bodyTime)}
		if r.ContentLength != 0 {
			// What the handler does not read, net/http does before it answers.
			body.wait()
		}
		r.Body = http.MaxBytesReader(w, body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// A boundedBody gives up when nothing comes for bodyPause.
type boundedBody struct {
	io.ReadCloser
	connection *http.ResponseController
	end        time.Time
}

// wait gives the client bodyPause for the next part of the body.
func (b *boundedBody) wait() {
	deadline := time.Now().Add(bodyPause)
	if deadline.After(b.end) {
		deadline = b.end
	}
	// A connection without deadlines, such as a test's, has no pauses either.
	_ = b.connection.SetReadDeadline(deadline)
}

func (b *boundedBody) Read(p []byte) (int, error) {
	b.wait()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// From here on the connection is read to notice that the client goes.
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

// paged lets the pages answer their own paths, within the limit of an address.
// Their files cost nothing, and a browser asks for many at once: they are not
// limited, but over a limit of their own not logged. Unknown paths fall through
// to the API, whose callers expect JSON.
func (s *server) paged(next http.Handler) http.Handler {
	pages, files := mux(s.Pages), mux(s.Files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := files.Handler(r); pattern != "" {
			named(r, pattern)
			if e := s.files.take(s.client(r)); e.wait > 0 {
				unlogged(r)
			}
			files.ServeHTTP(w, r)
			return
		}
		_, pattern := pages.Handler(r)
		if pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		named(r, pattern)
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

// normalised folds repeated slashes, which an SDK with a trailing slash in its
// base URL sends, and refuses dot segments; ServeMux would redirect both.
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
			// An escaped path that was valid stays valid without some slashes.
			u.Path, _ = url.PathUnescape(path)
			r = r.Clone(r.Context())
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

// limited refuses requests above the limit of an address with 429, except those
// to the Server and the management API, where authenticated limits wrong keys.
// Preflights have a limit of their own. A health check is always answered, or a
// flood through the same proxy would take the server out of service; over the
// limit it is only not logged.
func (s *server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == pathHealth || path == pathReady:
			if e := s.limiter.take(s.client(r)); e.wait > 0 {
				unlogged(r)
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

// isPreflight reports whether a browser asks if a page may send a request
// (Fetch, "CORS-preflight request").
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// sameSite refuses what a browser sends to the Server or the management API
// from a page of another site: a browser may hold their keys, as it remembers
// what was typed for Basic authentication. Backends and command-line programs
// send none of the headers that are looked at.
func (s *server) sameSite(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if realmOf(r.URL.Path).forBackends() && !isPreflight(r) {
			site := r.Header.Get("Sec-Fetch-Site")
			if site != "" && site != "same-origin" && site != "none" || crossOrigin.Check(r) != nil {
				if s.overLimit(s.limiter, w, r) {
					return
				}
				s.writeError(w, r, api.Forbidden("The Server API and the management API do not take requests from pages of other sites. Call them from a backend."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// crossOrigin lets pages of allowed origins call the client API, and read its
// errors (Fetch, "CORS protocol").
func (s *server) crossOrigin(next http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowOriginVaryRequestFunc: s.allowOrigin,
		AllowedMethods:             []string{"GET", "POST", "DELETE"},
		AllowedHeaders:             []string{"Authorization", "Content-Type"},
		ExposedHeaders:             []string{"Retry-After"},
		MaxAge:                     600,
	}).Handler(next)
}

// allowOrigin reports whether pages of an origin may call the client API. If
// the database does not answer, only those of the server's own configuration
// may. The Server and the management API are not for pages.
func (s *server) allowOrigin(r *http.Request, origin string) (bool, []string) {
	if realmOf(r.URL.Path).forBackends() {
		return false, nil
	}
	if s.AllowOrigin(origin) {
		return true, nil
	}
	ok, err := s.Store.HasOrigin(r.Context(), origin)
	if err != nil && r.Context().Err() == nil {
		s.Log.WarnContext(r.Context(), "origins", "error", err)
	}
	// Its browser tells the page no more than that there was no answer.
	if err == nil && !ok && origin != "" && len(origin) <= 256 && s.refusedOrigins.due("", s.Now()) {
		s.Log.WarnContext(r.Context(), "a page of an origin that is not allowed has called; if it is yours, add the origin to the tenant's origins, or to -origins",
			"origin", origin)
	}
	return ok, nil
}

// authenticated lets a request pass with the credentials of its path's realm.
// Guessing at keys is limited by address, apart from the client API, which was
// limited before: over the limit nothing is compared, so that a guess that is
// right is refused like the others. A request without a key guesses nothing, and
// counts like those to other paths.
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
				if r.Header.Get("Authorization") == "" { // nothing was guessed
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
