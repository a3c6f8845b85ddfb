package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/address"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/rules"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// readJSON decodes the body, a JSON object, into v. An empty body is an empty
// object, and unknown keys are ignored. Errors name the field and never quote a
// value.
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
		return nil, api.InvalidRequest("The request body ended, or paused for too long, before the length that Content-Length declares.")
	}
	return b, nil
}

// decodeJSON is readJSON for a body that has been read.
func decodeJSON(b []byte, v any) error {
	text := strings.TrimSpace(string(b))
	if text == "" {
		return nil
	}
	if text[0] != '{' {
		return api.InvalidRequest("The request body must be a JSON object.")
	}
	if !utf8.Valid(b) { // the decoder would map different texts to the same one
		return api.InvalidRequest("The request body is not UTF-8.")
	}
	// The numbers of custom data are checked in their original form.
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err := d.Decode(v)
	if err == nil {
		if _, rest := d.Token(); rest != io.EOF {
			err = errors.New("there is more than one value")
		}
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return api.InvalidRequest(fmt.Sprintf("%s must be %s, not %s.", wrongType.Field, jsonType(wrongType.Type.Kind()), jsonValue(wrongType.Value)))
	}
	if err != nil {
		return api.InvalidRequest("The request body is not valid JSON.")
	}
	// JSON has no other form of a NUL character (RFC 8259, section 7).
	if bytes.Contains(b, []byte(`\u0000`)) {
		if field := withNUL(reflect.ValueOf(v), ""); field != "" {
			return api.InvalidRequest(field + " must not contain a NUL character.")
		}
	}
	return nil
}

// withNUL returns the name of the first field of a decoded body that has a NUL
// character, which PostgreSQL cannot store.
func withNUL(v reflect.Value, name string) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return withNUL(v.Elem(), name)
	case reflect.String:
		if strings.ContainsRune(v.String(), 0) {
			return name
		}
	case reflect.Slice:
		for i := range v.Len() {
			if withNUL(v.Index(i), name) != "" {
				return name
			}
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

// jsonType returns the JSON type of a Go kind.
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

// jsonValue returns the type of a JSON value. The decoder appends a number to the
// type; it may be a code, so it is removed.
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
		return "", api.InvalidRequest("The action must be " + api.ActionCodeForm + ".")
	}
	return action, nil
}

// pathActionID returns the action of the path.
func pathActionID(r *http.Request) (id store.ActionID, err error) {
	if id.UserID, err = pathUserID(r); err != nil {
		return id, err
	}
	if id.Action, err = pathAction(r); err != nil {
		return id, err
	}
	id.IdempotencyKey, err = identifier("idempotencyKey", r.PathValue("idempotencyKey"))
	return id, err
}

// pathUserID returns the user id of the path, as the caller's tenant stores it.
func pathUserID(r *http.Request) (string, error) { return userIDOf(tenant(r), r.PathValue("userId")) }

// userIDOf checks a user id, and returns it as the tenant stores it.
func userIDOf(t store.Tenant, id string) (string, error) {
	if _, err := identifier("userId", id); err != nil {
		return "", err
	}
	return identifier("userId", t.UserID(id)) // folding can make it longer, or empty
}

// identifier checks an identifier that a caller has chosen: 1 to 256 characters,
// without control characters.
func identifier(name, s string) (string, error) {
	if !manage.IsIdentifier(s) {
		return "", api.InvalidRequest(name + " must be " + manage.IdentifierForm + ".")
	}
	return s, nil
}

// query returns the query of a request.
func query(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, api.InvalidRequest("The query of the URL is malformed.")
	}
	return q, nil
}

