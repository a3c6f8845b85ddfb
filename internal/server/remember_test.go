package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/cookie"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// A visitor is a browser of a user in which the pre-built UI is open. It keeps the
// cookies that the server sets.
type visitor struct {
	p       *peer
	cookies map[string]*http.Cookie
	// token is the one that a use of a cookie has given last.
	token string
}

func (p *peer) visitor() *visitor { return &visitor{p: p, cookies: map[string]*http.Cookie{}} }

// header returns the cookies as the browser sends them.
func (v *visitor) header() string {
	var pairs []string
	for name, c := range v.cookies {
		pairs = append(pairs, name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// keep stores the cookies of a response.
func (v *visitor) keep(r response) response {
	v.p.t.Helper()
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || !strings.HasPrefix(c.Name, "__Host-authsignal-browser-") {
			v.p.t.Errorf("got the cookie %v", c)
		}
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		} else {
			v.cookies[c.Name] = c
		}
	}
	return r
}

// post sends a request of the page.
func (v *visitor) post(path, token string) response {
	v.p.t.Helper()
	return v.keep(v.p.do("POST", "/v1/client/"+path, "Bearer "+token, "", "Sec-Fetch-Site", "same-origin", "Origin", "http://mfa.test", "Cookie", v.header(), "User-Agent", "Firefox"))
}

// remembers signs a user in with a code and a ticked box.
func (v *visitor) remembers(user, secret string) {
	v.p.t.Helper()
	v.p.advance(time.Minute)
	tok := v.p.accepted(v.p.verify(v.p.token(user, "signIn", ""), v.p.code(secret, 0))).object["accessToken"].(string)
	r := v.p.ok(v.post("trusted-browsers", tok))
	if want := v.p.clock().Add(30 * 24 * time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"); r.object["expiresAt"] != want {
		v.p.t.Errorf("got %s, want %s", r.text, want)
	}
	c := v.cookies["__Host-"+cookie.BrowserName("t1", user)]
	if c == nil || !strings.HasPrefix(c.Value, "tb1_") || c.MaxAge != 90*24*3600 || strings.Contains(r.text, c.Value) {
		v.p.t.Fatalf("got the cookie %v, %s", c, r.text)
	}
}

// signsIn tracks an action and tries the cookie. It reports whether that completed the
// action.
func (v *visitor) signsIn(user, action, attributes string) bool {
	v.p.t.Helper()
	tok := v.p.token(user, action, attributes)
	return v.uses(user, action, tok)
}

// uses tries the cookie for the action of a token. What it completes is valid for the
// token that the browser gets then, and not for the one before, which an attacker with
// the first factor may have.
func (v *visitor) uses(user, action, tok string) bool {
	v.p.t.Helper()
	r := v.p.ok(v.post("verify/trusted-browser", tok)).object
	verified := r["isVerified"] == true
	validate := func(tok string) map[string]any {
		v.p.t.Helper()
		return v.p.ok(v.p.api("POST", "/v1/validate", `{"token":"`+tok+`","userId":"`+user+`","action":"`+action+`"}`)).object
	}
	if next, has := r["accessToken"].(string); has {
		if got := validate(tok); got["isValid"] != false || got["state"] != "CHALLENGE_REQUIRED" || got["verificationMethod"] != nil {
			v.p.t.Errorf("validate of the token before: got %v", got)
		}
		v.token, tok = next, next
	}
	got := validate(tok)
	if got["isValid"] != verified || verified && (got["verificationMethod"] != "TRUSTED_BROWSER" || got["state"] != "CHALLENGE_SUCCEEDED") {
		v.p.t.Errorf("verified %v, validate answers %v", verified, got)
	}
	return verified
}

// copies returns another browser with the same cookies.
func (v *visitor) copies() *visitor {
	c := v.p.visitor()
	for name, value := range v.cookies {
		c.cookies[name] = value
	}
	return c
}

func TestARememberedBrowserCompletesChallenges(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	p.trusting("brief", 1)
	p.trusting("far", 30, `{"name":"far","condition":"ip == \"192.0.2.66\"","outcome":"CHALLENGE"}`)
	secret := p.enrolled("u1")
	v := p.visitor()
	v.remembers("u1", secret)
	for range 3 {
		p.advance(time.Hour)
		before := v.header()
		if !v.signsIn("u1", "signIn", "") {
			t.Error("asked")
		}
		if v.header() == before {
			t.Error("the token did not change")
		}
	}
	// Where trust does not count, where a rule decides, and where nothing asks.
	for action, attributes := range map[string]string{"pay": "", "far": `{"ipAddress":"192.0.2.66"}`} {
		before := v.header()
		if v.signsIn("u1", action, attributes) || v.header() != before {
			t.Errorf("%s: not asked, or the token changed", action)
		}
	}
	if !v.signsIn("u1", "far", "") {
		t.Error("asked where no rule decides")
	}
	// Trust counts for as long as each action says, from the day of the code.
	p.advance(24 * time.Hour)
	if v.signsIn("u1", "brief", "") || !v.signsIn("u1", "signIn", "") {
		t.Error("got the wrong days")
	}
	p.advance(29 * 24 * time.Hour)
	if v.signsIn("u1", "signIn", "") {
		t.Error("not asked after 30 days")
	}
	// The list has the browser's own user agent, as the backend sent none.
	list := p.ok(p.api("GET", "/v1/users/u1/trusted-browsers", "")).list
	if len(list) != 1 || list[0].(map[string]any)["userAgent"] != "Firefox" {
		t.Errorf("got %v", list)
	}
	// A code and a ticked box replace the trust in the same browser.
	v.remembers("u1", secret)
	if !v.signsIn("u1", "signIn", "") {
		t.Error("asked after the box was ticked again")
	}
	if got := len(p.ok(p.api("GET", "/v1/users/u1/trusted-browsers", "")).list); got != 1 {
		t.Errorf("got %d browsers", got)
	}
	if text := p.log.String(); strings.Contains(text, "tb1_") {
		t.Error("the log holds a token")
	}
}

// Each user of each tenant has a cookie of its own, and a token is of use to its user
// alone.
func TestCookiesOfOthersAreNoUse(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	one, two := p.enrolled("u1"), p.enrolled("u2")
	v := p.visitor()
	v.remembers("u1", one)
	if v.signsIn("u2", "signIn", "") {
		t.Error("a cookie of another user")
	}
	v.remembers("u2", two)
	if len(v.cookies) != 2 || !v.signsIn("u1", "signIn", "") || !v.signsIn("u2", "signIn", "") {
		t.Errorf("of two users, one is asked: %d cookies", len(v.cookies))
	}
	// The token of the one, under the name of the other's cookie.
	evil := p.visitor()
	evil.cookies["__Host-"+cookie.BrowserName("t1", "u2")] = v.cookies["__Host-"+cookie.BrowserName("t1", "u1")]
	if evil.signsIn("u2", "signIn", "") || len(evil.cookies) != 0 {
		t.Error("the token of another user")
	}
	for _, value := range []string{"", "tb1_AAAA", "tb1_" + strings.Repeat("A", 107)} {
		evil.cookies["__Host-"+cookie.BrowserName("t1", "u1")] = &http.Cookie{Value: value}
		if evil.signsIn("u1", "signIn", "") {
			t.Errorf("got in with %q", value)
		}
	}
	if !v.signsIn("u1", "signIn", "") || !v.signsIn("u2", "signIn", "") {
		t.Error("no longer trusted")
	}
}

// A browser keeps a bounded number of cookies, because proxies bound headers.
func TestOldCookiesMakeRoom(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	tok := p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 1))).object["accessToken"].(string)
	header := ""
	for i := range 25 {
		header += "__Host-authsignal-browser-" + string(rune('a'+i)) + "=x; "
	}
	r := p.ok(p.do("POST", "/v1/client/trusted-browsers", "Bearer "+tok, "", "Sec-Fetch-Site", "same-origin", "Cookie", header+"__Host-other=y"))
	var deleted []string
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.MaxAge < 0 {
			deleted = append(deleted, strings.TrimPrefix(c.Name, "__Host-authsignal-browser-"))
		}
	}
	if !slices.Equal(deleted, []string{"a", "b", "c", "d", "e", "f"}) {
		t.Errorf("deleted %q", deleted)
	}
}

