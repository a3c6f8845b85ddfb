//go:build js && wasm

package main

import (
	"errors"
	"strconv"
	"strings"
	"syscall/js"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/client"
	"github.com/authsignal-wasm/sdk/internal/qr"
	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
	"github.com/authsignal-wasm/sdk/wasm/internal/fetch"
)

// The time-out of a call in milliseconds; maxTimeout is the longest that
// setTimeout keeps (a signed 32-bit number).
const (
	defaultTimeout = 10_000
	maxTimeout     = 1<<31 - 1
)

// publish sets globalThis.authsignal.
func publish() {
	js.Global().Set("authsignal", bridge.Object(
		"Authsignal", newClass(),
		"qr", bridge.Object(
			"toSVG", bridge.Func(2, toSVG),
			"toDataURL", bridge.Func(2, toDataURL),
			"matrix", bridge.Func(2, matrix),
		),
	))
}

// absent are the properties of the official SDK's Authsignal for what this one
// does not do; js/src/authsignal.ts has the same names.
var absent = []string{
	"email", "emailML", "initAdvancedProfiling", "passkey", "push", "qrCode", "securityKey", "sms", "whatsapp",
}

// newClass makes the class Authsignal. The methods of an instance are the same
// few functions for all, bound to the instance's configuration: they work
// without a this, and an instance that the page drops leaves nothing behind in
// Go.
func newClass() js.Value {
	setToken := bridge.ThrowingFunc(setToken)
	enroll := bridge.Func(2, enroll)
	verify := bridge.Func(2, verify)
	dispose := bridge.ThrowingFunc(dispose)
	class := bridge.Class("Authsignal", func(options, prototype js.Value) (js.Value, error) {
		config, err := readConfig(options)
		if err != nil {
			return js.Undefined(), err
		}
		bind := func(f js.Value) js.Value { return f.Call("bind", js.Undefined(), config) }
		property := func(v js.Value) js.Value {
			return bridge.Object("value", v, "enumerable", true, "writable", true, "configurable", true)
		}
		// Defined, not set: the prototype may be a subclass's and have setters.
		return js.Global().Get("Object").Call("create", prototype, bridge.Object(
			"setToken", property(bind(setToken)),
			"totp", property(bridge.Object("enroll", bind(enroll), "verify", bind(verify))),
			"dispose", property(bind(dispose)),
		)), nil
	})
	for _, name := range absent {
		err := bridge.Error(name + " is not part of this SDK, which has authenticator apps (totp) only: use @authsignal/browser for it")
		js.Global().Get("Object").Call("defineProperty", class.Get("prototype"), name, bridge.Object(
			"get", bridge.ThrowingFunc(func([]js.Value) (js.Value, error) { return js.Undefined(), err }),
			"configurable", true,
		))
	}
	return class
}

// readConfig reads and checks the constructor's options. The result is a
// JavaScript object of our own, which only clientOf reads.
func readConfig(options js.Value) (js.Value, error) {
	if !isObject(options) {
		options = bridge.Object()
	}
	var err error
	get := func(key string) js.Value {
		var v js.Value
		if err == nil {
			v, err = bridge.Get(options, key)
		}
		return v
	}
	tenantID, baseURL := get("tenantId"), get("baseUrl")
	onTokenExpired, enableLogging := get("onTokenExpired"), get("enableLogging")
	if err != nil {
		return js.Undefined(), err
	}
	if bridge.IsNullish(tenantID) || bridge.Type(tenantID) == js.TypeString && tenantID.String() == "" {
		return js.Undefined(), bridge.Error("tenantId is required")
	}
	if bridge.Type(tenantID) != js.TypeString {
		return js.Undefined(), bridge.TypeError("tenantId must be a string")
	}
	if bridge.IsNullish(baseURL) {
		baseURL = js.ValueOf(client.DefaultBaseURL)
	}
	if bridge.Type(baseURL) != js.TypeString || strings.TrimSpace(baseURL.String()) == "" {
		return js.Undefined(), bridge.TypeError("baseUrl must be a URL such as " + client.DefaultBaseURL)
	}
	if !bridge.IsNullish(onTokenExpired) && bridge.Type(onTokenExpired) != js.TypeFunction {
		return js.Undefined(), bridge.TypeError("onTokenExpired must be a function")
	}
	return bridge.Object(
		"tenantId", tenantID,
		"baseUrl", strings.TrimSpace(baseURL.String()),
		"onTokenExpired", onTokenExpired,
		"enableLogging", js.Global().Get("Boolean").Invoke(enableLogging),
		// Its abort is the end of the instance, and of all calls under way.
		"end", js.Global().Get("AbortController").New(),
	), nil
}

