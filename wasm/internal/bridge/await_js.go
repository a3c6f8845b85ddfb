//go:build js && wasm

package bridge

import (
	"context"
	"syscall/js"
	"time"
)

// A Deadline ends a call after a time or when it is canceled. It has the
// methods of context.Context that a call needs, and stands in for
// context.WithTimeout, which would bring the writing of times and the reading
// of time zones into the module: 29 kB after compression. Its clock is the page's
// setTimeout, since a Go timer that is stopped leaves its time-out in JavaScript
// behind, which keeps Node alive until it fires.
type Deadline struct {
	done  chan struct{}
	err   error
	late  js.Func  // what the time-out calls; released at the end
	timer js.Value // what clearTimeout takes: in Node it is an object
}

// NewDeadline starts the clock; timeout is at most 1<<31 - 1 milliseconds, the
// most that setTimeout keeps. Cancel must be called when the call is over.
func NewDeadline(timeout time.Duration) *Deadline {
	d := &Deadline{done: make(chan struct{})}
	d.late = funcOf(func(js.Value, []js.Value) any {
		d.end(context.DeadlineExceeded)
		return nil
	})
	d.timer = setTimeout.Invoke(d.late, float64(timeout)/float64(time.Millisecond))
	return d
}

// Cancel ends the call, unless it has ended.
func (d *Deadline) Cancel() { d.end(context.Canceled) }

// Done is closed when the call has ended.
func (d *Deadline) Done() <-chan struct{} { return d.done }

// Err is context.DeadlineExceeded or context.Canceled when the call has ended.
func (d *Deadline) Err() error { return d.err }

// end needs no lock: the goroutines of the module take turns, and nothing here
// waits.
func (d *Deadline) end(err error) {
	if d.err != nil {
		return
	}
	d.err = err
	clearTimeout.Invoke(d.timer)
	release(d.late)
	close(d.done)
}

// A Context ends a wait early, as a Deadline and every context.Context do.
type Context interface {
	Done() <-chan struct{}
	Err() error
}

// Await waits until p settles and returns its value, or what it was rejected
// with as a js.Error. When ctx is done first, the context's error wins over
// JavaScript's wording and Await returns at once, even if p never settles;
// whoever made p then aborts it through its AbortController. The two functions
// that wait for p are released when it settles.
func Await(ctx Context, p js.Value) (js.Value, error) {
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

// OnAbort calls f when the caller's AbortSignal is aborted, at once if it is
// already. It returns a TypeError if signal is not an AbortSignal. stop must be
// called when the call is over.
func OnAbort(signal js.Value, f func()) (stop func(), err error) {
	// Known by what it can do: a signal of another frame is no instance of
	// this one's AbortSignal.
	wrong := TypeError("signal must be an AbortSignal")
	if t := Type(signal); t != js.TypeObject && t != js.TypeFunction {
		return nil, wrong
	}
	for _, method := range []string{"addEventListener", "removeEventListener"} {
		if v, err := Get(signal, method); err != nil {
			return nil, err
		} else if Type(v) != js.TypeFunction {
			return nil, wrong
		}
	}
	aborted, err := Get(signal, "aborted")
	if err != nil {
		return nil, err
	}
	if Type(aborted) != js.TypeBoolean {
		return nil, wrong
	}
	if aborted.Bool() {
		f()
		return func() {}, nil
	}
	listener := funcOf(func(js.Value, []js.Value) any {
		f()
		return nil
	})
	if _, err := Try(func() js.Value { return signal.Call("addEventListener", "abort", listener) }); err != nil {
		release(listener)
		return nil, err
	}
	return func() {
		// A signal that outlives the call must not hold on to the listener.
		Try(func() js.Value { return signal.Call("removeEventListener", "abort", listener) })
		release(listener)
	}, nil
}