// Only the pages of the server itself may use the cookie.
func TestOtherPagesDoNotUseTheCookie(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	v := p.visitor()
	v.remembers("u1", secret)
	p.advance(time.Minute)
	verified := p.accepted(p.verify(p.token("u1", "signIn", ""), p.code(secret, 0))).object["accessToken"].(string)
	tok := p.token("u1", "signIn", "")
	for name, header := range map[string][]string{
		"neither header":     nil,
		"cross-site":         {"Sec-Fetch-Site", "cross-site", "Origin", "https://app.test"},
		"same-site":          {"Sec-Fetch-Site", "same-site", "Origin", "https://app.test"},
		"no site":            {"Sec-Fetch-Site", "none"},
		"an allowed origin":  {"Origin", "https://app.test"},
		"an opaque origin":   {"Origin", "null"},
		"a contradiction":    {"Sec-Fetch-Site", "cross-site", "Origin", "http://mfa.test"},
		"a longer host":      {"Origin", "http://mfa.test.evil.test"},
		"another scheme":     {"Origin", "https://mfa.test"},
		"of the key's realm": {"Sec-Fetch-Site", "none", "Origin", ""},
	} {
		header = append(header, "Cookie", v.header())
		for path, token := range map[string]string{"verify/trusted-browser": tok, "trusted-browsers": verified} {
			r := p.do("POST", "/v1/client/"+path, "Bearer "+token, "", header...)
			if p.fails(r, 403, "unauthorized"); len(r.header.Values("Set-Cookie")) != 0 || r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: got %v", name, r.header)
			}
		}
	}
	if got := p.do("OPTIONS", "/v1/client/verify/trusted-browser", "", "", "Origin", "https://app.test", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"); got.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("pages of other origins may send cookies")
	}
	// A browser that does not send Sec-Fetch-Site.
	if r := p.ok(v.keep(p.do("POST", "/v1/client/verify/trusted-browser", "Bearer "+tok, "{}", "Origin", "http://mfa.test", "Cookie", v.header()))); r.object["isVerified"] != true {
		t.Errorf("got %s", r.text)
	}
	for _, path := range []string{"verify/trusted-browser", "trusted-browsers"} {
		p.fails(p.do("POST", "/v1/client/"+path, "Bearer "+tok, `{"x":1}`, "Sec-Fetch-Site", "same-origin"), 400, "invalid_request")
		p.fails(p.do("POST", "/v1/client/"+path+"?x=1", "Bearer "+tok, "", "Sec-Fetch-Site", "same-origin"), 400, "invalid_request")
	}
}

