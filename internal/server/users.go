package server

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/manage"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
)

const (
	// defaultUsers and maxUsers are the default and the maximum limit of a query
	// for users.
	defaultUsers = 20
	maxUsers     = 100
)

// getUser answers GET /v1/users/{userId} (wire contract, 6.6). An unknown user is
// not an error.
func (s *server) getUser(r *http.Request) (any, error) {
	id, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	var u store.User
	var f mfa.Factors
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		if u, _, err = tx.User(id); err != nil {
			return err
		}
		f, err = mfa.ReadFactors(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return api.User{
		UserID:                      id,
		IsEnrolled:                  f.Enrolled(),
		Email:                       u.Email,
		EmailVerified:               u.EmailVerified,
		PhoneNumber:                 u.PhoneNumber,
		PhoneNumberVerified:         u.PhoneNumberVerified,
		Username:                    u.Username,
		DisplayName:                 u.DisplayName,
		Locale:                      u.Locale,
		AllowedVerificationMethods:  mfa.Methods,
		EnrolledVerificationMethods: f.Methods(),
		DefaultVerificationMethod:   f.Preferred(u.DefaultMethod).Method,
		Custom:                      u.Custom,
	}, nil
}

// updateUser answers PATCH and POST /v1/users/{userId} (wire contract, 6.6).
// An attribute that is not in the body is kept, and a null clears it, as in RFC
// 7396, except that custom is replaced as a whole.
func (s *server) updateUser(r *http.Request) (any, error) {
	id, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	var in api.UserAttributes
	if err := decodeJSON(body, &in); err != nil {
		return nil, err
	}
	if err := readCustom(in.Custom); err != nil {
		return nil, err
	}
	var raw map[string]any
	if err := decodeJSON(body, &raw); err != nil {
		return nil, err
	}
	change := func(u *store.User) {
		set(&u.Email, in.Email, raw, "email")
		set(&u.EmailVerified, in.EmailVerified, raw, "emailVerified")
		set(&u.PhoneNumber, in.PhoneNumber, raw, "phoneNumber")
		set(&u.PhoneNumberVerified, in.PhoneNumberVerified, raw, "phoneNumberVerified")
		set(&u.Username, in.Username, raw, "username")
		set(&u.DisplayName, in.DisplayName, raw, "displayName")
		set(&u.Locale, in.Locale, raw, "locale")
		set(&u.DefaultMethod, in.DefaultVerificationMethod, raw, "defaultVerificationMethod")
		if _, there := raw["custom"]; there {
			u.Custom = maps.Clone(in.Custom)
		}
	}
	var try store.User
	change(&try)
	if err := checkUser(try); err != nil {
		return nil, err
	}
	var u store.User
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		if u, err = tx.EnsureUser(id, s.Now()); err != nil {
			return err
		}
		change(&u)
		return tx.PutUser(u)
	})
	if err != nil {
		return nil, err
	}
	return api.UpdatedUser{
		UserID:                    u.ID,
		Email:                     u.Email,
		EmailVerified:             u.EmailVerified,
		PhoneNumber:               u.PhoneNumber,
		PhoneNumberVerified:       u.PhoneNumberVerified,
		Username:                  u.Username,
		DisplayName:               u.DisplayName,
		Locale:                    u.Locale,
		DefaultVerificationMethod: u.DefaultMethod,
		Custom:                    u.Custom,
	}, nil
}

// set sets an attribute that the body has: to its value, or to the zero value for
// a null.
func set[T any](to *T, value *T, body map[string]any, key string) {
	if value != nil {
		*to = *value
	} else if _, there := body[key]; there {
		*to = *new(T)
	}
}

// checkUser checks the attributes of a user.
func checkUser(u store.User) error {
	if u.DefaultMethod != "" && !slices.Contains(enrollable, u.DefaultMethod) {
		return api.InvalidRequest("defaultVerificationMethod must be " + enrollableNames + ".")
	}
	if err := checkSearched("email", u.Email, "phoneNumber", u.PhoneNumber, "username", u.Username); err != nil {
		return err
	}
	if len(u.Locale) > maxLocale {
		return api.InvalidRequest(fmt.Sprintf("locale must have at most %d bytes.", maxLocale))
	}
	return checkTexts("displayName", u.DisplayName)
}

