// Package origin parses and classifies web origins (RFC 6454): scheme, host and
// port, as a browser sends them in the header Origin. The origins of a tenant are
// those whose pages may call the client API and, if they are of http or https,
// show the pre-built UI in a frame and be returned to.
package origin

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// hostCharacters are the characters of a host and its port, including those of an
// IPv6 address in brackets. Browsers and net/url parse some others differently.
const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]"

// A native describes a scheme under which the webview of an app, or a browser for
// its extensions, serves pages.
type native struct {
	host   *regexp.Regexp // nil allows any host
	remedy string         // for a host that does not match
}

var natives = map[string]native{
	"capacitor": {}, // iOS
	"ionic":     {}, // iOS
	"tauri":     {}, // macOS, Linux, iOS
	"app":       {}, // Electron, by custom
	"chrome-extension": {
		regexp.MustCompile(`^[a-p]{32}$`),
		"an extension's id has 32 letters from a to p, as chrome://extensions shows it",
	},
	"moz-extension":        {uuid, "an extension's id is a UUID, as about:debugging shows it"},
	"safari-web-extension": {uuid, "an extension's id is a UUID, as location.origin shows it in the extension's page"},
}

var uuid = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// Parse checks that o is an origin of http or https, of an app's webview or of a
// browser extension, and returns it as browsers write it: the scheme and, for http
// and https, the host in lower case, and without the scheme's default port. Errors
// include the remedy.
func Parse(o string) (string, error) {
	u, err := url.Parse(o)
	if strings.Contains(o, "@") { // there may be a password before it
		return "", errors.New("an origin has no user name: write scheme, host and port alone, such as https://app.example.com")
	}
	if err == nil && u.Path == "" && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.HasSuffix(o, "#") {
		if web := of(u); web != "" {
			return web, nil
		}
		n, known := natives[u.Scheme]
		if known && u.Hostname() != "" && !strings.HasSuffix(u.Host, ":") && strings.Trim(strings.ToLower(u.Host), hostCharacters) == "" {
			if n.host != nil && !n.host.MatchString(u.Host) {
				return "", fmt.Errorf("%q is not an origin: %s", o, n.remedy)
			}
			return u.Scheme + "://" + u.Host, nil
		}
	}
	return "", fmt.Errorf("%q is not an origin such as https://app.example.com (scheme, host and port, no path): %s", o, remedy(o))
}

// remedy returns the remedy for an origin that Parse refuses.
func remedy(o string) string {
	scheme, rest, found := strings.Cut(o, "://")
	scheme = strings.ToLower(scheme)
	_, known := natives[scheme]
	switch {
	case o == "null" || scheme == "file" || scheme == "data" || scheme == "blob":
		return `pages of files, data: URLs and sandboxed frames all send the origin "null", which cannot be allowed; serve the page over https, or under the webview's own scheme`
	case strings.Contains(o, "*"):
		return "there are no wildcards; name each origin by itself"
	case !found:
		return "write the scheme and :// before the host, such as https://app.example.com or capacitor://localhost"
	case !known && scheme != "http" && scheme != "https":
		return "the scheme must be http, https, capacitor, ionic, tauri, app, chrome-extension, moz-extension or safari-web-extension"
	case strings.ContainsAny(rest, "/?#"):
		return "leave out the slash and all that follows the host and port"
	}
	return "write the host as the browser's location.origin shows it, an international name in its xn-- form"
}

// Of returns the origin of an absolute http or https URL, otherwise "". It also
// returns "" for a URL with a user name, which can look like another host.
func Of(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return of(u)
}

func of(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if (scheme != "http" && scheme != "https") || u.Hostname() == "" || u.User != nil || strings.Trim(host, hostCharacters) != "" {
		return ""
	}
	if p := u.Port(); p == "" || scheme == "http" && p == "80" || scheme == "https" && p == "443" {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return scheme + "://" + host
}

// IsWeb reports whether an origin may show the pre-built UI in a frame and be
// returned to: whether a browser can open its pages. Origins of an app's webview
// are not among them: on Windows and Android Tauri serves under tauri.localhost,
// and a browser that opens that name reaches any program of the machine.
func IsWeb(o string) bool {
	u, err := url.Parse(o)
	return err == nil && of(u) != "" && !strings.EqualFold(u.Hostname(), "tauri.localhost")
}

// IsLoopback reports whether an origin is on this machine: localhost and its
// subdomains (RFC 6761, section 6.3), or a loopback address.
func IsLoopback(o string) bool {
	u, err := url.Parse(o)
	if err != nil || of(u) == "" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
