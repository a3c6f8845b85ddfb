//go:build js && wasm

// Package bridge is the door between Go and JavaScript: values, functions,
// promises and errors. It decides nothing about the SDK; only the browser
// module uses it.
//
// Two rules keep the module alive. JavaScript that may throw is called through
// the guard (guard.js), for a throw that reaches Go is a panic, which nothing
// recovers from. And Go keeps no JavaScript value from one event to the next,
// save what it fetches when it starts: what belongs to a call lives in
// JavaScript and comes back as an argument. So a loader may forget, after each
// event, all that Go was handed in it.
package bridge

import "syscall/js"

// The guard's functions; see guard.js.
var guard, failed, fail, reason, call, typeOf, object, own, define, bind, construct, throwing, promising, then, class js.Value

// Constructors and functions that the page may replace later.
var reflectGet, errorType, typeError js.Value

// Init takes the guard from the loader, and reports whether it is there. It
// comes before all else of this package.
//
// What is fetched here is not fetched where the variables are declared: TinyGo
// runs the initializers of packages when it compiles, up to the first that asks
// JavaScript something. What it leaves for run time brings a third more code.
func Init(g js.Value) bool {
	if g.Type() != js.TypeObject || g.Get("failed").Type() != js.TypeObject {
		return false
	}
	guard = g
	failed, fail, reason, call = g.Get("failed"), g.Get("fail"), g.Get("reason"), g.Get("call")
	typeOf, object, own, define = g.Get("type"), g.Get("object"), g.Get("own"), g.Get("define")
	bind, construct, throwing, promising = g.Get("bind"), g.Get("construct"), g.Get("throwing"), g.Get("promising")
	then, class = g.Get("then"), g.Get("class")
	reflectGet = js.Global().Get("Reflect").Get("get")
	errorType, typeError = js.Global().Get("Error"), js.Global().Get("TypeError")
	return true
}

// Guard returns a member of the guard.
func Guard(name string) js.Value { return guard.Get(name) }

// An Exception is a JavaScript value to throw, or one that was thrown.
type Exception struct{ Value js.Value }

// Error names the kind of error and no more: its text may be anybody's.
func (e *Exception) Error() string { return "a JavaScript exception" }

// Error makes a JavaScript Error.
func Error(message string) *Exception { return &Exception{errorType.New(message)} }

// TypeError makes a JavaScript TypeError, the error of a wrong argument.
func TypeError(message string) *Exception { return &Exception{typeError.New(message)} }

// Call calls f with this, and returns what it throws.
func Call(f, this js.Value, args ...any) (js.Value, *Exception) {
	v := call.Invoke(append([]any{f, this}, args...)...)
	if v.Equal(failed) {
		return js.Undefined(), &Exception{reason.Invoke()}
	}
	return v, nil
}

// Get reads a property of a value that is not ours. It may be a getter that
// throws; v may be no object, which is a TypeError.
func Get(v js.Value, key string) (js.Value, *Exception) {
	return Call(reflectGet, js.Undefined(), v, key)
}

// CallMethod calls a method of a value that is not ours.
func CallMethod(v js.Value, name string, args ...any) (js.Value, *Exception) {
	f, err := Get(v, name)
	if err != nil {
		return f, err
	}
	return Call(f, v, args...)
}

// Own returns one of an object's own properties, undefined if it is none: what
// the page put on Object.prototype is no part of an answer. It is for objects
// without getters. Object.hasOwn is younger than the browsers that the module
// runs in.
func Own(o js.Value, key string) js.Value { return own.Invoke(o, key) }

// A Kind is a type of JavaScript's. There are those that the module tells
// apart; js.Value.Type panics on a BigInt.
type Kind int

// The kinds, by their numbers in guard.js.
const (
	Other Kind = iota - 1
	Undefined
	Null
	Boolean
	Number
	String
	Object
	Function
)

// KindOf returns the kind of v.
func KindOf(v js.Value) Kind { return Kind(typeOf.Invoke(v).Int()) }

// IsObject reports whether v has properties of its own to read.
func IsObject(v js.Value) bool { return KindOf(v) >= Object }

// IsNullish reports whether v is undefined or null: an argument not given.
func IsNullish(v js.Value) bool { return v.IsUndefined() || v.IsNull() }

// NewObject makes a JavaScript object of keys, with commas between them, and
// their values: one call of JavaScript instead of one for each. They are its
// own, whatever Object.prototype has, and can then be read and set without a
// guard.
func NewObject(keys string, values ...any) js.Value {
	return object.Invoke(append([]any{keys}, values...)...)
}

// Define gives an object a property of its own, or another value to the one that
// it has.
func Define(o js.Value, key string, value any) { define.Invoke(o, key, value) }

// DefineHidden is Define for a property that is not enumerated.
func DefineHidden(o js.Value, key string, value any) { define.Invoke(o, key, value, false) }

// New makes an object of a class, and returns what its constructor throws.
func New(class js.Value, arg any) (js.Value, *Exception) {
	return Call(construct, js.Undefined(), class, arg)
}

// Func makes a JavaScript function that lives as long as the module. f gets at
// least n arguments; those not given are undefined. It may not wait.
func Func(n int, f func(args []js.Value)) js.Value {
	return funcOf(n, func(args []js.Value) any {
		f(args)
		return nil
	})
}

func funcOf(n int, f func(args []js.Value) any) js.Value {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		for len(args) < n {
			args = append(args, js.Undefined())
		}
		return f(args)
	}).Value
}

// Bind returns f with its first arguments given.
func Bind(f js.Value, args ...any) js.Value {
	return bind.Invoke(append([]any{f, js.Undefined()}, args...)...)
}

// Throwing makes a function that returns what f returns, and throws its error.
// n is at most 2.
func Throwing(n int, f func(args []js.Value) (js.Value, *Exception)) js.Value {
	return throwing.Invoke(funcOf(n, func(args []js.Value) any { return result(f(args)) }))
}

func result(v js.Value, err *Exception) js.Value {
	if err != nil {
		return fail.Invoke(err.Value)
	}
	return v
}

// A Promise is the inside of a promise.
type Promise struct{ resolve, reject js.Value }

// Resolve settles the promise.
func (p Promise) Resolve(v js.Value) { p.resolve.Invoke(v) }

// Reject settles the promise with what was thrown.
func (p Promise) Reject(err *Exception) { p.reject.Invoke(err.Value) }

// Settlers returns the functions that settle the promise, for an object of
// JavaScript to keep.
func (p Promise) Settlers() (resolve, reject js.Value) { return p.resolve, p.reject }

// PromiseOf returns the promise of two functions of Settlers.
func PromiseOf(resolve, reject js.Value) Promise { return Promise{resolve, reject} }

// Promising makes a function that returns a promise at once, which f settles
// before it returns or later. n, the number of arguments that f gets, is at most
// 3.
func Promising(n int, f func(p Promise, args []js.Value)) js.Value {
	return promising.Invoke(Func(n+2, func(args []js.Value) {
		f(Promise{args[0], args[1]}, args[2:])
	}))
}

// Then calls one of two functions when v settles; what is no promise counts as
// one that is fulfilled.
func Then(v, fulfilled, rejected js.Value) { then.Invoke(v, fulfilled, rejected) }

// Class makes a class. construct gets the first argument of new and returns
// what the new object has; its error is thrown.
func Class(name string, construct func(arg js.Value) (js.Value, *Exception)) js.Value {
	return class.Invoke(name, funcOf(1, func(args []js.Value) any { return result(construct(args[0])) }))
}
