// Package portal serves the operators' web pages: the authenticators, API keys,
// actions and rules, users and activity of each tenant.
//
// Pages are rendered on the server and work with plain forms; the only script
// copies texts to the clipboard. Changes go through internal/manage, as those of
// the management API do. The package must not import internal/server, and
// internal/daemon is its only caller.
package portal

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/assets"
	"github.com/authsignal-wasm/sdk/internal/cookie"
	"github.com/authsignal-wasm/sdk/internal/origin"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// Path is the path of the portal below that of the server.
const Path = "/portal"

// Config configures the portal. Every field is required.
type Config struct {
	Store *store.Store
	Log   *slog.Logger
	Now   func() time.Time
	// PublicURL is where browsers reach the server, without a path of the API.
	// If it has a path, a proxy removes that from the requests. Unless its host
	// is a loopback name, cookies are sent over TLS only.
	PublicURL string
	// OnlyLocal refuses requests whose host is not a loopback name, so that
	// another site cannot reach the portal by DNS rebinding.
	OnlyLocal bool
	// Address returns the client address of a request.
	Address func(*http.Request) netip.Addr
}

type portal struct {
	Config
	views  views
	static *assets.Set
	// root is the path of PublicURL, which begins the links of the pages.
	root    string
	cookies cookie.Home
	// hashingKnown and hashingUnknown limit how many passwords are hashed at
	// once, because Argon2id takes much memory by design. Known browsers wait
	// for a place of their own; an unknown browser is refused if there is none.
	hashingKnown, hashingUnknown chan struct{}
}

// Pages returns the handlers of the portal's pages and those of their files, by
// ServeMux pattern.
func Pages(c Config) (pages, files map[string]http.Handler, err error) {
	p, err := newPortal(c)
	if err != nil {
		return nil, nil, err
	}
	return p.pages()
}

func newPortal(c Config) (*portal, error) {
	p := &portal{
		Config:       c,
		hashingKnown: make(chan struct{}, 1), hashingUnknown: make(chan struct{}, 2),
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return nil, err
	}
	p.root = strings.TrimRight(u.EscapedPath(), "/")
	if p.cookies, err = cookie.At(c.PublicURL); err != nil {
		return nil, err
	}
	p.views, p.static, err = newViews(p.root)
	return p, err
}

func (p *portal) pages() (pages, files map[string]http.Handler, err error) {
	crossOrigin := http.NewCrossOriginProtection()
	if err := crossOrigin.AddTrustedOrigin(origin.Of(p.PublicURL)); err != nil {
		return nil, nil, err
	}
	crossOrigin.SetDenyHandler(p.open(func(*http.Request) (reply, error) {
		return reply{}, &api.Error{Status: http.StatusForbidden, Description: "The form was sent from another site. Go back to the portal and try again."}
	}))
	pages = map[string]http.Handler{}
	for pattern, handler := range p.routes() {
		method, path, _ := strings.Cut(pattern, " ")
		pages[method+" "+Path+path] = p.headers(crossOrigin.Handler(handler))
	}
	return pages, map[string]http.Handler{"GET " + Path + "/static/": p.headers(p.static)}, nil
}

// routes returns the handler of every page. "{$}" keeps a pattern that ends in a
// slash from matching all paths below it.
func (p *portal) routes() map[string]http.Handler {
	routes := map[string]http.Handler{
		"GET ":           p.open(p.home),
		"GET /":          p.open(func(*http.Request) (reply, error) { return reply{}, errNoPage }),
		"GET /{$}":       p.open(p.home),
		"GET /sign-in":   p.open(p.signInForm),
		"POST /sign-in":  p.open(p.signIn),
		"POST /sign-out": p.open(p.signOut),
		"GET /account":   p.signedIn(p.accountForm),
		"POST /account":  p.signedIn(p.changePassword),
		"GET /switch":    p.signedIn(p.switchTenant),
	}
	for pattern, page := range map[string]tenantPage{
		"GET ":                              p.overview,
		"GET /authenticators":               p.authenticators,
		"GET /authenticators/app":           p.appForm,
		"POST /authenticators/app":          p.setApp,
		"GET /authenticators/stop":          p.stopForm,
		"POST /authenticators/stop":         p.stopApp,
		"GET /keys":                         p.keys,
		"POST /keys":                        p.newKey,
		"GET /keys/revoke":                  p.revokeForm,
		"POST /keys/revoke":                 p.revokeKey,
		"POST /keys/origins":                p.setOrigins,
		"GET /settings":                     p.settingsForm,
		"POST /settings/webhook":            p.setWebhook,
		"POST /settings/secrets":            p.newWebhookSecret,
		"GET /settings/revoke":              p.revokeWebhookForm,
		"POST /settings/revoke":             p.revokeWebhookSecret,
		"POST /settings/branding":           p.setBranding,
		"POST /settings/recovery":           p.setRecoveryLinks,
		"POST /settings/enrollment":         p.setEnrollmentPolicy,
		"GET /settings/delete":              p.deleteTenantForm,
		"POST /settings/delete":             p.deleteTenant,
		"GET /actions":                      p.actions,
		"GET /actions/open":                 p.openAction,
		"GET /actions/{action}":             p.action,
		"POST /actions/{action}":            p.setDefaults,
		"POST /actions/{action}/enrollment": p.setActionPolicy,
		"GET /actions/{action}/rule":        p.ruleForm,
		"POST /actions/{action}/rule":       p.setRule,
		"POST /actions/{action}/move":       p.moveRule,
		"GET /actions/{action}/drop":        p.deleteForm,
		"POST /actions/{action}/drop":       p.deleteRuleOrSettings,
		"GET /users":                        p.users,
		"GET /users/user":                   p.user,
		"GET /users/change":                 p.changeForm,
		"POST /users/change":                p.changeUser,
		"GET /users/recover":                p.recoverForm,
		"POST /users/recover":               p.recover,
		"GET /activity":                     p.activity,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		routes[method+" /t/{tenant}"+path] = p.ofTenant(page)
	}
	return routes
}

