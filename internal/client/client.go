// Package client is the logic of the browser SDK in plain Go, without input or
// output: what a call asks the API, and what an answer means. It waits for
// nothing, so it needs no goroutine, channel, clock or context. It knows
// neither JavaScript nor HTTP; only the browser module and the tests use it.
//
// Its source is the public Authsignal client API and the behaviour of
// @authsignal/browser.
package client

import (
	"math"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A Client makes the requests of one tenant's calls and judges their answers.
type Client struct {
	// BaseURL is the API's URL with its version and without a slash at its
	// end, such as "https://api.authsignal.com/v1".
	BaseURL string
	// Logging makes results hold a line for the console about every error that
	// the API answers.
	Logging bool
}

// A Request is one call of the client API, always a POST.
type Request struct {
	URL string
	// Token is sent as "Authorization: Bearer Token".
	Token string
	// Body is JSON, or "" for no body.
	Body string
}

// An Answer is what came of a Request.
type Answer struct {
	// Failure says why no whole answer arrived: CodeNetworkError, CodeTimeout
	// or CodeAborted of package api. It is "" if one did.
	Failure string
	// Status is the HTTP status, a float64 because a page's own fetch may say
	// any number.
	Status float64
	// IsObject reports whether the body is a JSON object. The fields below are
	// read from it.
	IsObject bool
	// HasError reports whether it has the key "error", whatever its value.
	HasError bool
	// Error, ErrorCode and ErrorDescription are those of the body, "" where
	// they are no strings.
	Error, ErrorCode, ErrorDescription string
	// AccessToken is the new token of a code that was accepted, or "".
	AccessToken string
	// RetryAfter is the wait in seconds that the body names, otherwise that of
	// the header; 0 if neither does.
	RetryAfter float64
}

// A Kind tells what a call results in.
type Kind int

const (
	// Data is the body of the answer.
	Data Kind = iota
	// Refusal is the error in the body of the answer, whose values are handed
	// on as they came.
	Refusal
	// Failure is an error that was found here: Result.Err.
	Failure
	// NotACode is a code that cannot be one. No request is made, so that a
	// slip of the finger spends no attempt: the code is not verified, for the
	// reason CODE_INVALID_OR_EXPIRED.
	NotACode
)

// A Result is what a call results in, and what else is to be done then.
type Result struct {
	Kind Kind
	// Err is the error of a Failure.
	Err *api.Error
	// RetryAfter is how long to wait after too many requests, in whole seconds
	// from 1 up; 0 if the answer does not say.
	RetryAfter float64
	// Token takes the place of the token that is kept, unless it is "".
	Token string
	// TokenExpired reports whether onTokenExpired is called, before the call
	// settles. If it throws, the call rejects with that.
	TokenExpired bool
	// Log is a line for the console, or "".
	Log string
}

// Enroll starts the enrollment of an authenticator app. If it returns no
// request, there is none to make, and the result is final.
func (c Client) Enroll(token string) (*Request, Result) {
	return c.request(token, api.PathClientEnrollTOTP, "")
}

// Verify checks a code of the user's authenticator app: the one that completes
// an enrollment, or one asked for later. The code is cleaned first; what is
// then not 6 to 8 digits is NotACode. After a timeout or a network_error the
// code may have been accepted and spent.
//
// That a code is verified here is for the screen: only the backend's validate
// decides.
func (c Client) Verify(token, code string) (*Request, Result) {
	digits := cleanCode(code)
	r, result := c.request(token, api.PathClientVerifyTOTP, `{"verificationCode":"`+digits+`"}`)
	if r != nil && digits == "" {
		return nil, Result{Kind: NotACode}
	}
	return r, result
}

// request makes a request unless its token cannot be sent.
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
	return &Request{URL: c.BaseURL + path, Token: token, Body: body}, Result{}
}

// Result judges an answer: the server's object, a refusal of the API, whatever
// its HTTP status, or a failure.
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
	case !a.IsObject || !(a.Status >= 200 && a.Status < 300): // so written, it is false of NaN
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

// wait returns the wait that an answer names in whole seconds, or 0.
func wait(a Answer) float64 {
	if a.RetryAfter > 0 && a.RetryAfter < math.MaxInt32 { // so written, it is false of NaN
		return math.Ceil(a.RetryAfter)
	}
	return 0
}
