// Package prebuilt serves the pre-built UI: the page at the url of a tracked
// action, where users enroll, answer challenges and manage their authenticators,
// so that the tenant needs no pages for it.
//
// It reads the store to decide what to show, and changes nothing. The page calls
// the client API of the same origin with the token of the url, so that it has
// the same rights as a page of the tenant. The token is never logged, stored or
// written into the page.
package prebuilt

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/assets"
	"github.com/authsignal-wasm/sdk/internal/cookie"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/origin"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

//go:embed page
var pageFiles embed.FS

// scripts are the modules of the page's script. The first one imports the others.
var scripts = []string{
	"app.js", "page.js", "messages.js", "code.js", "challenge.js", "enroll.js", "codes.js",
	"settings.js", "devices.js", "remember.js", "leave.js", "link.js",
}

// Config configures the pages.
type Config struct {
	Store  *store.Store
	Tokens *token.Issuer
	// Cookies is the place of the server's cookies. The page reads that of a trusted
	// browser, to decide whether its script tries it first, and sets none.
	Cookies cookie.Home
	Now     func() time.Time
	// Origins are the allowed origins of the server's configuration: they may
	// show the pages of every tenant in a frame and be returned to, as each
	// tenant's origins may for its own pages. Origins whose scheme is not http
	// or https may not; see origin.IsWeb.
	Origins []string
	// Loopback also allows loopback origins, on every port.
	Loopback bool
	// SDK is the built browser SDK. If it is nil, the pages only show a failure.
	SDK fs.FS
	Log *slog.Logger
}

type ui struct {
	Config
	files *assets.Set
	tmpl  *template.Template
	// base and module are the paths of the files and of the module, relative
	// to the page: a proxy may put a prefix before its path.
	base, module string
}

// Pages returns the handler of the page and that of its files, by ServeMux
// pattern.
func Pages(c Config) (pages, files map[string]http.Handler, err error) {
	p := &ui{Config: c, files: assets.New("/assets/")}
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, nil, err
	}
	if p.tmpl, err = template.ParseFS(page, "index.html"); err != nil {
		return nil, nil, err
	}
	sources := []assets.Source{}
	for _, name := range append([]string{"token.js", "style.css", "icon.svg"}, scripts...) {
		sources = append(sources, assets.Source{From: page, Name: name, As: name})
	}
	if c.SDK != nil {
		module, err := p.files.Add(c.SDK, "authsignal.wasm")
		if err != nil {
			return nil, nil, err
		}
		p.module = module[1:]
		sources = append(sources, assets.Source{From: c.SDK, Name: "index.js", As: "sdk/index.js"},
			// Only for developer tools.
			assets.Source{From: c.SDK, Name: "index.js.map", As: "sdk/index.js.map", Optional: true})
	}
	base, err := p.files.AddFolder(sources...)
	if err != nil {
		return nil, nil, err
	}
	p.base = base[1:]
	return map[string]http.Handler{"GET /{$}": http.HandlerFunc(p.page)},
		map[string]http.Handler{"GET /assets/": http.HandlerFunc(p.asset)}, nil
}

// accentPath is the path of the stylesheet of a tenant's colour. An inline style
// would need an exception in the page's policy.
var accentPath = regexp.MustCompile(`^/assets/accent-([0-9a-f]{6})\.css$`)

func (p *ui) asset(w http.ResponseWriter, r *http.Request) {
	m := accentPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		p.files.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=86400")
	// An error here is one of the connection, so it cannot be reported to the client.
	_, _ = w.Write([]byte(accentStyle(m[1])))
}

