// Package cookie makes the cookies of the server's own pages: of the portal, and of
// the browsers that users trust. It decides their names, paths and attributes; what
// they contain is their owners' business.
package cookie

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/origin"
)

// A Home is the place of the cookies: the URL at which browsers reach the server. The
// zero value is that of a URL of https without a path.
type Home struct {
	// plain reports whether cookies may be sent without TLS: only to a loopback host.
	plain bool
	// root is the path of the URL, without a slash at its end.
	root string
	// lost reports whether browsers do not keep the cookies, because they may be sent
	// over TLS only and the URL is of http.
	lost bool
}

// At returns the place of the cookies of a server with a public URL.
func At(publicURL string) (Home, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return Home{}, err
	}
	h := Home{plain: origin.IsLoopback(origin.Of(publicURL)), root: strings.TrimRight(u.EscapedPath(), "/")}
	h.lost = !h.plain && u.Scheme != "https"
	return h, nil
}

// Kept reports whether browsers keep the cookies.
func (h Home) Kept() bool { return !h.lost }

// New returns a cookie for a path below the server's, which begins with a slash. If
// life is not positive, the browser deletes the cookie.
//
// Over TLS the name has the prefix __Host-, so that no other host can write the cookie
// (RFC 6265bis, section 4.1.3.2). Such a cookie is sent to all paths of the host: if
// the server has a path of its own, where other servers may have the others, the
// prefix is __Secure- instead.
func (h Home) New(name, value, path string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: h.root + path, MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: !h.plain, SameSite: http.SameSiteLaxMode,
	}
	switch {
	case !h.plain && h.root != "":
		c.Name = "__Secure-" + name
	case !h.plain:
		c.Name, c.Path = "__Host-"+name, "/"
	}
	if life <= 0 {
		c.MaxAge = -1
	}
	return c
}

// Value returns the value of the cookie in a request that New made with the name, or
// an empty text.
func (h Home) Value(r *http.Request, name string) string {
	c, err := r.Cookie(h.New(name, "", "/", 0).Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// Names returns the names, as New takes them, of the cookies in a request that begin
// with a prefix. Browsers send the cookie that was made first before the others (RFC
// 6265, section 5.4).
func (h Home) Names(r *http.Request, prefix string) (names []string) {
	full := h.New(prefix, "", "/", 0).Name
	for _, c := range r.Cookies() {
		if rest, ok := strings.CutPrefix(c.Name, full); ok {
			names = append(names, prefix+rest)
		}
	}
	return names
}

// BrowserPrefix begins the names of the cookies of trusted browsers.
const BrowserPrefix = "authsignal-browser-"

// BrowserName returns the name of the cookie of a browser that a user of a tenant
// trusts. Several users, and users of several tenants, may trust one browser.
func BrowserName(tenantID, userID string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(tenantID), tenantID, userID))
	return BrowserPrefix + hex.EncodeToString(sum[:12])
}
