package portal

import (
	"context"
	"net/http"
	"time"

	"github.com/authsignal-wasm/sdk/internal/address"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Limits of wrong passwords. One source (a browser that has signed in before,
// or else an address) has perSource in window. Unknown browsers together have
// ofUnknown in window, but only against a password that an operator chose: a
// random one is beyond guessing. So a flood from unknown browsers locks out
// neither the operator's own browser nor an operator who can run
// authsignal-server portal-password.
const (
	perSource = 10
	ofUnknown = 100
	window    = 15 * time.Minute
)

// unknownBrowsers is the name in the store of all unknown browsers together.
const unknownBrowsers = "strangers"

// A source is what wrong passwords count against.
type source struct {
	// name is its name in the store.
	name string
	// unknown reports whether its browser has not signed in before.
	unknown bool
}

// sourceOf returns the source of a request.
func (p *portal) sourceOf(tx *store.Tx, r *http.Request) (source, error) {
	if id := p.cookieValue(r, browserCookie); id != "" {
		ok, err := tx.PortalBrowserKnown(id, p.Now().Add(-known))
		if err != nil || ok {
			return source{name: "browser " + store.CookieHash(id)}, err
		}
	}
	return source{name: "address " + address.Subscriber(p.Address(r)).String(), unknown: true}, nil
}

// A verdict is the result of a sign-in with a password.
type verdict int

const (
	wrong verdict = iota
	right
	// limited: the password was not checked, because its source has tried too
	// often.
	limited
	// busy: the password was not checked, because unknown browsers have taken
	// all their places.
	busy
)

// refusal returns the error text of a password that was not checked, and when
// the browser may try again. If the password was checked, the text is empty.
func (v verdict) refusal() (text string, retryAfter time.Duration) {
	switch v {
	case limited:
		return "Too many wrong passwords. Wait 15 minutes, or create a new password with: authsignal-server portal-password", window
	case busy:
		return "Too many sign-ins at once. Try again in a moment.", time.Second
	}
	return "", 0
}

// try checks a password, and returns the hash that it was compared with. An
// attempt counts before its result is known, so that many at once do not
// exceed the limit; a right password clears the attempts of its source.
func (p *portal) try(r *http.Request, password string) (v verdict, stored string, err error) {
	var from source
	err = p.Store.View(r.Context(), "", func(tx *store.Tx) (err error) {
		from, err = p.sourceOf(tx, r)
		return err
	})
	if err != nil {
		return wrong, "", err
	}
	// Before anything is written: a flood from unknown browsers must not make
	// others wait for the database either.
	release, ok, err := p.hashingPlace(r.Context(), from)
	if err != nil {
		return wrong, "", err
	}
	if !ok {
		return busy, "", nil
	}
	defer release()
	current, ok, err := p.countAttempt(r.Context(), from)
	switch {
	case err != nil:
		return wrong, "", err
	case !ok:
		return limited, "", nil
	case !matches(password, current.Hash):
		return wrong, "", nil
	}
	return right, current.Hash, p.Store.Update(r.Context(), "", func(tx *store.Tx) error {
		// The attempts of unknown browsers together stay: the others' count.
		return tx.ForgetPortalAttempts(from.name)
	})
}

// countAttempt counts an attempt of a source, and returns the present password.
// If a limit is reached, nothing is counted and ok is false.
func (p *portal) countAttempt(ctx context.Context, from source) (current store.PortalPassword, ok bool, err error) {
	now := p.Now()
	err = p.Store.Update(ctx, "", func(tx *store.Tx) error {
		// Reading it also makes concurrent attempts wait.
		var err error
		if current, _, err = tx.PortalPassword(); err != nil {
			return err
		}
		limits := map[string]int{from.name: perSource}
		if from.unknown && current.Chosen {
			limits[unknownBrowsers] = ofUnknown
		}
		ok = true
		for name, limit := range limits {
			n, err := tx.CountPortalAttempts(name, now.Add(-window))
			if err != nil {
				return err
			}
			ok = ok && n < limit
		}
		if !ok {
			return nil
		}
		for name := range limits {
			if err := tx.AddPortalAttempt(name, now, now.Add(-window)); err != nil {
				return err
			}
		}
		return nil
	})
	return current, ok, err
}

// hashingPlace takes a place to hash a password in; release gives it back. If
// there is none for an unknown browser, ok is false; a known one waits.
func (p *portal) hashingPlace(ctx context.Context, from source) (release func(), ok bool, err error) {
	if !from.unknown {
		release, err = p.knownPlace(ctx)
		return release, err == nil, err
	}
	select {
	case p.hashingUnknown <- struct{}{}:
		return func() { <-p.hashingUnknown }, true, nil
	default:
		return nil, false, nil
	}
}

// knownPlace waits for a place for known browsers; release gives it back.
func (p *portal) knownPlace(ctx context.Context) (release func(), err error) {
	select {
	case p.hashingKnown <- struct{}{}:
		return func() { <-p.hashingKnown }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