const (
	// maxSearched is the maximum length, in characters, of texts that users and
	// actions are found by: a row of an index must fit a page of the database.
	maxSearched = 256
	// maxText is the maximum length, in bytes, of the other texts of users and
	// actions: that of texts in rules.
	maxText = rules.MaxText
	// maxDeviceID is the number of bytes of a device id that are used: it is in
	// an index.
	maxDeviceID = 256
	// maxLocale is the maximum length of a locale in bytes.
	maxLocale = 256
	// maxBody is the maximum size of a request body in bytes.
	maxBody = 1 << 20
)

// checkSearched returns an error if one of the texts, by which users are found, is
// too long. Its arguments are names and texts in turn.
func checkSearched(texts ...string) error {
	for i := 0; i < len(texts); i += 2 {
		if utf8.RuneCountInString(texts[i+1]) > maxSearched {
			return api.InvalidRequest(fmt.Sprintf("%s must have at most %d characters.", texts[i], maxSearched))
		}
	}
	return nil
}

// checkTexts is checkSearched for other texts.
func checkTexts(texts ...string) error {
	for i := 0; i < len(texts); i += 2 {
		if len(texts[i+1]) > maxText {
			return api.InvalidRequest(fmt.Sprintf("%s must have at most %d bytes.", texts[i], maxText))
		}
	}
	return nil
}

// cut shortens a text to at most a number of bytes, at the boundary of a
// character. Texts about the user's device are cut and not refused for their
// length, because they come from the user's browser (wire contract, section 11,
// row 32).
func cut(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}

// deviceAddress returns the address of a tracked ipAddress in the form of RFC
// 5952: the first of a list, without port, brackets and zone, and an IPv4-mapped
// one as IPv4. If the text is not an address, it returns "".
func deviceAddress(text string) string {
	first, _, _ := strings.Cut(text, ",")
	a, err := address.Parse(strings.TrimSpace(first))
	if err != nil {
		return ""
	}
	return a.String()
}

const (
	// maxCustomKeys and maxCustomSize are the maximum number of keys of custom
	// data, and the maximum size of its JSON in bytes.
	maxCustomKeys = 256
	maxCustomSize = 64 << 10
	// maxWhole is the number from which on doubles cannot represent every
	// integer (RFC 8259, section 6).
	maxWhole = 1 << 53
)

// readCustom checks decoded custom data, and converts each number to float64. A
// null is an absent value.
func readCustom(custom map[string]any) error {
	maps.DeleteFunc(custom, func(_ string, value any) bool { return value == nil })
	if len(custom) > maxCustomKeys {
		return api.InvalidRequest(fmt.Sprintf("custom must have at most %d keys.", maxCustomKeys))
	}
	b, err := json.Marshal(custom)
	if err != nil {
		return err
	}
	if len(b) > maxCustomSize {
		return api.InvalidRequest(fmt.Sprintf("custom must have at most %d bytes of JSON.", maxCustomSize))
	}
	for key, value := range custom {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for i, v := range list {
			if list[i], err = customValue(key, v); err != nil {
				return err
			}
		}
		if !ok {
			custom[key] = list[0]
		}
	}
	return nil
}

// customValue checks a single value of custom data.
func customValue(key string, value any) (any, error) {
	switch v := value.(type) {
	case string, bool:
		return v, nil
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil, api.InvalidRequest(fmt.Sprintf("custom: the number %.64q is too large for a double.", key))
		}
		if math.Abs(f) >= maxWhole {
			return nil, api.InvalidRequest(fmt.Sprintf("custom: the number %.64q is 2^53 or larger, where doubles are not exact; send it as a string.", key))
		}
		return f, nil
	}
	return nil, api.InvalidRequest(fmt.Sprintf("custom: the value of %.64q must be a string, a number, a boolean, or a list of these.", key))
}

// checkState returns an error if a state is unknown.
func checkState(state api.State) error {
	if slices.Contains(api.States, state) {
		return nil
	}
	names := make([]string, len(api.States))
	for i, s := range api.States {
		names[i] = string(s)
	}
	return api.InvalidRequest("state must be one of " + strings.Join(names, ", ") + ".")
}
