package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// The actions that the demo tracks. An app chooses the names of its actions, and
// each can have its own rules.
const (
	actionSignIn   = "signIn"
	actionEnroll   = "enroll"
	actionPayment  = "payment"
	actionSettings = "settings"
)

// maxAmount is the maximum amount of a payment. It has no currency.
const maxAmount = 1_000_000

// maxBody is the maximum size of a request body in bytes. The longest content is a
// token.
const maxBody = 16 << 10

// codeLife is the maximum time for which a code can match after it was accepted:
// with the default drift, the code of the next step can match for three steps of
// 30 seconds (RFC 6238, section 5.2).
const codeLife = 90 * time.Second

// An app is the demo's backend. It never relies on data of the page: signing in
// needs a code, and only the API's validate decides whether the right one was
// entered.
type app struct {
	api      *authsignal.Client
	sessions sessions
	log      *slog.Logger
}

// newApp returns the handler of the demo: the JSON endpoints of the page, and the
// page with its files.
func newApp(client *authsignal.Client, pages *assets, log *slog.Logger) http.Handler {
	a := &app{api: client, sessions: sessions{now: time.Now, m: map[string]session{}}, log: log}
	mux := http.NewServeMux()
	mux.Handle("GET /api/session", a.json(a.session))
	mux.Handle("POST /api/sign-in", a.json(a.signIn))
	mux.Handle("POST /api/enroll", a.json(a.enroll))
	mux.Handle("POST /api/prebuilt", a.json(a.prebuilt))
	mux.Handle("POST /api/verified", a.json(a.verified))
	mux.Handle("GET /api/last-code", a.json(a.lastCode))
	mux.Handle("GET /api/account", a.json(a.account))
	mux.Handle("POST /api/pay", a.json(a.pay))
	mux.Handle("POST /api/paid", a.json(a.paid))
	mux.Handle("POST /api/settings", a.json(a.settings))
	mux.Handle("POST /api/remove-authenticator", a.json(a.removeAuthenticator))
	mux.Handle("POST /api/sign-out", a.json(a.signOut))
	mux.Handle("/api/", a.json(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &failure{http.StatusNotFound, "not_found", "There is no such endpoint."}
	}))
	mux.Handle("/", pages)

	// Pages of other sites must not act for the user (CSRF).
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(a.json(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &failure{http.StatusForbidden, "cross_origin", "This request comes from another site."}
	}))
	return pages.secured(crossOrigin.Handler(mux))
}

// A failure is an error for the page: a code for its script and a text for the
// user.
type failure struct {
	status int
	Code   string `json:"code"`
	Text   string `json:"text"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Text }

var (
	errNotSignedIn = &failure{http.StatusUnauthorized, "not_signed_in", "Your session has ended. Sign in again."}
	errCodeNeeded  = &failure{http.StatusForbidden, "code_needed", "Finish signing in first: a code is needed."}
	errNotVerified = &failure{http.StatusForbidden, "not_verified", "No code has been accepted for this sign-in."}
	errNotPaid     = &failure{http.StatusForbidden, "not_verified", "No code has been accepted for this payment."}
)

// json returns the handler of an endpoint, which encodes its result as JSON.
func (a *app) json(endpoint func(http.ResponseWriter, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		out, err := endpoint(w, r)
		status := http.StatusOK
		if err != nil {
			f := a.explain(r, err)
			status, out = f.status, map[string]any{"error": f}
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		// An error here is one of the connection, so it cannot be reported to the client.
		_ = json.NewEncoder(w).Encode(out)
	})
}

// explain converts any error to a failure. It logs the cause, which never contains
// a secret, a code or a token.
func (a *app) explain(r *http.Request, err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(err, context.Canceled) {
		a.log.Info("the browser has left", "path", r.URL.Path)
	} else {
		a.log.Error("the API does not do what it should", "path", r.URL.Path, "error", err)
	}
	var refused *authsignal.Error
	if errors.As(err, &refused) {
		return &failure{http.StatusBadGateway, "api_error", "The API did not accept the demo's request (" + refused.Code + "). Its log says more."}
	}
	return &failure{http.StatusBadGateway, "api_unreachable", "The demo could not reach its API. Try again in a moment."}
}

// read decodes the body of a request into v. An empty body does not change v.
func read(r *http.Request, v any) error {
	err := json.NewDecoder(r.Body).Decode(v)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &failure{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("The request has more than %d bytes.", maxBody)}
	}
	return &failure{http.StatusBadRequest, "bad_request", "The request is not the JSON that is expected here."}
}

// A view is the session as the page sees it.
type view struct {
	Step     step   `json:"step"`
	Username string `json:"username,omitempty"`
	// Token is for setToken of the browser SDK, while a code is required.
	Token string `json:"token,omitempty"`
	// URL and Mode are for launch of the browser SDK, if the pre-built UI is
	// used.
	URL  string `json:"url,omitempty"`
	Mode ui     `json:"mode,omitempty"`
}

func viewOf(s session) view {
	v := view{Step: s.step, Username: s.username}
	switch s.step {
	case stepAccount:
	case stepPrebuilt:
		v.URL, v.Mode = s.url, s.ui
	default:
		v.Token = s.token
	}
	return v
}

// session returns the session for a page that was loaded.
func (a *app) session(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, ok := a.sessions.get(sessionID(r))
	if !ok {
		return view{Step: stepSignIn}, nil
	}
	return viewOf(s), nil
}

// usernames matches user names, which are also the user ids of the API. They are
// safe in any path.
var usernames = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,63}$`)

