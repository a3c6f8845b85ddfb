//go:build js && wasm

package bridge

import (
	_ "embed"
	"os"
	"strings"
	"syscall/js"
	"testing"
	"time"
)

//go:embed guard.js
var guardJS string

func TestMain(m *testing.M) {
	guard := js.Global().Get("Function").New(strings.ReplaceAll(guardJS, "export ", "") + "; return makeGuard(makeTokens())").Invoke()
	if Init(js.Undefined()) || Init(js.Global()) || !Init(guard) {
		panic("Init takes what is no guard, or refuses one")
	}
	os.Exit(m.Run())
}

// eval runs JavaScript with its arguments as a and b.
func eval(body string, args ...any) js.Value {
	return js.Global().Get("Function").New("a", "b", body).Invoke(args...)
}

// settled waits for a promise and returns "fulfilled" or "rejected", and with
// what.
func settled(t *testing.T, p js.Value) (how string, v js.Value) {
	t.Helper()
	done := make(chan js.Value, 1)
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- args[0]
		return nil
	})
	defer f.Release()
	eval(`Promise.allSettled([a]).then(r => b(r[0]))`, p, f)
	select {
	case r := <-done:
		if how = r.Get("status").String(); how == "fulfilled" {
			return how, r.Get("value")
		}
		return how, r.Get("reason")
	case <-time.After(time.Minute):
		t.Fatal("the promise did not settle")
		panic("unreachable")
	}
}

var values = []string{"7n", "7", "undefined", "null", "'text'", "new Error('e')", "{mine: 1}", "() => {}"}

func TestPromising(t *testing.T) {
	for _, source := range values {
		value := eval(`return {e: ` + source + `}`)
		resolves := Promising(1, func(p Promise, args []js.Value) { p.Resolve(args[0].Get("e")) })
		if how, _ := settled(t, eval(`return a(b).then(v => { if (v !== b.e) throw 1 })`, resolves, value)); how != "fulfilled" {
			t.Errorf("%s: resolved to another value", source)
		}
		rejects := Promising(1, func(p Promise, args []js.Value) { p.Reject(&Exception{args[0].Get("e")}) })
		if how, _ := settled(t, eval(`return a(b).then(() => { throw 1 }, v => { if (v !== b.e) throw 1 })`, rejects, value)); how != "fulfilled" {
			t.Errorf("%s: rejected with another value", source)
		}
	}
}

func TestPromisingStartsBeforeItReturns(t *testing.T) {
	started := false
	Promising(0, func(Promise, []js.Value) { started = true }).Invoke()
	if !started {
		t.Error("the function has not run")
	}
}

func TestPromisingFillsInArguments(t *testing.T) {
	f := Promising(3, func(p Promise, args []js.Value) { p.Resolve(js.ValueOf(len(args))) })
	if _, n := settled(t, f.Invoke()); n.Int() != 3 {
		t.Errorf("got %d arguments, want 3", n.Int())
	}
}

func TestEndRejectsPendingCalls(t *testing.T) {
	old := guard
	defer Init(old)
	Init(js.Global().Get("Function").New(strings.ReplaceAll(guardJS, "export ", "") + "; return makeGuard(makeTokens())").Invoke())
	hangs := Promising(0, func(Promise, []js.Value) {})
	three := eval(`return [a(), a(), a()]`, hangs)
	Guard("end").Invoke("the cause")
	const want = "Error: the module has crashed: start it anew the cause"
	text := func(v js.Value) string { return eval(`return a + " " + a.cause`, v).String() }
	for i := range 3 {
		if how, v := settled(t, three.Index(i)); how != "rejected" || text(v) != want {
			t.Errorf("call %d: %s with %v", i, how, v)
		}
	}
	if how, v := settled(t, hangs.Invoke()); how != "rejected" || text(v) != want {
		t.Errorf("a later call: %s with %v", how, v)
	}
	throws := Throwing(0, func([]js.Value) (js.Value, *Exception) { return js.Undefined(), nil })
	if got := eval(`try { a() } catch (e) { return e }`, throws); text(got) != want {
		t.Errorf("a later call that throws: threw %v", got)
	}
}

