package portal

import (
	"bytes"
	"io"
	"log/slog"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/logtest"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// A desk is a portal under test with a real store, a tenant, and a clock that
// stands still until it is told. Each of its browsers keeps cookies.
type desk struct {
	t        testing.TB
	url      string
	database string
	store    *store.Store
	portal   *portal
	password string
	log      *logtest.Buffer

	mu  sync.Mutex
	now time.Time
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *desk) advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

func newDesk(t testing.TB, change ...func(*Config)) *desk {
	t.Helper()
	d := &desk{t: t, database: storetest.Database(t), log: &logtest.Buffer{}, now: time.Unix(1_700_000_000, 0)}
	st, err := store.Open(t.Context(), d.database,
		func(bool) ([][]byte, error) { return [][]byte{bytes.Repeat([]byte{1}, store.KeySize)}, nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	d.store = st
	d.update(func(tx *store.Tx) error {
		_, err := tx.PutTenant(api.DefaultAuthenticatorSettings("Acme"), d.now)
		return err
	})
	if d.password, err = FirstPassword(t.Context(), st, d.now); err != nil {
		t.Fatal(err)
	}
	c := Config{
		Store: st, Log: slog.New(slog.NewJSONHandler(d.log, nil)), Now: d.clock, PublicURL: "http://127.0.0.1:4000",
		// Tests say whom they come from.
		Address: func(r *http.Request) netip.Addr {
			if a, err := netip.ParseAddr(r.Header.Get("Test-Address")); err == nil {
				return a
			}
			return netip.MustParseAddr("192.0.2.1")
		},
	}
	for _, f := range change {
		f(&c)
	}
	if d.portal, err = newPortal(c); err != nil {
		t.Fatal(err)
	}
	pages, files, err := d.portal.pages()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(pages, files)
	mux := http.NewServeMux()
	for pattern, h := range pages {
		mux.Handle(pattern, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	d.url = s.URL
	return d
}

func (d *desk) update(fn func(*store.Tx) error) {
	d.t.Helper()
	if err := d.store.Update(d.t.Context(), "t1", fn); err != nil {
		d.t.Fatal(err)
	}
}

// A browser keeps cookies and follows no redirect.
type browser struct {
	*desk
	client *http.Client
	// header is sent with every request.
	header http.Header
}

func (d *desk) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return &browser{d, &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, http.Header{"Sec-Fetch-Site": {"same-origin"}}}
}

// operator is a browser that is signed in.
func (d *desk) operator() *browser {
	d.t.Helper()
	b := d.browser()
	if r := b.post("/sign-in", "password", d.password); r.StatusCode != http.StatusSeeOther {
		d.t.Fatalf("sign-in: got %d", r.StatusCode)
	}
	return b
}

type answer struct {
	*http.Response
	text string
}

func (b *browser) do(req *http.Request) answer {
	b.t.Helper()
	for name, values := range b.header {
		req.Header[name] = values
	}
	r, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{r, string(text)}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	req, err := http.NewRequest("GET", b.url+Path+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// post sends a form of names and values.
func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequest("POST", b.url+Path+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

func (b *browser) wants(r answer, status int) answer {
	b.t.Helper()
	if r.StatusCode != status {
		b.t.Errorf("%s %s: got %d, want %d\n%s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.text)
	}
	return r
}

// tenantPages are all pages about a tenant that a GET shows, as in routes.
func tenantPages() []string {
	p := &portal{}
	var paths []string
	for pattern := range p.routes() {
		path, ok := strings.CutPrefix(pattern, "GET /t/{tenant}")
		if ok {
			paths = append(paths, "/t/t1"+strings.ReplaceAll(path, "{action}", "pay"))
		}
	}
	slices.Sort(paths)
	return paths
}

func TestNobodySeesAPageWithoutSigningIn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
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
		t.Error("a stranger changed the tenant")
	}
	b.wants(b.get("/static/no.css"), http.StatusNotFound)
}

// A session is a new one at each sign-in, whatever the browser brings, and
// ends when it is unused, old, signed out, or another one changes the
// password.
func TestSessions(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
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

	// Signing in again ends the session before.
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

	// The database holds neither a session nor the password.
	for _, secret := range []string{first, second, chosen, d.password} {
		if strings.Contains(d.log.String(), secret) {
			t.Error("the log holds a secret")
		}
	}
}

func TestCookiesAreSecureOutsideThisMachine(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(c *Config) { c.PublicURL = "https://mfa.example.com" })
	r := d.browser().post("/sign-in", "password", d.password)
	if len(r.Cookies()) != 2 {
		t.Fatalf("got %v", r.Cookies())
	}
	for _, c := range r.Cookies() {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" {
			t.Errorf("got %v", c)
		}
	}
	d = newDesk(t)
	for _, c := range d.browser().post("/sign-in", "password", d.password).Cookies() {
		if c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != Path {
			t.Errorf("on this machine: got %v", c)
		}
	}
}

// Another site's form, and a page in another site's frame, can do nothing.
func TestOtherSitesCanDoNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Sec-Fetch-Site": {""}, "Origin": {"https://evil.example"}}, // an older browser
		{"Sec-Fetch-Site": {""}, "Origin": {"null"}},
	} {
		b.header = header
		b.wants(b.post("/t/t1/authenticators/app", "do", "activate"), http.StatusForbidden)
		b.wants(b.post("/t/t1/keys", "overlap", "none"), http.StatusForbidden)
		b.wants(b.post("/sign-out"), http.StatusForbidden)
		b.wants(b.post("/sign-in", "password", d.password), http.StatusForbidden)
	}
	b.header = http.Header{"Sec-Fetch-Site": {""}, "Origin": {d.url}}
	b.wants(b.post("/t/t1/keys/origins", "origins", "https://a.test"), http.StatusSeeOther)

	for _, path := range append(tenantPages(), "/sign-in", "/account", "/no-such-page", "/static/no.css") {
		h := b.get(path).Header
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %v", path, h)
		}
	}
}

// After signing in, the browser goes to a page of the portal and nowhere else.
func TestSigningInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
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

// Rebinding a name to this machine does not reach a portal that is only here.
func TestOnlyThisMachinesNames(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(c *Config) { c.OnlyLocal = true })
	for host, want := range map[string]int{
		"127.0.0.1:4000": 200, "localhost:4000": 200, "[::1]:4000": 200, "rebound.example:4000": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		req := httptest.NewRequest("GET", d.url+Path+"/sign-in", nil)
		req.RequestURI = ""
		req.Host = host
		if host == "" {
			req.Host = "x"
		}
		if r := d.browser().do(req); r.StatusCode != want {
			t.Errorf("%q: got %d, want %d", host, r.StatusCode, want)
		}
	}
}

