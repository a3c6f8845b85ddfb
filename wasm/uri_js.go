//go:build js && wasm

package main

import (
	"strings"
	"syscall/js"

	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// describe sets on data the parts of an otpauth:// URI, as an authenticator app
// shows them: issuer, account, digits, period (seconds) and algorithm. The format
// and its defaults are those of Google Authenticator's "Key URI Format". Keys
// that the server sent keep their values, and parts that cannot be read are left
// out.
func describe(data js.Value, uri string) {
	url, err := bridge.New(page.url, uri)
	if err != nil {
		return
	}
	// The page may have replaced URL: its properties may throw or be missing.
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

	// The path is "/label" if the browser splits off the host, and
	// "//totp/label" if it does not: Chrome before 130 and Firefox before 132 do
	// not split it off for unknown schemes.
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

// splitLabel splits a label, "issuer:account" or "account". It splits after known,
// the issuer in the URI's parameter, if the label begins with it, otherwise at the
// first colon: both an issuer and an account may contain colons. If known is not
// empty, it is the issuer, whatever the label says.
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