func TestThrowing(t *testing.T) {
	f := Throwing(2, func(args []js.Value) (js.Value, *Exception) {
		if args[1].Truthy() {
			return js.Undefined(), &Exception{args[0]}
		}
		return args[0], nil
	})
	for _, value := range values {
		got := eval(`const v = (`+value+`); const r = [a(v) === v]; try { a(v, true) } catch (e) { r.push(e === v) } return r.join()`, f)
		if got.String() != "true,true" {
			t.Errorf("%s: got %s, want the same value returned and thrown", value, got)
		}
	}
}

func TestCall(t *testing.T) {
	for _, value := range values {
		o := eval(`const e = ` + value + `; return {e, throws() { throw e }, gives() { return this.e }, get key() { throw e }}`)
		if _, err := CallMethod(o, "throws"); err == nil || !eval(`return a === b.e`, err.Value, o).Bool() {
			t.Errorf("%s: not what was thrown", value)
		}
		if _, err := Get(o, "key"); err == nil || !eval(`return a === b.e`, err.Value, o).Bool() {
			t.Errorf("%s: not what the getter threw", value)
		}
		if v, err := CallMethod(o, "gives"); err != nil || !eval(`return a === b.e`, v, o).Bool() {
			t.Errorf("%s: not what was returned", value)
		}
	}
	for _, source := range []string{"null", "undefined", "7", "'text'"} {
		if _, err := Get(eval("return "+source), "key"); err == nil || err.Value.Get("name").String() != "TypeError" {
			t.Errorf("a property of %s: got %v, want a TypeError", source, err)
		}
		if _, err := Call(eval("return "+source), js.Undefined()); err == nil || err.Value.Get("name").String() != "TypeError" {
			t.Errorf("a call of %s: got %v, want a TypeError", source, err)
		}
	}
}

