package portal

import (
	"encoding/json"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

func TestPlainEscapesWhatCannotBeSeen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"letters, digits, signs", "Ada-99_ä/日本 ع@x.test", "Ada-99_ä/日本 ع@x.test"},
		{"emoji", "👍 ok", "👍 ok"},
		{"mark on its base", "e\u0301", "e\u0301"},
		{"right-to-left override", "ada\u202egro", `ada\u{202E}gro`},
		{"isolate and its end", "\u2067x\u2069", `\u{2067}x\u{2069}`},
		{"right-to-left mark", "a\u200fb", `a\u{200F}b`},
		{"Arabic letter mark", "a\u061cb", `a\u{61C}b`},
		{"zero-width space", "a\u200bb", `a\u{200B}b`},
		{"zero-width joiner", "a\u200db", `a\u{200D}b`},
		{"byte order mark", "\ufeffa", `\u{FEFF}a`},
		{"soft hyphen", "a\u00adb", `a\u{AD}b`},
		{"word joiner", "a\u2060b", `a\u{2060}b`},
		{"interlinear annotation", "a\ufff9b", `a\u{FFF9}b`},
		{"line separator", "a\u2028b", `a\u{2028}b`},
		{"paragraph separator", "a\u2029b", `a\u{2029}b`},
		{"line end", "a\nb", `a\u{A}b`},
		{"tab", "a\tb", `a\u{9}b`},
		{"control", "a\x1b\u0085b", `a\u{1B}\u{85}b`},
		{"tag characters", "a\U000e0061\U000e007f", `a\u{E0061}\u{E007F}`},
		{"language tag", "a\U000e0001", `a\u{E0001}`},
		{"private use", "a\ue000\U000f0000\U0010fffd", `a\u{E000}\u{F0000}\u{10FFFD}`},
		{"unassigned", "a\u0378", `a\u{378}`},
		{"noncharacter", "a\uffff", `a\u{FFFF}`},
		{"variation selectors", "a\ufe0f\U000e0100", `a\u{FE0F}\u{E0100}`},
		{"grapheme joiner", "a\u034fb", `a\u{34F}b`},
		{"Hangul filler", "a\u3164b\uffa0", `a\u{3164}b\u{FFA0}`},
		{"blank braille", "a\u2800", `a\u{2800}`},
		{"no-break and wide spaces", "a\u00a0b\u3000c", `a\u{A0}b\u{3000}c`},
		{"mark at the beginning", "\u0301a", `\u{301}a`},
		{"marks alone", "\u0301\u0302", `\u{301}\u{302}`},
		{"mark after a space", "a \u0301", `a \u{301}`},
		{"mark after a hidden character", "a\u200b\u0301", `a\u{200B}\u{301}`},
		{"spaces at the edges", " a ", `\u{20}a\u{20}`},
		{"two spaces", "a  b", `a \u{20}b`},
		{"three spaces", "a   b", `a \u{20} b`},
		{"only spaces", "   ", `\u{20} \u{20}`},
		{"what looks like an escape", `a\u{202E}`, `a\u{5C}u{202E}`},
		{"a backslash", `a\b\`, `a\b\`},
		{"not UTF-8", "a\xff\xfe", "a\ufffd\ufffd"},
	} {
		if got := plain(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if got, want := hides(tt.text), tt.text != tt.want; got != want {
			t.Errorf("%s: hides is %v, want %v", tt.name, got, want)
		}
	}
}

// All code points of the kinds that are invisible, or that move others, are
// escaped wherever they stand; letters are not.
func TestPlainEscapesWholeCategories(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		escaped := plain("a"+string(r)+"b") != "a"+string(r)+"b"
		hidden := unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
			unicode.Is(unicode.Zs, r) && r != ' '
		if hidden && !escaped {
			t.Errorf("U+%04X is not escaped", r)
		}
		if escaped && !hidden && unicode.In(r, unicode.Lu, unicode.Ll, unicode.Nd, unicode.P) {
			t.Errorf("U+%04X is escaped", r)
		}
		if unicode.Is(unicode.M, r) && plain(string(r)) == string(r) {
			t.Errorf("U+%04X is not escaped without a base", r)
		}
	}
}

func TestShownIsIsolatedHTML(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]template.HTML{
		"ada":                         `<bdi>ada</bdi>`,
		"":                            `<bdi></bdi>`,
		"<b>&\"'":                     `<bdi>&lt;b&gt;&amp;&#34;&#39;</bdi>`,
		"a\u202e\u200bb":              `<bdi>a<span class="escaped">\u{202E}</span><span class="escaped">\u{200B}</span>b</bdi>`,
		"a\u202e":                     `<bdi>a<span class="escaped">\u{202E}</span></bdi>`,
		"{\n  \"a\u202e\": \t\u2028}": `<bdi>{<span class="escaped">\u{A}</span> <span class="escaped">\u{20}</span>&#34;a<span class="escaped">\u{202E}</span>&#34;: <span class="escaped">\u{9}</span><span class="escaped">\u{2028}</span>}</bdi>`,
	} {
		if got := shown(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got, want := shownLines("{\n  a\u202e\t\u2028}"), template.HTML("<bdi>{\n  a<span class=\"escaped\">\\u{202E}</span>\t<span class=\"escaped\">\\u{2028}</span>}</bdi>"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// carriers are the places where a page has a text for its forms, unchanged.
var carriers = regexp.MustCompile(`value="[^"]*"|(?s:<textarea[^>]*>.*?</textarea>)`)

// An id or a name with invisible characters, or with characters that reorder
// others, is shown escaped and isolated on every page, and its links work.
func TestHiddenCharactersAreShownOnEveryPage(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	const hidden = "\u200bada\u202egro  \u2066\U000e0041\u3164"
	escaped := strings.TrimSuffix(strings.TrimPrefix(string(shown(hidden)), "<bdi>"), "</bdi>")
	d.storeEverywhere(hidden)
	b := d.operator()
	q := url.QueryEscape(hidden)
	change := "/t/t1/users/change?id=" + q + "&authenticator=a1&do="
	pages := map[string]int{ // how often each shows the text at least
		"/t/t1/users":                    4,
		"/t/t1/users?q=" + q:             5,
		"/t/t1/users/user?id=" + q:       13,
		change + "remove":                1,
		change + "unlock":                1,
		change + "end":                   1,
		change + "delete":                1,
		"/t/t1/activity":                 7,
		"/t/t1/activity?user=" + q:       8,
		"/t/t1/activity?action=" + q:     5,
		"/t/t1/actions":                  1,
		"/t/t1/actions/pay":              6,
		"/t/t1/authenticators":           1,
		"/t/t1/actions/pay/drop?rule=r1": 0,
		"/t/t1/actions/pay/rule?rule=r1": 0,
	}
	for _, path := range tenantPages() {
		pages[path] = max(pages[path], 0)
	}
	for path, times := range pages {
		r := b.get(path)
		text := carriers.ReplaceAllString(r.text, "")
		for _, c := range "\u200b\u202e\u2066\U000e0041\u3164" {
			if strings.ContainsRune(text, c) {
				t.Errorf("%s: U+%04X is in the page as it is", path, c)
			}
		}
		if got := strings.Count(text, "<bdi>"+escaped); got < times {
			t.Errorf("%s: shows the text %d times, want %d\n%s", path, got, times, text)
		}
	}
	title := regexp.MustCompile(`<title>(.*)</title>`).FindStringSubmatch(b.get("/t/t1/users/user?id=" + q).text)
	if want := "&#x2068;User " + plain(hidden) + "&#x2069; · t1 · Portal"; title == nil || title[1] != want {
		t.Errorf("the title is %q, want %q", title, want)
	}

	// Links and forms carry the id as it is.
	links := regexp.MustCompile(`href="/portal(/t/t1/users/user\?id=[^"]*)"`).FindAllStringSubmatch(b.get("/t/t1/users").text, -1)
	if len(links) != 2 {
		t.Fatalf("got %q", links)
	}
	for _, link := range links {
		page := b.wants(b.get(html.UnescapeString(link[1])), http.StatusOK).text
		id := hidden
		if strings.HasSuffix(link[1], "=adagro") {
			id = "adagro"
		}
		if want := `<h1 class="break">` + string(shown(id)) + `</h1>`; !strings.Contains(page, want) {
			t.Errorf("%s: no %s", link[1], want)
		}
	}
	form := regexp.MustCompile(`name="id" value="([^"]*)"`).FindStringSubmatch(b.get(change + "end").text)
	if form == nil || html.UnescapeString(form[1]) != hidden {
		t.Errorf("the form has %q", form)
	}
	b.wants(b.post("/t/t1/users/change", "do", "end", "id", html.UnescapeString(form[1])), http.StatusSeeOther)
	events := d.audit(hidden)
	if len(events) == 0 || events[0].Kind != store.AuditTokensEnded {
		t.Errorf("got %v", events)
	}
}

// storeEverywhere stores a text as the id and every attribute of a user with an
// action, and in the settings of the tenant and of an action.
func (d *fixture) storeEverywhere(text string) {
	d.t.Helper()
	now := d.clock()
	d.update(func(tx *store.Tx) error {
		settings := api.DefaultAuthenticatorSettings(text)
		settings.Active = true
		if _, err := tx.PutTenant(settings, now); err != nil {
			return err
		}
		rule := api.ActionRule{RuleID: "r1", Name: text, Description: text, Condition: "user.id == '" + text + "'", Outcome: api.OutcomeBlock}
		if _, err := tx.PutActionSettings("pay", api.ActionSettings{DefaultOutcome: api.OutcomeAllow, Rules: []api.ActionRule{rule}}); err != nil {
			return err
		}
		for _, id := range []string{"adagro", text} {
			if _, err := tx.EnsureUser(id, now); err != nil {
				return err
			}
		}
		if err := tx.PutUser(store.User{ID: text, Email: text, PhoneNumber: text, Username: text, DisplayName: text, Locale: text, Custom: map[string]any{text: text}}); err != nil {
			return err
		}
		if err := tx.InsertVerified(store.Authenticator{ID: "a1", UserID: text, Method: api.SMS, PhoneNumber: text, Email: text, Parameters: totp.DefaultParameters, CreatedAt: now, VerifiedAt: now}, ""); err != nil {
			return err
		}
		for _, code := range []string{"pay", text} {
			a := store.Action{
				ActionID: store.ActionID{UserID: text, Action: code, IdempotencyKey: text}, State: api.StateBlock, CreatedAt: now, StateUpdatedAt: now,
				IPAddress: text, UserAgent: text, Outcome: api.OutcomeBlock, Rules: []api.Rule{{RuleID: "r1", Name: text}},
			}
			if err := tx.InsertAction(a); err != nil {
				return err
			}
		}
		return tx.Audit(store.AuditEvent{At: now, Kind: store.AuditCodeRefused, ActionID: store.ActionID{UserID: text, Action: text}, Detail: map[string]any{"by": text}})
	})
}

// audit reads the audit log of a user, newest first.
func (d *fixture) audit(userID string) (events []store.AuditEvent) {
	d.t.Helper()
	err := d.store.View(d.t.Context(), "t1", func(tx *store.Tx) (err error) {
		events, err = tx.AuditEvents(userID, 10)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return events
}

func TestEndAllTokensOfAUser(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.update(func(tx *store.Tx) error {
		for _, id := range []string{"ada", "grace"} {
			if _, err := tx.EnsureUser(id, d.clock()); err != nil {
				return err
			}
		}
		return nil
	})
	b := d.operator()
	if text := b.get("/t/t1/users/user?id=ada").text; !strings.Contains(text, `href="/portal/t/t1/users/change?do=end&amp;id=ada">End all tokens</a>`) {
		t.Errorf("no button in\n%s", text)
	}
	b.wants(b.get("/t/t1/users/change?do=end&id=ada"), http.StatusOK)
	if got := d.audit("ada"); got != nil {
		t.Errorf("the confirmation page ended tokens: got %v", got)
	}
	r := b.wants(b.post("/t/t1/users/change", "do", "end", "id", "ada"), http.StatusSeeOther)
	if text := b.get(strings.TrimPrefix(r.Header.Get("Location"), Path)).text; !strings.Contains(text, "All tokens of the user have ended.") {
		t.Errorf("got %s", text)
	}
	events := d.audit("ada")
	if detail, _ := json.Marshal(events); len(events) != 1 || events[0].Kind != "tokens.ended" || events[0].Detail["by"] != "operator" {
		t.Errorf("got %s", detail)
	}
	if text := b.get("/t/t1/activity?what=tokens.ended").text; !strings.Contains(text, `<span class="pill warn">Tokens ended</span>`) {
		t.Errorf("the activity has no entry: %s", text)
	}
	b.wants(b.get("/t/t1/users/change?do=end&id=none"), http.StatusNotFound)
	b.wants(b.post("/t/t1/users/change", "do", "end", "id", "none"), http.StatusNotFound)
}

func TestConfirmationsSayThatTokensEnd(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.update(func(tx *store.Tx) error {
		if _, err := tx.EnsureUser("ada", d.clock()); err != nil {
			return err
		}
		a := store.Authenticator{ID: "a1", UserID: "ada", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: d.clock(), VerifiedAt: d.clock()}
		return tx.InsertVerified(a, "SECRET")
	})
	b := d.operator()
	for do, want := range map[string]string{
		"remove": "all tokens of the user are ended", "unlock": "all tokens of the user are ended", "end": "tokens become invalid", "delete": "tokens become invalid",
	} {
		text := b.wants(b.get("/t/t1/users/change?id=ada&authenticator=a1&do="+do), http.StatusOK).text
		if !strings.Contains(html.UnescapeString(text), want) || !strings.Contains(text, "User: <strong><bdi>ada</bdi></strong>") {
			t.Errorf("%s: got %s", do, text)
		}
	}
}

func TestMaxAuthenticatorsIsChecked(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	save := func(n string) answer {
		return b.post("/t/t1/authenticators/app", "issuer", "Acme", "algorithm", "SHA1", "digits", "6", "period", "30", "drift", "1", "maxFailures", "10",
			"windowSeconds", "300", "maxFailuresInARow", "100", "allowMultiple", "on", "maxAuthenticators", n, "do", "activate")
	}
	for n, want := range map[string]string{"0": "maxAuthenticators must be 1 to 50.", "51": "maxAuthenticators must be 1 to 50.", "many": "maxAuthenticators must be a number."} {
		if r := b.wants(save(n), http.StatusBadRequest); !strings.Contains(r.text, want) {
			t.Errorf("%s: got %s", n, r.text)
		}
	}
	b.wants(save("50"), http.StatusSeeOther)
	if text := b.get("/t/t1/authenticators").text; !strings.Contains(text, "<dd>up to 50</dd>") {
		t.Errorf("got %s", text)
	}
	if text := b.get("/t/t1/authenticators/app").text; !strings.Contains(text, `min="1" max="50" value="50"`) {
		t.Errorf("got %s", text)
	}
}
