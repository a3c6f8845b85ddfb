//go:build js && wasm

// Command wasm is the browser module: enrollment and verification of
// authenticator apps for a page or Node 20 that starts it with the wasm_exec.js
// beside it. It publishes one global, before go.run first yields:
//
//	authsignal.Authsignal      the class:
//	    new Authsignal({tenantId, baseUrl, onTokenExpired, enableLogging})
//	    .setToken(token)
//	    .totp.enroll({name, signal, timeout})  -> Promise<{data} | {error, errorCode, errorDescription, retryAfter?}>
//	    .totp.verify({code, signal, timeout})  -> the same
//	    .recoveryCodes.status, .generate       -> the same; they take {signal, timeout}
//	    .recoveryCodes.confirm, .verify        -> the same; they take {code, signal, timeout}, or {saved: true} to confirm
//	    .dispose()
//	authsignal.qr.toSVG(text, options)      -> Promise<string>
//	authsignal.qr.toDataURL(text, options)  -> Promise<string>, of the SVG
//	authsignal.qr.matrix(text, options)     -> Promise<{size, bits}>
//
// The options of qr are {errorCorrectionLevel, margin, scale, width, color:
// {dark, light}, title}. Features of the DOM are in the wrapper (js/src) instead:
// launch, the cookie with the anonymous ID, canvases.
//
// This package converts between JavaScript and Go; the logic of the SDK is
// in internal/client and internal/qr. It never blocks and uses no goroutine, no
// channel and no recover. So Go and TinyGo compile the same sources, and the
// module needs no scheduler.
package main

import (
	"syscall/js"

	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// publish replaces globalThis.authsignal, which is the loader's guard until then.
func publish() {
	if !bridge.Init(js.Global().Get("authsignal")) {
		js.Global().Get("console").Call("error", "authsignal.wasm: start it with the wasm_exec.js of the same package, not with the compiler's own")
		return
	}
	lookUpPage()
	calls := newHandlers()
	qr := bridge.NewObject("toSVG,toDataURL,matrix",
		bridge.Promising(2, toSVG), bridge.Promising(2, toDataURL), bridge.Promising(2, matrix))
	js.Global().Set("authsignal", bridge.NewObject("Authsignal,qr", newClass(calls), qr))
}
