package mfa

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// A browser that a user trusts has a token, which an HttpOnly cookie keeps: of the
// tenant's backend, or of this server for the pre-built UI. It has the id of the
// browser, a random part that stays, and a random part that changes at each use. A token with the part that stays and an earlier part that
// changes is a copy that was used before, or the original after its copy was used.
// The two cannot be told apart, so the trust ends for both.

const (
	browserPrefix = "tb1_"
	browserPart   = 32 // bytes of a random part
	// maxBrowsers is the maximum number of browsers that a user trusts. A new one
	// takes the place of the one that was trusted first.
	maxBrowsers = 20
	// repeatTime is how long a use may be repeated with the same token for the same
	// action: much longer than a backend or a page waits for an answer.
	repeatTime = 10 * time.Minute
)

// A browserToken is a token that was presented.
type browserToken struct {
	id          string
	fixed, turn []byte
}

// newBrowserToken returns a token of a new browser.
func newBrowserToken() browserToken {
	t := browserToken{id: uuid.NewString(), fixed: make([]byte, browserPart)}
	rand.Read(t.fixed) // it never fails
	return t.next()
}

// next returns the token with another part that changes.
func (t browserToken) next() browserToken {
	t.turn = make([]byte, browserPart)
	rand.Read(t.turn)
	return t
}

func (t browserToken) String() string {
	id := uuid.MustParse(t.id)
	return browserPrefix + base64.RawURLEncoding.EncodeToString(bytes.Join([][]byte{id[:], t.fixed, t.turn}, nil))
}

func parseBrowserToken(text string) (t browserToken, ok bool) {
	text, ok = strings.CutPrefix(text, browserPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != 16+2*browserPart {
		return browserToken{}, false
	}
	return browserToken{uuid.UUID(b[:16]).String(), b[16 : 16+browserPart], b[16+browserPart:]}, true
}

func browserHash(part []byte) []byte {
	sum := sha256.Sum256(part)
	return sum[:]
}

// A Trust is what a transaction knows of the browser whose token a backend has
// presented. The zero value is that of no token, and of one that is void.
type Trust struct {
	// TrustedAt is when the user trusted the browser; zero if the token is void.
	TrustedAt time.Time
	// TurnHash tells uses of one token apart.
	TurnHash []byte

	presented browserToken
	browser   *store.TrustedBrowser
	copied    bool
}

// ReadTrust returns what is known of a token. earlier is the action that it is
// presented for, if that is known: the token that it was tracked or completed with is
// not a copy when it is presented for it again within repeatTime, because the answer
// may have been lost.
func ReadTrust(tx *store.Tx, u store.User, earlier *store.Action, text string, now time.Time) (Trust, error) {
	presented, ok := parseBrowserToken(text)
	if !ok {
		return Trust{}, nil
	}
	b, err := tx.TrustedBrowser(u.ID, presented.id)
	if err != nil || b == nil || subtle.ConstantTimeCompare(b.FixedHash, browserHash(presented.fixed)) != 1 {
		return Trust{}, err
	}
	t := Trust{TurnHash: browserHash(presented.turn), presented: presented, browser: b}
	again := earlier != nil && now.Sub(usedAt(*earlier)) < repeatTime && subtle.ConstantTimeCompare(earlier.BrowserTurn, t.TurnHash) == 1
	switch {
	case b.Epoch != u.Epoch:
		return Trust{}, nil
	case subtle.ConstantTimeCompare(b.TurnHash, t.TurnHash) != 1 && !again:
		t.copied = true
		return t, nil
	}
	t.TrustedAt = b.TrustedAt
	return t, nil
}

// usedAt returns the time from which the use of a browser's token for an action may be
// repeated: that of its completion by the browser, or of its tracking.
func usedAt(a store.Action) time.Time {
	if a.Trusted {
		return a.StateUpdatedAt
	}
	return a.CreatedAt
}

// Counts reports whether the browser is trusted for an action with these settings.
func (t Trust) Counts(s api.ActionSettings, now time.Time) bool {
	if t.TrustedAt.IsZero() || s.TrustBrowserDays <= 0 {
		return false
	}
	age := now.Sub(t.TrustedAt)
	return age >= 0 && age < trustLife(s)
}

// Waives reports whether trust takes the place of the challenge of an action: of one
// that the default outcome requires, and of none that a rule has decided or that the
// backend, or a later track, requires again.
func (t Trust) Waives(a store.Action, s api.ActionSettings, now time.Time) bool {
	first := a.StateUpdatedAt.Equal(a.CreatedAt)
	return a.State == api.StateChallengeRequired && first && a.PriorityRuleID == "" && t.Counts(s, now)
}

func trustLife(s api.ActionSettings) time.Duration {
	return time.Duration(min(s.TrustBrowserDays, api.MaxTrustBrowserDays)) * 24 * time.Hour
}

// Use changes the token of a browser that is trusted, and returns the next one. If
// the token is a copy, the trust ends. Otherwise the text is empty. The device is
// that of a tracked action.
func (t Trust) Use(tx *store.Tx, tenant store.Tenant, a store.Action, now time.Time) (next string, err error) {
	next, _, err = t.use(tx, tenant, a, now)
	return next, err
}

// use is Use, and returns the browser after it.
func (t Trust) use(tx *store.Tx, tenant store.Tenant, a store.Action, now time.Time) (next string, used store.TrustedBrowser, err error) {
	switch {
	case t.copied:
		return "", used, t.end(tx, tenant, a, now)
	case t.TrustedAt.IsZero():
		return "", used, nil
	}
	token := t.presented.next()
	used = *t.browser
	used.TurnHash, used.LastUsedAt, used.IPAddress, used.UserAgent = browserHash(token.turn), now, a.IPAddress, a.UserAgent
	turned, err := tx.TurnTrustedBrowser(*t.browser, used)
	if err != nil {
		return "", used, err
	}
	if !turned { // by a transaction that did not lock the user
		return "", used, t.end(tx, tenant, a, now)
	}
	return token.String(), used, nil
}

// end ends the trust in a browser whose token was copied.
func (t Trust) end(tx *store.Tx, tenant store.Tenant, a store.Action, now time.Time) error {
	if _, err := tx.DeleteTrustedBrowser(t.browser.UserID, t.browser.ID); err != nil {
		return err
	}
	err := tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditBrowserCopied, ActionID: a.ActionID, Detail: map[string]any{"browserId": t.browser.ID},
	})
	if err != nil {
		return err
	}
	return enqueue(tx, tenant, api.EventTrustedBrowserCopied, api.TrustedBrowserCopied{
		UserID: t.browser.UserID, BrowserID: t.browser.ID, NoticedAt: api.Time{Time: now},
		IPAddress: a.IPAddress, UserAgent: a.UserAgent,
		LastUsedAt: api.Time{Time: t.browser.LastUsedAt}, LastIPAddress: t.browser.IPAddress, LastUserAgent: t.browser.UserAgent,
	}, now)
}

