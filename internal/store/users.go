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
	Epoch int64
	// WrongCodes is how many codes were wrong since WrongCodesSince, which is zero if
	// there were none.
	WrongCodes      int
	WrongCodesSince time.Time
	CreatedAt       time.Time
	// FirstTrackedAt is when the first action of this incarnation was tracked; zero
	// before that. For users that existed before it was stored, it is CreatedAt.
	FirstTrackedAt time.Time
}

// User returns a user; found is false if it does not exist.
func (t *Tx) User(id string) (u User, found bool, err error) { return t.user(id, "") }

// LockUser is User for a transaction that will write: no other transaction reads
// the user with LockUser until its end.
func (t *Tx) LockUser(id string) (u User, found bool, err error) {
	return t.user(id, t.dialect.forUpdate)
}

// EnsureUser is LockUser, and creates the user if it does not exist. The error is
// ErrLookAlike if the tenant does not accept the id.
func (t *Tx) EnsureUser(id string, now time.Time) (User, error) {
	for {
		if err := t.insertUser(id, now, false); err != nil {
			return User{}, err
		}
		// A user that existed may be deleted before this transaction has the lock.
		if u, found, err := t.LockUser(id); err != nil || found {
			return u, err
		}
		if err := t.CheckLookAlike(id); err != nil {
			return User{}, err
		}
	}
}

const userColumns = `user_id, email, email_verified, phone_number, phone_number_verified, username, display_name,
	locale, default_method, custom, incarnation, epoch, wrong_codes, wrong_codes_since, created_at, first_tracked_at`

// scanUser scans userColumns, and more columns if the row has them.
func scanUser(row row, more ...any) (u User, err error) {
	var wrongSince, created int64
	var tracked sql.NullInt64
	var custom string
	err = row.Scan(append([]any{&u.ID, &u.Email, &u.EmailVerified, &u.PhoneNumber, &u.PhoneNumberVerified,
		&u.Username, &u.DisplayName, &u.Locale, &u.DefaultMethod, &custom, &u.Incarnation, &u.Epoch, &u.WrongCodes, &wrongSince, &created, &tracked}, more...)...)
	if err != nil {
		return User{}, err
	}
	if err := json.Unmarshal([]byte(custom), &u.Custom); err != nil {
		return User{}, fmt.Errorf("custom: %w", err)
	}
	if u.WrongCodes > 0 {
		u.WrongCodesSince = moment(wrongSince)
	}
	u.CreatedAt = moment(created)
	switch {
	case tracked.Valid && tracked.Int64 == 0:
		u.FirstTrackedAt = u.CreatedAt
	case tracked.Valid:
		u.FirstTrackedAt = moment(tracked.Int64)
	}
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

// PutWrongCodes stores WrongCodes and WrongCodesSince of a user. The transaction must
// have read the user with the lock.
func (t *Tx) PutWrongCodes(u User) error {
	err := t.queue(write{table: "users", query: `UPDATE users SET wrong_codes = ?, wrong_codes_since = ? WHERE tenant_id = ? AND user_id = ?`,
		args: []any{u.WrongCodes, millis(u.WrongCodesSince), t.tenant, u.ID}})
	if err != nil {
		return fmt.Errorf("count wrong code: %w", err)
	}
	return nil
}

// SetFirstTracked stores when the first action of a user was tracked, if that is not
// known yet.
func (t *Tx) SetFirstTracked(userID string, at time.Time) error {
	err := t.queue(write{table: "users",
		query: `UPDATE users SET first_tracked_at = ? WHERE tenant_id = ? AND user_id = ? AND first_tracked_at IS NULL`,
		args:  []any{millis(at), t.tenant, userID}})
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
	return t.passOnFold(id)
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
	query, args := t.listedUsersQuery(f)
	list, err := collect(t, func(row row) (u ListedUser, err error) {
		var methods string
		if u.User, err = scanUser(row, &methods); err != nil || methods == "" {
			return u, err
		}
		for m := range strings.SplitSeq(methods, ",") {
			if m := api.VerificationMethod(m); !slices.Contains(u.Methods, m) {
				u.Methods = append(u.Methods, m)
			}
		}
		return u, nil
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// listedUsersQuery reads a range of an index, and for each user in it the
// authenticators. With a join, PostgreSQL may read all authenticators.
func (t *Tx) listedUsersQuery(f UserFilter) (string, []any) {
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
	return `
		SELECT ` + userColumns + `, COALESCE((
			SELECT string_agg(a.verification_method, ',' ORDER BY a.created_at, a.user_authenticator_id) FROM authenticators a
			WHERE a.tenant_id = users.tenant_id AND a.user_id = users.user_id AND a.verified_at IS NOT NULL), '')
		FROM users WHERE ` + where + ` ORDER BY user_id LIMIT ?`, append(args, f.Limit)
}
