package attacks

import (
	"net/http"
	"strings"
	"testing"
)

// jar is the cookies of a browser, as it sends them.
type jar struct {
	s       *service
	cookies map[string]string
}

func (s *service) jar() *jar { return &jar{s, map[string]string{}} }

func (j *jar) header() string {
	var pairs []string
	for name, value := range j.cookies {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

// keep stores the cookies of a response.
func (j *jar) keep(r response) response {
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.MaxAge < 0 {
			delete(j.cookies, c.Name)
		} else {
			j.cookies[c.Name] = c.Value
		}
	}
	return r
}

// tries sends the cookies, as the page at the url does. It reports whether they complete
// the action.
func (j *jar) tries(p page) bool {
	j.s.t.Helper()
	r := j.keep(j.s.do("POST", "/v1/client/verify/trusted-browser", "Bearer "+p.token, "", "Sec-Fetch-Site", "same-origin", "Cookie", j.header()))
	return r.ok().object["isVerified"] == true
}

// enters is tries for a page that the cookies let in. It returns the page with the token
// that it gets.
func (j *jar) enters(p page) page {
	j.s.t.Helper()
	r := j.keep(j.s.do("POST", "/v1/client/verify/trusted-browser", "Bearer "+p.token, "", "Sec-Fetch-Site", "same-origin", "Cookie", j.header()))
	return r.verified(j.s)
}

// ticks asks to remember the browser, as the page does after a code.
func (j *jar) ticks(p page) response {
	j.s.t.Helper()
	return j.keep(j.s.do("POST", "/v1/client/trusted-browsers", "Bearer "+p.token, "", "Sec-Fetch-Site", "same-origin", "Cookie", j.header()))
}

// remembered signs the user in with a code, in a browser that is remembered.
func (u *user) remembered() *jar {
	u.s.t.Helper()
	j := u.s.jar()
	j.ticks(u.track("signIn", "").verify(u.code()).verified(u.s)).ok()
	if len(j.cookies) != 1 {
		u.s.t.Fatalf("got the cookies %v", j.cookies)
	}
	return j
}

// urlPage is the page at the url of a tracked action.
func (t tracked) urlPage() page {
	_, token, _ := strings.Cut(t.url, "token=")
	return t.s.page(token)
}

// A browser is remembered after a code and not before, for the user of the code, and
// for the pages of the server alone. Opening a url changes nothing.
func TestOnlyARememberedBrowserIsLetIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	victim, other := s.enrolledUser(), s.enrolledUser()
	codes := victim.recoveryCodes()
	j := victim.remembered()

	// The first factor, with and without the widest scope, and the url.
	for _, attributes := range []string{"", with(allScopes)} {
		first := victim.track("signIn", attributes)
		for _, p := range []page{first.page, first.urlPage()} {
			stranger := s.jar()
			if stranger.tries(p) {
				t.Error("a browser without a cookie is let in")
			}
			stranger.ticks(p).refused(http.StatusForbidden, "unauthorized")
		}
		first.is("CHALLENGE_REQUIRED")
	}
	// The url of an action, once the user has entered a code, and after a recovery code.
	finished := victim.track("signIn", with(allScopes))
	finished.verify(victim.code()).verified(s)
	s.jar().ticks(finished.urlPage()).refused(http.StatusForbidden, "unauthorized")
	s.jar().ticks(other.track("signIn", "").recovers(other.recoveryCodes()[0]).verified(s)).refused(http.StatusForbidden, "unauthorized")

	// The cookie of another user, under either name, and of a user of another tenant
	// with the same id.
	if j.tries(other.track("signIn", "").page) {
		t.Error("a cookie lets another user in")
	}
	theirs := other.remembered()
	forged := s.jar()
	for name := range theirs.cookies {
		for _, value := range j.cookies {
			forged.cookies[name] = value
		}
	}
	if forged.tries(other.track("signIn", "").page) {
		t.Error("a cookie under the name of another user's lets that one in")
	}
	s.operator("PUT", "/tenants/t2", `{"authenticator":{"active":true}}`).ok()
	s.operator("PUT", "/tenants/t2/actions/signIn", `{"defaultOutcome":"CHALLENGE","trustBrowserDays":30,"rules":[]}`).ok()
	key := s.operator("POST", "/tenants/t2/secrets", "").ok().object["apiSecretKey"].(string)
	uri := "otpauth://totp/x?secret=" + newSecret()
	s.do("POST", "/v1/users/"+victim.id+"/authenticators", basic(key), marshal(map[string]string{"verificationMethod": "AUTHENTICATOR_APP", "otpUri": uri})).ok()
	twin := s.page(s.do("POST", "/v1/users/"+victim.id+"/actions/signIn", basic(key), "").ok().object["token"].(string))
	if j.tries(twin) {
		t.Error("a cookie lets a user of another tenant in")
	}

	// Requests of other pages, even of origins that may call the API.
	tr := victim.track("signIn", "")
	for _, from := range [][2]string{{"cross-site", "http://localhost:3000"}, {"same-site", "http://localhost:3000"}, {"", "http://localhost:3000"}, {"", ""}, {"none", ""}} {
		s.do("POST", "/v1/client/verify/trusted-browser", "Bearer "+tr.token, "", "Sec-Fetch-Site", from[0], "Origin", from[1], "Cookie", j.header()).refused(http.StatusForbidden, "unauthorized")
	}
	preflight := s.do("OPTIONS", "/v1/client/verify/trusted-browser", "", "", "Origin", "http://localhost:3000", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
	if preflight.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("pages of other origins may send cookies")
	}
	// A mail scanner, or a browser in advance, opens the url.
	for range 3 {
		if r := s.do("GET", strings.TrimPrefix(tr.url, s.url), "", "", "Cookie", j.header()); len(r.header.Values("Set-Cookie")) != 0 {
			t.Errorf("opening a url sets %v", r.header.Values("Set-Cookie"))
		}
	}
	tr.is("CHALLENGE_REQUIRED")
	if !j.tries(tr.page) {
		t.Error("the user's own browser is not let in")
	}
	// A recovery code ends it.
	victim.track("signIn", "").recovers(codes[0]).verified(s)
	if j.tries(victim.track("signIn", "").page) {
		t.Error("a browser is let in after a recovery code")
	}
	if strings.Contains(s.log.String(), "tb1_") {
		t.Error("the log holds the token of a browser")
	}
}

