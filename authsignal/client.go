// Package authsignal is the Go server SDK for the Authsignal API: a backend
// tracks an action, passes the token to its page, and validates the token that
// the page sends back.
//
//	client := authsignal.New(os.Getenv("AUTHSIGNAL_API_SECRET_KEY"), "http://127.0.0.1:4000/v1")
//	action, err := client.Track(ctx, authsignal.TrackRequest{UserID: "u1", Action: "signIn"})
//	// ... the page calls setToken(action.Token) and totp.verify ...
//	result, err := client.ValidateChallenge(ctx, authsignal.ValidateRequest{
//		Token: token, UserID: "u1", Action: "signIn", IdempotencyKey: action.IdempotencyKey,
//	})
//	if err == nil && result.IsValid { /* let the user in */ }
//
// Only ValidateChallenge decides whether a challenge was passed; the result in the
// browser is for display only. Keep action.IdempotencyKey in the user's session:
// without it, a token of an earlier sign-in would complete this one.
//
// Use the package on a server only: a Client has the API secret key, which must
// never reach a page or a mobile app.
package authsignal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// DefaultTimeout limits a call with all its retries, unless Client.Timeout is set.
// A context that ends earlier ends the call.
const DefaultTimeout = 10 * time.Second

const (
	// maxAnswer is the maximum number of bytes that is read of an answer.
	maxAnswer = 8 << 20
	// maxRetries is the maximum number of retries of a call that is safe to
	// repeat.
	maxRetries = 2
	// firstPause is the pause before the first retry; it doubles.
	firstPause = 100 * time.Millisecond
)

// An Error is an error of the API. Inspect it with errors.As.
//
//	var e *authsignal.Error
//	if errors.As(err, &e) && e.Code == "unauthorized" { ... }
type Error struct {
	// Status is the HTTP status of the response.
	Status int
	// Code is the stable machine code, such as "invalid_request".
	Code string
	// Description is a sentence for the developer. It contains no secret, code or
	// token.
	Description string
}

// Error returns the code and the description.
func (e *Error) Error() string { return (*api.Error)(e).Error() }

// A Client calls the Server API of one tenant. Its methods may be called from
// several goroutines; its fields must be set before the first call.
type Client struct {
	// HTTPClient sends the requests. If nil, it is a client without redirects.
	HTTPClient *http.Client
	// Timeout limits a call with all its retries. 0 means DefaultTimeout.
	Timeout time.Duration

	secret, base string
}

var defaultHTTPClient = &http.Client{
	// A redirect could send the secret to another server or turn a POST into a
	// GET. It is an error instead.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// New returns a client for the API secret key of a tenant. The API URL
// includes the version, such as http://127.0.0.1:4000/v1. Space and line ends
// around them, which a file may bring, do not count.
func New(secret, apiURL string) *Client {
	return &Client{secret: strings.TrimSpace(secret), base: strings.TrimRight(strings.TrimSpace(apiURL), "/")}
}

// A call is one request of the Server API.
type call struct {
	name         string // for error texts, such as "track"
	method, path string
	body         any
	// repeatable reports whether sending it twice has the same effect as once,
	// so that it may be retried if the answer is lost.
	repeatable bool
}

// do sends a call and decodes the answer into out.
func (c *Client) do(ctx context.Context, r call, out any) error {
	if c.secret == "" {
		return fmt.Errorf("authsignal: %s: the API secret key is required", r.name)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return fmt.Errorf("authsignal: %s: encode request: %w", r.name, err)
		}
	}
	pause := firstPause
	for try := 0; ; try++ {
		err := c.send(ctx, r, body, out)
		if err == nil {
			return nil
		}
		if !r.repeatable || try == maxRetries || !transient(err) {
			return fmt.Errorf("authsignal: %s: %w", r.name, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("authsignal: %s: %w", r.name, err)
		case <-timer.C:
		}
		pause *= 2
	}
}

// transient reports whether a retry may succeed: there was no answer, or the
// server failed. A refusal (4xx, including 429) is final.
func transient(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status >= 500
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

func (c *Client) send(ctx context.Context, r call, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("API URL: %w", err)
	}
	req.SetBasicAuth(c.secret, "")
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	httpClient := c.HTTPClient
	if httpClient == nil {
		httpClient = defaultHTTPClient
	}
	res, err := httpClient.Do(req)
	if err != nil {
		// Its text contains the whole URL, which may contain a token or an e-mail
		// address.
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return errorAnswer(res, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &Error{
			Status: res.StatusCode, Code: api.CodeInvalidResponse,
			Description: "The answer is not the JSON of this API (" + contentType(res) + "). Check the API URL.",
		}
	}
	return nil
}

// errorAnswer returns the error in an answer. The body may be that of a proxy,
// which is described by its content type and never quoted.
func errorAnswer(res *http.Response, answer []byte) error {
	var body api.ErrorBody
	if json.Unmarshal(answer, &body) == nil && (body.ErrorCode != "" || body.Error != "") {
		code := body.ErrorCode
		if code == "" {
			code = body.Error
		}
		return &Error{Status: res.StatusCode, Code: code, Description: body.ErrorDescription}
	}
	return &Error{
		Status: res.StatusCode, Code: api.CodeInvalidResponse,
		Description: fmt.Sprintf("HTTP status %d with an answer that is not the JSON of this API (%s). Check the API URL.", res.StatusCode, contentType(res)),
	}
}

func contentType(res *http.Response) string {
	t, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		return "no content type"
	}
	return t
}

// path joins segments, each percent-encoded.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// query returns the query part of a URL, or "" if there are no parameters.
func query(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// need returns an error for the first required argument that is empty. args are
// alternating names and values.
func need(call string, args ...string) error {
	for i := 0; i < len(args); i += 2 {
		if args[i+1] == "" {
			return fmt.Errorf("authsignal: %s: %s is required", call, args[i])
		}
	}
	return nil
}

// newKey returns a new idempotency key, which makes Track safe to repeat.
func newKey() string { return uuid.NewString() }
