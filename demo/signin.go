package main

import (
	"errors"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// codeLife is the maximum time for which a code can match after it was accepted:
// with the default drift, the code of the next step can match for three steps of
// 30 seconds (RFC 6238, section 5.2).
const codeLife = 90 * time.Second

// usernames matches user names, which are also the user ids of the API. They are
// safe in any path.
var usernames = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,63}$`)

// signIn checks the first factor and tracks the action, whose state determines the
// next step. In this demo, the user name stands for the first factor.
//
// In a browser that the user trusts, the state is ALLOW, and no code is needed. Its
// token works once: that of the answer takes its place. So it is sent with sign-ins
// only, and not with actions for which trust does not count, such as payments.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Username string `json:"username"`
		UI       ui     `json:"ui"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	switch in.UI {
	case "":
		in.UI = uiCustom
	case uiCustom, uiRedirect, uiPopup, uiWindow:
	default:
		return nil, &failure{http.StatusBadRequest, "bad_ui", "The second step is custom, redirect, popup or window."}
	}
	username := strings.ToLower(strings.TrimSpace(in.Username))
	if !usernames.MatchString(username) {
		return nil, &failure{http.StatusBadRequest, "bad_username",
			"Enter a user name of up to 64 letters, digits and . _ @ + - that begins with a letter or digit."}
	}
	s := session{username: username, ui: in.UI}
	var device, said string
	if s.ui == uiCustom { // the pre-built UI has a cookie of its own
		device = deviceToken(r, username)
	}
	tracked, err := a.track(r, &s, actionSignIn, device)
	if err != nil {
		return nil, err
	}
	switch {
	case tracked.DeviceToken != "":
		setDeviceToken(w, r, username, tracked.DeviceToken, deviceLife)
	case device != "":
		setDeviceToken(w, r, username, "", 0)
		said = "This browser is not remembered any more."
	}
	switch {
	case tracked.State != authsignal.StateAllow && tracked.State != authsignal.StateChallengeRequired:
		return nil, &failure{http.StatusForbidden, "blocked", "This sign-in is not allowed."}
	case s.ui != uiCustom:
		if !tracked.IsEnrolled {
			if _, err := a.track(r, &s, actionEnroll, ""); err != nil {
				return nil, err
			}
		}
		s.step = stepPrebuilt
	case tracked.State == authsignal.StateAllow && tracked.IsTrusted:
		s.step, s.token, s.signedInAt, s.by = stepAccount, "", a.sessions.now(), authsignal.ByTrustedBrowser
		said = "This browser is remembered: no code was needed."
	case tracked.IsEnrolled:
		// An app with adaptive rules would accept StateAllow without a code.
		s.step = stepChallenge
	default:
		s.step, s.token = stepEnroll, ""
		// Without a policy, this app requires an authenticator from the first sign-in on.
		if required := tracked.EnrollmentRequired; required != nil {
			s.deadline, s.mayWait = tracked.EnrollmentDeadline, !*required && tracked.State == authsignal.StateAllow
		}
	}
	return a.begin(w, r, s, said)
}

// track tracks an action of the session's user, and stores it in the session. If it
// is the session's present action, it keeps its idempotency key and so stays the
// same action. The token has no scope to add an authenticator, so that only users
// without one can enroll: the first factor alone must not add an authenticator to
// a protected account. device is the token of a browser that the user trusts, or "".
func (a *app) track(r *http.Request, s *session, action, device string) (authsignal.TrackResponse, error) {
	attributes := attributesOf(r, *s)
	attributes.DeviceToken = device
	if action == s.action {
		attributes.IdempotencyKey = s.idempotencyKey
	}
	if s.ui == uiRedirect {
		// The pre-built UI returns to this URL with a token. Its origin must be
		// one of the tenant's origins.
		attributes.RedirectURL = pageURL(r)
	}
	tracked, err := a.api.Track(r.Context(), authsignal.TrackRequest{UserID: s.username, Action: action, Attributes: attributes})
	if err != nil {
		return tracked, err
	}
	s.action, s.idempotencyKey, s.token, s.url = action, tracked.IdempotencyKey, tracked.Token, tracked.URL
	a.log.Info("tracked", "action", action, "state", tracked.State, "enrolled", tracked.IsEnrolled, "trusted", tracked.IsTrusted)
	return tracked, nil
}

// attributesOf returns the attributes of the user and the device for rules.
func attributesOf(r *http.Request, s session) authsignal.Attributes {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return authsignal.Attributes{Username: s.username, IPAddress: host, UserAgent: r.UserAgent()}
}

// begin starts a session in place of the browser's present one. said is a message to
// the user, or "".
func (a *app) begin(w http.ResponseWriter, r *http.Request, s session, said string) (any, error) {
	id, ok := a.sessions.start(sessionID(r), s)
	if !ok {
		return nil, &failure{http.StatusServiceUnavailable, "too_busy", "Too many people are signed in. Try again later."}
	}
	setCookie(w, r, id)
	v := viewOf(s)
	v.Notice = said
	return v, nil
}

