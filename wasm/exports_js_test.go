//go:build js && wasm

package main

import (
	_ "embed"
	"encoding/json"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

func TestSurface(t *testing.T) {
	a := newInstance(t, trueAPI)
	got := eval(`return [Object.keys(globalThis.authsignal), Object.keys(globalThis.authsignal.qr), Object.keys(a),
		Object.keys(a.totp), globalThis.authsignal.Authsignal.name]`, a)
	checkShow(t, got, `[["Authsignal","qr"],["toSVG","toDataURL","matrix"],["setToken","totp","recoveryCodes","dispose"],["enroll","verify"],"Authsignal"]`)
}

//go:embed testdata/misuse.json
var misuseJSON string

// A vector is a call in JavaScript, and the error that it throws or rejects with.
type vector struct{ Call, Want string }

// misuse reads the vectors that hold for the module and for the wrapper: A is
// the class; the vectors that reject are called on an instance's totp.
func misuse(t *testing.T) (all struct{ Throws, Rejects []vector }) {
	t.Helper()
	if err := json.Unmarshal([]byte(misuseJSON), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestConstructorThrows(t *testing.T) {
	for _, test := range append(misuse(t).Throws,
		// The wrapper is a class, and this message differs between browsers.
		vector{`A({tenantId: "t"})`, "TypeError: Class constructors cannot be invoked without 'new'"}) {
		got := eval(`const A = globalThis.authsignal.Authsignal; try { ` + test.Call + `; return "nothing" } catch (e) { return e }`)
		if s := show(got); s != test.Want {
			t.Errorf("%s threw %s, want %s", test.Call, s, test.Want)
		}
	}
}

func TestClass(t *testing.T) {
	got := eval(`const A = globalThis.authsignal.Authsignal
		class Sub extends A { constructor(o) { super(o); this.mine = 1 } own() { return this.mine } }
		const x = new A({tenantId: "t"}), s = new Sub({tenantId: "t"})
		class Odd extends A { set totp(v) { throw v } }
		return [x instanceof A, x.constructor === A, s instanceof Sub, s instanceof A, s.own(), x instanceof Sub,
			typeof new Odd({tenantId: "t"}).totp.verify]`)
	checkShow(t, got, `[true,true,true,true,1,false,"function"]`)
}

func TestTokenNotSet(t *testing.T) {
	count, lines := requests(t), console(t)
	a := newInstance(t, trueAPI)
	const want = `{"error":"token_not_set","errorCode":"token_not_set","errorDescription":"A token has not been set. Call 'setToken' first."}`
	const line = "Error: A token has not been set. Call 'setToken' first."
	checkShow(t, resolved(t, enrollWith(a)), want)
	checkShow(t, resolved(t, verifyCode(a, "123456")), want)
	for _, empty := range []any{"", " \n", nil, js.Undefined()} {
		a.Call("setToken", "tok")
		a.Call("setToken", empty)
		checkShow(t, resolved(t, enrollWith(a)), want)
	}
	if got := count(); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
	if got, want := lines(), strings.TrimSuffix(strings.Repeat(line+"\n", 6), "\n"); got != want {
		t.Errorf("got console %q, want %q", got, want)
	}
}

func TestTokenWithNewline(t *testing.T) {
	count := requests(t)
	a := newInstance(t, trueAPI)
	a.Call("setToken", "a\nb")
	checkCode(t, resolved(t, enrollWith(a)), "invalid_request")
	checkCode(t, resolved(t, verifyCode(a, "123456")), "invalid_request")
	if got := count(); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

func TestRequest(t *testing.T) {
	replace(t, js.Global().Get("document"), "cookie", "session=secret")
	a := withToken(t, peer+"/echo/")
	checkShow(t, resolved(t, enrollWith(a)), `{"data":{"authorization":"Bearer tok","body":"","contentType":"application/json","cookie":"","path":"/echo/client/user-authenticators/totp"}}`)
	checkShow(t, resolved(t, verifyCode(a, "123 456")), `{"data":{"authorization":"Bearer tok","body":"{\"verificationCode\":\"123456\"}","contentType":"application/json","cookie":"","path":"/echo/client/verify/totp"}}`)
}

func TestBrokenServers(t *testing.T) {
	lines := console(t)
	for path, want := range map[string]string{
		"/html": "invalid_response", "/html502": "invalid_response", "/empty": "invalid_response",
		"/no-content": "invalid_response", "/null": "invalid_response", "/string": "invalid_response",
		"/number": "invalid_response", "/array": "invalid_response", "/cut": "invalid_response",
		"/404": "invalid_response", "/500": "invalid_response", "/huge": "invalid_response",
		"/429": "too_many_requests", "/429-html": "too_many_requests",
		"/reset": "network_error", "/redirect": "network_error",
	} {
		t.Run(path[1:], func(t *testing.T) {
			a := withToken(t, peer+path)
			checkCode(t, resolved(t, enrollWith(a)), want)
			checkCode(t, resolved(t, verifyCode(a, "123456")), want)
		})
	}
	if got := lines(); got != "" {
		t.Errorf("got console %q, want nothing", got)
	}
}

func TestServerDown(t *testing.T) {
	checkCode(t, resolved(t, enrollWith(withToken(t, downAPI))), "network_error")
}

func TestServerThatNeverAnswers(t *testing.T) {
	for _, path := range []string{"/never", "/slow-body"} {
		got := resolved(t, enrollWith(withToken(t, peer+path), object("timeout", 50)))
		checkCode(t, got, "timeout")
	}
}

func TestFetchThatIgnoresItsSignal(t *testing.T) {
	replace(t, js.Global(), "fetch", eval(`return () => new Promise(() => {})`))
	checkCode(t, resolved(t, enrollWith(withToken(t, trueAPI), object("timeout", 50))), "timeout")
}

func TestAbort(t *testing.T) {
	for _, path := range []string{"/never", "/slow-body"} {
		controller := js.Global().Get("AbortController").New()
		p := enrollWith(withToken(t, peer+path), object("signal", controller.Get("signal")))
		controller.Call("abort")
		checkCode(t, resolved(t, p), "aborted")
	}
}

func TestAbortedBefore(t *testing.T) {
	count := requests(t)
	a := withToken(t, trueAPI)
	signal := js.Global().Get("AbortSignal").Call("abort")
	checkCode(t, resolved(t, enrollWith(a, object("signal", signal))), "aborted")
	checkCode(t, resolved(t, a.Get("totp").Call("verify", object("code", "123456", "signal", signal))), "aborted")
	if got := count(); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

func TestFetchThatThrows(t *testing.T) {
	a := withToken(t, peer+"/echo")
	for _, f := range []string{
		`() => { throw 1 }`,
		`async () => { throw 1 }`,
		`async () => null`,
		`async () => ({get status() { throw 1 }})`,
		`async () => ({get headers() { throw 1 }})`,
		`async () => ({status: 200, headers: new Headers(), text() { throw 1 }})`,
		`async () => ({status: "none", headers: 0})`,
		`async () => ({status: 7n, headers: {}})`,
		`async () => ({status: 200, headers: 0, text: "none"})`,
		`undefined`,
	} {
		t.Run(f, func(t *testing.T) {
			replace(t, js.Global(), "fetch", eval(`return `+f))
			checkCode(t, resolved(t, enrollWith(a)), "network_error")
		})
	}
}

func TestThrowingGetters(t *testing.T) {
	a := withToken(t, trueAPI)
	thrown := eval(`return {mine: 1}`)
	for _, key := range []string{"code", "signal", "timeout"} {
		options := eval(`return Object.defineProperty({code: "123456"}, a, {get() { throw b }})`, key, thrown)
		if got := rejected(t, a.Get("totp").Call("verify", options)); !got.Equal(thrown) {
			t.Errorf("verify, %s: got %s, want what the getter threw", key, show(got))
		}
		if key == "code" {
			continue
		}
		if got := rejected(t, enrollWith(a, options)); !got.Equal(thrown) {
			t.Errorf("enroll, %s: got %s, want what the getter threw", key, show(got))
		}
	}
}

func TestWrongArguments(t *testing.T) {
	a := withToken(t, trueAPI)
	for _, test := range misuse(t).Rejects {
		if got := show(rejected(t, eval(`return a.totp.`+test.Call, a))); got != test.Want {
			t.Errorf("%s: got %s, want %s", test.Call, got, test.Want)
		}
	}
}

func TestMalformedCodes(t *testing.T) {
	count := requests(t)
	a := withToken(t, trueAPI)
	for _, code := range []string{`"12345"`, `"123456789"`, `""`, `"abcdef"`, `"1".repeat(1 << 24)`, `"123456" + " ".repeat(1000)`, `12345`, `1e30`, `NaN`, `null`, `undefined`, `true`, `7n`, `{}`, `Symbol()`} {
		got := resolved(t, eval(`return a.totp.verify({code: `+code+`})`, a))
		checkShow(t, got, `{"data":{"isVerified":false,"failureReason":"CODE_INVALID_OR_EXPIRED"}}`)
	}
	if got := count(); got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

func TestNumberAsCode(t *testing.T) {
	got := resolved(t, verifyCode(withToken(t, peer+"/echo"), 123456))
	if got, want := got.Get("data").Get("body").String(), `{"verificationCode":"123456"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestErrorValuesAreRaw(t *testing.T) {
	for path, want := range map[string]string{
		"/error-null":  `{"error":null,"errorCode":"<undefined>","errorDescription":"<undefined>"}`,
		"/error-only":  `{"error":"invalid_request","errorCode":"<undefined>","errorDescription":"<undefined>"}`,
		"/error-empty": `{"error":"","errorCode":"c","errorDescription":""}`,
		"/error-raw":   `{"error":["b"],"errorCode":7,"errorDescription":["b"]}`,
		"/error":       `{"error":"No scope.","errorCode":"unauthorized","errorDescription":"No scope."}`,
	} {
		checkShow(t, resolved(t, enrollWith(withToken(t, peer+path))), want)
	}
}

func TestVerifyResult(t *testing.T) {
	a := withToken(t, peer+"/unknown")
	got := resolved(t, verifyCode(a, "123456"))
	// Keys of the server that the SDK does not know stay. token replaces the
	// one that the server sent, and is the last key if it sent none.
	checkShow(t, got, `{"data":{"token":"new","isVerified":true,"later":{"a":[1,null]}}}`)
	if token := got.Get("token").String(); token != "new" {
		t.Errorf("got response.token %q, want new", token)
	}
}

func TestEnrollWithoutQRCode(t *testing.T) {
	for path, want := range map[string]string{
		"/not-a-uri": `{"data":{"uri":7,"secret":"s"}}`,
		"/long-uri":  `{"data":{"uri":"` + strings.Repeat("a", 4000) + `","secret":"s"}}`,
	} {
		checkShow(t, resolved(t, enrollWith(withToken(t, peer+path))), want)
	}
}

// A uri that is too long for the default level gets a QR code of a lower one.
func TestEnrollWithLongAccount(t *testing.T) {
	got := resolved(t, enrollWith(withToken(t, peer+"/long-account")))
	checkShow(t, eval(`return [a.data.uri.length, String(a.data.qrCode).slice(0, 19)]`, got), `[2500,"data:image/svg+xml,"]`)
}

// Browsers without features that are newer than the module's minimum.
func TestOlderBrowser(t *testing.T) {
	replace(t, js.Global().Get("Object"), "hasOwn", js.Undefined())
	signal := js.Global().Get("AbortSignal")
	replace(t, signal, "abort", js.Undefined())
	replace(t, signal, "timeout", js.Undefined())
	replace(t, signal.Get("prototype"), "throwIfAborted", js.Undefined())
	a := withToken(t, peer+"/error")
	checkCode(t, resolved(t, enrollWith(a)), "unauthorized")
	got := eval(`try { a.setToken(7) } catch (e) { return e }`, a)
	checkShow(t, got, "TypeError: token must be a string")
}

func TestTokenAtTheTimeOfTheCall(t *testing.T) {
	a := newInstance(t, peer+"/echo")
	both := eval(`a.setToken("a"); const one = a.totp.enroll(); a.setToken("b"); return Promise.all([one, a.totp.enroll()])`, a)
	got := eval(`return a.map(r => r.data.authorization)`, resolved(t, both))
	checkShow(t, got, `["Bearer a","Bearer b"]`)
}

func TestTokenCacheIsShared(t *testing.T) {
	authorization := func(a js.Value) string {
		return show(resolved(t, enrollWith(a)).Get("data").Get("authorization"))
	}
	withToken(t, peer+"/echo")
	if got, want := authorization(newInstance(t, peer+"/echo/")), `"Bearer tok"`; got != want {
		t.Errorf("same tenant and base URL: got %s, want %s", got, want)
	}
	console(t)
	checkShow(t, resolved(t, enrollWith(newInstance(t, peer+"/unknown"))).Get("errorCode"), `"token_not_set"`)
}

func TestVerifyReplacesTheToken(t *testing.T) {
	a := withToken(t, peer+"/unknown")
	resolved(t, verifyCode(a, "123456"))
	var sent js.Value
	replace(t, js.Global(), "fetch", eval(`const f = fetch; return (u, o) => { a.sent = o.headers.Authorization; return f(u, o) }`, js.Global()))
	resolved(t, enrollWith(a))
	if sent = js.Global().Get("sent"); show(sent) != `"Bearer new"` {
		t.Errorf("got %s, want Bearer new", show(sent))
	}
}

func TestMethodsWithoutThis(t *testing.T) {
	got := eval(`const {setToken, totp: {enroll}} = a; setToken("tok"); return enroll()`, newInstance(t, peer+"/echo"))
	checkShow(t, resolved(t, got).Get("data").Get("authorization"), `"Bearer tok"`)
}

func TestOnTokenExpired(t *testing.T) {
	calls := js.Global().Get("Array").New()
	a := withToken(t, peer+"/expired", "onTokenExpired", eval(`return (...args) => { a.push(args.length) }`, calls))
	got := resolved(t, eval(`return a.totp.enroll().then(r => [r.errorCode, b.length])`, a, calls))
	checkShow(t, got, `["expired_token",1]`)
	checkShow(t, calls, `[0]`)
	resolved(t, enrollWith(withToken(t, peer+"/error", "onTokenExpired", eval(`return () => { a.push("no") }`, calls))))
	checkShow(t, calls, `[0]`)
}

func TestOnTokenExpiredThatThrows(t *testing.T) {
	thrown := eval(`return {mine: 1}`)
	a := withToken(t, peer+"/expired", "onTokenExpired", eval(`return () => { throw a }`, thrown))
	if got := rejected(t, enrollWith(a)); !got.Equal(thrown) {
		t.Errorf("got %s, want what the callback threw", show(got))
	}
}

// The callback may call the SDK, which re-enters Go.
func TestOnTokenExpiredThatCallsTheSDK(t *testing.T) {
	holder := object()
	a := withToken(t, peer+"/expired", "onTokenExpired",
		eval(`return () => { a.sdk.setToken("fresh"); a.again = a.sdk.totp.verify({code: "1"}) }`, holder))
	holder.Set("sdk", a)
	resolved(t, enrollWith(a))
	checkShow(t, resolved(t, holder.Get("again")).Get("data").Get("isVerified"), "false")
}

func TestEnableLogging(t *testing.T) {
	lines := console(t)
	resolved(t, enrollWith(withToken(t, peer+"/error", "enableLogging", true)))
	resolved(t, enrollWith(withToken(t, downAPI, "enableLogging", true)))
	resolved(t, enrollWith(withToken(t, peer+"/error")))
	if got, want := lines(), "[Authsignal] unauthorized: No scope."; got != want {
		t.Errorf("got console %q, want %q", got, want)
	}
}

// authenticator returns the code that an authenticator app shows for secret,
// steps of 30 s from now.
func authenticator(t *testing.T, secret js.Value, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(secret.String(), time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enrolled enrolls a user and returns the secret. It spends the code of the
// current step; that of the next step is within the server's drift already, and
// stays so when the next step begins.
func enrolled(t *testing.T, a js.Value) (secret js.Value) {
	t.Helper()
	a.Call("setToken", track(t, t.Name()))
	secret = resolved(t, enrollWith(a)).Get("data").Get("secret")
	got := resolved(t, verifyCode(a, authenticator(t, secret, 0)))
	if !got.Get("data").Get("isVerified").Truthy() {
		t.Fatalf("the enrollment was not verified: %s", show(got))
	}
	return secret
}

func TestEnrollAndVerify(t *testing.T) {
	a := newInstance(t, trueAPI)
	a.Call("setToken", track(t, t.Name()))
	enrollment := resolved(t, enrollWith(a))
	data := enrollment.Get("data")
	got := eval(`const d = a.data; return [Object.keys(a), Object.keys(d).sort(), d.qrCode.slice(0, 19), d.userId,
		new URL(d.uri).searchParams.get("secret") === d.secret]`, enrollment)
	checkShow(t, got, `[["data"],["account","algorithm","digits","issuer","period","qrCode","secret","uri","userAuthenticatorId","userId"],"data:image/svg+xml,","TestEnrollAndVerify",true]`)

	verified := resolved(t, verifyCode(a, authenticator(t, data.Get("secret"), 0)))
	got = eval(`const d = a.data; return [Object.keys(a), Object.keys(d).at(-1), d.isVerified, "accessToken" in d,
		d.userAuthenticator.verificationMethod, a.token === d.token]`, verified)
	checkShow(t, got, `[["data"],"token",true,false,"AUTHENTICATOR_APP",true]`)

	validated := post(t, "/validate", "token", verified.Get("token").String())
	checkShow(t, eval(`return [a.isValid, a.state, a.userId]`, validated), `[true,"CHALLENGE_SUCCEEDED","TestEnrollAndVerify"]`)
}

func TestVerifyAgainLater(t *testing.T) {
	a := newInstance(t, trueAPI)
	secret := enrolled(t, a)
	a.Call("setToken", track(t, t.Name()))
	got := resolved(t, verifyCode(a, authenticator(t, secret, 1)))
	checkShow(t, eval(`return Object.keys(a.data)`, got), `["isVerified","token"]`)
}

func TestWrongCode(t *testing.T) {
	a := newInstance(t, trueAPI)
	secret := enrolled(t, a)
	right := authenticator(t, secret, 1)
	var near []string
	for step := -3; step <= 3; step++ {
		near = append(near, authenticator(t, secret, step))
	}
	wrong := "000000"
	for n := 0; slices.Contains(near, wrong); n++ {
		wrong = strconv.Itoa(100_000 + n)
	}
	got := resolved(t, verifyCode(a, wrong))
	checkShow(t, got, `{"data":{"isVerified":false,"failureReason":"CODE_INVALID_OR_EXPIRED"}}`)
	if !got.Get("token").IsUndefined() {
		t.Error("a refused code has a token")
	}
	if got := resolved(t, verifyCode(a, right)); !got.Get("data").Get("isVerified").Bool() {
		t.Errorf("after a wrong code: got %s, want it verified", show(got))
	}
}

func TestReplayedCode(t *testing.T) {
	a := newInstance(t, trueAPI)
	code := authenticator(t, enrolled(t, a), 1)
	if got := resolved(t, verifyCode(a, code)); !got.Get("data").Get("isVerified").Bool() {
		t.Fatalf("first time: got %s, want it verified", show(got))
	}
	checkShow(t, resolved(t, verifyCode(a, code)), `{"data":{"isVerified":false,"failureReason":"CODE_INVALID_OR_EXPIRED"}}`)
}

func TestExpiredToken(t *testing.T) {
	calls := js.Global().Get("Array").New()
	a := newInstance(t, shortLivedAPI, "onTokenExpired", eval(`return () => { a.push(1) }`, calls))
	a.Call("setToken", post(t, "/track", "user", t.Name(), "shortLived", "1").Get("token"))
	var got js.Value
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got = resolved(t, enrollWith(a)); !got.Get("errorCode").IsUndefined() {
			break
		}
	}
	checkShow(t, got.Get("errorCode"), `"expired_token"`)
	checkShow(t, resolved(t, verifyCode(a, "123456")).Get("errorCode"), `"expired_token"`)
	checkShow(t, calls, `[1,1]`)
}

func TestTwoEnrollsAtOnce(t *testing.T) {
	a := newInstance(t, trueAPI)
	a.Call("setToken", track(t, t.Name()))
	both := resolved(t, eval(`return Promise.all([a.totp.enroll(), a.totp.enroll()])`, a))
	accepted := 0
	for i := range 2 {
		code := authenticator(t, both.Index(i).Get("data").Get("secret"), 0)
		if resolved(t, verifyCode(a, code)).Get("data").Get("isVerified").Truthy() {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d of the two enrollments were verified, want 1", accepted)
	}
}

func TestBadToken(t *testing.T) {
	checkShow(t, resolved(t, enrollWith(withToken(t, trueAPI))).Get("errorCode"), `"unauthorized"`)
}

func TestQRCodeIsAPicture(t *testing.T) {
	a := newInstance(t, trueAPI)
	a.Call("setToken", track(t, t.Name()))
	url := resolved(t, enrollWith(a)).Get("data").Get("qrCode")
	got := resolved(t, eval(`const i = new Image(); i.src = a; return i.decode().then(() => [i.naturalWidth > 100, i.naturalWidth === i.naturalHeight])`, url))
	checkShow(t, got, "[true,true]")
}

func TestToSVG(t *testing.T) {
	svg := resolved(t, eval(`return globalThis.authsignal.qr.toSVG("hello", {title: "<hi>", margin: 2, width: 99, errorCorrectionLevel: "h"})`))
	got := eval(`const e = new DOMParser().parseFromString(a, "image/svg+xml").documentElement
		return [e.tagName, e.getAttribute("width"), e.getAttribute("viewBox"), e.querySelector("title").textContent]`, svg)
	checkShow(t, got, `["svg","99","0 0 25 25","<hi>"]`)
}

func TestToSVGErrors(t *testing.T) {
	const color = `TypeError: a color must be hexadecimal, such as "#000", "#000000" or "#000000ff"`
	const margin = "TypeError: margin must be a whole number of modules from 0 to 100"
	for _, test := range []struct{ args, want string }{
		{``, "TypeError: text must be a string"},
		{`7n`, "TypeError: text must be a string"},
		{`""`, "Error: text is empty"},
		{`"a".repeat(1 << 24)`, "Error: text is too long for a QR code at this error correction level"},
		{`"a".repeat(3000)`, "Error: text is too long for a QR code at this error correction level"},
		{`"a", {margin: -1}`, margin},
		{`"a", {margin: 1.5}`, margin},
		{`"a", {margin: 101}`, margin},
		{`"a", {margin: "4"}`, margin},
		{`"a", {margin: 7n}`, margin},
		{`"a", {width: 0}`, "TypeError: width must be a whole number of pixels from 1 to 100000"},
		{`"a", {scale: 0}`, "TypeError: scale must be a whole number of pixels from 1 to 100"},
		{`"a", {color: "#000"}`, "TypeError: color must be an object: { dark, light }"},
		{`"a", {color: {dark: "black"}}`, color},
		{`"a", {color: {light: "#ggg"}}`, color},
		{`"a", {color: {light: 0}}`, color},
		{`"a", {color: {get dark() { throw new RangeError("mine") }}}`, "RangeError: mine"},
		{`"a", {title: 7}`, "TypeError: title must be a string"},
		{`"a", {errorCorrectionLevel: "X"}`, `TypeError: errorCorrectionLevel must be "L", "M", "Q" or "H"`},
		{`"a", "b"`, "TypeError: options must be an object"},
		{`"a", {get margin() { throw new RangeError("mine") }}`, "RangeError: mine"},
	} {
		if got := show(rejected(t, eval(`return globalThis.authsignal.qr.toSVG(`+test.args+`)`))); got != test.want {
			t.Errorf("toSVG(%s): got %s, want %s", test.args, got, test.want)
		}
	}
}

func TestQRColors(t *testing.T) {
	svg := resolved(t, eval(`return globalThis.authsignal.qr.toSVG("hello", {color: {dark: "#123", light: "#ffffff80"}, scale: 3})`))
	got := eval(`const e = new DOMParser().parseFromString(a, "image/svg+xml").documentElement
		const fill = name => [e.querySelector(name).getAttribute("fill"), e.querySelector(name).getAttribute("fill-opacity")]
		return [e.getAttribute("width"), fill("rect"), fill("path")]`, svg)
	checkShow(t, got, `["87",["#ffffff","0.502"],["#123",null]]`)
}

// The matrix and the SVG show the same symbol.
func TestMatrix(t *testing.T) {
	got := resolved(t, eval(`
		const {matrix, toSVG} = globalThis.authsignal.qr
		return Promise.all([matrix("hello", {errorCorrectionLevel: "L"}), toSVG("hello", {errorCorrectionLevel: "L", margin: 0, scale: 1})])
			.then(async ([{size, bits}, svg]) => {
				const i = new Image(); i.src = "data:image/svg+xml," + encodeURIComponent(svg); await i.decode()
				const c = new OffscreenCanvas(size, size).getContext("2d"); c.drawImage(i, 0, 0)
				const pixels = c.getImageData(0, 0, size, size).data
				const wrong = []
				for (let n = 0; n < size * size; n++) if ((pixels[4 * n] < 128) !== Boolean(bits[n >> 3] & (0x80 >> (n & 7)))) wrong.push(n)
				return [size, bits.length, bits instanceof Uint8Array, wrong]
			})`))
	checkShow(t, got, `[21,56,true,[]]`)
}

func TestToDataURL(t *testing.T) {
	got := resolved(t, eval(`
		const {toDataURL, toSVG} = globalThis.authsignal.qr
		return Promise.all([toDataURL("a#b"), toSVG("a#b")]).then(([url, svg]) => decodeURIComponent(url) === "data:image/svg+xml," + svg)`))
	checkShow(t, got, "true")
}

func TestDescribe(t *testing.T) {
	for _, test := range []struct{ uri, want string }{
		{"otpauth://totp/Acme:jane%40example.com?secret=A&issuer=Acme&algorithm=sha256&digits=8&period=60",
			`{"issuer":"Acme","account":"jane@example.com","digits":8,"period":60,"algorithm":"SHA256"}`},
		{"otpauth://totp/jane?secret=A", `{"issuer":"","account":"jane","digits":6,"period":30,"algorithm":"SHA1"}`},
		{"otpauth://totp/Old%3A%20a/b%3Ac?issuer=New%20%26%20Co", `{"issuer":"New & Co","account":"a/b:c","digits":6,"period":30,"algorithm":"SHA1"}`},
		{"otpauth://totp/a?digits=x&period=-1", `{"issuer":"","account":"a","algorithm":"SHA1"}`},
		{"otpauth://totp/%FF?issuer=I", `{"digits":6,"period":30,"algorithm":"SHA1"}`},
		{"otpauth://totp", `{"issuer":"","account":"","digits":6,"period":30,"algorithm":"SHA1"}`},
		{"https://example.com/Acme:jane", `{}`},
		{"otpauth://totp/Acme%3A%20Pay%3Ajane?issuer=Acme%3A%20Pay", `{"issuer":"Acme: Pay","account":"jane","digits":6,"period":30,"algorithm":"SHA1"}`},
		{"nonsense", `{}`},
		{"", `{}`},
	} {
		data := object()
		describe(data, test.uri)
		checkShow(t, data, test.want)
	}
	data := object("issuer", "the server's")
	describe(data, "otpauth://totp/a?issuer=I")
	checkShow(t, data.Get("issuer"), `"the server's"`)
}

// The path as older browsers parse it, for schemes that they do not know.
func TestDescribeInOlderBrowser(t *testing.T) {
	replace(t, js.Global(), "URL", eval(`return class extends URL { get pathname() { return "//" + this.host + super.pathname } }`))
	data := object()
	describe(data, "otpauth://totp/Acme:jane?secret=A")
	checkShow(t, data.Get("account"), `"jane"`)
	checkShow(t, data.Get("issuer"), `"Acme"`)
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]string{
		"7": "7", "": `"<undefined>"`, "soon": `"<undefined>"`, "Wed, 21 Oct 2015 07:28:00 GMT": `"<undefined>"`,
	} {
		a := withToken(t, peer)
		replace(t, js.Global(), "fetch", eval(`return async () => new Response("", {status: 429, headers: a ? {"Retry-After": a} : {}})`, header))
		result := resolved(t, enrollWith(a))
		checkShow(t, result.Get("errorCode"), `"too_many_requests"`)
		if got := show(result.Get("retryAfter")); got != want {
			t.Errorf("%q: got %s, want %s", header, got, want)
		}
	}
	replace(t, js.Global(), "fetch", eval(`return async () => new Response("", {status: 429, headers: {"Retry-After": new Date(Date.now() + 60_000).toUTCString()}})`))
	if got := resolved(t, enrollWith(withToken(t, peer))).Get("retryAfter").Int(); got < 50 || got > 60 {
		t.Errorf("a date: got %d s, want about 59", got)
	}
}

func TestDispose(t *testing.T) {
	a, other := withToken(t, peer+"/echo"), withToken(t, peer+"/echo")
	pending := enrollWith(a)
	a.Call("dispose")
	a.Call("dispose")
	checkShow(t, resolved(t, pending).Get("errorCode"), `"aborted"`)
	const want = "Error: this Authsignal instance has been disposed of: make a new one"
	for _, call := range []string{"a.totp.enroll()", "a.totp.verify({code: '123456'})", "Promise.resolve().then(() => a.setToken('t'))"} {
		checkShow(t, rejected(t, eval("return "+call, a)), want)
	}
	console(t)
	checkShow(t, resolved(t, enrollWith(other)).Get("errorCode"), `"token_not_set"`)
}

// TestNoLeak uses the module as a page that stays open for long does, and counts
// the values and functions that it holds before and after.
func TestNoLeak(t *testing.T) {
	console(t)
	// Only a callback gets the Go instance.
	proto := js.Global().Get("Go").Get("prototype")
	replace(t, proto, "_makeFuncWrapper", eval(`return function (id) { globalThis.goInstance = this; return a.call(this, id) }`, proto.Get("_makeFuncWrapper")))
	round := func(i int) {
		n := strconv.Itoa(i)
		a := js.Global().Get("authsignal").Get("Authsignal").New(object("tenantId", t.Name(), "baseUrl", peer+"/echo", "onTokenExpired", eval(`return () => {}`)))
		a.Call("setToken", "tok"+n)
		controller := js.Global().Get("AbortController").New()
		resolved(t, enrollWith(a, object("signal", controller.Get("signal"))))
		resolved(t, verifyCode(a, "123456"))
		resolved(t, verifyCode(a, "no"))
		aborted := enrollWith(a, object("signal", controller.Get("signal")))
		controller.Call("abort")
		resolved(t, aborted)
		rejected(t, eval(`return a.totp.verify({get code() { throw 1 }})`, a))
		eval(`try { new globalThis.authsignal.Authsignal({}) } catch {}`)
		resolved(t, eval(`return globalThis.authsignal.qr.toSVG(a)`, "text "+n))
		resolved(t, eval(`return globalThis.authsignal.qr.matrix(a)`, "text "+n))
		a.Call("dispose")
	}
	// held counts the JavaScript values that Go refers to. A value is
	// released when the collector has found it unused and its finalizer has run.
	held := func() int {
		least := 1 << 30
		for range 20 {
			runtime.GC()
			resolved(t, eval(`return new Promise(resolve => setTimeout(resolve))`))
			least = min(least, eval(`return goInstance._values.filter(v => v !== null).length`).Int())
		}
		return least
	}
	for i := range 10 {
		round(i)
	}
	values := held()
	for i := range 100 {
		round(i)
	}
	// The browser itself adds and releases a few values.
	if got := held(); got > values+10 {
		t.Errorf("got %d values after 100 rounds, want about %d as before", got, values)
	}
}
