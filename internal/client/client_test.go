package client

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// body is a Body over encoding/json, which the browser module does not have.
type body map[string]any

func (b body) Has(key string) bool { _, ok := b[key]; return ok }

func (b body) String(key string) (string, bool) { s, ok := b[key].(string); return s, ok }

func (b body) Number(key string) (float64, bool) { n, ok := b[key].(float64); return n, ok }

// peer is a Transport that answers what it is told to.
type peer struct {
	status int
	answer string // JSON; anything but an object counts as none
	after  float64
	err    error
	got    []Request
}

func (p *peer) Send(_ Context, r Request) (Response, error) {
	p.got = append(p.got, r)
	if p.err != nil {
		return Response{}, p.err
	}
	response := Response{Status: p.status, RetryAfter: p.after}
	var b body
	if json.Unmarshal([]byte(p.answer), &b) == nil && b != nil {
		response.Body = b
	}
	return response, nil
}

// newClient makes a client of a tenant that no other test shares, and keeps
// what it prints.
func newClient(t *testing.T, p *peer, change func(*Options)) (*Client, *[]string) {
	t.Helper()
	var console []string
	o := Options{
		TenantID:  t.Name(),
		BaseURL:   "https://api.example.com/v1",
		Transport: p,
		Console:   func(line string) { console = append(console, line) },
	}
	if change != nil {
		change(&o)
	}
	return New(o), &console
}

// code gives the code of an SDK error, and fails the test for any other error.
func code(t *testing.T, err error) string {
	t.Helper()
	e, ok := err.(*api.Error)
	if !ok {
		t.Fatalf("got error %v, want an *api.Error", err)
	}
	return e.Code
}

func TestEnrollSendsTokenAndNoBody(t *testing.T) {
	t.Parallel()
	p := &peer{status: 200, answer: `{"uri":"otpauth://totp/x"}`}
	c, _ := newClient(t, p, nil)
	got, err := c.Enroll(t.Context(), "tok")
	if err != nil {
		t.Fatal(err)
	}
	if uri, _ := got.String("uri"); uri != "otpauth://totp/x" {
		t.Errorf("got uri %q", uri)
	}
	want := []Request{{"POST", "https://api.example.com/v1/client/user-authenticators/totp", "tok", ""}}
	if !reflect.DeepEqual(p.got, want) {
		t.Errorf("got requests %v, want %v", p.got, want)
	}
}

func TestVerifySendsCleanCode(t *testing.T) {
	t.Parallel()
	p := &peer{status: 200, answer: `{"isVerified":false,"failureReason":"CODE_INVALID_OR_EXPIRED"}`}
	c, _ := newClient(t, p, nil)
	if _, err := c.Verify(t.Context(), "tok", " 123-456 "); err != nil {
		t.Fatal(err)
	}
	want := []Request{{"POST", "https://api.example.com/v1/client/verify/totp", "tok", `{"verificationCode":"123456"}`}}
	if !reflect.DeepEqual(p.got, want) {
		t.Errorf("got requests %v, want %v", p.got, want)
	}
}

func TestVerifyCachesAccessToken(t *testing.T) {
	t.Parallel()
	p := &peer{status: 200, answer: `{"isVerified":true,"accessToken":"new"}`}
	c, _ := newClient(t, p, nil)
	c.SetToken("old")
	got, err := c.Verify(t.Context(), c.Token(), "123456")
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessToken != "new" || c.Token() != "new" {
		t.Errorf("got access token %q and cached token %q, want new", got.AccessToken, c.Token())
	}
}

func TestVerifyKeepsTokenWithoutAccessToken(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		`{"isVerified":false}`,
		`{"isVerified":true,"accessToken":""}`,
		`{"isVerified":true,"accessToken":7}`,
		`{"error":"expired_token","errorCode":"expired_token"}`,
	} {
		c, _ := newClient(t, &peer{status: 200, answer: answer}, nil)
		c.SetToken("old")
		c.Verify(t.Context(), c.Token(), "123456")
		if got := c.Token(); got != "old" {
			t.Errorf("after %s: got token %q, want old", answer, got)
		}
	}
}

func TestVerifyRefusesMalformedCodeWithoutRequest(t *testing.T) {
	t.Parallel()
	p := &peer{}
	c, _ := newClient(t, p, nil)
	got, err := c.Verify(t.Context(), "tok", "12345")
	if err != nil || got.Body != nil || len(p.got) != 0 {
		t.Errorf("got %v, error %v, %d requests; want none of them", got, err, len(p.got))
	}
}

func TestTokenNotSet(t *testing.T) {
	t.Parallel()
	p := &peer{}
	c, console := newClient(t, p, nil)
	_, enrollErr := c.Enroll(t.Context(), c.Token())
	_, verifyErr := c.Verify(t.Context(), c.Token(), "not a code")
	want := &api.Error{Code: "token_not_set", Description: "A token has not been set. Call 'setToken' first."}
	for _, err := range []error{enrollErr, verifyErr} {
		if !reflect.DeepEqual(err, error(want)) {
			t.Errorf("got error %#v, want %#v", err, want)
		}
	}
	line := "Error: A token has not been set. Call 'setToken' first."
	if got, want := *console, []string{line, line}; !reflect.DeepEqual(got, want) {
		t.Errorf("got console %q, want %q", got, want)
	}
	if len(p.got) != 0 {
		t.Errorf("got %d requests, want none", len(p.got))
	}
}