// enroll tracks the action whose token enrolls an authenticator app. A page that is
// reloaded gets a token of the same action, so that enrolling again replaces the
// pending authenticator. With another action it would add one.
func (a *app) enroll(_ http.ResponseWriter, r *http.Request) (any, error) {
	return a.retrack(r, stepEnroll, func(session) string { return actionEnroll })
}

var errRequired = &failure{http.StatusForbidden, "enrollment_required", "An authenticator app is required now: set it up to sign in."}

// later signs in a user without an authenticator, before the deadline.
func (a *app) later(w http.ResponseWriter, r *http.Request) (any, error) {
	s, ok := a.sessions.get(sessionID(r))
	switch {
	case !ok || s.step != stepEnroll:
		return nil, errNotSignedIn
	case !s.mayWait:
		return nil, errRequired
	}
	list, err := a.api.Authenticators(r.Context(), s.username)
	if err != nil {
		return nil, err
	}
	s.step, s.token, s.action, s.signedInAt, s.by = stepAccount, "", actionSignIn, a.sessions.now(), byNothing
	if err := s.over(list, s.signedInAt); err != nil {
		return nil, err
	}
	return a.begin(w, r, s, "")
}

// prebuilt tracks the action of the session again to get a url with a new token: the
// token of the previous url may have expired.
func (a *app) prebuilt(_ http.ResponseWriter, r *http.Request) (any, error) {
	return a.retrack(r, stepPrebuilt, func(s session) string { return s.action })
}

// retrack tracks an action for a session that must be at a step.
func (a *app) retrack(r *http.Request, at step, action func(session) string) (any, error) {
	id := sessionID(r)
	s, ok := a.sessions.get(id)
	if !ok || s.step != at {
		return nil, errNotSignedIn
	}
	if _, err := a.track(r, &s, action(s), ""); err != nil {
		return nil, err
	}
	if !a.sessions.replace(id, s) {
		return nil, errNotSignedIn
	}
	return viewOf(s), nil
}

// pageURL returns the URL of the page in the browser.
func pageURL(r *http.Request) string {
	if secure(r) {
		return "https://" + r.Host + "/"
	}
	return "http://" + r.Host + "/"
}

// verified signs the user in if the API says that the challenge succeeded. The page
// sends the token that verify returned. If that response was lost, the page has no
// token, but the code may have been accepted and used up: then the token of the
// tracked action is validated.
//
// If the user wants this browser to be remembered, the answer has its token, which the
// page never sees.
func (a *app) verified(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Token    string `json:"token"`
		Remember bool   `json:"remember"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	s, ok := a.sessions.get(sessionID(r))
	switch {
	case !ok:
		return nil, errNotSignedIn
	case s.step == stepAccount:
		return viewOf(s), nil // a second request, such as from another tab
	case s.token == "":
		return nil, errNotVerified // nothing was tracked for this step yet
	}
	result, err := a.api.ValidateChallenge(r.Context(), authsignal.ValidateRequest{
		Token: or(in.Token, s.token), UserID: s.username, Action: s.action,
		// The key binds the token to this sign-in: the token of an earlier
		// successful sign-in is also valid until it expires.
		IdempotencyKey: s.idempotencyKey,
		TrustBrowser:   in.Remember,
	})
	if errors.Is(err, authsignal.ErrOtherAction) {
		a.log.Info("refused a token of another sign-in", "action", s.action)
		return nil, errNotVerified
	}
	if err != nil {
		return nil, err
	}
	a.log.Info("validated", "action", s.action, "state", result.State, "valid", result.IsValid)
	if !result.IsValid {
		return nil, errNotVerified
	}
	said := ""
	switch {
	case result.DeviceToken != "":
		life := deviceLife
		if until := result.DeviceTokenExpiresAt; until != nil {
			life = until.Sub(a.sessions.now())
		}
		setDeviceToken(w, r, s.username, result.DeviceToken, life)
		said = "This browser is remembered: signing in here needs no code, until you sign in with a recovery code or end it on this page."
	case in.Remember:
		said = "This browser could not be remembered: the settings of the action " + s.action + " do not allow it."
	}
	s.step, s.token, s.url, s.signedInAt, s.by = stepAccount, "", "", a.sessions.now(), result.VerificationMethod
	if s.by != authsignal.ByTrustedBrowser {
		s.codeAt = s.signedInAt
	}
	return a.begin(w, r, s, said)
}

// lastCode returns whether a code of the user was accepted so recently that the same
// code may have been refused now, because each code works only once. The page
// uses it for its error text only.
func (a *app) lastCode(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, ok := a.sessions.get(sessionID(r))
	if !ok {
		return nil, errNotSignedIn
	}
	list, err := a.api.Authenticators(r.Context(), s.username)
	if err != nil {
		return nil, err
	}
	return struct {
		JustAccepted bool `json:"justAccepted"`
	}{justAccepted(list, a.sessions.now())}, nil
}

// justAccepted reports whether one of the authenticators accepted a code less
// than codeLife ago.
func justAccepted(list []authsignal.UserAuthenticator, now time.Time) bool {
	return slices.ContainsFunc(list, func(u authsignal.UserAuthenticator) bool {
		return u.LastVerifiedAt != nil && now.Sub(*u.LastVerifiedAt) < codeLife
	})
}