// A screen is the data of the page's template, which the page's script reads from
// attributes.
type screen struct {
	Lang, Dir string
	// T returns the text of a key.
	T           func(key string) string
	ClientTexts map[string]string

	// Start is the section that is shown first, and Then the section that
	// follows a challenge. If Start is sectionFailure, Failure is the failure,
	// and Code and Status are those of failure.apiError.
	Start, Then section
	Failure     failure
	Code        string
	Status      int

	Title, FailureTitle, FailureText string
	TenantID, Name                   string
	Logo                             template.URL
	Accent                           string
	// Mode is popup, in a frame or a window, or empty.
	Mode string
	// Return is the URL to return to at the end, if that is allowed.
	Return string
	// Origins, separated by spaces, are the origins to which messages may be
	// sent. With Loopback, loopback origins are too.
	Origins                                        string
	Loopback                                       bool
	Assets, Module                                 string
	Enrolled, MayAdd, MayRemove, MayVerify, Active bool
	// MayRecover is set if a recovery code would be accepted.
	MayRecover, MayRename, MayMakeCodes, MaySeeBrowsers bool
	// Codes is set if the tenant allows recovery codes.
	Codes bool
	// Most is the maximum number of authenticators of a user.
	Most int
	// TriesBrowser reports whether the script tries the cookie of a trusted browser
	// before anything else.
	TriesBrowser bool
	// RememberDays is the number of days for which the user may trust the browser
	// after a code, or 0.
	RememberDays int
	// LinkEnds is when a recovery link ends (RFC 3339). VoidsAuthenticators and
	// VoidsCodes report what its use voids.
	LinkEnds                        string
	VoidsAuthenticators, VoidsCodes bool
	// MustEnroll reports whether an enrollment policy requires the user to enroll now,
	// and Deadline is from when on it will, in RFC 3339; empty if it does not.
	MustEnroll bool
	Deadline   string
}

// Scripts are the modules that the page's script imports. They are loaded with it,
// and not one after the other.
func (s screen) Scripts() []string { return scripts[1:] }

// Few is the number of recovery codes left at which the user is warned.
func (s screen) Few() int { return api.FewRecoveryCodes }

// NeedsModule reports whether the page is likely to need the module.
func (s screen) NeedsModule() bool {
	return s.Module != "" && s.Start != sectionFailure && s.Start != sectionDone && !s.TriesBrowser
}

// page serves the url of a tracked action.
func (p *ui) page(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := screen{Start: sectionFailure, Then: sectionFinish, Assets: p.base, Module: p.module, Loopback: p.Loopback}
	if q.Get("mode") == "popup" {
		s.Mode = "popup"
	}
	if isLink(q) {
		s.Mode = "" // it is shown in no frame
	}
	v := p.readVisit(r, q)
	if v.found {
		p.present(&s, v)
	}
	if v.failure == "" && s.Mode == "" && v.subject.Action.RedirectURL != "" && s.Return == "" {
		// Fail now, and not after the user has entered a code.
		p.Log.WarnContext(r.Context(), "the redirectUrl of a tracked action is not an http or https URL of an allowed origin; add its origin to the tenant's origins, or to -origins",
			"tenant", v.tenant.ID, "origin", origin.Of(v.subject.Action.RedirectURL))
		v.view = view{failure: failureReturn}
	}
	status := http.StatusOK
	if v.failure == "" {
		s.Start, s.Then = v.start, v.then
		p.offerTrust(&s, v, r)
	} else {
		s.Failure = v.failure
		s.Code, s.Status = v.failure.apiError()
		if s.Status != 0 {
			status = s.Status
		}
	}
	s.translate(match(v.subject.User.Locale, r.Header.Get("Accept-Language")), v.tenant.Authenticator)
	p.send(w, r, s, status)
}

// translate sets the texts of a language.
func (s *screen) translate(l lang, a api.AuthenticatorSettings) {
	texts := l.fill(map[string]string{
		"app": s.Name, "days": strconv.Itoa(s.RememberDays), "minutes": strconv.Itoa(minutes(a.WindowSeconds)), "most": strconv.Itoa(a.MaxAuthenticators),
	})
	s.Lang, s.Dir, s.T = l.tag, l.texts["dir"], texts.text
	s.ClientTexts = texts.client()
	heading := string(s.Start) + ".title"
	if s.Start == sectionFailure {
		heading = "failure." + string(s.Failure) + ".title"
		s.FailureTitle, s.FailureText = texts.text(heading), texts.text("failure."+string(s.Failure)+".text")
	}
	s.Title = texts.text(heading)
	if s.Name != "" {
		s.Title += " – " + s.Name
	}
}

// minutes converts seconds to minutes, rounded up.
func minutes(seconds int) int { return (seconds + 59) / 60 }

