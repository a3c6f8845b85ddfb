package store

import (
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A User is whoever an action was tracked for. An empty attribute is absent.
type User struct {
	ID                  string
	Email               string
	EmailVerified       bool
	PhoneNumber         string
	PhoneNumberVerified bool
	Username            string
	DisplayName         string
	Locale              string
	CreatedAt           time.Time
}

// User returns a user; found is false when there is none.
func (t *Tx) User(id string) (u User, found bool, err error) { return t.user(id, "") }

// LockUser is User for a transaction that will write: until its end, no other
// one reads the user with LockUser.
func (t *Tx) LockUser(id string) (u User, found bool, err error) {
	return t.user(id, t.dialect.forUpdate)
}

// EnsureUser is LockUser for a user who is made if there is none.
func (t *Tx) EnsureUser(id string, now time.Time) (User, error) {
	_, err := t.exec(`
		INSERT INTO users (tenant_id, user_id, created_at) VALUES (?, ?, ?)
		ON CONFLICT (tenant_id, user_id) DO NOTHING`, t.tenant, id, millis(now))
	if err != nil {
		return User{}, fmt.Errorf("store user: %w", err)
	}
	u, _, err := t.LockUser(id)
	return u, err
}

func (t *Tx) user(id, lock string) (u User, found bool, err error) {
	u.ID = id
	var created int64
	err = t.queryRow(`
		SELECT email, email_verified, phone_number, phone_number_verified, username, display_name, locale, created_at
		FROM users WHERE tenant_id = ? AND user_id = ?`+lock, t.tenant, id).
		Scan(&u.Email, &u.EmailVerified, &u.PhoneNumber, &u.PhoneNumberVerified, &u.Username, &u.DisplayName, &u.Locale, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, false, nil
	}
	if err != nil {
		return User{}, false, fmt.Errorf("read user: %w", err)
	}
	u.CreatedAt = moment(created)
	return u, true, nil
}

// PutUser stores the attributes of a user who is there.
func (t *Tx) PutUser(u User) error {
	_, err := t.exec(`
		UPDATE users SET email = ?, email_verified = ?, phone_number = ?, phone_number_verified = ?,
			username = ?, display_name = ?, locale = ?
		WHERE tenant_id = ? AND user_id = ?`,
		u.Email, u.EmailVerified, u.PhoneNumber, u.PhoneNumberVerified, u.Username, u.DisplayName, u.Locale, t.tenant, u.ID)
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	return nil
}