// A page makes the reply to a request, or fails: an *api.Error is shown, any
// other is logged.
type page func(r *http.Request) (reply, error)

// A tenantPage is a page about a tenant.
type tenantPage func(r *http.Request, t store.Tenant) (reply, error)

// headers sets the headers of all responses.
func (p *portal) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Logos are data: URLs; styles and scripts are files of the portal.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "+
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		// With no-referrer, browsers would hide the origin of the portal's own
		// forms.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		h.Set("Cache-Control", "no-store")
		if p.OnlyLocal && !origin.IsLoopback("http://"+r.Host) {
			http.Error(w, "The portal is available only under a loopback name, such as localhost. Start the server with -portal on to use other names.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxForm is the maximum size of a form in bytes: a logo and the other fields.
const maxForm = 256 << 10

// open serves a page without authentication.
func (p *portal) open(serve page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		a, err := serve(r)
		if err != nil {
			p.fail(w, r, err)
			return
		}
		p.write(w, r, a)
	})
}

// signedIn serves a page to a browser that is signed in, and redirects any
// other to the sign-in page and back.
func (p *portal) signedIn(serve page) http.Handler {
	return p.open(func(r *http.Request) (reply, error) {
		ok, err := p.hasSession(r)
		if err != nil {
			return reply{}, err
		}
		if !ok {
			to := Path + "/sign-in"
			if r.Method == http.MethodGet {
				to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
			}
			return reply{redirect: to}, nil
		}
		a, err := serve(r)
		if err == nil && a.redirect == "" {
			a.view.SignedIn = true
			a.view.Tenants, err = p.tenantNames(r.Context())
		}
		return a, err
	})
}

// ofTenant serves a page about the tenant of the path.
func (p *portal) ofTenant(serve tenantPage) http.Handler {
	return p.signedIn(func(r *http.Request) (reply, error) {
		if err := parseForm(r); err != nil {
			return reply{}, err
		}
		t, found, err := p.Store.Tenant(r.Context(), strings.ToValidUTF8(strings.ReplaceAll(r.PathValue("tenant"), "\x00", ""), ""))
		if err != nil {
			return reply{}, err
		}
		if !found {
			return reply{}, errNoTenant
		}
		a, err := serve(r, t)
		a.view.Tenant = t.ID
		return a, err
	})
}

// parseForm parses the form of a request, and makes its values valid UTF-8.
func parseForm(r *http.Request) error {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		if err := r.ParseMultipartForm(maxForm); err != nil {
			return tooLong(err)
		}
	} else if err := r.ParseForm(); err != nil {
		return tooLong(err)
	}
	// Form and PostForm have separate copies of the posted values.
	for _, form := range []url.Values{r.Form, r.PostForm} {
		for key, values := range form {
			for i, value := range values {
				if strings.Contains(value, "\x00") {
					return badInput(key + " must not contain a NUL character.")
				}
				values[i] = strings.ToValidUTF8(value, "\ufffd")
			}
		}
	}
	return nil
}

// home redirects to the first tenant, or shows that there is none.
func (p *portal) home(r *http.Request) (reply, error) {
	ok, err := p.hasSession(r)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{redirect: Path + "/sign-in"}, nil
	}
	names, err := p.tenantNames(r.Context())
	if err != nil {
		return reply{}, err
	}
	if len(names) == 0 {
		return reply{template: "empty", view: view{Title: "No tenant yet", SignedIn: true}}, nil
	}
	return reply{redirect: tenantPath(names[0])}, nil
}

// switchTenant redirects to the tenant that was chosen in the selector.
func (p *portal) switchTenant(r *http.Request) (reply, error) {
	id := r.FormValue("tenant")
	if !api.IsTenantID(id) {
		return reply{}, errNoTenant
	}
	return reply{redirect: tenantPath(id)}, nil
}

func tenantPath(id string) string { return Path + "/t/" + url.PathEscape(id) }

func (p *portal) tenantNames(ctx context.Context) ([]string, error) {
	list, err := p.Store.Tenants(ctx)
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = t.ID
	}
	return names, err
}
