package server

import "strings"

// A realm is a part of the API with an authentication of its own.
type realm int

const (
	// open takes no authentication: health checks, pages and unknown paths.
	open realm = iota
	// clientRealm is the client API: a Bearer token of a tracked action.
	clientRealm
	// serverRealm is the Server API: the API secret key of a tenant.
	serverRealm
	// managementRealm is the management API: the server's management key.
	managementRealm
)

const (
	clientPrefix     = "/v1/client/"
	managementPrefix = "/v1/management/"
)

// realmOf is the realm of a path, whether or not there is a route for it:
// authentication comes before routing, so that without a key no answer tells
// which paths exist.
func realmOf(path string) realm {
	switch path += "/"; { // /v1/client itself belongs to its realm
	case strings.HasPrefix(path, clientPrefix):
		return clientRealm
	case strings.HasPrefix(path, managementPrefix):
		return managementRealm
	case strings.HasPrefix(path, "/v1/"):
		return serverRealm
	}
	return open
}

// forBackends reports whether the callers are backends and operators' programs,
// which authenticate with a key, and not web pages.
func (r realm) forBackends() bool { return r == serverRealm || r == managementRealm }

// challenge is what WWW-Authenticate asks for (RFC 9110, section 11.6.1).
func (r realm) challenge() string {
	switch r {
	case clientRealm:
		return "Bearer"
	case managementRealm:
		return `Basic realm="authsignal management"`
	}
	return `Basic realm="authsignal"`
}

// String names the realm in metrics and the audit log.
func (r realm) String() string {
	switch r {
	case clientRealm:
		return "client"
	case serverRealm:
		return "server"
	case managementRealm:
		return "management"
	}
	return "open"
}
