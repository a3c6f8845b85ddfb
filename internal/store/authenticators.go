package store

import (
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// An Authenticator is an authenticator of a user: an authenticator app, which is
// pending until a first code verifies it, or a factor of another method, which a
// backend has verified.
type Authenticator struct {
	ID     string
	UserID string
	Method api.VerificationMethod
	// Name is what the user calls it, or empty.
	Name string
	// Parameters are those of an authenticator app.
	totp.Parameters
	// Email or PhoneNumber is the address of another method.
	Email, PhoneNumber string
	// IsDefault reports whether a backend made it the user's default.
	IsDefault bool
	// Began is the action whose token began the enrollment.
	Began     ActionID
	CreatedAt time.Time
	// VerifiedAt is zero while the enrollment is pending.
	VerifiedAt, LastVerifiedAt time.Time
	// LastStep is the newest accepted step, -1 for none. Only ResetStep makes it
	// smaller.
	LastStep int64
	// Failures counts refused codes in a row.
	Failures int
	// Miss is the newest refused code, if it was that of a step nearby.
	Miss Miss

	sealed []byte
	keyID  string
}

// A Miss is a code that was refused although it is that of a step nearby. The zero
// value is none.
type Miss struct {
	// By is the distance of its step from that of the time, in steps: negative if the
	// code was late.
	By   int64
	Step int64
	At   time.Time
}

// Verified reports whether the enrollment was completed.
func (a Authenticator) Verified() bool { return !a.VerifiedAt.IsZero() }

const authenticatorColumns = `user_authenticator_id, user_id, verification_method, name, secret, key_id,
	algorithm, digits, period, email, phone_number, is_default, action, idempotency_key, created_at, verified_at, last_verified_at, last_step, failures,
	missed_by, missed_step, missed_at`

func scanAuthenticator(row row) (a Authenticator, err error) {
	var created int64
	var verified, last, missedBy, missedStep, missedAt sql.NullInt64
	var keyID sql.NullString
	err = row.Scan(&a.ID, &a.UserID, &a.Method, &a.Name, &a.sealed, &keyID,
		&a.Algorithm, &a.Digits, &a.Period, &a.Email, &a.PhoneNumber, &a.IsDefault, &a.Began.Action, &a.Began.IdempotencyKey,
		&created, &verified, &last, &a.LastStep, &a.Failures, &missedBy, &missedStep, &missedAt)
	if err != nil {
		return Authenticator{}, err
	}
	a.Began.UserID = a.UserID
	a.keyID = keyID.String
	a.CreatedAt = moment(created)
	if missedAt.Valid {
		a.Miss = Miss{missedBy.Int64, missedStep.Int64, moment(missedAt.Int64)}
	}
	if verified.Valid {
		a.VerifiedAt = moment(verified.Int64)
	}
	if last.Valid {
		a.LastVerifiedAt = moment(last.Int64)
	}
	return a, nil
}

// Authenticators returns all authenticators of a user, pending ones too,
// oldest first.
func (t *Tx) Authenticators(userID string) ([]Authenticator, error) {
	list, err := collect(t, scanAuthenticator, selectAuthenticators, t.tenant, userID)
	if err != nil {
		return nil, fmt.Errorf("read authenticators: %w", err)
	}
	return list, nil
}

const selectAuthenticators = `SELECT ` + authenticatorColumns + ` FROM authenticators
	WHERE tenant_id = ? AND user_id = ? ORDER BY created_at, user_authenticator_id`

// InsertPending stores a new, pending authenticator with its secret, sealed.
// It deletes the pending one that the same action began; replaced reports whether
// there was one. It also deletes the user's pending ones of other actions that
// began before stale, which no token can complete any more.
func (t *Tx) InsertPending(a Authenticator, secret string, stale time.Time) (replaced bool, err error) {
	deleted, err := collect(t, func(row row) (began ActionID, err error) {
		began.UserID = a.Began.UserID
		err = row.Scan(&began.Action, &began.IdempotencyKey)
		return began, err
	}, `
		DELETE FROM authenticators
		WHERE tenant_id = ? AND user_id = ? AND verified_at IS NULL
			AND (created_at < ? OR action = ? AND idempotency_key = ?)
		RETURNING action, idempotency_key`,
		t.tenant, a.UserID, millis(stale), a.Began.Action, a.Began.IdempotencyKey)
	if err != nil {
		return false, fmt.Errorf("replace pending authenticator: %w", err)
	}
	_, err = t.exec(`
		INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, name, secret, key_id,
			algorithm, digits, period, action, idempotency_key, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.tenant, a.ID, a.UserID, a.Method, a.Name, t.sealer.seal(secret, bind(t.tenant, a.UserID, a.ID)), t.sealer.id,
		a.Algorithm, a.Digits, a.Period, a.Began.Action, a.Began.IdempotencyKey, millis(a.CreatedAt))
	if err != nil {
		return false, fmt.Errorf("store authenticator: %w", err)
	}
	return slices.Contains(deleted, a.Began), nil
}

// InsertVerified stores a new authenticator that a backend has verified, with
// its secret, sealed, if it is an authenticator app.
func (t *Tx) InsertVerified(a Authenticator, secret string) error {
	var sealed []byte
	var keyID sql.NullString
	if secret != "" {
		sealed = t.sealer.seal(secret, bind(t.tenant, a.UserID, a.ID))
		keyID = sql.NullString{String: t.sealer.id, Valid: true}
	}
	_, err := t.exec(`
		INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, name, secret, key_id,
			algorithm, digits, period, email, phone_number, created_at, verified_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.tenant, a.ID, a.UserID, a.Method, a.Name, sealed, keyID,
		a.Algorithm, a.Digits, a.Period, a.Email, a.PhoneNumber, millis(a.CreatedAt), millis(a.VerifiedAt))
	if err != nil {
		return fmt.Errorf("store authenticator: %w", err)
	}
	return nil
}

// SetDefault makes an authenticator the default of its user.
func (t *Tx) SetDefault(a Authenticator) error {
	_, err := t.exec(`UPDATE authenticators SET is_default = (user_authenticator_id = ?) WHERE tenant_id = ? AND user_id = ?`,
		a.ID, t.tenant, a.UserID)
	if err != nil {
		return fmt.Errorf("change default authenticator: %w", err)
	}
	return nil
}

// RenameAuthenticator stores the name of an authenticator.
func (t *Tx) RenameAuthenticator(a Authenticator) error {
	_, err := t.exec(`UPDATE authenticators SET name = ? WHERE tenant_id = ? AND user_authenticator_id = ?`, a.Name, t.tenant, a.ID)
	if err != nil {
		return fmt.Errorf("rename authenticator: %w", err)
	}
	return nil
}

// A Use tells where an authenticator was used: what the backend said of the device
// when it tracked the action.
type Use struct{ IPAddress, UserAgent string }

// recentActions is how many of a user's newest actions LastUses reads.
const recentActions = 500

// LastUses returns the newest use of each of a user's authenticators by its id, as
// far as the user's recent actions tell.
func (t *Tx) LastUses(userID string) (map[string]Use, error) {
	type use struct {
		id string
		Use
	}
	list, err := collect(t, func(row row) (u use, err error) {
		return u, row.Scan(&u.id, &u.IPAddress, &u.UserAgent)
	}, `
		SELECT user_authenticator_id, ip_address, user_agent FROM (
			SELECT user_authenticator_id, ip_address, user_agent, state_updated_at FROM actions
			WHERE tenant_id = ? AND user_id = ? ORDER BY created_at DESC LIMIT ?
		) recent WHERE user_authenticator_id <> '' ORDER BY state_updated_at`, t.tenant, userID, recentActions)
	if err != nil {
		return nil, fmt.Errorf("read uses of authenticators: %w", err)
	}
	uses := map[string]Use{}
	for _, u := range list {
		uses[u.id] = u.Use
	}
	return uses, nil
}

// DeletePending deletes a pending authenticator.
func (t *Tx) DeletePending(a Authenticator) error {
	_, err := t.exec(`
		DELETE FROM authenticators WHERE tenant_id = ? AND user_authenticator_id = ? AND verified_at IS NULL`, t.tenant, a.ID)
	if err != nil {
		return fmt.Errorf("delete pending authenticator: %w", err)
	}
	return nil
}

// Secret opens the secret of an authenticator app. It is for verification, and to
// find out whether a secret is enrolled already.
func (t *Tx) Secret(a Authenticator) (string, error) {
	return t.sealer.open(a.keyID, a.sealed, bind(t.tenant, a.UserID, a.ID))
}

// AcceptStep spends a step: one write, guarded so that of any number of
// concurrent ones only the first succeeds (RFC 6238, section 5.2). It also
// verifies a pending authenticator and deletes the failures. If the step was spent
// meanwhile, the transaction fails with ErrChanged, here or at its end. The
// transaction must have read the authenticator with the user locked.
func (t *Tx) AcceptStep(a Authenticator, step int64, at time.Time) error {
	err := t.queue(write{"authenticators", `
		UPDATE authenticators
		SET last_step = ?, last_verified_at = ?, verified_at = COALESCE(verified_at, ?), failures = 0, missed_at = NULL
		WHERE tenant_id = ? AND user_authenticator_id = ? AND last_step < ?`,
		[]any{step, millis(at), millis(at), t.tenant, a.ID, step}, true, nil})
	if err != nil {
		return fmt.Errorf("accept step: %w", err)
	}
	if a.Failures == 0 { // an authenticator with rows of failures has a count of them
		return nil
	}
	err = t.queue(write{table: "failures", query: `DELETE FROM failures WHERE tenant_id = ? AND user_authenticator_id = ?`,
		args: []any{t.tenant, a.ID}})
	if err != nil {
		return fmt.Errorf("delete failures: %w", err)
	}
	return nil
}

// Fail counts a refused code, and stores a.Miss, which the caller has set if it was
// that of a step nearby, or else cleared. If the authenticator does not exist, the
// transaction fails with ErrChanged, here or at its end.
func (t *Tx) Fail(a Authenticator, at time.Time) error {
	var by, step, missed sql.NullInt64
	if m := a.Miss; !m.At.IsZero() {
		by, step, missed = sql.NullInt64{Int64: m.By, Valid: true}, sql.NullInt64{Int64: m.Step, Valid: true}, sql.NullInt64{Int64: millis(m.At), Valid: true}
	}
	err := t.queue(write{"authenticators", `
		UPDATE authenticators SET failures = failures + 1, missed_by = ?, missed_step = ?, missed_at = ?
		WHERE tenant_id = ? AND user_authenticator_id = ?`,
		[]any{by, step, missed, t.tenant, a.ID}, true, nil})
	if err == nil {
		err = t.queue(write{table: "failures", query: `INSERT INTO failures (tenant_id, user_authenticator_id, failed_at) VALUES (?, ?, ?)`,
			args: []any{t.tenant, a.ID, millis(at)}})
	}
	if err != nil {
		return fmt.Errorf("count failure: %w", err)
	}
	return nil
}

// Unlock deletes the failures of an authenticator; found is false if the user
// has none of that id.
func (t *Tx) Unlock(userID, id string) (found bool, err error) {
	n, err := t.exec(`
		UPDATE authenticators SET failures = 0
		WHERE tenant_id = ? AND user_id = ? AND user_authenticator_id = ?`, t.tenant, userID, id)
	if err == nil && n == 1 {
		_, err = t.exec(`DELETE FROM failures WHERE tenant_id = ? AND user_authenticator_id = ?`, t.tenant, id)
	}
	if err != nil {
		return false, fmt.Errorf("unlock authenticator: %w", err)
	}
	return n == 1, nil
}

// ResetStep replaces the newest accepted step of an authenticator by an earlier
// one, if it is still the one of a. Codes of the steps between them can be accepted
// again, so it is only for steps in the future.
func (t *Tx) ResetStep(a Authenticator, step int64) error {
	_, err := t.exec(`UPDATE authenticators SET last_step = ? WHERE tenant_id = ? AND user_authenticator_id = ? AND last_step = ?`,
		step, t.tenant, a.ID, a.LastStep)
	if err != nil {
		return fmt.Errorf("reset step: %w", err)
	}
	return nil
}

// FailuresSince counts the refused codes after a time.
func (t *Tx) FailuresSince(a Authenticator, after time.Time) (int, error) {
	var n int
	err := t.queryRow(`SELECT COUNT(*) FROM failures WHERE tenant_id = ? AND user_authenticator_id = ? AND failed_at > ?`,
		t.tenant, a.ID, millis(after)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count failures: %w", err)
	}
	return n, nil
}

// DeleteAuthenticator deletes a verified authenticator; deleted is false if the
// user has none of that id.
func (t *Tx) DeleteAuthenticator(userID, id string) (deleted bool, err error) {
	n, err := t.exec(`
		DELETE FROM authenticators
		WHERE tenant_id = ? AND user_id = ? AND user_authenticator_id = ? AND verified_at IS NOT NULL`,
		t.tenant, userID, id)
	if err != nil {
		return false, fmt.Errorf("delete authenticator: %w", err)
	}
	return n == 1, nil
}
