package server

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestServerAPINeedsTheSecret(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	want := `{"error":"unauthorized","errorCode":"unauthorized","errorDescription":"The request is unauthorized. Check that your API key and region base URL are correctly configured."}` + "\n"
	for _, authorization := range []string{"", basic("wrong"), basic(""), "Basic !!", "Bearer " + testSecret, basic(testSecret + "x")} {
		for _, path := range []string{
			"/v1/users/u1", "/v1/validate", "/v1/no-such-path",
			// The official Go suite sends an empty idempotency key with a wrong
			// secret: authentication comes before routing.
			"/v1/users/test-user/actions/go-sdk-test/",
		} {
			r := p.do("GET", path, authorization, "")
			if r.status != http.StatusUnauthorized || r.text != want {
				t.Errorf("%q with %q: got %d %s", path, authorization, r.status, r.text)
			}
		}
	}
	if r := p.api("GET", "/v1/users/u1", ""); r.status != 200 {
		t.Errorf("right secret: got %d", r.status)
	}
}

func TestClientAPINeedsAToken(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	good := p.token("u1", "signIn", "")
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer x.y.z", basic(testSecret), "Basic " + good, good, "Bearer " + good + "x"} {
		p.fails(p.do("POST", "/v1/client/verify/totp", authorization, "{}"), 401, "unauthorized")
		p.fails(p.do("GET", "/v1/client/no-such-path", authorization, ""), 401, "unauthorized")
	}
	if r := p.do("POST", "/v1/client/user-authenticators/totp", "bearer "+good, ""); r.status != 200 {
		t.Errorf("the scheme is case-insensitive (RFC 9110, 11.1): got %d", r.status)
	}
}

func TestEveryPathAnswersAJSONObject(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	tok := "Bearer " + p.token("u1", "signIn", "")
	p.fails(p.do("GET", "/no-such-path", "", ""), 404, "not_found")
	p.fails(p.do("GET", "/v1", basic(testSecret), ""), 404, "not_found")
	p.fails(p.api("GET", "/v1/users/u1/actions/go/", ""), 404, "not_found")
	p.fails(p.do("GET", "/v1/client/no-such-path", tok, ""), 404, "not_found")
	p.fails(p.api("PUT", "/v1/validate", "{}"), 405, "invalid_request")
	p.fails(p.do("GET", "/v1/client/verify/totp", tok, ""), 405, "invalid_request")
	p.fails(p.api("POST", "/v1/validate", strings.Repeat(" ", maxBody+1)), 413, "invalid_request")
	p.fails(p.do("POST", "/v1/client/verify/totp", tok, `{"verificationCode":"`+strings.Repeat("1", maxBody)+`"}`), 413, "invalid_request")
	p.fails(p.api("GET", "/v1/users/../healthz", ""), 400, "invalid_request")
	if got, want := p.api("PUT", "/v1/validate", "{}").header.Get("Allow"), "POST"; got != want {
		t.Errorf("Allow: got %q, want %q", got, want)
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) { c.Random = panicReader{} })
	r := p.enroll(p.token("u1", "enroll", ""))
	p.fails(r, 500, "internal_error")
	if strings.Contains(r.text, "boom") || strings.Contains(p.log.String(), "boom") {
		t.Error("the panic's value got out")
	}
	if !strings.Contains(p.log.String(), "panicReader") {
		t.Error("the log does not say where")
	}
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("boom") }

func TestRepeatedSlashesAreRemoved(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	if r := p.do("POST", "/v1//client/user-authenticators///totp", "Bearer "+p.token("u1", "enroll", ""), ""); r.status != 200 {
		t.Errorf("got %d %s", r.status, r.text)
	}
	if r := p.api("POST", "//v1//users//a%2Fb%20c//actions/signIn", "{}"); r.status != 200 {
		t.Errorf("got %d %s", r.status, r.text)
	}
	if got := p.ok(p.api("GET", "/v1/users/a%2Fb%20c", "")).object["isEnrolled"]; got != false {
		t.Errorf("got %v", got)
	}
}

