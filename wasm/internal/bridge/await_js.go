//go:build js && wasm

package bridge

import (
	"context"
	"syscall/js"
)

// Await waits until p settles and returns its value, or what it was rejected
// with as a js.Error. When ctx is done first, the context's error wins over
// JavaScript's wording and Await returns at once, whether or not p ever
// settles; whoever made p aborts it through AbortWith. The two functions that
// wait for p are released when it settles.
func Await(ctx context.Context, p js.Value) (js.Value, error) {
	type settled struct {
		value js.Value
		err   error
	}
	done := make(chan settled, 1) // buffered: a late settlement blocks nobody
	var fulfilled, rejected js.Func
	settle := func(s settled) {
		release(fulfilled)
		release(rejected)
		done <- s
	}
	fulfilled = funcOf(func(_ js.Value, args []js.Value) any {
		settle(settled{value: atLeast(1, args)[0]})
		return nil
	})
	rejected = funcOf(func(_ js.Value, args []js.Value) any {
		settle(settled{err: js.Error{Value: atLeast(1, args)[0]}})
		return nil
	})
	if _, err := Try(func() js.Value { return p.Call("then", fulfilled, rejected) }); err != nil {
		release(fulfilled)
		release(rejected)
		return js.Undefined(), err
	}
	select {
	case s := <-done:
		if s.err != nil && ctx.Err() != nil {
			s.err = ctx.Err()
		}
		return s.value, s.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

// AbortSignal makes an AbortSignal that is aborted when ctx is done. stop, to
// be called when the signal is needed no more, says whether it never will be.
func AbortSignal(ctx context.Context) (signal js.Value, stop func() bool) {
	controller := js.Global().Get("AbortController").New()
	return controller.Get("signal"), context.AfterFunc(ctx, func() { controller.Call("abort") })
}

// OnAbort calls f when the caller's AbortSignal is aborted, at once if it is
// already. It returns a TypeError if signal is not an AbortSignal. stop must be
// called when the call is over.
func OnAbort(signal js.Value, f func()) (stop func(), err error) {
	aborted, err := Get(signal, "aborted")
	if err != nil {
		return nil, err
	}
	if Type(aborted) != js.TypeBoolean {
		return nil, TypeError("signal must be an AbortSignal")
	}
	if aborted.Bool() {
		f()
		return func() {}, nil
	}
	listener := funcOf(func(js.Value, []js.Value) any {
		f()
		return nil
	})
	_, err = Try(func() js.Value { return signal.Call("addEventListener", "abort", listener) })
	if err != nil {
		release(listener)
		return nil, TypeError("signal must be an AbortSignal")
	}
	return func() {
		// A signal that outlives the call must not hold on to the listener.
		Try(func() js.Value { return signal.Call("removeEventListener", "abort", listener) })
		release(listener)
	}, nil
}
