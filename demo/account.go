package main

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// codeFresh is how long a code that was accepted suffices for changes of how the account
// is protected.
const codeFresh = 10 * time.Minute

// signedIn returns the session of a user who is signed in.
func (a *app) signedIn(r *http.Request) (session, error) {
	s, ok := a.sessions.get(sessionID(r))
	switch {
	case !ok:
		return s, errNotSignedIn
	case s.step != stepAccount:
		return s, errCodeNeeded
	}
	return s, nil
}

// confirmedLately returns the session of a user who has entered a code lately. A browser that
// is remembered, or was left open, must not suffice to change how the account is
// protected.
func (a *app) confirmedLately(r *http.Request) (session, error) {
	s, err := a.signedIn(r)
	if err == nil && a.sessions.now().Sub(s.codeAt) >= codeFresh {
		err = errConfirm
	}
	return s, err
}

// confirm tracks the action whose code confirms that it is the user. Its token makes
// recovery codes and adds an authenticator app, once a code was verified with it.
func (a *app) confirm(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	tracked, err := a.api.Track(r.Context(), authsignal.TrackRequest{UserID: s.username, Action: actionConfirm, Attributes: attributesOf(r, s)})
	if err != nil {
		return nil, err
	}
	a.log.Info("tracked", "action", actionConfirm, "state", tracked.State)
	if tracked.State != authsignal.StateAllow && tracked.State != authsignal.StateChallengeRequired {
		return nil, &failure{http.StatusForbidden, "blocked", "This change is not allowed."}
	}
	s.confirmation = confirmation{tracked.IdempotencyKey, tracked.Token}
	if !a.sessions.replace(sessionID(r), s) {
		return nil, errNotSignedIn
	}
	return struct {
		Token string `json:"token"`
	}{tracked.Token}, nil
}

