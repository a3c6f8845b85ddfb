package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/mfa"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
)

// A tracked action is the content of a track request.
type tracked struct {
	id   store.ActionID
	attr api.Attributes
	// scopes are the scopes of the token.
	scopes []string
	// at is the time of the request, with the precision of the store.
	at time.Time
}

// readTracked reads and checks a request to track an action.
func (s *server) readTracked(r *http.Request) (in tracked, err error) {
	if in.id.UserID, err = pathUserID(r); err != nil {
		return in, err
	}
	if in.id.Action, err = pathAction(r); err != nil {
		return in, err
	}
	attr := &in.attr
	if err := readJSON(r, attr); err != nil {
		return in, err
	}
	if err := readCustom(attr.Custom); err != nil {
		return in, err
	}
	if in.id.IdempotencyKey = attr.IdempotencyKey; in.id.IdempotencyKey == "" {
		in.id.IdempotencyKey = uuid.NewString()
	}
	if strings.ContainsRune(attr.IdempotencyKey, utf8.RuneError) {
		// The decoder replaces unpaired surrogates with it, so that different
		// keys would become equal.
		return in, api.InvalidRequest("idempotencyKey must be valid Unicode.")
	}
	if _, err := identifier("idempotencyKey", in.id.IdempotencyKey); err != nil {
		return in, err
	}
	if in.scopes, err = trackedScopes(attr.Scope); err != nil {
		return in, err
	}
	if err := checkSearched("email", attr.Email, "phoneNumber", attr.PhoneNumber, "username", attr.Username); err != nil {
		return in, err
	}
	if err := checkTexts("redirectUrl", attr.RedirectURL); err != nil {
		return in, err
	}
	attr.IPAddress = deviceAddress(attr.IPAddress)
	attr.UserAgent, attr.Locale, attr.DeviceID = cut(attr.UserAgent, maxText), cut(attr.Locale, maxLocale), cut(attr.DeviceID, maxDeviceID)
	in.at = s.Now().UTC().Truncate(time.Millisecond)
	return in, nil
}

