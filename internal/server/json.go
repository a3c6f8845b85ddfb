package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// errInternal is all that a caller learns of our own faults; the log has the
// truth.
var errInternal = &api.Error{
	Status: http.StatusInternalServerError, Code: api.CodeInternalError,
	Description: "The server could not complete the request. Nothing was changed; try again.",
}

func invalidRequest(description string) error {
	return &api.Error{Status: http.StatusBadRequest, Code: api.CodeInvalidRequest, Description: description}
}

func unauthorized(description string) error {
	return &api.Error{Status: http.StatusUnauthorized, Code: api.CodeUnauthorized, Description: description}
}

// answer makes an endpoint a handler that always answers a JSON object.
func (s *server) answer(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i := info(r.Context()); i != nil {
			i.route = r.Pattern
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		v, err := e(r)
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
	var e *api.Error
	if !errors.As(err, &e) {
		// A caller who has gone needs no answer, and is no fault of ours.
		if r.Context().Err() == nil {
			s.Log.ErrorContext(r.Context(), "internal error", "error", err)
		}
		e = errInternal
	}
	s.writeJSON(w, r, e.Status, api.ErrorBody{Error: e.Code, ErrorCode: e.Code, ErrorDescription: e.Description})
}

func (s *server) writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an otpauth URI has its & as it is
	if err := enc.Encode(v); err != nil {
		s.Log.ErrorContext(r.Context(), "encode answer", "error", err)
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":"internal_error","errorCode":"internal_error"}`)
	}
	h := w.Header()
	// Without a charset: the official Python SDK compares it for equality.
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// readJSON decodes the body, a JSON object, into v. An empty body is an empty
// object, and unknown keys are ignored. Its errors name the field and never
// quote a value.
func readJSON(r *http.Request, v any) error {
	b, err := readBody(r)
	if err != nil {
		return err
	}
	return decodeJSON(b, v)
}

// readBody reads the whole body.
func readBody(r *http.Request) ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &api.Error{
			Status: http.StatusRequestEntityTooLarge, Code: api.CodeInvalidRequest,
			Description: fmt.Sprintf("The request body is longer than %d bytes.", maxBody),
		}
	}
	if err != nil {
		return nil, invalidRequest("The request body could not be read to its end.")
	}
	return b, nil
}

// decodeJSON is readJSON for a body that was read.
func decodeJSON(b []byte, v any) error {
	text := strings.TrimSpace(string(b))
	if text == "" {
		return nil
	}
	if text[0] != '{' {
		return invalidRequest("The request body must be a JSON object.")
	}
	err := json.Unmarshal(b, v)
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return invalidRequest(fmt.Sprintf("%s must be %s, not %s.", wrongType.Field, jsonType(wrongType.Type.Kind()), jsonValue(wrongType.Value)))
	}
	if err != nil {
		return invalidRequest("The request body is not valid JSON.")
	}
	if field := withNUL(reflect.ValueOf(v), ""); field != "" {
		return invalidRequest(field + " must not contain a NUL character.")
	}
	return nil
}

// withNUL names the first field of a decoded body with a NUL character, which
// PostgreSQL cannot store.
func withNUL(v reflect.Value, name string) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return withNUL(v.Elem(), name)
	case reflect.String:
		if strings.ContainsRune(v.String(), 0) {
			return name
		}
	case reflect.Struct:
		for i := range v.NumField() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if field := withNUL(v.Field(i), key); field != "" {
				return field
			}
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			if withNUL(key, name)+withNUL(value, name) != "" {
				return name
			}
		}
	}
	return ""
}

// jsonType names a Go kind as JSON does.
func jsonType(kind reflect.Kind) string {
	switch kind {
	case reflect.Bool:
		return "a boolean"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	}
	return "a number"
}

// jsonValue names the kind of a JSON value. The decoder adds a number itself
// to the kind; it may be a code, so it is cut off.
func jsonValue(value string) string {
	switch kind, _, _ := strings.Cut(value, " "); kind {
	case "bool":
		return "a boolean"
	case "array":
		return "a list"
	case "object":
		return "an object"
	default:
		return "a " + kind
	}
}

func pathAction(r *http.Request) (string, error) {
	action := r.PathValue("action")
	if !api.IsActionCode(action) {
		return "", invalidRequest("The action must be 1 to 64 letters, digits, dashes and underscores.")
	}
	return action, nil
}

func pathUserID(r *http.Request) (string, error) {
	return identifier("userId", r.PathValue("userId"))
}

// identifier checks a caller's own identifier: 1 to 256 characters, none of
// them a control character.
func identifier(name, s string) (string, error) {
	n := utf8.RuneCountInString(s)
	if n < 1 || n > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", invalidRequest(name + " must be 1 to 256 characters without control characters.")
	}
	return s, nil
}

// query is the query of a request.
func query(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalidRequest("The query of the path is malformed.")
	}
	return q, nil
}

const (
	// maxSearched is the longest text, in characters, that users and actions
	// are found by: a row of an index has to fit a page of the database.
	maxSearched = 256
	// maxText is the longest of the other texts of users and actions.
	maxText = 2048
)

// checkTexts takes names and texts in turn and reports the first that is too
// long.
func checkTexts(limit int, texts ...string) error {
	for i := 0; i < len(texts); i += 2 {
		if utf8.RuneCountInString(texts[i+1]) > limit {
			return invalidRequest(fmt.Sprintf("%s must have at most %d characters.", texts[i], limit))
		}
	}
	return nil
}
