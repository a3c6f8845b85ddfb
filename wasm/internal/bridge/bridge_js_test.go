//go:build js && wasm

package bridge

import (
	"context"
	"errors"
	"syscall/js"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// eval runs JavaScript with its arguments as a and b.
func eval(body string, args ...any) js.Value {
	return js.Global().Get("Function").New("a", "b", body).Invoke(args...)
}

// wait awaits p for long enough.
func wait(t *testing.T, p js.Value) (js.Value, error) {
	t.Helper()
	d := NewDeadline(10 * time.Second)
	defer d.Cancel()
	v, err := Await(d, p)
	if err == context.DeadlineExceeded {
		t.Fatal("the promise did not settle")
	}
	return v, err
}

// reason gives what a promise was rejected with.
func reason(t *testing.T, p js.Value) js.Value {
	t.Helper()
	v, err := wait(t, p)
	e, ok := err.(js.Error)
	if !ok {
		t.Fatalf("got value %v and error %v, want a rejection", v, err)
	}
	return e.Value
}

func same(err error) (js.Value, error) { return js.Undefined(), err }

func work(w Work) func() (Work, error) { return func() (Work, error) { return w, nil } }

func TestPromiseResolves(t *testing.T) {
	got, err := wait(t, Promise(work(func() (js.Value, error) { return js.ValueOf(7), nil }), same))
	if err != nil || got.Int() != 7 {
		t.Errorf("got %v, error %v, want 7", got, err)
	}
}

func TestPromiseRejects(t *testing.T) {
	thrown := eval(`return {mine: 1}`)
	err := js.Error{Value: thrown}
	if got := reason(t, Promise(func() (Work, error) { return nil, err }, same)); !got.Equal(thrown) {
		t.Error("error of start: not what was thrown")
	}
	if got := reason(t, Promise(work(func() (js.Value, error) { return js.Undefined(), err }), same)); !got.Equal(thrown) {
		t.Error("error of work: not what was thrown")
	}
	got := reason(t, Promise(func() (Work, error) { return nil, errors.New("text") }, same))
	if !got.InstanceOf(js.Global().Get("Error")) || got.Get("message").String() != "text" {
		t.Errorf("got %v, want an Error", got)
	}
}

func TestPromiseSurvivesPanics(t *testing.T) {
	live := Live()
	shape := func(err error) (js.Value, error) {
		e, ok := err.(*api.Error)
		if !ok {
			t.Errorf("got error %v, want an *api.Error", err)
			return js.Undefined(), err
		}
		return js.ValueOf(e.Code), nil
	}
	panics := func() (js.Value, error) { panic("secret") }
	for name, p := range map[string]js.Value{
		"start": Promise(func() (Work, error) { panic("secret") }, shape),
		"work":  Promise(work(panics), shape),
		"throw": Promise(work(func() (js.Value, error) { return js.Global().Call("decodeURI", "%"), nil }), shape),
	} {
		if got, err := wait(t, p); err != nil || got.String() != "sdk_crashed" {
			t.Errorf("%s: got %v, error %v, want sdk_crashed", name, got, err)
		}
	}
	got := reason(t, Promise(work(panics), func(error) (js.Value, error) { panic("secret") }))
	if message := got.Get("message").String(); message != Crashed.(*api.Error).Description {
		t.Errorf("a panic in shape: got %q", message)
	}
	if got := Live(); got != live {
		t.Errorf("got %d functions, want %d as before", got, live)
	}
}

func TestPromiseStartsBeforeItReturns(t *testing.T) {
	started := false
	Promise(func() (Work, error) {
		started = true
		return func() (js.Value, error) { return js.Undefined(), nil }, nil
	}, same)
	if !started {
		t.Error("start has not run")
	}
}

func TestAwaitReleases(t *testing.T) {
	live := Live()
	for _, p := range []js.Value{
		eval(`return Promise.resolve(1)`), eval(`return Promise.reject(1)`),
		eval(`return {then(f) { f(1) }}`), eval(`return {then() { throw 1 }}`),
	} {
		wait(t, p)
	}
	if got := Live(); got != live {
		t.Errorf("got %d functions, want %d as before", got, live)
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	live := Live()
	settle := eval(`return {}`)
	p := eval(`return new Promise(resolve => { a.now = resolve })`, settle)
	d := NewDeadline(time.Millisecond)
	if _, err := Await(d, p); err != context.DeadlineExceeded {
		t.Errorf("got error %v, want the context's", err)
	}
	settle.Call("now", 1)
	wait(t, p)
	if got := Live(); got != live {
		t.Errorf("after a late settlement: got %d functions, want %d as before", got, live)
	}
}

func TestDeadline(t *testing.T) {
	d := NewDeadline(time.Hour)
	if d.Err() != nil {
		t.Errorf("got error %v before the end", d.Err())
	}
	d.Cancel()
	d.Cancel()
	<-d.Done()
	if d.Err() != context.Canceled {
		t.Errorf("got error %v, want Canceled", d.Err())
	}
	d = NewDeadline(0)
	<-d.Done()
	d.Cancel()
	if d.Err() != context.DeadlineExceeded {
		t.Errorf("got error %v, want DeadlineExceeded to stay", d.Err())
	}
}

func TestTypes(t *testing.T) {
	for source, want := range map[string]js.Type{
		"7n": TypeOther, "7": js.TypeNumber, "undefined": js.TypeUndefined, "null": js.TypeNull, "Symbol()": js.TypeSymbol,
	} {
		if got := Type(eval("return " + source)); got != want {
			t.Errorf("%s: got type %d, want %d", source, got, want)
		}
	}
}

func TestGetOfAThrowingGetter(t *testing.T) {
	for _, thrown := range []string{"7n", "undefined", "null", "'text'", "new Error('e')"} {
		o := eval(`const e = ` + thrown + `; return {e, get key() { throw e }}`)
		_, err := Get(o, "key")
		if e, ok := err.(js.Error); !ok || !e.Value.Equal(o.Get("e")) {
			t.Errorf("%s: not what was thrown", thrown)
		}
	}
}

func TestThrowingFunc(t *testing.T) {
	f := ThrowingFunc(func(args []js.Value) (js.Value, error) {
		if args[0].IsUndefined() {
			panic("secret")
		}
		if args[1].Truthy() {
			return js.Undefined(), js.Error{Value: args[0]}
		}
		return args[0], nil
	})
	for _, value := range []string{"7", "'text'", "null", "{mine: 1}", "() => {}"} {
		got := eval(`const v = (`+value+`); const r = [a(v) === v]; try { a(v, true) } catch (e) { r.push(e === v) } return r.join()`, f)
		if got.String() != "true,true" {
			t.Errorf("%s: got %s, want the same value returned and thrown", value, got)
		}
	}
	got := eval(`try { a() } catch (e) { return e instanceof Error && e.message }`, f)
	if got.String() != Crashed.(*api.Error).Description {
		t.Errorf("a panic: got %v thrown", got)
	}
}

func TestOnAbort(t *testing.T) {
	live := Live()
	controller := js.Global().Get("AbortController").New()
	calls := 0
	stop, err := OnAbort(controller.Get("signal"), func() { calls++ })
	if err != nil {
		t.Fatal(err)
	}
	controller.Call("abort")
	stop()
	if calls != 1 {
		t.Errorf("got %d calls, want 1", calls)
	}
	if stop, err = OnAbort(controller.Get("signal"), func() { calls++ }); err != nil {
		t.Fatal(err)
	}
	stop()
	if calls != 2 {
		t.Errorf("aborted before: got %d calls, want one more", calls-1)
	}
	if got := Live(); got != live {
		t.Errorf("got %d functions, want %d as before", got, live)
	}
}

// A time-out that is left behind keeps Node alive, and a page's memory.
func TestDeadlineLeavesNothingBehind(t *testing.T) {
	live := Live()
	timers := eval(`
		const timers = new Set()
		return [timers, (f, ms) => { const id = setTimeout(() => { timers.delete(id); f() }, ms); timers.add(id); return id },
			id => { timers.delete(id); clearTimeout(id) }]`)
	set, clear := setTimeout, clearTimeout
	setTimeout, clearTimeout = timers.Index(1), timers.Index(2)
	defer func() { setTimeout, clearTimeout = set, clear }()
	NewDeadline(time.Hour).Cancel()
	d := NewDeadline(0)
	<-d.Done()
	d.Cancel()
	if n := timers.Index(0).Get("size").Int(); n != 0 {
		t.Errorf("got %d time-outs, want none", n)
	}
	if got := Live(); got != live {
		t.Errorf("got %d functions, want %d as before", got, live)
	}
}

// ThrowingFunc where the built-in function that throws any value is missing.
func TestThrowingFuncInAnOlderBrowser(t *testing.T) {
	prototype := abortSignal.Get("prototype")
	old := prototype.Get("throwIfAborted")
	prototype.Delete("throwIfAborted")
	defer prototype.Set("throwIfAborted", old)
	f := ThrowingFunc(func(args []js.Value) (js.Value, error) { return js.Undefined(), js.Error{Value: args[0]} })
	for _, value := range []string{"new RangeError('the text')", "{get message() { throw 1 }}", "undefined", "7n", "{message: Symbol()}"} {
		got := eval(`try { a(`+value+`) } catch (e) { return e instanceof TypeError && e.message }`, f)
		if got.Type() != js.TypeString {
			t.Errorf("%s: got %v thrown, want a TypeError", value, got)
		}
	}
	got := eval(`try { a(new RangeError('the text')) } catch (e) { return e.message.includes('the text') }`, f)
	if !got.Truthy() {
		t.Error("what is thrown has lost the error's message")
	}
}
