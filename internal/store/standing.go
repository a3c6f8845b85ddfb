package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
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
func (t *Tx) Standing(id ActionID) (s Standing, err error) {
	return s, s.read(t.readAll, t.standingReads(&s, id, ""))
}

// LockStanding is Standing for a transaction that will write: it locks the user
// as LockUser does, and then reads what the lock protects.
func (t *Tx) LockStanding(id ActionID) (s Standing, err error) {
	return s, s.read(t.readAll, t.standingReads(&s, id, t.dialect.forUpdate))
}

// Standing is Tx.Standing for a caller that reads nothing else.
func (s *Store) Standing(ctx context.Context, tenantID string, id ActionID) (standing Standing, err error) {
	err = s.View(ctx, tenantID, func(tx *Tx) error {
		return standing.read(tx.readLast, tx.standingReads(&standing, id, ""))
	})
	return standing, err
}

// read executes the reads of a standing, which is empty after an error.
func (s *Standing) read(execute func(...read) error, reads []read) error {
	if err := execute(reads...); err != nil {
		*s = Standing{}
		return fmt.Errorf("read user and action: %w", err)
	}
	return nil
}

func (t *Tx) standingReads(s *Standing, id ActionID, lock string) []read {
	return []read{
		{
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
		{
			selectAuthenticators, []any{t.tenant, id.UserID},
			appendTo(&s.Authenticators, scanAuthenticator),
		},
		{
			selectAction, []any{t.tenant, id.UserID, id.Action, id.IdempotencyKey},
			func(r rows) (err error) {
				if s.HasAction = r.Next(); s.HasAction {
					s.Action, err = scanAction(r)
				}
				return err
			},
		},
	}
}

// EnsureStanding is LockStanding for an action that is tracked: it creates the user
// if it does not exist. The error is ErrLookAlike if the tenant does not accept the id.
func (t *Tx) EnsureStanding(id ActionID, now time.Time) (Standing, error) {
	for try := 0; ; try++ {
		s, err := t.LockStanding(id)
		if err != nil || s.HasUser {
			return s, err
		}
		if try > 0 {
			if err := t.CheckLookAlike(id.UserID); err != nil {
				return Standing{}, err
			}
		}
		// A user that another transaction creates meanwhile may be deleted before
		// this one has the lock.
		if err := t.insertUser(id.UserID, now, true); err != nil {
			return Standing{}, err
		}
	}
}

// insertUser creates a user unless it exists, or the tenant does not accept the id:
// CheckLookAlike tells. The setting of the tenant is read here, so that no cached one
// decides, and is locked, so that no user is created while SetUserIDs compares all.
// tracked reports whether an action of the user is being tracked.
func (t *Tx) insertUser(id string, now time.Time, tracked bool) error {
	folded := FoldUserID(id)
	first := sql.NullInt64{Int64: millis(now), Valid: tracked}
	_, err := t.exec(`
		INSERT INTO users (tenant_id, user_id, incarnation, created_at, first_tracked_at, id_fold)
		SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CASE WHEN tenant.mode <> '`+string(api.UserIDsExact)+`' THEN CAST(? AS TEXT) END
		FROM (SELECT COALESCE((SELECT user_ids FROM tenants WHERE tenant_id = ?`+t.dialect.forKeyShare+`), '`+string(api.UserIDsExact)+`') AS mode) AS tenant
		WHERE tenant.mode <> '`+string(api.UserIDsFold)+`' OR CAST(? AS BOOLEAN)
		ON CONFLICT DO NOTHING`, t.tenant, id, uuid.NewString(), millis(now), first, folded, t.tenant, folded == id)
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	return nil
}
