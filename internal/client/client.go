// Package client is the logic of the browser SDK in plain Go: the token, the
// two calls for authenticator apps, and what their answers mean. It knows
// neither JavaScript nor HTTP; a Transport carries its requests. Only the
// exports of the browser module and the tests call it.
//
// Its source is the public Authsignal client API and the behaviour of
// @authsignal/browser.
package client

import (
	"context"
	"math"
	"strings"
	"sync"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// DefaultBaseURL is the hosted service.
const DefaultBaseURL = "https://api.authsignal.com/v1"

// A Request is one call of the client API.
type Request struct {
	Method string
	URL    string
	// Token is sent as "Authorization: Bearer Token".
	Token string
	// Body is JSON, or "" for no body.
	Body string
}

// A Response is the answer to a Request, whatever its status.
type Response struct {
	// Status is the HTTP status.
	Status int
	// Body is the answer's JSON object; nil when the answer is anything else.
	Body Body
	// RetryAfter is what the header Retry-After says, in seconds from now; 0
	// or less if it is not given, or hidden from the page.
	RetryAfter float64
}

// A Body is a JSON object that stays in the form that the transport has it in,
// so that fields which this package does not know pass through.
type Body interface {
	// Has says whether the object has key, whatever its value.
	Has(key string) bool
	// String gives the value of key, and false if it is not a string.
	String(key string) (string, bool)
	// Number gives the value of key, and false if it is not a number.
	Number(key string) (float64, bool)
}

// A Context ends a call early: the part of context.Context that a call needs,
// and every context.Context is one. The whole interface names time.Time, whose
// methods then add 15 kB to the compressed browser module.
type Context interface {
	Done() <-chan struct{}
	Err() error
}

// A Transport sends requests.
type Transport interface {
	// Send returns an error when no whole answer arrived. It must return soon
	// after ctx is done.
	Send(ctx Context, r Request) (Response, error)
}

// Options make a Client.
type Options struct {
	// TenantID is required; whoever reads the caller's arguments checks it.
	TenantID string
	// BaseURL ends in /v1; "" is DefaultBaseURL. Slashes at its end are
	// dropped.
	BaseURL string
	// Transport carries the requests.
	Transport Transport
	// Console prints a line for the developer.
	Console func(line string)
	// Logging prints every error that the API answers.
	Logging bool
	// OnTokenExpired, if not nil, is called once for every answer that says
	// so. Its error becomes the error of the call.
	OnTokenExpired func() error
}

// A Client calls the API for one tenant at one base URL. It is cheap: all that
// outlives a call is the token, which clients of the same tenant and base URL
// share.
type Client struct {
	options Options
}

// New makes a client from o.
func New(o Options) *Client {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	return &Client{o}
}

// tokens are the cached tokens. One tenant's token is never sent for another,
// nor to another server.
var tokens = struct {
	sync.Mutex
	of map[tenant]string
}{of: map[tenant]string{}}

type tenant struct{ id, baseURL string }

// SetToken caches token, without white space around it, for this tenant and
// base URL; "" forgets it.
func (c *Client) SetToken(token string) {
	token = strings.TrimSpace(token)
	key := tenant{c.options.TenantID, c.options.BaseURL}
	tokens.Lock()
	defer tokens.Unlock()
	if token == "" {
		delete(tokens.of, key)
		return
	}
	tokens.of[key] = token
}

// Token gives the cached token, "" if there is none. A call takes the token as
// an argument so that it uses the one of the moment when it was made.
func (c *Client) Token() string {
	tokens.Lock()
	defer tokens.Unlock()
	return tokens.of[tenant{c.options.TenantID, c.options.BaseURL}]
}

// A Refusal is an answer of the API that has an "error" key: an error, whatever
// the HTTP status. Its values are handed on as they came.
type Refusal struct {
	Body Body
}

// A Limited is an error of too many requests that says when to try again.
type Limited struct {
	// Err is a *Refusal or an *api.Error.
	Err error
	// RetryAfter is how long to wait, in whole seconds from 1 up.
	RetryAfter float64
}

// Error is that of Err.
func (l *Limited) Error() string { return l.Err.Error() }

// Unwrap gives Err.
func (l *Limited) Unwrap() error { return l.Err }

// limited adds to err how long to wait, if the answer says so: in its body, or
// in its header.
func limited(err error, answer Response) error {
	seconds := answer.RetryAfter
	if answer.Body != nil {
		if n, ok := answer.Body.Number("retryAfter"); ok {
			seconds = n
		}
	}
	if !(seconds > 0 && seconds < math.MaxInt32) { // so written, it is true of NaN
		return err
	}
	return &Limited{err, math.Ceil(seconds)}
}

// Error gives the code only: a server's description is for the caller.
func (r *Refusal) Error() string {
	code, _ := r.Body.String("errorCode")
	return "the API refused: " + code
}

// Enroll starts the enrollment of an authenticator app and returns the server's
// object with uri and secret. The error is an *api.Error made here, a *Refusal
// of the API, either of them in a *Limited, or what OnTokenExpired returned.
func (c *Client) Enroll(ctx Context, token string) (Body, error) {
	if err := c.check(token); err != nil {
		return nil, err
	}
	return c.post(ctx, token, api.PathClientEnrollTOTP, "")
}

// A Verification is the answer to Verify. That a code is wrong is an answer,
// not an error.
type Verification struct {
	// Body is the server's object. It is nil when the code cannot be one, and
	// no request was made: isVerified is then false for the reason
	// CODE_INVALID_OR_EXPIRED.
	Body Body
	// AccessToken is the new token of a code that was accepted. It is cached
	// already.
	AccessToken string
}

// Verify checks a code of the user's authenticator app: the one that completes
// an enrollment, or one asked for later. The code is cleaned first; what is
// then not 6 to 8 digits is refused without a request, so that a slip of the
// finger spends no attempt. Errors are those of Enroll. After a timeout or a
// network_error the code may have been accepted and spent.
//
// That a code is verified here is for the screen: only the backend's validate
// decides.
func (c *Client) Verify(ctx Context, token, code string) (Verification, error) {
	if err := c.check(token); err != nil {
		return Verification{}, err
	}
	digits := cleanCode(code)
	if digits == "" {
		return Verification{}, nil
	}
	body, err := c.post(ctx, token, api.PathClientVerifyTOTP, `{"verificationCode":"`+digits+`"}`)
	if err != nil {
		return Verification{}, err
	}
	accessToken, _ := body.String("accessToken")
	if accessToken != "" {
		c.SetToken(accessToken)
	}
	return Verification{body, accessToken}, nil
}

// check refuses a call whose token cannot be sent.
func (c *Client) check(token string) error {
	if token == "" {
		err := &api.Error{Code: api.CodeTokenNotSet, Description: descriptionTokenNotSet}
		c.options.Console("Error: " + err.Description)
		return err
	}
	for _, r := range token {
		// RFC 9110, 5.5, and the Latin-1 of fetch's ByteString.
		if r < ' ' || 0x7f <= r && r < 0xa0 || r > 0xff {
			return &api.Error{Code: api.CodeInvalidRequest, Description: descriptionToken}
		}
	}
	return nil
}

// post sends one request and sorts the answer into the server's object, a
// refusal of the API, or an error made here.
func (c *Client) post(ctx Context, token, path, body string) (Body, error) {
	if ctx.Err() != nil {
		return nil, c.failure(ctx)
	}
	answer, err := c.options.Transport.Send(ctx, Request{
		Method: "POST",
		URL:    c.options.BaseURL + path,
		Token:  token,
		Body:   body,
	})
	if err != nil {
		return nil, c.failure(ctx)
	}
	if answer.Body != nil && answer.Body.Has("error") {
		err := c.refusal(answer.Body)
		if _, ok := err.(*Refusal); !ok {
			return nil, err
		}
		if code, _ := answer.Body.String("errorCode"); code == api.CodeTooManyRequests || answer.Status == 429 {
			err = limited(err, answer)
		}
		return nil, err
	}
	if answer.Status == 429 {
		return nil, limited(c.error(api.CodeTooManyRequests), answer)
	}
	if answer.Body == nil || answer.Status >= 400 {
		return nil, c.error(api.CodeInvalidResponse)
	}
	return answer.Body, nil
}

// failure says why no answer arrived. The context's reason wins over the
// transport's, whose words differ from browser to browser.
func (c *Client) failure(ctx Context) error {
	switch ctx.Err() {
	case nil:
		return c.error(api.CodeNetworkError)
	case context.DeadlineExceeded:
		return c.error(api.CodeTimeout)
	}
	return c.error(api.CodeAborted)
}

// refusal tells the application of an error answer before the call returns it.
func (c *Client) refusal(body Body) error {
	code, _ := body.String("errorCode")
	if code == api.CodeExpiredToken && c.options.OnTokenExpired != nil {
		if err := c.options.OnTokenExpired(); err != nil {
			return err
		}
	}
	if c.options.Logging {
		if code == "" {
			code, _ = body.String("error")
		}
		line := "[Authsignal] " + code
		if description, _ := body.String("errorDescription"); description != "" {
			line += ": " + description
		}
		c.options.Console(line)
	}
	return &Refusal{body}
}
