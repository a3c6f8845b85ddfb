package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	built "github.com/authsignal-wasm/sdk/internal/assets"
	"github.com/authsignal-wasm/sdk/internal/config"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// sdk is a substitute for the built browser SDK: these tests are about the backend,
// and js/test/pages/demo.test.mjs about both.
var sdk = fstest.MapFS{
	"authsignal.wasm":    {Data: []byte("\x00asm module")},
	"authsignal.wasm.br": {Data: []byte("compressed module")},
	"index.js":           {Data: []byte("export class Authsignal {}")},
}

// startDemo starts the demo with a real API server in the same process.
func startDemo(t *testing.T) (*demo, *logtest.Buffer) {
	t.Helper()
	d, log, _ := startDemoWithMail(t)
	return d, log
}

// startDemoWithMail is startDemo, and returns the notices to users too.
func startDemoWithMail(t *testing.T) (d *demo, log, mail *logtest.Buffer) {
	t.Helper()
	log, mail = new(logtest.Buffer), new(logtest.Buffer)
	env := map[string]string{"DEMO_ADDR": "127.0.0.1:0", "DEMO_DATA": t.TempDir()}
	d, err := start(t.Context(), environment(env), sdk, mail, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error("stop:", err)
		}
	})
	return d, log, mail
}

// A browser keeps cookies and calls the demo as its page does.
type browser struct {
	t    *testing.T
	d    *demo
	http *http.Client
}

func newBrowser(t *testing.T, d *demo) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, d, &http.Client{Jar: jar, Timeout: 10 * time.Second}}
}

// An answer has the fields of all responses.
type answer struct {
	Step     step
	Username string
	Token    string
	URL      string
	Mode     ui
	Message  string
	Notice   string
	Deadline *time.Time
	MayWait  bool

	JustAccepted bool

	By             authsignal.VerificationMethod
	Authenticators []authenticator
	RecoveryCodes  *authsignal.RecoveryCodesStatus
	Browsers       []trustedBrowser
	Notices        []notice

	Amount float64
	Paid   bool

	Error failure
}

// call sends a request of the page to its backend.
func (b *browser) call(method, path string, body any) (int, answer) {
	b.t.Helper()
	var sent []byte
	if body != nil {
		sent, _ = json.Marshal(body)
	}
	req, err := http.NewRequest(method, b.d.url+path, bytes.NewReader(sent))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var a answer
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		b.t.Fatalf("%s %s: %s, %v", method, path, res.Status, err)
	}
	if got, want := res.Header.Get("Content-Type"), "application/json"; got != want {
		b.t.Errorf("%s %s: content type %q, want %q", method, path, got, want)
	}
	if got, want := res.Header.Get("Cache-Control"), "no-store"; got != want {
		b.t.Errorf("%s %s: cache control %q, want %q", method, path, got, want)
	}
	return res.StatusCode, a
}

// mustCall is call that must succeed and lead to a step.
func (b *browser) mustCall(method, path string, body any, want step) answer {
	b.t.Helper()
	status, a := b.call(method, path, body)
	if status != http.StatusOK || a.Step != want {
		b.t.Fatalf("%s %s: status %d, step %q, error %v; want step %q", method, path, status, a.Step, &a.Error, want)
	}
	return a
}

// mustFail is call that must fail.
func (b *browser) mustFail(method, path string, body any, status int, code string) {
	b.t.Helper()
	got, a := b.call(method, path, body)
	if got != status || a.Error.Code != code || a.Error.Text == "" {
		b.t.Errorf("%s %s: status %d, error %v; want %d %s", method, path, got, &a.Error, status, code)
	}
}

// id returns the session id of the browser.
func (b *browser) id() string {
	u, _ := url.Parse(b.d.url)
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == cookieName {
			return c.Value
		}
	}
	return ""
}

