package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// device returns the token of a trusted browser in a user's cookie, or "".
func (b *browser) device(username string) string {
	u, _ := url.Parse(b.d.url)
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == deviceCookie(username) {
			return c.Value
		}
	}
	return ""
}

// setDevice sets the cookie with the token of a trusted browser.
func (b *browser) setDevice(username, token string) {
	u, _ := url.Parse(b.d.url)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: deviceCookie(username), Value: token, Path: "/"}})
}

// signInWith signs in with a code, and asks to be remembered.
func (b *browser) signInWith(p *phone, username string, remember bool) answer {
	b.t.Helper()
	v := b.verify(b.signIn(username), p.code())
	return b.mustCall("POST", "/api/verified", map[string]any{"token": v.AccessToken, "remember": remember}, stepAccount)
}

// second gives a user another authenticator app, with codes of its own: two codes of
// one app are accepted in 30 seconds.
func second(t *testing.T, d *demo, username string) *phone {
	t.Helper()
	key, err := totp.ParseURI("otpauth://totp/second?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
	if err != nil {
		t.Fatal(err)
	}
	_, err = authsignal.New(d.tenant.secretKey, d.tenant.apiURL).EnrollVerifiedAuthenticator(t.Context(), username,
		authsignal.EnrollVerifiedRequest{VerificationMethod: authsignal.AuthenticatorApp, OTPURI: "otpauth://totp/second?secret=" + key.Secret})
	if err != nil {
		t.Fatal(err)
	}
	return &phone{t: t, key: key}
}

func (b *browser) signOut() { b.t.Helper(); b.mustCall("POST", "/api/sign-out", nil, stepSignIn) }

func jane(t *testing.T, b *browser, want step) answer {
	t.Helper()
	return b.mustCall("POST", "/api/sign-in", map[string]string{"username": "jane"}, want)
}

func TestRememberedBrowserSignsInWithoutACode(t *testing.T) {
	t.Parallel()
	d, log := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	if a := b.signInWith(p, "jane", true); !strings.Contains(a.Notice, "is remembered") {
		t.Errorf("the notice is %q", a.Notice)
	}
	first := b.device("jane")
	if first == "" {
		t.Fatal("there is no cookie")
	}
	b.signOut()
	if a := jane(t, b, stepAccount); a.Token != "" || !strings.Contains(a.Notice, "no code was needed") {
		t.Errorf("got token %q, notice %q", a.Token, a.Notice)
	}
	second := b.device("jane")
	if second == "" || second == first {
		t.Error("the cookie has the token that was used")
	}
	if a := b.account(); a.By != authsignal.ByTrustedBrowser || len(a.Browsers) != 1 || !strings.Contains(a.Browsers[0].Device, "at 127.0.0.1") {
		t.Errorf("the account has by %q, browsers %+v", a.By, a.Browsers)
	}

	// A payment requires a code nevertheless, and uses no token.
	if status, a := b.call("POST", "/api/pay", map[string]float64{"amount": 1}); status != http.StatusOK || a.Paid || a.Token == "" {
		t.Errorf("pay: status %d, %+v", status, a)
	}
	if b.device("jane") != second {
		t.Error("the payment changed the cookie")
	}
	b.signOut()
	jane(t, b, stepAccount)

	// Another browser of the user is not remembered.
	jane(t, newBrowser(t, d), stepChallenge)

	for _, token := range []string{first, second, b.device("jane")} {
		if strings.Contains(log.String(), token) {
			t.Error("the log holds the token of a trusted browser")
		}
	}
}

func TestBrowserIsNotRememberedUnasked(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	b.signInWith(p, "jane", false)
	if b.device("jane") != "" {
		t.Error("there is a cookie")
	}
	b.signOut()
	jane(t, b, stepChallenge)
}

// The settings of the action enroll have no trustBrowserDays.
func TestBrowserThatCannotBeRememberedIsReported(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	jane(t, b, stepEnroll)
	token := b.mustCall("POST", "/api/enroll", nil, stepEnroll).Token
	p := b.enrolled(token)
	v := b.verify(token, p.code())
	a := b.mustCall("POST", "/api/verified", map[string]any{"token": v.AccessToken, "remember": true}, stepAccount)
	if b.device("jane") != "" || !strings.Contains(a.Notice, "could not be remembered") {
		t.Errorf("the notice is %q", a.Notice)
	}
}

// The original cannot be told from the copy.
func TestCopiedCookieEndsTheTrust(t *testing.T) {
	t.Parallel()
	d, _, mail := startDemoWithMail(t)
	b, thief := newBrowser(t, d), newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	b.signInWith(p, "jane", true)
	b.signOut()
	thief.setDevice("jane", b.device("jane"))
	jane(t, b, stepAccount)
	if a := jane(t, thief, stepChallenge); !strings.Contains(a.Notice, "not remembered any more") || thief.device("jane") != "" {
		t.Errorf("the thief keeps the cookie, or the notice is %q", a.Notice)
	}
	b.signOut()
	jane(t, b, stepChallenge)
	if b.device("jane") != "" {
		t.Error("the cookie of the original is kept")
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(mail.String(), `Mail to "jane": A remembered browser was copied`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the user is not told: %s", mail)
		}
	}
}

// Those who share a browser are each remembered.
func TestEachUserOfABrowserHasACookie(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	for _, name := range []string{"jane", "john"} {
		p := b.enroll(name)
		b.signOut()
		b.signInWith(p, name, true)
		b.signOut()
	}
	if b.device("jane") == b.device("john") {
		t.Error("both have one token")
	}
	for _, name := range []string{"jane", "john", "jane"} {
		b.mustCall("POST", "/api/sign-in", map[string]string{"username": name}, stepAccount)
		b.signOut()
	}
	// The token of one user is none of another.
	b.setDevice("jane", b.device("john"))
	jane(t, b, stepChallenge)
}

func TestForgottenBrowserNeedsACode(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b, other := newBrowser(t, d), newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	b.signInWith(p, "jane", true)
	other.signInWith(other.enroll("john"), "john", true)
	id := other.account().Browsers[0].ID
	b.mustCall("POST", "/api/forget-browser", map[string]string{"id": id}, stepAccount)
	if len(other.account().Browsers) != 1 {
		t.Error("a user ended the trust of another")
	}
	b.mustFail("POST", "/api/forget-browser", nil, 404, "removed")
	b.mustCall("POST", "/api/forget-browser", map[string]string{"id": b.account().Browsers[0].ID}, stepAccount)
	if len(b.account().Browsers) != 0 {
		t.Error("the browser is still trusted")
	}
	b.signOut()
	jane(t, b, stepChallenge)
}

func TestDeviceCookie(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	for proto, want := range map[string]bool{"": false, "https": true} {
		b := newBrowser(t, d)
		name := "jane" + proto
		p := b.enroll(name)
		b.signOut()
		v := b.verify(b.signIn(name), p.code())
		req, _ := http.NewRequest("POST", d.url+"/api/verified", strings.NewReader(`{"token":"`+v.AccessToken+`","remember":true}`))
		req.Header.Set("X-Forwarded-Proto", proto)
		req.AddCookie(&http.Cookie{Name: cookieName, Value: b.id()})
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		var c *http.Cookie
		for _, set := range res.Cookies() {
			if set.Name == deviceCookie(name) {
				c = set
			}
		}
		const life = trustDays * 24 * 60 * 60
		if c == nil || !c.HttpOnly || c.Secure != want || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge > life || c.MaxAge < life-60 {
			t.Errorf("with proto %q: got %v", proto, c)
		}
	}
}

// A browser that is remembered does not suffice to change how the account is protected.
func TestChangesNeedACodeOfTheSession(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	b.signInWith(p, "jane", true)
	b.signOut()
	jane(t, b, stepAccount)
	id := b.account().Authenticators[0].ID
	rename := map[string]string{"id": id, "name": " Work phone "}
	b.mustFail("POST", "/api/rename-authenticator", rename, 403, "confirm")
	b.mustFail("POST", "/api/remove-authenticator", map[string]string{"id": id}, 403, "confirm")
	b.mustFail("POST", "/api/confirmed", nil, 403, "not_verified") // nothing was begun

	confirm := func() string {
		t.Helper()
		status, a := b.call("POST", "/api/confirm", nil)
		if status != http.StatusOK || a.Token == "" {
			t.Fatalf("confirm: status %d, %+v", status, a)
		}
		return a.Token
	}
	p = second(t, d, "jane")
	token := confirm()
	b.mustFail("POST", "/api/confirmed", map[string]string{"token": token}, 403, "not_verified")
	if v := b.verify(token, p.wrong()); v.IsVerified {
		t.Error("a wrong code was accepted")
	}
	b.mustFail("POST", "/api/confirmed", nil, 403, "not_verified")
	old := b.id()
	v := b.verify(token, p.code())
	b.mustCall("POST", "/api/confirmed", map[string]string{"token": v.AccessToken}, stepAccount)
	if b.id() == old {
		t.Error("the session with more rights has the same id")
	}
	b.mustCall("POST", "/api/rename-authenticator", rename, stepAccount)
	if got := b.account().Authenticators[0]; got.Name != "Work phone" || got.UsedAt == nil || !strings.Contains(got.UsedWith, "127.0.0.1") {
		t.Errorf("got %+v", got)
	}
	for _, name := range []string{"", " ", strings.Repeat("é", 65), "Work\u202ephone"} {
		b.mustFail("POST", "/api/rename-authenticator", map[string]string{"id": id, "name": name}, 400, "bad_name")
	}
	b.mustCall("POST", "/api/rename-authenticator", map[string]string{"id": id, "name": strings.Repeat("é", 64)}, stepAccount)
	b.mustFail("POST", "/api/remove-authenticator", nil, 404, "removed")
	for _, id := range []string{"", "no-such-id"} {
		b.mustFail("POST", "/api/rename-authenticator", map[string]string{"id": id, "name": "x"}, 404, "removed")
	}
	// Of two removals, the second finds nothing to do.
	b.mustCall("POST", "/api/remove-authenticator", map[string]string{"id": "no-such-id"}, stepAccount)
	// The token of one confirmation does not confirm another.
	confirm()
	b.mustFail("POST", "/api/confirmed", map[string]string{"token": v.AccessToken}, 403, "not_verified")
}

func TestACodeSufficesForTenMinutes(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	a := &app{sessions: sessions{now: func() time.Time { return now }, m: map[string]session{}}}
	for age, want := range map[time.Duration]error{0: nil, codeFresh - 1: nil, codeFresh: errConfirm} {
		id, _ := a.sessions.start("", session{step: stepAccount, codeAt: now.Add(-age)})
		r, _ := http.NewRequest("POST", "/", nil)
		r.AddCookie(&http.Cookie{Name: cookieName, Value: id})
		if _, err := a.confirmedLately(r); err != want && !(err == nil && want == nil) {
			t.Errorf("%v after a code: got %v, want %v", age, err, want)
		}
	}
}

// A lost phone: a recovery code signs in, no browser is trusted any more, and the page adds
// a new app with the token and removes the lost one. The session stays, others end.
func TestRecovery(t *testing.T) {
	t.Parallel()
	d, log := startDemo(t)
	b, other := newBrowser(t, d), newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	token := b.signIn("jane")
	v := b.verify(token, p.code())
	b.mustCall("POST", "/api/verified", map[string]any{"token": v.AccessToken, "remember": true}, stepAccount)
	if got := b.account().RecoveryCodes; got == nil || got.Total != 0 {
		t.Errorf("before codes are made: %+v", got)
	}
	var made api.RecoveryCodesResponse
	if status := b.sdkCall(api.PathClientRecoveryCodes, v.AccessToken, "", &made); status != http.StatusOK || len(made.RecoveryCodes) != 10 {
		t.Fatalf("make codes: status %d, %d codes", status, len(made.RecoveryCodes))
	}
	if got := b.account().RecoveryCodes; got.Total != 0 || !got.IsPending {
		t.Errorf("before they are confirmed: %+v", got)
	}
	var confirmed struct{ IsConfirmed bool }
	if b.sdkCall(api.PathClientConfirmRecoveryCodes, v.AccessToken, `{"saved":true}`, &confirmed); !confirmed.IsConfirmed {
		t.Fatal("the codes were not confirmed")
	}
	if got := b.account().RecoveryCodes; got.Total != 10 || got.Left != 10 {
		t.Errorf("after they are confirmed: %+v", got)
	}

	// The phone is lost, and a thief may have a session.
	var used api.VerifyRecoveryCodeResponse
	other.sdkCall(api.PathClientVerifyRecoveryCode, other.signIn("jane"), `{"recoveryCode":"`+made.RecoveryCodes[0]+`"}`, &used)
	other.mustCall("POST", "/api/verified", map[string]string{"token": used.AccessToken}, stepAccount)
	if a := other.account(); a.By != authsignal.RecoveryCode || a.RecoveryCodes.Left != 9 || len(a.Browsers) != 0 {
		t.Errorf("after the recovery code: %+v", a)
	}
	newPhone := other.enrolled(used.AccessToken)
	added := other.verify(used.AccessToken, newPhone.code())
	if added.UserAuthenticator == nil {
		t.Fatal("the new app was not added")
	}
	b.account() // the thief's, until the app is removed
	other.remove(stepAccount)
	b.mustFail("GET", "/api/account", nil, 401, "not_signed_in")
	if list := other.account().Authenticators; len(list) != 1 || list[0].ID != added.UserAuthenticator.UserAuthenticatorID {
		t.Errorf("left are %+v", list)
	}
	jane(t, b, stepChallenge) // it is remembered no more
	other.awaitNotice("9 are left")
	other.signOut()
	other.signInWith(newPhone, "jane", false)
	for _, secret := range append(made.RecoveryCodes, used.AccessToken) {
		if strings.Contains(log.String(), secret) {
			t.Error("the log holds a recovery code or a token")
		}
	}
}

func TestDeviceNames(t *testing.T) {
	t.Parallel()
	for userAgent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0":                                                                  "Firefox on Linux at ::1",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge on Windows at ::1",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari on an iPhone at ::1",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                         "Chrome on Android at ::1",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                   "Chrome on a Mac at ::1",
		"curl/8.5.0": "an unknown browser at ::1",
	} {
		if got := device(userAgent, "::1"); got != want {
			t.Errorf("%s: got %q, want %q", userAgent, got, want)
		}
	}
	if got := device("", ""); got != "an unknown browser" {
		t.Errorf("of nothing: got %q", got)
	}
}

