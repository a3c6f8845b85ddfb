//go:build js && wasm

// Command standin replaces the browser module in tests of the wrapper that need
// behavior that the real one does not have, such as a program that ends during a
// call. It publishes the same exports; the code of a call names its behavior:
//
//	panic  the program ends by a panic in a callback
//	exit   the program ends by itself; TinyGo's build does not
//	hang   the promise never settles
//	limit  data.timeout is the timeout that the call was given
//	drawn  data.drawn is the texts that qr.toDataURL was given
//	else   verified, with the new token "new-" + the token that was set
//
// enroll never settles. qr.toSVG and qr.toDataURL only return their text.
package main

import "syscall/js"

func publish() {
	guard := js.Global().Get("authsignal")
	promise := js.Global().Get("Promise")
	never := promise.New(js.FuncOf(func(js.Value, []js.Value) any { return nil }))
	var drawn []any

	constructor := js.FuncOf(func(_ js.Value, options []js.Value) any {
		tenantID := options[0].Get("tenantId").String()
		url := guard.Call("readOptions", options[0]).Get("baseUrl").String()
		return map[string]any{
			"dispose": js.FuncOf(func(js.Value, []js.Value) any { return nil }),
			"totp": map[string]any{
				"enroll": js.FuncOf(func(js.Value, []js.Value) any { return never }),
				"verify": js.FuncOf(func(_ js.Value, args []js.Value) any {
					switch args[0].Get("code").String() {
					case "panic":
						panic("told to")
					case "exit":
						exit()
					case "hang":
						return never
					case "limit":
						return promise.Call("resolve", map[string]any{
							"data": map[string]any{"timeout": args[0].Get("timeout")},
						})
					case "drawn":
						return promise.Call("resolve", map[string]any{"data": map[string]any{"drawn": drawn}})
					}
					token := "new-" + args[1].String()
					guard.Get("tokens").Call("set", tenantID, url, token)
					return promise.Call("resolve", map[string]any{
						"data": map[string]any{"isVerified": true, "token": token},
					})
				}),
			},
		}
	})
	js.Global().Set("authsignal", map[string]any{
		"Authsignal": constructor,
		"qr": map[string]any{
			"toSVG": js.FuncOf(func(_ js.Value, args []js.Value) any { return promise.Call("resolve", args[0]) }),
			"toDataURL": js.FuncOf(func(_ js.Value, args []js.Value) any {
				drawn = append(drawn, args[0].String())
				return promise.Call("resolve", args[0])
			}),
		},
	})
}
