package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// A caller is the sender of a request: a backend of the tenant, or a page with a
// token.
type caller struct {
	tenant store.Tenant
	claims token.Claims // of a page's token
}

type callerKey struct{}

// tenant returns the tenant of a request.
func tenant(r *http.Request) store.Tenant { return r.Context().Value(callerKey{}).(caller).tenant }

// claims returns the claims of the client token of a request.
func claims(r *http.Request) token.Claims { return r.Context().Value(callerKey{}).(caller).claims }

// basic finds the tenant by its API secret key, which is the user name of
// Basic authentication; the password is empty.
func (s *server) basic(r *http.Request) (caller, error) {
	if secret, _, ok := r.BasicAuth(); ok && secret != "" {
		t, found, err := s.Store.TenantOfSecret(r.Context(), secret, s.Now())
		if err != nil || found {
			return caller{tenant: t}, err
		}
	}
	return caller{}, api.Unauthorized(api.DescriptionUnauthorized)
}

// management checks the management key, which is the user name of Basic
// authentication. If the server has none, the management API is closed.
func (s *server) management(r *http.Request) (caller, error) {
	key, _, _ := r.BasicAuth()
	got, want := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(s.ManagementKey))
	if s.ManagementKey == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return caller{}, api.Unauthorized("The management key is missing or wrong. The server reads it from AUTHSIGNAL_MANAGEMENT_KEY.")
	}
	return caller{}, nil
}

// bearerToken returns the Bearer token of a request, or "".
func bearerToken(r *http.Request) string {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credentials)
}

// bearer finds the tenant by a client token.
func (s *server) bearer(r *http.Request) (caller, error) {
	credentials := bearerToken(r)
	if credentials == "" {
		return caller{}, api.Unauthorized("The request has no token. Send the token of a tracked action as Authorization: Bearer.")
	}
	c, err := s.Tokens.Parse(credentials)
	if errors.Is(err, token.ErrExpired) {
		return caller{}, &api.Error{
			Status: http.StatusUnauthorized, Code: api.CodeExpiredToken,
			Description: "The token has expired. Track the action again to get a new one.",
		}
	}
	if err == nil {
		t, found, err := s.Store.Tenant(r.Context(), c.TenantID)
		if err != nil || found {
			return caller{t, c}, err
		}
	}
	return caller{}, api.Unauthorized("The token is not valid for this server.")
}