// A cookie that is used after its copy, or the copy after it, ends the trust in both.
func TestACopiedCookieEndsTheTrust(t *testing.T) {
	t.Parallel()
	p, h, st := hooked(t, func(c *Config) { c.ManagementKey = managementKey })
	p.trusting("signIn", 30)
	v := p.visitor()
	v.remembers("u1", p.enrolled("u1"))
	thief := v.copies()
	if !thief.signsIn("u1", "signIn", `{"ipAddress":"192.0.2.66","userAgent":"curl"}`) {
		t.Fatal("the copy is not accepted")
	}
	if v.signsIn("u1", "signIn", "") || len(v.cookies) != 0 {
		t.Error("the original is accepted after its copy")
	}
	if thief.signsIn("u1", "signIn", "") || len(thief.cookies) != 0 {
		t.Error("the copy is accepted again")
	}
	p.deliver(st, h)
	events := h.of(authsignal.EventTrustedBrowserCopied)
	if len(events) != 1 {
		t.Fatalf("got %d events", len(events))
	}
	if e := events[0].Data.(authsignal.TrustedBrowserCopied); e.UserAgent != "Firefox" || e.LastIPAddress != "192.0.2.66" || e.LastUserAgent != "curl" {
		t.Errorf("got %+v", e)
	}
}

