package mfa

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/token"
	"github.com/authsignal-wasm/sdk/internal/totp"
	"github.com/authsignal-wasm/sdk/internal/webhook"
)

// PendingLife is how long an enrollment that is not completed is kept: longer
// than any token that could complete it.
const PendingLife = 24 * time.Hour

// Enroll begins an enrollment with a secret and a name, which may be empty. It replaces an enrollment that the
// same action began before (wire contract, section 11, row 12), and the response
// says whether there was one.
func Enroll(tx *store.Tx, s Subject, secret, name string, now time.Time) (api.EnrollTOTPResponse, error) {
	if err := s.MayAdd(); err != nil {
		return api.EnrollTOTPResponse{}, err
	}
	return begin(tx, s.Tenant, s.User, s.Action.ActionID, store.AuditEvent{ActionID: s.Action.ActionID}, secret, name, now)
}

// begin is Enroll for an enrollment that may begin. e has what the audit entry says of
// its cause.
func begin(tx *store.Tx, t store.Tenant, u store.User, began store.ActionID, e store.AuditEvent, secret, name string, now time.Time) (api.EnrollTOTPResponse, error) {
	settings := t.Authenticator
	a := store.Authenticator{
		ID: uuid.NewString(), UserID: u.ID, Method: api.AuthenticatorApp, Name: name,
		Parameters: totp.Parameters{Algorithm: totp.Algorithm(settings.Algorithm), Digits: settings.Digits, Period: settings.Period},
		Began:      began, CreatedAt: now,
	}
	e.At, e.Kind, e.Detail = now, store.AuditEnrollmentBegun, with(e.Detail, "userAuthenticatorId", a.ID)
	err := tx.Audit(e)
	var replaced bool
	if err == nil {
		replaced, err = tx.InsertPending(a, secret, now.Add(-PendingLife))
	}
	return api.EnrollTOTPResponse{
		UserAuthenticatorID: a.ID, UserID: a.UserID, Secret: secret,
		URI: totp.URI(settings.Issuer, account(u), secret, a.Parameters), Replaced: replaced,
	}, err
}

// with returns a copy of the detail of an audit entry with one more key.
func with(detail map[string]any, key string, value any) map[string]any {
	all := map[string]any{key: value}
	maps.Copy(all, detail)
	return all
}

// account returns the account name for authenticator apps.
func account(u store.User) string {
	switch {
	case u.Email != "":
		return u.Email
	case u.Username != "":
		return u.Username
	}
	return u.ID
}

// The bounds of the secrets of imported authenticators, in bits. RFC 4226, section
// 4, R6 requires 128, but many systems have made secrets of 80, as Google's first
// library did. Their users would lose their authenticators; guessing online is
// bounded by the limits of attempts, whatever the length of the secret.
const (
	minImportedBits = 80
	maxImportedBits = 1280
	// StrongBits is the length that RFC 4226 requires of a secret, in bits.
	StrongBits = 128
)

// minPeriod and maxPeriod bound the period of an imported authenticator in
// seconds. A code is valid for a period.
const (
	minPeriod = 10
	maxPeriod = 300
)

// CheckImported returns an error if an authenticator app with this key may not be
// imported.
func CheckImported(k totp.Key) error {
	if err := k.Validate(); err != nil {
		return err
	}
	if k.Period < minPeriod || k.Period > maxPeriod {
		return fmt.Errorf("the period must be %d to %d seconds", minPeriod, maxPeriod)
	}
	if n := totp.SecretBits(k.Secret); n < minImportedBits || n > maxImportedBits {
		return fmt.Errorf("the secret must have %d to %d bits", minImportedBits, maxImportedBits)
	}
	return nil
}

// An Imported authenticator is one that a backend has verified.
type Imported struct {
	store.Authenticator
	Secret  string // of an authenticator app
	Default bool   // it becomes the user's default
}

