//go:build js && wasm

package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"syscall/js"
	"testing"
	"time"
)

//go:embed internal/bridge/guard.js
var guardJS string

func TestMain(m *testing.M) {
	if os.Getenv("AUTHSIGNAL_TEST_PEER") == "" {
		fmt.Println("these tests need their peers: run go test ./wasm, which starts them and a browser")
		os.Exit(1)
	}
	js.Global().Set("authsignal", eval(strings.ReplaceAll(guardJS, "export ", "")+"; return makeGuard(makeTokens())"))
	publish()
	unhandled := eval(`const all = []; addEventListener("unhandledrejection", e => all.push(String(e.reason))); return all`)
	status := m.Run()
	if n := unhandled.Length(); n > 0 {
		fmt.Printf("got %d unhandled rejections: %s\n", n, show(unhandled))
		status = 1
	}
	os.Exit(status)
}

// The base URLs of the servers that TestBrowser started.
var (
	peer          = os.Getenv("AUTHSIGNAL_TEST_PEER")
	downAPI       = os.Getenv("AUTHSIGNAL_TEST_DOWN")
	trueAPI       = os.Getenv("AUTHSIGNAL_TEST_API")
	shortLivedAPI = os.Getenv("AUTHSIGNAL_TEST_SHORT_LIVED_API")
)

// eval runs JavaScript with its arguments as a, b and c, as a page would.
func eval(body string, args ...any) js.Value {
	return js.Global().Get("Function").New("a", "b", "c", body).Invoke(args...)
}

// object creates a JavaScript object from alternating keys and values.
func object(keysAndValues ...any) js.Value {
	o := js.Global().Get("Object").New()
	for i := 0; i < len(keysAndValues); i += 2 {
		o.Set(keysAndValues[i].(string), keysAndValues[i+1])
	}
	return o
}

// settle waits for a promise. ok reports whether it was fulfilled.
func settle(t *testing.T, p js.Value) (v js.Value, ok bool) {
	t.Helper()
	done := make(chan js.Value, 1)
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- args[0]
		return nil
	})
	defer f.Release()
	eval(`Promise.allSettled([a]).then(r => b(r[0]))`, p, f)
	select {
	case r := <-done:
		if r.Get("status").String() == "fulfilled" {
			return r.Get("value"), true
		}
		return r.Get("reason"), false
	case <-time.After(2 * time.Minute):
		t.Fatal("the promise did not settle")
		panic("unreachable")
	}
}

// resolved waits for a promise that must not be rejected.
func resolved(t *testing.T, p js.Value) js.Value {
	t.Helper()
	v, ok := settle(t, p)
	if !ok {
		t.Fatalf("rejected with %s", show(v))
	}
	return v
}

// rejected waits for a promise that must be rejected.
func rejected(t *testing.T, p js.Value) js.Value {
	t.Helper()
	v, ok := settle(t, p)
	if ok {
		t.Fatalf("resolved to %s, want a rejection", show(v))
	}
	return v
}

// show returns v as JSON, with undefined and errors written out.
func show(v js.Value) string {
	return eval(`return a instanceof Error ? a.name + ": " + a.message
		: String(JSON.stringify(a, (k, v) => v === undefined ? "<undefined>" : v))`, v).String()
}

// newInstance creates an instance of a tenant that no other test uses.
func newInstance(t *testing.T, baseURL string, more ...any) js.Value {
	t.Helper()
	options := object(append([]any{"tenantId", t.Name(), "baseUrl", baseURL}, more...)...)
	return js.Global().Get("authsignal").Get("Authsignal").New(options)
}

// withToken is newInstance with a token set.
func withToken(t *testing.T, baseURL string, more ...any) js.Value {
	t.Helper()
	a := newInstance(t, baseURL, more...)
	a.Call("setToken", "tok")
	return a
}

func enrollWith(a js.Value, options ...any) js.Value { return a.Get("totp").Call("enroll", options...) }

func verifyCode(a js.Value, code any) js.Value {
	return a.Get("totp").Call("verify", object("code", code))
}

// replace puts v in place of a property until the test ends.
func replace(t *testing.T, of js.Value, key string, v any) {
	t.Helper()
	old := of.Get(key)
	of.Set(key, v)
	t.Cleanup(func() { of.Set(key, old) })
}

// console collects the output of console.error until the test ends.
func console(t *testing.T) (lines func() string) {
	t.Helper()
	all := js.Global().Get("Array").New()
	replace(t, js.Global().Get("console"), "error", eval(`return line => { a.push(line) }`, all))
	return func() string { return all.Call("join", "\n").String() }
}

// requests counts calls of fetch until the test ends.
func requests(t *testing.T) (count func() int) {
	t.Helper()
	all := js.Global().Get("Array").New()
	replace(t, js.Global(), "fetch", eval(`const f = fetch; return (...args) => { a.push(args); return f(...args) }`, all))
	return all.Length
}

// post calls the backend of the peer.
func post(t *testing.T, path string, form ...string) js.Value {
	t.Helper()
	query := js.Global().Get("URLSearchParams").New()
	for i := 0; i < len(form); i += 2 {
		query.Call("set", form[i], form[i+1])
	}
	return resolved(t, eval(`return fetch(a, {method: "POST", body: b}).then(async r => {
		if (!r.ok) throw new Error(await r.text()); return r.json() })`, peer+path, query))
}

// track tracks an action of a user on the API server and returns the token.
func track(t *testing.T, user string) string {
	t.Helper()
	return post(t, "/track", "user", user).Get("token").String()
}

func checkShow(t *testing.T, got js.Value, want string) {
	t.Helper()
	if s := show(got); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
}

func checkCode(t *testing.T, got js.Value, want string) {
	t.Helper()
	if keys := eval(`return Object.keys(a).join()`, got).String(); keys != "error,errorCode,errorDescription" {
		t.Errorf("got keys %s, want those of an error: %s", keys, show(got))
		return
	}
	if code := got.Get("errorCode").String(); code != want {
		t.Errorf("got code %s, want %s", code, want)
	}
	if e, d := got.Get("error").String(), got.Get("errorDescription").String(); e != d || !strings.HasSuffix(d, ".") {
		t.Errorf("got error %q and description %q, want one sentence", e, d)
	}
}