// A stranger has few guesses, and cannot keep the operator out.
func TestGuessingThePassword(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	operator := d.operator()
	guess := func(address string) int {
		b := d.browser()
		b.header.Set("Test-Address", address)
		return b.post("/sign-in", "password", "a guess").StatusCode
	}
	for range perSource {
		if got := guess("198.51.100.1"); got != http.StatusForbidden {
			t.Fatalf("got %d", got)
		}
	}
	if got := guess("198.51.100.1"); got != http.StatusTooManyRequests {
		t.Errorf("over the limit: got %d", got)
	}
	// Not even the right password is looked at from there.
	b := d.browser()
	b.header.Set("Test-Address", "198.51.100.1")
	b.wants(b.post("/sign-in", "password", d.password), http.StatusTooManyRequests)
	// It is the same /64 in IPv6.
	for i := range perSource {
		guess("2001:db8::" + string(rune('a'+i%6)))
	}
	if got := guess("2001:db8::1:2"); got != http.StatusTooManyRequests {
		t.Errorf("another address of the /64: got %d", got)
	}
	// Others may, and so may the operator's own browser from the same address.
	if got := guess("198.51.100.2"); got != http.StatusForbidden {
		t.Errorf("another address: got %d", got)
	}
	operator.header.Set("Test-Address", "198.51.100.1")
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", d.password), http.StatusSeeOther)
	// The limit is durable and moves on.
	d.advance(window + time.Second)
	if got := guess("198.51.100.1"); got != http.StatusForbidden {
		t.Errorf("later: got %d", got)
	}

	// A password that a person thought of is guarded against a flood from
	// everywhere; the operator's browser is not kept out by it.
	const chosen = "correct horse battery"
	operator.wants(operator.post("/account", "current", d.password, "new", chosen, "again", chosen), http.StatusSeeOther)
	d.store.Update(t.Context(), "", func(tx *store.Tx) error {
		for range ofUnknown {
			if err := tx.AddPortalAttempt(unknownBrowsers, d.clock(), d.clock().Add(-window)); err != nil {
				return err
			}
		}
		return nil
	})
	if got := guess("203.0.113.9"); got != http.StatusTooManyRequests {
		t.Errorf("in a flood: got %d", got)
	}
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", chosen), http.StatusSeeOther)
	// Who has the machine gets in from any browser: the new password is random.
	fresh, err := NewPassword(t.Context(), d.store, d.clock())
	if err != nil {
		t.Fatal(err)
	}
	d.store.Update(t.Context(), "", func(tx *store.Tx) error {
		for range ofUnknown {
			if err := tx.AddPortalAttempt(unknownBrowsers, d.clock(), d.clock().Add(-window)); err != nil {
				return err
			}
		}
		return nil
	})
	b = d.browser()
	b.wants(b.post("/sign-in", "password", fresh), http.StatusSeeOther)
	operator.wants(operator.get("/account"), http.StatusSeeOther)
}

