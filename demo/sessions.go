package main

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

const (
	// cookieName is not just "session": on localhost, apps on all ports share
	// their cookies.
	cookieName = "authsignal_demo"
	// pendingLife is how long a sign-in may take: longer than its token lives,
	// so that it is the API that says when it is over.
	pendingLife = 15 * time.Minute
	// signedInLife is how long one stays signed in.
	signedInLife = time.Hour
	// maxSessions bounds the memory that strangers can make us use.
	maxSessions = 10_000
)

// A step is what the user has to do next; the page shows it.
type step string

const (
	stepSignIn    step = "signIn"    // enter a user name: there is no session
	stepEnroll    step = "enroll"    // set up an authenticator app
	stepChallenge step = "challenge" // enter a code
	stepPrebuilt  step = "prebuilt"  // do either in the pre-built UI
	stepAccount   step = "account"   // nothing: one is in
)

// A ui is where the second step takes place: in this app's own page, or in the
// API's pre-built one, which is opened in one of three modes.
type ui string

const (
	uiCustom   ui = "custom"
	uiRedirect ui = "redirect"
	uiPopup    ui = "popup"
	uiWindow   ui = "window"
)

// A payment awaits the code that confirms it.
type payment struct {
	amount float64
	// idempotencyKey and token are those of the tracked action.
	idempotencyKey, token string
}

// A session is what the backend knows of a browser. Only the step account has
// a second factor behind it.
type session struct {
	username string
	step     step
	// action, idempotencyKey and token are those of the tracked action that
	// must succeed to get in. The token is kept for when the page loses its
	// own (see app.verified).
	action, idempotencyKey, token string
	// ui is how the second step looks; url opens the pre-built UI.
	ui  ui
	url string
	// payment is the one that awaits a code; the zero value is none.
	payment payment

	signedInAt time.Time
	expires    time.Time
}

// sessions keeps sessions in memory, by id.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[string]session
}

// start begins a session under a new random id of 256 bits, and ends the old
// one. A session whose rights change gets a new id, so that an id that was
// planted or seen before is worth nothing (session fixation). It reports false
// if there are too many sessions.
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

// get finds a session that has not expired.
func (s *sessions) get(id string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.m[id]
	return found, ok && s.now().Before(found.expires)
}

// replace changes a session, unless it has ended meanwhile.
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
func (s *sessions) endAll(username string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.m {
		if old.username == username {
			delete(s.m, id)
		}
	}
}

// sessionID reads the id that a browser claims.
func sessionID(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie hands an id to the browser; an empty one takes it back.
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

// secure reports whether the browser speaks HTTPS. The demo speaks plain HTTP; a
// proxy before it may speak HTTPS. A client that forges this header restricts
// only its own cookie.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
