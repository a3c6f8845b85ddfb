package prebuilt

import (
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/cookie"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// trusting lets trusted browsers take the place of the challenge of signIn.
func (s *site) trusting(days int) {
	s.t.Helper()
	s.update(func(tx *store.Tx) error {
		_, err := tx.PutActionSettings("signIn", api.ActionSettings{DefaultOutcome: api.OutcomeChallenge, TrustBrowserDays: days, Rules: []api.ActionRule{}})
		return err
	})
}

// trusts trusts the browser of u1, and returns its cookie.
func (s *site) trusts() string {
	s.t.Helper()
	claims, err := s.tokens.Parse(s.track(store.Action{State: api.StateChallengeSucceeded}))
	if err != nil {
		s.t.Fatal(err)
	}
	var text string
	s.update(func(tx *store.Tx) error {
		tenant := store.Tenant{ID: "t1"}
		subject, err := mfa.LockSubject(tx, tenant, claims)
		if err == nil {
			text, _, err = subject.TrustBrowser(tx, api.ActionSettings{TrustBrowserDays: 30}, s.now)
		}
		return err
	})
	return "__Host-" + cookie.BrowserName("t1", "u1") + "=" + text
}

// The page says whether its script tries the cookie: only where a code would end the
// visit, and where it may let the user in. Opening the page changes nothing.
func TestTheCookieOfATrustedBrowserIsTried(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.trusting(30)
	s.enroll(api.AuthenticatorApp)
	trusted := s.trusts()
	required := store.Action{State: api.StateChallengeRequired}
	for name, tt := range map[string]struct {
		action        store.Action
		query, cookie string
		want          bool
	}{
		"trusted":                {required, "", trusted, true},
		"in popup mode":          {required, "&mode=popup", trusted, true},
		"no cookie":              {required, "", "", false},
		"another token":          {required, "", "__Host-" + cookie.BrowserName("t1", "u1") + "=tb1_" + strings.Repeat("A", 107), false},
		"another user's cookie":  {required, "", "__Host-" + cookie.BrowserName("t1", "u2") + trusted[strings.Index(trusted, "="):], false},
		"without the prefix":     {required, "", strings.TrimPrefix(trusted, "__Host-"), false},
		"a rule decided":         {store.Action{State: api.StateChallengeRequired, PriorityRuleID: "r1"}, "", trusted, false},
		"nothing is asked":       {store.Action{State: api.StateAllow}, "", trusted, false},
		"done":                   {store.Action{State: api.StateChallengeSucceeded}, "", trusted, false},
		"to change the settings": {required, "&redirect_to_settings=true", trusted, false},
		"to add an app":          {required, "&force_enrollment=true", trusted, false},
		"blocked":                {store.Action{State: api.StateBlock}, "", trusted, false},
	} {
		for range 2 {
			a := s.get("token="+s.track(tt.action)+tt.query, "Cookie", tt.cookie)
			if got := a.data("tries-browser") == "true"; got != tt.want {
				t.Errorf("%s: tried %v", name, got)
			}
			if a.header.Get("Set-Cookie") != "" || strings.Contains(a.body, "tb1_") {
				t.Errorf("%s: sets a cookie, or shows it", name)
			}
			if strings.Contains(a.body, `as="fetch"`) == (tt.want || a.data("start") == "failure" || a.data("start") == "done") {
				t.Errorf("%s: the module is loaded in advance where it is not needed, or is not", name)
			}
		}
	}
	s.now = s.now.Add(30 * 24 * time.Hour)
	if s.get("token="+s.track(required), "Cookie", trusted).data("tries-browser") == "true" {
		t.Error("tried after 30 days")
	}
}

// The box is shown where a code ends the visit, and where the browser keeps the cookie.
func TestTheBoxToRememberTheBrowser(t *testing.T) {
	t.Parallel()
	required := store.Action{State: api.StateChallengeRequired}
	for name, tt := range map[string]struct {
		days      int
		publicURL string
		query     string
		header    []string
		want      string
	}{
		"off":                  {0, "https://mfa.test", "", nil, ""},
		"on":                   {30, "https://mfa.test", "", nil, "Remember this browser for 30 days"},
		"a day":                {1, "https://mfa.test", "", nil, "Remember this browser for one day"},
		"in German":            {90, "https://mfa.test", "", []string{"Accept-Language", "de"}, "Diesen Browser 90 Tage lang merken"},
		"on loopback":          {30, "http://127.0.0.1:8080", "", nil, "Remember this browser for 30 days"},
		"below a path":         {30, "https://mfa.test/mfa", "", nil, "Remember this browser for 30 days"},
		"without TLS":          {30, "http://mfa.test", "", nil, ""},
		"in a frame elsewhere": {30, "https://mfa.test", "&mode=popup", []string{"Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "cross-site"}, ""},
		"in an unknown frame":  {30, "https://mfa.test", "&mode=popup", nil, ""},
		"in a frame of a site": {30, "https://mfa.test", "&mode=popup", []string{"Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "same-site"}, "Remember this browser for 30 days"},
		"in a window":          {30, "https://mfa.test", "&mode=popup", []string{"Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "cross-site"}, "Remember this browser for 30 days"},
		"from another site":    {30, "https://mfa.test", "", []string{"Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "cross-site"}, "Remember this browser for 30 days"},
		"before the settings":  {30, "https://mfa.test", "&redirect_to_settings=true", nil, ""},
	} {
		s := newSite(t, func(c *Config) {
			var err error
			if c.Cookies, err = cookie.At(tt.publicURL); err != nil {
				t.Fatal(err)
			}
		})
		s.trusting(tt.days)
		first := s.get("token="+s.track(store.Action{State: api.StateAllow, Newcomer: true})+tt.query, tt.header...)
		s.enroll(api.AuthenticatorApp)
		later := s.get("token="+s.track(required)+tt.query, tt.header...)
		for step, a := range map[string]answer{"challenge": later, "enroll": first} {
			box := strings.Contains(a.body, `id="`+step+`-remember" type="checkbox" aria`) && strings.Contains(a.body, tt.want)
			if box != (tt.want != "") {
				t.Errorf("%s, %s: shown %v", name, step, box)
			}
		}
		if strings.Contains(later.body, `id="enroll-remember"`) {
			t.Errorf("%s: a box beside the enrollment of a further app", name)
		}
		if strings.Contains(later.body, "checked") {
			t.Errorf("%s: ticked", name)
		}
	}
}
