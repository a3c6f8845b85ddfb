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

// The actions that the demo tracks. What they are called is up to the app;
// rules can be made for each.
const (
	actionSignIn   = "signIn"
	actionEnroll   = "enroll"
	actionPayment  = "payment"
	actionSettings = "settings"
)

// maxAmount is the most that one payment may be, in whatever the demo's money is.
const maxAmount = 1_000_000

// maxBody is how much of a request's body is read, in bytes. A token is the
// longest that it holds.
const maxBody = 16 << 10

// codeLife is how long a code can match after it was accepted: that of the
// next step, which the usual drift admits, is good for up to three steps of 30
// seconds (RFC 6238, section 5.2).
const codeLife = 90 * time.Second

// An app is the demo's backend. What it never does is take the page's word:
// getting in needs a code, and only the API's validate tells whether the right
// one was entered.
type app struct {
	api      *authsignal.Client
	sessions sessions
	log      *slog.Logger
}

// newApp gives the handler of the whole demo: the page's JSON endpoints, and
// the page with its files.
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

	// Other sites must not act for the user (CSRF).
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(a.json(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &failure{http.StatusForbidden, "cross_origin", "This request comes from another site."}
	}))
	return pages.secured(crossOrigin.Handler(mux))
}

// A failure is an error that the page can show: a code for its script and a
// sentence for its user.
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

// json answers with what an endpoint returns.
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
		// An error here is that of the connection: no answer can report it.
		_ = json.NewEncoder(w).Encode(out)
	})
}

// explain makes a failure of any error. The truth goes to the log; none of it
// holds a secret, a code or a token.
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

// read decodes a request's body into v. No body leaves v as it is.
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

// A view is what the page knows of its session.
type view struct {
	Step     step   `json:"step"`
	Username string `json:"username,omitempty"`
	// Token is for the browser SDK's setToken, while a code is awaited.
	Token string `json:"token,omitempty"`
	// URL and Mode are for its launch, where the pre-built UI is to be used.
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

// session tells a page that was loaded where its user stands.
func (a *app) session(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, ok := a.sessions.get(sessionID(r))
	if !ok {
		return view{Step: stepSignIn}, nil
	}
	return viewOf(s), nil
}

// usernames are also the user IDs of the API: what passes here is safe in any
// path.
var usernames = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@+-]{0,63}$`)

// signIn takes the first factor and tracks the action, which tells what comes
// next. In this demo, saying one's name is the first factor.
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
		// An app with adaptive rules would let StateAllow in without a code.
		s.step = stepChallenge
	default:
		s.step, s.token = stepEnroll, ""
	}
	return a.begin(w, r, s)
}

// track records that the user of a session does something, and keeps what
// names the action: the same action again keeps its idempotency key, and so
// stays one action. The token has no scope to add an authenticator: the API
// then lets only those enroll who have none, and a first factor alone can never
// add one to an account that is protected.
func (a *app) track(r *http.Request, s *session, action string) (authsignal.TrackResponse, error) {
	attributes := attributesOf(r, *s)
	if action == s.action {
		attributes.IdempotencyKey = s.idempotencyKey
	}
	if s.ui == uiRedirect {
		// Where the pre-built UI sends the user back to, with a token. The API
		// must know this origin as one of ours.
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

// attributesOf describes the user and the device to rules.
func attributesOf(r *http.Request, s session) authsignal.Attributes {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return authsignal.Attributes{Username: s.username, IPAddress: host, UserAgent: r.UserAgent()}
}

// begin starts a session in place of the one that the browser has.
func (a *app) begin(w http.ResponseWriter, r *http.Request, s session) (any, error) {
	id, ok := a.sessions.start(sessionID(r), s)
	if !ok {
		return nil, &failure{http.StatusServiceUnavailable, "too_busy", "Too many people are signed in. Try again later."}
	}
	setCookie(w, r, id)
	return viewOf(s), nil
}

// enroll tracks the action whose token enrolls an authenticator app. A page
// that is loaded again gets a token of the same action: enrolling with it
// replaces the pending authenticator, where another action would add one.
func (a *app) enroll(_ http.ResponseWriter, r *http.Request) (any, error) {
	return a.retrack(r, stepEnroll, func(session) string { return actionEnroll })
}

// prebuilt tracks the action of the session again, for a url with a new token:
// that of one that was opened before may have expired.
func (a *app) prebuilt(_ http.ResponseWriter, r *http.Request) (any, error) {
	return a.retrack(r, stepPrebuilt, func(s session) string { return s.action })
}

// retrack tracks an action for a session that is at a step.
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

// pageURL is where the browser has our page.
func pageURL(r *http.Request) string {
	if secure(r) {
		return "https://" + r.Host + "/"
	}
	return "http://" + r.Host + "/"
}

// verified lets the user in if the API says that the challenge succeeded. The
// page gives the token that verify returned. Where that answer was lost on its
// way, the page has none, but the code may be accepted and used up: then the
// token of the tracked action tells.
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
		return viewOf(s), nil // asked twice, as by two tabs
	case s.token == "":
		return nil, errNotVerified // nothing was tracked for this step yet
	}
	result, err := a.api.ValidateChallenge(r.Context(), authsignal.ValidateRequest{
		Token: or(in.Token, s.token), UserID: s.username, Action: s.action,
		// The key ties the token to this very sign-in: that of an earlier one
		// would say "succeeded" too, for as long as it lives.
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

// lastCode tells whether a code of the user was accepted so lately that it
// could be the one that was refused now: each works once. It is for the page's
// advice and decides nothing.
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
		return u.LastVerifiedAt != nil && now.Sub(u.LastVerifiedAt.Time) < codeLife
	})
}

// signedIn gives the session of a user who is in.
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

// account is what the demo protects. A session stands on an authenticator: it
// ends where there is none any more.
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

// A receipt is what the page knows of a payment.
type receipt struct {
	Amount float64 `json:"amount"`
	Paid   bool    `json:"paid"`
	// Token is for the browser SDK's setToken, where a code must confirm it.
	Token string `json:"token,omitempty"`
}

// pay tracks a payment as an action of its own, whose amount rules can read. The
// outcome tells whether a code must confirm it. Nothing is paid by the page's
// word: the amount is that of the session.
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

// paid completes the payment that awaits a code, if the API says that its
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
	// Once: of two requests for one payment, the second finds none.
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

// removeAuthenticator takes the protection off. All sessions of the user end:
// they stand on the authenticator that is gone. The API ends the user's tokens
// for the same reason. An app with something to lose
// would ask for a code first, as for any sensitive action.
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
			continue // it was removed meanwhile
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

// signOut ends the session, wherever it stands.
func (a *app) signOut(w http.ResponseWriter, r *http.Request) (any, error) {
	a.sessions.end(sessionID(r))
	setCookie(w, r, "")
	return view{Step: stepSignIn}, nil
}
