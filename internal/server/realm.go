package server

import "strings"

// A realm is a part of the API with its own authentication.
type realm int

const (
	// open needs no authentication: health checks, pages and unknown paths.
	open realm = iota
	// clientRealm is the client API: a Bearer token of a tracked action.
	clientRealm
	// serverRealm is the Server API: the API secret key of a tenant.
	serverRealm
	// linkRealm is for the holder of a recovery link: the secret of the link in the
	// body, which the endpoints check.
	linkRealm
	// managementRealm is the management API: the server's management key.
	managementRealm
)

const (
	clientPrefix     = "/v1/client/"
	managementPrefix = "/v1/management/"
	linkPrefix       = "/v1/recovery/"
	// doubledPrefix is that of paths below a base URL that ends in /v1 twice.
	doubledPrefix = "/v1/v1/"
)

// realmOf returns the realm of a path, whether or not it has a route:
// authentication comes before routing, so that callers without a key cannot learn
// which paths exist.
func realmOf(path string) realm {
	switch path += "/"; { // /v1/client itself belongs to its realm
	case strings.HasPrefix(path, doubledPrefix):
		// A wrong base URL, for which unknownPath has a hint. It has no routes.
		return open
	case strings.HasPrefix(path, clientPrefix):
		return clientRealm
	case strings.HasPrefix(path, managementPrefix):
		return managementRealm
	case strings.HasPrefix(path, linkPrefix):
		return linkRealm
	case strings.HasPrefix(path, "/v1/"):
		return serverRealm
	}
	return open
}

// forBackends reports whether the callers are backends and programs of operators,
// which authenticate with a key, and not web pages.
func (r realm) forBackends() bool { return r == serverRealm || r == managementRealm }

// challenge returns the value of WWW-Authenticate (RFC 9110, section 11.6.1).
func (r realm) challenge() string {
	switch r {
	case clientRealm:
		return "Bearer"
	case managementRealm:
		return `Basic realm="authsignal management"`
	}
	return `Basic realm="authsignal"`
}

// String returns the name of the realm in metrics and the audit log.
func (r realm) String() string {
	switch r {
	case clientRealm:
		return "client"
	case serverRealm:
		return "server"
	case linkRealm:
		return "recovery link"
	case managementRealm:
		return "management"
	}
	return "open"
}
