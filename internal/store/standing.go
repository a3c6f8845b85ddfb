package store

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A Standing is a user with all authenticators, pending ones too, oldest first,
// and one action: what a decision about a request needs.
type Standing struct {
	User           User
	Authenticators []Authenticator
	Action         Action
	// HasUser and HasAction report whether they exist.
	HasUser, HasAction bool
}

// Standing reads a user with the authenticators, and an action.
func (t *Tx) Standing(id ActionID) (Standing, error) { return t.standing(id, "") }

// LockStanding is Standing for a transaction that will write: it locks the user
// as LockUser does, and then reads what the lock protects.
func (t *Tx) LockStanding(id ActionID) (Standing, error) {
	return t.standing(id, t.dialect.forUpdate)
}

func (t *Tx) standing(id ActionID, lock string) (s Standing, err error) {
	err = t.readAll(
		read{
			// The lock comes first: the reads after it see what it waited for.
			`SELECT ` + userColumns + ` FROM users WHERE tenant_id = ? AND user_id = ?` + lock,
			[]any{t.tenant, id.UserID},
			func(r rows) (err error) {
				if s.HasUser = r.Next(); s.HasUser {
					s.User, err = scanUser(r)
				}
				return err
			},
		},
		read{
			selectAuthenticators, []any{t.tenant, id.UserID},
			appendTo(&s.Authenticators, scanAuthenticator),
		},
		read{
			selectAction, []any{t.tenant, id.UserID, id.Action, id.IdempotencyKey},
			func(r rows) (err error) {
				if s.HasAction = r.Next(); s.HasAction {
					s.Action, err = scanAction(r)
				}
				return err
			},
		},
	)
	if err != nil {
		return Standing{}, fmt.Errorf("read user and action: %w", err)
	}
	return s, nil
}

// EnsureStanding is LockStanding, and creates the user if it does not exist.
func (t *Tx) EnsureStanding(id ActionID, now time.Time) (Standing, error) {
	for {
		s, err := t.LockStanding(id)
		if err != nil || s.HasUser {
			return s, err
		}
		// A user that another transaction creates meanwhile may be deleted before
		// this one has the lock.
		if err := t.insertUser(id.UserID, now); err != nil {
			return Standing{}, err
		}
	}
}

// insertUser creates a user unless it exists.
func (t *Tx) insertUser(id string, now time.Time) error {
	_, err := t.exec(`
		INSERT INTO users (tenant_id, user_id, incarnation, created_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (tenant_id, user_id) DO NOTHING`, t.tenant, id, uuid.NewString(), millis(now))
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	return nil
}