// clientOf makes the client of an instance from its configuration.
func clientOf(config js.Value) *client.Client {
	o := client.Options{
		TenantID:  config.Get("tenantId").String(),
		BaseURL:   config.Get("baseUrl").String(),
		Transport: fetch.Transport{},
		Console: func(line string) {
			// A console that a page replaced and that throws is its own affair.
			bridge.Try(func() js.Value { return js.Global().Get("console").Call("error", line) })
		},
		Logging: config.Get("enableLogging").Bool(),
	}
	if f := config.Get("onTokenExpired"); !bridge.IsNullish(f) {
		o.OnTokenExpired = func() error {
			_, err := bridge.Try(func() js.Value { return f.Invoke() })
			return err
		}
	}
	return client.New(o)
}

// errDisposed is the error of a call of an instance after dispose.
var errDisposed = errors.New("this Authsignal instance has been disposed of: make a new one")

// isDisposed says whether the instance of config has ended.
func isDisposed(config js.Value) bool {
	return config.Get("end").Get("signal").Get("aborted").Bool()
}

// dispose is instance.dispose().
func dispose(args []js.Value) (js.Value, error) {
	if !isDisposed(args[0]) {
		clientOf(args[0]).SetToken("")
		args[0].Get("end").Call("abort")
	}
	return js.Undefined(), nil
}

// setToken is instance.setToken(token).
func setToken(args []js.Value) (js.Value, error) {
	if isDisposed(args[0]) {
		return js.Undefined(), errDisposed
	}
	token := ""
	if v := args[1]; bridge.Type(v) == js.TypeString {
		token = v.String()
	} else if !bridge.IsNullish(v) {
		return js.Undefined(), bridge.TypeError("token must be a string")
	}
	clientOf(args[0]).SetToken(token)
	return js.Undefined(), nil
}

// enroll is instance.totp.enroll({signal, timeout}).
func enroll(args []js.Value) js.Value {
	return bridge.Promise(func() (bridge.Work, error) {
		if isDisposed(args[0]) {
			return nil, errDisposed
		}
		c := clientOf(args[0])
		token := c.Token()
		options := args[1]
		if bridge.IsNullish(options) {
			options = bridge.Object()
		}
		if !isObject(options) {
			return nil, bridge.TypeError("enroll takes an object: enroll({ signal, timeout })")
		}
		ctx, end, err := readLimits(args[0], options)
		if err != nil {
			return nil, err
		}
		return func() (js.Value, error) {
			defer end()
			body, err := c.Enroll(ctx, token)
			if err != nil {
				return js.Undefined(), err
			}
			return bridge.Object("data", withQRCode(body)), nil
		}, nil
	}, errorResult)
}

// withQRCode adds to the server's object the picture of uri and what uri says.
// A uri that is too long for a QR code has none: the user can still type the
// secret.
func withQRCode(body client.Body) js.Value {
	data := body.(fetch.Body).Value
	if uri, ok := body.String("uri"); ok {
		describe(data, uri)
		if svg, err := qr.Fit(uri, qr.Default()); err == nil {
			data.Set("qrCode", qr.DataURL(svg))
		}
	}
	return data
}

// verify is instance.totp.verify({code, signal, timeout}).
func verify(args []js.Value) js.Value {
	return bridge.Promise(func() (bridge.Work, error) {
		if isDisposed(args[0]) {
			return nil, errDisposed
		}
		c := clientOf(args[0])
		token := c.Token()
		if !isObject(args[1]) {
			return nil, bridge.TypeError("verify takes an object: verify({ code })")
		}
		v, err := bridge.Get(args[1], "code")
		if err != nil {
			return nil, err
		}
		code := ""
		switch bridge.Type(v) {
		case js.TypeString, js.TypeNumber:
			code = js.Global().Get("String").Invoke(v).String()
		}
		ctx, end, err := readLimits(args[0], args[1])
		if err != nil {
			return nil, err
		}
		return func() (js.Value, error) {
			defer end()
			v, err := c.Verify(ctx, token, code)
			if err != nil {
				return js.Undefined(), err
			}
			return verifyResult(v), nil
		}, nil
	}, errorResult)
}