// present sets the tenant's branding, the origins that the page may send
// messages to, and the rights of the subject.
func (p *ui) present(s *screen, v visit) {
	s.TenantID, s.Name = v.tenant.ID, v.tenant.Branding.Name
	if s.Name == "" {
		s.Name = v.tenant.Authenticator.Issuer
	}
	// It was checked when it was stored, and is checked again: a value that is
	// not known to be harmless is left out.
	if manage.CheckBranding(v.tenant.Branding) == nil {
		s.Logo = template.URL(v.tenant.Branding.Logo)
		if c := v.tenant.Branding.Color; c != "" {
			s.Accent = "assets/accent-" + strings.ToLower(c[1:]) + ".css"
		}
	}
	s.Origins = strings.Join(v.origins, " ")
	if p.returnable(v) {
		s.Return = v.subject.Action.RedirectURL
	}
	s.Enrolled, s.MayVerify = v.subject.Factors().Enrolled(), v.subject.MayVerify()
	s.MayAdd, s.MayRemove = v.subject.RightToAdd() == nil, v.subject.MayRemove() == nil
	s.MayRecover, s.MayRename = v.subject.MayRecover(v.codes), v.subject.MayRename() == nil
	s.MayMakeCodes, s.MaySeeBrowsers = v.subject.MayMakeRecoveryCodes() == nil, v.subject.MaySeeTrustedBrowsers() == nil
	s.Most = 1
	if v.tenant.Authenticator.AllowMultiple {
		s.Most = v.tenant.Authenticator.MaxAuthenticators
	}
	s.Codes = v.tenant.Authenticator.RecoveryCodes
	s.Active = v.tenant.Authenticator.Active
	if v.link != nil {
		s.LinkEnds = v.link.ExpiresAt.UTC().Format(time.RFC3339)
		s.VoidsAuthenticators = slices.Contains(v.link.Void, api.VoidAuthenticators)
		s.VoidsCodes = slices.Contains(v.link.Void, api.VoidRecoveryCodes)
	}
	if duty := v.duty; duty.Applies {
		if s.MustEnroll = duty.Required; !duty.Required {
			s.Deadline = duty.Deadline.Format(time.RFC3339)
		}
	}
}

// offerTrust sets what the page does with the cookie of a trusted browser: only where a
// code would end the visit.
func (p *ui) offerTrust(s *screen, v visit, r *http.Request) {
	if v.then != sectionFinish {
		return
	}
	s.TriesBrowser = v.triesBrowser
	if p.Cookies.Kept() && keepsCookies(r, s.Mode) {
		s.RememberDays = mfa.OffersTrust(v.settings)
	}
}