// The Node and Go SDKs do not escape user ids; segments are decoded once.
func TestUserIDs(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	for path, want := range map[string]string{
		"jane@example.com": "jane@example.com", "a:b": "a:b", "a%20b": "a b", "%F0%9F%94%90": "🔐", "100%2525": "100%25",
		strings.Repeat("x", 256): strings.Repeat("x", 256),
	} {
		tok := p.token(path, "signIn", "")
		got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object["userId"]
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"%00", "a%0Ab", "%7F", strings.Repeat("x", 257), "%FF"} {
		p.fails(p.api("POST", "/v1/users/"+path+"/actions/signIn", "{}"), 400, "invalid_request")
		p.fails(p.api("GET", "/v1/users/"+path, ""), 400, "invalid_request")
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	preflight := func(origin string) http.Header {
		return p.do("OPTIONS", "/v1/client/verify/totp", "", "", "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type").header
	}
	h := preflight("https://app.test")
	if got := h.Get("Access-Control-Allow-Origin"); got != "https://app.test" {
		t.Errorf("preflight: got origin %q", got)
	}
	if got := strings.ToLower(h.Get("Access-Control-Allow-Headers")); !strings.Contains(got, "authorization") || !strings.Contains(got, "content-type") {
		t.Errorf("preflight: got headers %q", got)
	}
	for _, origin := range []string{"https://app.test.evil", "http://app.test", "https://app.test:8443", "null"} {
		if got := preflight(origin).Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: got %q", origin, got)
		}
	}
	// Errors need CORS too, so that the page can read them.
	for _, path := range []string{"/v1/client/verify/totp", "/v1/client/no-such-path", "/no-such-path"} {
		r := p.do("POST", path, "", "", "Origin", "https://app.test")
		if got := r.header.Get("Access-Control-Allow-Origin"); got != "https://app.test" {
			t.Errorf("%s answered %d: got origin %q", path, r.status, got)
		}
		if got := r.header.Values("Vary"); !slices.Contains(got, "Origin") {
			t.Errorf("%s: Vary: got %q", path, got)
		}
	}
}

func TestAnswersAreNotStored(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	r := p.enroll(p.token("u1", "enroll", ""))
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestTrackURLIsThatOfThePages(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) {
		c.Pages = map[string]http.Handler{"GET /{$}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a page") })}
	})
	u := p.track("u1", "signIn", "")["url"].(string)
	path, ok := strings.CutPrefix(u, "http://mfa.test")
	if !ok || !strings.HasPrefix(path, "/?token=ey") {
		t.Fatalf("got url %q", u)
	}
	if got := p.do("GET", path, "", "").text; got != "a page" {
		t.Errorf("got %q", got)
	}
	// Other paths fall through to the API.
	p.fails(p.do("GET", "/nowhere", "", ""), 404, "not_found")
	p.fails(p.do("POST", "/", "", ""), 404, "not_found")
	p.fails(p.do("GET", "//v1/users/u1", "", ""), 401, "unauthorized")
	// Their paths are not in the log.
	if strings.Contains(p.log.String(), path[8:]) {
		t.Error("the token is in the log")
	}
}

func TestOriginsOfATenantMayCall(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	const o = "https://shop.example.com"
	allowed := func() string {
		return p.do("OPTIONS", "/v1/client/verify/totp", "", "", "Origin", o, "Access-Control-Request-Method", "POST").
			header.Get("Access-Control-Allow-Origin")
	}
	if got := allowed(); got != "" {
		t.Fatalf("before: got %q", got)
	}
	p.ok(p.manage("PUT", "tenants/t1", `{"origins":["HTTPS://Shop.example.com:443"]}`))
	if got := allowed(); got != o {
		t.Errorf("got %q, want %q", got, o)
	}
	if got := p.do("GET", "/v1/users/u1", "", "", "Origin", o).header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("the Server API: got %q", got)
	}
	p.fails(p.manage("PUT", "tenants/t1", `{"origins":["https://shop.example.com/path"]}`), 400, "invalid_request")
	if got := allowed(); got != o {
		t.Errorf("after a refused change: got %q, want %q", got, o)
	}
	p.ok(p.manage("PUT", "tenants/t1", `{"origins":[]}`))
	if got := allowed(); got != "" {
		t.Errorf("after: got %q", got)
	}
}

