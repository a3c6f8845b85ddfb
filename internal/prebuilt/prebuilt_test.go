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

// A site is the pages on a real store, with tenant t1 and user u1.
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
	st, err := store.Open(t.Context(), storetest.Database(t),
		func(bool) ([][]byte, error) { return [][]byte{bytes.Repeat([]byte{1}, store.KeySize)}, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, store: st, now: time.Unix(1_700_000_000, 0)}
	s.tokens = &token.Issuer{
		Keys:    func() []token.Key { return []token.Key{{ID: "1", Secret: bytes.Repeat([]byte{7}, 32)}} },
		BaseURL: "https://mfa.test", TTL: 10 * time.Minute, Now: func() time.Time { return s.now },
	}
	c := Config{
		Store: st, Tokens: s.tokens, Origins: []string{"https://server.test"},
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

// track makes an action of a user and gives its token.
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

// enroll gives u1 a verified factor.
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

// get asks for the page with a query.
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

// data is an attribute of the page's root.
func (a answer) data(name string) string {
	m := regexp.MustCompile(`data-` + name + `="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		return "(none)"
	}
	return html.UnescapeString(m[1])
}

// directive is one of the page's policy.
func (a answer) directive(name string) string {
	for d := range strings.SplitSeq(a.header.Get("Content-Security-Policy"), "; ") {
		if key, value, _ := strings.Cut(d, " "); key == name {
			return value
		}
	}
	return "(none)"
}

func TestWhatIsShown(t *testing.T) {
	t.Parallel()
	app, sms := []api.VerificationMethod{api.AuthenticatorApp}, []api.VerificationMethod{api.SMS}
	required, allow := api.StateChallengeRequired, api.StateAllow
	inactive := func(a *api.AuthenticatorSettings) { a.Active = false }
	single := func(a *api.AuthenticatorSettings) { a.AllowMultiple = false }
	full := func(a *api.AuthenticatorSettings) { a.MaxAuthenticators = 2 }
	most := func(a *api.AuthenticatorSettings) { a.MaxAuthenticators = 1 }
	both := []api.VerificationMethod{api.AuthenticatorApp, api.SMS}
	for _, tt := range []struct {
		name     string
		state    api.State
		factors  []api.VerificationMethod
		scopes   []string
		query    string
		settings func(*api.AuthenticatorSettings)
		want     string // start>then, or a failure
	}{
		{"a newcomer", allow, nil, nil, "", nil, "enroll>finish"},
		{"one who is enrolled", required, app, nil, "", nil, "challenge>finish"},
		{"one who is enrolled and allowed", allow, app, nil, "", nil, "challenge>finish"},
		{"forced", required, app, nil, "&force_enrollment=true", nil, "challenge>enroll"},
		{"forced, with the scope", required, app, []string{api.ScopeAdd}, "&force_enrollment=true", nil, "challenge>enroll"},
		{"forced and allowed", allow, app, nil, "&force_enrollment=true", nil, "challenge>enroll"},
		{"forced and allowed, with the scope", allow, app, []string{api.ScopeAdd}, "&force_enrollment=true", nil, "enroll>finish"},
		{"forced, with as many as are allowed", required, both, nil, "&force_enrollment=true", full, "full"},
		{"forced, with one that is as many as are allowed", required, app, nil, "&force_enrollment=true", most, "single"},
		{"forced, for a newcomer", allow, nil, nil, "&force_enrollment=true", nil, "enroll>finish"},
		{"forced, where one is allowed", required, app, nil, "&force_enrollment=true", single, "single"},
		{"other factors only", required, sms, nil, "", nil, "unavailable"},
		{"other factors only, with the scope", required, sms, []string{api.ScopeAdd}, "", nil, "enroll>finish"},
		{"other factors only, where one is allowed", required, sms, []string{api.ScopeAdd}, "", single, "unavailable"},
		{"nothing active", allow, nil, nil, "", inactive, "unavailable"},
		{"nothing active, but enrolled", required, app, nil, "", inactive, "challenge>finish"},
		{"settings of a newcomer", allow, nil, nil, "&redirect_to_settings=true", nil, "settings>settings"},
		{"settings to be protected", required, app, []string{api.ScopeRemove}, "&redirect_to_settings=true", nil, "challenge>settings"},
		{"settings that are open", allow, app, nil, "&redirect_to_settings=true", nil, "settings>settings"},
		{"settings after a challenge", api.StateChallengeSucceeded, app, nil, "&redirect_to_settings=true", nil, "settings>settings"},
		{"done", api.StateChallengeSucceeded, app, nil, "", nil, "done>"},
		{"reviewed", api.StateReviewSucceeded, app, nil, "", nil, "done>"},
		{"blocked", api.StateBlock, app, nil, "&redirect_to_settings=true", nil, "blocked"},
		{"under review", api.StateReviewRequired, app, nil, "", nil, "review"},
		{"failed", api.StateChallengeFailed, app, nil, "", nil, "refused"},
		{"refused", api.StateReviewFailed, app, nil, "", nil, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if tt.settings != nil {
				s.settings(tt.settings)
			}
			for _, m := range tt.factors {
				s.enroll(m)
			}
			a := s.get("token=" + s.track(store.Action{State: tt.state}, tt.scopes...) + tt.query)
			got := a.data("start") + ">" + a.data("then")
			if a.data("start") == "failure" {
				got = a.data("reason")
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if tt.want == "unavailable" || tt.want == "single" || tt.want == "full" {
				if a.status != 400 || a.data("code") != "invalid_configuration" {
					t.Errorf("status %d, code %s", a.status, a.data("code"))
				}
			} else if a.status != 200 || a.data("code") != "" {
				t.Errorf("status %d, code %s", a.status, a.data("code"))
			}
		})
	}
}

// The settings offer nothing that the client API would refuse.
func TestWhatTheSettingsOffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state          api.State
		method         api.VerificationMethod
		remove, verify string
	}{
		{api.StateAllow, api.AuthenticatorApp, "true", "true"},
		{api.StateChallengeSucceeded, api.AuthenticatorApp, "true", "true"},
		{api.StateReviewSucceeded, api.AuthenticatorApp, "true", "false"},
		{api.StateChallengeRequired, api.SMS, "false", "false"},
	} {
		s := newSite(t)
		s.enroll(tt.method)
		a := s.get("token=" + s.track(store.Action{State: tt.state}, api.ScopeRemove) + "&redirect_to_settings=true")
		if a.data("start") != "settings" || a.data("may-remove") != tt.remove || a.data("may-verify") != tt.verify {
			t.Errorf("%s: start %s, may remove %s, may verify %s", tt.state, a.data("start"), a.data("may-remove"), a.data("may-verify"))
		}
	}
}

func TestLinksThatDoNotWork(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	good := s.track(store.Action{})
	gone := s.track(store.Action{ActionID: store.ActionID{UserID: "u2"}})
	s.update(func(tx *store.Tx) error { return tx.DeleteUser("u2") })
	reborn := s.track(store.Action{ActionID: store.ActionID{UserID: "u3"}})
	s.update(func(tx *store.Tx) error {
		if err := tx.DeleteUser("u3"); err != nil {
			return err
		}
		_, err := tx.EnsureUser("u3", s.now)
		return err
	})
	untracked := s.track(store.Action{ActionID: store.ActionID{UserID: "u4"}})
	s.update(func(tx *store.Tx) error { return tx.DeleteActions("u4") })
	foreign, err := (&token.Issuer{Keys: s.tokens.Keys, BaseURL: "https://elsewhere.test", TTL: time.Hour, Now: s.tokens.Now}).Issue(token.Claims{TenantID: "t1", UserID: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"": "missing", "token=": "missing", "mode=popup": "missing",
		"token=x": "invalid", "token=" + good[:len(good)-2]: "invalid", "token=" + foreign: "invalid",
		"token=" + gone: "invalid", "token=" + reborn: "invalid", "token=" + untracked: "invalid",
	} {
		a := s.get(query)
		if a.status != 401 || a.data("reason") != want || a.data("code") != "unauthorized" || a.data("start") != "failure" {
			t.Errorf("%s: status %d, reason %s, want %s", want, a.status, a.data("reason"), want)
		}
	}
	s.now = s.now.Add(10 * time.Minute)
	a := s.get("token=" + good + "&mode=popup")
	if a.status != 401 || a.data("reason") != "expired" || a.data("code") != "expired_token" || a.data("status") != "401" {
		t.Errorf("expired: status %d, reason %s, code %s", a.status, a.data("reason"), a.data("code"))
	}
	// The tenant's pages may still show that, in their frame.
	if got := a.directive("frame-ancestors"); !strings.Contains(got, "https://app.test") {
		t.Errorf("expired: frame-ancestors %s", got)
	}
	if strings.Contains(s.log.String(), good[:20]) {
		t.Errorf("the log holds a token: %s", s.log.String())
	}
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
			t.Error("the page holds the token")
		}
		body := regexp.MustCompile(`data-origins="[^"]*"`).ReplaceAllString(a.body, "")
		if m := regexp.MustCompile(`(?i)<style|style=|<script>|\son[a-z]+=|https?://[^"<]*|src="//`).FindAllString(body, -1); m != nil {
			t.Errorf("inline code or style, or another host: %q", m)
		}
		// What takes the token out of the address is the first thing that is loaded.
		first := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindStringSubmatch(a.body)
		if first == nil || !strings.HasSuffix(first[1], "/token.js") {
			t.Errorf("loaded first: %q", first)
		}
	}
}

func TestFrameAncestors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tok := "token=" + s.track(store.Action{})
	dev := newSite(t, func(c *Config) { c.Loopback, c.Origins = true, nil })
	none := newSite(t, func(c *Config) { c.Origins = nil })
	none.update(func(tx *store.Tx) error { _, err := tx.SetOrigins(nil); return err })
	const loopback = " http://localhost:* http://*.localhost:* http://127.0.0.1:* https://localhost:* https://*.localhost:* https://127.0.0.1:*"
	for name, tt := range map[string]struct{ got, want string }{
		"alone":             {s.get(tok).directive("frame-ancestors"), "'none'"},
		"popup":             {s.get(tok + "&mode=popup").directive("frame-ancestors"), "https://app.test https://other.test:8443 https://server.test"},
		"another mode":      {s.get(tok + "&mode=window").directive("frame-ancestors"), "'none'"},
		"no token":          {s.get("mode=popup").directive("frame-ancestors"), "'none'"},
		"-dev":              {dev.get("mode=popup&token=" + dev.track(store.Action{})).directive("frame-ancestors"), "https://app.test https://other.test:8443" + loopback},
		"no origins at all": {none.get("mode=popup&token=" + none.track(store.Action{})).directive("frame-ancestors"), "'none'"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", name, tt.got, tt.want)
		}
	}
	if got, want := s.get(tok+"&mode=popup").data("origins"), "https://app.test https://other.test:8443 https://server.test"; got != want {
		t.Errorf("receivers of messages: got %s, want %s", got, want)
	}
}

