package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A sealedTable is a table with a sealed column, the column of the sealing key's
// id, and what binds the secret to its row: a constant, if not empty, and columns,
// the last of which is unique among rows in which the others are equal.
type sealedTable struct {
	name, sealed, keyID, constant string
	columns                       []string
}

var sealedTables = []sealedTable{
	{"authenticators", "secret", "key_id", "", []string{"tenant_id", "user_id", "user_authenticator_id"}},
	{"api_secrets", "secret", "key_id", "api secret", []string{"tenant_id", "secret_id"}},
	{"webhook_secrets", "secret", "key_id", webhookSecretBinding, []string{"tenant_id", "secret_id"}},
	{"signing_keys", "secret", "key_id", "signing key", []string{"kid"}},
	{"recovery_sets", "hash_key", "key_id", recoveryBinding, []string{"tenant_id", "user_id", "set_id"}},
	{"tenants", "webhook_sealed", "webhook_key_id", webhookBinding, []string{"tenant_id"}},
}

// rotateBatch is how many rows one transaction seals again.
const rotateBatch = 500

// RotateKey seals all secrets that were sealed with another key with the first
// encryption key, and deletes the records of the others. It returns how many
// secrets it sealed. The server may run meanwhile, with the same keys. Afterwards
// the other keys are not needed any more, and no file of a SQLite database holds
// anything that was sealed with them.
func (s *Store) RotateKey(ctx context.Context) (int, error) {
	total := 0
	for _, table := range sealedTables {
		for {
			n := 0
			err := s.Update(ctx, "", func(tx *Tx) (err error) {
				n, err = tx.resealBatch(table)
				return err
			})
			if err != nil {
				return total, fmt.Errorf("rotate key: %s: %w", table.name, err)
			}
			total += n
			if n < rotateBatch {
				break
			}
		}
	}
	err := s.Update(ctx, "", func(tx *Tx) error {
		// This fails if a row still refers to a key.
		n, err := tx.exec(`DELETE FROM encryption_keys WHERE key_id <> ?`, s.sealer.id)
		if err != nil || n == 0 {
			return err
		}
		return tx.Audit(Configured(ChangeEncryptionKeyRotated, map[string]any{"keyId": s.sealer.id, "secrets": total}, time.Now()))
	})
	if err != nil {
		return total, fmt.Errorf("rotate key: delete the old keys: %w", err)
	}
	if err := s.vacuum(ctx); err != nil {
		return total, fmt.Errorf("rotate key: %w", err)
	}
	return total, nil
}

// resealBatch seals up to rotateBatch rows of a table again.
func (t *Tx) resealBatch(table sealedTable) (int, error) {
	type sealedRow struct {
		sealed []byte
		keyID  string
		values []string
	}
	batch, err := collect(t, func(row row) (sealedRow, error) {
		r := sealedRow{values: make([]string, len(table.columns))}
		to := []any{&r.sealed, &r.keyID}
		for i := range r.values {
			to = append(to, &r.values[i])
		}
		err := row.Scan(to...)
		return r, err
	}, `SELECT `+table.sealed+`, `+table.keyID+`, `+strings.Join(table.columns, ", ")+`
		FROM `+table.name+` WHERE `+table.keyID+` <> ? LIMIT ?`+t.dialect.forUpdate, t.sealer.id, rotateBatch)
	if err != nil {
		return 0, err
	}
	where := strings.Join(table.columns, " = ? AND ") + " = ?"
	for _, r := range batch {
		parts := r.values
		if table.constant != "" {
			parts = append([]string{table.constant}, r.values...)
		}
		secret, err := t.sealer.open(r.keyID, r.sealed, bind(parts...))
		if err != nil {
			return 0, err
		}
		args := []any{t.sealer.seal(secret, bind(parts...)), t.sealer.id}
		for _, v := range r.values {
			args = append(args, v)
		}
		if _, err := t.exec(`UPDATE `+table.name+` SET `+table.sealed+` = ?, `+table.keyID+` = ? WHERE `+where, args...); err != nil {
			return 0, err
		}
	}
	return len(batch), nil
}