// MayTrust reports whether the action of the subject was completed in a way that the
// user's browser may be trusted for: by a code of the app, or by the backend. A
// recovery code is for an emergency, in which nothing new is trusted.
func (s Subject) MayTrust(settings api.ActionSettings) bool {
	return proved(s.Action) && s.Action.VerificationMethod != api.RecoveryCode && settings.TrustBrowserDays > 0
}

// OffersTrust returns the number of days for which the subject may trust the browser
// after a code, or 0.
func OffersTrust(settings api.ActionSettings) int {
	return max(0, min(settings.TrustBrowserDays, api.MaxTrustBrowserDays))
}

// RememberBrowser is TrustBrowser for a token, in the pre-built UI. It needs the scopes
// of the token that a code gives, beside MayTrust: the token of a url, which histories
// keep, must not make a browser trusted. present is the token that the browser has
// already, or empty; the new trust takes its place.
func (s Subject) RememberBrowser(tx *store.Tx, settings api.ActionSettings, present string, now time.Time) (token string, until time.Time, err error) {
	switch {
	case OffersTrust(settings) == 0:
		return "", until, api.Forbidden("The settings of the action do not let browsers be trusted (trustBrowserDays).")
	case !s.Claims.Has(api.ScopeUpdate):
		return "", until, api.Forbidden("To trust the browser, verify a code first and use the new token.")
	case !s.MayTrust(settings):
		return "", until, api.Forbidden("The action is " + reached(s.Action) + ". To trust the browser, verify a code of the app first and use the new token. After a recovery code, no browser can be trusted.")
	}
	if p, ok := parseBrowserToken(present); ok {
		b, err := tx.TrustedBrowser(s.User.ID, p.id)
		if err != nil {
			return "", until, err
		}
		if b != nil && subtle.ConstantTimeCompare(b.FixedHash, browserHash(p.fixed)) == 1 {
			if _, err := tx.DeleteTrustedBrowser(s.User.ID, p.id); err != nil {
				return "", until, err
			}
		}
	}
	return s.TrustBrowser(tx, settings, now)
}