// verifyResult shapes the answer to verify as the official SDK does: the access
// token becomes data's last key, token. The owner's sample reads it from the
// result itself, so it is there too, where a comparison by keys does not see it.
func verifyResult(v client.Verification) js.Value {
	if v.Body == nil {
		return bridge.Object("data", bridge.Object(
			"isVerified", false,
			"failureReason", string(api.CodeInvalidOrExpired),
		))
	}
	data := v.Body.(fetch.Body).Value
	result := bridge.Object("data", data)
	if token, ok := v.Body.String("accessToken"); ok {
		data.Delete("accessToken")
		data.Set("token", token)
		js.Global().Get("Object").Call("defineProperty", result, "token",
			bridge.Object("value", token, "configurable", true, "writable", true))
	}
	return result
}

// isObject says whether v has properties of its own to read.
func isObject(v js.Value) bool {
	t := bridge.Type(v)
	return t == js.TypeObject || t == js.TypeFunction
}

// readLimits reads the options signal and timeout of a call of the instance of
// config, and starts its clock. end must be called when the call is over.
func readLimits(config, options js.Value) (ctx client.Context, end func(), err error) {
	timeout, err := bridge.Get(options, "timeout")
	if err != nil {
		return nil, nil, err
	}
	signal, err := bridge.Get(options, "signal")
	if err != nil {
		return nil, nil, err
	}
	ms := float64(defaultTimeout)
	if !bridge.IsNullish(timeout) {
		ms = 0
		if bridge.Type(timeout) == js.TypeNumber {
			ms = timeout.Float()
		}
		if !(ms > 0 && ms <= maxTimeout) { // so written, it is true of NaN
			return nil, nil, bridge.TypeError("timeout must be a number of milliseconds above 0 and up to " +
				strconv.Itoa(maxTimeout))
		}
	}
	d := bridge.NewDeadline(time.Duration(ms * float64(time.Millisecond)))
	stop, err := bridge.OnAbort(config.Get("end").Get("signal"), d.Cancel)
	if err != nil {
		d.Cancel()
		return nil, nil, err
	}
	stopToo := func() {}
	if !bridge.IsNullish(signal) {
		if stopToo, err = bridge.OnAbort(signal, d.Cancel); err != nil {
			d.Cancel()
			stop()
			return nil, nil, err
		}
	}
	return d, func() {
		d.Cancel()
		stop()
		stopToo()
	}, nil
}

// errorResult decides the shape of every error of totp: what the API answered
// and what the SDK found is a result to resolve with; what the page's own code
// threw, and misuse, rejects.
func errorResult(err error) (js.Value, error) {
	switch err := err.(type) {
	case *client.Limited:
		result, other := errorResult(err.Err)
		if other == nil {
			result.Set("retryAfter", err.RetryAfter)
		}
		return result, other
	case *client.Refusal:
		body := err.Body.(fetch.Body).Value
		description := body.Get("errorDescription")
		text := description
		if bridge.IsNullish(text) {
			text = body.Get("error")
		}
		return bridge.Object("error", text, "errorCode", body.Get("errorCode"), "errorDescription", description), nil
	case *api.Error:
		text := err.Description
		if err.Code == api.CodeTokenNotSet {
			text = err.Code // as the official SDK has it
		}
		return bridge.Object("error", text, "errorCode", err.Code, "errorDescription", err.Description), nil
	}
	return js.Undefined(), err
}

// toSVG is qr.toSVG(text, options). The options have the names of npm's qrcode.
func toSVG(args []js.Value) js.Value {
	return draw(args, func(text string, o qr.Options) (js.Value, error) {
		svg, err := qr.SVG(text, o)
		return js.ValueOf(svg), err
	})
}

