package server

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/cookie"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/origin"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// All of this file is our own addition to the API (wire contract, section 13).

// listTrustedBrowsers answers GET /v1/users/{userId}/trusted-browsers. A user who does
// not exist trusts none.
func (s *server) listTrustedBrowsers(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	out := []api.TrustedBrowser{}
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		u, found, err := tx.User(userID)
		if err == nil && found {
			out, err = mfa.TrustedBrowsers(tx, u, s.Now())
		}
		return err
	})
	return out, err
}

// revokeTrustedBrowser answers DELETE /v1/users/{userId}/trusted-browsers/{id}, and
// without the id ends the trust in all browsers.
func (s *server) revokeTrustedBrowser(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	id, err := optionalID(r)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return mfa.RevokeBrowser(tx, userID, id, mfa.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// listClientTrustedBrowsers answers GET /v1/client/trusted-browsers.
func (s *server) listClientTrustedBrowsers(r *http.Request) (any, error) {
	var out []api.TrustedBrowser
	err := s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		subject, err := mfa.ReadSubject(tx, tenant(r), claims(r))
		if err == nil {
			out, err = subject.TrustedBrowsers(tx, s.Now())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// revokeClientTrustedBrowser answers DELETE /v1/client/trusted-browsers/{id}, and
// without the id ends the trust in all browsers.
func (s *server) revokeClientTrustedBrowser(r *http.Request) (any, error) {
	id, err := optionalID(r)
	if err != nil {
		return nil, err
	}
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		return subject.RevokeOwnBrowser(tx, id, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// optionalID returns the id of a browser in a path, or an empty text if the path has
// none.
func optionalID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if id == "" {
		return "", nil
	}
	return identifier("browserId", id)
}

// maxBrowserCookies is the maximum number of cookies of trusted browsers that one
// browser keeps: proxies bound the size of a request's headers.
const maxBrowserCookies = 20

// browserCookies returns the cookies that store a token of the request's user in its
// browser, or delete it if the token is empty. The cookies that were made first are
// deleted if there are too many.
func (s *server) browserCookies(r *http.Request, token string, life time.Duration) []*http.Cookie {
	own := cookie.BrowserName(tenant(r).ID, claims(r).UserID)
	cookies := []*http.Cookie{s.Cookies.New(own, token, "/", life)}
	if token == "" {
		return cookies
	}
	names := slices.DeleteFunc(s.Cookies.Names(r, cookie.BrowserPrefix), func(name string) bool { return name == own })
	for _, name := range names[:max(0, len(names)-maxBrowserCookies+1)] {
		cookies = append(cookies, s.Cookies.New(name, "", "/", 0))
	}
	return cookies
}

// browserToken returns the token in the cookie of the request's user, or an empty
// text. It returns an error unless the request comes from a page of the server itself:
// the cookie is of no use to other pages, even to those that may call the client API.
func (s *server) browserToken(r *http.Request) (string, error) {
	site, from := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	// Browsers that do not send Sec-Fetch-Site send Origin with a POST request.
	if site != "same-origin" && (site != "" || from == "" || from != origin.Of(s.PublicURL)) {
		return "", api.Forbidden("Only the pre-built UI may use the cookie of a trusted browser. A backend keeps a deviceToken instead.")
	}
	return s.Cookies.Value(r, cookie.BrowserName(tenant(r).ID, claims(r).UserID)), nil
}

// device returns a subject whose action has the browser's own user agent if the
// backend has sent none.
func device(r *http.Request, subject mfa.Subject) mfa.Subject {
	subject.Action.UserAgent = cmp.Or(subject.Action.UserAgent, cut(r.UserAgent(), maxText))
	return subject
}

// trustClientBrowser answers POST /v1/client/trusted-browsers, by which the pre-built
// UI trusts the user's browser. It takes no body.
func (s *server) trustClientBrowser(r *http.Request) (any, error) {
	present, err := s.browserToken(r)
	if err == nil {
		err = noBody(r)
	}
	if err != nil {
		return nil, err
	}
	var token string
	var until time.Time
	now := s.Now()
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		settings, err := manage.ActionSettings(tx, subject.Action.Action)
		if err != nil {
			return err
		}
		token, until, err = device(r, subject).RememberBrowser(tx, settings, present, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return withCookies{api.TrustBrowserResponse{ExpiresAt: api.Time{Time: until}}, s.browserCookies(r, token, browserLife)}, nil
}

// browserLife is how long a browser keeps the cookie: as long as its trust can count
// for any action. The server decides for how long it counts.
const browserLife = api.MaxTrustBrowserDays * 24 * time.Hour

// verifyTrustedBrowser answers POST /v1/client/verify/trusted-browser, by which the
// pre-built UI completes a challenge in a browser that the user trusts. It takes no
// body. A browser that is not trusted is an ordinary answer.
func (s *server) verifyTrustedBrowser(r *http.Request) (any, error) {
	text, err := s.browserToken(r)
	if err == nil {
		err = noBody(r)
	}
	if err != nil {
		return nil, err
	}
	var use mfa.BrowserUse
	var consent *mfa.Consent
	var completed token.Claims
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		settings, err := manage.ActionSettings(tx, subject.Action.Action)
		if err != nil {
			return err
		}
		completed = subject.BrowserClaims()
		use, consent, err = device(r, subject).VerifyBrowser(tx, settings, text, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := withCookies{}
	switch {
	case use.Next != "":
		out.cookies = s.browserCookies(r, use.Next, browserLife)
	case use.Void && text != "":
		out.cookies = s.browserCookies(r, "", 0)
	}
	if consent != nil {
		// The token has changed, whatever the webhook answers.
		if err := s.requestConsent(r.Context(), *consent); err != nil {
			return out, err
		}
		use.Verified = true
	}
	answer := api.VerifyTrustedBrowserResponse{IsVerified: use.Verified}
	if use.Verified && use.Next != "" {
		if answer.AccessToken, err = s.Tokens.Issue(completed); err != nil {
			return out, err
		}
	}
	out.response = answer
	return out, nil
}