func TestTokenThatNoHeaderCarries(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"a\nb", "a\r\nX: y", "a\x00", "a\tb", "a\x7fb", "a\u0085b", "a\u2028b", "ключ", "😀"} {
		p := &peer{}
		c, _ := newClient(t, p, nil)
		_, err := c.Enroll(t.Context(), token)
		if got := code(t, err); got != "invalid_request" {
			t.Errorf("token %q: got code %s, want invalid_request", token, got)
		}
		if strings.Contains(err.Error(), token) {
			t.Errorf("token %q: the error quotes it: %v", token, err)
		}
		if len(p.got) != 0 {
			t.Errorf("token %q: got %d requests, want none", token, len(p.got))
		}
	}
}

func TestSetTokenStripsWhiteSpace(t *testing.T) {
	t.Parallel()
	c, _ := newClient(t, &peer{}, nil)
	for _, test := range []struct{ set, want string }{
		{"\n tok \r\n", "tok"}, {" \n ", ""}, {"tok", "tok"}, {"", ""},
	} {
		c.SetToken(test.set)
		if got := c.Token(); got != test.want {
			t.Errorf("SetToken(%q): got %q, want %q", test.set, got, test.want)
		}
	}
}

func TestTokenIsSharedByTenantAndBaseURL(t *testing.T) {
	t.Parallel()
	with := func(tenantID, baseURL string) *Client {
		return New(Options{TenantID: t.Name() + tenantID, BaseURL: baseURL})
	}
	with("1", "https://a.example/v1").SetToken("tok")
	for _, test := range []struct{ tenantID, baseURL, want string }{
		{"1", "https://a.example/v1", "tok"},
		{"1", "https://a.example/v1/", "tok"},
		{"1", "https://b.example/v1", ""},
		{"2", "https://a.example/v1", ""},
		{"1", "", ""},
	} {
		if got := with(test.tenantID, test.baseURL).Token(); got != test.want {
			t.Errorf("tenant %s at %q: got token %q, want %q", test.tenantID, test.baseURL, got, test.want)
		}
	}
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ baseURL, want string }{
		{"", "https://api.authsignal.com/v1/client/user-authenticators/totp"},
		{"http://localhost:4000/v1///", "http://localhost:4000/v1/client/user-authenticators/totp"},
	} {
		p := &peer{status: 200, answer: "{}"}
		c, _ := newClient(t, p, func(o *Options) { o.BaseURL = test.baseURL })
		if _, err := c.Enroll(t.Context(), "tok"); err != nil {
			t.Fatal(err)
		}
		if got := p.got[0].URL; got != test.want {
			t.Errorf("base URL %q: got %s, want %s", test.baseURL, got, test.want)
		}
	}
}

func TestErrorKeyMakesARefusal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		answer string
	}{
		{401, `{"error":"unauthorized","errorCode":"unauthorized"}`},
		{200, `{"error":null}`},
		{429, `{"error":"too_many_requests"}`},
		{500, `{"error":{"a":1}}`},
	} {
		c, console := newClient(t, &peer{status: test.status, answer: test.answer}, nil)
		_, err := c.Enroll(t.Context(), "tok")
		var refusal *Refusal
		if !errors.As(err, &refusal) || !refusal.Body.Has("error") {
			t.Errorf("%d %s: got error %v, want a Refusal", test.status, test.answer, err)
		}
		if len(*console) != 0 {
			t.Errorf("%d %s: got console %q, want nothing", test.status, test.answer, *console)
		}
	}
}

func TestAnswersThatAreNotOfTheAPI(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		answer string
		want   string
	}{
		{200, "<html>", "invalid_response"},
		{200, "", "invalid_response"},
		{200, "null", "invalid_response"},
		{200, `"text"`, "invalid_response"},
		{200, "7", "invalid_response"},
		{200, "[]", "invalid_response"},
		{502, "<html>", "invalid_response"},
		{404, `{"message":"Not Found"}`, "invalid_response"},
		{404, `{"errorCode":"not_found"}`, "invalid_response"},
		{429, `{"message":"Slow down"}`, "too_many_requests"},
		{429, "<html>", "too_many_requests"},
	} {
		c, _ := newClient(t, &peer{status: test.status, answer: test.answer}, nil)
		_, err := c.Enroll(t.Context(), "tok")
		if got := code(t, err); got != test.want {
			t.Errorf("%d %s: got code %s, want %s", test.status, test.answer, got, test.want)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	for _, test := range []struct {
		ctx  context.Context
		want string
	}{
		{context.Background(), "network_error"},
		{canceled, "aborted"},
		{late, "timeout"},
	} {
		c, _ := newClient(t, &peer{err: errors.New("TypeError: Failed to fetch")}, nil)
		_, err := c.Enroll(test.ctx, "tok")
		if got := code(t, err); got != test.want {
			t.Errorf("got code %s, want %s", got, test.want)
		}
	}
}

func TestEndedContextMakesNoRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := &peer{}
	c, _ := newClient(t, p, nil)
	_, err := c.Enroll(ctx, "tok")
	if got := code(t, err); got != "aborted" || len(p.got) != 0 {
		t.Errorf("got code %s and %d requests, want aborted and none", got, len(p.got))
	}
}

