package portal

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/store"
)

type signInView struct{ Error, Next string }

func (p *portal) signInForm(r *http.Request) (reply, error) {
	ok, err := p.hasSession(r)
	if err != nil {
		return reply{}, err
	}
	next := safeNext(r.FormValue("next"))
	if ok {
		return reply{redirect: next}, nil
	}
	return reply{template: "sign-in", view: view{Title: "Sign in", Body: signInView{Next: next}}}, nil
}

func (p *portal) signIn(r *http.Request) (reply, error) {
	if err := r.ParseForm(); err != nil {
		return reply{}, tooLong(err)
	}
	body := signInView{Next: safeNext(r.PostFormValue("next"))}
	v, checked, err := p.try(r, cleanPassword(r.PostFormValue("password")))
	if err != nil {
		return reply{}, err
	}
	if v == right {
		cookies, ok, err := p.begin(r, checked, nil)
		if err != nil {
			return reply{}, err
		}
		if ok {
			p.Log.InfoContext(r.Context(), "portal: signed in")
			return reply{redirect: body.Next, cookies: cookies}, nil
		}
	}
	a := reply{status: http.StatusTooManyRequests, template: "sign-in"}
	if body.Error, a.retryAfter = v.refusal(); body.Error == "" {
		a.status, body.Error = http.StatusForbidden, "The password is wrong."
	}
	p.Log.WarnContext(r.Context(), "portal: sign-in refused", "limited", a.status == http.StatusTooManyRequests)
	a.view = view{Title: "Sign in", Body: body}
	return a, nil
}

// safeNext returns next if it is a page of the portal, and otherwise Path.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, Path+"/") ||
		strings.Contains(next, `\`) || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/..") {
		return Path
	}
	return u.RequestURI()
}

func (p *portal) signOut(r *http.Request) (reply, error) {
	id := p.cookieValue(r, sessionCookie)
	err := p.Store.Update(r.Context(), "", func(tx *store.Tx) error { return tx.DeletePortalSession(id) })
	if err != nil {
		return reply{}, err
	}
	return reply{redirect: Path + "/sign-in", cookies: []*http.Cookie{p.cookie(sessionCookie, "", 0)}}, nil
}

type accountView struct{ Error string }

func (p *portal) accountForm(*http.Request) (reply, error) {
	return accountPage(http.StatusOK, ""), nil
}

func accountPage(status int, refused string) reply {
	return reply{status: status, template: "account", view: view{Title: "Password", Body: accountView{refused}}}
}

// changePassword sets a new password. It ends all other sessions, and gives this
// one a new id.
func (p *portal) changePassword(r *http.Request) (reply, error) {
	if err := r.ParseForm(); err != nil {
		return reply{}, tooLong(err)
	}
	fresh := cleanPassword(r.PostFormValue("new"))
	if fresh != cleanPassword(r.PostFormValue("again")) {
		return accountPage(http.StatusBadRequest, "The two new passwords differ."), nil
	}
	if err := checkPassword(fresh); err != nil {
		text, _ := refusal(err)
		return accountPage(http.StatusBadRequest, text), nil
	}
	v, checked, err := p.try(r, cleanPassword(r.PostFormValue("current")))
	if err != nil {
		return reply{}, err
	}
	if text, retryAfter := v.refusal(); text != "" {
		a := accountPage(http.StatusTooManyRequests, text)
		a.retryAfter = retryAfter
		return a, nil
	}
	if v == right {
		// A browser that is signed in counts as known.
		release, err := p.knownPlace(r.Context())
		if err != nil {
			return reply{}, err
		}
		hashed := store.PortalPassword{Hash: hash(fresh), Chosen: true}
		release()
		cookies, ok, err := p.begin(r, checked, &hashed)
		if err != nil {
			return reply{}, err
		}
		if ok {
			p.Log.InfoContext(r.Context(), "portal: password changed")
			return reply{redirect: Path + "/account?done=" + string(noticePassword), cookies: cookies}, nil
		}
	}
	return accountPage(http.StatusForbidden, "The current password is wrong."), nil
}
