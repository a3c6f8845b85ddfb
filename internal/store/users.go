package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A User is a user of a tenant. An empty attribute is absent.
type User struct {
	ID                  string
	Email               string
	EmailVerified       bool
	PhoneNumber         string
	PhoneNumberVerified bool
	Username            string
	DisplayName         string
	Locale              string
	// DefaultMethod is the verification method that the user prefers.
	DefaultMethod api.VerificationMethod
	Custom        map[string]any
	// Incarnation distinguishes the user from a deleted one of the same id.
	Incarnation string
	// Epoch is that of the user's tokens: tokens of earlier epochs are void.
	Epoch     int64
	CreatedAt time.Time
}

// User returns a user; found is false if it does not exist.
func (t *Tx) User(id string) (u User, found bool, err error) { return t.user(id, "") }

// LockUser is User for a transaction that will write: no other transaction reads
// the user with LockUser until its end.
func (t *Tx) LockUser(id string) (u User, found bool, err error) {
	return t.user(id, t.dialect.forUpdate)
}

// EnsureUser is LockUser, and creates the user if it does not exist.
func (t *Tx) EnsureUser(id string, now time.Time) (User, error) {
	for {
		if err := t.insertUser(id, now); err != nil {
			return User{}, err
		}
		// A user that existed may be deleted before this transaction has the lock.
		if u, found, err := t.LockUser(id); err != nil || found {
			return u, err
		}
	}
}

const userColumns = `user_id, email, email_verified, phone_number, phone_number_verified, username, display_name,
	locale, default_method, custom, incarnation, epoch, created_at`

// scanUser scans userColumns, and more columns if the row has them.
func scanUser(row row, more ...any) (u User, err error) {
	var created int64
	var custom string
	err = row.Scan(append([]any{&u.ID, &u.Email, &u.EmailVerified, &u.PhoneNumber, &u.PhoneNumberVerified,
		&u.Username, &u.DisplayName, &u.Locale, &u.DefaultMethod, &custom, &u.Incarnation, &u.Epoch, &created}, more...)...)
	if err != nil {
		return User{}, err
	}
	if err := json.Unmarshal([]byte(custom), &u.Custom); err != nil {
		return User{}, fmt.Errorf("custom: %w", err)
	}
	u.CreatedAt = moment(created)
	return u, nil
}

func (t *Tx) user(id, lock string) (u User, found bool, err error) {
	u, err = scanUser(t.queryRow(`SELECT `+userColumns+` FROM users WHERE tenant_id = ? AND user_id = ?`+lock, t.tenant, id))
	if errors.Is(err, sql.ErrNoRows) {
		return User{ID: id}, false, nil
	}
	if err != nil {
		return User{}, false, fmt.Errorf("read user: %w", err)
	}
	return u, true, nil
}

// PutUser stores the attributes of a user that exists.
func (t *Tx) PutUser(u User) error {
	custom, err := encodeCustom(u.Custom)
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	_, err = t.exec(`
		UPDATE users SET email = ?, email_verified = ?, phone_number = ?, phone_number_verified = ?,
			username = ?, display_name = ?, locale = ?, default_method = ?, custom = ?
		WHERE tenant_id = ? AND user_id = ?`,
		u.Email, u.EmailVerified, u.PhoneNumber, u.PhoneNumberVerified,
		u.Username, u.DisplayName, u.Locale, u.DefaultMethod, custom, t.tenant, u.ID)
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	return nil
}

// encodeCustom is the text of a column with custom data.
func encodeCustom(custom map[string]any) (string, error) {
	if custom == nil {
		return "{}", nil
	}
	b, err := json.Marshal(custom)
	if err != nil {
		return "", fmt.Errorf("custom: %w", err)
	}
	return string(b), nil
}

// EndTokens voids the tokens of a user that have been issued: it begins a new
// epoch, which it returns. found is false if the user does not exist.
func (t *Tx) EndTokens(userID string) (epoch int64, found bool, err error) {
	err = t.queryRow(`UPDATE users SET epoch = epoch + 1 WHERE tenant_id = ? AND user_id = ? RETURNING epoch`, t.tenant, userID).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("end tokens: %w", err)
	}
	return epoch, true, nil
}

// DeleteUser deletes a user and all authenticators. The actions are kept.
func (t *Tx) DeleteUser(id string) error {
	if _, err := t.exec(`DELETE FROM users WHERE tenant_id = ? AND user_id = ?`, t.tenant, id); err != nil {
		return fmt.Errorf("delete user: %w", err)
	}
	return nil
}

// A UserFilter says which users to list; an empty field matches all. At least one
// of the first four is set.
type UserFilter struct {
	ID, Email, PhoneNumber, Username string
	// After excludes users up to this id.
	After string
	Limit int
}

// A ListedUser is a user with the methods of the verified authenticators, the
// oldest one's first.
type ListedUser struct {
	User
	Methods []api.VerificationMethod
}

// Users lists users in the order of their ids.
func (t *Tx) Users(f UserFilter) ([]ListedUser, error) {
	where, args := `tenant_id = ?`, []any{t.tenant}
	for _, c := range []struct{ condition, value string }{
		{`user_id = ?`, f.ID},
		// The second half allows the partial indexes.
		{`email = ? AND email <> ''`, f.Email},
		{`phone_number = ? AND phone_number <> ''`, f.PhoneNumber},
		{`username = ? AND username <> ''`, f.Username},
		{`user_id > ?`, f.After},
	} {
		if c.value != "" {
			where += ` AND ` + c.condition
			args = append(args, c.value)
		}
	}
	type joined struct {
		User
		method api.VerificationMethod
	}
	rows, err := collect(t, func(row row) (j joined, err error) {
		j.User, err = scanUser(row, &j.method)
		return j, err
	}, `
		SELECT `+prefixed("u", userColumns)+`, COALESCE(a.verification_method, '')
		FROM (SELECT * FROM users WHERE `+where+` ORDER BY user_id LIMIT ?) u
		LEFT JOIN authenticators a
			ON a.tenant_id = u.tenant_id AND a.user_id = u.user_id AND a.verified_at IS NOT NULL
		ORDER BY u.user_id, a.created_at, a.user_authenticator_id`, append(args, f.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var list []ListedUser
	for _, r := range rows {
		if len(list) == 0 || list[len(list)-1].ID != r.ID {
			list = append(list, ListedUser{User: r.User})
		}
		last := &list[len(list)-1]
		if r.method != "" && !slices.Contains(last.Methods, r.method) {
			last.Methods = append(last.Methods, r.method)
		}
	}
	return list, nil
}

// prefixed puts the table before each of some columns.
func prefixed(table, columns string) string {
	names := strings.Split(columns, ",")
	for i, name := range names {
		names[i] = table + "." + strings.TrimSpace(name)
	}
	return strings.Join(names, ", ")
}
