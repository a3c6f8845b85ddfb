//go:build js && wasm

package bridge

import "syscall/js"

// A Go function that JavaScript calls cannot throw: a panic in it ends the
// program. Nor can the module bring JavaScript source that does it for Go, for
// a strict Content-Security-Policy refuses to evaluate any. What the policy
// allows is WebAssembly, since this module runs. So ThrowingFunc puts a second,
// tiny module in front of Go: it calls Go, then the function that Go returned,
// which is a built-in one that returns a value or throws an error.
//
//	(module
//	  (import "" "g" (func $go (param externref externref externref) (result externref)))
//	  (import "" "c" (func $call (param externref) (result externref)))
//	  (func (export "f") (param externref externref externref) (result externref)
//	    local.get 0  local.get 1  local.get 2  call $go  call $call))
var trampoline = []byte{
	0, 'a', 's', 'm', 1, 0, 0, 0,
	1, 13, 2, 0x60, 3, 0x6f, 0x6f, 0x6f, 1, 0x6f, 0x60, 1, 0x6f, 1, 0x6f, // types
	2, 11, 2, 0, 1, 'g', 0, 0, 0, 1, 'c', 0, 1, // imports
	3, 2, 1, 0, // functions
	7, 5, 1, 1, 'f', 0, 2, // exports
	10, 14, 1, 12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0x10, 0, 0x10, 1, 0x0b, // code
}

var trampolineModule = func() js.Value {
	bytes := js.Global().Get("Uint8Array").New(len(trampoline))
	js.CopyBytesToJS(bytes, trampoline)
	return js.Global().Get("WebAssembly").Get("Module").New(bytes)
}()

// ThrowingFunc makes a function of three arguments that lives as long as the
// module, returns what f returns and throws f's error. f must not block. It is
// not a constructor, and its this is lost.
func ThrowingFunc(f func(args []js.Value) (js.Value, error)) js.Value {
	call := js.Global().Get("Function").Get("prototype").Get("call")
	imports := Object("", Object(
		"g", Func(3, func(args []js.Value) js.Value {
			v, err := guard(func() (js.Value, error) { return f(args) })
			if err != nil {
				return thrower(thrown(err))
			}
			return reflect.Get("get").Call("bind", js.Undefined(), Object("value", v), "value")
		}),
		"c", call.Call("bind", call),
	))
	return js.Global().Get("WebAssembly").Get("Instance").New(trampolineModule, imports).Get("exports").Get("f")
}

// thrower gives a built-in function that throws v.
func thrower(v js.Value) js.Value {
	if f := abortSignal.Get("prototype").Get("throwIfAborted"); f.Type() == js.TypeFunction {
		// It throws the signal's reason as it is.
		return f.Call("bind", abortSignal.Call("abort", v))
	}
	// Chrome before 100, Firefox before 97 and Safari before 15.4 have none,
	// nor another way to throw a value. What they throw is a TypeError about a
	// property that cannot be defined: the message of v, if it is an Error.
	message := js.ValueOf("the call is refused")
	if m, err := Get(v, "message"); err == nil && Type(m) == js.TypeString {
		message = m
	}
	frozen := object.Call("freeze", Object())
	return object.Get("defineProperty").Call("bind", object, frozen, message, Object())
}

// Class makes a constructor. construct gets the first argument of new and the
// prototype that the object is to have, which is a subclass's in its super
// call; what it returns is the new object, and its error is thrown. Without new
// the class throws a TypeError, as every class does.
func Class(name string, construct func(arg, prototype js.Value) (js.Value, error)) js.Value {
	// Only a function that can construct can stand behind a class, which an
	// exported WebAssembly function cannot. Nothing calls this one.
	target := Func(0, func([]js.Value) js.Value { return js.Undefined() })
	prototype := target.Get("prototype")
	class := js.Global().Get("Proxy").New(target, Object(
		"construct", ThrowingFunc(func(args []js.Value) (js.Value, error) {
			arg, newTarget := args[1].Index(0), args[2]
			p, err := Get(newTarget, "prototype")
			if err != nil {
				return js.Undefined(), err
			}
			if t := Type(p); t != js.TypeObject && t != js.TypeFunction {
				p = prototype
			}
			return construct(arg, p)
		}),
		"apply", ThrowingFunc(func([]js.Value) (js.Value, error) {
			return js.Undefined(), TypeError("Class constructor " + name + " cannot be invoked without 'new'")
		}),
	))
	object.Call("defineProperty", target, "name", Object("value", name, "configurable", true))
	object.Call("defineProperty", prototype, "constructor",
		Object("value", class, "writable", true, "configurable", true))
	return class
}
