//go:build js && wasm

package main

import (
	"syscall/js"

	"github.com/authsignal-wasm/sdk/internal/qr"
	"github.com/authsignal-wasm/sdk/wasm/internal/bridge"
)

// toSVG is qr.toSVG(text, options). The options have the names of npm's qrcode.
func toSVG(p bridge.Promise, args []js.Value) {
	draw(p, args, func(text string, o qr.Options) (js.Value, error) {
		svg, err := qr.SVG(text, o)
		return js.ValueOf(svg), err
	})
}

// toDataURL is qr.toDataURL(text, options): toSVG as a data: URL.
func toDataURL(p bridge.Promise, args []js.Value) {
	draw(p, args, func(text string, o qr.Options) (js.Value, error) {
		svg, err := qr.SVG(text, o)
		return js.ValueOf(qr.DataURL(svg)), err
	})
}

// matrix is qr.matrix(text, options), for pages that draw the symbol themselves.
// It takes and checks the options of toSVG, but uses only errorCorrectionLevel.
func matrix(p bridge.Promise, args []js.Value) {
	draw(p, args, func(text string, o qr.Options) (js.Value, error) {
		m, err := qr.Encode(text, o.Level)
		if err != nil {
			return js.Undefined(), err
		}
		bits := bridge.Guard("bytes").Invoke(len(m.Bits))
		js.CopyBytesToJS(bits, m.Bits)
		return bridge.NewObject("size,bits", m.Size, bits), nil
	})
}

// draw reads the arguments of a function of qr and settles its promise.
func draw(p bridge.Promise, args []js.Value, work func(text string, o qr.Options) (js.Value, error)) {
	if bridge.KindOf(args[0]) != bridge.String {
		p.Reject(bridge.TypeError("text must be a string"))
		return
	}
	o, wrong := readQROptions(args[1])
	if wrong != nil {
		p.Reject(wrong)
		return
	}
	v, err := js.Undefined(), qr.ErrTooLong
	// Before the text is copied: a character takes a byte or more.
	if lengthOf(args[0]) <= qr.MaxText {
		v, err = work(args[0].String(), o)
	}
	if err != nil {
		p.Reject(bridge.Error(err.Error()))
		return
	}
	p.Resolve(v)
}

// readQROptions reads the options of toSVG.
func readQROptions(options js.Value) (qr.Options, *bridge.Exception) {
	o := qr.Default()
	if bridge.IsNullish(options) {
		return o, nil
	}
	if !bridge.IsObject(options) {
		return o, bridge.TypeError("options must be an object")
	}
	var r optionReader
	r.whole(&o.Margin, options, "margin", 0, qr.MaxMargin, qr.ErrMargin)
	r.whole(&o.Scale, options, "scale", 1, qr.MaxScale, qr.ErrScale)
	r.whole(&o.Width, options, "width", 1, qr.MaxWidth, qr.ErrWidth)
	r.text(&o.Title, options, "title", "title must be a string")
	if color := r.get(options, "color"); !bridge.IsNullish(color) {
		if bridge.IsObject(color) {
			r.text(&o.Dark, color, "dark", qr.ErrColor.Error())
			r.text(&o.Light, color, "light", qr.ErrColor.Error())
		} else {
			r.refuse(bridge.TypeError("color must be an object: { dark, light }"))
		}
	}
	const wrongLevel = `errorCorrectionLevel must be "L", "M", "Q" or "H"`
	level := "M"
	r.text(&level, options, "errorCorrectionLevel", wrongLevel)
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
		r.refuse(bridge.TypeError(wrongLevel))
	}
	if err := o.Check(); err != nil {
		r.refuse(bridge.TypeError(err.Error()))
	}
	return o, r.err
}

// whole reads a whole number from least to most. It leaves *to unchanged if the
// option is undefined or null.
func (r *optionReader) whole(to *int, from js.Value, key string, least, most float64, wrong error) {
	v := r.get(from, key)
	if bridge.IsNullish(v) {
		return
	}
	if bridge.KindOf(v) == bridge.Number {
		if n := v.Float(); n >= least && n <= most && n == float64(int(n)) {
			*to = int(n)
			return
		}
	}
	r.refuse(bridge.TypeError(wrong.Error()))
}

// text reads a string. It leaves *to unchanged if the option is undefined or
// null.
func (r *optionReader) text(to *string, from js.Value, key string, wrong string) {
	v := r.get(from, key)
	if bridge.IsNullish(v) {
		return
	}
	if bridge.KindOf(v) != bridge.String {
		r.refuse(bridge.TypeError(wrong))
		return
	}
	*to = v.String()
}
