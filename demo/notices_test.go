package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
	"github.com/authsignal-wasm/sdk/internal/logtest"
)

// awaitNotice waits for a notice to the user of the session.
func (b *browser) awaitNotice(part string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		status, a := b.call("GET", "/api/notices", nil)
		if status != http.StatusOK {
			b.t.Fatalf("notices: status %d", status)
		}
		for _, n := range a.Notices {
			if strings.Contains(n.Text, part) {
				return
			}
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("no notice has %q: %+v", part, a.Notices)
		}
	}
}

// The API's events arrive, are printed, and are shown to their user alone.
func TestNotices(t *testing.T) {
	t.Parallel()
	d, log, mail := startDemoWithMail(t)
	b, other := newBrowser(t, d), newBrowser(t, d)
	if status, a := b.call("GET", "/api/notices", nil); status != http.StatusOK || len(a.Notices) != 0 {
		t.Errorf("without a session: status %d, %+v", status, a.Notices)
	}
	b.enroll("jane")
	b.awaitNotice("An authenticator app was added")
	if got := mail.String(); !strings.HasPrefix(got, `Mail to "jane": An authenticator app was added to your account.`) || strings.Count(got, "\n") != 1 {
		t.Errorf("printed %q", got)
	}
	other.enroll("john")
	other.awaitNotice("An authenticator app was added")
	if got := other.account().Notices; len(got) != 1 {
		t.Errorf("john has %+v", got)
	}
	b.mustCall("POST", "/api/rename-authenticator", map[string]string{"id": b.account().Authenticators[0].ID, "name": "Work phone"}, stepAccount)
	b.awaitNotice(`is now called "Work phone"`)
	// The settings and webhooks of the API are the demo's: no warning is logged.
	if strings.Contains(log.String(), "WARN") || strings.Contains(log.String(), "ERROR") {
		t.Errorf("the log has\n%s", log)
	}
}

// send sends a webhook with a signature by a key.
func send(t *testing.T, d *demo, key, body string) int {
	t.Helper()
	at := time.Now().Unix()
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%d.%s", at, body)
	req, _ := http.NewRequest("POST", d.url+webhookPath, strings.NewReader(body))
	req.Header.Set(authsignal.WebhookSignatureHeader, fmt.Sprintf("t=%d,v2=%s", at, base64.RawStdEncoding.EncodeToString(mac.Sum(nil))))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestWebhookNeedsTheSignature(t *testing.T) {
	t.Parallel()
	d, log, mail := startDemoWithMail(t)
	event := func(kind, id string) string {
		return `{"version":1,"id":"` + id + `","source":"s","time":"2026-01-01T00:00:00Z","tenantId":"t","type":"` + kind + `","data":{"userId":"jane"}}`
	}
	created := event(authsignal.EventAuthenticatorCreated, "1")
	for body, want := range map[string]int{created: 401, strings.Repeat(" ", maxBody+1): 400} {
		if got := send(t, d, "another key", body); got != want {
			t.Errorf("without the key: status %d, want %d", got, want)
		}
	}
	if mail.String() != "" || strings.Contains(log.String(), "jane") {
		t.Error("a webhook without the signature was used or logged")
	}
	// The same event may arrive twice. An action.verify is consented to.
	for _, body := range []string{created, created, event(authsignal.EventActionVerify, "2"), event("later.event", "3")} {
		if got := send(t, d, d.tenant.secretKey, body); got != 204 {
			t.Errorf("%s: status %d", body, got)
		}
	}
	if got := mail.String(); strings.Count(got, "Mail to") != 1 {
		t.Errorf("printed %q", got)
	}
}

func TestNoticeOfEveryEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		data any
		want string
	}{
		{authsignal.AuthenticatorCreated{UserID: "u"}, "was added"},
		{authsignal.AuthenticatorDeleted{UserID: "u"}, "was removed"},
		{authsignal.AuthenticatorRenamed{UserID: "u", Name: "Work"}, `now called "Work"`},
		{authsignal.AuthenticatorRenamed{UserID: "u"}, "no name"},
		{authsignal.AuthenticatorLocked{UserID: "u", FailuresInARow: 10}, "for some minutes"},
		{authsignal.AuthenticatorLocked{UserID: "u", FailuresInARow: 100, NeedsUnlock: true}, "100 codes in a row"},
		{authsignal.AuthenticatorUnlocked{UserID: "u"}, "was unlocked"},
		{authsignal.RecoveryCodesCreated{UserID: "u"}, "New recovery codes"},
		{authsignal.RecoveryCodeUsed{UserID: "u", RecoveryCodesLeft: 3}, "3 are left. No browser"},
		{authsignal.RecoveryCodesRunningOut{UserID: "u", RecoveryCodesLeft: 2}, "Only 2 recovery codes"},
		{authsignal.RecoveryLinkIssued{UserID: "u"}, "has issued a recovery link"},
		{authsignal.RecoveryLinkUsed{UserID: "u"}, "recovery link of your account was used"},
		{authsignal.CodesGuessed{UserID: "u", WrongCodes: 100}, "100 codes of your account were wrong"},
		{authsignal.RecoveryCodesVoided{UserID: "u"}, "no longer work"},
		{authsignal.TrustedBrowserCreated{UserID: "u", IPAddress: "192.0.2.1", UserAgent: "Firefox/1 Linux"}, "Firefox on Linux at 192.0.2.1."},
		{authsignal.TrustedBrowserCopied{UserID: "u", IPAddress: "192.0.2.1", LastIPAddress: "192.0.2.2"}, "at 192.0.2.1, and before that with an unknown browser at 192.0.2.2"},
	} {
		if user, text := noticeOf(authsignal.Event{Data: c.data}); user != "u" || !strings.Contains(text, c.want) {
			t.Errorf("%T: got %q for %q, want %q in it", c.data, text, user, c.want)
		}
	}
	if _, text := noticeOf(authsignal.Event{Data: authsignal.ActionVerify{UserID: "u"}}); text != "" {
		t.Errorf("of a question: %q", text)
	}
}

func TestNoticesAreBounded(t *testing.T) {
	t.Parallel()
	n := notices{out: new(logtest.Buffer)}
	for i := range maxNotices + 1 {
		n.add(authsignal.Event{ID: fmt.Sprint(i), Data: authsignal.AuthenticatorCreated{UserID: "u"}})
	}
	if len(n.all) != maxNotices || n.all[0].id != "1" {
		t.Errorf("%d are kept, from %s", len(n.all), n.all[0].id)
	}
	if got := n.of("u"); len(got) != maxShown || got[0].id != fmt.Sprint(maxNotices) {
		t.Errorf("%d are shown, from %s", len(got), got[0].id)
	}
}
