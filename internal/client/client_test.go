package client

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
)

var testClient = Client{BaseURL: "https://api.example.com/v1"}

// answer reads an Answer from a body as the browser module does; a body that is
// not an object counts as none.
func answer(status int, body string) Answer {
	a := Answer{Status: float64(status)}
	var object map[string]any
	if json.Unmarshal([]byte(body), &object) != nil || object == nil {
		return a
	}
	a.IsObject = true
	_, a.HasError = object["error"]
	a.Error, _ = object["error"].(string)
	a.ErrorCode, _ = object["errorCode"].(string)
	a.ErrorDescription, _ = object["errorDescription"].(string)
	a.AccessToken, _ = object["accessToken"].(string)
	a.RetryAfter, _ = object["retryAfter"].(float64)
	return a
}

// code returns the code of a failure, and fails the test for any other result.
func code(t *testing.T, r Result) string {
	t.Helper()
	if r.Kind != Failure || r.Err == nil {
		t.Fatalf("got %+v, want a failure", r)
	}
	return r.Err.Code
}

func TestEnrollSendsTokenAndNoBody(t *testing.T) {
	t.Parallel()
	got, _ := testClient.Enroll("tok", "")
	want := &Request{"POST", "https://api.example.com/v1/client/user-authenticators/totp", "tok", ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got request %v, want %v", got, want)
	}
}

func TestEnrollSendsName(t *testing.T) {
	t.Parallel()
	got, _ := testClient.Enroll("tok", `"Jane’s \"phone\""`)
	want := &Request{"POST", "https://api.example.com/v1/client/user-authenticators/totp", "tok", `{"name":"Jane’s \"phone\""}`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got request %v, want %v", got, want)
	}
}

func TestVerifySendsCleanCode(t *testing.T) {
	t.Parallel()
	got, _ := testClient.Verify("tok", " 123-456 ")
	want := &Request{"POST", "https://api.example.com/v1/client/verify/totp", "tok", `{"verificationCode":"123456"}`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got request %v, want %v", got, want)
	}
}

func TestResultHoldsAccessToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, want string }{
		{`{"isVerified":true,"accessToken":"new"}`, "new"},
		{`{"isVerified":false}`, ""},
		{`{"isVerified":true,"accessToken":""}`, ""},
		{`{"isVerified":true,"accessToken":7}`, ""},
		{`{"error":"expired_token","errorCode":"expired_token","accessToken":"new"}`, ""},
	} {
		if got := testClient.Result(answer(200, test.body)).Token; got != test.want {
			t.Errorf("%s: got token %q, want %q", test.body, got, test.want)
		}
	}
}

func TestVerifyRefusesMalformedCodeWithoutRequest(t *testing.T) {
	t.Parallel()
	r, got := testClient.Verify("tok", "12345")
	if want := (Result{Kind: NotACode}); r != nil || got != want {
		t.Errorf("got request %v and result %+v, want none and %+v", r, got, want)
	}
}

func TestTokenNotSet(t *testing.T) {
	t.Parallel()
	_, enrolled := testClient.Enroll("", "")
	_, verified := testClient.Verify("", "not a code")
	want := Result{
		Kind: Failure,
		Err:  &api.Error{Code: "token_not_set", Description: "A token has not been set. Call 'setToken' first."},
		Log:  "Error: A token has not been set. Call 'setToken' first.",
	}
	for _, got := range []Result{enrolled, verified} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestTokenThatNoHeaderCanHold(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"a\nb", "a\r\nX: y", "a\x00", "a\tb", "a\x7fb", "a\u0085b", "a\u2028b", "ключ", "😀"} {
		r, got := testClient.Enroll(token, "")
		if got := code(t, got); r != nil || got != "invalid_request" {
			t.Errorf("token %q: got request %v and code %s, want none and invalid_request", token, r, got)
		}
		if strings.Contains(got.Err.Description, token) {
			t.Errorf("token %q: the error quotes it: %v", token, got.Err)
		}
	}
}

func TestErrorKeyMakesARefusal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
	}{
		{401, `{"error":"unauthorized","errorCode":"unauthorized"}`},
		{200, `{"error":null}`},
		{429, `{"error":"too_many_requests"}`},
		{500, `{"error":{"a":1}}`},
	} {
		if got, want := testClient.Result(answer(test.status, test.body)), (Result{Kind: Refusal}); got != want {
			t.Errorf("%d %s: got %+v, want %+v", test.status, test.body, got, want)
		}
	}
}

