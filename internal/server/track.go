package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// methods are the verification methods that a challenge may ask for.
var methods = []api.VerificationMethod{api.AuthenticatorApp}

// track answers POST /v1/users/{userId}/actions/{action} (wire contract, 6.1).
func (s *server) track(r *http.Request) (any, error) {
	id := store.ActionID{}
	var err error
	if id.UserID, err = pathUserID(r); err != nil {
		return nil, err
	}
	if id.Action, err = pathAction(r); err != nil {
		return nil, err
	}
	var attr api.Attributes
	if err := readJSON(r, &attr); err != nil {
		return nil, err
	}
	id.IdempotencyKey = attr.IdempotencyKey
	if id.IdempotencyKey == "" {
		id.IdempotencyKey = uuid.NewString()
	}
	if _, err := identifier("idempotencyKey", id.IdempotencyKey); err != nil {
		return nil, err
	}
	scopes, err := trackedScopes(attr.Scope)
	if err != nil {
		return nil, err
	}
	if err := checkCustom(attr.Custom); err != nil {
		return nil, err
	}
	var out api.TrackResponse
	err = s.Store.Update(r.Context(), s.Tenant.ID, func(tx *store.Tx) error {
		now := s.Now()
		user, err := tx.EnsureUser(id.UserID, now)
		if err != nil {
			return err
		}
		if described := describe(user, attr); described != user {
			if err := tx.PutUser(described); err != nil {
				return err
			}
		}
		enrolled, err := isEnrolled(tx, id.UserID)
		if err != nil {
			return err
		}
		// An idempotency key that is known names the stored action: no state
		// is ever reset, and of concurrent first tracks one makes it.
		action, found, err := tx.Action(id)
		if err != nil {
			return err
		}
		if !found {
			action = store.Action{
				ActionID: id, State: trackedState(api.OutcomeChallenge, enrolled), CreatedAt: now, StateUpdatedAt: now,
				IPAddress: attr.IPAddress, UserAgent: attr.UserAgent, DeviceID: attr.DeviceID,
				RedirectURL: attr.RedirectURL, Custom: attr.Custom,
			}
			if err := tx.InsertAction(action); err != nil {
				return err
			}
		}
		out = api.TrackResponse{
			IdempotencyKey:              id.IdempotencyKey,
			State:                       action.State,
			IsEnrolled:                  enrolled,
			AllowedVerificationMethods:  methods,
			EnrolledVerificationMethods: enrolledMethods(enrolled),
			DefaultVerificationMethod:   defaultMethod(enrolled),
			RuleIDs:                     []string{},
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Token, err = s.Tokens.Issue(token.Claims{
		TenantID: s.Tenant.ID, UserID: id.UserID, Action: id.Action, IdempotencyKey: id.IdempotencyKey, Scopes: scopes,
	})
	if err != nil {
		return nil, err
	}
	// One of the two URLs of the contract that carry a token.
	out.URL = s.PublicURL + "/?token=" + url.QueryEscape(out.Token)
	return out, nil
}

// describe adds the attributes that were given to a user.
func describe(u store.User, attr api.Attributes) store.User {
	for _, a := range []struct {
		to   *string
		from string
	}{
		{&u.Email, attr.Email}, {&u.PhoneNumber, attr.PhoneNumber},
		{&u.Username, attr.Username}, {&u.Locale, attr.Locale},
	} {
		if a.from != "" {
			*a.to = a.from
		}
	}
	return u
}

// trackedScopes are the scopes of a track token: reading, and what the backend
// adds.
func trackedScopes(scope string) ([]string, error) {
	scopes := []string{api.ScopeRead}
	for _, sc := range strings.Fields(scope) {
		if !slices.Contains(token.AllScopes, sc) {
			return nil, invalidRequest("scope may hold " + strings.Join(token.AllScopes, ", ") + ", with spaces between them.")
		}
		if !slices.Contains(scopes, sc) {
			scopes = append(scopes, sc)
		}
	}
	return scopes, nil
}

// checkCustom admits the values that rules can compare.
func checkCustom(custom map[string]any) error {
	for key, value := range custom {
		switch value.(type) {
		case string, float64, bool:
		default:
			return invalidRequest(fmt.Sprintf("custom: the value of %.64q must be a string, a number or a boolean.", key))
		}
	}
	return nil
}

func isEnrolled(tx *store.Tx, userID string) (bool, error) {
	list, err := tx.Authenticators(userID)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, store.Authenticator.Verified), nil
}

func enrolledMethods(enrolled bool) []api.VerificationMethod {
	if enrolled {
		return methods
	}
	return []api.VerificationMethod{}
}

func defaultMethod(enrolled bool) api.VerificationMethod {
	if enrolled {
		return api.AuthenticatorApp
	}
	return ""
}
