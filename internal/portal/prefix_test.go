package portal

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// links are the attributes of a page that lead somewhere.
var links = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)

// Below a path of the public URL, which a proxy removes from requests, every link,
// redirect and cookie has that path.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	d := newFixture(t, func(c *Config) { c.PublicURL = "http://127.0.0.1:4000/apps/mfa" })
	proxied := httptest.NewServer(http.StripPrefix("/apps/mfa", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = strings.TrimPrefix(r.RequestURI, "/apps/mfa")
		d.handler.ServeHTTP(w, r)
	})))
	t.Cleanup(proxied.Close)
	d.url = proxied.URL + "/apps/mfa"

	b := d.browser()
	r := b.wants(b.get("/t/t1/keys?done=saved"), http.StatusSeeOther)
	to := r.Header.Get("Location")
	if !strings.HasPrefix(to, "/apps/mfa/portal/sign-in?next=%2Fportal%2Ft%2Ft1%2Fkeys") {
		t.Errorf("redirected to %s", to)
	}
	r = b.wants(b.post("/sign-in", "password", d.password, "next", "/portal/t/t1/keys?done=saved"), http.StatusSeeOther)
	if to := r.Header.Get("Location"); to != "/apps/mfa/portal/t/t1/keys?done=saved" {
		t.Errorf("after the sign-in redirected to %s", to)
	}
	for _, c := range r.Cookies() {
		if c.Path != "/apps/mfa/portal" {
			t.Errorf("the cookie %s has the path %s", c.Name, c.Path)
		}
	}
	for _, path := range append(tenantPages(), "/account", "/none", "/t/none", "/t/t1/users/none") {
		r := b.get(path)
		for _, m := range links.FindAllStringSubmatch(r.text, -1) {
			if to := m[1]; !strings.HasPrefix(to, "/apps/mfa/portal") && !strings.HasPrefix(to, "#") && !strings.HasPrefix(to, "data:") {
				t.Errorf("%s has a link to %q", path, to)
			}
		}
		if strings.Contains(r.text, "ZgotmplZ") || !strings.Contains(r.text, `"/apps/mfa/portal/static/`) {
			t.Errorf("%s:\n%s", path, r.text)
		}
	}
	r = d.browser().get("/sign-in")
	file := regexp.MustCompile(`href="(/[^"]*\.css)"`).FindStringSubmatch(r.text)
	if file == nil {
		t.Fatalf("no style sheet:\n%s", r.text)
	}
	if res, err := http.Get(proxied.URL + file[1]); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%s: got %v, %v", file[1], res, err)
	}
}

// A cookie of the prefix __Host- is sent to all paths of its host.
func TestSecureCookies(t *testing.T) {
	t.Parallel()
	for publicURL, want := range map[string]struct{ name, path string }{
		"https://mfa.example.com":       {"__Host-authsignal-portal", "/"},
		"https://www.example.com/mfa":   {"__Secure-authsignal-portal", "/mfa/portal"},
		"http://localhost:4000":         {"authsignal-portal", "/portal"},
		"https://localhost:4000/mfa":    {"authsignal-portal", "/mfa/portal"},
		"https://www.example.com/a/mfa": {"__Secure-authsignal-portal", "/a/mfa/portal"},
	} {
		d := newFixture(t, func(c *Config) { c.PublicURL = publicURL })
		c := d.portal.cookie(sessionCookie, "x", absolute)
		if c.Name != want.name || c.Path != want.path || c.Secure != strings.HasPrefix(c.Name, "__") || c.Domain != "" || !c.HttpOnly {
			t.Errorf("%s: got %v", publicURL, c)
		}
	}
}
