package portal

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

var linkIn = regexp.MustCompile(`http://127\.0\.0\.1:4000/\?recovery=(rl1_[\w-]{43})`)

// enrolled stores a user with an authenticator app in a tenant that is active.
func (d *fixture) enrolled(user string) {
	d.t.Helper()
	d.update(func(tx *store.Tx) error {
		settings := api.DefaultAuthenticatorSettings("Acme")
		settings.Active = true
		if _, err := tx.PutTenant(settings, d.clock()); err != nil {
			return err
		}
		if _, err := tx.EnsureUser(user, d.clock()); err != nil {
			return err
		}
		a := store.Authenticator{ID: "a-" + user, UserID: user, Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: d.clock(), VerifiedAt: d.clock()}
		return tx.InsertVerified(a, "GEZDGNBVGY3TQOJQ")
	})
}

// link returns the user's recovery link.
func (d *fixture) link(user string) (l api.RecoveryLink) {
	d.t.Helper()
	d.update(func(tx *store.Tx) error {
		list, err := mfa.RecoveryLinks(tx, user, d.clock())
		if len(list) > 0 {
			l = list[0]
		}
		return err
	})
	return l
}

func TestAnOperatorIssuesARecoveryLink(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.enrolled("u1")
	b := d.operator()
	b.wants(b.get("/t/t1/users/recover?id=u1"), http.StatusOK)
	b.wants(b.get("/t/t1/users/recover?id=u2"), http.StatusNotFound)
	b.wants(b.post("/t/t1/users/recover", "id", "u2", "name", "Jo", "life", "hour"), http.StatusNotFound)
	b.wants(b.post("/t/t1/users/recover", "id", "u1", "name", "Jo", "life", "year"), http.StatusBadRequest)
	r := b.wants(b.post("/t/t1/users/recover", "id", "u1", "life", "day", "codes", "on"), http.StatusBadRequest)
	if !strings.Contains(r.text, "Enter your name.") || !strings.Contains(r.text, `value="day" selected`) || d.link("u1").RecoveryLinkID != "" {
		t.Errorf("without a name: got %s", r.text)
	}
	r = b.wants(b.post("/t/t1/users/recover", "id", "u1", "name", "Jo <b>", "life", "hour", "authenticators", "on"), http.StatusOK)
	m := linkIn.FindStringSubmatch(r.text)
	if m == nil {
		t.Fatalf("no link in %s", r.text)
	}
	l := d.link("u1")
	if l.State != api.LinkActive || l.IssuedBy != "Jo <b>" || len(l.Void) != 1 || l.Void[0] != api.VoidAuthenticators || !l.ExpiresAt.Equal(d.clock().Add(3600e9)) {
		t.Errorf("got %+v", l)
	}
	d.update(func(tx *store.Tx) error {
		tenant, _, err := tx.Tenant()
		if err == nil {
			_, err = mfa.LockRecovery(tx, tenant, m[1], d.clock())
		}
		return err
	})
	text := b.get("/t/t1/users/user?id=u1").text + b.get("/t/t1/activity").text
	for _, want := range []string{">Active<", "Jo &lt;b&gt;", "other authenticators", "Recovery link issued", "operator", d.portal.sessionName(&http.Request{Header: http.Header{"Cookie": {cookies(b)}}})} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text+d.log.String(), m[1]) {
		t.Error("the secret is shown again, or logged")
	}
	b.wants(b.get("/t/t1/users/change?do=withdraw&id=u1&link="+l.RecoveryLinkID), http.StatusOK)
	b.wants(b.post("/t/t1/users/change", "do", "withdraw", "id", "u1", "link", l.RecoveryLinkID), http.StatusBadRequest)
	b.wants(b.post("/t/t1/users/change", "do", "withdraw", "id", "u1", "link", l.RecoveryLinkID, "name", "Jo"), http.StatusSeeOther)
	if d.link("u1").RecoveryLinkID != "" {
		t.Error("the link is not revoked")
	}
}

// cookies returns the cookies of a browser, as a header.
func cookies(b *browser) string {
	req, _ := http.NewRequest("GET", b.url+Path, nil) // the URL is that of a test server
	var all []string
	for _, c := range b.client.Jar.Cookies(req.URL) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

func TestASecondOperatorApproves(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.enrolled("u1")
	jo, al := d.operator(), d.operator()
	jo.wants(jo.post("/t/t1/settings/recovery", "approval", "on"), http.StatusSeeOther)
	if text := jo.get("/t/t1/settings").text; !strings.Contains(text, `name="approval" type="checkbox" checked`) {
		t.Error("the setting is not shown")
	}
	r := jo.wants(jo.post("/t/t1/users/recover", "id", "u1", "name", "Jo", "life", "hour"), http.StatusOK)
	if !linkIn.MatchString(r.text) || !strings.Contains(r.text, "does not work yet") {
		t.Errorf("got %s", r.text)
	}
	approve := func(b *browser, name string) answer {
		return b.post("/t/t1/users/change", "do", "approve", "id", "u1", "link", d.link("u1").RecoveryLinkID, "name", name)
	}
	if text := jo.get("/t/t1/users/user?id=u1").text; !strings.Contains(text, "do=approve") || !strings.Contains(text, "Pending approval") {
		t.Errorf("got %s", text)
	}
	for _, refused := range []answer{approve(jo, "Al"), approve(al, "jo"), approve(al, "")} {
		if jo.wants(refused, http.StatusBadRequest); !strings.Contains(refused.text, `role="alert"`) {
			t.Errorf("got %s", refused.text)
		}
	}
	if got := d.link("u1").State; got != api.LinkPending {
		t.Errorf("got %s", got)
	}
	al.wants(approve(al, "Al"), http.StatusSeeOther)
	if got := d.link("u1"); got.State != api.LinkActive || got.ApprovedBy != "Al" {
		t.Errorf("got %+v", got)
	}
	jo.wants(jo.post("/t/t1/settings/recovery"), http.StatusSeeOther)
	jo.wants(jo.post("/t/t1/users/recover", "id", "u1", "name", "Jo", "life", "hour"), http.StatusOK)
	if got := d.link("u1").State; got != api.LinkActive {
		t.Errorf("got %s", got)
	}
}

// All factors are removed only after the id of the user is typed.
func TestResetOfAUser(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.enrolled("u1")
	b := d.operator()
	b.wants(b.get("/t/t1/users/change?do=reset&id=u1"), http.StatusOK)
	b.wants(b.get("/t/t1/users/change?do=reset&id=u2"), http.StatusNotFound)
	r := b.wants(b.post("/t/t1/users/change", "do", "reset", "id", "u1", "typed", "u2"), http.StatusBadRequest)
	if !strings.Contains(r.text, "Nothing was changed.") {
		t.Errorf("got %s", r.text)
	}
	if text := b.get("/t/t1/users/user?id=u1").text; strings.Contains(text, "No authenticators.") {
		t.Error("it was removed")
	}
	b.wants(b.post("/t/t1/users/change", "do", "reset", "id", "u1", "typed", "u1"), http.StatusSeeOther)
	if text := b.get("/t/t1/users/user?id=u1").text; !strings.Contains(text, "No authenticators.") {
		t.Errorf("got %s", text)
	}
}