// sdkCall sends a request of the browser SDK to the API.
func (b *browser) sdkCall(path, token, body string, out any) int {
	b.t.Helper()
	req, err := http.NewRequest("POST", b.d.tenant.apiURL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode
}

// verify does what totp.verify of the SDK does.
func (b *browser) verify(token, code string) api.VerifyTOTPResponse {
	b.t.Helper()
	var v api.VerifyTOTPResponse
	if status := b.sdkCall(api.PathClientVerifyTOTP, token, `{"verificationCode":"`+code+`"}`, &v); status != http.StatusOK {
		b.t.Fatalf("verify: status %d", status)
	}
	return v
}

// A phone is an authenticator app. Its codes are those of the next step, which the
// drift allows, so that two codes can be used in one step.
type phone struct {
	t    *testing.T
	key  totp.Key
	used int64
}

func (p *phone) code() string {
	p.t.Helper()
	p.used = max(p.used+1, p.key.Step(time.Now()))
	return p.at(p.used)
}

// wrong returns a code of no step that may be accepted.
func (p *phone) wrong() string {
	near := map[string]bool{}
	for step := p.key.Step(time.Now()) - 3; len(near) < 7; step++ {
		near[p.at(step)] = true
	}
	for i := 0; ; i++ {
		if c := fmt.Sprintf("%06d", i); !near[c] {
			return c
		}
	}
}

func (p *phone) at(step int64) string {
	p.t.Helper()
	c, err := totp.Code(p.key.Secret, step, p.key.Parameters)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// enrolled begins an enrollment as totp.enroll of the SDK does, and scans its QR code.
func (b *browser) enrolled(token string) *phone {
	b.t.Helper()
	var e api.EnrollTOTPResponse
	if status := b.sdkCall(api.PathClientEnrollTOTP, token, "", &e); status != http.StatusOK {
		b.t.Fatalf("enroll: status %d", status)
	}
	key, err := totp.ParseURI(e.URI)
	if err != nil {
		b.t.Fatal(err)
	}
	return &phone{t: b.t, key: key}
}

// enroll signs a new user in.
func (b *browser) enroll(username string) *phone {
	b.t.Helper()
	b.mustCall("POST", "/api/sign-in", map[string]string{"username": username}, stepEnroll)
	token := b.mustCall("POST", "/api/enroll", nil, stepEnroll).Token
	p := b.enrolled(token)
	v := b.verify(token, p.code())
	b.mustCall("POST", "/api/verified", map[string]string{"token": v.AccessToken}, stepAccount)
	return p
}

// account returns the data of the protected page.
func (b *browser) account() answer {
	b.t.Helper()
	status, a := b.call("GET", "/api/account", nil)
	if status != http.StatusOK {
		b.t.Fatalf("account: status %d, error %v", status, &a.Error)
	}
	return a
}

// remove removes the authenticator that was added first.
func (b *browser) remove(want step) {
	b.t.Helper()
	list := b.account().Authenticators
	b.mustCall("POST", "/api/remove-authenticator", map[string]string{"id": list[0].ID}, want)
}

// signIn begins a sign-in that needs a code.
func (b *browser) signIn(username string) (token string) {
	b.t.Helper()
	return b.mustCall("POST", "/api/sign-in", map[string]string{"username": username}, stepChallenge).Token
}

func TestJourney(t *testing.T) {
	d, log := startDemo(t)
	b := newBrowser(t, d)
	b.mustCall("GET", "/api/session", nil, stepSignIn)
	p := b.enroll(" Jane@Example.com ")
	if status, a := b.call("GET", "/api/account", nil); status != http.StatusOK || a.Username != "jane@example.com" || a.Message == "" {
		t.Errorf("account after enrolling: %d %+v", status, a)
	}
	ids := []string{b.id()}

	b.mustCall("POST", "/api/sign-out", nil, stepSignIn)
	b.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
	token := b.signIn("jane@example.com")
	ids = append(ids, b.id())
	if got := b.mustCall("GET", "/api/session", nil, stepChallenge); got.Token != token {
		t.Error("a page that is loaded again does not get the token")
	}
	b.mustFail("GET", "/api/account", nil, 403, "code_needed")
	b.mustFail("POST", "/api/remove-authenticator", nil, 403, "code_needed")
	b.mustFail("POST", "/api/enroll", nil, 401, "not_signed_in")
	if v := b.verify(token, p.wrong()); v.IsVerified {
		t.Error("a wrong code was accepted")
	}
	b.mustFail("POST", "/api/verified", map[string]string{"token": token}, 403, "not_verified")
	code := p.code()
	v := b.verify(token, code)
	b.mustCall("POST", "/api/verified", map[string]string{"token": v.AccessToken}, stepAccount)
	ids = append(ids, b.id())

	b.remove(stepSignIn)
	b.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
	b.mustCall("POST", "/api/sign-in", map[string]string{"username": "jane@example.com"}, stepEnroll)

	for _, secret := range append(ids, token, v.AccessToken, p.key.Secret, code, d.tenant.secretKey) {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds a secret, a code, a token or a session: %s", log)
		}
	}
}

// If the response of verify is lost, the page has no token to send.
func TestLostResponseSignsIn(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	b.mustCall("POST", "/api/sign-out", nil, stepSignIn)
	token := b.signIn("jane")
	b.mustFail("POST", "/api/verified", nil, 403, "not_verified")
	if v := b.verify(token, p.code()); !v.IsVerified {
		t.Fatal("the code was refused")
	}
	b.mustCall("POST", "/api/verified", nil, stepAccount)
}

func TestNewSessionIDWithNewRights(t *testing.T) {
	d, _ := startDemo(t)
	attacker, victim := newBrowser(t, d), newBrowser(t, d)
	attacker.mustCall("POST", "/api/sign-in", map[string]string{"username": "mallory"}, stepEnroll)
	u, _ := url.Parse(d.url)
	plant := func() {
		victim.http.Jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: attacker.id(), Path: "/"}})
	}
	plant()
	victim.mustCall("POST", "/api/sign-in", map[string]string{"username": "jane"}, stepEnroll)
	pending := victim.id()
	if pending == attacker.id() {
		t.Error("signing in keeps the session ID that was planted")
	}
	victim.enroll("jane")
	if victim.id() == pending {
		t.Error("the code keeps the session ID of before")
	}
	attacker.mustCall("GET", "/api/session", nil, stepSignIn)
	attacker.http.Jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: pending, Path: "/"}})
	attacker.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
}

