//go:build js && wasm

// Command wasm is the browser module: enrollment and verification of
// authenticator apps for a page or Node 20 that loads it with wasm_exec.js. It
// publishes one global, before go.run first yields:
//
//	authsignal.Authsignal      the class:
//	    new Authsignal({tenantId, baseUrl, onTokenExpired, enableLogging})
//	    .setToken(token)
//	    .totp.enroll({signal, timeout})        -> Promise<{data} | {error, errorCode, errorDescription, retryAfter?}>
//	    .totp.verify({code, signal, timeout})  -> the same
//	    .dispose()
//	authsignal.qr.toSVG(text, options)      -> Promise<string>
//	authsignal.qr.toDataURL(text, options)  -> Promise<string>, of the SVG
//	authsignal.qr.matrix(text, options)     -> Promise<{size, bits}>
//
// The options of qr are {errorCorrectionLevel, margin, scale, width, color:
// {dark, light}, title}. What is all DOM is not here but in the wrapper
// (js/src): launch, the cookie with the anonymous ID, canvases.
//
// It runs in Chrome and Edge from 96, Firefox from 79 and Safari from 15 on:
// the first with WebAssembly's reference types (see bridge.ThrowingFunc) and
// the bulk memory operations that Go needs. What is younger, such as
// Object.hasOwn, is not used, or not relied on.
//
// This package converts between JavaScript and Go; what the SDK does is decided
// in internal/client and internal/qr.
package main

func main() {
	publish()
	select {}
}
