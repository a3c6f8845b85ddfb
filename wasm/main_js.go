//go:build js && wasm

// Command wasm is the browser module: enrollment and verification of
// authenticator apps for a page or Node 20 that loads it with wasm_exec.js. It
// publishes one global, before go.run first yields:
//
//	authsignal.Authsignal      the class:
//	    new Authsignal({tenantId, baseUrl, onTokenExpired, enableLogging})
//	    .setToken(token)
//	    .totp.enroll({signal, timeout})        -> Promise<{data} | {error, errorCode, errorDescription}>
//	    .totp.verify({code, signal, timeout})  -> the same
//	authsignal.qr.toSVG(text, {errorCorrectionLevel, margin, title, width})  -> Promise<string>
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
