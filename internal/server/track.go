package server

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

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
	dropNulls(attr.Custom)
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
	if err := checkUser(store.User{
		Email: attr.Email, PhoneNumber: attr.PhoneNumber, Username: attr.Username, Locale: attr.Locale, Custom: attr.Custom,
	}); err != nil {
		return nil, err
	}
	if !tenant(r).Authenticator.Active {
		if s.inactive.tell(tenant(r).ID, s.Now()) {
			s.Log.WarnContext(r.Context(), "the tenant's authenticator app is not active", "tenant", tenant(r).ID, "activate", s.ActivateAt)
		}
		return nil, &api.Error{
			Status: http.StatusBadRequest, Code: api.CodeAuthenticatorNotFound,
			Description: "The tenant has no active authenticator. Activate the authenticator app in its settings.",
		}
	}
	if err := checkTexts(maxText, "ipAddress", attr.IPAddress, "userAgent", attr.UserAgent, "redirectUrl", attr.RedirectURL); err != nil {
		return nil, err
	}
	if err := checkTexts(maxSearched, "deviceId", attr.DeviceID); err != nil {
		return nil, err
	}
	claims := token.Claims{
		TenantID: tenant(r).ID, UserID: id.UserID, Action: id.Action, IdempotencyKey: id.IdempotencyKey, Scopes: scopes,
	}
	var out api.TrackResponse
	err = s.Store.Update(r.Context(), tenant(r).ID, func(tx *store.Tx) error {
		now := s.Now()
		standing, err := tx.EnsureStanding(id, now)
		if err != nil {
			return err
		}
		user, f := standing.User, verifiedOf(standing.Authenticators)
		claims.Incarnation = user.Incarnation
		if describe(&user, attr) {
			if err := tx.PutUser(user); err != nil {
				return err
			}
		}
		// An idempotency key that is known names the stored action: no state
		// is ever reset, and of concurrent first tracks one makes it.
		action := standing.Action
		if !standing.HasAction {
			action = store.Action{
				ActionID: id, CreatedAt: now, StateUpdatedAt: now,
				IPAddress: attr.IPAddress, UserAgent: attr.UserAgent, DeviceID: attr.DeviceID,
				RedirectURL: attr.RedirectURL, Custom: attr.Custom,
			}
			if err := s.decide(r.Context(), tx, &action, user, f.enrolled()); err != nil {
				return err
			}
			action.State = trackedState(action.Outcome, f.enrolled())
			if err := tx.InsertAction(action); err != nil {
				return err
			}
		}
		out = api.TrackResponse{
			IdempotencyKey:              id.IdempotencyKey,
			State:                       action.State,
			IsEnrolled:                  f.enrolled(),
			AllowedVerificationMethods:  methods,
			EnrolledVerificationMethods: f.methods(),
			DefaultVerificationMethod:   f.preferred(user.DefaultMethod).Method,
			RuleIDs:                     ruleIDs(action),
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Token, err = s.Tokens.Issue(claims)
	if err != nil {
		return nil, err
	}
	s.metrics.tracked.WithLabelValues(string(out.State)).Inc()
	// One of the two URLs of the contract that carry a token.
	out.URL = s.PublicURL + "/?token=" + url.QueryEscape(out.Token)
	if attr.RedirectToSettings != nil && *attr.RedirectToSettings {
		// It gives no right: those are the token's scopes.
		out.URL += "&" + api.QuerySettings + "=true"
	}
	return out, nil
}

// describe adds the attributes that were given to a user, and reports whether
// that changed anything.
func describe(u *store.User, attr api.Attributes) (changed bool) {
	for _, a := range []struct {
		to   *string
		from string
	}{
		{&u.Email, attr.Email}, {&u.PhoneNumber, attr.PhoneNumber},
		{&u.Username, attr.Username}, {&u.Locale, attr.Locale},
	} {
		if a.from != "" && a.from != *a.to {
			*a.to = a.from
			changed = true
		}
	}
	return changed
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

// dropNulls takes the nulls out of custom data: they are absent values.
func dropNulls(custom map[string]any) {
	maps.DeleteFunc(custom, func(_ string, value any) bool { return value == nil })
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

// A reminder remembers when the log was told of something, such as a tenant
// with nothing active: a line a minute is enough, however often it happens. The
// zero reminder is ready.
type reminder struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// tell reports whether it is time to tell the log of it again.
func (i *reminder) tell(what string, now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last, ok := i.told[what]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if i.told == nil {
		i.told = map[string]time.Time{}
	}
	i.told[what] = now
	return true
}