// confirmed records that the user has entered a code, if the API says so. The token is
// as for verified.
func (a *app) confirmed(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Token string `json:"token"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	if s.confirmation == (confirmation{}) {
		return nil, errNotConfirmed
	}
	result, err := a.api.ValidateChallenge(r.Context(), authsignal.ValidateRequest{
		Token: or(in.Token, s.confirmation.token), UserID: s.username, Action: actionConfirm, IdempotencyKey: s.confirmation.idempotencyKey,
	})
	if errors.Is(err, authsignal.ErrOtherAction) || err == nil && (!result.IsValid || result.VerificationMethod == authsignal.ByTrustedBrowser) {
		return nil, errNotConfirmed
	}
	if err != nil {
		return nil, err
	}
	s.confirmation, s.codeAt = confirmation{}, a.sessions.now()
	return a.begin(w, r, s, "")
}

// An authenticator is one as the page lists it.
type authenticator struct {
	ID        string     `json:"id"`
	Name      string     `json:"name,omitempty"`
	CreatedAt time.Time  `json:"createdAt"`
	UsedAt    *time.Time `json:"usedAt,omitempty"`
	// UsedWith describes the browser in which its code was entered last.
	UsedWith string `json:"usedWith,omitempty"`
}

func authenticatorsOf(list []authsignal.UserAuthenticator) []authenticator {
	out := []authenticator{} // never null
	for _, u := range list {
		v := authenticator{ID: u.UserAuthenticatorID, Name: u.Name, CreatedAt: u.CreatedAt, UsedAt: u.LastVerifiedAt}
		if u.LastUsedUserAgent != "" || u.LastUsedIPAddress != "" {
			v.UsedWith = device(u.LastUsedUserAgent, u.LastUsedIPAddress)
		}
		out = append(out, v)
	}
	return out
}

// A trustedBrowser is one as the page lists it.
type trustedBrowser struct {
	ID        string    `json:"id"`
	Device    string    `json:"device"`
	TrustedAt time.Time `json:"trustedAt"`
	UsedAt    time.Time `json:"usedAt"`
}

// over returns an error if a session of a user with these authenticators has ended. A
// session depends on an authenticator, which may be removed in the settings or by an
// operator; one without a second factor ends when the user has one, or must have one.
func (s session) over(list []authsignal.UserAuthenticator, now time.Time) error {
	text := ""
	switch {
	case s.by != byNothing && len(list) == 0:
		text = "Your authenticator was removed. Sign in again to set up a new one."
	case s.by == byNothing && len(list) > 0:
		text = "An authenticator app was set up for your account. Sign in with it."
	case s.by == byNothing && (s.deadline == nil || !now.Before(*s.deadline)):
		text = "An authenticator app is required now. Sign in again to set it up."
	default:
		return nil
	}
	return &failure{http.StatusUnauthorized, errNotSignedIn.Code, text}
}

// account returns the data of the protected page.
func (a *app) account(w http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	list, err := a.api.Authenticators(r.Context(), s.username)
	if err != nil {
		return nil, err
	}
	if err := s.over(list, a.sessions.now()); err != nil {
		a.sessions.end(sessionID(r))
		setCookie(w, r, "")
		return nil, err
	}
	var codes *authsignal.RecoveryCodesStatus
	switch status, err := a.api.RecoveryCodes(r.Context(), s.username); {
	case err == nil && !status.IsDisabled:
		codes = &status
	case err != nil && !unknownCall(err):
		return nil, err
	}
	trusted, err := a.api.TrustedBrowsers(r.Context(), s.username)
	if err != nil && !unknownCall(err) {
		return nil, err
	}
	browsers := []trustedBrowser{}
	for _, b := range trusted {
		browsers = append(browsers, trustedBrowser{b.BrowserID, device(b.UserAgent, b.IPAddress), b.TrustedAt, b.LastUsedAt})
	}
	return struct {
		Username       string                        `json:"username"`
		Message        string                        `json:"message"`
		SignedInAt     time.Time                     `json:"signedInAt"`
		Action         string                        `json:"action"`
		By             authsignal.VerificationMethod `json:"by"`
		Authenticators []authenticator               `json:"authenticators"`
		// RecoveryCodes is null if the API has no recovery codes, or the tenant allows none.
		RecoveryCodes *authsignal.RecoveryCodesStatus `json:"recoveryCodes"`
		Browsers      []trustedBrowser                `json:"browsers"`
		Notices       []notice                        `json:"notices"`
	}{
		s.username,
		message(s),
		s.signedInAt.UTC(), s.action, s.by, authenticatorsOf(list), codes, browsers, a.notices.of(s.username),
	}, nil
}

// message says why the user sees the protected page.
func message(s session) string {
	switch s.by {
	case byNothing:
		return "The backend shows this page without a second factor until your deadline."
	case authsignal.ByTrustedBrowser:
		return "The backend shows this page without a code, because you chose to remember this browser."
	}
	return "The backend shows this page only after a code, or in a browser that you chose to remember."
}

// unknownCall reports whether the API does not have a call: the hosted service has
// neither recovery codes nor trusted browsers.
func unknownCall(err error) bool {
	var refused *authsignal.Error
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

// settings tracks the action whose url opens the settings of the pre-built UI,
// after a code if the action requires one.
func (a *app) settings(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	attributes := attributesOf(r, s)
	open := true
	attributes.RedirectToSettings = &open
	tracked, err := a.api.Track(r.Context(), authsignal.TrackRequest{UserID: s.username, Action: actionSettings, Attributes: attributes})
	if err != nil {
		return nil, err
	}
	a.log.Info("tracked", "action", actionSettings, "state", tracked.State)
	return struct {
		URL string `json:"url"`
	}{tracked.URL}, nil
}

var (
	errRemoved = &failure{http.StatusNotFound, "removed", "It was removed already. Load the page again."}
	errName    = &failure{http.StatusBadRequest, "bad_name", "Enter a name of up to 64 characters, without hidden ones."}
)

// readID reads the id of what a request removes.
func readID(r *http.Request) (string, error) {
	var in struct {
		ID string `json:"id"`
	}
	if err := read(r, &in); err != nil {
		return "", err
	}
	if in.ID == "" {
		return "", errRemoved
	}
	return in.ID, nil
}

// renameAuthenticator changes the name of one of the user's authenticators, which tells
// the user later which of them to remove.
func (a *app) renameAuthenticator(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.confirmedLately(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	name := strings.TrimSpace(in.Name)
	switch {
	case in.ID == "":
		return nil, errRemoved
	case name == "":
		return nil, errName
	}
	_, err = a.api.RenameAuthenticator(r.Context(), s.username, in.ID, name)
	var refused *authsignal.Error
	switch {
	case err == nil:
		return viewOf(s), nil
	case unknownCall(err):
		return nil, errRemoved
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		return nil, errName
	}
	return nil, err
}

// removeAuthenticator removes one of the user's authenticators. It ends the user's other
// sessions, which may be those of a thief of the phone; the API ends the user's tokens
// and the trust in browsers for the same reason. Without an authenticator this session
// ends too.
func (a *app) removeAuthenticator(w http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.confirmedLately(r)
	if err != nil {
		return nil, err
	}
	id, err := readID(r)
	if err != nil {
		return nil, err
	}
	if err := a.api.DeleteAuthenticator(r.Context(), s.username, id); err != nil && !unknownCall(err) {
		return nil, err
	}
	left, err := a.api.Authenticators(r.Context(), s.username)
	if err != nil {
		return nil, err
	}
	a.log.Info("removed an authenticator", "left", len(left))
	if len(left) > 0 {
		a.sessions.endOthers(s.username, sessionID(r))
		return viewOf(s), nil
	}
	a.sessions.endAll(s.username)
	setCookie(w, r, "")
	return view{Step: stepSignIn}, nil
}

// forgetBrowser ends the trust in one of the user's browsers. It needs no code, because
// it takes a right away.
func (a *app) forgetBrowser(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	id, err := readID(r)
	if err != nil {
		return nil, err
	}
	if err := a.api.RevokeTrustedBrowser(r.Context(), s.username, id); err != nil && !unknownCall(err) {
		return nil, err
	}
	return viewOf(s), nil
}