// They may call the client API only: on another device any program can take
// such an address.
func TestNativeShellsNeitherFrameNorAreReturnedTo(t *testing.T) {
	t.Parallel()
	shells := []string{"capacitor://localhost", "tauri://localhost", "http://tauri.localhost", "app://bundle", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"}
	s := newSite(t, func(c *Config) { c.Origins = append(c.Origins, shells...) })
	s.update(func(tx *store.Tx) error {
		_, err := tx.SetOrigins(append([]string{"https://app.test"}, shells...))
		return err
	})
	a := s.get("mode=popup&token=" + s.track(store.Action{}))
	if got, want := a.directive("frame-ancestors"), "https://app.test https://server.test"; got != want {
		t.Errorf("frame-ancestors: got %s, want %s", got, want)
	}
	if got, want := a.data("origins"), "https://app.test https://server.test"; got != want {
		t.Errorf("receivers of messages: got %s, want %s", got, want)
	}
	for _, o := range shells {
		a := s.get("token=" + s.track(store.Action{RedirectURL: o + "/back"}))
		if a.data("return") != "" || a.data("reason") != "return" || a.status != 400 {
			t.Errorf("%s: return %q, reason %s", o, a.data("return"), a.data("reason"))
		}
	}
	alone := newSite(t, func(c *Config) { c.Origins = shells })
	alone.update(func(tx *store.Tx) error { _, err := tx.SetOrigins(shells); return err })
	if got := alone.get("mode=popup&token=" + alone.track(store.Action{})).directive("frame-ancestors"); got != "'none'" {
		t.Errorf("frame-ancestors of shells alone: got %s", got)
	}
}

func TestReturnsToAllowedOriginsOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dev := newSite(t, func(c *Config) { c.Loopback = true })
	for _, u := range []string{
		"https://app.test/back?x=1#y", "https://app.test", "HTTPS://APP.test:443/Back", "https://other.test:8443/a b", "https://server.test/",
		"https://app.test/?to=https://evil.test/", "https://app.test//evil.test", `https://app.test/\evil.test`,
	} {
		if a := s.get("token=" + s.track(store.Action{RedirectURL: u})); a.data("return") != u || a.data("start") != "enroll" {
			t.Errorf("%s: return %q, start %s", u, a.data("return"), a.data("start"))
		}
	}
	for _, u := range []string{
		"https://evil.test/", "http://app.test/", "https://app.test:8443/", "https://app.test.evil.test/", "https://xapp.test/",
		"https://app.test@evil.test/", "https://app.test:x@evil.test/", "https://evil.test\\@app.test/", `https://evil.test\.app.test/`, `https:\\evil.test/`,
		"//app.test/", "//evil.test/", "/back", "back", "https:app.test", "https:///app.test/", "https://", " https://app.test/", "https://app.test\t/", "https://app%2etest/",
		"javascript:alert(1)", "JaVaScRiPt:alert(1)//https://app.test/", "data:text/html,<script>alert(1)</script>", "vbscript:x", "blob:https://app.test/x", "file:///etc/passwd",
		"https://user@app.test/", "https://app.test%00.evil.test/", "https://аpp.test/", "http://localhost:3000/", "http://127.0.0.1/",
	} {
		tok := "token=" + s.track(store.Action{RedirectURL: u})
		a := s.get(tok)
		if a.data("return") != "" || a.data("reason") != "return" || a.status != 400 {
			t.Errorf("%s: return %q, reason %s", u, a.data("return"), a.data("reason"))
		}
		// A frame or a window does not go there anyway.
		if a := s.get(tok + "&mode=popup"); a.data("return") != "" || a.data("start") != "enroll" {
			t.Errorf("%s in a popup: return %q, start %s", u, a.data("return"), a.data("start"))
		}
	}
	if !strings.Contains(s.log.String(), `"origin":"https://evil.test"`) || strings.Contains(s.log.String(), "alert") {
		t.Errorf("the log must name the origin and nothing else: %s", s.log.String())
	}
	for u, want := range map[string]bool{
		"http://localhost:3000/x": true, "http://127.0.0.1:9/": true, "http://[::1]:80/": true, "http://a.localhost/": true,
		"http://localhost.evil.test/": false, "http://127.0.0.1.evil.test/": false, "http://192.168.0.1/": false,
	} {
		if a := dev.get("token=" + dev.track(store.Action{RedirectURL: u})); (a.data("return") == u) != want {
			t.Errorf("-dev, %s: return %q", u, a.data("return"))
		}
	}
	if a := s.get("token=" + s.track(store.Action{})); a.data("return") != "" || a.data("start") != "enroll" {
		t.Errorf("none: return %q, start %s", a.data("return"), a.data("start"))
	}
}

const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}{app}</title>&#x3c;`

// Whatever is stored reaches the page as text, or not at all.
func TestStoredTextsStayTexts(t *testing.T) {
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
		// What the API would refuse, should it be there all the same.
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
				t.Errorf("%s: the policy holds %q", name, a.header.Get("Content-Security-Policy"))
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

func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tok := s.track(store.Action{})
	closed, err := store.Open(t.Context(), storetest.Database(t),
		func(bool) ([][]byte, error) { return [][]byte{bytes.Repeat([]byte{1}, store.KeySize)}, nil })
	if err != nil {
		t.Fatal(err)
	}
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
