package prebuilt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A site serves the pages from a real store with the tenant t1.
type site struct {
	t       *testing.T
	handler http.Handler
	store   *store.Store
	tokens  *token.Issuer
	now     time.Time
	log     bytes.Buffer
}

func newSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	st := storetest.Open(t, storetest.Database(t), store.Open)
	s := &site{t: t, store: st, now: time.Unix(1_700_000_000, 0)}
	s.tokens = &token.Issuer{
		Keys:    func() []token.Key { return []token.Key{{ID: "1", Secret: bytes.Repeat([]byte{7}, 32)}} },
		BaseURL: "https://mfa.test", TTL: 10 * time.Minute, Now: func() time.Time { return s.now },
	}
	c := Config{
		Store: st, Tokens: s.tokens, Now: func() time.Time { return s.now }, Origins: []string{"https://server.test"},
		SDK: fstest.MapFS{"authsignal.wasm": {Data: []byte("\x00asm")}, "index.js": {Data: []byte("export {}")}},
		Log: slog.New(slog.NewJSONHandler(&s.log, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	handlers, files, err := Pages(c)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(handlers, files)
	mux := http.NewServeMux()
	for pattern, h := range handlers {
		mux.Handle(pattern, h)
	}
	s.handler = mux
	s.update(func(tx *store.Tx) error {
		settings := api.DefaultAuthenticatorSettings("Acme")
		settings.Active = true
		if _, err := tx.PutTenant(settings, s.now); err != nil {
			return err
		}
		_, err := tx.SetOrigins([]string{"https://app.test", "https://other.test:8443"})
		return err
	})
	return s
}

func (s *site) update(f func(*store.Tx) error) {
	s.t.Helper()
	if err := s.store.Update(s.t.Context(), "t1", f); err != nil {
		s.t.Fatal(err)
	}
}

// settings changes the settings of the tenant's authenticator app.
func (s *site) settings(change func(*api.AuthenticatorSettings)) {
	s.t.Helper()
	settings := api.DefaultAuthenticatorSettings("Acme")
	settings.Active = true
	change(&settings)
	s.update(func(tx *store.Tx) error { _, err := tx.PutTenant(settings, s.now); return err })
}

// track creates an action of a user and returns its token.
func (s *site) track(a store.Action, scopes ...string) string {
	s.t.Helper()
	if a.UserID == "" {
		a.UserID = "u1"
	}
	if a.State == "" {
		a.State = api.StateAllow
	}
	a.Action, a.Outcome, a.CreatedAt, a.StateUpdatedAt = "signIn", api.OutcomeChallenge, s.now, s.now
	a.IdempotencyKey = fmt.Sprint("key-", time.Now().UnixNano())
	c := token.Claims{TenantID: "t1", UserID: a.UserID, Action: a.Action, IdempotencyKey: a.IdempotencyKey, Scopes: scopes}
	s.update(func(tx *store.Tx) error {
		u, err := tx.EnsureUser(a.UserID, s.now)
		c.Incarnation, a.Incarnation = u.Incarnation, u.Incarnation
		if err != nil {
			return err
		}
		return tx.InsertAction(a)
	})
	t, err := s.tokens.Issue(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// enroll creates a verified authenticator of u1.
func (s *site) enroll(method api.VerificationMethod) {
	s.t.Helper()
	s.update(func(tx *store.Tx) error {
		if _, err := tx.EnsureUser("u1", s.now); err != nil {
			return err
		}
		a := store.Authenticator{ID: "a-" + string(method), UserID: "u1", Method: method, CreatedAt: s.now, VerifiedAt: s.now}
		secret := ""
		if method == api.AuthenticatorApp {
			a.Parameters, secret = totp.DefaultParameters, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
		}
		return tx.InsertVerified(a, secret)
	})
}

type answer struct {
	status int
	header http.Header
	body   string
}

// get requests the page with a query.
func (s *site) get(query string, header ...string) answer {
	s.t.Helper()
	r := httptest.NewRequest("GET", "/?"+query, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// data returns a data attribute of the page's root.
func (a answer) data(name string) string {
	m := regexp.MustCompile(`data-` + name + `="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		return "(none)"
	}
	return html.UnescapeString(m[1])
}

// directive returns the value of a directive of the page's policy.
func (a answer) directive(name string) string {
	for d := range strings.SplitSeq(a.header.Get("Content-Security-Policy"), "; ") {
		if key, value, _ := strings.Cut(d, " "); key == name {
			return value
		}
	}
	return "(none)"
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tok := s.track(store.Action{})
	for _, query := range []string{"", "token=" + tok} {
		a := s.get(query)
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"X-Content-Type-Options": "nosniff", "Set-Cookie": "", "Cross-Origin-Opener-Policy": "",
			"Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if strings.Contains(a.body, tok) {
			t.Error("the page has the token")
		}
		body := regexp.MustCompile(`data-origins="[^"]*"`).ReplaceAllString(a.body, "")
		if m := regexp.MustCompile(`(?i)<style|style=|<script>|\son[a-z]+=|https?://[^"<]*|src="//`).FindAllString(body, -1); m != nil {
			t.Errorf("inline code or style, or another host: %q", m)
		}
		// The script that removes the token from the address is loaded first.
		first := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindStringSubmatch(a.body)
		if first == nil || !strings.HasSuffix(first[1], "/token.js") {
			t.Errorf("loaded first: %q", first)
		}
	}
}

const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}{app}</title>&#x3c;`

// Stored texts are escaped in the page, or left out.
func TestStoredTextsAreEscaped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.settings(func(a *api.AuthenticatorSettings) { a.Issuer = hostile })
	user := "u" + hostile
	tok := s.track(store.Action{ActionID: store.ActionID{UserID: user}, UserAgent: hostile, DeviceID: hostile, Custom: map[string]any{hostile: hostile}, RedirectURL: "https://app.test/?q=" + hostile})
	s.update(func(tx *store.Tx) error {
		u, _, err := tx.User(user)
		if err != nil {
			return err
		}
		u.Email, u.Username, u.DisplayName, u.Locale = hostile, hostile, hostile, hostile
		return tx.PutUser(u)
	})
	for name, b := range map[string]api.Branding{
		"issuer": {},
		"name":   {Name: hostile},
		// Values that the API refuses, in case they are in the database.
		"color": {Color: "#12345;}" + hostile},
		"logo":  {Logo: "javascript:alert(1)" + hostile},
		"both":  {Color: "red;}*{}", Logo: `data:text/html;base64,"><script>alert(1)</script>`},
	} {
		s.update(func(tx *store.Tx) error { _, err := tx.SetBranding(b); return err })
		for _, query := range []string{"token=" + tok, "mode=popup&token=" + tok, "token=" + url.QueryEscape(hostile), "mode=" + url.QueryEscape(hostile)} {
			a := s.get(query, "Accept-Language", hostile)
			if a.status == 500 || regexp.MustCompile(`(?i)<script>|<img src=x|onerror=alert\(1\)>|javascript:|</script>\S|data:text`).MatchString(a.body) {
				t.Errorf("%s: a stored text is code in the page", name)
			}
			if got := strings.Count(a.body, "<script"); got != 3 {
				t.Errorf("%s: %d scripts, want 3", name, got)
			}
			if strings.Contains(a.header.Get("Content-Security-Policy"), "alert") {
				t.Errorf("%s: the policy has %q", name, a.header.Get("Content-Security-Policy"))
			}
			var texts map[string]string
			m := regexp.MustCompile(`(?s)id="texts">(.*?)</script>`).FindStringSubmatch(a.body)
			if m == nil || json.Unmarshal([]byte(m[1]), &texts) != nil || texts["error.wrong"] == "" {
				t.Errorf("%s: the texts cannot be read", name)
			}
		}
	}
}

func TestBranding(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tok := "token=" + s.track(store.Action{})
	if a := s.get(tok); !strings.Contains(a.body, "<span>Acme</span>") || strings.Contains(a.body, "accent-") {
		t.Error("without branding the page shows the issuer")
	}
	logo := "data:image/png;base64,iVBORw0KGgo="
	s.update(func(tx *store.Tx) error {
		_, err := tx.SetBranding(api.Branding{Name: "Acme & Sons", Color: "#1A6B54", Logo: logo})
		return err
	})
	a := s.get(tok)
	for _, want := range []string{`<title>Set up your authenticator app – Acme &amp; Sons</title>`, `src="data:image/png;base64,iVBORw0KGgo="`, `alt="Acme &amp; Sons"`, `href="assets/accent-1a6b54.css"`} {
		if !strings.Contains(html.UnescapeString(a.body), html.UnescapeString(want)) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestFilesOfThePage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.update(func(tx *store.Tx) error { _, err := tx.SetBranding(api.Branding{Color: "#ffffff"}); return err })
	a := s.get("token=" + s.track(store.Action{}))
	names := regexp.MustCompile(`(?:href|src|data-module)="(assets/[^"]+)"`).FindAllStringSubmatch(a.body, -1)
	if len(names) < 7 {
		t.Fatalf("the page names %d files", len(names))
	}
	for _, n := range names {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, httptest.NewRequest("GET", "/"+n[1], nil))
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Cache-Control"), "public, max-age=") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: status %d, Cache-Control %q", n[1], w.Code, w.Header().Get("Cache-Control"))
		}
	}
	for _, path := range []string{"/assets/", "/assets/accent-xyzxyz.css", "/assets/accent-123456.css/x", "/assets/index.html"} {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 404 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestWithoutTheSDK(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) { c.SDK = nil })
	a := s.get("token=" + s.track(store.Action{}))
	if a.status != 500 || a.data("reason") != "internal" || strings.Contains(a.body, "app.js") || !strings.Contains(s.log.String(), "make wasm js") {
		t.Errorf("status %d, reason %s, log %s", a.status, a.data("reason"), s.log.String())
	}
}

func TestStoreFailure(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tok := s.track(store.Action{})
	closed := storetest.Open(t, storetest.Database(t), store.Open)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	broken := newSite(t, func(c *Config) { c.Store, c.Tokens = closed, s.tokens })
	a := broken.get("token=" + tok)
	if a.status != 500 || a.data("reason") != "internal" || a.data("code") != "internal_error" {
		t.Errorf("status %d, reason %s", a.status, a.data("reason"))
	}
	if !strings.Contains(broken.log.String(), "closed") || strings.Contains(broken.log.String(), tok) {
		t.Errorf("the log: %s", broken.log.String())
	}
}
