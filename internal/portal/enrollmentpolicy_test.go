package portal

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// signedIn stores users who have signed in, each with an action of a code.
func (d *fixture) signedIn(at time.Time, action string, enrolled bool, users ...string) {
	d.t.Helper()
	d.update(func(tx *store.Tx) error {
		for _, user := range users {
			id := store.ActionID{UserID: user, Action: action, IdempotencyKey: at.String()}
			if _, err := tx.EnsureStanding(id, at); err != nil {
				return err
			}
			if err := tx.InsertAction(store.Action{ActionID: id, State: api.StateAllow, CreatedAt: at, StateUpdatedAt: at}); err != nil {
				return err
			}
			if !enrolled {
				continue
			}
			a := store.Authenticator{ID: user, UserID: user, Method: api.SMS, PhoneNumber: "1", CreatedAt: at, VerifiedAt: at}
			if err := tx.InsertVerified(a, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// note returns the text of the dry run on a page.
func note(text string) string {
	_, text, _ = strings.Cut(text, `role="status"><p>`)
	text, _, _ = strings.Cut(text, "</div>")
	var b strings.Builder
	tag := false
	for _, r := range text {
		switch {
		case r == '<':
			tag = true
		case r == '>':
			tag = false
		case !tag:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestDryRunOfAnEnrollmentPolicy(t *testing.T) {
	t.Parallel()
	d := newFixture(t) // 2023-11-14T22:13:20Z
	now := d.clock()
	const day = 24 * time.Hour
	d.signedIn(now.Add(-20*day), "signIn", true, "enrolled-1", "enrolled-2")
	d.signedIn(now.Add(-20*day), "signIn", false, "early-1", "early-2", "early-3")
	d.signedIn(now.Add(-5*day), "pay", false, "late-1", "late-2")
	d.signedIn(now.Add(-5*day), "read", false, "reader")
	d.signedIn(now.Add(-5*day), "own", false, "other")
	d.signedIn(now.Add(-31*day), "signIn", false, "gone")
	d.update(func(tx *store.Tx) error {
		// Pending ones do not count.
		_, err := tx.InsertPending(store.Authenticator{ID: "p", UserID: "early-1", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: now}, "SECRET", now.Add(-time.Hour))
		if err != nil {
			return err
		}
		if _, err := tx.PutActionSettings("read", api.ActionSettings{DefaultOutcome: api.OutcomeAllow}); err != nil {
			return err
		}
		_, err = tx.PutActionSettings("own", api.ActionSettings{DefaultOutcome: api.OutcomeChallenge, EnrollmentPolicy: &api.EnrollmentPolicy{RequiredFrom: api.Never}})
		return err
	})
	b := d.operator()
	for _, tt := range []struct{ path, policy, from, days, want string }{
		{"settings", "", "2023-11-01T00:00", "0", "Of 7 users active in the last 30 days, 5 have no authenticator. 5 would be stopped now. Nothing was saved."},
		{"settings", "", "2023-11-01T00:00", "10", "Of 7 users active in the last 30 days, 5 have no authenticator. 3 would be stopped now, and 2 more when their grace ends, if they do not enroll before that. Nothing was saved."},
		{"settings", "", "2023-11-16T22:13:20", "30", "Of 7 users active in the last 30 days, 5 have no authenticator. Until 2023-11-16 22:13:20 UTC none would be stopped. Then 0 would be, if they do not enroll before that, and 5 more when their grace ends. Nothing was saved."},
		{"settings", "", "2023-11-20T00:00", "14", "Of 7 users active in the last 30 days, 5 have no authenticator. Until 2023-11-20 00:00:00 UTC none would be stopped. Then 3 would be, if they do not enroll before that, and 2 more when their grace ends. Nothing was saved."},
		{"settings", "", "", "", "Of 7 users active in the last 30 days, 5 have no authenticator. Without a policy, none is stopped. Nothing was saved."},
		{"actions/pay", "own", "2023-11-01T00:00", "", "Of 2 users active in the last 30 days, 2 have no authenticator. 2 would be stopped now. Nothing was saved."},
		{"actions/pay", "tenant", "2023-11-01T00:00", "", "Of 2 users active in the last 30 days, 2 have no authenticator. Without a policy, none is stopped. Nothing was saved."},
		{"actions/pay", "none", "", "", "Of 2 users active in the last 30 days, 2 have no authenticator. Without a policy, none is stopped. Nothing was saved."},
		{"actions/own", "own", "2023-11-01T00:00", "", "Of 1 user active in the last 30 days, 1 has no authenticator. 1 would be stopped now. Nothing was saved."},
		{"actions/read", "own", "2023-11-01T00:00", "", "Of 1 user active in the last 30 days, 1 has no authenticator. The action requires no code, so the policy stops no user here. Nothing was saved."},
	} {
		r := b.wants(b.post("/t/t1/"+tt.path+"/enrollment", "policy", tt.policy, "requiredFrom", tt.from, "graceDays", tt.days, "do", "try"), http.StatusOK)
		if got := note(r.text); got != tt.want {
			t.Errorf("%s %s %s %s: got %q\nwant %q", tt.path, tt.policy, tt.from, tt.days, got, tt.want)
		}
		if !strings.Contains(r.text, fmt.Sprintf(`value="%s" aria-describedby="requiredFrom-help"`, tt.from)) {
			t.Errorf("%s: the form has lost what was entered", tt.path)
		}
	}
	if tenant, _, err := d.store.Tenant(t.Context(), "t1"); err != nil || tenant.Enrollment != nil {
		t.Errorf("a dry run has saved %v, %v", tenant.Enrollment, err)
	}
}

func TestEnrollmentPolicyForm(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	b := d.operator()
	tenants := func() *api.EnrollmentPolicy {
		tenant, _, err := d.store.Tenant(t.Context(), "t1")
		if err != nil {
			t.Fatal(err)
		}
		return tenant.Enrollment
	}
	actions := func() (p *api.EnrollmentPolicy, rules int) {
		if err := d.store.View(t.Context(), "t1", func(tx *store.Tx) error {
			s, _, err := tx.ActionSettings("pay")
			p, rules = s.EnrollmentPolicy, len(s.Rules)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return p, rules
	}
	b.wants(b.post("/t/t1/settings/enrollment", "requiredFrom", "2027-03-01T08:30", "graceDays", "14", "do", "save"), http.StatusSeeOther)
	if got := tenants(); got == nil || *got != (api.EnrollmentPolicy{RequiredFrom: "2027-03-01T08:30:00Z", GraceDays: 14}) {
		t.Errorf("got %v", got)
	}
	if text := b.get("/t/t1/settings").text; !strings.Contains(text, `value="2027-03-01T08:30"`) || !strings.Contains(text, `max="365" value="14"`) {
		t.Errorf("got %s", text)
	}
	for _, bad := range [][]string{
		{"requiredFrom", "soon"}, {"requiredFrom", "", "graceDays", "3"}, {"requiredFrom", "2027-03-01T00:00", "graceDays", "366"}, {"requiredFrom", "2027-03-01T00:00", "graceDays", "x"},
	} {
		for _, do := range []string{"save", "try"} {
			b.wants(b.post("/t/t1/settings/enrollment", append(bad, "do", do)...), http.StatusBadRequest)
			b.wants(b.post("/t/t1/actions/pay/enrollment", append(bad, "policy", "own", "do", do)...), http.StatusBadRequest)
		}
	}
	b.wants(b.post("/t/t1/actions/pay/enrollment", "policy", "mine", "do", "save"), http.StatusBadRequest)
	b.wants(b.post("/t/t1/actions/pay/enrollment", "policy", "own", "do", "save"), http.StatusBadRequest)

	// What else is set stays.
	b.wants(b.post("/t/t1/actions/pay/rule", "name", "one", "condition", "true", "outcome", "BLOCK", "do", "save"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/actions/pay/enrollment", "policy", "own", "requiredFrom", "2028-01-01T00:00:05", "graceDays", "", "do", "save"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/actions/pay", "outcome", "REVIEW", "trustBrowserDays", "3"), http.StatusSeeOther)
	if got, rules := actions(); got == nil || *got != (api.EnrollmentPolicy{RequiredFrom: "2028-01-01T00:00:05Z"}) || rules != 1 {
		t.Errorf("got %v, %d rules", got, rules)
	}
	if text := b.get("/t/t1/actions/pay").text; !strings.Contains(text, `<option value="own" selected>`) || !strings.Contains(text, `step="1" value="2028-01-01T00:00:05"`) ||
		!strings.Contains(text, "the tenant&#39;s policy (from 2027-03-01 08:30:00 UTC)") && !strings.Contains(text, "the tenant's policy (from 2027-03-01 08:30:00 UTC)") {
		t.Errorf("got %s", text)
	}
	b.wants(b.post("/t/t1/actions/pay/enrollment", "policy", "none", "do", "save"), http.StatusSeeOther)
	if got, _ := actions(); got == nil || got.RequiredFrom != api.Never {
		t.Errorf("got %v", got)
	}
	b.wants(b.post("/t/t1/actions/pay/enrollment", "policy", "tenant", "do", "save"), http.StatusSeeOther)
	if got, _ := actions(); got != nil {
		t.Errorf("got %v", got)
	}
	b.wants(b.post("/t/t1/settings/enrollment", "requiredFrom", "", "graceDays", "0", "do", "save"), http.StatusSeeOther)
	if got := tenants(); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d: got %s", n, got)
		}
	}
}
