package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// ErrLookAlike: the id of a new user differs from that of another user only by case,
// space around it or Unicode form, which the tenant does not accept. It does not say
// what the other id is.
var ErrLookAlike = errors.New("the user id differs from that of another user only by upper and lower case, space around it or its Unicode form, " +
	"which the tenant's setting userIds does not accept; send each user's id always in the same form")

// FoldUserID returns the form that is common to ids that look alike: without space
// around it, in small letters by Unicode's simple case mappings and in normalization
// form C (UAX #15).
func FoldUserID(id string) string {
	return norm.NFC.String(strings.Map(foldRune, norm.NFD.String(strings.TrimSpace(id))))
}

// foldRune maps a letter to the small one of its capital: all of those that
// unicode.SimpleFold relates become one.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		return unicode.ToLower(r)
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

// UserID returns the id under which the tenant's user is stored.
func (t Tenant) UserID(id string) string {
	if t.UserIDs == api.UserIDsFold {
		return FoldUserID(id)
	}
	return id
}

// CheckLookAlike returns ErrLookAlike if the tenant does not accept the id of a user
// that does not exist.
func (t *Tx) CheckLookAlike(id string) error {
	folded := FoldUserID(id)
	var refused bool
	err := t.queryRow(`
		SELECT EXISTS (SELECT 1 FROM users WHERE tenant_id = ? AND id_fold = ? AND user_id <> ?)
			OR CAST(? AS BOOLEAN) AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = ? AND user_ids = '`+string(api.UserIDsFold)+`')`,
		t.tenant, folded, id, folded != id, t.tenant).Scan(&refused)
	if err != nil {
		return fmt.Errorf("compare user ids: %w", err)
	}
	if refused {
		return ErrLookAlike
	}
	return nil
}

// A NotFoldedError is the error of SetUserIDs for a tenant whose users would not be
// found any more.
type NotFoldedError struct {
	// Users is how many users have an id that folding changes.
	Users int
}

func (e *NotFoldedError) Error() string {
	return fmt.Sprintf("%d users of the tenant have an id that is not in folded form and would not be found any more", e.Users)
}

// SetUserIDs sets what the transaction's tenant does about user ids that look alike;
// changed is false if it is the same as before. It compares the ids of all users:
// alike is how many look like an earlier one, and stay. The error is a
// *NotFoldedError for UserIDsFold if a user's id is not folded: such a user would not
// be found any more, and count as not enrolled.
func (t *Tx) SetUserIDs(mode api.UserIDs) (changed bool, alike int, err error) {
	t.changed = true
	current, found, err := t.Tenant()
	if err != nil || !found || current.UserIDs == mode {
		return false, 0, err
	}
	if mode != api.UserIDsExact {
		if alike, err = t.foldUsers(mode); err != nil {
			return false, 0, err
		}
	}
	if _, err := t.exec(`UPDATE tenants SET user_ids = ? WHERE tenant_id = ?`, string(mode), t.tenant); err != nil {
		return false, 0, fmt.Errorf("store tenant: %w", err)
	}
	return true, alike, nil
}

// foldUsers stores the folded ids of users that were created while the tenant took
// ids exactly.
func (t *Tx) foldUsers(mode api.UserIDs) (alike int, err error) {
	type user struct {
		id     string
		folded bool
	}
	users, err := collect(t, func(row row) (u user, err error) {
		err = row.Scan(&u.id, &u.folded)
		return u, err
	}, `SELECT user_id, id_fold IS NOT NULL FROM users WHERE tenant_id = ? ORDER BY id_fold IS NULL, created_at, user_id`, t.tenant)
	if err != nil {
		return 0, fmt.Errorf("read user ids: %w", err)
	}
	taken := make(map[string]bool, len(users))
	changedBy := 0
	for _, u := range users {
		folded := FoldUserID(u.id)
		if folded != u.id {
			changedBy++
		}
		column, other := "id_fold", "id_alike"
		if taken[folded] {
			alike++
			column, other = other, column
		}
		taken[folded] = true
		if u.folded || mode == api.UserIDsFold && changedBy > 0 {
			continue
		}
		err := t.queue(write{query: `UPDATE users SET ` + column + ` = ?, ` + other + ` = NULL WHERE tenant_id = ? AND user_id = ?`, args: []any{folded, t.tenant, u.id}})
		if err != nil {
			return 0, fmt.Errorf("store folded user id: %w", err)
		}
		if len(t.pending) >= foldBatch {
			if err := t.flush(); err != nil {
				return 0, fmt.Errorf("store folded user id: %w", err)
			}
		}
	}
	if mode == api.UserIDsFold && changedBy > 0 {
		return 0, &NotFoldedError{changedBy}
	}
	return alike, nil
}

// passOnFold gives the folded id of a user that was deleted to one that looks alike, if
// there is any, so that an id of a third form is still refused.
func (t *Tx) passOnFold(id string) error {
	folded := FoldUserID(id)
	_, err := t.exec(`
		UPDATE users SET id_fold = id_alike, id_alike = NULL
		WHERE tenant_id = ? AND user_id = (SELECT MIN(user_id) FROM users WHERE tenant_id = ? AND id_alike = ?)
			AND NOT EXISTS (SELECT 1 FROM users WHERE tenant_id = ? AND id_fold = ?)`,
		t.tenant, t.tenant, folded, t.tenant, folded)
	if err != nil {
		return fmt.Errorf("pass on folded user id: %w", err)
	}
	return nil
}

// foldBatch is how many updates are sent to PostgreSQL at once.
const foldBatch = 1000