// Import stores an authenticator. The user is created if it does not exist. An
// authenticator that is already enrolled is returned and not added again:
// official SDKs retry a request whose response was lost, and of two
// authenticators with the same secret, each would accept the same code. If its
// newest accepted step is in the future, that is reset as Unlock does, and its
// failures are kept.
func Import(tx *store.Tx, t store.Tenant, in Imported, now time.Time) (api.UserAuthenticator, error) {
	a := in.Authenticator
	user, err := tx.EnsureUser(a.UserID, now)
	if err != nil {
		return api.UserAuthenticator{}, err
	}
	a.ID, a.CreatedAt, a.VerifiedAt = uuid.NewString(), now, now
	list, err := tx.Authenticators(a.UserID)
	if err != nil {
		return api.UserAuthenticator{}, err
	}
	known, err := enrolledAlready(tx, list, a, in.Secret)
	if err != nil {
		return api.UserAuthenticator{}, err
	}
	if known != nil {
		a = *known
		if err := resetKnown(tx, t, a, now); err != nil {
			return api.UserAuthenticator{}, err
		}
	} else if err := insertVerified(tx, t, FactorsOf(list), a, in.Secret, now); err != nil {
		return api.UserAuthenticator{}, err
	}
	if in.Default {
		if err := tx.SetDefault(a); err != nil {
			return api.UserAuthenticator{}, err
		}
		user.DefaultMethod = a.Method
		if err := tx.PutUser(user); err != nil {
			return api.UserAuthenticator{}, err
		}
	}
	f, err := ReadFactors(tx, a.UserID)
	if err != nil {
		return api.UserAuthenticator{}, err
	}
	out := Shown(a, f.Preferred(user.DefaultMethod))
	out.UserID = a.UserID
	return out, nil
}

func resetKnown(tx *store.Tx, t store.Tenant, a store.Authenticator, now time.Time) error {
	ahead, err := resetAhead(tx, a, now)
	if err != nil || ahead == 0 {
		return err
	}
	return Unlocked(tx, t, a.UserID, a.ID, ByBackend, ahead, now)
}

func insertVerified(tx *store.Tx, t store.Tenant, f Factors, a store.Authenticator, secret string, now time.Time) error {
	if full(t.Authenticator, f) {
		return tooMany(t.Authenticator)
	}
	if err := tx.InsertVerified(a, secret); err != nil {
		return err
	}
	err := tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditEnrollmentCompleted, ActionID: store.ActionID{UserID: a.UserID},
		Detail: map[string]any{"userAuthenticatorId": a.ID, "verificationMethod": a.Method, "by": ByBackend},
	})
	if err != nil {
		return err
	}
	return created(tx, t, a, now)
}

// enrolledAlready returns the factor in a list that is the same as a, or nil. It
// deletes a pending enrollment with the same secret.
func enrolledAlready(tx *store.Tx, list []store.Authenticator, a store.Authenticator, secret string) (*store.Authenticator, error) {
	known, pending, err := findKnown(tx, list, a, secret)
	for _, p := range pending {
		if err == nil {
			err = tx.DeletePending(p)
		}
	}
	return known, err
}

// findKnown returns the factor in a list that is the same as a, or nil, and the
// pending enrollments with the same secret before it.
func findKnown(tx *store.Tx, list []store.Authenticator, a store.Authenticator, secret string) (known *store.Authenticator, pending []store.Authenticator, err error) {
	for i, b := range list {
		if b.Method != a.Method || b.Parameters != a.Parameters || b.Email != a.Email || b.PhoneNumber != a.PhoneNumber {
			continue
		}
		if secret != "" {
			text, err := tx.Secret(b)
			if err != nil {
				return nil, nil, err
			}
			// An earlier version stored the text as it was given.
			if text, err = totp.NormalizeSecret(text); err != nil || text != secret {
				continue
			}
		}
		if b.Verified() {
			return &list[i], pending, nil
		}
		pending = append(pending, b)
	}
	return nil, pending, nil
}

// A Channel is the way by which a change reached the server, in the audit log.
type Channel string

// The channels: the Server API, the client API, and the management API or the
// portal.
const (
	ByBackend  Channel = "backend"
	ByUser     Channel = "user"
	ByOperator Channel = "operator"
)

// ErrNoAuthenticator reports that the user has no verified authenticator with the
// id.
var ErrNoAuthenticator error = api.NotFound("The user has no such authenticator.")

