package main

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/authsignal-wasm/sdk/authsignal"
)

const (
	// cookieName is specific, because apps on all ports of localhost share their
	// cookies.
	cookieName = "authsignal_demo"
	// pendingLife is the maximum time of a sign-in. It is longer than the
	// lifetime of the token, so that the API decides when a sign-in expires.
	pendingLife = 15 * time.Minute
	// signedInLife is the maximum time of a session after signing in.
	signedInLife = time.Hour
	// maxSessions limits the memory that unauthenticated requests can use.
	maxSessions = 10_000
)

// A step is what the user must do next, as the page shows it.
type step string

const (
	stepSignIn    step = "signIn"    // enter a user name: there is no session
	stepEnroll    step = "enroll"    // set up an authenticator app
	stepChallenge step = "challenge" // enter a code
	stepPrebuilt  step = "prebuilt"  // either of them in the pre-built UI
	stepAccount   step = "account"   // nothing: the user is signed in
)

// A ui is the UI of the second step: the app's own page, or the pre-built UI in one
// of its three modes.
type ui string

const (
	uiCustom   ui = "custom"
	uiRedirect ui = "redirect"
	uiPopup    ui = "popup"
	uiWindow   ui = "window"
)

// A payment is one that a code must confirm.
type payment struct {
	amount float64
	// idempotencyKey and token are those of the tracked action.
	idempotencyKey, token string
}

// A confirmation is the tracked action whose code confirms that it is the user.
type confirmation struct {
	idempotencyKey, token string
}

// byNothing stands for the verification method of a sign-in without a second factor,
// before the deadline of an enrollment policy.
const byNothing authsignal.VerificationMethod = "NONE"

// A session is the state of a browser. Only in the step account has the user
// verified a second factor, or is the browser one that the user trusts, or is none
// required yet.
type session struct {
	username string
	step     step
	// action, idempotencyKey and token are those of the tracked action that
	// must succeed to sign in. The token is for a page that has lost its own
	// (see app.verified).
	action, idempotencyKey, token string
	// ui is the UI of the second step; url is that of the pre-built UI.
	ui  ui
	url string
	// payment is the payment that requires a code, or the zero value.
	payment payment
	// confirmation is the one under way, or the zero value.
	confirmation confirmation

	// deadline is until when a user without an authenticator has to enroll; nil if no
	// policy requires it. mayWait reports whether the sign-in needs no enrollment yet.
	deadline *time.Time
	mayWait  bool

	// by is how the user signed in, or byNothing; codeAt is when the backend last
	// validated a code of the user in this session, or zero.
	by         authsignal.VerificationMethod
	codeAt     time.Time
	signedInAt time.Time
	expires    time.Time
}

// sessions keeps sessions in memory, by id.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[string]session
}

// start begins a session with a new random id of 256 bits, and ends the old one. A
// session whose rights change gets a new id, so that an id that an attacker set
// or saw before is worthless (session fixation). It reports false if there are
// too many sessions.
func (s *sessions) start(oldID string, new session) (id string, ok bool) {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	id = base64.RawURLEncoding.EncodeToString(b)
	life := pendingLife
	if new.step == stepAccount {
		life = signedInLife
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for id, old := range s.m {
		if !now.Before(old.expires) {
			delete(s.m, id)
		}
	}
	delete(s.m, oldID)
	if len(s.m) >= maxSessions {
		return "", false
	}
	new.expires = now.Add(life)
	s.m[id] = new
	return id, true
}

// get returns a session that has not expired.
func (s *sessions) get(id string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.m[id]
	return found, ok && s.now().Before(found.expires)
}

// replace replaces a session, and reports false if it has ended.
func (s *sessions) replace(id string, new session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.m[id]
	if ok {
		s.m[id] = new
	}
	return ok
}

// takePayment removes the payment of a key from a session, and returns its
// amount. It reports whether the payment was still there.
func (s *sessions) takePayment(id, idempotencyKey string) (amount float64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.m[id]
	if !ok || found.payment.idempotencyKey != idempotencyKey {
		return 0, false
	}
	amount, found.payment = found.payment.amount, payment{}
	s.m[id] = found
	return amount, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, id)
}

// endAll ends all sessions of a user.
func (s *sessions) endAll(username string) { s.endOthers(username, "") }

// endOthers ends all sessions of a user but the one with an id.
func (s *sessions) endOthers(username, keep string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.m {
		if old.username == username && id != keep {
			delete(s.m, id)
		}
	}
}

// sessionID returns the session id that a request has, or "".
func sessionID(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets the session cookie. An empty id deletes it.
func setCookie(w http.ResponseWriter, r *http.Request, id string) {
	c := &http.Cookie{
		Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: secure(r),
	}
	if id == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// secure reports whether the browser uses HTTPS. The demo itself serves plain HTTP,
// but a proxy in front of it may serve HTTPS. A client that forges this header
// restricts only its own cookie.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
