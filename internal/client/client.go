// Package client contains the logic of the browser SDK in plain Go, without input
// or output: the requests of its calls, and the results of the answers. It never
// blocks, so it needs no goroutine, channel, clock or context. It depends on
// neither JavaScript nor HTTP; only the browser module and the tests use it.
//
// It follows the public Authsignal client API and the behaviour of
// @authsignal/browser.
package client

import (
	"math"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A Client creates the requests of calls and interprets their answers.
type Client struct {
	// BaseURL is the API's URL with its version and without a slash at its
	// end, such as "https://api.authsignal.com/v1".
	BaseURL string
	// Logging reports whether results have a line for the console about every
	// error of the API.
	Logging bool
}

// A Request is one call of the client API.
type Request struct {
	// Method is GET or POST.
	Method string
	URL    string
	// Token is sent as "Authorization: Bearer Token".
	Token string
	// Body is JSON, or "" for no body.
	Body string
}

// An Answer is the answer to a Request, or the reason why there is none.
type Answer struct {
	// Failure says why no whole answer arrived: CodeNetworkError, CodeTimeout
	// or CodeAborted of package api. It is "" if one did.
	Failure string
	// Status is the HTTP status. It is a float64 because a page may replace
	// fetch, whose status may be any number.
	Status float64
	// IsObject reports whether the body is a JSON object. The fields below are
	// read from it.
	IsObject bool
	// HasError reports whether the body has the key "error", whatever its value.
	HasError bool
	// Error, ErrorCode and ErrorDescription are those of the body, or "" if
	// they are not strings.
	Error, ErrorCode, ErrorDescription string
	// AccessToken is the new token after an accepted code, or "".
	AccessToken string
	// RetryAfter is the wait in seconds in the body, otherwise in the header, or
	// 0 if there is none.
	RetryAfter float64
}

// A Kind is a kind of result.
type Kind int

const (
	// Data is the body of the answer.
	Data Kind = iota
	// Refusal is the error in the body of the answer, whose values are passed on
	// unchanged.
	Refusal
	// Failure is an error of this package: Result.Err.
	Failure
	// NotACode is a malformed code. No request is made, so that a typing error
	// spends no attempt: the code is not verified, for the reason
	// CODE_INVALID_OR_EXPIRED.
	NotACode
)

// A Result is the result of a call, and what the caller has to do beside it.
type Result struct {
	Kind Kind
	// Err is the error of a Failure.
	Err *api.Error
	// RetryAfter is the wait after too many requests, in whole seconds from 1
	// up, or 0 if it is unknown.
	RetryAfter float64
	// Token replaces the token that is kept, unless it is "".
	Token string
	// TokenExpired reports whether to call onTokenExpired, before the call
	// settles. If it throws, the call rejects with its exception.
	TokenExpired bool
	// Log is a line for the console, or "".
	Log string
}

// Enroll starts the enrollment of an authenticator app. name is what the user calls
// it, as JSON, or "". If it returns no request, the result is final.
func (c Client) Enroll(token, name string) (*Request, Result) {
	body := ""
	if name != "" {
		body = `{"name":` + name + `}`
	}
	return c.request(token, api.PathClientEnrollTOTP, body)
}

// Verify checks a code of the user's authenticator app: the one that completes
// an enrollment, or a later one. The code is cleaned first (see cleanCode); if it
// then does not have 6 to 8 digits, the result is NotACode. After a timeout or a
// network_error the code may have been accepted and spent.
//
// The result is for display only: the backend's validate decides.
func (c Client) Verify(token, code string) (*Request, Result) {
	digits := cleanCode(code)
	r, result := c.request(token, api.PathClientVerifyTOTP, `{"verificationCode":"`+digits+`"}`)
	if r != nil && digits == "" {
		return nil, Result{Kind: NotACode}
	}
	return r, result
}

// request creates a request, or returns a Failure if the token cannot be sent.
func (c Client) request(token, path, body string) (*Request, Result) {
	if token == "" {
		err := &api.Error{Code: api.CodeTokenNotSet, Description: descriptionTokenNotSet}
		return nil, Result{Kind: Failure, Err: err, Log: "Error: " + err.Description}
	}
	for _, r := range token {
		// RFC 9110, 5.5, and the Latin-1 of fetch's ByteString.
		if r < ' ' || 0x7f <= r && r < 0xa0 || r > 0xff {
			return nil, Result{Kind: Failure, Err: &api.Error{Code: api.CodeInvalidRequest, Description: descriptionToken}}
		}
	}
	return &Request{Method: "POST", URL: c.BaseURL + path, Token: token, Body: body}, Result{}
}

// Result returns the result of an answer: the server's object, a refusal of the
// API, whatever its HTTP status, or a failure.
func (c Client) Result(a Answer) Result {
	switch {
	case a.Failure != "":
		return c.failure(a.Failure)
	case a.IsObject && a.HasError:
		return c.refusal(a)
	case a.Status == 429:
		r := c.failure(api.CodeTooManyRequests)
		r.RetryAfter = wait(a)
		return r
	case !a.IsObject || !(a.Status >= 200 && a.Status < 300): // written like this, it is false for NaN
		return c.failure(api.CodeInvalidResponse)
	}
	return Result{Kind: Data, Token: a.AccessToken}
}

func (c Client) failure(code string) Result {
	return Result{Kind: Failure, Err: c.error(code)}
}

func (c Client) refusal(a Answer) Result {
	r := Result{Kind: Refusal, TokenExpired: a.ErrorCode == api.CodeExpiredToken}
	if a.Status == 429 || a.ErrorCode == api.CodeTooManyRequests {
		r.RetryAfter = wait(a)
	}
	if c.Logging {
		code := a.ErrorCode
		if code == "" {
			code = a.Error
		}
		r.Log = "[Authsignal] " + code
		if a.ErrorDescription != "" {
			r.Log += ": " + a.ErrorDescription
		}
	}
	return r
}

// wait returns the wait of an answer, rounded up to whole seconds, or 0 if it is
// unknown.
func wait(a Answer) float64 {
	if a.RetryAfter > 0 && a.RetryAfter < math.MaxInt32 { // written like this, it is false for NaN
		return math.Ceil(a.RetryAfter)
	}
	return 0
}
