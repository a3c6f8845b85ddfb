package server

import (
	"net/http"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// All of this file is our own addition to the API (wire contract, section 13).

// listTrustedBrowsers answers GET /v1/users/{userId}/trusted-browsers. A user who does
// not exist trusts none.
func (s *server) listTrustedBrowsers(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	out := []api.TrustedBrowser{}
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		u, found, err := tx.User(userID)
		if err == nil && found {
			out, err = mfa.TrustedBrowsers(tx, u, s.Now())
		}
		return err
	})
	return out, err
}

// revokeTrustedBrowser answers DELETE /v1/users/{userId}/trusted-browsers/{id}, and
// without the id ends the trust in all browsers.
func (s *server) revokeTrustedBrowser(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	id, err := optionalID(r)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return mfa.RevokeBrowser(tx, userID, id, mfa.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// listClientTrustedBrowsers answers GET /v1/client/trusted-browsers.
func (s *server) listClientTrustedBrowsers(r *http.Request) (any, error) {
	var out []api.TrustedBrowser
	err := s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		subject, err := mfa.ReadSubject(tx, tenant(r), claims(r))
		if err == nil {
			out, err = subject.TrustedBrowsers(tx, s.Now())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// revokeClientTrustedBrowser answers DELETE /v1/client/trusted-browsers/{id}, and
// without the id ends the trust in all browsers.
func (s *server) revokeClientTrustedBrowser(r *http.Request) (any, error) {
	id, err := optionalID(r)
	if err != nil {
		return nil, err
	}
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		return subject.RevokeOwnBrowser(tx, id, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// optionalID returns the id of a browser in a path, or an empty text if the path has
// none.
func optionalID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if id == "" {
		return "", nil
	}
	return identifier("browserId", id)
}
