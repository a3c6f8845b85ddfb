package store

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A RecoverySet is a set of recovery codes of a user. Of the codes only hashes are
// stored: HMAC-SHA256 with a key of the set, which is sealed.
type RecoverySet struct {
	ID, UserID string
	CreatedAt  time.Time
	// ConfirmedAt is zero while the set is pending: its codes are not accepted.
	ConfirmedAt time.Time
	// Total is the number of codes, Left of those that were not used.
	Total, Left int

	sealed []byte
	keyID  string
}

// Confirmed reports whether the codes of the set are accepted.
func (s RecoverySet) Confirmed() bool { return !s.ConfirmedAt.IsZero() }

// RecoverySets returns the user's set that is in force and the pending one, each
// nil if there is none.
func (t *Tx) RecoverySets(userID string) (inForce, pending *RecoverySet, err error) {
	list, err := collect(t, scanRecoverySet, `
		SELECT s.set_id, s.user_id, s.hash_key, s.key_id, s.created_at, s.confirmed_at,
			(SELECT COUNT(*) FROM recovery_codes c WHERE c.tenant_id = s.tenant_id AND c.set_id = s.set_id),
			(SELECT COUNT(*) FROM recovery_codes c WHERE c.tenant_id = s.tenant_id AND c.set_id = s.set_id AND c.used_at IS NULL)
		FROM recovery_sets s WHERE s.tenant_id = ? AND s.user_id = ?`, t.tenant, userID)
	if err != nil {
		return nil, nil, fmt.Errorf("read recovery codes: %w", err)
	}
	for _, s := range list {
		if s.Confirmed() {
			inForce = &s
		} else {
			pending = &s
		}
	}
	return inForce, pending, nil
}

func scanRecoverySet(row row) (s RecoverySet, err error) {
	var created int64
	var confirmed sql.NullInt64
	err = row.Scan(&s.ID, &s.UserID, &s.sealed, &s.keyID, &created, &confirmed, &s.Total, &s.Left)
	if err != nil {
		return RecoverySet{}, err
	}
	s.CreatedAt = moment(created)
	if confirmed.Valid {
		s.ConfirmedAt = moment(confirmed.Int64)
	}
	return s, nil
}

// recoveryBinding binds the key of a set's hashes to its row.
const recoveryBinding = "recovery codes"

// InsertRecoverySet stores the hashes of codes as the user's pending set, in place
// of the one before.
func (t *Tx) InsertRecoverySet(userID string, codes []string, now time.Time) (RecoverySet, error) {
	_, err := t.exec(`DELETE FROM recovery_sets WHERE tenant_id = ? AND user_id = ? AND confirmed_at IS NULL`, t.tenant, userID)
	if err != nil {
		return RecoverySet{}, fmt.Errorf("replace recovery codes: %w", err)
	}
	key := make([]byte, sha256.Size)
	rand.Read(key) // it never fails
	s := RecoverySet{ID: uuid.NewString(), UserID: userID, CreatedAt: now, Total: len(codes), Left: len(codes)}
	s.sealed, s.keyID = t.sealer.seal(string(key), bind(recoveryBinding, t.tenant, userID, s.ID)), t.sealer.id
	_, err = t.exec(`INSERT INTO recovery_sets (tenant_id, user_id, set_id, hash_key, key_id, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		t.tenant, userID, s.ID, s.sealed, s.keyID, millis(now))
	for _, code := range codes {
		if err == nil {
			_, err = t.exec(`INSERT INTO recovery_codes (tenant_id, set_id, code_hash) VALUES (?, ?, ?)`, t.tenant, s.ID, recoveryHash(key, code))
		}
	}
	if err != nil {
		return RecoverySet{}, fmt.Errorf("store recovery codes: %w", err)
	}
	return s, nil
}

func recoveryHash(key []byte, code string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(code))
	return mac.Sum(nil)
}

// hashOf returns the hash of a code in a set.
func (t *Tx) hashOf(s RecoverySet, code string) ([]byte, error) {
	key, err := t.sealer.open(s.keyID, s.sealed, bind(recoveryBinding, t.tenant, s.UserID, s.ID))
	if err != nil {
		return nil, err
	}
	return recoveryHash([]byte(key), code), nil
}

// HasRecoveryCode reports whether a code is one of a set, used or not.
func (t *Tx) HasRecoveryCode(s RecoverySet, code string) (has bool, err error) {
	hash, err := t.hashOf(s, code)
	if err != nil {
		return false, err
	}
	err = t.queryRow(`SELECT EXISTS (SELECT 1 FROM recovery_codes WHERE tenant_id = ? AND set_id = ? AND code_hash = ?)`,
		t.tenant, s.ID, hash).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("read recovery code: %w", err)
	}
	return has, nil
}

// ConfirmRecoverySet puts a pending set in force, in place of the one before.
func (t *Tx) ConfirmRecoverySet(s RecoverySet, now time.Time) error {
	_, err := t.exec(`DELETE FROM recovery_sets WHERE tenant_id = ? AND user_id = ? AND confirmed_at IS NOT NULL`, t.tenant, s.UserID)
	if err == nil {
		_, err = t.exec(`UPDATE recovery_sets SET confirmed_at = ? WHERE tenant_id = ? AND set_id = ?`, millis(now), t.tenant, s.ID)
	}
	if err != nil {
		return fmt.Errorf("confirm recovery codes: %w", err)
	}
	return nil
}

// SpendRecoveryCode uses a code of a set up: one write, guarded so that of any
// number of concurrent ones only the first succeeds. spent is false if the set
// has no such code, or it was used before.
func (t *Tx) SpendRecoveryCode(s RecoverySet, code string, now time.Time) (spent bool, err error) {
	hash, err := t.hashOf(s, code)
	if err != nil {
		return false, err
	}
	n, err := t.exec(`UPDATE recovery_codes SET used_at = ? WHERE tenant_id = ? AND set_id = ? AND code_hash = ? AND used_at IS NULL`,
		millis(now), t.tenant, s.ID, hash)
	if err != nil {
		return false, fmt.Errorf("use recovery code: %w", err)
	}
	return n == 1, nil
}

// DeleteRecoverySets deletes all recovery codes of a user, pending ones too;
// deleted is false if there were none.
func (t *Tx) DeleteRecoverySets(userID string) (deleted bool, err error) {
	n, err := t.exec(`DELETE FROM recovery_sets WHERE tenant_id = ? AND user_id = ?`, t.tenant, userID)
	if err != nil {
		return false, fmt.Errorf("delete recovery codes: %w", err)
	}
	return n > 0, nil
}
