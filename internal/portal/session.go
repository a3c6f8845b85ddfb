package portal

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/store"
)

const (
	// A session ends after idle without use, and after absolute in any case.
	idle     = time.Hour
	absolute = 12 * time.Hour
	// useRecorded is the precision of a session's last use, so that not every
	// page writes to the database.
	useRecorded = time.Minute
	// known is how long a browser that has signed in stays known.
	known = 180 * 24 * time.Hour
)

// The names of the cookies of the session and of the browser.
const (
	sessionCookie = "authsignal-portal"
	browserCookie = "authsignal-portal-browser"
)

func (p *portal) cookie(name, value string, life time.Duration) *http.Cookie {
	return p.cookies.New(name, value, Path, life)
}

// cookieValue returns the value of one of the portal's cookies, or "".
func (p *portal) cookieValue(r *http.Request, name string) string { return p.cookies.Value(r, name) }

// hasSession reports whether a request comes from a browser that is signed in.
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
	if now.Sub(seen) >= useRecorded {
		err = p.Store.Update(r.Context(), "", func(tx *store.Tx) error { return tx.SeePortalSession(id, now) })
	}
	return true, err
}

// sessionName names the session of a request in the audit log, without revealing its
// id.
func (p *portal) sessionName(r *http.Request) string {
	return store.CookieHash(p.cookieValue(r, sessionCookie))[:8]
}

// begin begins a session with a new id, in place of the browser's present one.
// It returns the cookies of the new session. Unless fresh is nil, it becomes the
// password first. If the password that was checked has been replaced in the
// meantime, nothing is changed and ok is false.
func (p *portal) begin(r *http.Request, checked string, fresh *store.PortalPassword) (cookies []*http.Cookie, ok bool, err error) {
	id, browser := rand.Text(), p.cookieValue(r, browserCookie)
	now := p.Now()
	err = p.Store.Update(r.Context(), "", func(tx *store.Tx) error {
		current, _, err := tx.PortalPassword()
		if ok = err == nil && current.Hash == checked; !ok {
			return err
		}
		if fresh != nil {
			if err := tx.SetPortalPassword(*fresh, now); err != nil {
				return err
			}
		}
		met, err := tx.PortalBrowserKnown(browser, now.Add(-known))
		if err != nil {
			return err
		}
		if !met {
			browser = rand.Text()
		}
		if err := tx.KnowPortalBrowser(browser, now, now.Add(-known)); err != nil {
			return err
		}
		if err := tx.DeletePortalSession(p.cookieValue(r, sessionCookie)); err != nil {
			return err
		}
		return tx.InsertPortalSession(id, now, now.Add(-absolute))
	})
	if err != nil || !ok {
		return nil, false, err
	}
	return []*http.Cookie{p.cookie(sessionCookie, id, absolute), p.cookie(browserCookie, browser, known)}, true, nil
}
