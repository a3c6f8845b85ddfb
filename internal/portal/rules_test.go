package portal

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/store/storetest"
)

// A change of rules starts from the rules in the database, not from those in the
// cache. A refused change has no effect, not even in the cache.
func TestChangesOfRulesStartFromTheDatabase(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
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
		t.Errorf("the cached rules became %v", cached)
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

func TestRules(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
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
	for _, days := range []string{"91", "-1", "x"} {
		b.wants(b.post("/t/t1/actions/pay", "outcome", "REVIEW", "trustBrowserDays", days), http.StatusBadRequest)
	}
	b.wants(b.post("/t/t1/actions/pay", "outcome", "REVIEW", "trustBrowserDays", "30"), http.StatusSeeOther)
	if text := b.get("/t/t1/actions/pay").text; !strings.Contains(text, `required value="30"`) {
		t.Errorf("the days of trust are not shown: %s", text)
	}
	b.wants(b.post("/t/t1/actions/pay/drop"), http.StatusSeeOther)
	if got := names(); got != nil {
		t.Errorf("got %v", got)
	}
}

// A condition is tried on a sample, and the position of its error is marked.
func TestTryACondition(t *testing.T) {
	t.Parallel()
	b := newFixture(t).operator()
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