// signIn checks the first factor and tracks the action, whose state determines the
// next step. In this demo, the user name stands for the first factor.
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
	tracked, err := a.track(r, &s, actionSignIn)
	if err != nil {
		return nil, err
	}
	switch {
	case tracked.State != authsignal.StateAllow && tracked.State != authsignal.StateChallengeRequired:
		return nil, &failure{http.StatusForbidden, "blocked", "This sign-in is not allowed."}
	case s.ui != uiCustom:
		if !tracked.IsEnrolled {
			if _, err := a.track(r, &s, actionEnroll); err != nil {
				return nil, err
			}
		}
		s.step = stepPrebuilt
	case tracked.IsEnrolled:
		// An app with adaptive rules would accept StateAllow without a code.
		s.step = stepChallenge
	default:
		s.step, s.token = stepEnroll, ""
	}
	return a.begin(w, r, s)
}

// track tracks an action of the session's user, and stores it in the session. If it
// is the session's present action, it keeps its idempotency key and so stays the
// same action. The token has no scope to add an authenticator, so that only users
// without one can enroll: the first factor alone must not add an authenticator to
// a protected account.
func (a *app) track(r *http.Request, s *session, action string) (authsignal.TrackResponse, error) {
	attributes := attributesOf(r, *s)
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
	a.log.Info("tracked", "action", action, "state", tracked.State, "enrolled", tracked.IsEnrolled)
	return tracked, nil
}

// attributesOf returns the attributes of the user and the device for rules.
func attributesOf(r *http.Request, s session) authsignal.Attributes {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return authsignal.Attributes{Username: s.username, IPAddress: host, UserAgent: r.UserAgent()}
}

// begin starts a session in place of the browser's present one.
func (a *app) begin(w http.ResponseWriter, r *http.Request, s session) (any, error) {
	id, ok := a.sessions.start(sessionID(r), s)
	if !ok {
		return nil, &failure{http.StatusServiceUnavailable, "too_busy", "Too many people are signed in. Try again later."}
	}
	setCookie(w, r, id)
	return viewOf(s), nil
}