func TestCookie(t *testing.T) {
	d, _ := startDemo(t)
	for _, c := range []struct {
		proto string
		want  string
	}{
		{"", "; Path=/; HttpOnly; SameSite=Lax"},
		{"https", "; Path=/; HttpOnly; Secure; SameSite=Lax"},
	} {
		req, _ := http.NewRequest("POST", d.url+"/api/sign-in", strings.NewReader(`{"username":"jane"}`))
		req.Header.Set("X-Forwarded-Proto", c.proto)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		// 256 bits are 43 characters of base64.
		if got := res.Header.Get("Set-Cookie"); !regexp.MustCompile(`^` + cookieName + `=[\w-]{43}` + c.want + `$`).MatchString(got) {
			t.Errorf("with proto %q: cookie %q, want it to end in %q", c.proto, got, c.want)
		}
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	d, _ := startDemo(t)
	for _, h := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Origin": {"http://127.0.0.1:1"}},
	} {
		for _, path := range []string{"sign-in", "enroll", "later", "verified", "pay", "paid", "confirm", "confirmed", "settings", "rename-authenticator", "remove-authenticator", "forget-browser", "sign-out"} {
			req, _ := http.NewRequest("POST", d.url+"/api/"+path, strings.NewReader(`{"username":"jane"}`))
			req.Header = h
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"cross_origin"`) {
				t.Errorf("%s with %v: %s %s", path, h, res.Status, body)
			}
		}
	}
}

// tokenOf returns the token in a url of the pre-built UI.
func tokenOf(t *testing.T, prebuilt string) string {
	t.Helper()
	u, err := url.Parse(prebuilt)
	if err != nil || u.Query().Get("token") == "" {
		t.Fatalf("the url has no token: %v", err)
	}
	return u.Query().Get("token")
}

func TestPrebuiltUI(t *testing.T) {
	for _, mode := range []ui{uiRedirect, uiPopup, uiWindow} {
		t.Run(string(mode), func(t *testing.T) {
			d, _ := startDemo(t)
			b := newBrowser(t, d)
			signIn := map[string]string{"username": "jane", "ui": string(mode)}
			a := b.mustCall("POST", "/api/sign-in", signIn, stepPrebuilt)
			if a.Mode != mode || a.Token != "" || !strings.HasPrefix(a.URL, strings.TrimSuffix(d.tenant.apiURL, "/v1")+"/?token=") {
				t.Errorf("mode %q, url %q", a.Mode, a.URL)
			}
			// A new url is for the same action, so it replaces the pending
			// enrollment.
			again := b.mustCall("POST", "/api/prebuilt", nil, stepPrebuilt)
			if again.URL == a.URL {
				t.Error("the url is not a new one")
			}
			b.mustFail("POST", "/api/verified", map[string]string{"token": tokenOf(t, again.URL)}, 403, "not_verified")
			b.mustFail("GET", "/api/account", nil, 403, "code_needed")

			// The requests of the pre-built UI.
			token := tokenOf(t, again.URL)
			p := b.enrolled(token)
			v := b.verify(token, p.code())
			b.mustCall("POST", "/api/verified", map[string]string{"token": v.AccessToken}, stepAccount)
			b.mustFail("POST", "/api/prebuilt", nil, 401, "not_signed_in")

			b.mustCall("POST", "/api/sign-out", nil, stepSignIn)
			a = b.mustCall("POST", "/api/sign-in", signIn, stepPrebuilt)
			v = b.verify(tokenOf(t, a.URL), p.code())
			b.mustCall("POST", "/api/verified", map[string]string{"token": v.AccessToken}, stepAccount)
		})
	}
	d, _ := startDemo(t)
	newBrowser(t, d).mustFail("POST", "/api/sign-in", map[string]string{"username": "jane", "ui": "hologram"}, 400, "bad_ui")
}

// The token of a successful challenge is valid until it expires.
func TestTokenOfAnEarlierSignInIsRefused(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	b.mustCall("POST", "/api/sign-out", nil, stepSignIn)
	old := b.verify(b.signIn("jane"), p.code()).AccessToken
	b.mustCall("POST", "/api/verified", map[string]string{"token": old}, stepAccount)

	thief := newBrowser(t, d)
	thief.signIn("jane")
	thief.mustFail("POST", "/api/verified", map[string]string{"token": old}, 403, "not_verified")
	thief.mustFail("GET", "/api/account", nil, 403, "code_needed")
}

func TestTokenOfAnotherUserIsRefused(t *testing.T) {
	d, _ := startDemo(t)
	newBrowser(t, d).enroll("jane")
	mallory, b := newBrowser(t, d), newBrowser(t, d)
	p := mallory.enroll("mallory")
	token := mallory.verify(mallory.signIn("mallory"), p.code()).AccessToken
	b.signIn("jane")
	b.mustFail("POST", "/api/verified", map[string]string{"token": token}, 403, "not_verified")
}

// A session from before the account was protected must not add another
// authenticator to it.
func TestLateEnrollmentIsRefused(t *testing.T) {
	d, _ := startDemo(t)
	late := newBrowser(t, d)
	late.mustCall("POST", "/api/sign-in", map[string]string{"username": "jane"}, stepEnroll)
	early := late.mustCall("POST", "/api/enroll", nil, stepEnroll).Token
	newBrowser(t, d).enroll("jane")
	for _, token := range []string{early, late.mustCall("POST", "/api/enroll", nil, stepEnroll).Token} {
		var e api.ErrorBody
		if status := late.sdkCall(api.PathClientEnrollTOTP, token, "", &e); status != http.StatusForbidden {
			t.Errorf("enroll: status %d, want 403", status)
		}
	}
	late.mustFail("POST", "/api/verified", nil, 403, "not_verified")
}

// A page that is reloaded during an enrollment must not leave pending
// authenticators: the API replaces the one that the same action began.
func TestEnrollingAgainReplacesThePendingAuthenticator(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	b.mustCall("POST", "/api/sign-in", map[string]string{"username": "jane"}, stepEnroll)
	enroll := func() (token string, p *phone) {
		token = b.mustCall("POST", "/api/enroll", nil, stepEnroll).Token
		return token, b.enrolled(token)
	}
	oldToken, old := enroll()
	token, p := enroll()
	if v := b.verify(oldToken, old.code()); v.IsVerified {
		t.Error("the first authenticator is still pending")
	}
	v := b.verify(token, p.code())
	b.mustCall("POST", "/api/verified", map[string]string{"token": v.AccessToken}, stepAccount)
}

func TestLastCodeReportsAnAcceptedCode(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	justAccepted := func() bool {
		t.Helper()
		status, a := b.call("GET", "/api/last-code", nil)
		if status != http.StatusOK {
			t.Fatalf("status %d, error %v", status, &a.Error)
		}
		return a.JustAccepted
	}
	b.mustFail("GET", "/api/last-code", nil, 401, "not_signed_in")
	b.mustCall("POST", "/api/sign-in", map[string]string{"username": "jane"}, stepEnroll)
	if justAccepted() {
		t.Error("a code was accepted before there was an authenticator")
	}
	b.enroll("jane")
	b.mustCall("POST", "/api/sign-out", nil, stepSignIn)
	b.signIn("jane")
	if !justAccepted() {
		t.Error("the code of the enrollment is forgotten")
	}
}

func TestJustAcceptedForAsLongAsTheCodeMatches(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		name string
		last *time.Time
		want bool
	}{
		{"never", nil, false},
		{"now", new(now), true},
		{"by a clock that is ahead", new(now.Add(time.Minute)), true},
		{"in the last moment", new(now.Add(1 - codeLife)), true},
		{"too long ago", new(now.Add(-codeLife)), false},
	} {
		list := []authsignal.UserAuthenticator{{}, {LastVerifiedAt: c.last}}
		if got := justAccepted(list, now); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}

// A payment without a rule needs a code, and counts once.
func TestPayment(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	b.mustFail("POST", "/api/pay", map[string]float64{"amount": 1}, 401, "not_signed_in")
	p := b.enroll("jane")
	b.mustFail("POST", "/api/paid", nil, 403, "not_verified") // nothing was begun
	pay := func(amount float64) (token string) {
		t.Helper()
		status, a := b.call("POST", "/api/pay", map[string]float64{"amount": amount})
		if status != http.StatusOK || a.Amount != amount || a.Paid || a.Token == "" {
			t.Fatalf("pay: status %d, %+v", status, a)
		}
		return a.Token
	}
	token := pay(250)
	b.mustFail("POST", "/api/paid", map[string]string{"token": token}, 403, "not_verified")
	if v := b.verify(token, p.wrong()); v.IsVerified {
		t.Error("a wrong code was accepted")
	}
	b.mustFail("POST", "/api/paid", nil, 403, "not_verified")
	v := b.verify(token, p.code())
	body := map[string]string{"token": v.AccessToken}
	if status, a := b.call("POST", "/api/paid", body); status != http.StatusOK || a.Amount != 250 || !a.Paid {
		t.Errorf("paid: status %d, %+v", status, a)
	}
	b.mustFail("POST", "/api/paid", body, 403, "not_verified")

	// The token of one payment does not confirm another.
	pay(99999)
	b.mustFail("POST", "/api/paid", body, 403, "not_verified")
	b.mustCall("GET", "/api/session", nil, stepAccount)
}

// When the page loses the answer of verify it has no token to show.
func TestPaymentWhoseAnswerIsLostIsPaid(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	_, a := b.call("POST", "/api/pay", map[string]float64{"amount": 0.5})
	b.verify(a.Token, p.code())
	if status, a := b.call("POST", "/api/paid", nil); status != http.StatusOK || a.Amount != 0.5 || !a.Paid {
		t.Errorf("paid: status %d, %+v", status, a)
	}
}

func TestPaymentNeedsAnAmountAndASecondFactor(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	b.enroll("jane")
	for _, amount := range []float64{0, -1, maxAmount + 1} {
		b.mustFail("POST", "/api/pay", map[string]float64{"amount": amount}, 400, "bad_amount")
	}
	b.mustFail("POST", "/api/pay", map[string]any{"amount": nil}, 400, "bad_amount")
	b.mustFail("POST", "/api/pay", map[string]string{"amount": "1"}, 400, "bad_request")
	b.mustCall("POST", "/api/sign-out", nil, stepSignIn)
	b.signIn("jane")
	for _, path := range []string{"pay", "paid", "settings"} {
		b.mustFail("POST", "/api/"+path, map[string]float64{"amount": 1}, 403, "code_needed")
	}
}

// What the rules of the action decide is done.
func TestPaymentFollowsTheOutcome(t *testing.T) {
	for state, want := range map[string]string{
		"ALLOW":              `{"amount":5,"paid":true}`,
		"CHALLENGE_REQUIRED": `{"amount":5,"paid":false,"token":"the-token"}`,
		"REVIEW_REQUIRED":    `{"error":{"code":"blocked","text":"This payment is not allowed."}}`,
		"BLOCK":              `{"error":{"code":"blocked","text":"This payment is not allowed."}}`,
	} {
		peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if !strings.HasSuffix(r.URL.Path, "/users/jane/actions/payment") || !strings.Contains(string(body), `"custom":{"amount":5}`) {
				t.Errorf("asked %s with %s", r.URL.Path, body)
			}
			fmt.Fprintf(w, `{"state":%q,"idempotencyKey":"the-key","token":"the-token","isEnrolled":true}`, state)
		}))
		a := &app{
			api:      authsignal.New("the-secret", peer.URL),
			sessions: sessions{now: time.Now, m: map[string]session{}},
			log:      slog.New(slog.DiscardHandler),
		}
		id, _ := a.sessions.start("", session{username: "jane", step: stepAccount})
		r := httptest.NewRequest("POST", "/api/pay", strings.NewReader(`{"amount":5}`))
		r.AddCookie(&http.Cookie{Name: cookieName, Value: id})
		w := httptest.NewRecorder()
		a.json(a.pay).ServeHTTP(w, r)
		if got := strings.TrimSpace(w.Body.String()); got != want {
			t.Errorf("%s: got %s, want %s", state, got, want)
		}
		peer.Close()
	}
}

func TestAPaymentIsTakenOnce(t *testing.T) {
	s := sessions{now: time.Now, m: map[string]session{}}
	id, _ := s.start("", session{payment: payment{5, "key", "token"}})
	if _, ok := s.takePayment(id, "other"); ok {
		t.Error("a payment of another key was taken")
	}
	if amount, ok := s.takePayment(id, "key"); amount != 5 || !ok {
		t.Errorf("got %g, %t", amount, ok)
	}
	if _, ok := s.takePayment(id, "key"); ok {
		t.Error("it was taken twice")
	}
}

// The settings of the pre-built UI may remove the authenticator of a session.
func TestSettings(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	b.mustFail("POST", "/api/settings", nil, 401, "not_signed_in")
	p := b.enroll("jane")
	status, a := b.call("POST", "/api/settings", nil)
	if status != http.StatusOK {
		t.Fatalf("status %d, error %v", status, &a.Error)
	}
	// What the pre-built UI does.
	token := b.verify(tokenOf(t, a.URL), p.code()).AccessToken
	do := func(method, path string, out any) {
		t.Helper()
		req, _ := http.NewRequest(method, d.tenant.apiURL+path, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := b.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s, %v", method, path, res.Status, err)
		}
	}
	var list []struct{ UserAuthenticatorID string }
	do("GET", api.PathClientUserAuthenticators, &list)
	if len(list) != 1 {
		t.Fatalf("got %d authenticators", len(list))
	}
	if status, a := b.call("GET", "/api/account", nil); status != http.StatusOK || a.Username != "jane" {
		t.Errorf("before a removal: status %d, %+v", status, a)
	}
	var removed map[string]any
	do("DELETE", api.PathClientUserAuthenticators+"/"+list[0].UserAuthenticatorID, &removed)
	b.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
	b.mustCall("GET", "/api/session", nil, stepSignIn)
}

func TestRemovingEndsAllSessionsOfTheUser(t *testing.T) {
	d, _ := startDemo(t)
	one, two, other := newBrowser(t, d), newBrowser(t, d), newBrowser(t, d)
	p := one.enroll("jane")
	v := two.verify(two.signIn("jane"), p.code())
	two.mustCall("POST", "/api/verified", map[string]string{"token": v.AccessToken}, stepAccount)
	other.enroll("john")
	one.remove(stepSignIn)
	two.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
	other.mustCall("GET", "/api/session", nil, stepAccount)
}

func TestSessionsExpire(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := sessions{now: func() time.Time { return now }, m: map[string]session{}}
	pending, _ := s.start("", session{step: stepChallenge})
	in, _ := s.start("", session{step: stepAccount})
	has := func(id string) bool { _, ok := s.get(id); return ok }
	now = now.Add(pendingLife - 1)
	if !has(pending) || !has(in) {
		t.Error("expired too early")
	}
	now = now.Add(1)
	if has(pending) || !has(in) {
		t.Error("the pending one has not expired, or the other has")
	}
	now = now.Add(signedInLife)
	if has(in) {
		t.Error("signed in for ever")
	}
	if s.start("", session{}); len(s.m) != 1 {
		t.Errorf("%d sessions are kept, want 1", len(s.m))
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := sessions{now: time.Now, m: map[string]session{}}
	for i := range maxSessions {
		s.m[fmt.Sprint(i)] = session{expires: time.Now().Add(time.Hour)}
	}
	if _, ok := s.start("", session{}); ok {
		t.Error("one more than the most began")
	}
	if _, ok := s.start("0", session{}); !ok {
		t.Error("one in place of another did not begin")
	}
}

func TestEndedSessionStaysEnded(t *testing.T) {
	s := sessions{now: time.Now, m: map[string]session{}}
	id, _ := s.start("", session{})
	s.end(id)
	if s.replace(id, session{}) {
		t.Error("a slow request brought an ended session back")
	}
}

func TestErrorsAreJSON(t *testing.T) {
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		{"POST", "/api/sign-in", nil, 400, "bad_username"},
		{"POST", "/api/sign-in", "text", 400, "bad_request"},
		{"POST", "/api/sign-in", map[string]string{"username": ".."}, 400, "bad_username"},
		{"POST", "/api/sign-in", map[string]string{"username": "a/b"}, 400, "bad_username"},
		{"POST", "/api/sign-in", map[string]string{"username": strings.Repeat("a", 65)}, 400, "bad_username"},
		{"POST", "/api/sign-in", map[string]string{"username": strings.Repeat("a", maxBody)}, 413, "too_large"},
		{"GET", "/api/sign-in", nil, 404, "not_found"},
		{"GET", "/api/nothing", nil, 404, "not_found"},
		{"POST", "/api/enroll", nil, 401, "not_signed_in"},
		{"POST", "/api/verified", nil, 401, "not_signed_in"},
		{"POST", "/api/remove-authenticator", nil, 401, "not_signed_in"},
	} {
		b.mustFail(c.method, c.path, c.body, c.status, c.code)
	}
	b.mustCall("POST", "/api/sign-in", map[string]string{"username": "Jürgen+1@example.com"}, stepEnroll)
	b.mustFail("POST", "/api/verified", nil, 403, "not_verified") // before enroll
}

func TestAPIFailure(t *testing.T) {
	for _, c := range []struct {
		name, code string
		answer     http.HandlerFunc
	}{
		{"refuses", "api_error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"unauthorized","errorCode":"unauthorized","errorDescription":"no"}`)
		}},
		{"is down", "api_unreachable", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer := httptest.NewServer(c.answer)
			defer peer.Close()
			pages, err := newAssets(sdk, tenant{peer.URL, "the-secret", "t"})
			if err != nil {
				t.Fatal(err)
			}
			var log logtest.Buffer
			app := httptest.NewServer(newApp(authsignal.New("the-secret", peer.URL), pages, io.Discard, slog.New(slog.NewTextHandler(&log, nil))))
			defer app.Close()
			b := newBrowser(t, &demo{url: app.URL})
			b.mustFail("POST", "/api/sign-in", map[string]string{"username": "jane"}, 502, c.code)
			if b.id() != "" {
				t.Error("a session began")
			}
			if strings.Contains(log.String(), "the-secret") {
				t.Error("the log holds the API secret key")
			}
		})
	}
}

