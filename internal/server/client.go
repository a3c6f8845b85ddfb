package server

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// subjectFactors reads the user of a request's token, and the factors.
func (s *server) subjectFactors(r *http.Request) (u store.User, f factors, err error) {
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		if u, _, err = subject(tx, claims(r)); err != nil {
			return err
		}
		f, err = readFactors(tx, u.ID)
		return err
	})
	if errors.Is(err, errNoSubject) {
		err = errSubjectGone()
	}
	return u, f, err
}

// clientUserAuthenticators answers GET /v1/client/user-authenticators (wire
// contract, 5.3).
func (s *server) clientUserAuthenticators(r *http.Request) (any, error) {
	u, f, err := s.subjectFactors(r)
	if err != nil {
		return nil, err
	}
	preferred := f.preferred(u.DefaultMethod)
	out := []api.ClientUserAuthenticator{}
	for _, a := range f {
		shown := userAuthenticator(a, a.ID == preferred.ID)
		kind := api.TypeOOB
		if a.Method == api.AuthenticatorApp {
			kind = api.TypeOTP
		}
		out = append(out, api.ClientUserAuthenticator{
			UserAuthenticatorID: shown.UserAuthenticatorID,
			VerificationMethod:  shown.VerificationMethod,
			AuthenticatorType:   kind,
			CreatedAt:           shown.CreatedAt,
			VerifiedAt:          shown.VerifiedAt,
			LastVerifiedAt:      shown.LastVerifiedAt,
			IsDefault:           shown.IsDefault,
			Email:               maskedEmail(shown.Email),
			PhoneNumber:         masked(shown.PhoneNumber, 0, 4),
		})
	}
	return out, nil
}

// clientRemove answers DELETE /v1/client/user-authenticators/{id}, which is not
// in the public API: the pre-built UI's settings need it.
func (s *server) clientRemove(r *http.Request) (any, error) {
	c := claims(r)
	id, err := identifier("userAuthenticatorId", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !c.Has(api.ScopeRemove) {
		return nil, &api.Error{
			Status: http.StatusForbidden, Code: api.CodeUnauthorized,
			Description: "To remove an authenticator, track the action with the scope " + api.ScopeRemove +
				", or verify a code first and use the new token.",
		}
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		standing, err := lockSubject(tx, c)
		if err != nil {
			return err
		}
		if state := standing.Action.State; !manage.MayRemove(state) {
			return &api.Error{
				Status: http.StatusForbidden, Code: api.CodeUnauthorized,
				Description: "The action is " + string(state) + ". To remove an authenticator, it must have been allowed: verify a code first if one is asked for.",
			}
		}
		return manage.DeleteAuthenticator(tx, tenant(r), c.UserID, id, manage.ByUser, s.Now())
	})
	if errors.Is(err, errNoSubject) {
		err = errSubjectGone()
	}
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// clientAuthenticators answers GET /v1/client/authenticators (wire contract,
// 5.4): the one method that there is.
func (s *server) clientAuthenticators(r *http.Request) (any, error) {
	// A token does not outlive its user.
	if _, _, err := s.subjectFactors(r); err != nil {
		return nil, err
	}
	return []api.TenantAuthenticator{{
		// The same for all times, as that of a configured one would be.
		AuthenticatorID:    uuid.NewSHA1(uuid.NameSpaceURL, []byte(tenant(r).ID+"/"+string(api.AuthenticatorApp))).String(),
		VerificationMethod: api.AuthenticatorApp,
		IsActive:           tenant(r).Authenticator.Active,
	}}, nil
}

// initClient answers POST /v1/client/init (wire contract, 5.4): what the
// page's user can be challenged with here.
func (s *server) initClient(r *http.Request) (any, error) {
	u, f, err := s.subjectFactors(r)
	if err != nil {
		return nil, err
	}
	out := api.InitResponse{ChallengeOptions: api.ChallengeOptions{
		Token:               bearerToken(r),
		VerificationMethods: []api.VerificationMethod{},
		User:                api.ChallengeUser{Email: maskedEmail(u.Email), PhoneNumber: masked(u.PhoneNumber, 0, 4)},
	}}
	if slices.Contains(f.methods(), api.AuthenticatorApp) {
		out.ChallengeOptions.VerificationMethods = methods
		out.ChallengeOptions.DefaultVerificationMethod = api.AuthenticatorApp
	}
	return out, nil
}

// maskedEmail shows the first character and the domain.
func maskedEmail(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 0 {
		return masked(email, 1, 0)
	}
	return masked(email[:at], 1, 0) + email[at:]
}

// masked shows some characters at the start and the end of a text, never more
// than a third of it, and a fixed number of stars for the rest, so that the
// length stays unknown.
func masked(text string, start, end int) string {
	if text == "" {
		return ""
	}
	runes := []rune(text)
	third := utf8.RuneCountInString(text) / 3
	start, end = min(start, third), min(end, third)
	return string(runes[:start]) + "****" + string(runes[len(runes)-end:])
}