// enroll tracks the action whose token enrolls an authenticator app. A page that is
// reloaded gets a token of the same action, so that enrolling again replaces the
// pending authenticator. With another action it would add one.
func (a *app) enroll(_ http.ResponseWriter, r *http.Request) (any, error) {
	return a.retrack(r, stepEnroll, func(session) string { return actionEnroll })
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
	if _, err := a.track(r, &s, action(s)); err != nil {
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
func (a *app) verified(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Token string `json:"token"`
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
	s.step, s.token, s.url, s.signedInAt = stepAccount, "", "", a.sessions.now()
	return a.begin(w, r, s)
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

// account returns the data of the protected page. A session depends on an
// authenticator, and ends if there is none any more.
func (a *app) account(w http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	list, err := a.api.Authenticators(r.Context(), s.username)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		// It was removed in the settings or by an operator.
		a.sessions.endAll(s.username)
		setCookie(w, r, "")
		return nil, &failure{http.StatusUnauthorized, errNotSignedIn.Code, "Your authenticator was removed. Sign in again to set up a new one."}
	}
	return struct {
		Username       string                         `json:"username"`
		Message        string                         `json:"message"`
		SignedInAt     time.Time                      `json:"signedInAt"`
		Action         string                         `json:"action"`
		Authenticators []authsignal.UserAuthenticator `json:"authenticators"`
	}{
		s.username,
		"The backend shows this page only after a code.",
		s.signedInAt.UTC(), s.action, list,
	}, nil
}

// A receipt is a payment as the page sees it.
type receipt struct {
	Amount float64 `json:"amount"`
	Paid   bool    `json:"paid"`
	// Token is for setToken of the browser SDK, if a code must confirm the
	// payment.
	Token string `json:"token,omitempty"`
}

// pay tracks a payment as an action, whose amount rules can read. The outcome
// determines whether a code must confirm it. The amount is kept in the session, so
// that the page cannot change it later.
func (a *app) pay(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Amount float64 `json:"amount"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if !(in.Amount > 0 && in.Amount <= maxAmount) {
		return nil, &failure{http.StatusBadRequest, "bad_amount", fmt.Sprintf("Enter an amount above 0, of at most %d.", maxAmount)}
	}
	attributes := attributesOf(r, s)
	attributes.Custom = map[string]any{"amount": in.Amount}
	tracked, err := a.api.Track(r.Context(), authsignal.TrackRequest{UserID: s.username, Action: actionPayment, Attributes: attributes})
	if err != nil {
		return nil, err
	}
	a.log.Info("tracked", "action", actionPayment, "state", tracked.State)
	switch tracked.State {
	case authsignal.StateAllow:
		s.payment = payment{}
	case authsignal.StateChallengeRequired:
		s.payment = payment{in.Amount, tracked.IdempotencyKey, tracked.Token}
	default:
		return nil, &failure{http.StatusForbidden, "blocked", "This payment is not allowed."}
	}
	if !a.sessions.replace(sessionID(r), s) {
		return nil, errNotSignedIn
	}
	return receipt{in.Amount, s.payment.token == "", s.payment.token}, nil
}

// paid completes the payment that requires a code, if the API says that its
// challenge succeeded. The token is as for verified.
func (a *app) paid(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Token string `json:"token"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if s.payment == (payment{}) {
		return nil, errNotPaid
	}
	result, err := a.api.ValidateChallenge(r.Context(), authsignal.ValidateRequest{
		Token: or(in.Token, s.payment.token), UserID: s.username, Action: actionPayment, IdempotencyKey: s.payment.idempotencyKey,
	})
	if errors.Is(err, authsignal.ErrOtherAction) || err == nil && !result.IsValid {
		return nil, errNotPaid
	}
	if err != nil {
		return nil, err
	}
	// Of two requests for a payment, the second finds none.
	amount, ok := a.sessions.takePayment(sessionID(r), s.payment.idempotencyKey)
	if !ok {
		return nil, errNotPaid
	}
	a.log.Info("paid", "state", result.State)
	return receipt{Amount: amount, Paid: true}, nil
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

// removeAuthenticator removes the user's authenticators. It ends all sessions of the
// user, because they depend on the removed authenticators; the API ends the
// user's tokens for the same reason. A real app would require a code first, as
// for any sensitive action.
func (a *app) removeAuthenticator(w http.ResponseWriter, r *http.Request) (any, error) {
	s, err := a.signedIn(r)
	if err != nil {
		return nil, err
	}
	list, err := a.api.Authenticators(r.Context(), s.username)
	if err != nil {
		return nil, err
	}
	for _, authenticator := range list {
		err := a.api.DeleteAuthenticator(r.Context(), s.username, authenticator.UserAuthenticatorID)
		var refused *authsignal.Error
		if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			continue // it was removed in the meantime
		}
		if err != nil {
			return nil, err
		}
	}
	a.log.Info("removed", "authenticators", len(list))
	a.sessions.endAll(s.username)
	setCookie(w, r, "")
	return view{Step: stepSignIn}, nil
}

// signOut ends the session at any step.
func (a *app) signOut(w http.ResponseWriter, r *http.Request) (any, error) {
	a.sessions.end(sessionID(r))
	setCookie(w, r, "")
	return view{Step: stepSignIn}, nil
}