// get sends a request without decompressing the response.
func get(t *testing.T, url string, h http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	res, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestPage(t *testing.T) {
	d, _ := startDemo(t)
	res, page := get(t, d.url, http.Header{})
	origin, _ := originOf(d.tenant.apiURL)
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"Cache-Control":          "no-cache",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "strict-origin",
		"Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; " +
			"connect-src 'self' " + origin + "; frame-src " + origin + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, want := range []string{`data-api-url="` + d.tenant.apiURL + `"`, `data-tenant-id="` + d.tenant.id + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, d.tenant.secretKey) {
		t.Error("the page holds the API secret key")
	}
	if regexp.MustCompile(`(?i)<style|style=|<script>|\son\w+=|https?://[^"]*\.`).MatchString(strings.ReplaceAll(page, d.tenant.apiURL, "")) {
		t.Error("the page has inline code or style, or names another host")
	}
	named := regexp.MustCompile(`/assets/[^"]+`).FindAllString(page, -1)
	if len(named) < 5 {
		t.Errorf("the page names %d files", len(named))
	}
	for _, path := range named {
		res, _ := get(t, d.url+path, http.Header{})
		if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != built.Immutable {
			t.Errorf("%s: %s, Cache-Control %q", path, res.Status, res.Header.Get("Cache-Control"))
		}
	}
	if res, _ := get(t, d.url+"/nothing", http.Header{}); res.StatusCode != http.StatusNotFound {
		t.Errorf("/nothing: %s", res.Status)
	}
}

func TestModule(t *testing.T) {
	d, _ := startDemo(t)
	_, page := get(t, d.url, http.Header{})
	path := regexp.MustCompile(`/assets/authsignal\.[0-9a-f]{16}\.wasm`).FindString(page)
	if path == "" {
		t.Fatal("the page names no module")
	}
	for accepted, compressed := range map[string]bool{
		"":                        false,
		"gzip, deflate":           false,
		"gzip, deflate, br, zstd": true,
		"BR;q=0.5":                true,
		"br;q=0":                  false,
		"br;q=0.0, gzip":          false,
		"brotli":                  false,
	} {
		res, body := get(t, d.url+path, http.Header{"Accept-Encoding": {accepted}})
		encoding, want := "", string(sdk["authsignal.wasm"].Data)
		if compressed {
			encoding, want = "br", string(sdk["authsignal.wasm.br"].Data)
		}
		if got := res.Header.Get("Content-Encoding"); got != encoding || body != want {
			t.Errorf("accepting %q: encoding %q, body %q", accepted, got, body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/wasm", "Vary": "Accept-Encoding", "Cache-Control": "public, max-age=31536000, immutable",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("accepting %q: %s %q, want %q", accepted, name, got, want)
			}
		}
	}
}

func TestFilesHaveNewNamesWithNewContent(t *testing.T) {
	names := func(sdk fstest.MapFS) []string {
		a, err := newAssets(sdk, tenant{apiURL: "http://127.0.0.1:4000/v1"})
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`/assets/authsignal[^"]+|/assets/[^"]+app\.js`).FindAllString(string(a.index), -1)
	}
	with := func(name string) fstest.MapFS {
		changed := fstest.MapFS{}
		for n, f := range sdk {
			changed[n] = f
		}
		changed[name] = &fstest.MapFile{Data: []byte("new")}
		return changed
	}
	before, module, wrapper := names(sdk), names(with("authsignal.wasm")), names(with("index.js"))
	if len(before) != 3 || module[0] == before[0] || module[2] != before[2] || wrapper[0] != before[0] || wrapper[2] == before[2] {
		t.Errorf("names before %q, with a new module %q, with a new wrapper %q", before, module, wrapper)
	}
}

