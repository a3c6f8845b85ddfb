//go:build js && wasm

package main

import "syscall/js"

// page holds globals that the page may replace later; they are read once, at
// the start. fetch and console are not among them: they are read at each use, so
// that a replacement counts.
var page struct {
	abortController, number, object, string, url js.Value
	setTimeout, clearTimeout, now, parseDate     js.Value
	parseJSON, stringify, isArray                js.Value
	decodeURIComponent                           js.Value
	// toUpperCase stands in for strings.ToUpper, which brings 3 kB of
	// Unicode's tables into the compressed module.
	toUpperCase js.Value
}

// lookUpPage fills page. It is not an initializer because of TinyGo; see
// bridge.Init.
func lookUpPage() {
	global := js.Global()
	page.abortController, page.url = global.Get("AbortController"), global.Get("URL")
	page.number = global.Get("Number")
	page.object, page.string = global.Get("Object"), global.Get("String")
	page.setTimeout, page.clearTimeout = global.Get("setTimeout"), global.Get("clearTimeout")
	page.now, page.parseDate = global.Get("Date").Get("now"), global.Get("Date").Get("parse")
	page.parseJSON, page.stringify = global.Get("JSON").Get("parse"), global.Get("JSON").Get("stringify")
	page.isArray = global.Get("Array").Get("isArray")
	page.decodeURIComponent = global.Get("decodeURIComponent")
	page.toUpperCase = global.Get("String").Get("prototype").Get("toUpperCase")
}
