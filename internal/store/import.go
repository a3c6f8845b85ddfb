package store

import (
	"database/sql"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// ImportBatch is the maximum number of users of one call of UsersForImport.
const ImportBatch = 1000

// An ImportedUser is a user of a batch with all authenticators, pending ones too,
// oldest first; Found is false if the user does not exist.
type ImportedUser struct {
	User
	Found          bool
	Authenticators []Authenticator
}

// UsersForImport reads users by their ids. If lock is true, for a transaction that
// writes, it locks them.
func (t *Tx) UsersForImport(ids []string, lock bool) (map[string]*ImportedUser, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	users := make(map[string]*ImportedUser, len(ids))
	for _, id := range ids {
		users[id] = &ImportedUser{User: User{ID: id}}
	}
	forUpdate := ""
	if lock {
		forUpdate = t.dialect.forUpdate
	}
	// A query for many users would be planned for a number of rows that is not
	// known, and PostgreSQL may read the whole table for it. All imports lock
	// users in the order of their ids.
	reads := make([]read, 0, len(ids))
	for _, id := range ids {
		u := users[id]
		reads = append(reads, read{`SELECT ` + userColumns + ` FROM users WHERE tenant_id = ? AND user_id = ?` + forUpdate, []any{t.tenant, id}, func(r rows) (err error) {
			for r.Next() {
				if u.User, err = scanUser(r); err != nil {
					return err
				}
				u.Found = true
			}
			return nil
		}})
	}
	if err := t.readAll(reads...); err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	reads = reads[:0]
	for _, id := range ids {
		if users[id].Found {
			reads = append(reads, read{selectAuthenticators, []any{t.tenant, id}, appendTo(&users[id].Authenticators, scanAuthenticator)})
		}
	}
	if err := t.readAll(reads...); err != nil {
		return nil, fmt.Errorf("read authenticators: %w", err)
	}
	return users, nil
}

// InsertImportedUsers creates users with their attributes, unless they exist or the
// tenant, whose setting is mode, does not accept their ids: CheckLookAlike tells. It
// returns the ids of those that it has created. The caller has locked the tenant.
func (t *Tx) InsertImportedUsers(mode api.UserIDs, users []User) (made map[string]bool, err error) {
	rows := make([]int64, len(users))
	for i, u := range users {
		var folded sql.NullString
		if mode != api.UserIDsExact {
			folded = sql.NullString{String: FoldUserID(u.ID), Valid: true}
		}
		err := t.queue(write{table: "users", rows: &rows[i], query: `
			INSERT INTO users (tenant_id, user_id, email, phone_number, username, display_name, incarnation, created_at, first_tracked_at, id_fold)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?) ON CONFLICT DO NOTHING`,
			args: []any{t.tenant, u.ID, u.Email, u.PhoneNumber, u.Username, u.DisplayName, uuid.NewString(), millis(u.CreatedAt), folded}})
		if err != nil {
			return nil, fmt.Errorf("store user: %w", err)
		}
	}
	if err := t.flush(); err != nil {
		return nil, fmt.Errorf("store users: %w", err)
	}
	made = map[string]bool{}
	for i, u := range users {
		made[u.ID] = rows[i] == 1
	}
	return made, nil
}

// InsertImported stores a verified authenticator app with its secret, sealed, and
// what is known of its use: LastVerifiedAt, which may be zero, and LastStep. It
// returns the authenticator as it is stored.
func (t *Tx) InsertImported(a Authenticator, secret string) (Authenticator, error) {
	a.sealed, a.keyID = t.sealer.seal(secret, bind(t.tenant, a.UserID, a.ID)), t.sealer.id
	last := sql.NullInt64{Int64: millis(a.LastVerifiedAt), Valid: !a.LastVerifiedAt.IsZero()}
	err := t.queue(write{table: "authenticators", query: `
		INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, secret, key_id,
			algorithm, digits, period, created_at, verified_at, last_verified_at, last_step)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		args: []any{t.tenant, a.ID, a.UserID, a.Method, a.sealed, a.keyID,
			a.Algorithm, a.Digits, a.Period, millis(a.CreatedAt), millis(a.VerifiedAt), last, a.LastStep}})
	if err != nil {
		return Authenticator{}, fmt.Errorf("store authenticator: %w", err)
	}
	return a, nil
}

// SpendSteps makes all steps up to one spent, if they are not.
func (t *Tx) SpendSteps(a Authenticator, step int64) error {
	err := t.queue(write{
		table: "authenticators",
		query: `UPDATE authenticators SET last_step = ? WHERE tenant_id = ? AND user_authenticator_id = ? AND last_step < ?`,
		args:  []any{step, t.tenant, a.ID, step},
	})
	if err != nil {
		return fmt.Errorf("spend steps: %w", err)
	}
	return nil
}