// Many guesses at once are not more than the limit.
func TestGuessingAtOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	// A known browser: its guesses wait for each other.
	b := d.operator()
	var wg sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for range 2 * perSource {
		wg.Go(func() {
			r, err := b.client.PostForm(d.url+Path+"/sign-in", url.Values{"password": {"a guess"}})
			if err != nil {
				t.Error(err)
				return
			}
			r.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			if r.StatusCode == http.StatusForbidden {
				looked++
			}
		})
	}
	wg.Wait()
	if looked != perSource {
		t.Errorf("%d passwords were looked at, want %d", looked, perSource)
	}
}

// Strangers who take all their places keep out other strangers, who are refused
// at once and not counted, but not a known browser.
func TestAFloodOfStrangers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	operator := d.operator()
	for range cap(d.portal.hashingUnknown) {
		d.portal.hashingUnknown <- struct{}{}
	}
	stranger := d.browser()
	for range perSource + 1 {
		r := stranger.wants(stranger.post("/sign-in", "password", d.password), http.StatusTooManyRequests)
		if r.Header.Get("Retry-After") != "1" || !strings.Contains(r.text, "at once") {
			t.Errorf("got %v, %s", r.Header, r.text)
		}
	}
	operator.wants(operator.post("/sign-out"), http.StatusSeeOther)
	operator.wants(operator.post("/sign-in", "password", d.password), http.StatusSeeOther)
	const chosen = "correct horse battery"
	operator.wants(operator.post("/account", "current", d.password, "new", chosen, "again", chosen), http.StatusSeeOther)
	<-d.portal.hashingUnknown
	stranger.wants(stranger.post("/sign-in", "password", chosen), http.StatusSeeOther)
}

// A password that is replaced while it is checked begins no session and sets no
// other one.
func TestPasswordReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := httptest.NewRequest("POST", Path+"/sign-in", nil)
	v, checked, err := d.portal.try(r, d.password)
	if v != right || err != nil {
		t.Fatalf("got %v, %v", v, err)
	}
	fresh, err := NewPassword(t.Context(), d.store, d.clock())
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range []*store.PortalPassword{nil, {Hash: hash("of the one who had the old one")}} {
		if cookies, ok, err := d.portal.begin(r, checked, next); ok || err != nil || len(cookies) != 0 {
			t.Errorf("got %v, %v, %v", cookies, ok, err)
		}
	}
	b := d.browser()
	b.wants(b.post("/sign-in", "password", fresh), http.StatusSeeOther)
}

func TestPasswordHash(t *testing.T) {
	t.Parallel()
	h := hash("a password")
	if !matches("a password", h) || matches("a passwore", h) || matches("", h) || hash("a password") == h {
		t.Errorf("got %s", h)
	}
	for _, broken := range []string{"", "$argon2id$v=19$m=19456,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$", "$bcrypt$", strings.Replace(h, "v=19", "v=16", 1)} {
		if matches("a password", broken) {
			t.Errorf("%q matches", broken)
		}
	}
	if p := newPassword(); !regexp.MustCompile(`^([a-z2-7]{5}-){3}[a-z2-7]{5}$`).MatchString(p) || p == newPassword() {
		t.Errorf("got %q", p)
	}
}

