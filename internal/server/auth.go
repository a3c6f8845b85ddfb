package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// A caller is who sent a request: a backend of the tenant, or a page with a
// token.
type caller struct {
	tenant store.Tenant
	claims token.Claims // of a page
}

type callerKey struct{}

// tenant is the tenant that the request is for.
func tenant(r *http.Request) store.Tenant { return r.Context().Value(callerKey{}).(caller).tenant }

// claims are those of the request's client token.
func claims(r *http.Request) token.Claims { return r.Context().Value(callerKey{}).(caller).claims }

// authenticated lets the client API pass with a good token, the Server API with
// the secret key of a tenant, and the management API with the server's own.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var authenticate func(*http.Request) (caller, error)
		var challenge string // RFC 9110, section 11.6.1
		switch path := r.URL.Path + "/"; {
		case strings.HasPrefix(path, "/v1/client/"):
			authenticate, challenge = s.bearer, "Bearer"
		case strings.HasPrefix(path, managementPrefix):
			authenticate, challenge = s.management, `Basic realm="authsignal management"`
		case strings.HasPrefix(path, "/v1/"):
			authenticate, challenge = s.basic, `Basic realm="authsignal"`
		default:
			next.ServeHTTP(w, r)
			return
		}
		c, err := authenticate(r)
		if err != nil {
			var refused *api.Error
			if errors.As(err, &refused) {
				// Who guesses at keys is a stranger, and may not do so for ever.
				// The client API has taken the request already.
				if challenge != "Bearer" && s.overLimit(s.limiter, w, r) {
					return
				}
				w.Header().Set("WWW-Authenticate", challenge)
			}
			s.answer(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// basic finds the tenant by its API secret key, which is the user name of
// Basic authentication; the password is empty.
func (s *server) basic(r *http.Request) (caller, error) {
	if secret, _, ok := r.BasicAuth(); ok && secret != "" {
		t, found, err := s.Store.TenantOfSecret(r.Context(), secret, s.Now())
		if err != nil || found {
			return caller{tenant: t}, err
		}
	}
	return caller{}, unauthorized(api.DescriptionUnauthorized)
}

// bearerToken is the token that a request carries, or "".
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
		return caller{}, unauthorized("The request has no token. Send the token of a tracked action as Authorization: Bearer.")
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
	return caller{}, unauthorized("The token is not valid for this server.")
}