// A BrowserUse is the result of VerifyBrowser.
type BrowserUse struct {
	// Verified reports whether the challenge is completed, if no webhook must consent.
	Verified bool
	// Next is the next token of the browser; empty if it has not changed.
	Next string
	// Void reports whether the token is void.
	Void bool
}

// MayVerifyBrowser reports whether VerifyBrowser may do more with a token than refuse
// it: a page then tries it before it asks for a code.
func (s Subject) MayVerifyBrowser(tx *store.Tx, settings api.ActionSettings, text string, now time.Time) (bool, error) {
	t, err := ReadTrust(tx, s.User, &s.Action, text, now)
	return err == nil && (t.copied || s.vouched(t, settings, now) || s.waived(t, settings, now)), err
}

// waived is Waives for the subject's action. A challenge of a user who is not enrolled
// is an enrollment, of which trust takes no place.
func (s Subject) waived(t Trust, settings api.ActionSettings, now time.Time) bool {
	return s.Factors().Enrolled() && t.Waives(s.Action, settings, now)
}

// repeats reports whether the action was completed by the same token.
func (s Subject) repeats(t Trust) bool {
	return Succeeded(s.Action) && s.Action.Trusted && !t.TrustedAt.IsZero() && subtle.ConstantTimeCompare(s.Action.BrowserTurn, t.TurnHash) == 1
}

// vouched reports whether a trusted browser, this one or another, has completed the
// action, and this one may get a token of it too.
func (s Subject) vouched(t Trust, settings api.ActionSettings, now time.Time) bool {
	return Succeeded(s.Action) && s.Action.Trusted && (s.repeats(t) || t.Counts(settings, now))
}

// BrowserClaims are those of the token that a trusted browser gets when it has
// completed a challenge: of no other scopes, see proved. See Valid.
func (s Subject) BrowserClaims() token.Claims {
	claims := s.Claims
	claims.Browser = true
	return claims
}

// VerifyBrowser completes the challenge of an action by the token of a trusted browser,
// which changes. See Waives for the challenges that trust takes the place of; if it
// does not, nothing changes. A copied token ends the trust. See Verify for the consent.
//
// No attempt is counted: a token has 64 random bytes.
func (s Subject) VerifyBrowser(tx *store.Tx, settings api.ActionSettings, text string, now time.Time) (BrowserUse, *Consent, error) {
	t, err := ReadTrust(tx, s.User, &s.Action, text, now)
	if err != nil {
		return BrowserUse{}, nil, err
	}
	again := s.vouched(t, settings, now)
	switch {
	case t.copied:
		return BrowserUse{Void: true}, nil, t.end(tx, s.Tenant, s.Action, now)
	case t.TrustedAt.IsZero():
		return BrowserUse{Void: true}, nil, nil
	case s.Valid() || !again && !s.waived(t, settings, now):
		return BrowserUse{Verified: s.Valid()}, nil, nil
	}
	next, used, err := t.use(tx, s.Tenant, s.Action, now)
	if err != nil || next == "" {
		return BrowserUse{Void: true}, nil, err
	}
	if err := tx.SetBrowserTurn(s.Action.ActionID, t.TurnHash); err != nil {
		return BrowserUse{}, nil, err
	}
	if again {
		return BrowserUse{Verified: true, Next: next}, nil, nil
	}
	err = tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditBrowserAccepted, ActionID: s.Action.ActionID, Detail: map[string]any{"browserId": used.ID},
	})
	if err != nil {
		return BrowserUse{}, nil, err
	}
	by := store.Authenticator{UserID: s.User.ID, Method: api.ByTrustedBrowser, VerifiedAt: now}
	if s.Tenant.WebhookURL != "" {
		return BrowserUse{Next: next}, &Consent{Subject: s, Authenticator: by, VerifiedAt: now, on: browserAccepted, browser: used}, nil
	}
	return BrowserUse{Verified: true, Next: next}, nil, tx.CompleteAction(s.Action.ActionID, s.Action.State, by, s.User.Epoch, now)
}