// deleteUser answers DELETE /v1/users/{userId} (wire contract, 6.6): it deletes the
// user and all authenticators and, with actions=true, the actions. The tokens of
// the user become invalid.
func (s *server) deleteUser(r *http.Request) (any, error) {
	id, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	actions := q.Get("actions")
	if !slices.Contains([]string{"", "true", "false"}, actions) {
		return nil, api.InvalidRequest("actions must be true or false.")
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return manage.DeleteUser(tx, tenant(r), id, actions == "true", mfa.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}

// listUsers answers GET /v1/users (wire contract, 6.6). A user must match all
// filters exactly. The filter token matches the user of a client token; an
// invalid token matches no user. With all=true, which is not in the public API, it
// lists all users; it must be asked for, since a filter that is empty by mistake
// must not match everybody.
func (s *server) listUsers(r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	f := store.UserFilter{
		Email: q.Get("email"), PhoneNumber: q.Get("phoneNumber"), Username: q.Get("username"),
		After: q.Get("lastEvaluatedUserId"),
	}
	for _, p := range []struct{ name, value string }{
		{"email", f.Email}, {"phoneNumber", f.PhoneNumber}, {"username", f.Username}, {"lastEvaluatedUserId", f.After},
	} {
		if p.value != "" {
			if _, err := identifier(p.name, p.value); err != nil {
				return nil, err
			}
		}
	}
	limit, err := listLimit(q)
	if err != nil {
		return nil, err
	}
	out := api.QueryUsersResponse{Users: []api.ListedUser{}}
	counts := func(store.User) bool { return true }
	if text := q.Get("token"); text != "" {
		c, err := s.Tokens.Parse(text)
		if err != nil || c.TenantID != tenant(r).ID {
			return out, nil
		}
		f.ID, counts = c.UserID, func(u store.User) bool { return mfa.Counts(c, u) }
	}
	given := func(name string) bool {
		_, given := q[name]
		return given
	}
	filtered := slices.ContainsFunc([]string{"email", "phoneNumber", "username", "token"}, given)
	switch all := q.Get("all"); {
	case all == "true" && filtered:
		return nil, api.InvalidRequest("all=true lists all users and cannot be combined with email, phoneNumber, username or token.")
	case all == "true":
	case given("all"):
		return nil, api.InvalidRequest("all must be true or left out.")
	case f.ID == "" && f.Email == "" && f.PhoneNumber == "" && f.Username == "":
		return nil, api.InvalidRequest("At least one of email, phoneNumber, username and token is required, or all=true for all users.")
	}
	f.Limit = limit + 1 // to know whether there are more
	err = s.Store.View(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		list, err := tx.Users(f)
		if len(list) > limit {
			list = list[:limit]
			out.LastEvaluatedUserID = list[limit-1].ID
		}
		for _, u := range list {
			if counts(u.User) {
				out.Users = append(out.Users, listedUser(u))
			}
		}
		return err
	})
	return out, err
}

func listedUser(u store.ListedUser) api.ListedUser {
	if u.Methods == nil {
		u.Methods = []api.VerificationMethod{}
	}
	return api.ListedUser{
		UserID:                      u.ID,
		Email:                       u.Email,
		EmailVerified:               u.EmailVerified,
		PhoneNumber:                 u.PhoneNumber,
		PhoneNumberVerified:         u.PhoneNumberVerified,
		Username:                    u.Username,
		DisplayName:                 u.DisplayName,
		IsEnrolled:                  len(u.Methods) > 0,
		EnrolledVerificationMethods: u.Methods,
		CreatedAt:                   api.Time{Time: u.CreatedAt},
	}
}

// listLimit returns the limit of a query, at most maxUsers.
func listLimit(q url.Values) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return defaultUsers, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, api.InvalidRequest(fmt.Sprintf("limit must be a number from 1 to %d.", maxUsers))
	}
	return min(n, maxUsers), nil
}

// endTokens answers DELETE /v1/users/{userId}/tokens, which is not in the public
// API: all tokens of the user become invalid.
func (s *server) endTokens(r *http.Request) (any, error) {
	id, err := pathUserID(r)
	if err != nil {
		return nil, err
	}
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		return manage.EndTokens(tx, id, mfa.ByBackend, s.Now())
	})
	if err != nil {
		return nil, err
	}
	return api.Success{Success: true}, nil
}