// Remove removes a verified authenticator of a user of t, the transaction's tenant.
// It also ends the user's tokens, because some may have been issued for a code of
// the authenticator, and returns the epoch of later tokens.
func Remove(tx *store.Tx, t store.Tenant, userID, authenticatorID string, by Channel, now time.Time) (epoch int64, err error) {
	if _, _, err := tx.LockUser(userID); err != nil {
		return 0, err
	}
	list, err := tx.Authenticators(userID)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(list, func(a store.Authenticator) bool { return a.ID == authenticatorID && a.Verified() })
	if i < 0 {
		return 0, ErrNoAuthenticator
	}
	if _, err := tx.DeleteAuthenticator(userID, authenticatorID); err != nil {
		return 0, err
	}
	if err := Removed(tx, t, list[i], now); err != nil {
		return 0, err
	}
	// Without an app, no recovery code is asked for, and the user may enroll anew.
	if !FactorsOf(slices.Delete(list, i, i+1)).Challengeable() {
		if err := voidRecoveryCodes(tx, t, userID, by, now); err != nil {
			return 0, err
		}
	}
	if epoch, _, err = tx.EndTokens(userID); err != nil {
		return 0, err
	}
	return epoch, tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditAuthenticatorDeleted, ActionID: store.ActionID{UserID: userID},
		Detail: map[string]any{"userAuthenticatorId": authenticatorID, "by": by},
	})
}

// RemoveOwn is Remove by the user with a token, which is ended too. It returns the
// claims of a token in its place. The token's action is kept for the new epoch,
// because the user completed it.
func (s Subject) RemoveOwn(tx *store.Tx, authenticatorID string, now time.Time) (token.Claims, error) {
	if err := s.MayRemove(); err != nil {
		return token.Claims{}, err
	}
	epoch, err := Remove(tx, s.Tenant, s.User.ID, authenticatorID, ByUser, now)
	if err != nil {
		return token.Claims{}, err
	}
	claims := s.Claims
	claims.Epoch = epoch
	return claims, tx.CarryAction(s.Action.ActionID, epoch)
}

// created stores the webhook event of a completed enrollment.
func created(tx *store.Tx, t store.Tenant, a store.Authenticator, now time.Time) error {
	return enqueue(tx, t, api.EventAuthenticatorCreated, api.AuthenticatorCreated{
		UserID: a.UserID, UserAuthenticatorID: a.ID, VerificationMethod: a.Method, CreatedAt: api.Time{Time: a.CreatedAt},
	}, now)
}

// Removed stores the webhook event of a verified authenticator that the
// transaction removes.
func Removed(tx *store.Tx, t store.Tenant, a store.Authenticator, now time.Time) error {
	return enqueue(tx, t, api.EventAuthenticatorDeleted, api.AuthenticatorDeleted{
		UserID: a.UserID, UserAuthenticatorID: a.ID, VerificationMethod: a.Method, CreatedAt: api.Time{Time: a.CreatedAt},
		DeletedAt: api.Time{Time: now},
	}, now)
}

// enqueue stores an event for the tenant's webhook, if it has one. The event is
// sent after the commit.
func enqueue(tx *store.Tx, t store.Tenant, eventType string, data any, now time.Time) error {
	if t.WebhookURL == "" {
		return nil
	}
	e, err := webhook.NewEvent(t.ID, eventType, data, now)
	if err != nil {
		return err
	}
	return tx.Enqueue(e)
}

// Shown converts a verified authenticator to its form in the API. preferred is the
// one of the user's factors that is used by default.
func Shown(a, preferred store.Authenticator) api.UserAuthenticator {
	out := api.UserAuthenticator{
		UserAuthenticatorID: a.ID,
		VerificationMethod:  a.Method,
		CreatedAt:           api.Time{Time: a.CreatedAt},
		VerifiedAt:          &api.Time{Time: a.VerifiedAt},
		IsDefault:           a.ID == preferred.ID,
		Email:               a.Email,
		PhoneNumber:         a.PhoneNumber,
		Name:                a.Name,
	}
	if !a.LastVerifiedAt.IsZero() {
		out.LastVerifiedAt = &api.Time{Time: a.LastVerifiedAt}
	}
	return out
}
