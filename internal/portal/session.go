package portal

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

const (
	// idle ends a session that nobody uses, absolute any.
	idle     = time.Hour
	absolute = 12 * time.Hour
	// noted is how old the note of a session's last use may be: not every
	// page writes.
	noted = time.Minute
	// known is how long a browser that has signed in is not a stranger.
	known = 180 * 24 * time.Hour
)

// Limits of wrong passwords. One source (a browser that has signed in before,
// or else an address) has perSource in window. Strangers together have
// ofStrangers in window, but only against a password that a person thought of:
// a random one is beyond guessing. So a flood of strangers keeps out neither
// the operator's own browser nor whoever can run authsignal-server
// portal-password.
const (
	perSource   = 10
	ofStrangers = 100
	window      = 15 * time.Minute
)

// strangers is the source that counts all who are not known.
const strangers = "strangers"

// The cookies of the session and of the browser. Over TLS they have the prefix
// __Host-, which no other host can write (RFC 6265bis, section 4.1.3.2).
const (
	sessionCookie = "authsignal-portal"
	browserCookie = "authsignal-portal-browser"
)

func (p *portal) cookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: Path, MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	}
	if p.secure {
		c.Name, c.Path = "__Host-"+name, "/"
	}
	if life <= 0 {
		c.MaxAge = -1
	}
	return c
}

