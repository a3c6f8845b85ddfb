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
	url, err := bridge.New(page.url, uri)
	if err != nil {
		return
	}
	// URL may be a stand-in of the page's, with parts that throw or are missing.
	var r optionReader
	protocol, pathname, parameters := r.get(url, "protocol"), r.get(url, "pathname"), r.get(url, "searchParams")
	if r.err != nil || bridge.KindOf(protocol) != bridge.String || protocol.String() != "otpauth:" || bridge.KindOf(pathname) != bridge.String {
		return
	}
	set := func(key string, value any) {
		if bridge.Own(data, key).IsUndefined() {
			bridge.Define(data, key, value)
		}
	}
	parameter := func(key, missing string) string {
		if v, err := bridge.CallMethod(parameters, "get", key); err == nil && bridge.KindOf(v) == bridge.String {
			return v.String()
		}
		return missing
	}

	// Where the browser splits off the host, the path is "/label"; where it
	// does not, which is what Chrome before 130 and Firefox before 132 do with
	// schemes that they do not know, it is "//totp/label".
	path := pathname.String()
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
	if algorithm, err := bridge.Call(page.toUpperCase, js.ValueOf(parameter("algorithm", "SHA1"))); err == nil {
		set("algorithm", algorithm)
	}
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
