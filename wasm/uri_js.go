//go:build js && wasm

package main

import (
	"strings"
	"syscall/js"

	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// upperCase stands in for strings.ToUpper, which brings 3 kB of Unicode's
// tables into the compressed module.
var upperCase = js.Global().Get("String").Get("prototype").Get("toUpperCase")

// describe sets on data what an otpauth:// URI says, as an authenticator app
// shows it: issuer, account, digits, period (seconds) and algorithm. Its form is
// Google Authenticator's "Key URI Format": what is left out has the default
// that is given there. A key that the server has sent stays as it is, and what
// cannot be read is left out.
func describe(data js.Value, uri string) {
	url, err := bridge.Try(func() js.Value { return js.Global().Get("URL").New(uri) })
	if err != nil || url.Get("protocol").String() != "otpauth:" {
		return
	}
	set := func(key string, value any) {
		if !bridge.HasOwn(data, key) {
			data.Set(key, value)
		}
	}
	parameter := func(key, missing string) string {
		if v := url.Get("searchParams").Call("get", key); !v.IsNull() {
			return v.String()
		}
		return missing
	}

	// Where the browser splits off the host, the path is "/label"; where it
	// does not, which is what Chrome before 130 and Firefox before 132 do with
	// schemes that they do not know, it is "//totp/label".
	label := url.Get("pathname").String()
	if after, ok := strings.CutPrefix(label, "//"); ok {
		_, label, _ = strings.Cut(after, "/")
	}
	label, err = decode(strings.TrimPrefix(label, "/"))
	if err == nil {
		issuer, account, ok := strings.Cut(label, ":")
		if !ok {
			issuer, account = "", label
		}
		set("issuer", parameter("issuer", issuer))
		set("account", strings.TrimLeft(account, " "))
	}
	number := func(key, missing string) {
		if n := js.Global().Get("Number").Invoke(parameter(key, missing)).Float(); n > 0 {
			set(key, n)
		}
	}
	number("digits", "6")
	number("period", "30")
	set("algorithm", upperCase.Call("call", parameter("algorithm", "SHA1")))
}

// decode undoes percent-encoding.
func decode(text string) (string, error) {
	v, err := bridge.Try(func() js.Value { return js.Global().Call("decodeURIComponent", text) })
	if err != nil {
		return "", err
	}
	return v.String(), nil
}
