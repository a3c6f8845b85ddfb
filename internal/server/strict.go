package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// What is our own, the management API above all, ignores nothing of a request: a
// misspelt setting that is ignored looks like one that was stored. The Server and
// the client API ignore what they do not know, because the official SDKs send more
// than this server reads (wire contract, section 11).

// strict returns an endpoint that accepts only some query parameters, each once,
// and no body with GET and DELETE.
func strict(e endpoint, parameters ...string) endpoint {
	return func(r *http.Request) (any, error) {
		q, err := query(r)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(q)) {
			if !slices.Contains(parameters, name) {
				known := "This path takes none."
				if len(parameters) > 0 {
					known = "This path takes " + strings.Join(parameters, ", ") + "."
				}
				return nil, api.InvalidRequest(fmt.Sprintf("The query parameter %.64q is unknown. %s", name, known))
			}
			if len(q[name]) > 1 {
				return nil, api.InvalidRequest("The query parameter " + name + " occurs twice.")
			}
		}
		if r.Method == http.MethodGet || r.Method == http.MethodDelete {
			if err := noBody(r); err != nil {
				return nil, err
			}
		}
		return e(r)
	}
}

// noBody returns an error unless the body is empty or an empty object.
func noBody(r *http.Request) error { return readStrict(r, &struct{}{}) }

// readStrict is readJSON, but a key that v does not have, in this spelling, a key
// that occurs twice, and a null are errors.
func readStrict(r *http.Request, v any) error {
	b, err := readBody(r)
	if err != nil {
		return err
	}
	if err := decodeJSON(b, v); err != nil {
		return err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	return checkKeys(d, reflect.TypeOf(v), "")
}

// checkKeys reads a value of type t, which decodeJSON has accepted.
func checkKeys(d *json.Decoder, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case nil:
		return api.InvalidRequest(path + " must not be null. Leave out what is not to be changed.")
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if err := checkKeys(d, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	case json.Delim('{'):
		if err := checkObject(d, t, path); err != nil {
			return err
		}
		_, err = d.Token()
		return err
	}
	return nil
}

func checkObject(d *json.Decoder, t reflect.Type, path string) error {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	what, of := "The request body", ""
	if path != "" {
		what, of = path, path+"."
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key := token.(string)
		field, known := fields[key]
		switch {
		case !known && len(fields) == 0:
			return api.InvalidRequest(fmt.Sprintf("The request body must be empty, and has the key %.64q.", key))
		case !known:
			return api.InvalidRequest(fmt.Sprintf("%s has the unknown key %.64q. Its keys are %s.", what, key, strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
		case seen[key]:
			return api.InvalidRequest(fmt.Sprintf("%s has the key %s twice.", what, key))
		}
		seen[key] = true
		if err := checkKeys(d, field, of+key); err != nil {
			return err
		}
	}
	return nil
}