// keepsCookies reports whether the browser keeps cookies of the page: it does not in a
// frame of another site, where only popup mode may be. Browsers that do not send the
// headers do not tell which.
func keepsCookies(r *http.Request, mode string) bool {
	if mode == "" || r.Header.Get("Sec-Fetch-Dest") == "document" {
		return true
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "same-origin" || site == "same-site"
}

// returnable reports whether the user may be sent to the action's redirectUrl:
// an http or https URL of an allowed origin.
func (p *ui) returnable(v visit) bool {
	o := origin.Of(v.subject.Action.RedirectURL)
	if o == "" {
		return false
	}
	for _, allowed := range v.origins {
		if o == allowed {
			return true
		}
	}
	return p.Loopback && origin.IsLoopback(o)
}

// send writes the page with its policy.
func (p *ui) send(w http.ResponseWriter, r *http.Request, s screen, status int) {
	var body bytes.Buffer
	if err := p.tmpl.Execute(&body, s); err != nil {
		p.Log.ErrorContext(r.Context(), "pre-built UI", "error", err)
		http.Error(w, "The server could not complete the request. Its log has the cause.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Content-Security-Policy", policy(s))
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here is one of the connection, so it cannot be reported to the client.
	_, _ = w.Write(body.Bytes())
}

// policy returns the page's Content-Security-Policy. Only in popup mode may the
// page be shown in a frame, and only by pages of allowed origins.
func policy(s screen) string {
	ancestors := "'none'"
	if s.Mode == "popup" {
		allowed := strings.Fields(s.Origins)
		if s.Loopback {
			// A policy cannot contain the IPv6 loopback address.
			for _, scheme := range []string{"http", "https"} {
				for _, host := range []string{"localhost", "*.localhost", "127.0.0.1"} {
					allowed = append(allowed, fmt.Sprintf("%s://%s:*", scheme, host))
				}
			}
		}
		if len(allowed) > 0 {
			ancestors = strings.Join(allowed, " ")
		}
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"style-src 'self'",
		"img-src 'self' data:", // the QR code and the logo
		"connect-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors " + ancestors,
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

// A visit is the result of reading a url: the tenant, if it is known, the subject
// of the token, and the view.
type visit struct {
	view
	found   bool // the tenant was found
	tenant  store.Tenant
	origins []string // may show the page and be returned to
	subject mfa.Subject
	// settings are those of the action.
	settings     api.ActionSettings
	duty         mfa.EnrollmentDuty
	triesBrowser bool
	link         *store.RecoveryLink // of a recovery link; the subject then has no action
	codes        api.RecoveryCodesStatus
}

// readVisit reads the url of a page. Any error is a failure of the visit; errors
// of the server are also logged.
func (p *ui) readVisit(r *http.Request, q url.Values) visit {
	ctx := r.Context()
	read, text := p.readToken, q.Get("token")
	if isLink(q) {
		read, text = p.readLink, q.Get(api.QueryRecovery)
	}
	v, err := read(r, text)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			p.Log.ErrorContext(ctx, "pre-built UI", "error", err)
		}
		v.failure = failureInternal
	case p.SDK == nil:
		p.Log.WarnContext(ctx, `pre-built UI: this program was built before the browser SDK: run "make wasm js" and build it again`)
		v.failure = failureInternal
	case v.failure == "" && isLink(q):
		v.view = view{start: sectionLink, then: sectionLinked}
	case v.failure == "":
		v.view = viewOf(v.subject, purpose{
			settings: q.Get(api.QuerySettings) == "true", forceEnrollment: q.Get(api.QueryForceEnrollment) == "true",
		})
	}
	return v
}

// isLink reports whether a query is that of a recovery link.
func isLink(q url.Values) bool {
	_, is := q[api.QueryRecovery]
	return is
}

// readLink reads the tenant and the user of the secret of a recovery link, and changes
// nothing: programs that scan messages open links too.
func (p *ui) readLink(r *http.Request, secret string) (v visit, err error) {
	ctx := r.Context()
	v.tenant, err = mfa.TenantOfLink(ctx, p.Store, secret)
	if err == nil {
		v.found = true
		err = p.Store.View(ctx, v.tenant.ID, func(tx *store.Tx) error {
			found, err := mfa.ReadRecovery(tx, v.tenant, secret, p.Now())
			v.subject.User, v.subject.Authenticators, v.link = found.User, found.Authenticators, &found.Link
			return err
		})
	}
	for refused, f := range linkFailures {
		if errors.Is(err, refused) {
			v.failure, err = f, nil
		}
	}
	return v, err
}

// readToken reads the tenant and the subject of a token, and the cookie of its user. If
// the token is not valid, the visit has a failure; an error is the store's.
func (p *ui) readToken(r *http.Request, t string) (v visit, err error) {
	ctx := r.Context()
	if t == "" {
		v.failure = failureNoToken
		return v, nil
	}
	claims, err := p.Tokens.Parse(t)
	switch {
	case errors.Is(err, token.ErrExpired):
		v.failure = failureExpired
	case err != nil:
		v.failure = failureInvalid
		return v, nil
	}
	if v.tenant, v.found, err = p.Store.Tenant(ctx, claims.TenantID); err != nil {
		return v, err
	}
	if !v.found {
		v.failure = failureInvalid
		return v, nil
	}
	err = p.Store.View(ctx, v.tenant.ID, func(tx *store.Tx) error {
		origins, err := tx.Origins()
		if err != nil {
			return err
		}
		for _, o := range append(origins, p.Origins...) {
			if origin.IsWeb(o) {
				v.origins = append(v.origins, o)
			}
		}
		if v.failure != "" {
			return nil
		}
		v.subject, err = mfa.ReadSubject(tx, v.tenant, claims)
		if errors.Is(err, mfa.ErrVoid) {
			v.failure = failureInvalid
			return nil
		}
		if err != nil {
			return err
		}
		if v.codes, err = mfa.RecoveryCodesOf(tx, v.tenant, v.subject.User.ID); err != nil {
			return err
		}
		return p.readTrust(tx, r, &v)
	})
	return v, err
}

// readTrust reads the settings of the action, what its enrollment policy asks of the
// user, and whether the browser's cookie may complete it.
func (p *ui) readTrust(tx *store.Tx, r *http.Request, v *visit) (err error) {
	if v.settings, err = manage.ActionSettings(tx, v.subject.Action.Action); err != nil {
		return err
	}
	v.duty = mfa.DutyOf(mfa.PolicyOf(v.tenant, v.settings), v.subject.User, v.subject.Factors(), p.Now())
	text := p.Cookies.Value(r, cookie.BrowserName(v.tenant.ID, v.subject.User.ID))
	if text != "" {
		v.triesBrowser, err = v.subject.MayVerifyBrowser(tx, v.settings, text, p.Now())
	}
	return err
}
