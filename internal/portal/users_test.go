package portal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

func TestChangesOfAUser(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
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
	if text := b.get("/t/t1/users/user?id=" + id).text; strings.Contains(text, ">Locked<") || !strings.Contains(text, ">Active<") {
		t.Errorf("got %s", text)
	}
	b.wants(b.post("/t/t1/users/change", "do", "delete", "id", "a/b ?#"), http.StatusSeeOther)
	b.wants(b.get("/t/t1/users/user?id="+id), http.StatusNotFound)
	// The webhook has events, and the audit log names the operator.
	events, err := d.store.ClaimEvents(t.Context(), now.Add(time.Second), now.Add(time.Minute), func(due []store.Due) []store.Claim {
		return []store.Claim{{TenantID: due[0].TenantID, Events: 10}}
	})
	var types []string
	for _, e := range events {
		types = append(types, e.Type)
	}
	slices.Sort(types)
	if want := []string{api.EventAuthenticatorDeleted, api.EventAuthenticatorDeleted, api.EventAuthenticatorUnlocked}; err != nil || !slices.Equal(types, want) {
		t.Errorf("got %v, %v, want %v", types, err, want)
	}
	text := b.get("/t/t1/activity").text
	for _, want := range []string{"Authenticator unlocked", "Authenticator deleted", "User deleted", "operator"} {
		if !strings.Contains(text, want) {
			t.Errorf("the activity has no %q", want)
		}
	}
}

// An operator sees that a user is refused because a server's clock was ahead, and
// what an unlock does about it.
func TestAnAuthenticatorOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.update(func(tx *store.Tx) error {
		if _, err := tx.EnsureUser("ada", d.clock()); err != nil {
			return err
		}
		a := store.Authenticator{ID: "a1", UserID: "ada", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: d.clock(), VerifiedAt: d.clock()}
		if err := tx.InsertVerified(a, "SECRET"); err != nil {
			return err
		}
		return tx.AcceptStep(a, a.Step(d.clock().Add(time.Hour)), d.clock())
	})
	b := d.operator()
	const page, change = "/t/t1/users/user?id=ada", "/t/t1/users/change?do=unlock&id=ada&authenticator=a1"
	if text := b.get(page).text; !strings.Contains(text, "clock was ahead") || !strings.Contains(text, "do=unlock") {
		t.Errorf("got %s", text)
	}
	if text := b.get(change).text; !strings.Contains(text, "can be used once more") {
		t.Errorf("got %s", text)
	}
	b.wants(b.post("/t/t1/users/change", "do", "unlock", "id", "ada", "authenticator", "a1"), http.StatusSeeOther)
	if text := b.get(page).text; strings.Contains(text, "clock was ahead") {
		t.Errorf("got %s", text)
	}
	if text := b.get(change).text; strings.Contains(text, "can be used once more") {
		t.Errorf("got %s", text)
	}
}

// An operator sees the names of authenticators, where they were used, and how many
// recovery codes are left, and can change the first and void the last.
func TestNamesAndRecoveryCodesOfAUser(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.update(func(tx *store.Tx) error {
		if _, err := tx.EnsureUser("ada", d.clock()); err != nil {
			return err
		}
		a := store.Authenticator{ID: "a1", UserID: "ada", Name: "Ada’s <phone>", Method: api.AuthenticatorApp, Parameters: totp.DefaultParameters, CreatedAt: d.clock(), VerifiedAt: d.clock()}
		if err := tx.InsertVerified(a, "SECRET"); err != nil {
			return err
		}
		used := store.Action{
			ActionID: store.ActionID{UserID: "ada", Action: "signIn", IdempotencyKey: "k"}, State: api.StateChallengeRequired, Outcome: api.OutcomeChallenge,
			CreatedAt: d.clock(), StateUpdatedAt: d.clock(), IPAddress: "192.0.2.7", UserAgent: "Firefox <1>",
		}
		err := errors.Join(tx.InsertAction(used), tx.AcceptStep(a, 1, d.clock()), tx.CompleteAction(used.ActionID, used.State, a, 0, d.clock()))
		if err != nil {
			return err
		}
		_, err = mfa.IssueRecoveryCodes(tx, store.Tenant{ID: "t1", Authenticator: api.DefaultAuthenticatorSettings("t1")}, "ada", rand.Reader, d.clock())
		return err
	})
	b := d.operator()
	const page = "/t/t1/users/user?id=ada"
	text := b.get(page).text
	for _, want := range []string{"Ada’s &lt;phone&gt;", "from <bdi>192.0.2.7</bdi></span> ", "<bdi>Firefox &lt;1&gt;</bdi>", "10 of 10 are left.", "do=rename", "do=void"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q: %s", want, text)
		}
	}
	if text := b.get("/t/t1/users/change?do=rename&id=ada&authenticator=a1").text; !strings.Contains(text, `value="Ada’s &lt;phone&gt;"`) {
		t.Errorf("the form: got %s", text)
	}
	b.wants(b.post("/t/t1/users/change", "do", "rename", "id", "ada", "authenticator", "a1", "name", strings.Repeat("x", 65)), http.StatusBadRequest)
	b.wants(b.post("/t/t1/users/change", "do", "rename", "id", "ada", "authenticator", "none", "name", "x"), http.StatusNotFound)
	b.wants(b.post("/t/t1/users/change", "do", "rename", "id", "ada", "authenticator", "a1", "name", "Work"), http.StatusSeeOther)
	b.wants(b.get("/t/t1/users/change?do=void&id=ada"), http.StatusOK)
	b.wants(b.post("/t/t1/users/change", "do", "void", "id", "ada"), http.StatusSeeOther)
	if text := b.get(page).text; !strings.Contains(text, ">Work<") || !strings.Contains(text, "No recovery codes.") {
		t.Errorf("got %s", text)
	}
}

// An operator sees the browsers that a user trusts, and ends the trust in one.
func TestTrustedBrowsersOfAUser(t *testing.T) {
	t.Parallel()
	d := newFixture(t)
	d.update(func(tx *store.Tx) error {
		if _, err := tx.EnsureUser("ada", d.clock()); err != nil {
			return err
		}
		for _, id := range []string{"b1", "b2"} {
			err := tx.InsertTrustedBrowser(store.TrustedBrowser{
				ID: id, UserID: "ada", UserAgent: "Firefox <" + id + ">", IPAddress: "192.0.2.1", TrustedAt: d.clock(), LastUsedAt: d.clock(),
				FixedHash: []byte{1}, TurnHash: []byte{2},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	b := d.operator()
	const page = "/t/t1/users/user?id=ada"
	if text := b.get(page).text; !strings.Contains(text, "Firefox &lt;b1&gt;") || !strings.Contains(text, "from ") || !strings.Contains(text, "browser=b2") {
		t.Errorf("got %s", text)
	}
	b.wants(b.get("/t/t1/users/change?do=distrust&id=ada&browser=b1"), http.StatusOK)
	b.wants(b.post("/t/t1/users/change", "do", "distrust", "id", "ada", "browser", "b1"), http.StatusSeeOther)
	b.wants(b.post("/t/t1/users/change", "do", "distrust", "id", "ada", "browser", "b1"), http.StatusNotFound)
	b.wants(b.post("/t/t1/users/change", "do", "distrust", "id", "ada", "browser", ""), http.StatusNotFound)
	if text := b.get(page).text; strings.Contains(text, "b1") || !strings.Contains(text, "b2") {
		t.Errorf("got %s", text)
	}
}