// The page did not get the answer, and tries again for the same action: that is no
// copy. For another action it is.
func TestALostAnswerOfAUseIsNoCopy(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	v := p.visitor()
	v.remembers("u1", p.enrolled("u1"))
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	p.advance(9 * time.Minute) // from the use on, the time for repetitions begins
	lost := v.copies()
	for range 3 {
		if !lost.copies().uses("u1", "signIn", tok) {
			t.Error("a repetition is refused")
		}
	}
	p.advance(9 * time.Minute)
	tok = p.token("u1", "signIn", `{"idempotencyKey":"k"}`) // the token had expired
	if !v.uses("u1", "signIn", tok) {
		t.Error("a late repetition is refused")
	}
	// The action is completed for this token, and the cookie stays as it is.
	before := v.header()
	if !v.uses("u1", "signIn", v.token) || v.header() != before {
		t.Error("the cookie changed for a completed action")
	}
	completed := v.token
	if !v.signsIn("u1", "signIn", "") {
		t.Error("after a late repetition: asked")
	}
	if lost.signsIn("u1", "signIn", "") || v.signsIn("u1", "signIn", "") {
		t.Error("with another action it is a copy, and ends the trust")
	}
	// What was completed stays so, for the token of the browser; by itself the action
	// does not tell whether the caller serves that browser.
	if got := p.ok(p.api("POST", "/v1/validate", `{"token":"`+completed+`"}`)).object; got["isValid"] != true || got["state"] != "CHALLENGE_SUCCEEDED" {
		t.Errorf("validate: got %v", got)
	}
	if got := p.state("u1", "signIn", "k"); got != "CHALLENGE_REQUIRED" {
		t.Errorf("the action: got %s", got)
	}
}

func TestALateRepetitionOfAUseIsACopy(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	v := p.visitor()
	v.remembers("u1", p.enrolled("u1"))
	lost := v.copies()
	if !v.signsIn("u1", "signIn", `{"idempotencyKey":"k"}`) {
		t.Fatal("asked")
	}
	p.advance(10 * time.Minute)
	r := p.ok(lost.post("verify/trusted-browser", p.token("u1", "signIn", `{"idempotencyKey":"k"}`)))
	if r.object["isVerified"] != false || len(lost.cookies) != 0 || v.signsIn("u1", "signIn", "") {
		t.Error("still trusted")
	}
}