func TestThen(t *testing.T) {
	for source, want := range map[string]string{
		"7": "+7", "Promise.resolve(7)": "+7", "Promise.reject(7)": "-7", "{then(f) { f(7) }}": "+7",
		"{then() { throw 7 }}": "-7", "{get then() { throw 7 }}": "-7", "undefined": "+undefined",
		"{then(f, r) { f(7); r(8); throw 9 }}": "+7", "Object.defineProperty(Promise.resolve(7), 'then', {get() { throw 8 }})": "-8",
		"Object.defineProperty(Promise.resolve(7), 'constructor', {get() { throw 8 }})": "-8",
	} {
		p := eval(`return new Promise(resolve => { a.f = v => resolve("+" + v); a.r = v => resolve("-" + v) })`, js.Global())
		Then(eval("return "+source), js.Global().Get("f"), js.Global().Get("r"))
		if _, got := settled(t, p); got.String() != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

func TestClass(t *testing.T) {
	class := Class("Name", func(arg js.Value) (js.Value, *Exception) {
		if arg.IsUndefined() {
			return js.Undefined(), TypeError("no argument")
		}
		return NewObject("key", arg), nil
	})
	got := eval(`
		class Sub extends a { set key(v) { throw v } }
		const own = new Sub(1), tries = [() => new a(), () => a(1), () => own.email]
		return [new a(7).key, own.key, own instanceof a, a.name, Object.keys(own).join(),
			...tries.map(f => { try { f() } catch (e) { return e.constructor.name } })].join()`, class)
	if want := "7,1,true,Name,key,TypeError,TypeError,Error"; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKindOf(t *testing.T) {
	for source, want := range map[string]Kind{
		"7n": Other, "Symbol()": Other, "undefined": Undefined, "null": Null, "true": Boolean, "7": Number, "''": String,
		"{}": Object, "[]": Object, "() => {}": Function, "document.all": Undefined,
	} {
		if got := KindOf(eval("return " + strings.Replace(source, "{}", "({})", 1))); got != want {
			t.Errorf("%s: got kind %d, want %d", source, got, want)
		}
	}
}

func TestNewObject(t *testing.T) {
	prototype := js.Global().Get("Object").Get("prototype")
	eval(`Object.defineProperty(a, "b", {set() { throw "a setter of the page" }, configurable: true})`, prototype)
	defer prototype.Delete("b")
	for _, test := range []struct {
		got  js.Value
		want string
	}{
		{NewObject("a,b", 1, "two"), `{"a":1,"b":"two"}`},
		{NewObject(""), `{}`},
	} {
		if got := eval(`return JSON.stringify(a)`, test.got).String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestOwn(t *testing.T) {
	prototype := js.Global().Get("Object").Get("prototype")
	prototype.Set("error", "polluted")
	defer prototype.Delete("error")
	o := eval(`return JSON.parse('{"a":null,"__proto__":{"b":1},"c":7}')`)
	for key, want := range map[string]Kind{"a": Null, "b": Undefined, "error": Undefined, "toString": Undefined, "__proto__": Object, "c": Number} {
		if got := KindOf(Own(o, key)); got != want {
			t.Errorf("Own(%q): got kind %d, want %d", key, got, want)
		}
	}
}

// Properties that the page added to Object.prototype appear neither in the objects
// that the module creates nor in those of an answer.
func TestObjectsUnderAPollutedPrototype(t *testing.T) {
	eval(`for (const key of ["a", "value", "get"])
		Object.defineProperty(Object.prototype, key, {__proto__: null, configurable: true, get() { throw key }, set() { throw key }})`)
	defer eval(`for (const key of ["a", "value", "get"]) delete Object.prototype[key]`)
	o := NewObject("a,value", 1, "two")
	Define(o, "get", 3)
	DefineHidden(o, "hidden", 4)
	if got := eval(`return Object.keys(a).join() + a.a + a.value + a.get + a.hidden`, o).String(); got != "a,value,get1two34" {
		t.Errorf("got %s", got)
	}
	if got := Own(eval(`return JSON.parse("{}")`), "a"); !got.IsUndefined() {
		t.Errorf("Own got %v from the prototype", got)
	}
}

func TestTokens(t *testing.T) {
	tokens := Guard("tokens")
	for _, test := range []struct{ set, want string }{{"\n tok \r\n", "tok"}, {" \n ", ""}, {"tok", "tok"}, {"", ""}} {
		tokens.Call("set", "t", "https://a.example", test.set)
		if got := tokens.Call("get", "t", "https://a.example").String(); got != test.want {
			t.Errorf("set %q: got %q, want %q", test.set, got, test.want)
		}
	}
	tokens.Call("set", "1", "https://a.example", "tok")
	for _, other := range [][2]any{{"2", "https://a.example"}, {"1", "https://b.example"}} {
		if got := tokens.Call("get", other[0], other[1]).String(); got != "" {
			t.Errorf("%v: got the token of another: %q", other, got)
		}
	}
}

func TestAPIURL(t *testing.T) {
	origin := js.Global().Get("location").Get("origin").String()
	for _, test := range []struct {
		given any
		want  string
	}{
		{nil, "https://api.authsignal.com/v1"},
		{js.Undefined(), "https://api.authsignal.com/v1"},
		{"http://localhost:4000/v1///", "http://localhost:4000/v1"},
		{" HTTPS://Api.Example.COM:443/v1 ", "https://api.example.com/v1"},
		{"/v1", origin + "/v1"},
		{"https://[", "https://["},
	} {
		options := NewObject("tenantId,baseUrl", "t", test.given)
		if got := Guard("readOptions").Invoke(options).Get("baseUrl").String(); got != test.want {
			t.Errorf("%v: got %q, want %q", test.given, got, test.want)
		}
	}
}
