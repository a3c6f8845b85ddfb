//go:build js && wasm

// Package bridge connects Go and JavaScript: values, functions, promises and
// errors. It contains no logic of the SDK; only the browser module uses it.
//
// Two rules hold for the module. It calls JavaScript that may throw through the
// guard (guard.js), since an exception that reaches Go is a panic, and nothing
// recovers from it. And Go keeps no JavaScript value from one event to the next,
// except those that it reads at the start: the values of a call are kept in
// JavaScript and come back as arguments. So a loader may release, after each
// event, all values that it passed to Go in it.
package bridge

import "syscall/js"

// The functions of the guard; see guard.js.
var guard, failed, fail, reason, call, typeOf, object, own, define, bind, construct, throwing, promising, then, class js.Value

// Constructors and functions that the page may replace later.
var reflectGet, errorType, typeError js.Value

// Init takes the guard from the loader, and reports whether it is there. It
// must be called before the other functions of this package.
//
// The variables have no initializers because TinyGo runs those of a package at
// compile time, up to the first that calls JavaScript. The rest would run when
// the module starts, with a third more code.
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

// Error returns a fixed text: the value may have any text, even a secret.
func (e *Exception) Error() string { return "a JavaScript exception" }

// Error creates a JavaScript Error.
func Error(message string) *Exception { return &Exception{errorType.New(message)} }

// TypeError creates a JavaScript TypeError, the error for an invalid argument.
func TypeError(message string) *Exception { return &Exception{typeError.New(message)} }

// Call calls f with this and args, and returns its result or the exception that
// it throws.
func Call(f, this js.Value, args ...any) (js.Value, *Exception) {
	v := call.Invoke(append([]any{f, this}, args...)...)
	if v.Equal(failed) {
		return js.Undefined(), &Exception{reason.Invoke()}
	}
	return v, nil
}

// Get reads a property of any value, such as one of the page's. The property may
// be a getter that throws. If v is not an object, the exception is a TypeError.
func Get(v js.Value, key string) (js.Value, *Exception) {
	return Call(reflectGet, js.Undefined(), v, key)
}

// CallMethod calls a method of any value, such as one of the page's.
func CallMethod(v js.Value, name string, args ...any) (js.Value, *Exception) {
	f, err := Get(v, name)
	if err != nil {
		return f, err
	}
	return Call(f, v, args...)
}

// Own returns one of an object's own properties, or undefined if it has none of
// that name: properties that the page added to Object.prototype do not belong to
// an answer. It is for objects without getters. Object.hasOwn is newer than the
// oldest browsers that the module runs in.
func Own(o js.Value, key string) js.Value { return own.Invoke(o, key) }

// A Kind is a type of a JavaScript value, as far as the module distinguishes
// them. js.Value.Type panics on a BigInt.
type Kind int

// The kinds, with their numbers in guard.js.
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

// IsObject reports whether v is an object or a function.
func IsObject(v js.Value) bool { return KindOf(v) >= Object }

// IsNullish reports whether v is undefined or null, as an argument that is left
// out is.
func IsNullish(v js.Value) bool { return v.IsUndefined() || v.IsNull() }

// NewObject creates a JavaScript object from keys, separated by commas, and their
// values, with one call of JavaScript instead of one for each. The properties are
// its own, whatever Object.prototype has, so that they can be read and set
// without a guard.
func NewObject(keys string, values ...any) js.Value {
	return object.Invoke(append([]any{keys}, values...)...)
}

// Define sets an own property of an object.
func Define(o js.Value, key string, value any) { define.Invoke(o, key, value) }

// DefineHidden is Define for a property that is not enumerable.
func DefineHidden(o js.Value, key string, value any) { define.Invoke(o, key, value, false) }

// New creates an object of a class, or returns the exception of its constructor.
func New(class js.Value, arg any) (js.Value, *Exception) {
	return Call(construct, js.Undefined(), class, arg)
}

// Func creates a JavaScript function that lives as long as the module. f gets at
// least n arguments; those left out are undefined. It must not block.
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

// Bind returns f with its first arguments bound.
func Bind(f js.Value, args ...any) js.Value {
	return bind.Invoke(append([]any{f, js.Undefined()}, args...)...)
}

// Throwing creates a function that returns f's result or throws its exception.
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

// A Promise is a promise that the module settles.
type Promise struct{ resolve, reject js.Value }

// Resolve fulfills the promise with v, or with the outcome of v if that is a
// promise.
func (p Promise) Resolve(v js.Value) { p.resolve.Invoke(v) }

// Reject rejects the promise with an exception.
func (p Promise) Reject(err *Exception) { p.reject.Invoke(err.Value) }

// Settlers returns the functions that settle the promise, to be kept in a
// JavaScript object.
func (p Promise) Settlers() (resolve, reject js.Value) { return p.resolve, p.reject }

// PromiseOf returns the promise of the functions that Settlers returned.
func PromiseOf(resolve, reject js.Value) Promise { return Promise{resolve, reject} }

// Promising creates a function that returns a promise at once, which f settles
// before it returns or later. n is the number of arguments that f gets, at most
// 4.
func Promising(n int, f func(p Promise, args []js.Value)) js.Value {
	return promising.Invoke(Func(n+2, func(args []js.Value) {
		f(Promise{args[0], args[1]}, args[2:n+2])
	}))
}

// Then calls fulfilled or rejected when v settles. A value that is not a promise
// counts as a fulfilled one.
func Then(v, fulfilled, rejected js.Value) { then.Invoke(v, fulfilled, rejected) }

// Class creates a class. construct gets the first argument of new and returns an
// object with the properties of the new one; its exception is thrown.
func Class(name string, construct func(arg js.Value) (js.Value, *Exception)) js.Value {
	return class.Invoke(name, funcOf(1, func(args []js.Value) any { return result(construct(args[0])) }))
}