// The webviews of apps and browser extensions have special origins.
func TestNativeShellsMayCallTheClientAPIOnly(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	const id = "abcdefghijklmnopabcdefghijklmnop"
	allowed := func(method, path, origin string) string {
		return p.do(method, path, "", "", "Origin", origin, "Access-Control-Request-Method", "POST").header.Get("Access-Control-Allow-Origin")
	}
	origins := []string{
		"capacitor://localhost", "ionic://localhost", "tauri://localhost", "http://tauri.localhost", "app://Bundle", "chrome-extension://" + id,
		"moz-extension://4ed7f644-c3b5-4bf1-983f-2c8718f52222", "safari-web-extension://4ED7F644-C3B5-4BF1-983F-2C8718F52222",
	}
	for _, o := range origins {
		if got := allowed("OPTIONS", "/v1/client/verify/totp", o); got != "" {
			t.Errorf("%s before: got %q", o, got)
		}
	}
	p.ok(p.manage("PUT", "tenants/t1", `{"origins":["`+strings.Join(origins, `","`)+`"]}`))
	for _, o := range origins {
		if got := allowed("OPTIONS", "/v1/client/verify/totp", o); got != o {
			t.Errorf("%s: got %q", o, got)
		}
		for _, path := range []string{"/v1/users/u1", "/v1/management/tenants"} {
			if got := allowed("GET", path, o); got != "" {
				t.Errorf("%s, %s: got %q", path, o, got)
			}
		}
	}
	for _, o := range []string{
		"null", "capacitor://app", "capacitor://localhost:80", "Capacitor://localhost", "https://localhost", "http://localhost", "https://tauri.localhost",
		"app://bundle", "chrome-extension://" + id + "a", "file://", "capacitor://localhost.evil", "tauri://localhost/",
	} {
		if got := allowed("OPTIONS", "/v1/client/verify/totp", o); got != "" {
			t.Errorf("%s: got %q", o, got)
		}
	}
	for o, want := range map[string]string{
		"null": "cannot be allowed", "capacitor:localhost": "write the scheme and ://", "chrome-extension://*": "name each origin", "chrome-extension://x": "32 letters",
	} {
		r := p.manage("PUT", "tenants/t1", `{"origins":["`+o+`"]}`)
		p.fails(r, 400, "invalid_request")
		if d := r.object["errorDescription"].(string); !strings.HasPrefix(d, "origins: ") || !strings.Contains(d, want) {
			t.Errorf("%s: got %q", o, d)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	got := p.ok(p.do("GET", "/healthz", "", "")).text
	if want := `{"success":true,"version":"1.2.3"}` + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBodyErrorsNameTheFieldAndQuoteNothing(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	track, validate := "/v1/users/u1/actions/signIn", "/v1/validate"
	verify := "/v1/client/verify/totp"
	tok := "Bearer " + p.token("u1", "signIn", "")
	for _, tt := range []struct{ path, body, want string }{
		{track, `[]`, "JSON object"},
		{track, `"x"`, "JSON object"},
		{track, `null`, "JSON object"},
		{track, `{`, "not valid JSON"},
		{track, `{} {}`, "not valid JSON"},
		{track, `{"email":737373}`, "email must be a string, not a number."},
		{track, `{"custom":[737373]}`, "custom must be an object, not a list"},
		{track, `{"custom":{"a":{"b":737373}}}`, `"a"`},
		{track, `{"redirectToSettings":"737373"}`, "redirectToSettings must be a boolean"},
		{track, `{"idempotencyKey":"` + strings.Repeat("k", 257) + `"}`, "idempotencyKey"},
		{track, `{"idempotencyKey":"a\nb"}`, "idempotencyKey"},
		{track, `{"scope":"read:authenticators everything"}`, "scope"},
		{validate, `{}`, "token"},
		{validate, ``, "token"},
		{validate, `{"token":737373}`, "token must be a string"},
		{verify, `{}`, "verificationCode"},
		{verify, ``, "verificationCode"},
		{verify, `{"verificationCode":null}`, "verificationCode"},
		{verify, `{"verificationCode":737373}`, "verificationCode must be a string"},
		{verify, `{"verificationCode":["737373"]}`, "verificationCode must be a string"},
	} {
		authorization := basic(testSecret)
		if tt.path == verify {
			authorization = tok
		}
		r := p.do("POST", tt.path, authorization, tt.body)
		p.fails(r, 400, "invalid_request")
		if d, _ := r.object["errorDescription"].(string); !strings.Contains(d, tt.want) || strings.Contains(d, "737373") {
			t.Errorf("%.40s: got %q, want it to say %q", tt.body, d, tt.want)
		}
	}
	p.fails(p.api("POST", "/v1/users/u1/actions/sign%20in", "{}"), 400, "invalid_request")
	p.fails(p.api("POST", "/v1/users/u1/actions/"+strings.Repeat("a", 65), "{}"), 400, "invalid_request")
}

// The error of a base URL without /v1, or with two, has the right one, for
// backends and for pages.
func TestAWrongBaseURLIsNamed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	const hint = " The base URL must end in /v1, once: http://mfa.test/v1."
	tok := p.token("u1", "signIn", "")
	for _, tt := range []struct {
		method, path, authorization string
		want                        bool
	}{
		{"POST", "/users/u1/actions/signIn", basic(testSecret), true},
		{"GET", "/users", "", true},
		{"POST", "/validate", basic(testSecret), true},
		{"POST", "//validate", basic(testSecret), true},
		{"POST", "/client/verify/totp", "Bearer " + tok, true},
		{"GET", "/management/tenants", "", true},
		{"POST", "/v1/v1/users/u1/actions/signIn", basic(testSecret), true},
		{"POST", "/v1/v1/client/verify/totp", "Bearer " + tok, true},
		{"GET", "/v1/v1", "", true},
		{"GET", "/usersandmore", "", false},
		{"GET", "/favicon.ico", "", false},
		{"GET", "/v1/nothing", basic(testSecret), false},
		{"GET", "/v1/v11", basic(testSecret), false},
	} {
		var header []string
		if strings.HasPrefix(tt.authorization, "Bearer") {
			header = []string{"Origin", "https://app.test"}
		}
		r := p.do(tt.method, tt.path, tt.authorization, "{}", header...)
		if header != nil && r.header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s: a page cannot read the error", tt.path)
		}
		p.fails(r, 404, "not_found")
		if got := strings.HasSuffix(r.object["errorDescription"].(string), hint); got != tt.want {
			t.Errorf("%s: got %s", tt.path, r.text)
		}
	}
}

// The error of a path that still has the path of the public URL says what the proxy
// lacks.
func TestAProxyThatLeavesItsPathIsNamed(t *testing.T) {
	t.Parallel()
	p := newPeer(t, func(c *Config) { c.PublicURL = "https://www.example.com/mfa" })
	const hint = " The proxy must remove /mfa, the path of the public URL, from the requests."
	for path, want := range map[string]bool{
		"/mfa/v1/validate": true, "/mfa": true, "/mfa/": true, "/mfa/portal": true,
		"/mfas": false, "/v1/mfa": false, "/": false,
	} {
		r := p.do("GET", path, basic(testSecret), "")
		p.fails(r, 404, "not_found")
		if got := strings.HasSuffix(r.object["errorDescription"].(string), hint); got != want {
			t.Errorf("%s: got %s", path, r.text)
		}
	}
}

// A key that is misspelt, or that an endpoint does not have, is an error where the
// official SDKs do not call.
func TestOwnEndpointsIgnoreNoKey(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	p.recoverable("u1")
	tok := p.token("u1", "signIn", "")
	for _, path := range []string{
		"/v1/users/u1/recovery-codes", "/v1/users/u1/recovery-links", "/v1/users/u1/recovery-links/l/approve", "/v1/users/u1/reset",
		"/v1/client/token", "/v1/client/recovery-codes", "/v1/client/recovery-codes/confirm", "/v1/client/verify/recovery-code",
		"/v1/client/trusted-browsers", "/v1/client/verify/trusted-browser",
		"/v1/recovery/enroll", "/v1/recovery/verify",
	} {
		authorization := "Bearer " + tok
		if strings.HasPrefix(path, "/v1/users/") {
			authorization = basic(testSecret)
		}
		r := p.do("POST", path, authorization, `{"unknownKey":1}`, "Sec-Fetch-Site", "same-origin")
		p.fails(r, 400, "invalid_request")
		if !strings.Contains(r.text, `key \"unknownKey\"`) {
			t.Errorf("%s: got %s", path, r.text)
		}
	}
	if left := p.ok(p.api("GET", "/v1/users/u1/recovery-codes", "")).object["left"]; left != float64(10) {
		t.Errorf("got %v codes left", left)
	}
}
