package server

import (
	"net/http"
	"slices"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// user answers GET /v1/users/{userId} (wire contract, 6.6). An unknown user is
// an answer, not an error.
func (s *server) user(r *http.Request) (any, error) {
	id, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var u store.User
	var enrolled bool
	err = s.Store.View(r.Context(), s.Tenant.ID, func(tx *store.Tx) error {
		if u, _, err = tx.User(id); err != nil {
			return err
		}
		enrolled, err = isEnrolled(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return api.User{
		IsEnrolled:                  enrolled,
		Email:                       u.Email,
		EmailVerified:               u.EmailVerified,
		PhoneNumber:                 u.PhoneNumber,
		PhoneNumberVerified:         u.PhoneNumberVerified,
		Username:                    u.Username,
		DisplayName:                 u.DisplayName,
		Locale:                      u.Locale,
		AllowedVerificationMethods:  methods,
		EnrolledVerificationMethods: enrolledMethods(enrolled),
		DefaultVerificationMethod:   defaultMethod(enrolled),
	}, nil
}

// authenticators answers GET /v1/users/{userId}/authenticators (wire contract,
// 6.7): those that are verified.
func (s *server) authenticators(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	out := []api.UserAuthenticator{}
	err = s.Store.View(r.Context(), s.Tenant.ID, func(tx *store.Tx) error {
		list, err := tx.Authenticators(userID)
		for _, a := range list {
			if a.Verified() {
				item := userAuthenticator(a, len(out) == 0)
				item.UserID = userID
				out = append(out, item)
			}
		}
		return err
	})
	return out, err
}

// userAuthenticator is how the API shows a verified authenticator.
func userAuthenticator(a store.Authenticator, isDefault bool) api.UserAuthenticator {
	return api.UserAuthenticator{
		UserAuthenticatorID: a.ID,
		VerificationMethod:  a.Method,
		CreatedAt:           api.Time{Time: a.CreatedAt},
		VerifiedAt:          &api.Time{Time: a.VerifiedAt},
		LastVerifiedAt:      &api.Time{Time: a.LastVerifiedAt},
		IsDefault:           isDefault,
	}
}

// deleteAuthenticator answers DELETE
// /v1/users/{userId}/authenticators/{userAuthenticatorId} (wire contract, 6.7).
func (s *server) deleteAuthenticator(r *http.Request) (any, error) {
	userID, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	err = s.Store.Update(r.Context(), s.Tenant.ID, func(tx *store.Tx) error {
		if _, _, err := tx.LockUser(userID); err != nil {
			return err
		}
		list, err := tx.Authenticators(userID)
		if err != nil {
			return err
		}
		deleted, err := tx.DeleteAuthenticator(userID, id)
		if err != nil {
			return err
		}
		if !deleted {
			return &api.Error{
				Status: http.StatusNotFound, Code: api.CodeNotFound, Description: "The user has no such authenticator.",
			}
		}
		i := slices.IndexFunc(list, func(a store.Authenticator) bool { return a.ID == id })
		return s.authenticatorDeleted(tx, list[i], s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}
