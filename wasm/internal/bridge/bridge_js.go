//go:build js && wasm

// Package bridge is the door between Go and JavaScript: promises out, awaits
// in, functions, arguments and errors. It decides nothing about the SDK; only
// the browser module uses it.
//
// Two rules keep the module alive. JavaScript that may throw is called through
// Try, for a throw that reaches Go unguarded is a panic, and one inside
// js.Value.Get cannot even be recovered from. And what runs for JavaScript runs
// behind a recover, for a panic there ends the Go program.
package bridge

import (
	"syscall/js"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// What the page may replace later is fetched once, before it can.
var (
	reflect        = js.Global().Get("Reflect")
	object         = js.Global().Get("Object")
	hasOwnProperty = object.Get("prototype").Get("hasOwnProperty")
	promise        = js.Global().Get("Promise")
	errorType      = js.Global().Get("Error")
	typeError      = js.Global().Get("TypeError")
	abortSignal    = js.Global().Get("AbortSignal")
	setTimeout     = js.Global().Get("setTimeout")
	clearTimeout   = js.Global().Get("clearTimeout")
)

// live counts the functions that are not yet released.
var live int

// Live counts the Go functions that JavaScript can call: a soak test sees by it
// that none is left behind.
func Live() int { return live }

// funcOf is js.FuncOf, counted. Every function of the module comes from here.
func funcOf(f func(this js.Value, args []js.Value) any) js.Func {
	live++
	return js.FuncOf(f)
}

func release(f js.Func) {
	live--
	f.Release()
}

// Func makes a function that lives as long as the module. f gets as many
// arguments as it is called with, at least n; those not given are undefined. It
// must neither block nor panic: it returns a Promise.
func Func(n int, f func(args []js.Value) js.Value) js.Value {
	return funcOf(func(_ js.Value, args []js.Value) any {
		return f(atLeast(n, args))
	}).Value
}

func atLeast(n int, args []js.Value) []js.Value {
	for len(args) < n {
		args = append(args, js.Undefined())
	}
	return args
}

// Crashed is the error of a call that panicked. What the panic said may hold a
// secret, and goes nowhere.
var Crashed error = &api.Error{
	Code:        api.CodeSDKCrashed,
	Description: "The SDK met an error of its own and could not finish the call. Try again; if it stays, report it.",
}

// Try calls f and returns what JavaScript threw in it as a js.Error. Such an
// error's Error method must not be called: it panics on a thrown primitive.
func Try(f func() js.Value) (v js.Value, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case js.Error:
			err = r
		default:
			panic(r)
		}
	}()
	return f(), nil
}

// Get reads a property of a value that the caller gave. It may be a getter that
// throws; v may be no object, which is a TypeError.
func Get(v js.Value, key string) (js.Value, error) {
	return Try(func() js.Value { return reflect.Call("get", v, key) })
}

// HasOwn says whether key is one of the object's own properties. Object.hasOwn
// is younger than the browsers that the module runs in.
func HasOwn(o js.Value, key string) bool { return hasOwnProperty.Call("call", o, key).Bool() }

// TypeOther is the type of a value that syscall/js has no type for: a BigInt.
const TypeOther js.Type = -1

// Type is v.Type, which panics on a BigInt.
func Type(v js.Value) (t js.Type) {
	defer func() {
		if recover() != nil {
			t = TypeOther
		}
	}()
	return v.Type()
}

// IsNullish says whether v is undefined or null: an argument not given.
func IsNullish(v js.Value) bool { return v.IsUndefined() || v.IsNull() }

// Error makes a JavaScript Error.
func Error(message string) js.Error { return js.Error{Value: errorType.New(message)} }

// TypeError makes a JavaScript TypeError, the error of a wrong argument.
func TypeError(message string) js.Error { return js.Error{Value: typeError.New(message)} }

// Object makes a JavaScript object from keys and values in turn.
func Object(keysAndValues ...any) js.Value {
	o := object.New()
	for i := 0; i < len(keysAndValues); i += 2 {
		o.Set(keysAndValues[i].(string), keysAndValues[i+1])
	}
	return o
}

// Work is the part of a call that may block.
type Work func() (js.Value, error)

// Promise returns a promise at once. It runs start before it returns, so that
// start sees the arguments and the state of the moment of the call, and must
// not block; then the work that start returned, on its own goroutine. A panic
// in either is the error Crashed.
//
// An error goes through shape, which makes it a value to resolve with or an
// error to reject with: a js.Error with what was thrown, another as an Error
// with its text.
func Promise(start func() (Work, error), shape func(error) (js.Value, error)) js.Value {
	executor := funcOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		settle := func(v js.Value, err error) {
			if err != nil {
				v, err = guard(func() (js.Value, error) { return shape(err) })
			}
			if err != nil {
				reject.Invoke(thrown(err))
				return
			}
			resolve.Invoke(v)
		}
		var work Work
		_, err := guard(func() (v js.Value, err error) {
			work, err = start()
			return v, err
		})
		if err != nil {
			settle(js.Undefined(), err)
			return nil
		}
		go func() { settle(guard(work)) }()
		return nil
	})
	defer release(executor) // the constructor has called it
	return promise.New(executor)
}

// guard calls f and turns a panic into an error: the recover at the door.
func guard(f func() (js.Value, error)) (v js.Value, err error) {
	defer func() {
		if recover() != nil {
			v, err = js.Undefined(), Crashed
		}
	}()
	return f()
}

// thrown gives the value that JavaScript sees when err is thrown.
func thrown(err error) js.Value {
	if e, ok := err.(js.Error); ok {
		return e.Value
	}
	if e, ok := err.(*api.Error); ok {
		return errorType.New(e.Description)
	}
	return errorType.New(err.Error())
}
