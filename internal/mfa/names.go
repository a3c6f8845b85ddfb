package mfa

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/store"
)

// maxName is the maximum length of an authenticator's name in characters.
const maxName = 64

// CheckName returns the name of an authenticator without the space around it, or an
// error for a name that is too long or has characters that cannot be seen: control
// characters, and those that change the direction of a text. An empty name is none.
func CheckName(name string) (string, error) {
	return checkName("name", name)
}

// checkName is CheckName for another field than name.
func checkName(field, name string) (string, error) {
	name = strings.TrimSpace(name)
	if utf8.RuneCountInString(name) > maxName {
		return "", api.InvalidRequest(fmt.Sprintf("%s must have at most %d characters.", field, maxName))
	}
	hidden := func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
	}
	if strings.ContainsFunc(name, hidden) {
		return "", api.InvalidRequest(field + " must not contain control characters.")
	}
	return name, nil
}

// Rename sets the name of a verified authenticator, which CheckName has accepted.
func Rename(tx *store.Tx, t store.Tenant, userID, authenticatorID, name string, by Channel, now time.Time) (api.UserAuthenticator, error) {
	user, _, err := tx.LockUser(userID)
	if err != nil {
		return api.UserAuthenticator{}, err
	}
	f, err := ReadFactors(tx, userID)
	if err != nil {
		return api.UserAuthenticator{}, err
	}
	a := f.find(authenticatorID)
	if a == nil {
		return api.UserAuthenticator{}, ErrNoAuthenticator
	}
	preferred := f.Preferred(user.DefaultMethod)
	if a.Name == name {
		return Shown(*a, preferred), nil
	}
	a.Name = name
	if err := tx.RenameAuthenticator(*a); err != nil {
		return api.UserAuthenticator{}, err
	}
	// The name is the user's text, and stays out of the audit log.
	err = tx.Audit(store.AuditEvent{
		At: now, Kind: store.AuditAuthenticatorRenamed, ActionID: store.ActionID{UserID: userID},
		Detail: map[string]any{"userAuthenticatorId": a.ID, "by": by},
	})
	if err == nil {
		err = enqueue(tx, t, api.EventAuthenticatorRenamed, api.AuthenticatorRenamed{
			UserID: userID, UserAuthenticatorID: a.ID, Name: name, RenamedAt: api.Time{Time: now},
		}, now)
	}
	return Shown(*a, preferred), err
}

// RenameOwn is Rename by the user with a token.
func (s Subject) RenameOwn(tx *store.Tx, authenticatorID, name string, now time.Time) (api.UserAuthenticator, error) {
	if err := s.MayRename(); err != nil {
		return api.UserAuthenticator{}, err
	}
	return Rename(tx, s.Tenant, s.User.ID, authenticatorID, name, ByUser, now)
}