// TrustBrowser trusts the browser of an action, which MayTrust has accepted. It
// returns the browser's token, and when the trust ends for the action.
func (s Subject) TrustBrowser(tx *store.Tx, settings api.ActionSettings, now time.Time) (token string, until time.Time, err error) {
	list, err := tx.TrustedBrowsers(s.User.ID)
	if err != nil {
		return "", time.Time{}, err
	}
	for i, b := range list {
		if b.Epoch == s.User.Epoch && i < maxBrowsers-1 {
			continue
		}
		if _, err := tx.DeleteTrustedBrowser(s.User.ID, b.ID); err != nil {
			return "", time.Time{}, err
		}
	}
	t := newBrowserToken()
	b := store.TrustedBrowser{
		ID: t.id, UserID: s.User.ID, Epoch: s.User.Epoch, FixedHash: browserHash(t.fixed), TurnHash: browserHash(t.turn),
		IPAddress: s.Action.IPAddress, UserAgent: s.Action.UserAgent, TrustedAt: now, LastUsedAt: now,
	}
	if err := tx.InsertTrustedBrowser(b); err != nil {
		return "", time.Time{}, err
	}
	err = tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditBrowserTrusted, ActionID: s.Action.ActionID, Detail: map[string]any{"browserId": b.ID},
	})
	if err == nil {
		err = enqueue(tx, s.Tenant, api.EventTrustedBrowserCreated, api.TrustedBrowserCreated{
			UserID: s.User.ID, BrowserID: b.ID, TrustedAt: api.Time{Time: now}, IPAddress: b.IPAddress, UserAgent: b.UserAgent,
		}, now)
	}
	return t.String(), now.Add(trustLife(settings)), err
}

// TrustedBrowsers returns the browsers that a user trusts, the newest first.
func TrustedBrowsers(tx *store.Tx, u store.User, now time.Time) ([]api.TrustedBrowser, error) {
	list, err := tx.TrustedBrowsers(u.ID)
	out := []api.TrustedBrowser{}
	for _, b := range list {
		if b.Epoch == u.Epoch && now.Sub(b.TrustedAt) < api.MaxTrustBrowserDays*24*time.Hour {
			out = append(out, api.TrustedBrowser{
				BrowserID: b.ID, TrustedAt: api.Time{Time: b.TrustedAt}, LastUsedAt: api.Time{Time: b.LastUsedAt},
				IPAddress: b.IPAddress, UserAgent: b.UserAgent,
			})
		}
	}
	return out, err
}

// ErrNoBrowser reports that the user trusts no browser with the id.
var ErrNoBrowser error = api.NotFound("The user trusts no such browser.")

// RevokeBrowser ends the trust in a browser of a user, or in all if id is empty.
func RevokeBrowser(tx *store.Tx, userID, id string, by Channel, now time.Time) error {
	if _, _, err := tx.LockUser(userID); err != nil {
		return err
	}
	detail := map[string]any{"by": by}
	if id == "" {
		n, err := tx.DeleteTrustedBrowsers(userID)
		if err != nil || n == 0 {
			return err
		}
		detail["browsers"] = n
	} else {
		deleted, err := tx.DeleteTrustedBrowser(userID, id)
		if err != nil {
			return err
		}
		if !deleted {
			return ErrNoBrowser
		}
		detail["browserId"] = id
	}
	return tx.Audit(store.AuditEvent{At: now, Kind: store.AuditBrowserRevoked, ActionID: store.ActionID{UserID: userID}, Detail: detail})
}

// RevokeOwnBrowser is RevokeBrowser by the user with a token: it takes something
// away, but tells nothing, so it needs no more than a completed or waived challenge.
func (s Subject) RevokeOwnBrowser(tx *store.Tx, id string, now time.Time) error {
	if !settled(s.Action, s.Factors()) {
		return codeRequired("remove a trusted browser", s.Action)
	}
	return RevokeBrowser(tx, s.User.ID, id, ByUser, now)
}

// MaySeeTrustedBrowsers returns an error if the subject may not see the browsers that
// its user trusts. It needs a completed or waived challenge, since they tell where the
// user has been.
func (s Subject) MaySeeTrustedBrowsers() error {
	if !settled(s.Action, s.Factors()) {
		return api.Forbidden("The action is " + reached(s.Action) + ". To see the trusted browsers, verify a code first and use the new token.")
	}
	return nil
}

// TrustedBrowsers returns the browsers that the subject's user trusts.
func (s Subject) TrustedBrowsers(tx *store.Tx, now time.Time) ([]api.TrustedBrowser, error) {
	if err := s.MaySeeTrustedBrowsers(); err != nil {
		return nil, err
	}
	return TrustedBrowsers(tx, s.User, now)
}
