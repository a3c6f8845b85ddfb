//go:build js && wasm

package main

import (
	"strconv"
	"syscall/js"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/client"
	"github.com/authsignal-wasm/sdk/internal/qr"
	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// The time-out of a call in milliseconds; maxTimeout is the longest that
// setTimeout keeps (a signed 32-bit number).
const (
	defaultTimeout = 10_000
	maxTimeout     = 1<<31 - 1
)

// maxBody is the maximum length of an answer: in bytes according to its
// Content-Length header, or in UTF-16 code units without one. The API's answers
// are less than a thousandth of it.
const maxBody = 1 << 20

// maxCode is the maximum length of a code with the spaces that it was pasted with,
// in UTF-16 code units. A longer text is malformed and is not copied.
const maxCode = 1000

// A call is a call of the API in progress. It is a JavaScript object, since Go
// keeps no JavaScript value between two events. Its keys:
//
//	config           of the instance
//	verifies         whether it is verify (isVerify) or enroll (isEnroll)
//	resolve, reject  settle its promise
//	over             whether its promise is settled
//	controller       aborts its request
//	timer            its time-out
//	listener         the abort listener of its signals
//	signal           the caller's, or null
type call struct{ js.Value }

// The values of the key verifies of a call.
const (
	isEnroll = false
	isVerify = true
)

// handlers are the functions that continue a call, one for each event.
type handlers struct{ answered, read, failed, late, aborted js.Value }

func newHandlers() handlers {
	var h handlers
	h.answered = bridge.Func(2, func(args []js.Value) { h.readAnswer(call{args[0]}, args[1]) })
	h.read = bridge.Func(3, func(args []js.Value) { call{args[0]}.finishWith(args[1], args[2]) })
	h.failed = bridge.Func(1, func(args []js.Value) { call{args[0]}.fail(api.CodeNetworkError) })
	h.late = bridge.Func(1, func(args []js.Value) { call{args[0]}.fail(api.CodeTimeout) })
	h.aborted = bridge.Func(1, func(args []js.Value) { call{args[0]}.fail(api.CodeAborted) })
	return h
}

// enroll is instance.totp.enroll({name, signal, timeout}). A third argument
// replaces the token that is kept: it is the token at the time of a call that
// the page made before the module was loaded.
func (h handlers) enroll(p bridge.Promise, args []js.Value) {
	config, options, token := args[0], args[1], args[2]
	if err := errDisposed(config); err != nil {
		p.Reject(err)
		return
	}
	if bridge.IsNullish(options) {
		options = bridge.NewObject("")
	}
	if !bridge.IsObject(options) {
		p.Reject(bridge.TypeError(text("enroll")))
		return
	}
	name, err := bridge.Get(options, "name")
	if err == nil && !bridge.IsNullish(name) && bridge.KindOf(name) != bridge.String {
		err = bridge.TypeError("name must be a string")
	}
	if err != nil {
		p.Reject(err)
		return
	}
	c := newCall(p, config, isEnroll)
	h.begin(c, options, func() (*client.Request, client.Result) {
		json := ""
		if !bridge.IsNullish(name) && lengthOf(name) > 0 {
			json = page.stringify.Invoke(name).String()
		}
		return clientOf(config).Enroll(tokenFor(config, token), json)
	})
}

// verify is instance.totp.verify({code, signal, timeout}), with the same third
// argument.
func (h handlers) verify(p bridge.Promise, args []js.Value) {
	config, options, token := args[0], args[1], args[2]
	if err := errDisposed(config); err != nil {
		p.Reject(err)
		return
	}
	if !bridge.IsObject(options) {
		p.Reject(bridge.TypeError(text("verify")))
		return
	}
	code, err := codeOf(options)
	if err != nil {
		p.Reject(err)
		return
	}
	c := newCall(p, config, isVerify)
	h.begin(c, options, func() (*client.Request, client.Result) {
		return clientOf(config).Verify(tokenFor(config, token), code)
	})
}

// codeOf returns the option code, a string or a number, or "" if it is anything else
// or too long.
func codeOf(options js.Value) (string, *bridge.Exception) {
	v, err := bridge.Get(options, "code")
	if k := bridge.KindOf(v); err == nil && (k == bridge.String || k == bridge.Number) {
		if v = page.string.Invoke(v); lengthOf(v) <= maxCode {
			return v.String(), nil
		}
	}
	return "", err
}

// recovery is a function of instance.recoveryCodes, by its name: status, generate,
// confirm({code}) or confirm({saved: true}), and verify({code}), all with signal and
// timeout. A fourth argument is as the third of enroll.
func (h handlers) recovery(p bridge.Promise, args []js.Value) {
	config, name, options, token := args[0], args[1].String(), args[2], args[3]
	if err := errDisposed(config); err != nil {
		p.Reject(err)
		return
	}
	if bridge.IsNullish(options) && (name == "status" || name == "generate") {
		options = bridge.NewObject("")
	}
	if !bridge.IsObject(options) {
		p.Reject(bridge.TypeError(text("recoveryCodes")))
		return
	}
	code, err := codeOf(options)
	var saved js.Value
	if err == nil {
		saved, err = bridge.Get(options, "saved")
	}
	if err != nil {
		p.Reject(err)
		return
	}
	c := newCall(p, config, name == "verify")
	h.begin(c, options, func() (*client.Request, client.Result) {
		api, token := clientOf(config), tokenFor(config, token)
		switch name {
		case "generate":
			return api.MakeRecoveryCodes(token)
		case "confirm":
			return api.ConfirmRecoveryCodes(token, code, bridge.KindOf(saved) == bridge.Boolean && saved.Bool())
		case "verify":
			return api.VerifyRecoveryCode(token, code)
		}
		return api.RecoveryCodes(token)
	})
}

func tokenFor(config, token js.Value) string {
	if bridge.KindOf(token) == bridge.String {
		return token.String()
	}
	return tokenOf(config)
}

func newCall(p bridge.Promise, config js.Value, verifies bool) call {
	resolve, reject := p.Settlers()
	return call{bridge.NewObject("config,verifies,resolve,reject,over,controller,timer,listener,signal",
		config, verifies, resolve, reject, false, page.abortController.New(), nil, nil, nil)}
}

func (c call) promise() bridge.Promise { return bridge.PromiseOf(c.Get("resolve"), c.Get("reject")) }

// begin reads the options signal and timeout, starts the call's time-out and
// sends its request, if there is one.
func (h handlers) begin(c call, options js.Value, request func() (*client.Request, client.Result)) {
	var r optionReader
	timeout, signal := r.get(options, "timeout"), r.get(options, "signal")
	ms := float64(defaultTimeout)
	if r.err == nil && !bridge.IsNullish(timeout) {
		ms = 0
		if bridge.KindOf(timeout) == bridge.Number {
			ms = timeout.Float()
		}
		if !(ms > 0 && ms <= maxTimeout) { // written like this, it is true for NaN
			r.refuse(bridge.TypeError("timeout must be a number of milliseconds above 0 and up to " + strconv.Itoa(maxTimeout)))
		}
	}
	aborted := false
	if r.err == nil && !bridge.IsNullish(signal) {
		aborted, r.err = readSignal(signal)
	}
	if r.err != nil {
		c.promise().Reject(r.err)
		return
	}
	q, result := request()
	if q == nil {
		c.settle(result, js.Undefined())
		return
	}
	if aborted {
		c.fail(api.CodeAborted)
		return
	}
	c.Set("timer", page.setTimeout.Invoke(bridge.Bind(h.late, c.Value), ms))
	c.Set("listener", bridge.Bind(h.aborted, c.Value))
	_, err := bridge.CallMethod(c.Get("config").Get("end").Get("signal"), "addEventListener", "abort", c.Get("listener"))
	if err == nil && !bridge.IsNullish(signal) {
		c.Set("signal", signal)
		_, err = bridge.CallMethod(signal, "addEventListener", "abort", c.Get("listener"))
	}
	switch {
	case err != nil:
		c.close()
		c.promise().Reject(err)
	case c.Get("over").Bool(): // the signal has already called the listener
	default:
		h.send(c, *q)
	}
}

// readSignal reports whether the caller's signal is aborted. It returns a
// TypeError if signal is not an AbortSignal. It looks at the members of signal,
// since one of another frame is not an instance of this frame's AbortSignal.
func readSignal(signal js.Value) (aborted bool, err *bridge.Exception) {
	if bridge.IsObject(signal) {
		var r optionReader
		v := r.get(signal, "aborted")
		add, remove := r.get(signal, "addEventListener"), r.get(signal, "removeEventListener")
		if r.err != nil {
			return false, r.err
		}
		if bridge.KindOf(v) == bridge.Boolean && bridge.KindOf(add) == bridge.Function && bridge.KindOf(remove) == bridge.Function {
			return v.Bool(), nil
		}
	}
	return false, bridge.TypeError("signal must be an AbortSignal")
}

// send passes the request to the page's fetch.
//
// There is no credentials option: a token authenticates, cookies do not. A
// redirect is an error: it would send the token and the code to another address.
func (h handlers) send(c call, q client.Request) {
	body := js.Undefined()
	if q.Body != "" {
		body = js.ValueOf(q.Body)
	}
	// A plain object: fetch rejects if a value in it is invalid, while
	// Headers.append throws.
	headers := bridge.NewObject("Content-Type,Authorization", "application/json", "Bearer "+q.Token)
	init := bridge.NewObject("method,headers,body,redirect,signal", q.Method, headers, body, "error", c.Get("controller").Get("signal"))
	fetch, err := bridge.Get(js.Global(), "fetch")
	answer := js.Undefined()
	if err == nil {
		// Called without a this, since the global object may be a stand-in.
		answer, err = bridge.Call(fetch, js.Undefined(), q.URL, init)
	}
	if err != nil {
		c.fail(api.CodeNetworkError)
		return
	}
	bridge.Then(answer, bridge.Bind(h.answered, c.Value), bridge.Bind(h.failed, c.Value))
}

// readAnswer reads the status and the headers of an answer and requests its
// body. The page may have replaced fetch, so any property of the answer may be
// missing, of another type or throw.
func (h handlers) readAnswer(c call, answer js.Value) {
	var r optionReader
	status, headers := r.get(answer, "status"), r.get(answer, "headers")
	if r.err != nil || bridge.KindOf(status) != bridge.Number {
		c.fail(api.CodeNetworkError)
		return
	}
	head := bridge.NewObject("status,retryAfter", status, retryAfter(headers))
	if length := header(headers, "content-length"); !length.IsNull() && page.number.Invoke(length).Float() > maxBody {
		bridge.CallMethod(c.Get("controller"), "abort")
		c.finishWith(head, js.Null())
		return
	}
	text, err := bridge.CallMethod(answer, "text")
	if err != nil {
		c.fail(api.CodeNetworkError)
		return
	}
	bridge.Then(text, bridge.Bind(h.read, c.Value, head), bridge.Bind(h.failed, c.Value))
}

// header returns a header of an answer, or null if the answer has none of that
// name.
func header(headers js.Value, name string) js.Value {
	v, err := bridge.CallMethod(headers, "get", name)
	if err != nil || bridge.KindOf(v) != bridge.String {
		return js.Null()
	}
	return v
}

// retryAfter reads the header Retry-After, in seconds or as a date (RFC 9110,
// section 10.2.3). The result is in seconds from now.
func retryAfter(headers js.Value) float64 {
	v := header(headers, "retry-after")
	if v.IsNull() {
		return 0
	}
	seconds := page.number.Invoke(v).Float()
	if seconds != seconds { // NaN
		seconds = (page.parseDate.Invoke(v).Float() - page.now.Invoke().Float()) / 1000
	}
	return seconds
}

// finishWith finishes a call with a whole answer: its head, and the text of its
// body.
func (c call) finishWith(head, text js.Value) {
	a := client.Answer{Status: head.Get("status").Float(), RetryAfter: head.Get("retryAfter").Float()}
	body := parse(text)
	if a.IsObject = !body.IsUndefined(); a.IsObject {
		a.HasError = !bridge.Own(body, "error").IsUndefined()
		a.Error, a.ErrorCode, a.ErrorDescription = textOf(body, "error"), textOf(body, "errorCode"), textOf(body, "errorDescription")
		a.AccessToken = textOf(body, "accessToken")
		if wait := bridge.Own(body, "retryAfter"); bridge.KindOf(wait) == bridge.Number {
			a.RetryAfter = wait.Float()
		}
	}
	c.finish(a, body)
}

// lengthOf returns the length of a string, in UTF-16 code units. It reads that of an
// object, since syscall/js cannot read the length of a primitive.
func lengthOf(text js.Value) int { return page.object.Invoke(text).Get("length").Int() }

// parse returns the JSON object in a text, or undefined if it contains anything
// else.
func parse(text js.Value) js.Value {
	if bridge.KindOf(text) != bridge.String || lengthOf(text) > maxBody {
		return js.Undefined()
	}
	v, err := bridge.Call(page.parseJSON, js.Undefined(), text)
	if err != nil || bridge.KindOf(v) != bridge.Object || page.isArray.Invoke(v).Bool() {
		return js.Undefined()
	}
	return v
}

// textOf returns the value of a key of an answer's body, or "" if it is not a
// string.
func textOf(body js.Value, key string) string {
	if v := bridge.Own(body, key); bridge.KindOf(v) == bridge.String {
		return v.String()
	}
	return ""
}

// fail finishes a call without an answer, and aborts its request.
func (c call) fail(code string) {
	if !c.Get("over").Bool() {
		c.finish(client.Answer{Failure: code}, js.Undefined())
		bridge.CallMethod(c.Get("controller"), "abort")
	}
}

// finish settles a call, unless it is over.
func (c call) finish(a client.Answer, body js.Value) {
	if c.Get("over").Bool() {
		return
	}
	c.close()
	c.settle(clientOf(c.Get("config")).Result(a), body)
}

// close stops the time-out of a call and removes the listeners of its signals.
func (c call) close() {
	c.Set("over", true)
	page.clearTimeout.Invoke(c.Get("timer"))
	if listener := c.Get("listener"); !listener.IsNull() {
		bridge.CallMethod(c.Get("config").Get("end").Get("signal"), "removeEventListener", "abort", listener)
		// A signal that outlives the call must not keep the listener.
		if signal := c.Get("signal"); !signal.IsNull() {
			bridge.CallMethod(signal, "removeEventListener", "abort", listener)
		}
	}
}

// settle settles the promise of a call with its result.
func (c call) settle(r client.Result, body js.Value) {
	config := c.Get("config")
	if r.TokenExpired {
		if f := config.Get("onTokenExpired"); !bridge.IsNullish(f) {
			if _, err := bridge.Call(f, js.Undefined()); err != nil {
				c.promise().Reject(err)
				return
			}
		}
	}
	if r.Log != "" {
		// If the page replaced the console, an error that it throws is ignored.
		if console, err := bridge.Get(js.Global(), "console"); err == nil {
			bridge.CallMethod(console, "error", r.Log)
		}
	}
	if r.Token != "" {
		keepToken(config, r.Token)
	}
	c.promise().Resolve(c.result(r, body))
}

// result returns the value that a call resolves to.
func (c call) result(r client.Result, body js.Value) js.Value {
	var result js.Value
	switch r.Kind {
	case client.NotACode:
		data := bridge.NewObject("isVerified,failureReason", false, string(api.CodeInvalidOrExpired))
		return bridge.NewObject("data", data)
	case client.Data:
		if c.Get("verifies").Bool() {
			return verified(body)
		}
		return bridge.NewObject("data", withQRCode(body))
	case client.Refusal:
		description := bridge.Own(body, "errorDescription")
		message := description
		if bridge.IsNullish(message) {
			message = bridge.Own(body, "error")
		}
		result = bridge.NewObject("error,errorCode,errorDescription", message, bridge.Own(body, "errorCode"), description)
	case client.Failure:
		message := r.Err.Description
		if r.Err.Code == api.CodeTokenNotSet {
			message = r.Err.Code // as the official SDK has it
		}
		result = bridge.NewObject("error,errorCode,errorDescription", message, r.Err.Code, r.Err.Description)
	}
	if r.RetryAfter > 0 {
		bridge.Define(result, "retryAfter", r.RetryAfter)
	}
	return result
}

// withQRCode adds to the server's object the QR code of its uri and the
// parameters of uri. If uri is too long for a QR code, there is none: the user
// can still type the secret.
func withQRCode(data js.Value) js.Value {
	if uri := textOf(data, "uri"); uri != "" {
		describe(data, uri)
		if svg, err := qr.Fit(uri, qr.Default()); err == nil {
			bridge.Define(data, "qrCode", qr.DataURL(svg))
		}
	}
	return data
}

// verified returns the result of verify in the shape of the official SDK: the
// access token becomes data's last key, token. Some pages read it from the
// result itself, so it is there too, as a property that is not enumerable.
func verified(data js.Value) js.Value {
	result := bridge.NewObject("data", data)
	if token := bridge.Own(data, "accessToken"); bridge.KindOf(token) == bridge.String {
		data.Delete("accessToken")
		bridge.Define(data, "token", token)
		bridge.DefineHidden(result, "token", token)
	}
	return result
}