// environment returns an environment with the given variables.
func environment(variables map[string]string) *config.Env {
	var environ []string
	for name, value := range variables {
		environ = append(environ, name+"="+value)
	}
	return config.NewEnv(environ)
}

func TestOutsideAPIServer(t *testing.T) {
	inside, _ := startDemo(t)
	env := map[string]string{
		"DEMO_ADDR":                 "127.0.0.1:0",
		"AUTHSIGNAL_API_URL":        inside.tenant.apiURL + "/",
		"AUTHSIGNAL_API_SECRET_KEY": inside.tenant.secretKey,
		"AUTHSIGNAL_TENANT_ID":      inside.tenant.id,
	}
	d, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if d.api != nil || d.tenant != inside.tenant {
		t.Error("it does not use the API server that it was given")
	}
	newBrowser(t, d).enroll("jane")
	if err := d.stop(); err != nil {
		t.Error("stop:", err)
	}

	for name, value := range map[string]string{
		"AUTHSIGNAL_API_URL":        "",
		"AUTHSIGNAL_API_SECRET_KEY": "",
		"AUTHSIGNAL_TENANT_ID":      "",
		"DEMO_ADDR":                 "3000",
	} {
		old := env[name]
		env[name] = value
		if _, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with %s=%q: error %v, want one that names it", name, value, err)
		}
		env[name] = old
	}
	env["DEMO_ADDR"] = strings.TrimPrefix(inside.url, "http://")
	if _, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "DEMO_ADDR") {
		t.Errorf("at an address that is taken: error %v, want one that names DEMO_ADDR", err)
	}
	env["DEMO_ADDR"] = "127.0.0.1:0"
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(inside.tenant.secretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env["AUTHSIGNAL_API_SECRET_KEY_FILE"] = key
	if _, err := outside(environment(env)); err == nil || !strings.Contains(err.Error(), "both set") {
		t.Errorf("with the key twice: error %v", err)
	}
	delete(env, "AUTHSIGNAL_API_SECRET_KEY")
	if got, err := outside(environment(env)); err != nil || got != inside.tenant {
		t.Errorf("with the key in a file: got another tenant, error %v", err)
	}
	env["AUTHSIGNAL_API_URL"] = "http://user:password@localhost/v1"
	if _, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "password") {
		t.Errorf("with a password in the URL: %v", err)
	}
}

func TestStopsWhenAsked(t *testing.T) {
	env := map[string]string{"DEMO_ADDR": "127.0.0.1:0", "DEMO_DATA": t.TempDir()}
	d, err := start(t.Context(), environment(env), sdk, io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(d.url); err == nil {
		t.Error("it still answers")
	}
}
