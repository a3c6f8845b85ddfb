package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authsignal-wasm/sdk/internal/api"
)

// A RecoveryLink is a link by which a user may enroll a new authenticator app. Of its
// secret only a hash is stored: it has 256 random bits, so that a hash without a key
// reveals nothing.
type RecoveryLink struct {
	ID, UserID string
	// Incarnation is that of the user that the link was issued for.
	Incarnation string
	// Void names what is voided when the link is used.
	Void []api.RecoveryLinkVoid
	// IssuedBy and ApprovedBy are channels of package mfa, Issuer and Approver names
	// that were given with them, and IssuingSession names a session of the portal.
	IssuedBy, Issuer, IssuingSession string
	ApprovedBy, Approver             string
	NeedsApproval                    bool
	CreatedAt, ExpiresAt             time.Time
	// ApprovedAt and UsedAt are zero until then.
	ApprovedAt, UsedAt time.Time
}

const linkColumns = `link_id, user_id, incarnation, void, issued_by, issuer, issuing_session, approved_by, approver, needs_approval,
	created_at, expires_at, approved_at, used_at`

func scanLink(row row) (l RecoveryLink, err error) {
	var void string
	var created, expires int64
	var approved, used sql.NullInt64
	err = row.Scan(&l.ID, &l.UserID, &l.Incarnation, &void, &l.IssuedBy, &l.Issuer, &l.IssuingSession, &l.ApprovedBy, &l.Approver, &l.NeedsApproval,
		&created, &expires, &approved, &used)
	if err != nil {
		return RecoveryLink{}, err
	}
	for _, v := range strings.Fields(void) {
		l.Void = append(l.Void, api.RecoveryLinkVoid(v))
	}
	l.CreatedAt, l.ExpiresAt = moment(created), moment(expires)
	if approved.Valid {
		l.ApprovedAt = moment(approved.Int64)
	}
	if used.Valid {
		l.UsedAt = moment(used.Int64)
	}
	return l, nil
}

func linkHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// TenantOfRecoveryLink returns the id of the tenant of a recovery link, or an empty
// text if no link has the secret. The link is looked up by the hash of the secret, so
// that the time of the look-up reveals nothing of it.
func (s *Store) TenantOfRecoveryLink(ctx context.Context, secret string) (id string, err error) {
	err = s.queryRow(ctx, `SELECT tenant_id FROM recovery_links WHERE secret_hash = ?`, linkHash(secret)).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read recovery link: %w", err)
	}
	return id, nil
}

// RecoveryLinkOf returns the link of a secret, or nil.
func (t *Tx) RecoveryLinkOf(secret string) (*RecoveryLink, error) {
	return t.recoveryLink(`secret_hash = ?`, linkHash(secret))
}

// RecoveryLink returns the link of a user, or nil.
func (t *Tx) RecoveryLink(userID string) (*RecoveryLink, error) {
	return t.recoveryLink(`user_id = ?`, userID)
}

func (t *Tx) recoveryLink(where string, arg any) (*RecoveryLink, error) {
	list, err := collect(t, scanLink, `SELECT `+linkColumns+` FROM recovery_links WHERE tenant_id = ? AND `+where, t.tenant, arg)
	if err != nil {
		return nil, fmt.Errorf("read recovery link: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return &list[0], nil
}

// InsertRecoveryLink stores a link with the hash of its secret, in place of the
// user's link before. The caller has locked the user.
func (t *Tx) InsertRecoveryLink(l RecoveryLink, secret string) error {
	if _, err := t.DeleteRecoveryLink(l.UserID); err != nil {
		return err
	}
	void := make([]string, len(l.Void))
	for i, v := range l.Void {
		void[i] = string(v)
	}
	_, err := t.exec(`
		INSERT INTO recovery_links (tenant_id, link_id, user_id, incarnation, secret_hash, void, issued_by, issuer, issuing_session,
			needs_approval, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.tenant, l.ID, l.UserID, l.Incarnation, linkHash(secret), strings.Join(void, " "), l.IssuedBy, l.Issuer, l.IssuingSession,
		l.NeedsApproval, millis(l.CreatedAt), millis(l.ExpiresAt))
	if err != nil {
		return fmt.Errorf("store recovery link: %w", err)
	}
	return nil
}

// ApproveRecoveryLink stores the approval of a link; approved is false if it was
// approved before, or does not exist.
func (t *Tx) ApproveRecoveryLink(id, by, approver string, now time.Time) (approved bool, err error) {
	n, err := t.exec(`
		UPDATE recovery_links SET approved_at = ?, approved_by = ?, approver = ?
		WHERE tenant_id = ? AND link_id = ? AND approved_at IS NULL`, millis(now), by, approver, t.tenant, id)
	if err != nil {
		return false, fmt.Errorf("approve recovery link: %w", err)
	}
	return n == 1, nil
}

// UseRecoveryLink uses a link up: one write, guarded so that of any number of
// concurrent ones only the first succeeds. used is false if the link was used
// before, was deleted, has expired or lacks an approval.
func (t *Tx) UseRecoveryLink(id string, now time.Time) (used bool, err error) {
	n, err := t.exec(`
		UPDATE recovery_links SET used_at = ?
		WHERE tenant_id = ? AND link_id = ? AND used_at IS NULL AND expires_at > ? AND (approved_at IS NOT NULL OR NOT needs_approval)`,
		millis(now), t.tenant, id, millis(now))
	if err != nil {
		return false, fmt.Errorf("use recovery link: %w", err)
	}
	return n == 1, nil
}

// DeleteRecoveryLink deletes the link of a user; deleted is false if there was none.
func (t *Tx) DeleteRecoveryLink(userID string) (deleted bool, err error) {
	n, err := t.exec(`DELETE FROM recovery_links WHERE tenant_id = ? AND user_id = ?`, t.tenant, userID)
	if err != nil {
		return false, fmt.Errorf("delete recovery link: %w", err)
	}
	return n == 1, nil
}

// SetRecoveryLinks sets the tenant's settings for recovery links; changed is false if
// they are the same as before.
func (t *Tx) SetRecoveryLinks(s api.RecoveryLinkSettings) (changed bool, err error) {
	t.changed = true
	text, err := json.Marshal(s)
	if err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	current, found, err := t.Tenant()
	if err != nil || !found || current.RecoveryLinks == s {
		return false, err
	}
	if _, err := t.exec(`UPDATE tenants SET recovery_links = ? WHERE tenant_id = ?`, string(text), t.tenant); err != nil {
		return false, fmt.Errorf("store tenant: %w", err)
	}
	return true, nil
}
