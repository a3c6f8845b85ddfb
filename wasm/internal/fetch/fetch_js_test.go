//go:build js && wasm

package fetch

import (
	"syscall/js"
	"testing"
)

func object(t *testing.T, json string) Body {
	t.Helper()
	v, ok := parse(js.ValueOf(json))
	if !ok {
		t.Fatalf("%s is not taken for an object", json)
	}
	return Body{v}
}

func TestParseTakesObjectsOnly(t *testing.T) {
	for _, text := range []string{"", "null", "[]", `"{}"`, "7", "true", "{", "<html>"} {
		if v, ok := parse(js.ValueOf(text)); ok {
			t.Errorf("%q: got %v, want nothing", text, v)
		}
	}
}

func TestBodyHasItsOwnKeysOnly(t *testing.T) {
	prototype := js.Global().Get("Object").Get("prototype")
	prototype.Set("error", "polluted")
	defer prototype.Delete("error")
	b := object(t, `{"a":null,"__proto__":{"b":1}}`)
	for key, want := range map[string]bool{"a": true, "b": false, "error": false, "toString": false, "__proto__": true} {
		if got := b.Has(key); got != want {
			t.Errorf("Has(%q): got %t, want %t", key, got, want)
		}
	}
	if got, ok := b.String("error"); ok {
		t.Errorf("String of a key of the prototype: got %q", got)
	}
}

func TestBodyString(t *testing.T) {
	b := object(t, `{"text":"日本","empty":"","number":7,"null":null,"object":{}}`)
	for key, want := range map[string]string{"text": "日本", "empty": ""} {
		if got, ok := b.String(key); !ok || got != want {
			t.Errorf("String(%q): got %q, %t, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"number", "null", "object", "absent"} {
		if got, ok := b.String(key); ok {
			t.Errorf("String(%q): got %q, want none", key, got)
		}
	}
}