// toDataURL is qr.toDataURL(text, options): toSVG as a data: URL.
func toDataURL(args []js.Value) js.Value {
	return draw(args, func(text string, o qr.Options) (js.Value, error) {
		svg, err := qr.SVG(text, o)
		return js.ValueOf(qr.DataURL(svg)), err
	})
}

// matrix is qr.matrix(text, options), for whoever draws: its options are those
// of toSVG, so that all are checked, of which errorCorrectionLevel counts.
func matrix(args []js.Value) js.Value {
	return draw(args, func(text string, o qr.Options) (js.Value, error) {
		m, err := qr.Encode(text, o.Level)
		if err != nil {
			return js.Undefined(), err
		}
		bits := js.Global().Get("Uint8Array").New(len(m.Bits))
		js.CopyBytesToJS(bits, m.Bits)
		return bridge.Object("size", m.Size, "bits", bits), nil
	})
}

// draw reads the arguments of a function of qr and gives the promise of its
// work.
func draw(args []js.Value, work func(text string, o qr.Options) (js.Value, error)) js.Value {
	return bridge.Promise(func() (bridge.Work, error) {
		if bridge.Type(args[0]) != js.TypeString {
			return nil, bridge.TypeError("text must be a string")
		}
		o, err := readQROptions(args[1])
		if err != nil {
			return nil, err
		}
		text := args[0].String()
		return func() (js.Value, error) { return work(text, o) }, nil
	}, func(err error) (js.Value, error) { return js.Undefined(), err })
}

// readQROptions reads the options of toSVG.
func readQROptions(options js.Value) (qr.Options, error) {
	o := qr.Default()
	if bridge.IsNullish(options) {
		return o, nil
	}
	if !isObject(options) {
		return o, bridge.TypeError("options must be an object")
	}
	var err error
	get := func(from js.Value, key string, use func(js.Value) error) {
		var v js.Value
		if err == nil {
			v, err = bridge.Get(from, key)
		}
		if err == nil && !bridge.IsNullish(v) {
			err = use(v)
		}
	}
	whole := func(to *int, least, most float64, wrong error) func(js.Value) error {
		return func(v js.Value) error {
			if bridge.Type(v) != js.TypeNumber {
				return bridge.TypeError(wrong.Error())
			}
			n := v.Float()
			if !(n >= least && n <= most) || n != float64(int(n)) {
				return bridge.TypeError(wrong.Error())
			}
			*to = int(n)
			return nil
		}
	}
	text := func(to *string, wrong string) func(js.Value) error {
		return func(v js.Value) error {
			if bridge.Type(v) != js.TypeString {
				return bridge.TypeError(wrong)
			}
			*to = v.String()
			return nil
		}
	}
	get(options, "margin", whole(&o.Margin, 0, qr.MaxMargin, qr.ErrMargin))
	get(options, "scale", whole(&o.Scale, 1, qr.MaxScale, qr.ErrScale))
	get(options, "width", whole(&o.Width, 1, qr.MaxWidth, qr.ErrWidth))
	get(options, "title", text(&o.Title, "title must be a string"))
	get(options, "color", func(color js.Value) error {
		if !isObject(color) {
			return bridge.TypeError("color must be an object: { dark, light }")
		}
		get(color, "dark", text(&o.Dark, qr.ErrColor.Error()))
		get(color, "light", text(&o.Light, qr.ErrColor.Error()))
		return err
	})
	level := ""
	const wrongLevel = `errorCorrectionLevel must be "L", "M", "Q" or "H"`
	get(options, "errorCorrectionLevel", func(v js.Value) error {
		if err := text(&level, wrongLevel)(v); err != nil {
			return err
		}
		switch level {
		case "L", "l", "low":
			o.Level = qr.Low
		case "M", "m", "medium":
			o.Level = qr.Medium
		case "Q", "q", "quartile":
			o.Level = qr.Quartile
		case "H", "h", "high":
			o.Level = qr.High
		default:
			return bridge.TypeError(wrongLevel)
		}
		return nil
	})
	if err == nil && o.Check() != nil {
		err = bridge.TypeError(o.Check().Error())
	}
	return o, err
}
