package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsignal-wasm/sdk/internal/store"
	"github.com/authsignal-wasm/sdk/internal/totp"
)

// seed enrolls n users, u0 to u(n-1), without the server and the store. It writes
// the same rows, with secrets sealed in the same way (otherwise the server could not
// open them), but in bulk: with COPY on PostgreSQL and without syncing on SQLite. A
// million users take a minute or two.
func (b *bench) seed(v version, database string, n int) error {
	// The start of that version creates the tables and records the key.
	server, err := b.start(v, database)
	if err != nil {
		return err
	}
	server.stop()
	s, err := newSeeder(n)
	if err != nil {
		return err
	}
	if b.postgres != "" {
		return s.postgres(b.ctx, database)
	}
	return s.sqlite(b.ctx, database)
}

var (
	userColumns          = []string{"tenant_id", "user_id", "incarnation", "created_at"}
	authenticatorColumns = []string{"tenant_id", "user_authenticator_id", "user_id", "verification_method", "secret", "key_id",
		"algorithm", "digits", "period", "created_at", "verified_at"}
)

// A seeder creates the rows of users and authenticators.
type seeder struct {
	n     int
	now   int64
	keyID string
	aead  cipher.AEAD
}

func newSeeder(n int) (*seeder, error) {
	block, err := aes.NewCipher(encryptionKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &seeder{n: n, now: time.Now().UnixMilli(), aead: aead}, err
}

func userID(i int) string { return fmt.Sprintf("u%d", i) }

func (s *seeder) user(i int) []any {
	return []any{tenant, userID(i), uuid.NewString(), s.now}
}

func (s *seeder) authenticator(i int) []any {
	id, p := uuid.NewString(), totp.DefaultParameters
	var bound []byte
	for _, part := range []string{tenant, userID(i), id} {
		bound = binary.BigEndian.AppendUint32(bound, uint32(len(part)))
		bound = append(bound, part...)
	}
	sealed := s.aead.Seal(nil, nil, []byte(userSecret), bound)
	return []any{tenant, id, userID(i), "AUTHENTICATOR_APP", sealed, s.keyID,
		string(p.Algorithm), int64(p.Digits), int64(p.Period), s.now, s.now}
}

func (s *seeder) postgres(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `SET search_path TO `+store.DefaultSchema+`, public`); err != nil { // earlier versions have their tables in public
		return err
	}
	if err := conn.QueryRow(ctx, `SELECT key_id FROM encryption_keys`).Scan(&s.keyID); err != nil {
		return err
	}
	for _, t := range []struct {
		name    string
		columns []string
		row     func(int) []any
	}{{"users", userColumns, s.user}, {"authenticators", authenticatorColumns, s.authenticator}} {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns,
			pgx.CopyFromSlice(s.n, func(i int) ([]any, error) { return t.row(i), nil }))
		if err != nil {
			return fmt.Errorf("seed %s: %w", t.name, err)
		}
	}
	// As autovacuum would later.
	if _, err := conn.Exec(ctx, `VACUUM (ANALYZE) users, authenticators`); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `CHECKPOINT`)
	return err
}

func (s *seeder) sqlite(ctx context.Context, database string) error {
	db, err := sql.Open("sqlite", "file:"+database+"?_pragma=synchronous(OFF)&_pragma=cache_size(-400000)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := db.QueryRowContext(ctx, `SELECT key_id FROM encryption_keys`).Scan(&s.keyID); err != nil {
		return err
	}
	const batch = 50_000
	for from := 0; from < s.n; from += batch {
		if err := s.sqliteBatch(ctx, db, from, min(from+batch, s.n)); err != nil {
			return err
		}
	}
	_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

func (s *seeder) sqliteBatch(ctx context.Context, db *sql.DB, from, to int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, t := range []struct {
		insert string
		row    func(int) []any
	}{
		{`INSERT INTO users (tenant_id, user_id, incarnation, created_at) VALUES (?, ?, ?, ?)`, s.user},
		{`INSERT INTO authenticators (tenant_id, user_authenticator_id, user_id, verification_method, secret, key_id,
			algorithm, digits, period, created_at, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, s.authenticator},
	} {
		stmt, err := tx.PrepareContext(ctx, t.insert)
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			if _, err := stmt.ExecContext(ctx, t.row(i)...); err != nil {
				return fmt.Errorf("seed: %w", err)
			}
		}
	}
	return tx.Commit()
}
