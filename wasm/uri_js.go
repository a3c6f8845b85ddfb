//go:build js && wasm

package main

import (
	"strings"
	"syscall/js"

	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// describe sets on data what an otpauth:// URI says, as an authenticator app
// shows it: issuer, account, digits, period (seconds) and algorithm. Its form is
// Google Authenticator's "Key URI Format": what is left out has the default
// that is given there. A key that the server has sent stays as it is, and what
// cannot be read is left out.
func describe(data js.Value, uri string) {
	url, err := bridge.Call(page.construct, js.Undefined(), page.url, []any{uri})
	if err != nil || url.Get("protocol").String() != "otpauth:" {
		return
	}
	set := func(key string, value any) {
		if bridge.Own(data, key).IsUndefined() {
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
	path := url.Get("pathname").String()
	if after, ok := strings.CutPrefix(path, "//"); ok {
		_, path, _ = strings.Cut(after, "/")
	}
	label, err := bridge.Call(page.decodeURIComponent, js.Undefined(), strings.TrimPrefix(path, "/"))
	if err == nil {
		issuer, account := splitLabel(label.String(), parameter("issuer", ""))
		set("issuer", issuer)
		set("account", account)
	}
	number := func(key, missing string) {
		if n := page.number.Invoke(parameter(key, missing)).Float(); n > 0 {
			set(key, n)
		}
	}
	number("digits", "6")
	number("period", "30")
	set("algorithm", page.toUpperCase.Call("call", parameter("algorithm", "SHA1")))
}

// splitLabel splits a label, "issuer:account" or "account", after the issuer
// that the URI's parameter names, otherwise at the first colon: an issuer and an
// account may have colons too. The parameter counts for more than the label.
func splitLabel(label, known string) (issuer, account string) {
	account, ok := strings.CutPrefix(label, known+":")
	if known == "" || !ok {
		issuer, account, ok = strings.Cut(label, ":")
		if !ok {
			issuer, account = "", label
		}
	}
	if known != "" {
		issuer = known
	}
	return issuer, strings.TrimLeft(account, " ")
}
