package main

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

const (
	// webhookPath is where the API server sends events to.
	webhookPath = "/webhooks"
	// maxNotices limits how many notices are kept, and maxShown how many a user sees.
	maxNotices = 1000
	maxShown   = 20
)

// A notice is a message to a user about the user's second factor. A real app sends it
// by mail, so that it arrives also if another person has the account.
type notice struct {
	id, user string
	At       time.Time `json:"at"`
	Text     string    `json:"text"`
}

// notices keeps the newest notices in memory, and prints each of them in place of
// sending it.
type notices struct {
	out io.Writer
	mu  sync.Mutex
	all []notice
}

// add keeps and prints the notice of an event, if the event has one. An event may
// arrive more than once.
func (n *notices) add(e authsignal.Event) {
	user, text := noticeOf(e)
	if text == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, old := range n.all {
		if old.id == e.ID {
			return
		}
	}
	if len(n.all) == maxNotices {
		n.all = n.all[1:]
	}
	n.all = append(n.all, notice{e.ID, user, e.Time, text})
	// A user id may hold anything: another backend may have chosen it.
	fmt.Fprintf(n.out, "Mail to %q: %s\n", user, text)
}

// of returns the newest notices of a user, the newest first.
func (n *notices) of(user string) []notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := []notice{}
	for i := len(n.all) - 1; i >= 0 && len(list) < maxShown; i-- {
		if n.all[i].user == user {
			list = append(list, n.all[i])
		}
	}
	return list
}

// notYou ends a notice of what an attacker may have done.
const notYou = " If it was not you, contact support at once."

// noticeOf returns the notice of an event and its user; the text is empty if the user
// need not hear of it. Names and user agents are quoted: users and browsers choose
// them.
func noticeOf(e authsignal.Event) (user, text string) {
	switch d := e.Data.(type) {
	case authsignal.AuthenticatorCreated:
		return d.UserID, "An authenticator app was added to your account." + notYou
	case authsignal.AuthenticatorDeleted:
		return d.UserID, "An authenticator app was removed from your account. You are signed out of other browsers, and none is remembered any more." + notYou
	case authsignal.AuthenticatorRenamed:
		if d.Name == "" {
			return d.UserID, "An authenticator app of your account has no name any more." + notYou
		}
		return d.UserID, fmt.Sprintf("An authenticator app of your account is now called %q.", d.Name) + notYou
	case authsignal.AuthenticatorLocked:
		const cause = "If these were not your codes, someone else knows your first factor: change it. "
		if d.NeedsUnlock {
			return d.UserID, fmt.Sprintf("%d codes in a row were wrong, and your authenticator app is locked. ", d.FailuresInARow) + cause +
				"Recovery codes still work; support unlocks the app."
		}
		return d.UserID, "Too many codes were wrong, and your authenticator app is blocked for some minutes. " + cause + "Recovery codes still work."
	case authsignal.AuthenticatorUnlocked:
		return d.UserID, "Your authenticator app was unlocked." + notYou
	case authsignal.RecoveryCodesCreated:
		return d.UserID, "New recovery codes are in force for your account. Earlier ones no longer work." + notYou
	case authsignal.RecoveryCodeUsed:
		return d.UserID, fmt.Sprintf("A recovery code of your account was used; %d are left. No browser is remembered any more.", d.RecoveryCodesLeft) + notYou
	case authsignal.RecoveryCodesRunningOut:
		return d.UserID, fmt.Sprintf("Only %d recovery codes of your account are left. Make new ones.", d.RecoveryCodesLeft)
	case authsignal.RecoveryCodesVoided:
		return d.UserID, "Your recovery codes no longer work, and there are no new ones." + notYou
	case authsignal.TrustedBrowserCreated:
		return d.UserID, "A browser is remembered and needs no code to sign in: " + device(d.UserAgent, d.IPAddress) + "." + notYou
	case authsignal.TrustedBrowserCopied:
		return d.UserID, fmt.Sprintf("A remembered browser was copied, and is not remembered any more: it was used with %s, and before that with %s.",
			device(d.UserAgent, d.IPAddress), device(d.LastUserAgent, d.LastIPAddress)) + notYou
	case authsignal.RecoveryLinkIssued:
		return d.UserID, "Support has issued a recovery link for your account, which sets up a new authenticator app." + notYou
	case authsignal.RecoveryLinkUsed:
		return d.UserID, "The recovery link of your account was used: an authenticator app was added, and no browser is remembered any more." + notYou
	case authsignal.CodesGuessed:
		return d.UserID, fmt.Sprintf("%d codes of your account were wrong within a month. ", d.WrongCodes) +
			"If these were not your codes, someone else knows your first factor: change it."
	}
	return "", ""
}

// webhook receives the events of the API server. Only those with the signature of the
// API secret key count, because anyone can send requests here. It consents to every
// action.verify.
func (a *app) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "The body could not be read.", http.StatusBadRequest)
		return
	}
	event, err := a.api.VerifyWebhook(body, r.Header.Get(authsignal.WebhookSignatureHeader), authsignal.DefaultWebhookTolerance)
	if err != nil {
		a.log.Warn("refused a webhook", "error", err)
		http.Error(w, "The webhook was refused.", http.StatusUnauthorized)
		return
	}
	a.notices.add(event)
	w.WriteHeader(http.StatusNoContent)
}

// myNotices returns the notices to the user of the session. Without one there are
// none: the page asks repeatedly, also while the session ends.
func (a *app) myNotices(_ http.ResponseWriter, r *http.Request) (any, error) {
	list := []notice{}
	if s, err := a.signedIn(r); err == nil {
		list = a.notices.of(s.username)
	}
	return struct {
		Notices []notice `json:"notices"`
	}{list}, nil
}