// trackAction answers POST /v1/users/{userId}/actions/{action} (wire contract,
// 6.1).
func (s *server) trackAction(r *http.Request) (any, error) {
	in, err := s.readTracked(r)
	if err != nil {
		return nil, err
	}
	t := tenant(r)
	if !t.Authenticator.Active {
		if s.inactive.due(t.ID, s.Now()) {
			s.Log.WarnContext(r.Context(), "the tenant's authenticator app is not active", "tenant", t.ID, "activate", s.ActivateAt)
		}
		return nil, &api.Error{
			Status: http.StatusBadRequest, Code: api.CodeAuthenticatorNotFound,
			Description: "The tenant has no active authenticator. Activate the authenticator app in its settings.",
		}
	}
	var result trackResult
	err = s.decide(r.Context(), t, in, func(tx *store.Tx, d *decision) (err error) {
		result, err = track(tx, t, in, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.trackResponse(t, in, result)
}

// A trackResult is what a track has stored and found.
type trackResult struct {
	store.Standing
	// deviceToken is the next token of the user's browser, if that is trusted.
	deviceToken string
	duty        mfa.EnrollmentDuty
}

// track stores the user's attributes and, unless its idempotency key is known, the
// action with its decision. A known key is that of the stored action, which one
// of concurrent requests creates; see mfa.TrackedAgain. An action of a deleted
// user with the same id is a different action, and is replaced.
func track(tx *store.Tx, t store.Tenant, in tracked, d *decision) (out trackResult, err error) {
	if out.Standing, err = tx.EnsureStanding(in.id, in.at); err != nil {
		return out, err
	}
	trust, err := readTrust(tx, in, out.Standing)
	if err != nil {
		return out, err
	}
	if err := decided(tx, t, &out, in, d, trust); err != nil {
		return out, err
	}
	device := store.Action{ActionID: in.id, IPAddress: in.attr.IPAddress, UserAgent: in.attr.UserAgent}
	out.deviceToken, err = trust.Use(tx, t, device, in.at)
	return out, err
}

// readTrust returns what is known of the browser of a track.
func readTrust(tx *store.Tx, in tracked, standing store.Standing) (mfa.Trust, error) {
	if in.attr.DeviceToken == "" {
		return mfa.Trust{}, nil
	}
	var earlier *store.Action
	if isKnown(standing) {
		earlier = &standing.Action
	}
	return mfa.ReadTrust(tx, standing.User, earlier, in.attr.DeviceToken, in.at)
}

// decided stores the user's attributes and the action, and updates out.
func decided(tx *store.Tx, t store.Tenant, out *trackResult, in tracked, d *decision, trust mfa.Trust) error {
	standing := &out.Standing
	described := describe(&standing.User, in.attr)
	known := isKnown(*standing)
	if !known {
		holds, err := d.holds(tx, in, *standing)
		if err != nil {
			return err
		}
		if !holds {
			return errUndecided
		}
	}
	if described {
		if err := tx.PutUser(standing.User); err != nil {
			return err
		}
	}
	if standing.User.FirstTrackedAt.IsZero() {
		if err := tx.SetFirstTracked(in.id.UserID, in.at); err != nil {
			return err
		}
		standing.User.FirstTrackedAt = in.at
	}
	f := mfa.FactorsOf(standing.Authenticators)
	out.duty = mfa.DutyOf(mfa.PolicyOf(t, d.facts.settings), standing.User, f, in.at)
	if known {
		again, changed := mfa.TrackedAgain(standing.Action, standing.User, f, out.duty)
		if !changed {
			return nil
		}
		again.StateUpdatedAt = in.at
		standing.Action = again
		if err := tx.ReopenAction(again, in.at); err != nil {
			return err
		}
		return tx.Audit(store.AuditEvent{
			At: in.at, Kind: store.AuditActionUpdated, ActionID: in.id, Detail: map[string]any{"state": again.State, "by": "track"},
		})
	}
	if standing.HasAction {
		if err := tx.DeleteAction(in.id); err != nil {
			return err
		}
	}
	a := store.Action{
		ActionID: in.id, CreatedAt: in.at, StateUpdatedAt: in.at,
		IPAddress: in.attr.IPAddress, UserAgent: in.attr.UserAgent, DeviceID: in.attr.DeviceID,
		RedirectURL: in.attr.RedirectURL, Custom: in.attr.Custom,
		Outcome: d.outcome, Rules: d.rules, PriorityRuleID: d.priority, Incarnation: standing.User.Incarnation, Epoch: standing.User.Epoch,
		BrowserTurn: trust.TurnHash,
	}
	a.State, a.Newcomer = mfa.TrackedState(a.Outcome, f, out.duty)
	if f.Enrolled() && trust.Waives(a, d.facts.settings, in.at) {
		a.State, a.Trusted = api.StateAllow, true
	}
	standing.Action, standing.HasAction = a, true
	return tx.InsertAction(a)
}

// isKnown reports whether an action was tracked before for the same incarnation of
// its user.
func isKnown(s store.Standing) bool { return s.HasAction && mfa.Current(s.Action, s.User) }

// trackResponse issues the token of a tracked action.
func (s *server) trackResponse(t store.Tenant, in tracked, result trackResult) (out api.TrackResponse, err error) {
	user, action, f := result.User, result.Action, mfa.FactorsOf(result.Authenticators)
	out = api.TrackResponse{
		IdempotencyKey:              in.id.IdempotencyKey,
		State:                       mfa.StateWithoutToken(action),
		IsEnrolled:                  f.Enrolled(),
		AllowedVerificationMethods:  mfa.Methods,
		EnrolledVerificationMethods: f.Methods(),
		DefaultVerificationMethod:   f.Preferred(user.DefaultMethod).Method,
		RuleIDs:                     ruleIDs(action),
		DeviceToken:                 result.deviceToken,
		IsTrusted:                   action.Trusted && action.State == api.StateAllow,
	}
	if result.duty.Applies {
		out.EnrollmentRequired, out.EnrollmentDeadline = &result.duty.Required, &api.Time{Time: result.duty.Deadline}
	}
	claims := token.Claims{
		TenantID: t.ID, UserID: in.id.UserID, Action: in.id.Action, IdempotencyKey: in.id.IdempotencyKey,
		Incarnation: user.Incarnation, Epoch: user.Epoch, Scopes: in.scopes,
	}
	if out.Token, err = s.Tokens.Issue(claims); err != nil {
		return out, err
	}
	urlToken := out.Token
	if scopes := mfa.AddressScopes(in.scopes, action, f); !slices.Equal(scopes, in.scopes) {
		claims.Scopes = scopes
		if urlToken, err = s.Tokens.Issue(claims); err != nil {
			return out, err
		}
	}
	s.metrics.tracked.WithLabelValues(string(out.State)).Inc()
	// This is one of the two URLs of the contract that have a token.
	out.URL = s.PublicURL + "/?token=" + url.QueryEscape(urlToken)
	if to := in.attr.RedirectToSettings; to != nil && *to {
		// It grants no rights: those are the scopes of the token.
		out.URL += "&" + api.QuerySettings + "=true"
	}
	return out, nil
}

// describe sets the attributes of a user that the request has, and reports whether
// any of them changed.
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

// trackedScopes returns the scopes of a track token: the scope to read, and those
// that the backend adds.
func trackedScopes(scope string) ([]string, error) {
	scopes := []string{api.ScopeRead}
	for _, sc := range strings.Fields(scope) {
		if !slices.Contains(token.AllScopes, sc) {
			return nil, api.InvalidRequest("scope must contain only " + strings.Join(token.AllScopes, ", ") + ", separated by spaces.")
		}
		if !slices.Contains(scopes, sc) {
			scopes = append(scopes, sc)
		}
	}
	return scopes, nil
}