// What a remembered browser has completed validates, and gives no right to change
// factors or to remember a browser.
func TestARememberedBrowserChangesNoFactor(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	victim := s.enrolledUser()
	j := victim.remembered()
	tr := victim.track("signIn", with(allScopes))
	in := j.enters(tr.page)
	if got := in.validate().ok().object; got["isValid"] != true || got["state"] != "CHALLENGE_SUCCEEDED" || got["verificationMethod"] != "TRUSTED_BROWSER" {
		t.Errorf("validate: got %v", got)
	}
	for _, p := range []page{in, tr.page, tr.urlPage()} {
		p.enroll().refused(http.StatusForbidden, "unauthorized")
		p.remove(victim.authenticator).refused(http.StatusForbidden, "unauthorized")
		p.call("PATCH", "user-authenticators/"+victim.authenticator, `{"name":"x"}`).refused(http.StatusForbidden, "unauthorized")
		p.call("POST", "recovery-codes", "").refused(http.StatusForbidden, "unauthorized")
		p.call("GET", "trusted-browsers", "").refused(http.StatusForbidden, "unauthorized")
		p.call("DELETE", "trusted-browsers", "").refused(http.StatusForbidden, "unauthorized")
		s.jar().ticks(p).refused(http.StatusForbidden, "unauthorized")
		if p.trust() != "" {
			t.Error("trust made another browser trusted")
		}
	}
	victim.has(victim.authenticator)
	// Its code gives the rights.
	tr.verify(victim.code()).verified(s).call("POST", "recovery-codes", "").ok()
}

// An attacker with the first factor signs in, and makes the user's remembered browser
// open the url, by a link or a page of another site. That takes nothing of the user, and
// it lets only that browser in.
func TestARememberedBrowserLetsOnlyItselfIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	victim := s.enrolledUser()
	j := victim.remembered()
	for range 2 {
		attacker := victim.track("signIn", with(allScopes))
		in := j.enters(attacker.urlPage())
		if in.validate().object["isValid"] != true {
			t.Error("the user's own browser is not let in")
		}
		// All that the attacker has, or gets by tracking the action again.
		again := victim.track("signIn", marshal(map[string]string{"idempotencyKey": attacker.key, "scope": allScopes}))
		if again.state != "CHALLENGE_REQUIRED" {
			t.Errorf("tracked again: got %s", again.state)
		}
		if got := s.backend("GET", "/users/"+victim.id+"/actions/signIn/"+attacker.key, "").ok().object; got["state"] != "CHALLENGE_REQUIRED" || got["verificationMethod"] != nil {
			t.Errorf("the action: got %v", got)
		}
		narrow := s.page(attacker.exchange("read:authenticators").ok().object["accessToken"].(string))
		for _, p := range []page{attacker.page, attacker.urlPage(), narrow, again.page, again.urlPage()} {
			got := p.validate().object
			if got["isValid"] != false || got["state"] != "CHALLENGE_REQUIRED" || got["verificationMethod"] != nil {
				t.Errorf("validate: got %v", got)
			}
			if s.jar().tries(p) {
				t.Error("a browser without a cookie is let in by what another one has completed")
			}
			if p.trust() != "" {
				t.Error("a browser is trusted by what another one has completed")
			}
		}
	}
}

// The cookie counts once: the second of a copy and its original ends both.
func TestACopiedCookieEndsTheTrust(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.trusting("signIn")
	victim := s.enrolledUser()
	j := victim.remembered()
	const n = 8
	header, pages := j.header(), make([]page, n)
	for i := range pages {
		pages[i] = victim.track("signIn", "").page
	}
	answers, errs := make([]response, n), make([]error, n)
	atOnce(n, func(i int) {
		answers[i], errs[i] = s.send("POST", "/v1/client/verify/trusted-browser", "Bearer "+pages[i].token, "", "Sec-Fetch-Site", "same-origin", "Cookie", header)
	})
	in := 0
	for i, r := range answers {
		if errs[i] != nil || r.status != http.StatusOK {
			t.Fatalf("got %v, %d %s", errs[i], r.status, r.text)
		}
		if r.object["isVerified"] == true {
			in++
			j.keep(r)
		}
	}
	if in != 1 {
		t.Errorf("a cookie let %d of %d in, want one", in, n)
	}
	if j.tries(victim.track("signIn", "").page) {
		t.Error("let in after a copy was used")
	}
	if got := s.backend("GET", "/users/"+victim.id+"/trusted-browsers", "").ok().text; strings.TrimSpace(got) != "[]" {
		t.Errorf("still trusted: %s", got)
	}
}
