package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// errInternal is the error that a caller gets for any internal error. The log has
// the cause.
var errInternal = &api.Error{
	Status: http.StatusInternalServerError, Code: api.CodeInternalError,
	Description: "The server could not complete the request. Nothing was changed; try again.",
}

// A methodError is an error with an Allow header (RFC 9110, section 15.5.6).
type methodError struct {
	allow string
	err   api.Error
}

func (e *methodError) Error() string { return e.err.Error() }
func (e *methodError) Unwrap() error { return &e.err }

func methodNotAllowed(method, allow string) error {
	return &methodError{allow, api.Error{
		Status: http.StatusMethodNotAllowed, Code: api.CodeInvalidRequest,
		Description: "This path does not support " + method + ". It supports " + allow + ".",
	}}
}

// An endpoint returns the response to a request, which is encoded as JSON, or an
// error.
type endpoint func(*http.Request) (any, error)

// withCookies is a response, or with an error none, that sets cookies.
type withCookies struct {
	response any
	cookies  []*http.Cookie
}

// answer returns the handler of an endpoint. Its responses are JSON, errors too.
func (s *server) answer(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i := info(r.Context()); i != nil {
			i.route = r.Pattern
		}
		v, err := e(r)
		if c, ok := v.(withCookies); ok {
			for _, cookie := range c.cookies {
				http.SetCookie(w, cookie)
			}
			v = c.response
		}
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		s.writeJSON(w, r, http.StatusOK, v)
	})
}

func (s *server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var method *methodError
	if errors.As(err, &method) {
		w.Header().Set("Allow", method.allow)
	}
	if errors.Is(err, store.ErrLookAlike) {
		err = api.InvalidRequest("userId: " + store.ErrLookAlike.Error() + ".")
	}
	var e *api.Error
	if !errors.As(err, &e) {
		// A client that has disconnected needs no response, and is not an error
		// of the server.
		if r.Context().Err() == nil {
			s.Log.ErrorContext(r.Context(), "internal error", "error", err)
		}
		e = errInternal
	}
	s.writeJSON(w, r, e.Status, errorBody(e))
}

func errorBody(e *api.Error) api.ErrorBody {
	return api.ErrorBody{Error: e.Code, ErrorCode: e.Code, ErrorDescription: e.Description}
}

func (s *server) writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // keep the & of an otpauth URI
	if err := enc.Encode(v); err != nil {
		s.Log.ErrorContext(r.Context(), "encode answer", "error", err)
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":"internal_error","errorCode":"internal_error"}`)
	}
	h := w.Header()
	// There is no charset, because the official Python SDK compares the value.
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}
