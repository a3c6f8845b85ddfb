package store

import (
	"database/sql"
	"fmt"
	"time"
)

// A SigningKey signs client tokens. It belongs to the whole server, not to a tenant.
type SigningKey struct {
	ID        string
	Secret    []byte
	CreatedAt time.Time
	// SignsFrom is when it begins to sign. It signs until the next key begins.
	SignsFrom time.Time
	// VerifiesUntil is when it stops verifying; zero while it has no
	// successor.
	VerifiesUntil time.Time
}

// Verifies reports whether tokens that the key has signed are accepted at a time
// at which it no longer signs.
func (k SigningKey) Verifies(now time.Time) bool {
	return k.VerifiesUntil.IsZero() || now.Before(k.VerifiesUntil)
}

// SigningKeys returns the signing keys in the order in which they sign.
func (t *Tx) SigningKeys() ([]SigningKey, error) {
	keys, err := collect(t, t.sealer.scanSigningKey, `
		SELECT kid, secret, key_id, created_at, signs_from, verifies_until FROM signing_keys
		ORDER BY signs_from, created_at, kid`)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, nil
}

func (s *sealer) scanSigningKey(row row) (k SigningKey, err error) {
	var sealed []byte
	var keyID string
	var created, from int64
	var until sql.NullInt64
	if err := row.Scan(&k.ID, &sealed, &keyID, &created, &from, &until); err != nil {
		return SigningKey{}, err
	}
	secret, err := s.open(keyID, sealed, bind("signing key", k.ID))
	if err != nil {
		return SigningKey{}, err
	}
	k.Secret, k.CreatedAt, k.SignsFrom = []byte(secret), moment(created), moment(from)
	if until.Valid {
		k.VerifiesUntil = moment(until.Int64)
	}
	return k, nil
}

// SigningKeysForChange is SigningKeys for a transaction that will change them: no
// other transaction reads them with SigningKeysForChange until its end.
func (t *Tx) SigningKeysForChange() ([]SigningKey, error) {
	if t.dialect.alone != "" {
		if _, err := t.exec(t.dialect.alone); err != nil {
			return nil, fmt.Errorf("lock signing keys: %w", err)
		}
	}
	return t.SigningKeys()
}

// InsertSigningKey stores a signing key, sealed.
func (t *Tx) InsertSigningKey(k SigningKey) error {
	_, err := t.exec(`INSERT INTO signing_keys (kid, secret, key_id, created_at, signs_from) VALUES (?, ?, ?, ?, ?)`,
		k.ID, t.sealer.seal(string(k.Secret), bind("signing key", k.ID)), t.sealer.id, millis(k.CreatedAt), millis(k.SignsFrom))
	if err != nil {
		return fmt.Errorf("store signing key: %w", err)
	}
	return nil
}

// SetVerifiesUntil sets when a signing key stops verifying; the zero time means
// never.
func (t *Tx) SetVerifiesUntil(id string, until time.Time) error {
	end := sql.NullInt64{Int64: millis(until), Valid: !until.IsZero()}
	if _, err := t.exec(`UPDATE signing_keys SET verifies_until = ? WHERE kid = ?`, end, id); err != nil {
		return fmt.Errorf("store signing key: %w", err)
	}
	return nil
}

// DeleteSigningKey deletes a signing key.
func (t *Tx) DeleteSigningKey(id string) error {
	if _, err := t.exec(`DELETE FROM signing_keys WHERE kid = ?`, id); err != nil {
		return fmt.Errorf("delete signing key: %w", err)
	}
	return nil
}