// Every text that can be stored is shown as text, on every page.
func TestStoredTextsAreOnlyText(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'{{.}}</textarea></title>`
	now := d.clock()
	d.update(func(tx *store.Tx) error {
		settings := api.DefaultAuthenticatorSettings(evil)
		settings.Active = true
		if _, err := tx.PutTenant(settings, now); err != nil {
			return err
		}
		if _, err := tx.SetBranding(api.Branding{Name: evil, Color: "#12ab34", Logo: "data:image/svg+xml;base64,PHN2Zy8+"}); err != nil {
			return err
		}
		if _, err := tx.SetWebhookURL("https://x.test/?" + evil); err != nil {
			return err
		}
		if _, err := tx.SetOrigins([]string{evil}); err != nil {
			return err
		}
		rule := api.ActionRule{RuleID: evil, Name: evil, Description: evil, Condition: `user.id == '` + strings.ReplaceAll(evil, "'", "") + `'`, Outcome: api.OutcomeBlock}
		if _, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{rule}}); err != nil {
			return err
		}
		if _, err := tx.EnsureUser(evil, now); err != nil {
			return err
		}
		if err := tx.PutUser(store.User{ID: evil, Email: evil, PhoneNumber: evil, Username: evil, DisplayName: evil, Locale: evil, Custom: map[string]any{evil: evil}}); err != nil {
			return err
		}
		if err := tx.InsertVerified(store.Authenticator{ID: evil, UserID: evil, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: now, VerifiedAt: now}, "SECRET"); err != nil {
			return err
		}
		// Action codes are checked at the door; here they are not.
		for _, code := range []string{"pay", evil} {
			a := store.Action{
				ActionID: store.ActionID{UserID: evil, Action: code, IdempotencyKey: evil}, State: api.StateBlock, CreatedAt: now, StateUpdatedAt: now,
				IPAddress: evil, UserAgent: evil, Outcome: api.OutcomeBlock, Rules: []api.Rule{{RuleID: evil, Name: evil}},
			}
			if err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		return tx.Audit(store.AuditEvent{At: now, Kind: store.AuditCodeRefused, ActionID: store.ActionID{UserID: evil, Action: evil}, Detail: map[string]any{evil: evil}})
	})
	b := d.operator()
	q := url.QueryEscape(evil)
	paths := append(tenantPages(), "/t/t1/users?q="+q, "/t/t1/users/user?id="+q, "/t/t1/users/change?do=delete&id="+q,
		"/t/t1/users/change?do=remove&id="+q+"&authenticator="+q, "/t/t1/activity?user="+q+"&action="+q+"&from="+q+"&what="+q+"&range="+q,
		"/t/t1/actions/pay/rule?rule="+q, "/t/t1/actions/pay/drop?rule="+q, "/t/t1/actions/open?action="+q, "/t/t1/keys?done="+q, "/sign-in?next="+q)
	shown := 0
	check := func(r answer) {
		t.Helper()
		for _, bad := range []string{"<script>alert", "<img src=x", "onerror=alert(1)>", `javascript:`, "</textarea></title>"} {
			if strings.Contains(r.text, bad) {
				t.Errorf("%s: holds %s", r.Request.URL.Path, bad)
			}
		}
		if strings.Contains(r.text, "&lt;script&gt;alert(1)") {
			shown++
		}
	}
	for _, path := range paths {
		check(b.get(path))
	}
	check(b.post("/t/t1/actions/pay/rule", "name", evil, "description", evil, "condition", evil, "sample", evil, "outcome", evil, "do", "save"))
	check(b.post("/t/t1/actions/pay/rule", "name", evil, "condition", "true", "sample", evil, "do", "try"))
	check(b.post("/t/t1/keys/origins", "origins", evil))
	check(b.post("/t/t1/settings/webhook", "webhookUrl", evil))
	check(b.post("/t/t1/authenticators/app", "issuer", evil, "algorithm", evil))
	if shown < 10 {
		t.Errorf("only %d pages show the text at all", shown)
	}
}

func TestKeysAreShownOnceAndNowhereElse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	r := b.wants(b.post("/t/t1/keys", "overlap", "hour"), http.StatusOK)
	found := regexp.MustCompile(`id="new-key">([A-Za-z0-9_-]{43})<`).FindStringSubmatch(r.text)
	if found == nil {
		t.Fatalf("got %s", r.text)
	}
	if _, ok, err := d.store.TenantOfSecret(t.Context(), found[1], d.clock()); err != nil || !ok {
		t.Errorf("the key is not in force: %v", err)
	}
	for _, path := range tenantPages() {
		if strings.Contains(b.get(path).text, found[1]) {
			t.Errorf("%s shows the key", path)
		}
	}
	if strings.Contains(d.log.String(), found[1]) {
		t.Error("the log holds the key")
	}
	id := regexp.MustCompile(`keys/revoke\?id=([0-9a-f-]+)`).FindStringSubmatch(b.get("/t/t1/keys").text)
	if text := b.wants(b.get("/t/t1/keys/revoke?id="+id[1]), http.StatusOK).text; !strings.Contains(text, "last key") {
		t.Error("nothing warns of the last key")
	}
	b.wants(b.post("/t/t1/keys/revoke", "id", id[1]), http.StatusSeeOther)
	if _, ok, _ := d.store.TenantOfSecret(t.Context(), found[1], d.clock()); ok {
		t.Error("a revoked key is in force")
	}
	b.wants(b.post("/t/t1/keys/revoke", "id", id[1]), http.StatusNotFound)
	b.wants(b.get("/t/none/keys"), http.StatusNotFound)
}

