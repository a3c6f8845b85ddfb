package server

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// listClientUserAuthenticators answers GET /v1/client/user-authenticators (wire
// contract, 5.3). Names and where authenticators were used are only in the answer to
// a token whose action requires no code.
func (s *server) listClientUserAuthenticators(r *http.Request) (any, error) {
	var list []api.UserAuthenticator
	err := s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		subject, err := mfa.ReadSubject(tx, tenant(r), claims(r))
		if err == nil {
			list, err = subject.ShownFactors(tx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := []api.ClientUserAuthenticator{}
	for _, shown := range list {
		kind := api.TypeOOB
		if shown.VerificationMethod == api.AuthenticatorApp {
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
			Name:                shown.Name,
			LastUsedIPAddress:   shown.LastUsedIPAddress,
			LastUsedUserAgent:   shown.LastUsedUserAgent,
		})
	}
	return out, nil
}

// removeClientUserAuthenticator answers DELETE
// /v1/client/user-authenticators/{id}, which is not in the public API: the
// pre-built UI's settings need it. The removal ends the request's token, so the
// response has a new one.
func (s *server) removeClientUserAuthenticator(r *http.Request) (any, error) {
	id, err := identifier("userAuthenticatorId", r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := api.RemovedResponse{Success: true}
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		next, err := subject.RemoveOwn(tx, id, s.Now())
		if err != nil {
			return err
		}
		// This is before the commit, so that the page is not left without a token.
		out.AccessToken, err = s.Tokens.Issue(next)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// renameClientUserAuthenticator answers PATCH
// /v1/client/user-authenticators/{id}, which is not in the public API.
func (s *server) renameClientUserAuthenticator(r *http.Request) (any, error) {
	id, name, err := readRename(r)
	if err != nil {
		return nil, err
	}
	var out api.UserAuthenticator
	err = s.updateSubject(r, func(tx *store.Tx, subject mfa.Subject) error {
		out, err = subject.RenameOwn(tx, id, name, s.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return api.ClientUserAuthenticatorName{UserAuthenticatorID: out.UserAuthenticatorID, Name: out.Name}, nil
}

// readRename returns the authenticator and the new name in a request.
func readRename(r *http.Request) (id, name string, err error) {
	if id, err = identifier("userAuthenticatorId", r.PathValue("id")); err != nil {
		return "", "", err
	}
	var in api.RenameRequest
	if err := readStrict(r, &in); err != nil {
		return "", "", err
	}
	if in.Name == nil {
		return "", "", api.InvalidRequest("name is required and must be a string.")
	}
	name, err = mfa.CheckName(*in.Name)
	return id, name, err
}

// narrowToken answers POST /v1/client/token, which is not in the public API: a
// token with some of the scopes of the request's token, for places where others
// may see it, such as a URL (wire contract, section 11, row 29).
func (s *server) narrowToken(r *http.Request) (any, error) {
	var in api.TokenRequest
	if err := readStrict(r, &in); err != nil {
		return nil, err
	}
	scopes := strings.Fields(in.Scope)
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	if len(scopes) == 0 {
		return nil, api.InvalidRequest("scope is required: some of the token's scopes, separated by spaces.")
	}
	subject, err := s.readSubject(r)
	if err != nil {
		return nil, err
	}
	narrowed, err := subject.Claims.Narrowed(scopes...)
	if err != nil {
		return nil, api.Forbidden("scope must contain only scopes of the token.")
	}
	accessToken, err := s.Tokens.Issue(narrowed)
	if err != nil {
		return nil, err
	}
	return api.TokenResponse{AccessToken: accessToken}, nil
}

// listClientAuthenticators answers GET /v1/client/authenticators (wire contract,
// 5.4): the only method of this server.
func (s *server) listClientAuthenticators(r *http.Request) (any, error) {
	// The token of a deleted user is not valid.
	if _, err := s.readSubject(r); err != nil {
		return nil, err
	}
	return []api.TenantAuthenticator{{
		// The id never changes.
		AuthenticatorID:    uuid.NewSHA1(uuid.NameSpaceURL, []byte(tenant(r).ID+"/"+string(api.AuthenticatorApp))).String(),
		VerificationMethod: api.AuthenticatorApp,
		IsActive:           tenant(r).Authenticator.Active,
	}}, nil
}

// initClient answers POST /v1/client/init (wire contract, 5.4): the methods that
// the user of the page can be challenged with.
func (s *server) initClient(r *http.Request) (any, error) {
	subject, err := s.readSubject(r)
	if err != nil {
		return nil, err
	}
	u := subject.User
	out := api.InitResponse{ChallengeOptions: api.ChallengeOptions{
		Token:               bearerToken(r),
		VerificationMethods: []api.VerificationMethod{},
		User:                api.ChallengeUser{Email: maskedEmail(u.Email), PhoneNumber: masked(u.PhoneNumber, 0, 4)},
	}}
	if subject.Factors().Challengeable() {
		out.ChallengeOptions.VerificationMethods = mfa.Methods
		out.ChallengeOptions.DefaultVerificationMethod = api.AuthenticatorApp
	}
	return out, nil
}

// maskedEmail returns the first character and the domain of an address, and stars
// for the rest.
func maskedEmail(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 0 {
		return masked(email, 1, 0)
	}
	return masked(email[:at], 1, 0) + email[at:]
}

// masked returns some characters of the start and the end of a text, at most a
// third each, and stars for the rest. Their number is fixed, so that it does not
// reveal the length.
func masked(text string, start, end int) string {
	if text == "" {
		return ""
	}
	runes := []rune(text)
	third := utf8.RuneCountInString(text) / 3
	start, end = min(start, third), min(end, third)
	return string(runes[:start]) + "****" + string(runes[len(runes)-end:])
}