func TestOnTokenExpired(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string
		want   int
	}{
		{`{"error":"expired_token","errorCode":"expired_token"}`, 1},
		{`{"error":null,"errorCode":"expired_token"}`, 1},
		{`{"error":"expired_token"}`, 0},
		{`{"errorCode":"expired_token"}`, 0},
		{`{"error":"unauthorized","errorCode":"unauthorized"}`, 0},
	} {
		calls := 0
		c, _ := newClient(t, &peer{status: 401, answer: test.answer}, func(o *Options) {
			o.OnTokenExpired = func() error { calls++; return nil }
		})
		if _, err := c.Enroll(t.Context(), "tok"); err == nil {
			t.Errorf("%s: got no error", test.answer)
		}
		if calls != test.want {
			t.Errorf("%s: got %d calls, want %d", test.answer, calls, test.want)
		}
	}
}

func TestOnTokenExpiredThatFails(t *testing.T) {
	t.Parallel()
	want := errors.New("thrown")
	p := &peer{status: 401, answer: `{"error":"expired_token","errorCode":"expired_token"}`}
	c, _ := newClient(t, p, func(o *Options) { o.OnTokenExpired = func() error { return want } })
	if _, got := c.Enroll(t.Context(), "tok"); got != want {
		t.Errorf("got error %v, want %v", got, want)
	}
}

func TestLogging(t *testing.T) {
	t.Parallel()
	p := &peer{status: 403, answer: `{"error":"unauthorized","errorCode":"unauthorized","errorDescription":"No scope."}`}
	c, console := newClient(t, p, func(o *Options) { o.Logging = true })
	c.Enroll(t.Context(), "tok")
	p.answer = `{"error":"unauthorized","errorCode":"unauthorized"}`
	c.Enroll(t.Context(), "tok")
	p.err = errors.New("down")
	c.Enroll(t.Context(), "tok") // not an error of the API: not printed
	if got, want := *console, []string{"[Authsignal] unauthorized: No scope.", "[Authsignal] unauthorized"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got console %q, want %q", got, want)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const refusal = `{"error":"too_many_requests","errorCode":"too_many_requests"`
	for _, test := range []struct {
		answer string
		status int
		after  float64
		want   float64
	}{
		{"", 429, 7, 7},
		{"", 429, 0.2, 1},
		{"", 429, 0, 0},
		{"", 429, -3, 0},
		{"", 429, math.NaN(), 0},
		{"", 429, math.Inf(1), 0},
		{`{"message":"slow down","retryAfter":12}`, 429, 7, 12},
		{refusal + `}`, 429, 7, 7},
		{refusal + `}`, 200, 7, 7},
		{refusal + `,"retryAfter":12.5}`, 429, 7, 13},
		{refusal + `,"retryAfter":"12"}`, 429, 7, 7},
		{`{"error":"x","errorCode":"another"}`, 429, 7, 7},
		{`{"error":"x","errorCode":"another"}`, 503, 7, 0},
		{"", 503, 7, 0},
	} {
		c, _ := newClient(t, &peer{status: test.status, answer: test.answer, after: test.after}, nil)
		_, err := c.Enroll(t.Context(), "tok")
		var limited *Limited
		got := 0.0
		if errors.As(err, &limited) {
			got = limited.RetryAfter
		}
		if err == nil || got != test.want {
			t.Errorf("%s, status %d, header %v: got %v, error %v, want %v", test.answer, test.status, test.after, got, err, test.want)
		}
	}
}

func TestDescriptionsNameTheOriginOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ baseURL, want string }{
		{"https://user:pass@api.example.com:8443/secret/v1?key=1", "https://api.example.com:8443"},
		{"https://api.example.com?key=secret", "https://api.example.com"},
		{"/v1", "the base URL"},
	} {
		c, _ := newClient(t, &peer{err: errors.New("down")}, func(o *Options) { o.BaseURL = test.baseURL })
		_, err := c.Enroll(t.Context(), "tok")
		if got := err.Error(); !strings.Contains(got, " "+test.want+" ") || strings.Contains(got, "secret") || strings.Contains(got, "pass@") {
			t.Errorf("base URL %s: got %q, want %s named and no more", test.baseURL, got, test.want)
		}
	}
}

func TestEveryCodeHasADescription(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	for _, code := range []string{
		api.CodeNetworkError, api.CodeTimeout, api.CodeAborted, api.CodeTooManyRequests, api.CodeInvalidResponse,
	} {
		if got := c.error(code).(*api.Error).Description; !strings.HasSuffix(got, ".") {
			t.Errorf("%s: got description %q, want a sentence", code, got)
		}
	}
}