func TestActivateAndDeactivate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	settings := func() api.AuthenticatorSettings {
		tenant, _, err := d.store.Tenant(t.Context(), "t1")
		if err != nil {
			t.Fatal(err)
		}
		return tenant.Authenticator
	}
	form := []string{"issuer", "Shop", "algorithm", "SHA256", "digits", "8", "period", "60", "drift", "0", "maxFailures", "5",
		"windowSeconds", "60", "maxFailuresInARow", "50", "allowMultiple", "on", "maxAuthenticators", "3"}
	b.wants(b.post("/t/t1/authenticators/app", append(form, "do", "save")...), http.StatusSeeOther)
	want := api.AuthenticatorSettings{Issuer: "Shop", Algorithm: "SHA256", Digits: 8, Period: 60, AllowMultiple: true, MaxAuthenticators: 3, MaxFailures: 5, WindowSeconds: 60, MaxFailuresInARow: 50}
	if got := settings(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.wants(b.post("/t/t1/authenticators/app", append(form, "do", "activate")...), http.StatusSeeOther)
	want.Active = true
	if got := settings(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	form[5] = "7"
	if r := b.wants(b.post("/t/t1/authenticators/app", append(form, "do", "save")...), http.StatusBadRequest); !strings.Contains(r.text, "digits must be 6 or 8.") {
		t.Errorf("got %s", r.text)
	}
	b.wants(b.post("/t/t1/authenticators/stop"), http.StatusSeeOther)
	want.Active = false
	if got := settings(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOriginsOfNativeShells(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	b.wants(b.post("/t/t1/keys/origins", "origins", "https://app.test\ncapacitor://localhost"), http.StatusSeeOther)
	if got := b.wants(b.get("/t/t1/keys"), http.StatusOK).text; !strings.Contains(got, ">capacitor://localhost\nhttps://app.test</textarea>") {
		t.Errorf("got %s", got)
	}
	got := b.wants(b.post("/t/t1/keys/origins", "origins", "capacitor:localhost"), http.StatusBadRequest).text
	if !strings.Contains(got, "write the scheme and :// before the host") || !strings.Contains(got, ">capacitor:localhost</textarea>") {
		t.Errorf("got %s", got)
	}
}

// Saving a form keeps what it does not have as it is in the database, not as the
// cache still has it: what another replica did meanwhile.
func TestSavingKeepsWhatOthersDid(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	d.update(func(tx *store.Tx) error {
		s := api.DefaultAuthenticatorSettings("Acme")
		s.Active = true
		_, err := tx.PutTenant(s, d.clock())
		return err
	})
	b.wants(b.get("/t/t1/authenticators/app"), http.StatusOK)
	storetest.Exec(t, d.database, `UPDATE tenants SET authenticator = REPLACE(authenticator, '"active":true', '"active":false'),
		branding = '{"logo":"data:image/svg+xml;base64,PHN2Zy8+"}'`)
	b.wants(b.post("/t/t1/authenticators/app", "issuer", "Shop", "algorithm", "SHA1", "digits", "6", "period", "30", "drift", "1",
		"maxFailures", "5", "windowSeconds", "60", "maxFailuresInARow", "50", "maxAuthenticators", "10", "do", "save"), http.StatusSeeOther)
	storetest.Exec(t, d.database, `UPDATE tenants SET branding = '{"logo":"data:image/svg+xml;base64,PHN2Zz48L3N2Zz4="}'`)
	b.wants(b.post("/t/t1/settings/branding", "name", "Shop"), http.StatusSeeOther)
	tenant, _, err := d.store.Tenant(t.Context(), "t1")
	if err != nil || tenant.Authenticator.Issuer != "Shop" || tenant.Authenticator.Active {
		t.Errorf("got %+v, %v", tenant.Authenticator, err)
	}
	if tenant.Branding.Name != "Shop" || tenant.Branding.Logo != "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=" {
		t.Errorf("got %+v", tenant.Branding)
	}
}

// A change of rules begins with what the database has, not with what the cache
// still has; and a refused one has no effect, not even in the cache.
func TestChangingRulesBeginsWithWhatIsStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	rule := func(id string) api.ActionRule {
		return api.ActionRule{RuleID: id, Name: id, Condition: "true", Outcome: api.OutcomeBlock}
	}
	d.update(func(tx *store.Tx) error {
		_, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{rule("one"), rule("two")}})
		return err
	})
	rules := func() (got []api.ActionRule) {
		t.Helper()
		if err := d.store.View(t.Context(), "t1", func(tx *store.Tx) error {
			s, _, err := tx.ActionSettings("pay")
			got = s.Rules
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	b := d.operator()
	cached := rules()
	b.wants(b.post("/t/t1/actions/pay/rule", "rule", "one", "name", "two", "condition", "false", "outcome", "ALLOW", "do", "save"), http.StatusBadRequest)
	b.wants(b.post("/t/t1/actions/pay/move", "rule", "one", "do", "down"), http.StatusSeeOther)
	if want := []api.ActionRule{rule("one"), rule("two")}; !slices.Equal(cached, want) {
		t.Errorf("what others had read became %v", cached)
	}
	if got, want := rules(), []api.ActionRule{rule("two"), rule("one")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Another replica renames a rule while this one has it in its cache.
	storetest.Exec(t, d.database, `UPDATE action_settings SET settings = REPLACE(settings, '"name":"two"', '"name":"zwei"')`)
	b.wants(b.post("/t/t1/actions/pay", "outcome", "REVIEW"), http.StatusSeeOther)
	if got := rules(); len(got) != 2 || got[0].Name != "zwei" {
		t.Errorf("got %v", got)
	}
}

// The chart counts how often actions came to states; a first enrollment takes
// nothing away from the challenges.
func TestChartCountsStates(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	now := d.clock()
	d.update(func(tx *store.Tx) error {
		for key, state := range map[string]api.State{
			"enrolled": api.StateAllow, "allowed": api.StateAllow, "open": api.StateChallengeRequired, "passed": api.StateChallengeRequired,
		} {
			a := store.Action{ActionID: store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: key}, State: state, CreatedAt: now, StateUpdatedAt: now}
			if err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		if err := tx.CompleteAction(store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: "enrolled"}, api.StateAllow, "a1", 0, now); err != nil {
			return err
		}
		return tx.CompleteAction(store.ActionID{UserID: "u1", Action: "pay", IdempotencyKey: "passed"}, api.StateChallengeRequired, "a1", 0, now)
	})
	text := d.operator().get("/t/t1").text
	for _, want := range []string{
		`<th scope="col">Allow</th><th scope="col">Challenge required</th><th scope="col">Challenge succeeded</th><th scope="col">Review required</th><th scope="col">Block</th>`,
		`<td>2</td><td>2</td><td>2</td><td>0</td><td>0</td>`, `aria-label="Actions came to these states 6 times from `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	names := func() (all []string) {
		err := d.store.View(t.Context(), "t1", func(tx *store.Tx) error {
			s, _, err := tx.ActionSettings("pay")
			for _, r := range s.Rules {
				all = append(all, r.Name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, name := range []string{"one", "two", "three"} {
		b.wants(b.post("/t/t1/actions/pay/rule", "name", name, "condition", "true", "outcome", "BLOCK", "do", "save"), http.StatusSeeOther)
	}
	if r := b.wants(b.post("/t/t1/actions/pay/rule", "name", "one", "condition", "true", "outcome", "BLOCK", "do", "save"), http.StatusBadRequest); !strings.Contains(r.text, "is used by another rule") {
		t.Errorf("got %s", r.text)
	}
	ids := regexp.MustCompile(`name="rule" value="([^"]+)"`).FindAllStringSubmatch(b.get("/t/t1/actions/pay").text, -1)
	b.wants(b.post("/t/t1/actions/pay/move", "rule", ids[2][1], "do", "up"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/actions/pay/move", "rule", ids[0][1], "do", "up"), http.StatusSeeOther) // it is the first
	if got := names(); !slices.Equal(got, []string{"one", "three", "two"}) {
		t.Errorf("got %v", got)
	}
	b.wants(b.post("/t/t1/actions/pay/rule", "rule", ids[1][1], "name", "zwei", "condition", "false", "outcome", "ALLOW", "do", "save"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/actions/pay/drop", "rule", ids[0][1]), http.StatusSeeOther)
	b.wants(b.post("/t/t1/actions/pay/drop", "rule", ids[0][1]), http.StatusNotFound)
	if got := names(); !slices.Equal(got, []string{"three", "zwei"}) {
		t.Errorf("got %v", got)
	}
	b.wants(b.post("/t/t1/actions/pay", "outcome", "REVIEW"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/actions/pay", "outcome", "PERHAPS"), http.StatusBadRequest)
	b.wants(b.post("/t/t1/actions/pay/drop"), http.StatusSeeOther)
	if got := names(); got != nil {
		t.Errorf("got %v", got)
	}
}

// A condition is tried against a sample, and its error marked where it stands.
func TestTryACondition(t *testing.T) {
	t.Parallel()
	b := newDesk(t).operator()
	for _, tt := range []struct{ condition, sample, want string }{
		{`custom.amount > 10`, `{"custom":{"amount":11}}`, "It matches the sample."},
		{`custom.amount > 10`, `{"custom":{"amount":9}}`, "It does not match the sample."},
		{`custom.amount > 10`, `{}`, "The condition could not be evaluated: the input has no such key."},
		{`"admin" in custom.roles`, `{"custom":{"roles":["admin", "user"]}}`, "It matches the sample."},
		{`custom.amount + 1 > 5`, `{"custom":{"amount":4.5, "other":null}}`, "It matches the sample."},
		{`custom.exists(k, custom[k] == null)`, `{"custom":{"amount":null}}`, "It does not match the sample."},
		{`[userAgent]` + strings.Repeat(`.map(a, a + a)`, 5) + `.exists(a, a.replace("", a).size() > 1)`, `{"userAgent":"` + strings.Repeat("a", 2048) + `"}`,
			"The condition could not be evaluated: a text that the condition makes is too long."},
		{`action.createdAt.getHours("Europe/Berln") > 1`, `{}`, "Line 1, column 27: invalid getHours argument: it must be a time zone"},
		{"true &&\r\n usr.id == ''", `{}`, "Line 2, column 2: undeclared reference to &#39;usr&#39;"},
		{"true &&\r\n usr.id == ''", `{}`, "<code> <mark>usr</mark>.id == &#39;&#39;</code>"},
		{`device.isNew`, `{"device":{"isNew":true}} x`, "more than one"},
		{`device.isNew`, `{"device":{"isnt":true}}`, "unknown field"},
		{`user.createdAt < action.createdAt`, `{"user":{"createdAt":"2026-01-01T00:00:00Z"},"action":{"createdAt":"2026-01-02T00:00:00Z"}}`, "It matches the sample."},
	} {
		if r := b.post("/t/t1/actions/pay/rule", "condition", tt.condition, "sample", tt.sample, "do", "try"); !strings.Contains(r.text, tt.want) {
			t.Errorf("%q, %s: no %q in\n%s", tt.condition, tt.sample, tt.want, r.text)
		}
	}
}

// What is not UTF-8 never reaches the database: neither a posted value nor the
// action of a path.
func TestOnlyUTF8IsStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	b.wants(b.post("/t/t1/settings/webhook", "webhookUrl", "https://x.test/?\xff"), http.StatusSeeOther)
	if tenant, _, err := d.store.Tenant(t.Context(), "t1"); err != nil || tenant.WebhookURL != "https://x.test/?\ufffd" {
		t.Errorf("got %q, %v", tenant.WebhookURL, err)
	}
	b.wants(b.post("/t/t1/settings/webhook", "webhookUrl", "https://x.test/?\x00"), http.StatusBadRequest)
	for _, form := range [][]string{{"/drop"}, {"/drop", "rule", "x"}, {"/move", "rule", "x"}, {"/rule", "condition", "true"}, {"", "outcome", "ALLOW"}} {
		r := b.wants(b.post("/t/t1/actions/%FF"+form[0], form[1:]...), http.StatusNotFound)
		if !strings.Contains(r.text, errActionCode.Description) {
			t.Errorf("%s: got %s", form[0], r.text)
		}
	}
}

// What went wrong with a webhook stands out in the activity.
func TestTone(t *testing.T) {
	t.Parallel()
	for kind, want := range map[any]string{
		store.AuditWebhookRefused: "bad", store.AuditWebhookDead: "bad", store.AuditCodeAccepted: "good", api.StateReviewRequired: "warn", "": "plain",
	} {
		if got := tone(kind); got != want {
			t.Errorf("%v: got %s, want %s", kind, got, want)
		}
	}
}

func TestHelpingAUser(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	now := d.clock()
	d.update(func(tx *store.Tx) error {
		if _, err := tx.SetWebhookURL("https://x.test/"); err != nil {
			return err
		}
		if _, err := tx.EnsureUser("a/b ?#", now); err != nil {
			return err
		}
		for _, id := range []string{"a1", "a2"} {
			a := store.Authenticator{ID: id, UserID: "a/b ?#", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: now, VerifiedAt: now}
			if err := tx.InsertVerified(a, "SECRET"); err != nil {
				return err
			}
			for range 100 {
				if err := tx.Fail(a, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
	b := d.operator()
	id := url.QueryEscape("a/b ?#")
	if got := strings.Count(b.get("/t/t1/users/user?id="+id).text, ">Locked<"); got != 2 {
		t.Errorf("%d are locked, want 2", got)
	}
	b.wants(b.get("/t/t1/users/change?do=unlock&id="+id+"&authenticator=a1"), http.StatusOK)
	b.wants(b.post("/t/t1/users/change", "do", "unlock", "id", "a/b ?#", "authenticator", "a1"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/users/change", "do", "remove", "id", "a/b ?#", "authenticator", "a2"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/users/change", "do", "remove", "id", "a/b ?#", "authenticator", "a2"), http.StatusNotFound)
	if text := b.get("/t/t1/users/user?id=" + id).text; strings.Contains(text, ">Locked<") || !strings.Contains(text, ">Good<") {
		t.Errorf("got %s", text)
	}
	b.wants(b.post("/t/t1/users/change", "do", "delete", "id", "a/b ?#"), http.StatusSeeOther)
	b.wants(b.get("/t/t1/users/user?id="+id), http.StatusNotFound)
	// The webhook is told, and the log of it says who did it.
	events, err := d.store.ClaimEvents(t.Context(), now.Add(time.Second), now.Add(time.Minute), 10, 10, nil)
	if err != nil || len(events) != 2 || events[0].Type != api.EventAuthenticatorDeleted {
		t.Errorf("got %v, %v", events, err)
	}
	text := b.get("/t/t1/activity").text
	for _, want := range []string{"Authenticator unlocked", "Authenticator deleted", "User deleted", "operator"} {
		if !strings.Contains(text, want) {
			t.Errorf("the activity has no %q", want)
		}
	}
}

func TestBranding(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b := d.operator()
	upload := func(logo string, fields ...string) answer {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for i := 0; i < len(fields); i += 2 {
			w.WriteField(fields[i], fields[i+1])
		}
		if logo != "" {
			f, _ := w.CreateFormFile("logo", "logo.bin")
			io.WriteString(f, logo)
		}
		w.Close()
		req, err := http.NewRequest("POST", d.url+Path+"/t/t1/settings/branding", &body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", w.FormDataContentType())
		return b.do(req)
	}
	branding := func() api.Branding {
		tenant, _, err := d.store.Tenant(t.Context(), "t1")
		if err != nil {
			t.Fatal(err)
		}
		return tenant.Branding
	}
	b.wants(upload(`<svg xmlns="http://www.w3.org/2000/svg"/>`, "name", "Shop", "color", "#112233"), http.StatusSeeOther)
	if got := branding(); got.Name != "Shop" || got.Color != "#112233" || !strings.HasPrefix(got.Logo, "data:image/svg+xml;base64,") {
		t.Errorf("got %+v", got)
	}
	if text := b.get("/t/t1/settings").text; !strings.Contains(text, `<img src="data:image/svg&#43;xml;base64,`) {
		t.Errorf("the logo is not shown: %s", text)
	}
	b.wants(upload("", "name", "Shop", "color", "red"), http.StatusBadRequest)
	b.wants(upload("not an image", "name", "Shop"), http.StatusBadRequest)
	b.wants(upload("\x89PNG\r\n\x1a\n"+strings.Repeat("x", 60<<10), "name", "Shop"), http.StatusBadRequest)
	b.wants(upload("\x89PNG\r\n\x1a\n"+strings.Repeat("x", 300<<10), "name", "Shop"), http.StatusRequestEntityTooLarge)
	b.wants(upload("", "name", "Shop", "color", ""), http.StatusSeeOther) // keeps the logo
	if got := branding(); got.Logo == "" || got.Color != "" {
		t.Errorf("got %+v", got)
	}
	b.wants(upload("", "name", "", "removeLogo", "on"), http.StatusSeeOther)
	if got := branding(); got != (api.Branding{}) {
		t.Errorf("got %+v", got)
	}
}

// Older pages of the activity show each entry once.
func TestActivityByPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	now := d.clock()
	want := map[string]int{}
	d.update(func(tx *store.Tx) error {
		for i := range 130 {
			user := "user-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
			at := now.Add(-time.Duration(i/10) * time.Second)
			want[user] = 1
			if i%3 == 0 {
				if err := tx.Audit(store.AuditEvent{At: at, Kind: store.AuditCodeRefused, ActionID: store.ActionID{UserID: user}}); err != nil {
					return err
				}
				continue
			}
			a := store.Action{ActionID: store.ActionID{UserID: user, Action: "pay", IdempotencyKey: "k"}, State: api.StateAllow, CreatedAt: at, StateUpdatedAt: at}
			if err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		return nil
	})
	b := d.operator()
	got := map[string]int{}
	pages := 0
	for path := "/t/t1/activity"; path != ""; pages++ {
		text := b.wants(b.get(path), http.StatusOK).text
		for _, m := range regexp.MustCompile(`users/user\?id=(user-[a-z]+)`).FindAllStringSubmatch(text, -1) {
			got[m[1]]++
		}
		path = ""
		if m := regexp.MustCompile(`href="/portal(/t/t1/activity\?after=[^"]+)">Older`).FindStringSubmatch(text); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if !maps.Equal(got, want) || pages != 3 {
		t.Errorf("got %d pages of %v", pages, got)
	}
	b.wants(b.get("/t/t1/activity?after=!"), http.StatusBadRequest)
	b.wants(b.get("/t/t1/activity?from=yesterday"), http.StatusBadRequest)
}

// The first page takes little of the network. With AUTHSIGNAL_TEST_ROWS it also
// says how long each page takes among so many rows.
func TestPagesAreSmall(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	rows := storetest.Rows(t)
	storetest.Fill(t, d.database, "t1", rows, d.clock())
	b := d.operator()
	moved := 0
	text := b.get("/sign-in").text + b.get("/t/t1").text
	moved += len(text)
	for _, at := range slices.Compact(slices.Sorted(maps.Keys(staticOf(text)))) {
		moved += len(b.wants(b.get(strings.TrimPrefix(at, Path)), http.StatusOK).text)
	}
	if moved > 100_000 || moved < 1000 {
		t.Errorf("signing in and the first page move %d bytes", moved)
	}
	t.Logf("signing in and the first page move %d bytes", moved)
	for _, path := range []string{
		"", "/actions", "/users", "/users?q=user-77", "/users?q=mail-5", "/users/user?id=user-7", "/activity", "/activity?range=month",
		"/activity?what=BLOCK", "/activity?action=pay", "/activity?what=code.unseen", "/activity?user=user-7",
	} {
		start := time.Now()
		b.wants(b.get("/t/t1"+path), http.StatusOK)
		t.Logf("%-30s %6s among %d users and as many actions", path, time.Since(start).Round(time.Millisecond), rows)
	}
}

func staticOf(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/portal/static/[^"]+)"`).FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return found
}
