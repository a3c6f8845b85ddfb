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
// This package converts between JavaScript and Go; what the SDK does is decided
// in internal/client and internal/qr.
package main

func main() {
	publish()
	select {}
}