// cookieValue is what a cookie of ours holds, or "".
func (p *portal) cookieValue(r *http.Request, name string) string {
	c, err := r.Cookie(p.cookie(name, "", 0).Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// hasSession reports whether a request is of someone who is signed in.
func (p *portal) hasSession(r *http.Request) (bool, error) {
	id := p.cookieValue(r, sessionCookie)
	if id == "" {
		return false, nil
	}
	now := p.Now()
	seen, ok, err := p.Store.PortalSession(r.Context(), id, now.Add(-absolute), now.Add(-idle))
	if err != nil || !ok {
		return false, err
	}
	if now.Sub(seen) >= noted {
		err = p.Store.Update(r.Context(), "", func(tx *store.Tx) error { return tx.SeePortalSession(id, now) })
	}
	return true, err
}

// begin begins a session in place of the one that the browser has, if it has
// one: whoever knew that one's id knows nothing of the new one. Fresh, unless
// nil, becomes the password first. Nothing is done, and ok is false, if the
// password that was checked is not the stored one any more.
func (p *portal) begin(w http.ResponseWriter, r *http.Request, checked string, fresh *store.PortalPassword) (ok bool, err error) {
	id, browser := rand.Text(), p.cookieValue(r, browserCookie)
	now := p.Now()
	err = p.Store.Update(r.Context(), "", func(tx *store.Tx) error {
		current, _, err := tx.PortalPassword()
		if ok = err == nil && current.Hash == checked; !ok {
			return err
		}
		if fresh != nil {
			err = tx.SetPortalPassword(*fresh, now)
		}
		var met bool
		if err == nil {
			met, err = tx.PortalBrowserKnown(browser, now.Add(-known))
		}
		if err == nil && !met {
			browser = rand.Text()
		}
		if err == nil {
			err = tx.KnowPortalBrowser(browser, now, now.Add(-known))
		}
		if err == nil {
			err = tx.DeletePortalSession(p.cookieValue(r, sessionCookie))
		}
		if err == nil {
			err = tx.InsertPortalSession(id, now, now.Add(-absolute))
		}
		return err
	})
	if err != nil || !ok {
		return false, err
	}
	http.SetCookie(w, p.cookie(sessionCookie, id, absolute))
	http.SetCookie(w, p.cookie(browserCookie, browser, known))
	return true, nil
}

// source names whom tries count against, and says whether it is a stranger.
func (p *portal) source(tx *store.Tx, r *http.Request) (source string, stranger bool, err error) {
	if id := p.cookieValue(r, browserCookie); id != "" {
		ok, err := tx.PortalBrowserKnown(id, p.Now().Add(-known))
		if err != nil || ok {
			return "browser " + store.CookieHash(id), false, err
		}
	}
	a := p.Address(r)
	// A single IPv6 subscriber has a /64 at least (RFC 6177).
	bits := 64
	if a.Is4() {
		bits = 32
	}
	prefix, _ := a.WithZone("").Prefix(bits)
	return "address " + prefix.String(), true, nil
}

// A verdict is what became of a password that was tried.
type verdict int

const (
	wrong verdict = iota
	right
	// limited and busy: it was not even looked at, since its source has tried
	// too often, or since strangers have all the places.
	limited
	busy
)

// try checks a password, and gives the hash that it was checked against. A try
// counts before it is known whether it is right, so that many at once are not
// more than the limit; a right one is forgiven with those before it.
func (p *portal) try(r *http.Request, password string) (v verdict, stored string, err error) {
	now := p.Now()
	var source string
	var stranger bool
	err = p.Store.View(r.Context(), "", func(tx *store.Tx) (err error) {
		source, stranger, err = p.source(tx, r)
		return err
	})
	if err != nil {
		return wrong, "", err
	}
	// Before anything is written: a flood of strangers must not make others
	// wait for the database either.
	release, ok, err := p.hashes(r.Context(), stranger)
	if err != nil {
		return wrong, "", err
	}
	if !ok {
		return busy, "", nil
	}
	defer release()
	var current store.PortalPassword
	var sources []string
	over := false
	err = p.Store.Update(r.Context(), "", func(tx *store.Tx) error {
		// It also makes others wait who try meanwhile.
		var err error
		if current, _, err = tx.PortalPassword(); err != nil {
			return err
		}
		limits := map[string]int{source: perSource}
		if stranger && current.Chosen {
			limits[strangers] = ofStrangers
		}
		for source, limit := range limits {
			n, err := tx.CountPortalAttempts(source, now.Add(-window))
			if err != nil {
				return err
			}
			over = over || n >= limit
			sources = append(sources, source)
		}
		if over {
			return nil
		}
		for _, source := range sources {
			if err := tx.AddPortalAttempt(source, now, now.Add(-window)); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return wrong, "", err
	case over:
		return limited, "", nil
	case !matches(password, current.Hash):
		return wrong, "", nil
	}
	return right, current.Hash, p.Store.Update(r.Context(), "", func(tx *store.Tx) error {
		// Of all strangers' tries, the others' stay.
		return tx.ForgetPortalAttempts(source)
	})
}

// hashes takes a place to hash a password in; release gives it back. Without ok
// there was none for a stranger; others wait.
func (p *portal) hashes(ctx context.Context, stranger bool) (release func(), ok bool, err error) {
	if stranger {
		select {
		case p.hashingStrangers <- struct{}{}:
			return func() { <-p.hashingStrangers }, true, nil
		default:
			return nil, false, nil
		}
	}
	select {
	case p.hashingKnown <- struct{}{}:
		return func() { <-p.hashingKnown }, true, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// tooOften is what the page says of a password that was not looked at, or "";
// the answer then says when to come back.
func (v verdict) tooOften(w http.ResponseWriter) string {
	switch v {
	case limited:
		w.Header().Set("Retry-After", fmt.Sprint(int(window/time.Second)))
		return "Too many wrong passwords. Wait 15 minutes, or make a new one with: authsignal-server portal-password"
	case busy:
		w.Header().Set("Retry-After", "1")
		return "Too many are signing in at once. Try again in a moment."
	}
	return ""
}

type signInView struct{ Error, Next string }

func (p *portal) signInForm(w http.ResponseWriter, r *http.Request) error {
	ok, err := p.hasSession(r)
	if err != nil {
		return err
	}
	next := safeNext(r.FormValue("next"))
	if ok {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	p.render(w, r, http.StatusOK, "sign-in", view{Title: "Sign in", Body: signInView{Next: next}})
	return nil
}

func (p *portal) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return tooLong(err)
	}
	body := signInView{Next: safeNext(r.PostFormValue("next"))}
	v, checked, err := p.try(r, cleanPassword(r.PostFormValue("password")))
	ok := v == right
	if err == nil && ok {
		ok, err = p.begin(w, r, checked, nil)
	}
	if err != nil {
		return err
	}
	if ok {
		p.Log.InfoContext(r.Context(), "portal: signed in")
		http.Redirect(w, r, body.Next, http.StatusSeeOther)
		return nil
	}
	status := http.StatusTooManyRequests
	if body.Error = v.tooOften(w); body.Error == "" {
		status, body.Error = http.StatusForbidden, "That is not the password."
	}
	p.Log.WarnContext(r.Context(), "portal: sign-in refused", "limited", status == http.StatusTooManyRequests)
	p.render(w, r, status, "sign-in", view{Title: "Sign in", Body: body})
	return nil
}

// safeNext is a page of the portal, whatever was asked for.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, Path+"/") ||
		strings.Contains(next, `\`) || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/..") {
		return Path
	}
	return u.RequestURI()
}

func (p *portal) signOut(w http.ResponseWriter, r *http.Request) error {
	id := p.cookieValue(r, sessionCookie)
	err := p.Store.Update(r.Context(), "", func(tx *store.Tx) error { return tx.DeletePortalSession(id) })
	if err != nil {
		return err
	}
	http.SetCookie(w, p.cookie(sessionCookie, "", 0))
	http.Redirect(w, r, Path+"/sign-in", http.StatusSeeOther)
	return nil
}

type accountView struct{ Error string }

func (p *portal) accountForm(w http.ResponseWriter, r *http.Request) error {
	return p.account(w, r, http.StatusOK, "")
}

func (p *portal) account(w http.ResponseWriter, r *http.Request, status int, refused string) error {
	names, err := p.tenantNames(r.Context())
	if err != nil {
		return err
	}
	p.render(w, r, status, "account", view{Title: "Password", SignedIn: true, Tenants: names, Body: accountView{refused}})
	return nil
}

// changePassword sets a new password. All other sessions end, and this one
// goes on under a new id.
func (p *portal) changePassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return tooLong(err)
	}
	fresh := cleanPassword(r.PostFormValue("new"))
	if fresh != cleanPassword(r.PostFormValue("again")) {
		return p.account(w, r, http.StatusBadRequest, "The two new passwords differ.")
	}
	if err := checkPassword(fresh); err != nil {
		text, _ := refusal(err)
		return p.account(w, r, http.StatusBadRequest, text)
	}
	v, checked, err := p.try(r, cleanPassword(r.PostFormValue("current")))
	if err != nil {
		return err
	}
	if text := v.tooOften(w); text != "" {
		return p.account(w, r, http.StatusTooManyRequests, text)
	}
	ok := v == right
	if ok {
		// Who is signed in and has the password is no stranger.
		release, _, err := p.hashes(r.Context(), false)
		if err != nil {
			return err
		}
		hashed := store.PortalPassword{Hash: hash(fresh), Chosen: true}
		release()
		if ok, err = p.begin(w, r, checked, &hashed); err != nil {
			return err
		}
	}
	if !ok {
		return p.account(w, r, http.StatusForbidden, "That is not the present password.")
	}
	p.Log.InfoContext(r.Context(), "portal: password changed")
	http.Redirect(w, r, Path+"/account?done=password", http.StatusSeeOther)
	return nil
}
