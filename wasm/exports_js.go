//go:build js && wasm

package main

import (
	"syscall/js"

	"github.com/authsignal-wasm/sdk/internal/client"
	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// newClass makes the class Authsignal. The methods of an instance are the same
// functions for all instances, bound to the instance's configuration. So they
// work without a this, and Go keeps nothing of an instance that the page drops.
func newClass(calls handlers) js.Value {
	setToken := bridge.Throwing(2, setToken)
	enroll := bridge.Promising(3, calls.enroll)
	verify := bridge.Promising(3, calls.verify)
	recovery := bridge.Promising(4, calls.recovery)
	dispose := bridge.Throwing(1, dispose)
	return bridge.Class("Authsignal", func(options js.Value) (js.Value, *bridge.Exception) {
		config, err := readConfig(options)
		if err != nil {
			return js.Undefined(), err
		}
		totp := bridge.NewObject("enroll,verify", bridge.Bind(enroll, config), bridge.Bind(verify, config))
		codes := bridge.NewObject("status,generate,confirm,verify", bridge.Bind(recovery, config, "status"), bridge.Bind(recovery, config, "generate"),
			bridge.Bind(recovery, config, "confirm"), bridge.Bind(recovery, config, "verify"))
		return bridge.NewObject("setToken,totp,recoveryCodes,dispose", bridge.Bind(setToken, config), totp, codes, bridge.Bind(dispose, config)), nil
	})
}

// An optionReader reads properties of an object that the page passed. After the
// first error it reads no more; err is that error.
type optionReader struct{ err *bridge.Exception }

func (r *optionReader) get(from js.Value, key string) js.Value {
	if r.err != nil {
		return js.Undefined()
	}
	v, err := bridge.Get(from, key)
	r.err = err
	return v
}

func (r *optionReader) refuse(err *bridge.Exception) {
	if r.err == nil {
		r.err = err
	}
}

// readConfig reads and checks the constructor's options; see readOptions in
// guard.js. The result is a JavaScript object that the page does not have.
func readConfig(options js.Value) (js.Value, *bridge.Exception) {
	config, err := bridge.Call(bridge.Guard("readOptions"), js.Undefined(), options)
	if err == nil {
		// Aborting it ends the instance and all its calls in progress.
		bridge.Define(config, "end", page.abortController.New())
	}
	return config, err
}

// text returns the message of an error of use, by its name in guard.js.
func text(name string) string { return bridge.Guard("texts").Get(name).String() }

// clientOf returns the client of an instance.
func clientOf(config js.Value) client.Client {
	return client.Client{BaseURL: config.Get("baseUrl").String(), Logging: config.Get("enableLogging").Bool()}
}

// tokenOf returns the token that is kept for an instance.
func tokenOf(config js.Value) string {
	return bridge.Guard("tokens").Call("get", config.Get("tenantId"), config.Get("baseUrl")).String()
}

// keepToken keeps a token for all instances of the same tenant and API. An empty
// token removes the one that is kept.
func keepToken(config js.Value, token any) {
	bridge.Guard("tokens").Call("set", config.Get("tenantId"), config.Get("baseUrl"), token)
}

// errDisposed returns the error of a call after dispose, or nil if the instance
// is not disposed.
func errDisposed(config js.Value) *bridge.Exception {
	if config.Get("end").Get("signal").Get("aborted").Bool() {
		return bridge.Error(text("disposed"))
	}
	return nil
}

// dispose is instance.dispose().
func dispose(args []js.Value) (js.Value, *bridge.Exception) {
	config := args[0]
	if errDisposed(config) == nil {
		keepToken(config, "")
		bridge.CallMethod(config.Get("end"), "abort")
	}
	return js.Undefined(), nil
}

// setToken is instance.setToken(token).
func setToken(args []js.Value) (js.Value, *bridge.Exception) {
	config, token := args[0], args[1]
	if err := errDisposed(config); err != nil {
		return js.Undefined(), err
	}
	if !bridge.IsNullish(token) && bridge.KindOf(token) != bridge.String {
		return js.Undefined(), bridge.TypeError(text("token"))
	}
	keepToken(config, token)
	return js.Undefined(), nil
}
