package portal

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPagesRequireSigningIn(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.browser()
	for _, path := range append(tenantPages(), "", "/", "/account", "/switch?tenant=t1") {
		r := b.wants(b.get(path), http.StatusSeeOther)
		if to := r.Header.Get("Location"); !strings.HasPrefix(to, Path+"/sign-in") {
			t.Errorf("%s: leads to %s", path, to)
		}
	}
	for pattern := range (&portal{}).routes() {
		path, ok := strings.CutPrefix(pattern, "POST /t/{tenant}")
		if !ok {
			continue
		}
		r := b.wants(b.post("/t/t1"+strings.ReplaceAll(path, "{action}", "pay"), "do", "activate", "issuer", "Mine"), http.StatusSeeOther)
		if to := r.Header.Get("Location"); to != Path+"/sign-in" {
			t.Errorf("%s: leads to %s", path, to)
		}
	}
	if tenant, _, _ := d.store.Tenant(t.Context(), "t1"); tenant.Authenticator.Issuer != "Acme" {
		t.Error("the tenant was changed without signing in")
	}
	b.wants(b.get("/static/no.css"), http.StatusNotFound)
}

// Each sign-in begins a session with a new id, whatever id the browser sends. A
// session ends when it is unused or old, by signing out, and when the password
// is changed in another session.
func TestSessions(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.browser()
	at, _ := url.Parse(d.url + Path)
	planted := &http.Cookie{Name: sessionCookie, Value: "planted-by-an-attacker", Path: Path}
	b.client.Jar.SetCookies(at, []*http.Cookie{planted})
	b.wants(b.get("/account"), http.StatusSeeOther)
	r := b.wants(b.post("/sign-in", "password", " "+d.password+"\n"), http.StatusSeeOther)
	session := func(r answer) string {
		for _, c := range r.Cookies() {
			if c.Name == sessionCookie {
				return c.Value
			}
		}
		return ""
	}
	first := session(r)
	if len(first) < 26 || first == planted.Value {
		t.Errorf("got the session %q", first)
	}
	b.wants(b.get("/account"), http.StatusOK)
	fixed := d.browser()
	fixed.client.Jar.SetCookies(at, []*http.Cookie{planted})
	fixed.wants(fixed.get("/account"), http.StatusSeeOther)

	// Signing in again ends the previous session.
	second := session(b.post("/sign-in", "password", d.password))
	fixed.client.Jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: first, Path: Path}})
	fixed.wants(fixed.get("/account"), http.StatusSeeOther)
	if second == "" || second == first {
		t.Errorf("got the session %q again", second)
	}

	// Signing out ends it on the server too.
	b.wants(b.post("/sign-out"), http.StatusSeeOther)
	fixed.client.Jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: second, Path: Path}})
	fixed.wants(fixed.get("/account"), http.StatusSeeOther)

	b = d.operator()
	d.advance(idle - time.Minute)
	b.wants(b.get("/account"), http.StatusOK)
	d.advance(idle - time.Minute)
	b.wants(b.get("/account"), http.StatusOK)
	d.advance(idle)
	b.wants(b.get("/account"), http.StatusSeeOther)

	b = d.operator()
	for range 2 * absolute / idle {
		d.advance(idle / 2)
		b.get("/account")
	}
	b.wants(b.get("/account"), http.StatusSeeOther)

	one, two := d.operator(), d.operator()
	const chosen = "correct horse battery"
	one.wants(one.post("/account", "current", d.password, "new", "short", "again", "short"), http.StatusBadRequest)
	one.wants(one.post("/account", "current", d.password, "new", chosen, "again", "another password"), http.StatusBadRequest)
	one.wants(one.post("/account", "current", "wrong", "new", chosen, "again", chosen), http.StatusForbidden)
	two.wants(two.get("/account"), http.StatusOK)
	one.wants(one.post("/account", "current", d.password, "new", chosen, "again", chosen), http.StatusSeeOther)
	one.wants(one.get("/account"), http.StatusOK)
	two.wants(two.get("/account"), http.StatusSeeOther)
	two.wants(two.post("/sign-in", "password", d.password), http.StatusForbidden)
	two.wants(two.post("/sign-in", "password", chosen), http.StatusSeeOther)

	// The log has neither a session nor the password.
	for _, secret := range []string{first, second, chosen, d.password} {
		if strings.Contains(d.log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}

func TestCookiesAreSecureOutsideLoopback(t *testing.T) {
	t.Parallel()
	d := newFixture(t, func(c *Config) { c.PublicURL = "https://mfa.example.com" })
	r := d.browser().post("/sign-in", "password", d.password)
	if len(r.Cookies()) != 2 {
		t.Fatalf("got %v", r.Cookies())
	}
	for _, c := range r.Cookies() {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" {
			t.Errorf("got %v", c)
		}
	}
	d = newFixture(t)
	for _, c := range d.browser().post("/sign-in", "password", d.password).Cookies() {
		if c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != Path {
			t.Errorf("on loopback: got %v", c)
		}
	}
}

// Signing in redirects to pages of the portal only.
func TestSigningInRedirectsToThePortal(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.browser()
	for next, want := range map[string]string{
		"/portal/t/t1/users?q=a": "/portal/t/t1/users?q=a", "https://evil.example": Path, "//evil.example": Path, "/portal//evil.example": Path,
		`/portal/\evil.example`: Path, "/portal/../v1": Path, "javascript:alert(1)": Path, "/v1/users": Path, "": Path, "/portal/\x00": Path,
	} {
		r := b.wants(b.post("/sign-in", "password", d.password, "next", next), http.StatusSeeOther)
		if got := r.Header.Get("Location"); got != want {
			t.Errorf("%q: leads to %q, want %q", next, got, want)
		}
	}
}
