package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// A PortalPassword is the operator's password, hashed.
type PortalPassword struct {
	Hash string
	// Chosen reports whether a person chose it; otherwise it is random.
	Chosen bool
}

// PortalPassword returns the operator's password, locked for a change; found is
// false if there is none yet.
func (t *Tx) PortalPassword() (p PortalPassword, found bool, err error) {
	err = t.queryRow(`SELECT hash, chosen FROM portal_password WHERE password_id = 1`+t.dialect.forUpdate).Scan(&p.Hash, &p.Chosen)
	if errors.Is(err, sql.ErrNoRows) {
		return PortalPassword{}, false, nil
	}
	if err != nil {
		return PortalPassword{}, false, fmt.Errorf("read the portal's password: %w", err)
	}
	return p, true, nil
}

// MakePortalPassword stores the operator's password unless there is one. Of
// replicas that start together, one stores it.
func (t *Tx) MakePortalPassword(p PortalPassword, now time.Time) (made bool, err error) {
	n, err := t.exec(`INSERT INTO portal_password (password_id, hash, chosen, changed_at) VALUES (1, ?, ?, ?)
		ON CONFLICT (password_id) DO NOTHING`, p.Hash, p.Chosen, millis(now))
	if err != nil {
		return false, fmt.Errorf("store the portal's password: %w", err)
	}
	return n == 1, nil
}

// SetPortalPassword replaces the operator's password, ends all sessions and forgets
// known browsers. It also deletes the failed attempts, which were at the password
// before.
func (t *Tx) SetPortalPassword(p PortalPassword, now time.Time) error {
	_, err := t.exec(`INSERT INTO portal_password (password_id, hash, chosen, changed_at) VALUES (1, ?, ?, ?)
		ON CONFLICT (password_id) DO UPDATE SET hash = excluded.hash, chosen = excluded.chosen, changed_at = excluded.changed_at`,
		p.Hash, p.Chosen, millis(now))
	if err == nil {
		_, err = t.exec(`DELETE FROM portal_sessions`)
	}
	if err == nil {
		_, err = t.exec(`DELETE FROM portal_browsers`)
	}
	if err == nil {
		_, err = t.exec(`DELETE FROM portal_attempts`)
	}
	if err != nil {
		return fmt.Errorf("store the portal's password: %w", err)
	}
	return nil
}

// hash is the SHA-256 of a cookie's value, which is stored instead of it.
func hash(value string) []byte {
	h := sha256.Sum256([]byte(value))
	return h[:]
}

// CookieHash is the hash of a cookie's value in hexadecimal, to name the cookie
// without revealing it.
func CookieHash(value string) string { return hex.EncodeToString(hash(value)) }

// InsertPortalSession begins a session, and deletes those that began before a
// time.
func (t *Tx) InsertPortalSession(id string, now, before time.Time) error {
	_, err := t.exec(`DELETE FROM portal_sessions WHERE created_at < ?`, millis(before))
	if err == nil {
		_, err = t.exec(`INSERT INTO portal_sessions (session_sum, created_at, seen_at) VALUES (?, ?, ?)`, hash(id), millis(now), millis(now))
	}
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

// PortalSession finds a session that began after one time and was last used after
// another; seen is the time of its last use.
func (s *Store) PortalSession(ctx context.Context, id string, beganAfter, seenAfter time.Time) (seen time.Time, found bool, err error) {
	var ms int64
	err = s.queryRow(ctx, `
		SELECT seen_at FROM portal_sessions WHERE session_sum = ? AND created_at > ? AND seen_at > ?`,
		hash(id), millis(beganAfter), millis(seenAfter)).Scan(&ms)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read session: %w", err)
	}
	return moment(ms), true, nil
}

// SeePortalSession records that a session is used.
func (t *Tx) SeePortalSession(id string, now time.Time) error {
	if _, err := t.exec(`UPDATE portal_sessions SET seen_at = ? WHERE session_sum = ?`, millis(now), hash(id)); err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

// DeletePortalSession ends a session.
func (t *Tx) DeletePortalSession(id string) error {
	if _, err := t.exec(`DELETE FROM portal_sessions WHERE session_sum = ?`, hash(id)); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// KnowPortalBrowser records a browser that has signed in, and deletes those that
// have not since a time.
func (t *Tx) KnowPortalBrowser(id string, now, before time.Time) error {
	_, err := t.exec(`DELETE FROM portal_browsers WHERE seen_at < ?`, millis(before))
	if err == nil {
		_, err = t.exec(`INSERT INTO portal_browsers (browser_sum, seen_at) VALUES (?, ?)
			ON CONFLICT (browser_sum) DO UPDATE SET seen_at = excluded.seen_at`, hash(id), millis(now))
	}
	if err != nil {
		return fmt.Errorf("store browser: %w", err)
	}
	return nil
}

// PortalBrowserKnown reports whether a browser has signed in since a time.
func (t *Tx) PortalBrowserKnown(id string, since time.Time) (known bool, err error) {
	err = t.queryRow(`SELECT EXISTS (SELECT 1 FROM portal_browsers WHERE browser_sum = ? AND seen_at > ?)`, hash(id), millis(since)).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("look for browser: %w", err)
	}
	return known, nil
}

// CountPortalAttempts counts the attempts of a source after a time.
func (t *Tx) CountPortalAttempts(source string, after time.Time) (n int, err error) {
	err = t.queryRow(`SELECT COUNT(*) FROM portal_attempts WHERE source = ? AND attempt_at > ?`, source, millis(after)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count attempts: %w", err)
	}
	return n, nil
}

// AddPortalAttempt records an attempt of a source, and deletes those before a
// time.
func (t *Tx) AddPortalAttempt(source string, now, before time.Time) error {
	_, err := t.exec(`DELETE FROM portal_attempts WHERE attempt_at < ?`, millis(before))
	if err == nil {
		_, err = t.exec(`INSERT INTO portal_attempts (source, attempt_at) VALUES (?, ?)`, source, millis(now))
	}
	if err != nil {
		return fmt.Errorf("count attempt: %w", err)
	}
	return nil
}

// ForgetPortalAttempts deletes the attempts of a source.
func (t *Tx) ForgetPortalAttempts(source string) error {
	if _, err := t.exec(`DELETE FROM portal_attempts WHERE source = ?`, source); err != nil {
		return fmt.Errorf("delete attempts: %w", err)
	}
	return nil
}
