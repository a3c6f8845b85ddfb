package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

// The actions that the demo tracks. An app chooses the names of its actions, and
// each can have its own rules.
const (
	actionSignIn   = "signIn"
	actionEnroll   = "enroll"
	actionPayment  = "payment"
	actionConfirm  = "confirm"
	actionSettings = "settings"
)

// maxBody is the maximum size of a request body in bytes. The longest content is a
// token.
const maxBody = 16 << 10

// An app is the demo's backend. It never relies on data of the page: signing in
// needs a code, and only the API's validate decides whether the right one was
// entered.
type app struct {
	api      *authsignal.Client
	sessions sessions
	notices  notices
	log      *slog.Logger
}

// newApp returns the handler of the demo: the JSON endpoints of the page, the page
// with its files, and the receiver of webhooks. The notices to users go to mail.
func newApp(client *authsignal.Client, pages *assets, mail io.Writer, log *slog.Logger) http.Handler {
	a := &app{api: client, sessions: sessions{now: time.Now, m: map[string]session{}}, notices: notices{out: mail}, log: log}
	mux := http.NewServeMux()
	mux.Handle("GET /api/session", a.json(a.session))
	mux.Handle("POST /api/sign-in", a.json(a.signIn))
	mux.Handle("POST /api/enroll", a.json(a.enroll))
	mux.Handle("POST /api/later", a.json(a.later))
	mux.Handle("POST /api/prebuilt", a.json(a.prebuilt))
	mux.Handle("POST /api/verified", a.json(a.verified))
	mux.Handle("GET /api/last-code", a.json(a.lastCode))
	mux.Handle("GET /api/account", a.json(a.account))
	mux.Handle("POST /api/pay", a.json(a.pay))
	mux.Handle("POST /api/paid", a.json(a.paid))
	mux.Handle("POST /api/confirm", a.json(a.confirm))
	mux.Handle("POST /api/confirmed", a.json(a.confirmed))
	mux.Handle("POST /api/settings", a.json(a.settings))
	mux.Handle("POST /api/rename-authenticator", a.json(a.renameAuthenticator))
	mux.Handle("POST /api/remove-authenticator", a.json(a.removeAuthenticator))
	mux.Handle("POST /api/forget-browser", a.json(a.forgetBrowser))
	mux.Handle("GET /api/notices", a.json(a.myNotices))
	mux.Handle("POST /api/sign-out", a.json(a.signOut))
	mux.Handle("/api/", a.json(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &failure{http.StatusNotFound, "not_found", "There is no such endpoint."}
	}))
	mux.HandleFunc("POST "+webhookPath, a.webhook)
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
	errNotSignedIn  = &failure{http.StatusUnauthorized, "not_signed_in", "Your session has ended. Sign in again."}
	errCodeNeeded   = &failure{http.StatusForbidden, "code_needed", "Finish signing in first: a code is needed."}
	errNotVerified  = &failure{http.StatusForbidden, "not_verified", "No code has been accepted for this sign-in."}
	errConfirm      = &failure{http.StatusForbidden, "confirm", "Enter a code first: this changes how your account is protected."}
	errNotConfirmed = &failure{http.StatusForbidden, "not_verified", "No code has been accepted for this change."}
	errNotPaid      = &failure{http.StatusForbidden, "not_verified", "No code has been accepted for this payment."}
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
	// Deadline is until when the user has to enroll, if a policy requires it. MayWait
	// reports whether the user may sign in without.
	Deadline *time.Time `json:"deadline,omitempty"`
	MayWait  bool       `json:"mayWait,omitempty"`
	// Notice is a message to the user.
	Notice string `json:"notice,omitempty"`
	// URL and Mode are for launch of the browser SDK, if the pre-built UI is
	// used.
	URL  string `json:"url,omitempty"`
	Mode ui     `json:"mode,omitempty"`
}

func viewOf(s session) view {
	v := view{Step: s.step, Username: s.username}
	switch s.step {
	case stepAccount:
		v.Deadline = s.deadline
	case stepPrebuilt:
		v.URL, v.Mode = s.url, s.ui
	case stepEnroll:
		v.Token, v.Deadline, v.MayWait = s.token, s.deadline, s.mayWait
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

// signOut ends the session at any step.
func (a *app) signOut(w http.ResponseWriter, r *http.Request) (any, error) {
	a.sessions.end(sessionID(r))
	setCookie(w, r, "")
	return view{Step: stepSignIn}, nil
}