// A browser that the pre-built UI remembers is one that the backend knows of only by
// the verification method.
func TestBrowserThatThePrebuiltUIRemembersIsNoCode(t *testing.T) {
	t.Parallel()
	d, _ := startDemo(t)
	b := newBrowser(t, d)
	p := b.enroll("jane")
	b.signOut()
	signIn := map[string]string{"username": "jane", "ui": "popup"}
	token := b.verify(tokenOf(t, b.mustCall("POST", "/api/sign-in", signIn, stepPrebuilt).URL), p.code()).AccessToken
	b.prebuiltCall(api.PathClientTrustedBrowsers, token, new(any))
	b.mustCall("POST", "/api/verified", map[string]string{"token": token}, stepAccount)
	b.signOut()

	var v api.VerifyTOTPResponse
	token = tokenOf(t, b.mustCall("POST", "/api/sign-in", signIn, stepPrebuilt).URL)
	if b.prebuiltCall(api.PathClientVerifyTrustedBrowser, token, &v); !v.IsVerified {
		t.Fatal("the browser is not trusted")
	}
	b.mustCall("POST", "/api/verified", map[string]string{"token": or(v.AccessToken, token)}, stepAccount)
	a := b.account()
	if a.By != authsignal.ByTrustedBrowser {
		t.Errorf("signed in by %q", a.By)
	}
	b.mustFail("POST", "/api/remove-authenticator", map[string]string{"id": a.Authenticators[0].ID}, 403, "confirm")
}

// prebuiltCall sends a request of the pre-built UI, without a body, to the API.
func (b *browser) prebuiltCall(path, token string, out any) {
	b.t.Helper()
	req, err := http.NewRequest("POST", b.d.tenant.apiURL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Origin", strings.TrimSuffix(b.d.tenant.apiURL, "/v1"))
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s, %v, %v", path, res.Status, err, out)
	}
}
