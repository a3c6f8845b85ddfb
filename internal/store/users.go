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
func (t *Tx) User(id string) (u User, found bool, err error) {
	u.ID = id
	var created int64
	err = t.queryRow(`
		SELECT email, email_verified, phone_number, phone_number_verified, username, display_name, locale, created_at
		FROM users WHERE tenant_id = ? AND user_id = ?`, t.tenant, id).
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

// PutUser stores a user whole; the time of creation of one who is there
// already stays.
func (t *Tx) PutUser(u User) error {
	_, err := t.exec(`
		INSERT INTO users (tenant_id, user_id, email, email_verified, phone_number, phone_number_verified,
			username, display_name, locale, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, user_id) DO UPDATE SET
			email = excluded.email, email_verified = excluded.email_verified,
			phone_number = excluded.phone_number, phone_number_verified = excluded.phone_number_verified,
			username = excluded.username, display_name = excluded.display_name, locale = excluded.locale`,
		t.tenant, u.ID, u.Email, u.EmailVerified, u.PhoneNumber, u.PhoneNumberVerified,
		u.Username, u.DisplayName, u.Locale, millis(u.CreatedAt))
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	return nil
}