func TestTwoHundredUsesOfACookieCountOnce(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	v := p.visitor()
	v.remembers("u1", p.enrolled("u1"))
	header := v.header()
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		tok := p.token("u1", "signIn", "")
		wg.Go(func() {
			r := p.do("POST", "/v1/client/verify/trusted-browser", "Bearer "+tok, "", "Sec-Fetch-Site", "same-origin", "Cookie", header)
			if r.status != http.StatusOK {
				t.Errorf("got %d %s", r.status, r.text)
			} else if r.object["isVerified"] == true {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if got := in.Load(); got != 1 {
		t.Errorf("one cookie was accepted %d times", got)
	}
	if got := p.ok(p.api("GET", "/v1/users/u1/trusted-browsers", "")).text; got != "[]\n" {
		t.Errorf("still trusted: %s", got)
	}
}

// What ends trust, ends that of a cookie too.
func TestTheTrustOfACookieEnds(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	for name, end := range map[string]func(user string){
		"tokens": func(u string) { p.ok(p.api("DELETE", "/v1/users/"+u+"/tokens", "")) },
		"removal": func(u string) {
			uri := "otpauth://totp/Acme:x?secret=" + importedSecret
			id := p.ok(p.api("POST", "/v1/users/"+u+"/authenticators", `{"verificationMethod":"AUTHENTICATOR_APP","otpUri":"`+uri+`"}`)).object["authenticator"].(map[string]any)["userAuthenticatorId"].(string)
			p.ok(p.api("DELETE", "/v1/users/"+u+"/authenticators/"+id, ""))
		},
		"recovery": func(u string) {
			codes := texts(p.ok(p.api("POST", "/v1/users/"+u+"/recovery-codes", "")).object["recoveryCodes"])
			p.accepted(p.recover(p.token(u, "signIn", ""), codes[0]))
		},
		"revoked": func(u string) { p.ok(p.api("DELETE", "/v1/users/"+u+"/trusted-browsers", "")) },
		"deleted": func(u string) {
			p.ok(p.api("DELETE", "/v1/users/"+u, ""))
			p.enrolled(u)
		},
	} {
		v := p.visitor()
		v.remembers(name, p.enrolled(name))
		if !v.signsIn(name, "signIn", `{"idempotencyKey":"before"}`) {
			t.Errorf("%s: asked before", name)
		}
		end(name)
		if v.signsIn(name, "signIn", "") || len(v.cookies) != 0 {
			t.Errorf("%s: not asked", name)
		}
	}
	// A success by trust ends with the user's tokens.
	if got := p.track("tokens", "signIn", `{"idempotencyKey":"before"}`)["state"]; got != "CHALLENGE_REQUIRED" {
		t.Errorf("tracked again: got %v", got)
	}
}

// An action that a trusted browser completed gives no right to change factors, nor to
// trust a browser, until a code completes it too.
func TestACookieIsLessThanACode(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	v := p.visitor()
	v.remembers("u1", secret)
	const all = "read:authenticators add:authenticators update:authenticators remove:authenticators"
	r := p.track("u1", "signIn", `{"idempotencyKey":"k","deviceId":"d1","scope":"`+all+`"}`)
	tok := r["token"].(string)
	if !v.uses("u1", "signIn", tok) {
		t.Fatal("asked")
	}
	id := p.ok(p.api("GET", "/v1/users/u1/authenticators", "")).list[0].(map[string]any)["userAuthenticatorId"].(string)
	client := "/v1/client/user-authenticators/" + id
	attempts := func(tok string) []response {
		return []response{
			p.enroll(tok), p.do("DELETE", client, "Bearer "+tok, ""), p.rename(client, "Bearer "+tok, `{"name":"x"}`),
			p.recovery("POST", "/recovery-codes", tok, ""), p.recovery("POST", "/recovery-codes/confirm", tok, `{"saved":true}`),
			p.do("GET", "/v1/client/trusted-browsers", "Bearer "+tok, ""), p.do("DELETE", "/v1/client/trusted-browsers", "Bearer "+tok, ""),
			v.copies().post("trusted-browsers", tok),
		}
	}
	for _, r := range append(attempts(tok), attempts(v.token)...) {
		p.fails(r, 403, "unauthorized")
	}
	// Tracked again, it asks, since another browser may track, and its url has the scope to read alone.
	again := p.track("u1", "signIn", `{"idempotencyKey":"k","scope":"`+all+`"}`)
	if again["state"] != "CHALLENGE_REQUIRED" || again["isTrusted"] != nil {
		t.Errorf("got %v", again)
	}
	_, urlToken, _ := strings.Cut(again["url"].(string), "token=")
	for _, r := range attempts(urlToken) {
		p.fails(r, 403, "unauthorized")
	}
	if v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+v.token+`","trustBrowser":true}`)).object; v["isValid"] != true || v["deviceToken"] != nil {
		t.Errorf("validate: got %v", v)
	}
	var known bool
	err := p.store.View(t.Context(), "t1", func(tx *store.Tx) error {
		u, _, err := tx.User("u1")
		if err == nil {
			known, err = tx.DeviceKnown("u1", u.Incarnation, "d1")
		}
		return err
	})
	if err != nil || known {
		t.Errorf("the device of a sign-in without a code is known: %v, %v", known, err)
	}
	// A code on the same action gives the rights.
	p.advance(time.Minute)
	tok = p.accepted(p.verify(p.token("u1", "signIn", `{"idempotencyKey":"k"}`), p.code(secret, 0))).object["accessToken"].(string)
	if v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object; v["isValid"] != true || v["verificationMethod"] != "AUTHENTICATOR_APP" {
		t.Errorf("validate: got %v", v)
	}
	p.ok(p.rename(client, "Bearer "+tok, `{"name":"x"}`))
	p.ok(p.recovery("POST", "/recovery-codes", tok, ""))
	p.ok(v.post("trusted-browsers", tok))
}

// Only a token that a code has given makes a browser trusted.
func TestWhatMayRememberABrowser(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	v := p.visitor()
	refused := func(tok string) {
		t.Helper()
		if p.fails(v.post("trusted-browsers", tok), 403, "unauthorized"); len(v.cookies) != 0 {
			t.Errorf("got %v", v.cookies)
		}
	}
	r := p.track("u1", "signIn", `{"scope":"update:authenticators"}`)
	refused(r["token"].(string)) // the first factor
	p.advance(time.Minute)
	verified := p.accepted(p.verify(r["token"].(string), p.code(secret, 0))).object["accessToken"].(string)
	_, urlToken, _ := strings.Cut(r["url"].(string), "token=")
	refused(urlToken) // of an action that was completed since
	narrow := p.ok(p.do("POST", "/v1/client/token", "Bearer "+verified, `{"scope":"read:authenticators"}`)).object["accessToken"].(string)
	refused(narrow)
	p.advance(time.Minute)
	paid := p.accepted(p.verify(p.token("u1", "pay", ""), p.code(secret, 0))).object["accessToken"].(string)
	refused(paid) // trust does not count for the action
	codes := texts(p.ok(p.api("POST", "/v1/users/u1/recovery-codes", "")).object["recoveryCodes"])
	refused(p.accepted(p.recover(p.token("u1", "signIn", ""), codes[0])).object["accessToken"].(string))
	p.ok(v.post("trusted-browsers", verified))
}

// Trust completes an action as it was tracked, and not one that the backend has set
// back to ask again.
func TestACookieCompletesFreshActionsOnly(t *testing.T) {
	t.Parallel()
	p := managedPeer(t)
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	v := p.visitor()
	v.remembers("u1", secret)
	for _, state := range []string{"BLOCK", "REVIEW_REQUIRED", "CHALLENGE_FAILED", "ALLOW", "CHALLENGE_REQUIRED"} {
		tok := p.token("u1", "signIn", `{"idempotencyKey":"`+state+`"}`)
		p.advance(time.Second)
		p.ok(p.api("PATCH", "/v1/users/u1/actions/signIn/"+state, `{"state":"REVIEW_REQUIRED"}`))
		p.ok(p.api("PATCH", "/v1/users/u1/actions/signIn/"+state, `{"state":"`+state+`"}`))
		if v.uses("u1", "signIn", tok) {
			t.Errorf("%s: completed", state)
		}
	}
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	if !v.uses("u1", "signIn", tok) {
		t.Error("asked")
	}
	p.advance(time.Second)
	p.ok(p.api("PATCH", "/v1/users/u1/actions/signIn/k", `{"state":"CHALLENGE_REQUIRED"}`))
	if v.uses("u1", "signIn", tok) {
		t.Error("completed an action that the backend has set back")
	}
}

// The tenant's webhook is asked for its consent, as for a code. The token changes
// whatever it answers.
func TestTheWebhookConsentsToACookie(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t, func(c *Config) { c.ManagementKey = managementKey })
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	v := p.visitor()
	v.remembers("u1", secret)
	h.answers(func() int { return 400 })
	tok := p.token("u1", "signIn", "")
	before := v.header()
	r := v.post("verify/trusted-browser", tok)
	if p.fails(r, 400, "invalid_request"); !strings.Contains(r.text, "Verify a code.") || v.header() == before {
		t.Errorf("got %s", r.text)
	}
	if v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object; v["isValid"] != false {
		t.Errorf("validate: got %v", v)
	}
	h.answers(func() int { return 200 })
	if !v.signsIn("u1", "signIn", "") {
		t.Error("asked")
	}
	asked := h.of(authsignal.EventActionVerify)
	if last := asked[len(asked)-1].Data.(authsignal.ActionVerify); last.VerificationMethod != authsignal.ByTrustedBrowser || last.UserAuthenticatorID != "" {
		t.Errorf("asked about %+v", last)
	}
	// The trust ends while the webhook is asked.
	h.answers(func() int {
		err := p.store.Update(t.Context(), "t1", func(tx *store.Tx) error {
			return mfa.RevokeBrowser(tx, "u1", "", mfa.ByBackend, p.clock())
		})
		if err != nil {
			t.Error(err)
		}
		return 200
	})
	tok = p.token("u1", "signIn", "")
	p.fails(v.post("verify/trusted-browser", tok), 400, "invalid_request")
	if v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object; v["isValid"] != false {
		t.Errorf("validate: got %v", v)
	}
}

// A browser completes an action while the webhook is asked about a code: the code's
// rights stay.
func TestACodeOverridesACookie(t *testing.T) {
	t.Parallel()
	p, h, _ := hooked(t, func(c *Config) { c.ManagementKey = managementKey })
	p.trusting("signIn", 30)
	secret := p.enrolled("u1")
	v := p.visitor()
	v.remembers("u1", secret)
	p.advance(time.Minute)
	tok := p.token("u1", "signIn", `{"idempotencyKey":"k"}`)
	nested := false
	h.answers(func() int {
		if !nested {
			nested = true
			if !v.uses("u1", "signIn", tok) {
				t.Error("asked")
			}
		}
		return 200
	})
	tok = p.accepted(p.verify(tok, p.code(secret, 0))).object["accessToken"].(string)
	if v := p.ok(p.api("POST", "/v1/validate", `{"token":"`+tok+`"}`)).object; v["verificationMethod"] != "AUTHENTICATOR_APP" {
		t.Errorf("validate: got %v", v)
	}
	p.ok(p.recovery("POST", "/recovery-codes", tok, ""))
}
