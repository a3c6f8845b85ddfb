// Package origin tells web origins apart (RFC 6454): scheme, host and port, as
// a browser writes them in the header Origin. Lists of them say which pages may
// call the client API, show the pre-built UI in a frame, and be returned to.
package origin

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Parse checks that o is an origin of http or https and writes it as browsers
// do: in lower case and without the scheme's own port.
func Parse(o string) (string, error) {
	u, err := url.Parse(o)
	if err != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(o, "#") || of(u) == "" {
		return "", fmt.Errorf("%q is not an origin such as https://app.example.com (scheme, host and port, no path)", o)
	}
	return of(u), nil
}

// Of gives the origin of an absolute http or https URL, and "" for all else. A
// URL with a user name has none: what it shows is not where it leads.
func Of(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return of(u)
}

func of(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	// What a host is made of, and an IPv6 address in brackets. A browser
	// reads some other characters differently from net/url.
	if (scheme != "http" && scheme != "https") || u.Hostname() == "" || u.User != nil ||
		strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != "" {
		return ""
	}
	if p := u.Port(); p == "" || scheme == "http" && p == "80" || scheme == "https" && p == "443" {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return scheme + "://" + host
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
