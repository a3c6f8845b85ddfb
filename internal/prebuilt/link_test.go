package prebuilt

import (
	"html"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// link issues a recovery link for u1, and returns its id and secret.
func (s *site) link(void ...api.RecoveryLinkVoid) (id, secret string) {
	s.t.Helper()
	s.update(func(tx *store.Tx) error {
		l, text, err := mfa.IssueRecoveryLink(tx, "u1", mfa.LinkRequest{Seconds: 60, Void: void}, mfa.Agent{By: mfa.ByBackend}, s.now)
		id, secret = l.RecoveryLinkID, text
		return err
	})
	return id, secret
}

func (s *site) fails(query, failure string, status int) answer {
	s.t.Helper()
	a := s.get(query)
	if a.status != status || a.data("reason") != failure || a.data("start") != "failure" {
		s.t.Errorf("got %d and %s, want %d and %s", a.status, a.data("reason"), status, failure)
	}
	return a
}

func TestThePageOfARecoveryLink(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.enroll(api.AuthenticatorApp)
	_, secret := s.link(api.VoidAuthenticators)
	query := "recovery=" + secret
	for range 3 { // it changes nothing
		a := s.get(query + "&mode=popup")
		if a.status != 200 || a.data("start") != "link" || a.data("then") != "linked" || a.data("link-ends") != "2023-11-14T22:14:20Z" || a.data("mode") != "" {
			t.Errorf("got %d, %s, %s, %s", a.status, a.data("start"), a.data("then"), a.data("link-ends"))
		}
		if a.directive("frame-ancestors") != "'none'" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %v", a.header)
		}
		text := html.UnescapeString(a.body)
		if !strings.Contains(text, "your other authenticators will no longer be accepted") || strings.Contains(text, "Your recovery codes will no longer") || !strings.Contains(text, "Acme sent you this link") {
			t.Error("the page does not say what the link does")
		}
		if strings.Contains(a.body, secret) {
			t.Error("the page has the secret")
		}
	}
	// A token in the address beside it is not used.
	if a := s.get(query + "&token=x"); a.data("start") != "link" {
		t.Errorf("got %s", a.data("start"))
	}
	s.now = s.now.Add(time.Minute)
	if a := s.fails(query, "linkExpired", 410); !strings.Contains(a.body, "Ask Acme for a new one.") {
		t.Error("the page does not name the app")
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("the log has the secret")
	}
}

func TestFailuresOfRecoveryLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.enroll(api.AuthenticatorApp)
	for _, secret := range []string{"", "x", "rl1_" + strings.Repeat("A", 43)} {
		s.fails("recovery="+secret, "link", 404)
	}
	id, used := s.link()
	s.update(func(tx *store.Tx) error { _, err := tx.UseRecoveryLink(id, s.now); return err })
	s.fails("recovery="+used, "linkUsed", 410)
	s.update(func(tx *store.Tx) error {
		_, err := tx.SetRecoveryLinks(api.RecoveryLinkSettings{Approval: true})
		return err
	})
	_, pending := s.link()
	s.fails("recovery="+pending, "linkPending", 403)
	s.fails("recovery="+used, "link", 404) // replaced
	s.update(func(tx *store.Tx) error { return tx.DeleteUser("u1") })
	s.fails("recovery="+pending, "link", 404)
}
