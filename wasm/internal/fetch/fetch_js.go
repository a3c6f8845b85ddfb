//go:build js && wasm

// Package fetch is the client's transport over the browser's fetch. It knows
// HTTP and nothing of what the answers mean.
package fetch

import (
	"syscall/js"

	"github.com/authsignal-wasm/sdk/internal/client"
	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// maxBody is the longest answer that is taken, in bytes as the Content-Length
// header says them, or in UTF-16 code units where it does not. Answers of the API have less than a thousandth of it.
const maxBody = 1 << 20

// Transport sends requests with the page's fetch, the one of the moment.
type Transport struct{}

// Send implements client.Transport. Both the answer's header and its body must
// arrive before ctx is done.
//
// There is no credentials option: a token authenticates, cookies do not. A
// redirect is an error, for it would hand token and code to another address.
func (Transport) Send(ctx client.Context, r client.Request) (client.Response, error) {
	controller := js.Global().Get("AbortController").New()
	// However Send ends, nothing goes on behind it. When the whole answer has
	// been read, this does nothing.
	defer controller.Call("abort")
	init := bridge.Object(
		"method", r.Method,
		// A plain object: with a bad value in it fetch rejects, while
		// Headers.append throws.
		"headers", bridge.Object("Content-Type", "application/json", "Authorization", "Bearer "+r.Token),
		"redirect", "error",
		"signal", controller.Get("signal"),
	)
	if r.Body != "" {
		init.Set("body", r.Body)
	}
	answer, err := call(ctx, func() js.Value {
		// Invoked, not called on the global object, which may be a stand-in.
		return js.Global().Get("fetch").Invoke(r.URL, init)
	})
	if err != nil {
		return client.Response{}, err
	}
	// The page may have put its own fetch in place: what it answers is read
	// with care.
	status, err := bridge.Get(answer, "status")
	if err != nil {
		return client.Response{}, err
	}
	headers, err := bridge.Get(answer, "headers")
	if err != nil {
		return client.Response{}, err
	}
	response := client.Response{Status: status.Int(), RetryAfter: retryAfter(headers)}
	if tooLong(headers) {
		return response, nil
	}
	text, err := call(ctx, func() js.Value { return answer.Call("text") })
	if err != nil {
		return client.Response{}, err
	}
	// Object makes an object of the text, for syscall/js asks no primitive for
	// its length.
	if js.Global().Get("Object").Invoke(text).Get("length").Int() > maxBody {
		return response, nil
	}
	if v, ok := parse(text); ok {
		response.Body = Body{v}
	}
	return response, nil
}

// call awaits the promise of f.
func call(ctx client.Context, f func() js.Value) (js.Value, error) {
	p, err := bridge.Try(f)
	if err != nil {
		return js.Undefined(), err
	}
	return bridge.Await(ctx, p)
}

// tooLong says whether headers announce more than maxBody.
func tooLong(headers js.Value) bool {
	length := headers.Call("get", "content-length") // null if it is not given
	return js.Global().Get("Number").Invoke(length).Float() > maxBody
}

// retryAfter reads the header Retry-After, in seconds or as a date (RFC 9110,
// section 10.2.3); the result is in seconds from now.
func retryAfter(headers js.Value) float64 {
	v := headers.Call("get", "retry-after")
	if v.Type() != js.TypeString {
		return 0
	}
	seconds := js.Global().Get("Number").Invoke(v).Float()
	if seconds != seconds { // NaN
		date := js.Global().Get("Date")
		seconds = (date.Call("parse", v).Float() - date.Call("now").Float()) / 1000
	}
	return seconds
}

// parse gives the JSON object in text, and false if there is anything else in
// it.
func parse(text js.Value) (js.Value, bool) {
	v, err := bridge.Try(func() js.Value { return js.Global().Get("JSON").Call("parse", text) })
	if err != nil || v.Type() != js.TypeObject || js.Global().Get("Array").Call("isArray", v).Bool() {
		return js.Undefined(), false
	}
	return v, true
}

// Body is a client.Body over the object that JSON.parse made.
type Body struct {
	Value js.Value
}

// Has implements client.Body. A key is one of the object's own: what the page
// put on Object.prototype is no part of the answer.
func (b Body) Has(key string) bool {
	return bridge.HasOwn(b.Value, key)
}

// String implements client.Body.
func (b Body) String(key string) (string, bool) {
	if !b.Has(key) {
		return "", false
	}
	v := b.Value.Get(key)
	if v.Type() != js.TypeString {
		return "", false
	}
	return v.String(), true
}

// Number implements client.Body.
func (b Body) Number(key string) (float64, bool) {
	if !b.Has(key) {
		return 0, false
	}
	v := b.Value.Get(key)
	if v.Type() != js.TypeNumber {
		return 0, false
	}
	return v.Float(), true
}