func TestAnswersOfOtherServers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
		want   string
	}{
		{200, "<html>", "invalid_response"},
		{200, "", "invalid_response"},
		{200, "null", "invalid_response"},
		{200, "[]", "invalid_response"},
		{502, "<html>", "invalid_response"},
		{404, `{"message":"Not Found"}`, "invalid_response"},
		{404, `{"errorCode":"not_found"}`, "invalid_response"},
		{429, `{"message":"Slow down"}`, "too_many_requests"},
		{429, "<html>", "too_many_requests"},
	} {
		if got := code(t, testClient.Result(answer(test.status, test.body))); got != test.want {
			t.Errorf("%d %s: got code %s, want %s", test.status, test.body, got, test.want)
		}
	}
}

// A fetch that the page replaced may return any number.
func TestStatusesOtherThanSuccess(t *testing.T) {
	t.Parallel()
	for _, status := range []float64{math.NaN(), 0, -200, 199.5, 300, 304, 1e300, math.Inf(1), math.Inf(-1)} {
		got := testClient.Result(Answer{Status: status, IsObject: true, AccessToken: "new"})
		if code := code(t, got); code != "invalid_response" || got.Token != "" {
			t.Errorf("status %v: got %s and token %q, want invalid_response and none", status, code, got.Token)
		}
	}
	if got := testClient.Result(Answer{Status: 299, IsObject: true, AccessToken: "new"}); got.Kind != Data || got.Token != "new" {
		t.Errorf("status 299: got %+v, want the data", got)
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	for _, want := range []string{"network_error", "aborted", "timeout"} {
		got := testClient.Result(Answer{Failure: want})
		if got := code(t, got); got != want {
			t.Errorf("got code %s, want %s", got, want)
		}
		if got.Log != "" {
			t.Errorf("%s: got log %q: it is not an error of the API", want, got.Log)
		}
	}
}

func TestTokenExpired(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		body string
		want bool
	}{
		{`{"error":"expired_token","errorCode":"expired_token"}`, true},
		{`{"error":null,"errorCode":"expired_token"}`, true},
		{`{"error":"expired_token"}`, false},
		{`{"errorCode":"expired_token"}`, false},
		{`{"error":"unauthorized","errorCode":"unauthorized"}`, false},
	} {
		if got := testClient.Result(answer(401, test.body)).TokenExpired; got != test.want {
			t.Errorf("%s: got %t, want %t", test.body, got, test.want)
		}
	}
}

func TestLogging(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, want string }{
		{`{"error":"unauthorized","errorCode":"unauthorized","errorDescription":"No scope."}`, "[Authsignal] unauthorized: No scope."},
		{`{"error":"unauthorized","errorCode":"unauthorized"}`, "[Authsignal] unauthorized"},
		{`{"error":"old"}`, "[Authsignal] old"},
		{`{"message":"none of the API"}`, ""},
	} {
		a := answer(403, test.body)
		if got := (Client{Logging: true}).Result(a).Log; got != test.want {
			t.Errorf("%s: got log %q, want %q", test.body, got, test.want)
		}
		if got := testClient.Result(a).Log; got != "" {
			t.Errorf("%s, without logging: got log %q", test.body, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const refusal = `{"error":"too_many_requests","errorCode":"too_many_requests"}`
	for _, test := range []struct {
		body   string
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
		{`{"message":"slow down"}`, 429, 12.5, 13},
		{refusal, 429, 7, 7},
		{refusal, 200, 7, 7},
		{`{"error":"x","errorCode":"another"}`, 429, 7, 7},
		{`{"error":"x","errorCode":"another"}`, 503, 7, 0},
		{"", 503, 7, 0},
	} {
		a := answer(test.status, test.body)
		a.RetryAfter = test.after
		if got := testClient.Result(a); got.Kind == Data || got.RetryAfter != test.want {
			t.Errorf("%s, status %d, %v: got %+v, want %v", test.body, test.status, test.after, got, test.want)
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
		got := Client{BaseURL: test.baseURL}.Result(Answer{Failure: "network_error"}).Err.Description
		if !strings.Contains(got, " "+test.want+" ") || strings.Contains(got, "secret") || strings.Contains(got, "pass@") {
			t.Errorf("base URL %s: got %q, want %s named and no more", test.baseURL, got, test.want)
		}
	}
}

func TestEveryCodeHasADescription(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		api.CodeNetworkError, api.CodeTimeout, api.CodeAborted, api.CodeTooManyRequests, api.CodeInvalidResponse,
	} {
		if got := testClient.error(code).Description; !strings.HasSuffix(got, ".") {
			t.Errorf("%s: got description %q, want a sentence", code, got)
		}
	}
}
