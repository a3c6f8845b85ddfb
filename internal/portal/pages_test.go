package portal

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// Forms of other sites are refused, and other sites cannot show a page in a
// frame.
func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
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

// A portal with OnlyLocal refuses hosts that are not loopback names.
func TestOnlyLocalNames(t *testing.T) {
	t.Parallel()
	d := newFixture(t, func(c *Config) { c.OnlyLocal = true })
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

// Every stored text is escaped on every page.
func TestStoredTextsAreEscaped(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
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
		// The API checks action codes, but the store does not.
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
				t.Errorf("%s: has %s", r.Request.URL.Path, bad)
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

// Invalid UTF-8 is not stored: neither from a posted value nor from the action of
// a path.
func TestOnlyUTF8IsStored(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
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

// Signing in and the first page transfer little. With AUTHSIGNAL_TEST_ROWS the
// test also logs how long each page takes with that many rows.
func TestPagesAreSmall(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	rows := storetest.Rows(t)
	storetest.Fill(t, d.database, "t1", rows, d.clock())
	b := d.operator()
	transferred := 0
	text := b.get("/sign-in").text + b.get("/t/t1").text
	transferred += len(text)
	for _, at := range slices.Compact(slices.Sorted(maps.Keys(staticOf(text)))) {
		transferred += len(b.wants(b.get(strings.TrimPrefix(at, Path)), http.StatusOK).text)
	}
	if transferred > 100_000 || transferred < 1000 {
		t.Errorf("signing in and the first page transfer %d bytes", transferred)
	}
	t.Logf("signing in and the first page transfer %d bytes", transferred)
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
